/*
 * What the workers count since the daemon's start, added to what was counted
 * before: the store keeps the sum under a name of its own.
 */
#ifndef ADMIN_COUNTERS_H
#define ADMIN_COUNTERS_H

#include <jansson.h>
#include <stdint.h>

#include "admin/jobs.h"
#include "larder/stats.h"
#include "larder/store.h"

struct counters {
	int64_t since;		     /* seconds: when counting began */
	uint64_t before[STAT_COUNT]; /* up to the daemon's start */
	uint64_t saved[STAT_COUNT];  /* what the store has */
};

/* Nothing kept yet, or nothing that makes sense: all zero, since now. */
void counters_load(struct counters *c, struct store *store);
/* Nothing is written when nothing changed. LARDER_NOMEM, LARDER_IO. */
int counters_save(struct counters *c, struct store *store,
    const uint64_t current[STAT_COUNT]);
/* before + current; current NULL: no daemon runs. */
void counters_total(const struct counters *c, const uint64_t *current,
    uint64_t out[STAT_COUNT]);

struct counters_now {
	uint64_t current[STAT_COUNT];
	uint64_t connections, flights;
	int64_t uptime; /* seconds */
};

/* All of `larderctl stats`: now NULL when no daemon runs. */
json_t *counters_report(const struct counters *c,
    const struct counters_now *now, struct store *store);

/* The same as a job, on a store whose daemon is down. */
job_fn counters_job;

#endif
