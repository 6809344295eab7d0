/*
 * What was counted since the daemon's start, added to what was counted before:
 * the store keeps the sum under a name of its own. The workers' counters
 * (larder/stats.h), and behind them those of the store and of purges.
 */
#ifndef ADMIN_COUNTERS_H
#define ADMIN_COUNTERS_H

#include <jansson.h>
#include <stdint.h>

#include "admin/jobs.h"
#include "larder/stats.h"
#include "larder/store.h"

#define COUNTERS_EACH(X)                                                \
	X(purged, "objects removed by purges")                          \
	X(purged_bytes, "bytes that purges gave back on the disk")      \
	X(evicted, "objects that went to keep the budget")              \
	X(evicted_bytes, "bytes that these gave back on the disk")      \
	X(damaged, "stored objects dropped because of a checksum")      \
	X(no_room, "responses not stored because the disk had no room") \
	X(io_errors, "system calls on the cache's files that failed")

enum counter {
	COUNTER_before = STAT_COUNT - 1,
#define COUNTERS_ENUM(name, text) COUNTER_##name,
	COUNTERS_EACH(COUNTERS_ENUM)
#undef COUNTERS_ENUM
	    COUNTER_COUNT
};

/* "requests", of an enum stats_counter or enum counter; and what it is. */
const char *counters_name(unsigned which);
const char *counters_text(unsigned which);

struct counters {
	int64_t since;			/* seconds: when counting began */
	uint64_t before[COUNTER_COUNT]; /* up to the daemon's start */
	uint64_t saved[COUNTER_COUNT];	/* what the store has */
	struct store_removed purged;	/* since the daemon's start */
};

/* Nothing kept yet, or nothing that makes sense: all zero, since now. */
void counters_load(struct counters *c, struct store *store);
/* Nothing is written when nothing changed. LARDER_NOMEM, LARDER_IO. */
int counters_save(struct counters *c, struct store *store,
    const uint64_t total[COUNTER_COUNT]);

/* Since the start: the workers' (NULL: no daemon runs), the store's, and the
 * purges that c was told of. */
void counters_current(const struct counters *c,
    const uint64_t stats[STAT_COUNT], struct store *store,
    uint64_t out[COUNTER_COUNT]);
/* before + current. */
void counters_total(const struct counters *c,
    const uint64_t current[COUNTER_COUNT], uint64_t out[COUNTER_COUNT]);

/* {"since", a member each, "saved_bytes", "hit_ratio", "byte_hit_ratio"} */
json_t *counters_json(const uint64_t v[COUNTER_COUNT], int64_t since);
/* worth less cost (larder/stats.h); may be less than 0. */
int64_t counters_saved(const uint64_t v[COUNTER_COUNT]);

#endif
