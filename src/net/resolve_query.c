/*
 * One name's way to its addresses. A and AAAA are asked at once; when one has
 * brought addresses, the other gets a short time more (RFC 8305 3), and what
 * comes later still goes into the cache. Where the servers fail, rather than
 * deny the name, the system's resolver is asked in a thread.
 */
#include "net/resolve_internal.h"

#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"

#define DELAY_MS    50
#define DEADLINE_MS 15000
/* Each has two questions in flight; see resolve_dns_new(). */
#define QUERIES_MAX 1024
/* getaddrinfo() tells no time to live. */
#define SYSTEM_TTL  60

static void on_job(void *arg, int err, const struct resolve_ips *ips);

static void
destroy(struct loop_garbage *garbage)
{
	struct resolve_query *query =
	    container_of(garbage, struct resolve_query, garbage);

	loop_timer_release(&query->delay);
	loop_timer_release(&query->deadline);
	free(query);
}

void
resolve_query_drop(struct resolve_query *query)
{
	list_remove(&query->node);
	query->resolver->query_count--;
	resolve_drop_question(&query->question[0]);
	resolve_drop_question(&query->question[1]);
	resolve_job_drop(&query->job);
	loop_timer_stop(&query->delay);
	loop_timer_stop(&query->deadline);
	loop_discard(query->resolver->loop, &query->garbage, destroy);
}

/* Tells everyone; stays for questions that are still under way. */
static void
settle(struct resolve_query *query, int err)
{
	struct list waiters, *node;

	check(!query->settled);
	query->settled = true;
	loop_timer_stop(&query->delay);
	resolve_cache_put(
	    query->resolver, query->name, err, &query->ips, query->ttl);
	list_init(&waiters);
	list_splice(&waiters, &query->waiters);
	/* One waiter's function may cancel another. */
	while ((node = list_shift(&waiters)))
		resolve_tell(
		    container_of(node, struct resolve, node), err, &query->ips);
	if (!query->question[0] && !query->question[1])
		resolve_query_drop(query);
}

static int
error_of(const struct resolve_query *query)
{
	if (query->ips.n4 + query->ips.n6)
		return 0;
	if (query->failed)
		return LARDER_IO;
	return query->timed_out ? LARDER_TIMEOUT : LARDER_NONAME;
}

static void
fall_back(struct resolve_query *query)
{
	struct resolver *r = query->resolver;
	int err = resolve_job_start(
	    &query->job, r->box, r->system, query->name, on_job, query);

	if (err) {
		query->failed = true;
		settle(query, error_of(query));
	}
}

static void
on_job(void *arg, int err, const struct resolve_ips *ips)
{
	struct resolve_query *query = arg;

	query->job = NULL;
	if (err == 0) {
		query->ips = *ips;
		query->ttl = SYSTEM_TTL;
	}
	settle(query, err);
}

static void
on_delay(void *arg)
{
	settle(arg, 0);
}

static void
on_deadline(void *arg)
{
	struct resolve_query *query = arg;

	resolve_drop_question(&query->question[0]);
	resolve_drop_question(&query->question[1]);
	resolve_job_drop(&query->job);
	query->timed_out = true;
	if (query->settled)
		resolve_query_drop(query);
	else
		settle(query, error_of(query));
}

/* After each answer: is it enough? */
static void
decide(struct resolve_query *query)
{
	bool found = query->ips.n4 + query->ips.n6 > 0;
	bool asking = query->question[0] || query->question[1];

	if (query->settled) {
		if (found)
			resolve_cache_put(query->resolver, query->name, 0,
			    &query->ips, query->ttl);
		if (!asking)
			resolve_query_drop(query);
	} else if (found && asking) {
		loop_timer_start(&query->delay, DELAY_MS);
	} else if (found) {
		settle(query, 0);
	} else if (query->unknown) {
		settle(query, LARDER_NONAME);
	} else if (!asking) {
		if (query->failed || query->timed_out)
			fall_back(query);
		else
			settle(query, LARDER_NONAME);
	}
}

static void
take(struct resolve_query *query, bool v6, const void *addresses, unsigned n,
    int ttl)
{
	const uint8_t *p = addresses;

	for (unsigned i = 0; i < n; i++) {
		if (v6)
			resolve_ips_add6(&query->ips, p + i * 16);
		else
			resolve_ips_add4(&query->ips, p + i * 4);
	}
	if (ttl < query->ttl)
		query->ttl = ttl;
}

/* Asks the servers of now, if those that failed are of yesterday. */
static bool
ask_again(struct resolve_query *query, const struct resolve_question *question)
{
	struct resolver *r = query->resolver;

	resolve_refresh(r);
	if (r->dns == NULL || r->dns == question->dns)
		return false;
	query->question[question->v6] =
	    resolve_ask(r->dns, query, query->name, question->v6);
	return query->question[question->v6] != NULL;
}

void
resolve_answered(struct resolve_query *query,
    const struct resolve_question *question, enum resolve_outcome outcome,
    const void *addresses, unsigned n, int ttl)
{
	query->question[question->v6] = NULL;
	switch (outcome) {
	case RESOLVE_FOUND:
		take(query, question->v6, addresses, n, ttl);
		break;
	case RESOLVE_EMPTY:
		break;
	case RESOLVE_UNKNOWN:
		/* Of the A question only: some servers deny a name for its
		 * want of AAAA. RFC 4074 4.2 */
		query->unknown = query->unknown || !question->v6;
		break;
	case RESOLVE_TIMEOUT:
	case RESOLVE_FAILED:
		if (ask_again(query, question))
			return;
		if (outcome == RESOLVE_TIMEOUT)
			query->timed_out = true;
		else
			query->failed = true;
		break;
	}
	decide(query);
}

static struct resolve_query *
find(struct resolver *r, const char *name)
{
	list_each (node, &r->queries) {
		struct resolve_query *query =
		    container_of(node, struct resolve_query, node);

		if (!query->settled && strcmp(query->name, name) == 0)
			return query;
	}
	return NULL;
}

struct resolve_query *
resolve_query_get(struct resolver *r, const char *name)
{
	struct resolve_query *query = find(r, name);

	if (query)
		return query;
	if (r->query_count >= QUERIES_MAX)
		return NULL;
	query = calloc(1, sizeof(*query));
	if (query == NULL)
		return NULL;
	query->resolver = r;
	query->ttl = INT32_MAX;
	memcpy(query->name, name, strlen(name) + 1);
	list_init(&query->waiters);
	loop_timer_init(&query->delay, r->loop, on_delay, query);
	loop_timer_init(&query->deadline, r->loop, on_deadline, query);
	list_append(&r->queries, &query->node);
	r->query_count++;
	/* AAAA first: RFC 8305 3. */
	if (r->dns) {
		query->question[1] = resolve_ask(r->dns, query, name, true);
		query->question[0] = resolve_ask(r->dns, query, name, false);
	}
	if (!query->question[0] && !query->question[1] &&
	    resolve_job_start(
		&query->job, r->box, r->system, name, on_job, query) != 0) {
		resolve_query_drop(query);
		return NULL;
	}
	loop_timer_start(&query->deadline, DEADLINE_MS);
	return query;
}
