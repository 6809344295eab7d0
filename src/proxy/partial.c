/*
 * Ranges of what is stored, or growing with a known length.
 */
#include <sys/random.h>

#include "http/range.h"
#include "larder/check.h"
#include "proxy/partial.h"

/* "larder-" and 24 hexadecimal digits: nobody can know it before. */
#define BOUNDARY_RANDOM 12
#define BOUNDARY_SIZE	(7 + 2 * BOUNDARY_RANDOM + 1)

/* The form's fields, without its status line. */
static struct bytes
fields_of(struct bytes form)
{
	const char *end = memchr(form.p, '\n', form.n);

	return end ? bytes_skip(form, (size_t)(end - form.p) + 1)
		   : bytes_of(NULL, 0);
}

static void
write_extent(struct http_out *out, struct http_range r, uint64_t length)
{
	http_out_str(out, "Content-Range: bytes ");
	http_out_u64(out, r.from);
	http_out_str(out, "-");
	http_out_u64(out, r.to - 1);
	http_out_str(out, "/");
	http_out_u64(out, length);
	http_out_str(out, "\r\n");
}

/* ---- none --------------------------------------------------------------- */

/* Of the representation, which is not sent; and how long it may be kept: a
 * cache that knows nothing of ranges would keep the 416 for so long. */
static bool
is_of_the_whole(enum http_field_id id)
{
	return id == HTTP_F_CACHE_CONTROL || id == HTTP_F_CDN_CACHE_CONTROL ||
	       id == HTTP_F_EXPIRES || id == HTTP_F_LAST_MODIFIED ||
	       id == HTTP_F_CONTENT_TYPE || id == HTTP_F_CONTENT_ENCODING ||
	       id == HTTP_F_CONTENT_LOCATION || id == HTTP_F_SET_COOKIE;
}

static bool
not_satisfiable(struct exchange *x, struct http_out *out, struct bytes *fields)
{
	struct http_head form;
	struct http_out kept;

	http_out_init(&kept, &x->arena, x->form.n);
	if (cache_head_parse(x->form, &x->arena, &form) < 0)
		return false;
	http_each_field (f, &form)
		if (!is_of_the_whole(f->id))
			http_out_field(&kept, f->name, f->value);
	*fields = http_out_done(&kept);
	if (fields->p == NULL)
		return false;
	http_out_str(out, "Content-Range: bytes */");
	http_out_u64(out, x->length);
	http_out_str(out, "\r\n");
	x->status = 416;
	x->length = 0;
	return true;
}

/* ---- one ---------------------------------------------------------------- */

static bool
single(struct exchange *x, struct http_range r, struct http_out *out,
    struct bytes *fields)
{
	if (source_range(&x->source, r.from, r.to, &x->arena) < 0)
		return false;
	write_extent(out, r, x->length);
	*fields = fields_of(x->form);
	x->status = 206;
	x->length = r.to - r.from;
	return true;
}

/* ---- several ------------------------------------------------------------ */

struct parts {
	struct exchange *x;
	const struct http_ranges *ranges;
	struct bytes type; /* Content-Type of the whole; p NULL: it has none */
	struct source_item items[2 * HTTP_RANGES_MAX + 1];
	unsigned count;
	uint64_t length; /* of all of it */
	char boundary[BOUNDARY_SIZE];
};

static bool
ascending(const struct http_ranges *ranges)
{
	for (unsigned i = 1; i < ranges->count; i++)
		if (ranges->range[i].from < ranges->range[i - 1].from)
			return false;
	return true;
}

static bool
choose_boundary(char *boundary)
{
	unsigned char random[BOUNDARY_RANDOM];

	if (getrandom(random, sizeof(random), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(random))
		return false;
	memcpy(boundary, "larder-", 7);
	for (size_t i = 0; i < sizeof(random); i++) {
		boundary[7 + 2 * i] = "0123456789abcdef"[random[i] >> 4];
		boundary[8 + 2 * i] = "0123456789abcdef"[random[i] & 15];
	}
	boundary[BOUNDARY_SIZE - 1] = '\0';
	return true;
}

static bool
add_text(struct parts *p, struct http_out *out)
{
	struct bytes text = http_out_done(out);

	if (text.p == NULL)
		return false;
	p->items[p->count++] = (struct source_item){.text = text};
	p->length += text.n;
	return true;
}

static bool
add_part(struct parts *p, struct http_range r)
{
	struct http_out out;

	http_out_init(&out, &p->x->arena, 160 + p->type.n);
	http_out_str(&out, p->count > 0 ? "\r\n--" : "--");
	http_out_str(&out, p->boundary);
	http_out_str(&out, "\r\n");
	if (p->type.p != NULL)
		http_out_field(&out, BYTES("Content-Type"), p->type);
	write_extent(&out, r, p->x->length);
	http_out_str(&out, "\r\n");
	if (!add_text(p, &out))
		return false;
	p->items[p->count++] = (struct source_item){.from = r.from, .to = r.to};
	p->length += r.to - r.from;
	return true;
}

static bool
add_end(struct parts *p)
{
	struct http_out out;

	http_out_init(&out, &p->x->arena, 48);
	http_out_str(&out, "\r\n--");
	http_out_str(&out, p->boundary);
	http_out_str(&out, "--\r\n");
	return add_text(p, &out);
}

/* All but what is now of the single parts. */
static bool
other_fields(
    struct parts *p, const struct http_head *form, struct bytes *fields)
{
	struct http_out out;

	http_out_init(&out, &p->x->arena, p->x->form.n);
	http_each_field (f, form)
		if (f->id != HTTP_F_CONTENT_TYPE)
			http_out_field(&out, f->name, f->value);
	*fields = http_out_done(&out);
	return fields->p != NULL;
}

/* 15.3.7.2. False, and nothing has changed, where the whole costs no more, or
 * the bytes do not come in the order that is wanted. */
static bool
several(struct exchange *x, const struct http_ranges *ranges,
    struct http_out *out, struct bytes *fields)
{
	struct parts p = {.x = x, .ranges = ranges};
	struct source_item *items;
	struct http_head form;

	if ((!ascending(ranges) && !source_goes_back(&x->source)) ||
	    !choose_boundary(p.boundary) ||
	    cache_head_parse(x->form, &x->arena, &form) < 0)
		return false;
	p.type = http_value(&form, HTTP_F_CONTENT_TYPE);
	for (unsigned i = 0; i < ranges->count; i++)
		if (!add_part(&p, ranges->range[i]))
			return false;
	/* Of what is not all there, the whole would cost more than that. */
	if (!add_end(&p) ||
	    (p.length >= x->length && !source_has_gaps(&x->source)) ||
	    !other_fields(&p, &form, fields))
		return false;
	items = arena_alloc(&x->arena, p.count * sizeof(*items));
	if (items == NULL)
		return false;
	memcpy(items, p.items, p.count * sizeof(*items));
	source_plan(&x->source, items, p.count);
	http_out_str(out, "Content-Type: multipart/byteranges; boundary=");
	http_out_str(out, p.boundary);
	http_out_str(out, "\r\n");
	x->status = 206;
	x->length = p.length;
	return true;
}

bool
partial_answer(struct exchange *x, struct http_out *out, struct bytes *fields)
{
	struct http_ranges ranges;
	enum http_range_verdict verdict;

	if (x->status != 200 || x->head.method != HTTP_GET ||
	    !x->request.ranged || x->decision.action == CACHE_PASS ||
	    x->length == STORE_UNKNOWN)
		return false;
	if (!x->range_judged &&
	    !cache_if_range(&x->head, x->meta->etag, x->meta->last_modified,
		x->meta->date, worker_now(x->w)))
		return false;
	verdict = http_range_resolve(
	    http_value(&x->head, HTTP_F_RANGE), x->length, &ranges);
	if (verdict == HTTP_RANGE_IGNORE)
		return false;
	if (verdict == HTTP_RANGE_NONE)
		return not_satisfiable(x, out, fields);
	if (ranges.count == 1)
		return single(x, ranges.range[0], out, fields);
	return several(x, &ranges, out, fields);
}
