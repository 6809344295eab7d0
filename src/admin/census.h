/*
 * All that is known of the traffic: the counters, their history, and the
 * heaviest hosts, clients and URLs, of today and ever. The main thread's: once
 * a second it asks the workers for their tallies (proxy_collect()) and merges
 * them; once a minute, and at the end, it gives the store what has changed.
 */
#ifndef ADMIN_CENSUS_H
#define ADMIN_CENSUS_H

#include "admin/counters.h"
#include "admin/history.h"
#include "admin/heavy.h"

struct census;
struct loop;
struct proxy;

/* Fetches at this moment, as of the last round. */
struct census_flights {
	unsigned count;
	struct tally_flight flights[TALLY_FLIGHTS];
};

/* Reads what the store has kept. loop NULL: nothing runs, only that is to be
 * told. LARDER_NOMEM. */
int census_open(struct census **out, struct loop *loop, struct store *store);
/* The rounds begin; the proxy must outlive census_stop(). */
void census_start(struct census *census, struct proxy *proxy);
/* Merges what is left and saves. The proxy's threads have ended. */
void census_stop(struct census *census);
void census_free(struct census **census);

/* Objects that a purge has removed. */
void census_purged(struct census *census, const struct store_removed *what);

/* Calls fn when all that was counted up to now is in; within a second at
 * worst, never from inside the call. Embedded; census_forget() takes it
 * back. */
struct census_wait {
	struct list node;
	void (*fn)(void *arg);
	void *arg;
};
void census_wait(struct census *census, struct census_wait *wait,
    void (*fn)(void *arg), void *arg);
void census_forget(struct census_wait *wait);

const struct history *census_history(const struct census *census);
const struct census_flights *census_flights(const struct census *census);
int64_t census_since(const struct census *census); /* counting began */
/* Since the daemon's start, and ever. */
void census_totals(struct census *census, uint64_t current[COUNTER_COUNT],
    uint64_t total[COUNTER_COUNT]);

/*
 * The heaviest of a kind: ever (from 0), or in the days since `from` as far as
 * they are kept (CENSUS_DAYS). The caller frees *out. LARDER_NOMEM.
 */
#define CENSUS_DAYS 35
int census_top(const struct census *census, enum tally_kind kind, int64_t from,
    struct heavy **out);

#endif
