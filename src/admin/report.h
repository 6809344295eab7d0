/*
 * What is told of the traffic and the store: `larderctl stats`, the page's
 * data, and Prometheus' text. Made of the census; nothing here blocks, but for
 * what the store has kept of earlier days.
 */
#ifndef ADMIN_REPORT_H
#define ADMIN_REPORT_H

#include "admin/census.h"

struct evbuffer;

/* What a running daemon adds. */
struct report_now {
	uint64_t connections, flights; /* open, in flight */
	int64_t uptime;		       /* seconds */
};

struct report {
	struct census *census;
	struct store *store;
	const struct conf *conf;
	const struct report_now *now; /* NULL: no daemon runs */
};

/*
 * args: since=TIME ("7d"), by=host|client|url|day|hour, limit=N. 0, or
 * LARDER_INVALID with {"error": ...}; *out NULL: no memory.
 * {"version", "running", "total": counters, "store": {...}; with since:
 *  "period": counters; with by: "by", "rows": [...], "rest": {...}}
 */
int report_stats(
    const struct report *report, struct evkeyvalq *args, json_t **out);
/* The same as a job, on a store whose daemon is down. */
job_fn report_job;

/* For the page: no client's address is in it, and no query of a URL.
 * objects: as report_objects() made it, or NULL. */
json_t *report_page(const struct report *report, json_t *objects);

/* A URL as the page has it: without its query, in which there may be what is
 * not for all. */
json_t *report_url(struct bytes url);

/* {"newest": [...], "largest": [...], "partial": bool}: walks
 * the store for a few seconds at most. */
job_fn report_objects;

/* Prometheus' text format 0.0.4. */
void report_metrics(const struct report *report, struct evbuffer *out);

#endif
