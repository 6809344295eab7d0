/*
 * The counters by hour and by day: two rings of slots, each with what was
 * counted in it. Days begin at the machine's midnight. The store keeps them in
 * pieces, so that a minute writes only what has changed.
 */
#ifndef ADMIN_HISTORY_H
#define ADMIN_HISTORY_H

#include "admin/counters.h"

#define HISTORY_HOURS 192u /* 8 days */
#define HISTORY_DAYS  400u
/* Slots that are kept under one name. */
#define HISTORY_PIECE 16u
#define HISTORY_PIECES \
	(HISTORY_HOURS / HISTORY_PIECE + HISTORY_DAYS / HISTORY_PIECE)

struct history_slot {
	int64_t start; /* seconds; 0: nothing in it */
	uint64_t v[COUNTER_COUNT];
};

struct history {
	struct history_slot hours[HISTORY_HOURS], days[HISTORY_DAYS];
	uint64_t last[COUNTER_COUNT]; /* the sums that are in it */
	bool changed[HISTORY_PIECES]; /* since it was saved */
};

/* total: the sums up to now, which are in what is kept. */
void history_load(struct history *h, struct store *store,
    const uint64_t total[COUNTER_COUNT]);
/* What was counted since the last call belongs to this hour and day. */
void history_add(
    struct history *h, int64_t now, const uint64_t total[COUNTER_COUNT]);
/* LARDER_NOMEM, LARDER_IO. */
int history_save(struct history *h, struct store *store);

/*
 * The sums since `from`, by hours if these reach back so far, else by days.
 * Returns when the first of them begins: from itself, or earlier within its
 * hour or day; or later, if nothing older is kept.
 */
int64_t history_sum(const struct history *h, int64_t from, int64_t now,
    uint64_t out[COUNTER_COUNT]);

/* When the day of `now` began, and when the one `back` days before it did. */
int64_t history_day(int64_t now, int back);
/* The slot of an hour or a day that begins then; NULL: nothing was counted. */
const struct history_slot *history_hour_at(
    const struct history *h, int64_t start);
const struct history_slot *history_day_at(
    const struct history *h, int64_t start);
/* Days since 1970 of the day that begins then. */
int64_t history_day_number(int64_t start);

#endif
