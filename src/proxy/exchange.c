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
#define SPARES_MAX     64u
/* Flights joined in vain before a request goes alone. */
#define ATTEMPTS_MAX   4u
/* Revalidations in the background at once, a worker. */
#define BACKGROUND_MAX 64u

/* ---- LOOKUP ----------------------------------------------------------- */

void
exchange_look_up(struct exchange *x)
{
	struct store_found *found = &x->found;

	*found = (struct store_found){0};
	x->stored = NULL;
	if (x->head.method != HTTP_GET && x->head.method != HTTP_HEAD)
		return;
	/* What is found again and again cannot be read. */
	if (x->attempts >= ATTEMPTS_MAX)
		return;
	if (store_find(x->w->view, x->key, &x->arena, found) != 0 ||
	    found->count == 0) {
		found->count = 0;
		return;
	}
	x->stored = arena_alloc(&x->arena, found->count * sizeof(*x->stored));
	if (x->stored == NULL) {
		found->count = 0;
		return;
	}
	for (unsigned i = 0; i < found->count; i++) {
		const struct store_record *r = &found->records[i];

		(void)cache_stored_decode(
		    r->meta, r->variant, r->body_size, &x->stored[i]);
	}
}

static enum step
look_up(struct exchange *x)
{
	exchange_look_up(x);
	return STEP_DECIDE;
}

/* ---- DECIDE ----------------------------------------------------------- */

/* Stale and sent all the same: it is asked about meanwhile (RFC 5861 3). */
static void
revalidate_in_background(struct exchange *x)
{
	struct flights *table = proxy_flights(x->w->proxy);
	struct flight_waiter waiter = {.note = &x->note};
	struct flight_wish wish = exchange_wish(x);

	wish.newest = true;
	/* One client asks for many in a row, and waits for none. */
	if (x->w->background_count >= BACKGROUND_MAX ||
	    flight_is_asking(table, x->key))
		return;
	if (flight_join(table, x->key, &wish, &waiter) == FLIGHT_LEADS &&
	    fetch_start(x, waiter.flight, true) < 0)
		flight_abandon(waiter.flight);
	flight_leave(&waiter);
}

/* A 304 has just said so, of it or of another part of it. */
static bool
is_validated(const struct exchange *x, const struct cache_decision *d)
{
	const struct cache_stored *c = &x->stored[d->chosen], *s;

	for (unsigned i = 0; i < x->found.count; i++) {
		s = &x->stored[i];
		if (x->found.records[i].id != x->validated)
			continue;
		return (int)i == d->chosen ||
		       (bytes_eq(s->variant, c->variant) &&
			   cache_same_representation(
			       &s->meta, s->body_size, &c->meta, c->body_size));
	}
	return false;
}

static void
make_decision(struct exchange *x, struct cache_decision *d)
{
	cache_decide(&x->request, x->stored, x->found.count, worker_now(x->w),
	    &x->policy, &x->arena, d);
	if (x->validated != 0 && d->action == CACHE_REVALIDATE &&
	    d->chosen >= 0 && is_validated(x, d))
		cache_decide_validated(d);
}

static enum step
decide(struct exchange *x)
{
	struct cache_decision *d = &x->decision;

	make_decision(x, d);
	x->note_status = (struct cache_status){
	    .fwd = cache_why_token(d->why),
	    .detail = d->detail,
	};
	switch (d->action) {
	case CACHE_SEND:
		if (d->background)
			revalidate_in_background(x);
		return STEP_OPEN;
	case CACHE_COMPLETE:
		return STEP_OPEN;
	case CACHE_REFUSE:
		x->note_status.fwd = NULL; /* it was not forwarded */
		return answer_own(x, 504, "only-if-cached",
		    "The request asks for a stored answer only, and there is "
		    "none that fits.");
	case CACHE_REVALIDATE:
	case CACHE_FETCH:
	case CACHE_PART:
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
	x->recoded = 0;
	x->stored_id = 0;
	source_close(&x->source);
	flight_leave(&x->waiter);
	/* But for an interim head of which a part is out. */
	x->before_count = x->interim_begun ? 1 : 0;
	/* Nor is a chunk begun whose head is not out. */
	x->chunk_begun = x->last_written = false;
	x->chunk_left = 0;
	x->form = bytes_of(NULL, 0);
	x->meta = NULL;
	x->answered = false;
	x->range_judged = false;
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

	if (x->decision.cover != NULL)
		return cover_open(x);
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
	x->stored_id = x->found.records[x->decision.chosen].id;
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
/* What is to be completed may have other gaps by now. */
static bool
same_gaps(const struct cache_cover *a, const struct cache_cover *b)
{
	if (a->count != b->count || a->gaps != b->gaps)
		return false;
	for (unsigned i = 0; i < a->count; i++)
		if (a->pieces[i].from != b->pieces[i].from ||
		    (a->pieces[i].at < 0) != (b->pieces[i].at < 0))
			return false;
	return true;
}

bool
exchange_is_there_after_all(struct exchange *x)
{
	enum cache_action action = x->decision.action;
	struct cache_decision d;
	uint64_t id = 0;

	if (action == CACHE_COMPLETE)
		id = x->found.records[x->decision.chosen].id;
	exchange_look_up(x);
	make_decision(x, &d);
	if (d.action == CACHE_SEND)
		return true;
	if (d.action != action &&
	    (action == CACHE_PART || action == CACHE_COMPLETE ||
		d.action == CACHE_PART || d.action == CACHE_COMPLETE))
		return true;
	/* Its head is the one that the gap's answer will be joined with. */
	if (action == CACHE_COMPLETE &&
	    (!same_gaps(d.cover, x->decision.cover) ||
		x->found.records[d.chosen].id != id))
		return true;
	x->decision = d;
	return false;
}

struct flight_wish
exchange_wish(struct exchange *x)
{
	const struct cache_control *control = &x->request.control;

	return (struct flight_wish){
	    .request = &x->request,
	    .policy = &x->policy,
	    .now = worker_now(x->w),
	    /* Then an answer that is on its way already will not do. */
	    .newest = !x->policy.ignore_reload &&
		      (control->no_cache || control->max_age == 0),
	    .scratch = &x->arena,
	};
}

static enum step
fill(struct exchange *x)
{
	struct flights *table = proxy_flights(x->w->proxy);
	struct flight_wish wish = exchange_wish(x);
	bool own = x->decision.action == CACHE_PASS ||
		   x->head.method != HTTP_GET || x->request.authorized ||
		   (x->request.conditional && x->found.count == 0);
	bool alone = own || x->alone ||
		     flight_is_private(table, x->key, worker_now(x->w));
	int role;

	if (x->decision.action == CACHE_PART ||
	    x->decision.action == CACHE_COMPLETE)
		return cover_fill(x);
	wish.alone = alone;
	role = flight_join(table, x->key, &wish, &x->waiter);
	if (role < 0)
		return answer_own(
		    x, 503, "no-memory", "There is no memory left.");
	x->leads = role == FLIGHT_LEADS;
	if (!x->leads)
		return STEP_AWAIT;
	if (!alone && exchange_is_there_after_all(x)) {
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
	const struct cache_cover *cover = x->decision.cover;

	/* Nor is less than what is wanted a help. */
	if (x->answered || (cover != NULL && cover->gaps > 0))
		return false;
	if (chosen >= 0 && cover == NULL &&
	    cache_is_part(&x->stored[chosen].meta))
		return false;
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

	s->fwd_status = r->kind == FLIGHT_REFRESHED ? 304
			: cache_is_part(&r->meta)   ? 206
						    : r->status;
	s->stored = r->stored && r->kind == FLIGHT_RESPONSE && x->leads;
	s->collapsed = !x->leads;
	s->has_ttl = r->stored;
	s->ttl = cache_ttl(&r->meta, worker_now(x->w));
}

void
exchange_note_result(struct exchange *x, const struct flight_result *r)
{
	memcpy(x->peer, r->peer, sizeof(x->peer));
	x->result = result_of(x, r);
	note_forwarded(x, r);
}

/* Of the others nothing was asked. */
static enum step
use_validated_part(struct exchange *x, const struct flight_result *r)
{
	x->validated = r->id;
	memcpy(x->peer, r->peer, sizeof(x->peer));
	return exchange_look_again(x);
}

enum step
exchange_use_result(struct exchange *x, const struct flight_result *r)
{
	bool part = cache_is_part(&r->meta);

	if (part && r->kind == FLIGHT_REFRESHED)
		return use_validated_part(x, r);
	/* What is for this request alone is what the origin makes of it. */
	if (x->decision.action == CACHE_PART && !r->shared)
		x->decision.action = CACHE_PASS;
	/* Not if it turned into a window, and its beginning has passed. */
	if ((part ? cover_of_result(x, r)
		  : source_open(&x->source, x->w->view, r->blob, mailbox_post,
			&x->note)) != 0)
		return exchange_look_again(x);
	x->form = x->leads && r->own_form.p != NULL ? r->own_form : r->form;
	x->meta = &r->meta;
	x->status = r->status;
	x->length = r->length;
	x->from_store = r->kind == FLIGHT_REFRESHED;
	exchange_note_result(x, r);
	return STEP_ANSWER;
}

/* What was to follow does not come. */
static enum step
break_off(struct exchange *x)
{
	x->broken = true;
	x->aborted = true;
	return STEP_RECORD;
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
		if (x->answered)
			return break_off(x);
		if (r->status == 0)
			return exchange_look_again(x);
		x->note_status.fwd_status = 0;
		if (r->status == 403)
			x->result = RESULT_DENIED;
		return answer_own(x, r->status, r->detail, r->text.p);
	}
	if (does_not_fit(x, r)) {
		x->alone |= !r->shared;
		return x->answered ? break_off(x) : exchange_look_again(x);
	}
	return source_is_open(&x->source) ? cover_use(x, r)
					  : exchange_use_result(x, r);
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
	    .pace = pace_begin(w->conf->idle_timeout),
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
