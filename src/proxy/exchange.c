/*
 * The walk of a request, one direction, a step a function:
 *
 *   ROUTE    may they, to whom, under which key           route.c
 *   LOOKUP   what is stored under the key
 *   DECIDE   SEND, REVALIDATE, FETCH, PASS or REFUSE      cache/decide.c
 *   OPEN     the stored one, its head                     (SEND)
 *   FILL     join a flight, or lead one                   flight.c, fetch.c
 *   AWAIT    the flight's result
 *   ANSWER   which head, which part of the body           answer.c
 *   DELIVER  the body, as it can be had                   deliver.c
 *   RECORD   the log, the counters; the next request      record.c
 *
 * A step returns the next one; STEP_WAIT when an event (the client's
 * connection, or the note that flights and blobs post) is to run it again. No
 * step calls another.
 */
#include <stdlib.h>

#include "larder/check.h"
#include "larder/log.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"

/* Exchanges kept for reuse by a worker. */
#define SPARES_MAX   64u
/* Flights joined in vain before a request goes alone. */
#define ATTEMPTS_MAX 4u

/* ---- LOOKUP ----------------------------------------------------------- */

static enum step
look_up(struct exchange *x)
{
	struct store_found *found = &x->found;

	*found = (struct store_found){0};
	x->stored = NULL;
	if (x->head.method != HTTP_GET && x->head.method != HTTP_HEAD)
		return STEP_DECIDE;
	/* What is found again and again cannot be read. */
	if (x->attempts >= ATTEMPTS_MAX)
		return STEP_DECIDE;
	if (store_find(x->w->view, x->key, &x->arena, found) != 0 ||
	    found->count == 0) {
		found->count = 0;
		return STEP_DECIDE;
	}
	x->stored = arena_alloc(&x->arena, found->count * sizeof(*x->stored));
	if (x->stored == NULL) {
		found->count = 0;
		return STEP_DECIDE;
	}
	for (unsigned i = 0; i < found->count; i++) {
		const struct store_record *r = &found->records[i];
		struct cache_stored *s = &x->stored[i];

		/* One that cannot be read is as old as can be. */
		if (cache_meta_decode(r->meta, &s->meta) < 0)
			s->meta = (struct cache_meta){
			    .flags = CACHE_INVALID_FRESHNESS};
		s->variant = r->variant;
		s->body_size = r->body_size;
	}
	return STEP_DECIDE;
}

/* ---- DECIDE ----------------------------------------------------------- */

/* Stale and sent all the same: it is asked about meanwhile (RFC 5861 3). */
static void
revalidate_in_background(struct exchange *x)
{
	struct flights *table = proxy_flights(x->w->proxy);
	struct flight_waiter waiter = {.note = &x->note};

	if (flight_is_asking(table, x->key))
		return;
	if (flight_join(table, x->key, &x->request, true, false, &x->arena,
		&waiter) == FLIGHT_LEADS &&
	    fetch_start(x, waiter.flight, true) < 0)
		flight_abandon(waiter.flight);
	flight_leave(&waiter);
}

static enum step
decide(struct exchange *x)
{
	struct cache_decision *d = &x->decision;

	cache_decide(&x->request, x->stored, x->found.count, worker_now(x->w),
	    &x->policy, &x->arena, d);
	x->note_status = (struct cache_status){
	    .fwd = cache_why_token(d->why),
	    .detail = d->detail,
	};
	switch (d->action) {
	case CACHE_SEND:
		if (d->background)
			revalidate_in_background(x);
		return STEP_OPEN;
	case CACHE_REFUSE:
		x->note_status.fwd = NULL; /* it was not forwarded */
		return answer_own(x, 504, "only-if-cached",
		    "The request asks for a stored answer only, and there is "
		    "none that fits.");
	case CACHE_REVALIDATE:
	case CACHE_FETCH:
	case CACHE_PASS:
		break;
	}
	return STEP_FILL;
}

/* ---- OPEN ------------------------------------------------------------- */

void
exchange_forget_answer(struct exchange *x)
{
	/* A fetch that this exchange led must not know it any more: it may
	 * lead another. */
	if (x->fetch != NULL)
		fetch_leader_left(x->fetch);
	recode_free(&x->recode);
	source_close(&x->source);
	flight_leave(&x->waiter);
	/* But for an interim head of which a part is out. */
	x->before_count = x->interim_begun ? 1 : 0;
	x->form = bytes_of(NULL, 0);
	x->meta = NULL;
}

enum step
exchange_look_again(struct exchange *x)
{
	exchange_forget_answer(x);
	x->stale_stands_in = false;
	if (++x->attempts >= ATTEMPTS_MAX)
		x->alone = true;
	return STEP_LOOKUP;
}

static int
open_stored(struct exchange *x)
{
	struct store_record *r = &x->found.records[x->decision.chosen];
	struct blob *blob = NULL;
	int err = store_open_blob(x->w->view, r, &blob);

	if (err == 0) {
		err = source_open(
		    &x->source, x->w->view, blob, mailbox_post, &x->note);
		x->result = blob_in_memory(blob) ? RESULT_MEM_HIT : RESULT_HIT;
		blob_unref(&blob);
	}
	return err;
}

static enum step
open_step(struct exchange *x)
{
	struct cache_stored *s = &x->stored[x->decision.chosen];
	int err = 0;

	if (!source_is_open(&x->source))
		err = open_stored(x);
	if (err == 0)
		err = source_head(&x->source, &x->form);
	if (err == LARDER_AGAIN)
		return STEP_WAIT;
	if (err != 0)
		return exchange_look_again(x);
	store_touch(x->w->view, &x->found.records[x->decision.chosen]);
	x->meta = &s->meta;
	x->status = s->meta.status;
	x->length = s->body_size;
	x->from_store = true;
	/* RFC 9211 2.2: one that stands in for an answer was forwarded. */
	x->note_status.hit = !x->stale_stands_in;
	if (x->note_status.hit)
		x->note_status.fwd = NULL;
	x->note_status.has_ttl = true;
	x->note_status.ttl = x->decision.ttl;
	return STEP_ANSWER;
}

/* ---- FILL ------------------------------------------------------------- */

/*
 * Leading a flight that others find: what was fetched a moment ago by the one
 * before is in the store by now.
 */
static bool
is_there_after_all(struct exchange *x)
{
	struct cache_decision d;

	look_up(x);
	cache_decide(&x->request, x->stored, x->found.count, worker_now(x->w),
	    &x->policy, &x->arena, &d);
	if (d.action == CACHE_SEND)
		return true;
	x->decision = d;
	return false;
}

/* Then an answer that is on its way already will not do. */
static bool
wants_news(const struct exchange *x)
{
	const struct cache_control *control = &x->request.control;

	return !x->policy.ignore_reload &&
	       (control->no_cache || control->max_age == 0);
}

static enum step
fill(struct exchange *x)
{
	struct flights *table = proxy_flights(x->w->proxy);
	bool own = x->decision.action == CACHE_PASS ||
		   x->head.method != HTTP_GET || x->request.authorized ||
		   (x->request.conditional && x->found.count == 0);
	bool alone = own || x->alone ||
		     flight_is_private(table, x->key, worker_now(x->w));
	int role;

	role = flight_join(table, x->key, &x->request, wants_news(x), alone,
	    &x->arena, &x->waiter);
	if (role < 0)
		return answer_own(
		    x, 503, "no-memory", "There is no memory left.");
	x->leads = role == FLIGHT_LEADS;
	if (!x->leads)
		return STEP_AWAIT;
	if (!alone && is_there_after_all(x)) {
		flight_abandon(x->waiter.flight);
		flight_leave(&x->waiter);
		return STEP_DECIDE;
	}
	if (fetch_start(x, x->waiter.flight, false) < 0) {
		flight_abandon(x->waiter.flight);
		flight_leave(&x->waiter);
		return answer_own(
		    x, 503, "no-memory", "There is no memory left.");
	}
	return STEP_AWAIT;
}

/* ---- AWAIT ------------------------------------------------------------ */

static bool
origin_failed(const struct flight_result *r)
{
	return r->kind == FLIGHT_ERROR ||
	       (r->kind == FLIGHT_RESPONSE && cache_is_failure(r->status));
}

static bool
stale_helps(const struct exchange *x, const struct flight_result *r)
{
	int chosen = x->decision.chosen;

	return origin_failed(r) && r->status != 403 && chosen >= 0 &&
	       cache_may_serve_stale(&x->request, &x->stored[chosen].meta,
		   worker_now(x->w), &x->policy);
}

static enum step
serve_stale(struct exchange *x, const struct flight_result *r)
{
	x->note_status.fwd_status = r->kind == FLIGHT_ERROR ? 0 : r->status;
	x->note_status.collapsed = !x->leads;
	exchange_forget_answer(x);
	x->stale_stands_in = true;
	x->decision.age =
	    cache_age(&x->stored[x->decision.chosen].meta, worker_now(x->w));
	x->decision.ttl =
	    cache_ttl(&x->stored[x->decision.chosen].meta, worker_now(x->w));
	x->note_status.detail = "stale-if-error";
	return STEP_OPEN;
}

/* Someone else's answer that is not for this request. */
static bool
does_not_fit(struct exchange *x, const struct flight_result *r)
{
	return !x->leads &&
	       (!r->shared || !cache_coding_matches(&x->request, r->variant,
				  &r->meta, &x->arena));
}

static enum result
result_of(const struct exchange *x, const struct flight_result *r)
{
	if (!x->leads)
		return RESULT_HIT;
	if (r->kind == FLIGHT_REFRESHED)
		return RESULT_REFRESH_UNMODIFIED;
	if (x->decision.action == CACHE_REVALIDATE)
		return RESULT_REFRESH_MODIFIED;
	if (x->decision.why == CACHE_WHY_REQUEST)
		return RESULT_CLIENT_REFRESH_MISS;
	return RESULT_MISS;
}

static void
note_forwarded(struct exchange *x, const struct flight_result *r)
{
	struct cache_status *s = &x->note_status;

	s->fwd_status = r->kind == FLIGHT_REFRESHED ? 304 : r->status;
	s->stored = r->stored && r->kind == FLIGHT_RESPONSE && x->leads;
	s->collapsed = !x->leads;
	s->has_ttl = r->stored;
	s->ttl = cache_ttl(&r->meta, worker_now(x->w));
}

static enum step
use_result(struct exchange *x, const struct flight_result *r)
{
	/* Not if it turned into a window, and its beginning has passed. */
	if (source_open(
		&x->source, x->w->view, r->blob, mailbox_post, &x->note) != 0)
		return exchange_look_again(x);
	memcpy(x->peer, r->peer, sizeof(x->peer));
	x->result = result_of(x, r);
	x->form = x->leads && r->own_form.p != NULL ? r->own_form : r->form;
	x->meta = &r->meta;
	x->status = r->status;
	x->length = r->length;
	x->from_store = r->kind == FLIGHT_REFRESHED;
	note_forwarded(x, r);
	return STEP_ANSWER;
}

static enum step
await(struct exchange *x)
{
	const struct flight_result *r = flight_result(&x->waiter);

	if (r == NULL)
		return STEP_WAIT;
	if (stale_helps(x, r))
		return serve_stale(x, r);
	if (r->kind == FLIGHT_ERROR) {
		if (r->status == 0)
			return exchange_look_again(x);
		x->note_status.fwd_status = 0;
		if (r->status == 403)
			x->result = RESULT_DENIED;
		return answer_own(x, r->status, r->detail, r->text.p);
	}
	if (does_not_fit(x, r)) {
		x->alone |= !r->shared;
		return exchange_look_again(x);
	}
	return use_result(x, r);
}

/* ---- the table -------------------------------------------------------- */

static enum step (*const steps[])(struct exchange *) = {
    [STEP_ROUTE] = route_step,
    [STEP_LOOKUP] = look_up,
    [STEP_DECIDE] = decide,
    [STEP_OPEN] = open_step,
    [STEP_FILL] = fill,
    [STEP_AWAIT] = await,
    [STEP_ANSWER] = answer_step,
    [STEP_DELIVER] = deliver_step,
    [STEP_RECORD] = record_step,
};

void
exchange_run(struct exchange *x)
{
	check_magic(x, EXCHANGE_MAGIC);
	check(!x->running);
	x->running = true;
	for (;;) {
		enum step next = steps[x->step](x);

		if (next == STEP_GONE)
			return;
		if (next == STEP_WAIT)
			break;
		x->step = next;
	}
	x->running = false;
}

static void
on_note(void *arg)
{
	exchange_run(arg);
}

struct exchange *
exchange_new(struct client *client)
{
	struct worker *w = client->w;
	struct list *spare = list_shift(&w->spare);
	struct arena arena;
	struct exchange *x;

	if (spare != NULL) {
		w->spare_count--;
		x = container_of(spare, struct exchange, node);
		arena = x->arena;
	} else {
		x = malloc(sizeof(*x));
		if (x == NULL)
			return NULL;
		arena_init(&arena, WORKER_ARENA);
	}
	*x = (struct exchange){
	    .magic = EXCHANGE_MAGIC,
	    .client = client,
	    .w = w,
	    .conf = conf_ref(w->conf),
	    .arena = arena,
	    .step = STEP_ROUTE,
	    .started = loop_wall_ms(w->loop),
	    .result = RESULT_NONE,
	    .decision.chosen = -1,
	    .peer = "-",
	};
	list_init(&x->node);
	list_init(&x->waiter.node);
	x->waiter.note = &x->note;
	mailbox_note_init(&x->note, w->mailbox, on_note, x);
	return x;
}

void
exchange_release(struct exchange **exchange)
{
	struct exchange *x = *exchange;
	struct worker *w = x->w;

	*exchange = NULL;
	conf_unref(&x->conf);
	http_body_release(&x->body);
	x->magic = 0;
	if (w->spare_count >= SPARES_MAX) {
		arena_release(&x->arena);
		free(x);
		return;
	}
	arena_reset(&x->arena);
	list_prepend(&w->spare, &x->node);
	w->spare_count++;
}

void
exchange_free_spares(struct worker *w)
{
	struct list *node;

	while ((node = list_shift(&w->spare)) != NULL) {
		struct exchange *x = container_of(node, struct exchange, node);

		arena_release(&x->arena);
		free(x);
	}
	w->spare_count = 0;
}
