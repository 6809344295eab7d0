#include "admin/history.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "larder/check.h"
#include "larder/err.h"

#define HOUR	   3600
#define NAME_MAX_N 32
/* What a piece may take; store_state_set() takes no more. */
#define PIECE_MAX  (64u * 1024)

/* ---- days ------------------------------------------------------------- */

int64_t
history_day(int64_t now, int back)
{
	time_t t = (time_t)now;
	struct tm tm;

	localtime_r(&t, &tm);
	tm.tm_mday -= back;
	tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
	tm.tm_isdst = -1;
	return (int64_t)mktime(&tm);
}

int64_t
history_day_number(int64_t start)
{
	/* Its noon, so that no change of the clock matters. */
	time_t t = (time_t)start + 12 * HOUR;
	struct tm tm;

	localtime_r(&t, &tm);
	tm.tm_isdst = 0;
	return (int64_t)timegm(&tm) / 86400;
}

static size_t
hour_place(int64_t start)
{
	return (size_t)(start / HOUR % HISTORY_HOURS);
}

static size_t
day_place(int64_t start)
{
	return (size_t)(history_day_number(start) % HISTORY_DAYS);
}

const struct history_slot *
history_hour_at(const struct history *h, int64_t start)
{
	const struct history_slot *s = &h->hours[hour_place(start)];

	return s->start == start ? s : NULL;
}

const struct history_slot *
history_day_at(const struct history *h, int64_t start)
{
	const struct history_slot *s = &h->days[day_place(start)];

	return s->start == start ? s : NULL;
}

/* ---- counting --------------------------------------------------------- */

/* A day whose midnight has moved (another time zone) is the same day. */
static void
add_to(struct history_slot *s, int64_t start, int64_t tolerance,
    const uint64_t v[COUNTER_COUNT])
{
	if (s->start < start - tolerance || s->start > start + tolerance)
		*s = (struct history_slot){.start = start};
	s->start = start;
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		s->v[i] += v[i];
}

void
history_add(struct history *h, int64_t now, const uint64_t total[COUNTER_COUNT])
{
	int64_t hour = now - now % HOUR, day = history_day(now, 0);
	uint64_t v[COUNTER_COUNT];
	bool any = false;

	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		v[i] = total[i] > h->last[i] ? total[i] - h->last[i] : 0;
		any |= v[i] > 0;
		h->last[i] = total[i];
	}
	if (!any || now < HOUR)
		return;
	add_to(&h->hours[hour_place(hour)], hour, 0, v);
	add_to(&h->days[day_place(day)], day, 20 * HOUR, v);
	h->changed[hour_place(hour) / HISTORY_PIECE] = true;
	h->changed[HISTORY_HOURS / HISTORY_PIECE +
		   day_place(day) / HISTORY_PIECE] = true;
}

int64_t
history_sum(const struct history *h, int64_t from, int64_t now,
    uint64_t out[COUNTER_COUNT])
{
	bool by_hours = now - from <= (int64_t)(HISTORY_HOURS - 1) * HOUR;
	size_t count = by_hours ? HISTORY_HOURS : HISTORY_DAYS;
	const struct history_slot *slots = by_hours ? h->hours : h->days;
	int64_t first = by_hours ? from - from % HOUR : history_day(from, 0);
	int64_t begin = now;

	memset(out, 0, COUNTER_COUNT * sizeof(*out));
	for (size_t i = 0; i < count; i++) {
		const struct history_slot *s = &slots[i];

		if (s->start == 0 || s->start < first || s->start > now)
			continue;
		if (s->start < begin)
			begin = s->start;
		for (unsigned j = 0; j < COUNTER_COUNT; j++)
			out[j] += s->v[j];
	}
	return begin;
}

/* ---- kept ------------------------------------------------------------- */

/* Piece i of both rings: its slots, and the name that it is kept under. */
static struct history_slot *
piece(struct history *h, size_t i, char name[NAME_MAX_N])
{
	size_t hours = HISTORY_HOURS / HISTORY_PIECE;

	if (i < hours) {
		snprintf(name, NAME_MAX_N, "hours-%zu", i);
		return &h->hours[i * HISTORY_PIECE];
	}
	snprintf(name, NAME_MAX_N, "days-%zu", i - hours);
	return &h->days[(i - hours) * HISTORY_PIECE];
}

static json_t *
slot_json(const struct history_slot *s)
{
	json_t *o = json_pack("{s:I}", "start", (json_int_t)s->start);

	/* Most are 0. */
	for (unsigned i = 0; o && i < COUNTER_COUNT; i++)
		if (s->v[i] > 0)
			json_object_set_new(o, counters_name(i),
			    json_integer((json_int_t)s->v[i]));
	return o;
}

static int
save_piece(struct store *store, const char *name,
    const struct history_slot slots[HISTORY_PIECE])
{
	json_t *list = json_array();
	char *text;
	int rc = LARDER_NOMEM;

	for (unsigned i = 0; list && i < HISTORY_PIECE; i++)
		if (slots[i].start)
			json_array_append_new(list, slot_json(&slots[i]));
	text = list ? json_dumps(list, JSON_COMPACT) : NULL;
	if (text)
		rc = store_state_set(store, name, bytes_str(text));
	free(text);
	json_decref(list);
	return rc;
}

int
history_save(struct history *h, struct store *store)
{
	char name[NAME_MAX_N];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < HISTORY_PIECES; i++) {
		if (!h->changed[i])
			continue;
		rc = save_piece(store, name, piece(h, i, name));
		h->changed[i] = rc != 0;
	}
	return rc;
}

static void
read_slot(struct history *h, bool hours, const json_t *o)
{
	int64_t start = json_integer_value(json_object_get(o, "start"));
	struct history_slot *s;

	/* At its own place, whatever the file says; a day whose midnight has
	 * moved (another time zone) is where its number says. */
	if (start < HOUR || start > INT64_MAX / 2)
		return;
	s = hours ? &h->hours[hour_place(start)] : &h->days[day_place(start)];
	*s = (struct history_slot){.start = start};
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		json_int_t n =
		    json_integer_value(json_object_get(o, counters_name(i)));

		s->v[i] = n > 0 ? (uint64_t)n : 0;
	}
}

void
history_load(
    struct history *h, struct store *store, const uint64_t total[COUNTER_COUNT])
{
	char name[NAME_MAX_N];

	memset(h, 0, sizeof(*h));
	memcpy(h->last, total, sizeof(h->last));
	for (size_t i = 0; i < HISTORY_PIECES; i++) {
		struct arena arena;
		struct bytes text;
		json_t *list = NULL;

		piece(h, i, name);
		arena_init(&arena, 2 * PIECE_MAX);
		if (store_state_get(store, name, &arena, &text) == 0)
			list = json_loadb(text.p, text.n, 0, NULL);
		for (size_t j = 0; j < json_array_size(list); j++)
			read_slot(h, i < HISTORY_HOURS / HISTORY_PIECE,
			    json_array_get(list, j));
		json_decref(list);
		arena_release(&arena);
	}
}
