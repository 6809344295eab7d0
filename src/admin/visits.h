/*
 * Visits to the page that want numbers: connections that the workers have
 * handed over, answered by the main thread, one answer each. A visit of
 * VISIT_EVENTS stays: every VISITS_EVENT_MS it is sent the page's data, as long
 * as it takes them. There are VISITS_MAX at most, of these VISITS_EVENTS_MAX
 * that stay.
 */
#ifndef ADMIN_VISITS_H
#define ADMIN_VISITS_H

#include "admin/census.h"
#include "proxy/proxy.h"

#define VISITS_MAX	  64u
#define VISITS_EVENTS_MAX 16u
#define VISITS_EVENT_MS	  2000
/* Who takes nothing for so long is dropped. */
#define VISITS_SLOW_MS	  10000

struct runner;
struct visit;
struct visits;

enum visit_kind { VISIT_STATS, VISIT_EVENTS, VISIT_METRICS, VISIT_PURGE };

/* What is asked; query is copied. NULL: no memory. From any thread. */
struct visit *visit_new(enum visit_kind kind, bool head, struct bytes query);

struct visits_options {
	struct loop *loop;
	struct runner *runner;
	struct census *census;
	struct store *store;
	struct proxy *const *proxy; /* set before the loop runs */
};

/* LARDER_NOMEM. */
int visits_open(struct visits **out, const struct visits_options *options);
/* Takes both, from any thread. */
void visits_receive(struct visits *visits, struct visit **visit, int fd);
/* Ends them all, and those that still come. The runner outlives it. */
void visits_close(struct visits *visits);
/* After the runner and the proxy are freed. */
void visits_free(struct visits **visits);

#endif
