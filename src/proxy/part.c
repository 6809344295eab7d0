/*
 * What a fetch for a range makes of its answer, and what becomes of stored
 * parts (RFC 9111 3.3, 3.4).
 *
 * What always holds
 *   - A part is stored, and joined with others, only if it is exactly what was
 *     asked for; anything else passes, or is asked for anew as a whole.
 *   - What is newer drops what it contradicts, and what it contains.
 */
#include "cache/etag.h"
#include "cache/validate.h"
#include "http/date.h"
#include "larder/check.h"
#include "proxy/around.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/splice.h"

/* What a body that ends short must have to be worth keeping. */
#define KEEP_MIN (64u * 1024)

/* ---- the answer to a client's own range --------------------------------- */

/* Without a strong validator it can only stand for itself while it is fresh.
 */
static bool
is_worth_storing(const struct cache_meta *m)
{
	return cache_is_strong(m) ||
	       (!(m->flags & CACHE_HEURISTIC) && m->lifetime > m->initial_age);
}

static bool
is_all(const struct cache_extent *e)
{
	return e->from == 0 && e->to == e->complete;
}

/* 206: as a part if it may be, else it is for this client alone. */
static void
on_partial(struct fetch *f)
{
	struct cache_admission admission;
	struct cache_extent extent;
	struct http_head head;
	struct bytes form;

	if (cache_part_extent(&f->part, &f->response, &extent) < 0 ||
	    cache_part_head(&f->response, &f->arena, &head) < 0 ||
	    cache_admit(&f->cache_request, &head, f->request_time,
		f->response_time, &f->policy, &f->arena, &admission) < 0 ||
	    !admission.store || !is_worth_storing(&admission.meta)) {
		reply_on_response(f);
		return;
	}
	admission.meta.part =
	    is_all(&extent) ? (struct cache_extent){0} : extent;
	form = cache_head_form(&head, true, f->response_time, &f->arena);
	reply_publish(f, &admission, form);
}

/* ---- the answer for a gap ----------------------------------------------- */

/* Is the answer of the representation that is stored? What does not say so is
 * not. */
static bool
is_of_stored(const struct fetch *f, const struct cache_extent *extent)
{
	const struct cache_stored *s = &f->stored[f->chosen];
	struct bytes etag = http_value(&f->response, HTTP_F_ETAG);

	if (extent->complete != s->body_size)
		return false;
	if (s->meta.etag.n > 0)
		return http_count(&f->response, HTTP_F_ETAG) == 1 &&
		       bytes_eq(etag, s->meta.etag);
	return etag.p == NULL &&
	       http_date_parse(http_value(&f->response, HTTP_F_LAST_MODIFIED),
		   f->response_time) == s->meta.last_modified;
}

void
part_drop(struct fetch *f)
{
	for (unsigned i = 0; i < f->stored_count; i++)
		if ((int)i == f->chosen ||
		    (cache_is_part(&f->stored[i].meta) &&
			bytes_eq(f->stored[i].variant,
			    f->stored[f->chosen].variant)))
			store_remove(
			    proxy_store(f->w->proxy), f->key, f->records[i].id);
}

static bool
fills_gap(struct fetch *f)
{
	struct cache_admission admission;
	struct cache_extent extent;
	struct bytes form;

	if (cache_part_extent(&f->part, &f->response, &extent) < 0 ||
	    !is_of_stored(f, &extent) ||
	    cache_freshen(&f->cache_request, f->stored_form,
		&f->stored[f->chosen], &f->response, f->request_time,
		f->response_time, &f->policy, &f->arena, &form, &admission) < 0)
		return false;
	/* It speaks for all of them (RFC 9111 3.4). */
	if (!admission.store)
		part_drop(f);
	admission.meta.part = extent;
	reply_publish(f, &admission, form);
	return true;
}

static void
on_gap(struct fetch *f)
{
	int status = f->response.status;

	if (status == 206 && fills_gap(f))
		return;
	/* A failing origin says nothing of what is stored. */
	if (f->begun && status >= 500) {
		fetch_fail(f, 502, "gap", "The origin failed in the middle.");
	} else if (f->begun) {
		part_drop(f);
		fetch_fail(f, 502, "changed",
		    "The origin has another representation by now.");
	} else if (status == 200 || status >= 500) {
		reply_on_response(f);
	} else {
		part_drop(f);
		/* Its body is not read. */
		f->reusable = false;
		http_body_release(&f->body);
		fetch_ask_again(f);
	}
}

void
part_on_head(struct fetch *f)
{
	if (f->action == CACHE_COMPLETE)
		on_gap(f);
	else if (f->response.status == 206)
		on_partial(f);
	else
		reply_on_response(f);
}

/* ---- what ends short ---------------------------------------------------- */

bool
part_keep(struct fetch *f)
{
	const struct flight_result *r = &f->flight->result;
	struct cache_meta meta = r->meta;
	struct bytes variant, bytes;
	uint64_t n = blob_size(f->blob, NULL), size = r->length;

	if (!r->stored || r->status != 200 || r->length == STORE_UNKNOWN ||
	    !cache_is_strong(&meta) || blob_is_window(f->blob) ||
	    flight_overtaken(f->flight))
		return false;
	if (cache_is_part(&meta))
		size = meta.part.to - meta.part.from;
	if (n < KEEP_MIN || n >= size || r->length > INT64_MAX)
		return false;
	meta.part.to = meta.part.from + n;
	meta.part.complete = r->length;
	variant = cache_part_variant(&meta, r->variant, &f->arena);
	bytes = cache_meta_encode(&meta, &f->arena);
	if (variant.p == NULL || bytes.p == NULL ||
	    blob_commit_as(f->blob, variant, bytes) < 0)
		return false;
	f->flight->kept = meta.part;
	part_tidy(f);
	return true;
}

/* ---- what it makes old -------------------------------------------------- */

static bool
is_within(const struct cache_stored *s, const struct cache_stored *in)
{
	const struct cache_extent *a = &s->meta.part, *b = &in->meta.part;

	if (!cache_is_part(&in->meta))
		return true;
	return cache_is_part(&s->meta) && a->from >= b->from && a->to <= b->to;
}

static bool
is_same(const struct cache_stored *a, const struct cache_stored *b)
{
	return cache_same_representation(
	    &a->meta, a->body_size, &b->meta, b->body_size);
}

/* mine has just been stored, s is another one with the same selecting fields;
 * *others: parts of the same representation that stay. */
static bool
must_go(const struct cache_stored *s, const struct cache_stored *mine,
    unsigned *others)
{
	if (!cache_is_part(&s->meta) && !cache_is_part(&mine->meta))
		return false;
	if (!is_same(s, mine))
		return s->meta.date <= mine->meta.date;
	if (is_within(s, mine))
		return true;
	return cache_is_part(&s->meta) && ++*others >= CACHE_PARTS_MAX;
}

static struct cache_stored
stored_as(const struct fetch *f)
{
	const struct flight_result *r = &f->flight->result;
	struct cache_stored s = {
	    .meta = r->meta, .variant = r->variant, .body_size = r->length};

	if (f->flight->kept.to > 0)
		s.meta.part = f->flight->kept;
	if (s.body_size == STORE_UNKNOWN)
		s.body_size = blob_size(f->blob, NULL);
	return s;
}

/* around_look() for what this fetch has stored. */
static bool
look_around(struct fetch *f, struct store_found *found,
    struct cache_stored **stored, struct bytes selecting)
{
	return around_look(f->w->view, f->key, selecting, &f->arena, found,
		   stored) == 0;
}

/* The variant under which the store has it. */
static struct bytes
own_variant(struct fetch *f, const struct cache_stored *mine)
{
	if (!cache_is_part(&mine->meta))
		return mine->variant;
	return cache_part_variant(&mine->meta, mine->variant, &f->arena);
}

/* This request had chosen another, and was asked anew. What came is stored
 * under other selecting fields, since Vary has changed: the other would be
 * chosen again for such requests, and hide it for ever. */
static void
drop_outdated_choice(struct fetch *f, const struct cache_stored *mine)
{
	const struct cache_stored *s = &f->stored[f->chosen];

	if (cache_is_part(&mine->meta) || cache_is_part(&s->meta) ||
	    bytes_eq(s->variant, mine->variant) ||
	    s->meta.date > mine->meta.date)
		return;
	store_remove(
	    proxy_store(f->w->proxy), f->key, f->records[f->chosen].id);
}

void
part_tidy(struct fetch *f)
{
	struct cache_stored mine = stored_as(f), *stored;
	struct bytes own = own_variant(f, &mine);
	struct store_found found;
	unsigned others = 0;

	if (f->chosen >= 0)
		drop_outdated_choice(f, &mine);
	if (own.p == NULL || !look_around(f, &found, &stored, mine.variant))
		return;
	for (unsigned i = 0; i < found.count; i++) {
		/* Itself, or what has come in its place. */
		if (bytes_eq(found.records[i].variant, own))
			continue;
		if (must_go(&stored[i], &mine, &others))
			store_remove(proxy_store(f->w->proxy), f->key,
			    found.records[i].id);
	}
	if (cache_is_part(&mine.meta))
		splice_begin(f->w, f->key, own);
}

/* ---- the rest ----------------------------------------------------------- */

/* The first gap in all of it. */
static bool
first_gap(const struct cache_stored *stored, unsigned count, int chosen,
    struct http_range_spec *out)
{
	struct cache_cover cover;
	uint64_t size = stored[chosen].body_size;

	cache_cover(stored, count, chosen, 0, size, &cover);
	for (unsigned i = 0; i < cover.count; i++) {
		const struct cache_piece *p = &cover.pieces[i];

		if (p->at >= 0)
			continue;
		*out = (struct http_range_spec){.first = p->from,
		    .last = p->to == size ? UINT64_MAX : p->to - 1};
		return true;
	}
	return false;
}

static bool
may_go_on(struct fetch *f)
{
	const struct flight_result *r = &f->flight->result;

	return f->policy.fetch_whole && r->kind == FLIGHT_RESPONSE &&
	       r->stored && cache_is_part(&r->meta) &&
	       cache_is_strong(&r->meta) && !blob_is_window(f->blob) &&
	       r->length <= f->conf->cache_max_object && !f->w->draining &&
	       !flight_overtaken(f->flight) &&
	       !flight_is_resting(proxy_flights(f->w->proxy), f->key);
}

void
part_rest(struct fetch *f)
{
	struct cache_stored mine, *stored;
	struct http_range_spec gap;
	struct store_found found;
	struct bytes own;
	int at;

	if (f->blob == NULL || !may_go_on(f))
		return;
	mine = stored_as(f);
	own = own_variant(f, &mine);
	if (own.p == NULL || !look_around(f, &found, &stored, mine.variant))
		return;
	at = around_find(&found, own);
	if (at >= 0 && first_gap(stored, found.count, at, &gap))
		(void)fetch_start_rest(f, &found, at, &gap);
}
