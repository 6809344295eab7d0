/*
 * What parts there are, and how they join.
 */
#include "cache/parts.h"

#include <limits.h>

#include "cache/decide.h"
#include "cache/etag.h"
#include "http/date.h"
#include "http/forward.h"

/* ---- as stored ---------------------------------------------------------- */

/*
 * A part's variant: "\1from-to/complete \0validator\n", then the selecting
 * fields. No list of those begins with a control.
 */
#define PART_MARK '\1'

struct bytes
cache_part_variant(
    const struct cache_meta *m, struct bytes variant, struct arena *arena)
{
	char date[HTTP_DATE_SIZE];
	struct bytes validator =
	    m->etag.n > 0 ? m->etag : cache_last_modified(m, date);
	struct http_out out;

	http_out_init(&out, arena, 80 + validator.n + variant.n);
	http_out_bytes(&out, BYTES("\1"));
	http_out_u64(&out, m->part.from);
	http_out_str(&out, "-");
	http_out_u64(&out, m->part.to);
	http_out_str(&out, "/");
	http_out_u64(&out, m->part.complete);
	http_out_str(&out, " ");
	http_out_bytes(&out, validator);
	http_out_str(&out, "\n");
	http_out_bytes(&out, variant);
	return http_out_done(&out);
}

struct bytes
cache_selecting(struct bytes variant)
{
	const char *end;

	if (variant.n == 0 || variant.p[0] != PART_MARK)
		return variant;
	end = memchr(variant.p, '\n', variant.n);
	return end ? bytes_skip(variant, (size_t)(end - variant.p) + 1)
		   : variant;
}

int
cache_stored_decode(struct bytes meta, struct bytes variant, uint64_t body_size,
    struct cache_stored *out)
{
	const struct cache_extent *part = &out->meta.part;
	bool is_part = variant.n > 0 && variant.p[0] == PART_MARK;

	*out = (struct cache_stored){.body_size = body_size};
	out->variant = cache_selecting(variant);
	if (cache_meta_decode(meta, &out->meta) == 0 &&
	    cache_is_part(&out->meta) == is_part &&
	    (!is_part || part->to - part->from == body_size)) {
		if (is_part)
			out->body_size = part->complete;
		return 0;
	}
	out->meta = (struct cache_meta){.flags = CACHE_INVALID_FRESHNESS};
	/* Matches no request. */
	if (is_part)
		out->variant = variant;
	return LARDER_DAMAGED;
}

/* ---- whose they are ----------------------------------------------------- */

bool
cache_is_strong(const struct cache_meta *m)
{
	if (m->etag.n > 0)
		return cache_etag_valid(m->etag) &&
		       !cache_etag_is_weak(m->etag);
	return m->last_modified != HTTP_DATE_INVALID &&
	       m->last_modified < m->date;
}

bool
cache_same_representation(const struct cache_meta *a, uint64_t a_size,
    const struct cache_meta *b, uint64_t b_size)
{
	if (a_size != b_size || a->status != b->status || !cache_is_strong(a) ||
	    !cache_is_strong(b))
		return false;
	if (a->etag.n > 0 || b->etag.n > 0)
		return bytes_eq(a->etag, b->etag);
	return a->last_modified == b->last_modified;
}

/* ---- a 206 -------------------------------------------------------------- */

static bool
is_asked(const struct http_range_spec *asked, const struct cache_extent *e)
{
	uint64_t from = asked->first, to = e->complete;

	if (asked->suffix)
		from =
		    asked->first < e->complete ? e->complete - asked->first : 0;
	else if (asked->last < e->complete)
		to = asked->last + 1;
	return e->from == from && e->to == to;
}

int
cache_part_extent(const struct http_range_spec *asked,
    const struct http_head *response, struct cache_extent *out)
{
	struct bytes length = http_value(response, HTTP_F_CONTENT_LENGTH);
	struct http_range range;
	uint64_t complete, n;

	if (response->status != 206 ||
	    http_count(response, HTTP_F_CONTENT_RANGE) != 1 ||
	    http_content_range(http_value(response, HTTP_F_CONTENT_RANGE),
		&range, &complete) < 0 ||
	    complete > INT64_MAX)
		return LARDER_INVALID;
	if (length.p != NULL && (!bytes_decimal(length, INT64_MAX, &n) ||
				    n != range.to - range.from))
		return LARDER_INVALID;
	*out = (struct cache_extent){range.from, range.to, complete};
	return is_asked(asked, out) ? 0 : LARDER_INVALID;
}

int
cache_part_head(const struct http_head *response, struct arena *arena,
    struct http_head *out)
{
	*out = *response;
	out->status = 200;
	out->reason = BYTES("OK");
	out->count = 0;
	out->present = 0;
	out->fields =
	    arena_alloc(arena, (response->count + 1) * sizeof(*out->fields));
	if (out->fields == NULL)
		return LARDER_NOMEM;
	http_each_field (f, response) {
		if (f->id == HTTP_F_CONTENT_RANGE ||
		    f->id == HTTP_F_CONTENT_LENGTH)
			continue;
		if (f->id < HTTP_F_OTHER)
			out->present |= UINT64_C(1) << f->id;
		out->fields[out->count++] = *f;
	}
	return 0;
}

/* ---- joined ------------------------------------------------------------- */

static struct http_range
extent_of(const struct cache_stored *s)
{
	if (!cache_is_part(&s->meta))
		return (struct http_range){0, s->body_size};
	return (struct http_range){s->meta.part.from, s->meta.part.to};
}

static bool
joins(const struct cache_stored *stored, unsigned i, int chosen)
{
	const struct cache_stored *s = &stored[i], *c = &stored[chosen];

	return (int)i == chosen ||
	       (bytes_eq(s->variant, c->variant) &&
		   cache_same_representation(
		       &s->meta, s->body_size, &c->meta, c->body_size));
}

/* The piece that begins at `from`: what reaches farthest, or a gap. */
static struct cache_piece
next_piece(const struct cache_stored *stored, unsigned count, int chosen,
    uint64_t from, uint64_t to)
{
	struct cache_piece best = {from, from, -1}, gap = {from, to, -1};

	for (unsigned i = 0; i < count; i++) {
		struct http_range r = extent_of(&stored[i]);

		if (!joins(stored, i, chosen) || r.to <= from)
			continue;
		if (r.from > from) {
			if (r.from < gap.to)
				gap.to = r.from;
		} else if (r.to > best.to) {
			best.to = r.to < to ? r.to : to;
			best.at = (int)i;
			/* What is further is as good. */
			if (best.to == to)
				break;
		}
	}
	return best.at >= 0 ? best : gap;
}

/* All between the first gap and the last is one. */
static void
merge_gaps(struct cache_cover *c)
{
	unsigned first = 0, last = 0, rest;

	while (c->pieces[first].at >= 0)
		first++;
	for (unsigned i = first; i < c->count; i++)
		if (c->pieces[i].at < 0)
			last = i;
	rest = c->count - last - 1;
	c->pieces[first].to = c->pieces[last].to;
	memmove(&c->pieces[first + 1], &c->pieces[last + 1],
	    rest * sizeof(c->pieces[0]));
	c->count = first + 1 + rest;
	c->gaps = 1;
}

void
cache_cover(const struct cache_stored *stored, unsigned count, int chosen,
    uint64_t from, uint64_t to, struct cache_cover *out)
{
	if (count > CACHE_CANDIDATES_MAX)
		count = CACHE_CANDIDATES_MAX;
	out->count = out->gaps = 0;
	while (from < to) {
		struct cache_piece p =
		    next_piece(stored, count, chosen, from, to);

		out->pieces[out->count++] = p;
		out->gaps += p.at < 0;
		from = p.to;
	}
	if (out->gaps > CACHE_GAPS_MAX)
		merge_gaps(out);
}

bool
cache_neighbours(const struct cache_stored *stored, unsigned count, int at,
    struct http_range *out)
{
	struct http_range r = extent_of(&stored[at]), o;
	bool any = false;

	if (count > CACHE_CANDIDATES_MAX)
		count = CACHE_CANDIDATES_MAX;
	for (unsigned i = 0; i < count; i++) {
		o = extent_of(&stored[i]);
		if ((int)i == at || !cache_is_part(&stored[i].meta) ||
		    !joins(stored, i, at) || o.to < r.from || o.from > r.to ||
		    (o.from >= r.from && o.to <= r.to) ||
		    (o.to - o.from) / 2 > r.to - r.from)
			continue;
		r.from = o.from < r.from ? o.from : r.from;
		r.to = o.to > r.to ? o.to : r.to;
		any = true;
		/* It reaches others now. */
		i = UINT_MAX;
	}
	*out = r;
	return any;
}

static bool
covers(const struct cache_cover *c, struct http_range r)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->pieces[i].at < 0 && c->pieces[i].from < r.to &&
		    r.from < c->pieces[i].to)
			return false;
	return true;
}

/* So many gaps that they have become one: there is nothing to complete. */
static bool
lacks_all(const struct cache_cover *c, uint64_t length)
{
	const struct cache_piece *p = &c->pieces[0];

	return c->count == 1 && p->at < 0 && p->from == 0 && p->to == length;
}

bool
cache_wanted_cover(const struct cache_request *request,
    const struct cache_stored *stored, unsigned count, int chosen, int64_t now,
    struct cache_cover *out)
{
	const struct cache_meta *m = &stored[chosen].meta;
	uint64_t length = stored[chosen].body_size;
	enum http_range_verdict verdict = HTTP_RANGE_IGNORE;
	struct http_ranges ranges = {0};

	out->count = out->gaps = 0;
	if (request->head->method != HTTP_GET)
		return true;
	/* The client has it: its conditions come before its range (RFC 9110
	 * 13.2.2), and no byte is wanted. */
	if (request->conditional &&
	    cache_precondition_stored(request->head, m, now) == 304)
		return true;
	if (request->ranged && cache_if_range(request->head, m->etag,
				   m->last_modified, m->date, now))
		verdict = http_range_resolve(
		    http_value(request->head, HTTP_F_RANGE), length, &ranges);
	if (verdict == HTTP_RANGE_NONE)
		return true;
	if (verdict == HTTP_RANGE_PARTS && ranges.count == 1)
		cache_cover(stored, count, chosen, ranges.range[0].from,
		    ranges.range[0].to, out);
	else
		cache_cover(stored, count, chosen, 0, length, out);
	if (ranges.count > 1) {
		for (unsigned i = 0; i < ranges.count; i++)
			if (!covers(out, ranges.range[i]))
				return false;
		out->gaps = 0;
	}
	return out->gaps == 0 ||
	       (cache_is_strong(m) && !lacks_all(out, length));
}
