/*
 * Answers that are made of parts: what is stored of a representation is sent
 * as it is, and what is missing is fetched, one gap after the other.
 *
 *   OPEN ── nothing is missing ──> ANSWER ──> DELIVER
 *     └── FILL ── AWAIT ── the first gap's head ──> ANSWER ──> DELIVER
 *          ^                                                     │
 *          └──────────────── the next gap is reached ────────────┘
 *
 * What always holds
 *   - No head goes out before the first gap is known to be of the same
 *     representation; so what has changed meanwhile is seen in time, mostly.
 *   - What comes for a gap later and is of another representation ends the
 *     transfer: bytes of two are never mixed.
 */
#include "larder/check.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"

/* A range is waited for in a transfer of the whole if its first byte is at
 * most this far from what has come. */
#define NEAR (1024u * 1024)

_Static_assert(CACHE_CANDIDATES_MAX == STORE_VARIANTS_MAX,
    "all that stands under a key may be a part");

/* ---- OPEN ------------------------------------------------------------- */

static int
open_record(struct exchange *x, int at, struct blob **out)
{
	return store_open_blob(x->w->view, &x->found.records[at], out);
}

/* The newest part's head speaks for all of them (RFC 9111 3.4). It is copied,
 * since its reader gives way to those of the parts. */
static int
read_head(struct exchange *x)
{
	struct blob *blob = NULL;
	struct bytes head;
	int err = 0;

	if (!source_is_open(&x->source)) {
		err = open_record(x, x->decision.chosen, &blob);
		if (err == 0)
			err = source_open(&x->source, x->w->view, blob,
			    mailbox_post, &x->note);
		blob_unref(&blob);
	}
	if (err == 0)
		err = source_head(&x->source, &head);
	if (err != 0)
		return err;
	x->form = arena_copy(&x->arena, head);
	source_close(&x->source);
	return x->form.p == NULL ? LARDER_NOMEM : 0;
}

static void
let_go(struct source_span *spans, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		blob_unref(&spans[i].blob);
}

static int
open_spans(struct exchange *x)
{
	const struct cache_cover *c = x->decision.cover;
	struct source_span *spans;
	int err = 0;

	/* HEAD, what the client has, or a range that does not exist. */
	if (c->count == 0)
		return 0;
	spans = arena_zalloc(&x->arena, c->count * sizeof(*spans));
	if (spans == NULL)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < c->count && err == 0; i++) {
		const struct cache_piece *p = &c->pieces[i];

		spans[i].from = p->from;
		spans[i].to = p->to;
		if (p->at < 0)
			continue;
		spans[i].at = p->from - x->stored[p->at].meta.part.from;
		err = open_record(x, p->at, &spans[i].blob);
		if (err == 0 && p->at != x->decision.chosen)
			store_touch(x->w->view, &x->found.records[p->at]);
	}
	if (err != 0) {
		let_go(spans, c->count);
		return err;
	}
	err = source_spans(&x->source, x->w->view, spans, c->count,
	    mailbox_post, &x->note, &x->arena);
	if (err != 0)
		source_close(&x->source);
	return err;
}

static void
note_stored(struct exchange *x)
{
	struct cache_status *s = &x->note_status;

	x->result = RESULT_HIT;
	s->has_ttl = true;
	s->ttl = x->decision.ttl;
	/* RFC 9211 2.2: one that stands in for an answer was forwarded. */
	s->hit = x->validated == 0 && !x->stale_stands_in;
	if (s->hit)
		s->fwd = NULL;
	if (x->validated == 0)
		return;
	x->result = RESULT_REFRESH_UNMODIFIED;
	s->fwd = cache_why_token(CACHE_WHY_STALE);
	s->fwd_status = 304;
}

enum step
cover_open(struct exchange *x)
{
	const struct cache_stored *s = &x->stored[x->decision.chosen];
	int err = read_head(x);

	if (err == LARDER_AGAIN)
		return STEP_WAIT;
	if (err == 0)
		err = open_spans(x);
	if (err != 0)
		return exchange_look_again(x);
	store_touch(x->w->view, &x->found.records[x->decision.chosen]);
	x->meta = &s->meta;
	x->status = s->meta.status;
	x->length = s->body_size;
	x->from_store = x->decision.cover->gaps == 0;
	if (!x->from_store)
		return STEP_FILL;
	note_stored(x);
	return STEP_ANSWER;
}

/* ---- FILL ------------------------------------------------------------- */

static struct source_span *
first_gap(struct source *s)
{
	for (unsigned i = 0; i < s->span_count; i++)
		if (s->spans[i].blob == NULL)
			return &s->spans[i];
	return NULL;
}

/* What the origin is asked for: the client's own range, or the gap; to the end
 * in the open form. */
static void
set_asks(struct exchange *x)
{
	const struct source_span *gap = first_gap(&x->source);

	if (gap == NULL) {
		x->asks = x->request.range;
		return;
	}
	x->asks = (struct http_range_spec){.first = gap->from,
	    .last =
		gap->to == x->meta->part.complete ? UINT64_MAX : gap->to - 1};
}

/* Of a cold object the origin evaluates what the client says of its copy: that
 * answer is for who asked so. */
static bool
goes_alone(struct exchange *x)
{
	return x->request.authorized || x->alone ||
	       (x->decision.action == CACHE_PART &&
		   http_has(&x->head, HTTP_F_IF_RANGE)) ||
	       flight_is_private(
		   proxy_flights(x->w->proxy), x->key, worker_now(x->w));
}

static void
leave_flight(struct exchange *x)
{
	if (x->fetch != NULL)
		fetch_leader_left(x->fetch);
	flight_leave(&x->waiter);
}

static enum step
give_up(struct exchange *x)
{
	if (x->waiter.flight != NULL)
		flight_abandon(x->waiter.flight);
	flight_leave(&x->waiter);
	if (!x->answered)
		return answer_own(
		    x, 503, "no-memory", "There is no memory left.");
	x->broken = true;
	x->aborted = true;
	return STEP_RECORD;
}

enum step
cover_fill(struct exchange *x)
{
	struct flights *table = proxy_flights(x->w->proxy);
	struct flight_wish wish = exchange_wish(x);
	bool alone = goes_alone(x);
	int role;

	leave_flight(x);
	set_asks(x);
	x->leads = false;
	wish.part = &x->asks;
	wish.alone = alone;
	if (!x->answered && !alone && !wish.newest &&
	    flight_follow_whole(table, x->key, &wish, NEAR, &x->waiter))
		return STEP_AWAIT;
	role = flight_join(table, x->key, &wish, &x->waiter);
	if (role < 0)
		return give_up(x);
	x->leads = role == FLIGHT_LEADS;
	if (!x->leads)
		return STEP_AWAIT;
	if (!alone && !x->answered && exchange_is_there_after_all(x)) {
		flight_abandon(x->waiter.flight);
		flight_leave(&x->waiter);
		source_close(&x->source);
		return STEP_DECIDE;
	}
	if (fetch_start(x, x->waiter.flight, false) < 0)
		return give_up(x);
	return STEP_AWAIT;
}

/* ---- AWAIT ------------------------------------------------------------ */

int
cover_of_result(struct exchange *x, const struct flight_result *r)
{
	struct source_span *span = arena_zalloc(&x->arena, sizeof(*span));
	int err;

	if (span == NULL)
		return LARDER_NOMEM;
	*span = (struct source_span){
	    r->meta.part.from, r->meta.part.to, blob_ref(r->blob), 0};
	err = source_spans(
	    &x->source, x->w->view, span, 1, mailbox_post, &x->note, &x->arena);
	x->range_judged = true;
	return err;
}

/* Does it fill the gap, with bytes of the same representation? */
static bool
fills(const struct exchange *x, const struct source_span *gap,
    const struct flight_result *r)
{
	const struct cache_extent *part = &r->meta.part;

	return gap != NULL && cache_is_part(&r->meta) &&
	       part->from <= gap->from && part->to >= gap->to &&
	       cache_same_representation(
		   &r->meta, part->complete, x->meta, x->meta->part.complete);
}

/* What is new speaks for all that it joins (RFC 9111 3.4). It is copied, since
 * its flight is left for that of the next gap. */
static int
take_head(struct exchange *x, const struct flight_result *r)
{
	struct cache_meta *meta = arena_alloc(&x->arena, sizeof(*meta));
	struct bytes form = arena_copy(&x->arena, r->form);

	if (meta == NULL || form.p == NULL)
		return LARDER_NOMEM;
	*meta = r->meta;
	meta->etag = arena_copy(&x->arena, r->meta.etag);
	meta->last_modified_text =
	    arena_copy(&x->arena, r->meta.last_modified_text);
	if (meta->etag.p == NULL || meta->last_modified_text.p == NULL)
		return LARDER_NOMEM;
	x->form = form;
	x->meta = meta;
	return 0;
}

enum step
cover_use(struct exchange *x, const struct flight_result *r)
{
	struct source_span *gap = first_gap(&x->source);

	if (fills(x, gap, r)) {
		gap->blob = blob_ref(r->blob);
		gap->at = gap->from - r->meta.part.from;
		if (x->answered)
			return STEP_DELIVER;
		exchange_note_result(x, r);
		if (take_head(x, r) != 0)
			return answer_own(
			    x, 503, "no-memory", "There is no memory left.");
		return STEP_ANSWER;
	}
	if (x->answered) {
		x->broken = true;
		x->aborted = true;
		return STEP_RECORD;
	}
	source_close(&x->source);
	/* The whole, anew; what is a part, but not this one, does not help. */
	if (cache_is_part(&r->meta)) {
		x->alone = true;
		return exchange_look_again(x);
	}
	return exchange_use_result(x, r);
}
