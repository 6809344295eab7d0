/*
 * Byte ranges (RFC 9110 14.1.2, 14.2, 14.4). Numbers beyond 64 bits saturate:
 * they mean "behind any end".
 */
#include "http/range.h"

#include "http/chars.h"
#include "http/list.h"

/* 1*DIGIT, saturating. */
static bool
number(struct bytes b, uint64_t *out)
{
	uint64_t value = 0;

	if (!http_is_number(b))
		return false;
	for (size_t i = 0; i < b.n; i++) {
		uint64_t digit = (uint64_t)(b.p[i] - '0');

		value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX
							  : value * 10 + digit;
	}
	*out = value;
	return true;
}

/* first-pos "-" [ last-pos ], or "-" suffix-length */
static bool
range_spec(struct bytes b, struct http_range_spec *out)
{
	size_t n = http_span(b, HTTP_C_DIGIT);
	struct bytes first = {b.p, n}, last;

	if (n == b.n || b.p[n] != '-')
		return false;
	last = bytes_skip(b, n + 1);
	out->suffix = n == 0;
	out->last = UINT64_MAX;
	if (out->suffix)
		return number(last, &out->first);
	if (!number(first, &out->first))
		return false;
	return last.n == 0 ||
	       (number(last, &out->last) && out->first <= out->last);
}

/* Takes "bytes=" off; units are case-insensitive (14.1). */
static bool
bytes_unit(struct bytes *value)
{
	const struct bytes unit = BYTES("bytes=");

	if (value->n < unit.n ||
	    !bytes_ieq((struct bytes){value->p, unit.n}, unit))
		return false;
	*value = bytes_skip(*value, unit.n);
	return true;
}

bool
http_range_single(struct bytes value, struct http_range_spec *out)
{
	struct bytes element, more;

	return bytes_unit(&value) && http_list_split(&value, &element) &&
	       range_spec(element, out) && !http_list_split(&value, &more);
}

/* False: not satisfiable (14.1.2). */
static bool
resolve(
    const struct http_range_spec *spec, uint64_t length, struct http_range *out)
{
	if (spec->suffix) {
		if (spec->first == 0)
			return false;
		out->from = spec->first < length ? length - spec->first : 0;
		out->to = length;
		return true;
	}
	if (spec->first >= length)
		return false;
	out->from = spec->first;
	out->to = spec->last < length ? spec->last + 1 : length;
	return true;
}

/* Ranges asked for that are looked at; more are absurd. */
#define ASKED_MAX 64

struct gathered {
	unsigned count;
	struct http_range range[ASKED_MAX];
};

/* What overlaps or is adjacent becomes one (15.3.7.2), in the place of the
 * first of them; so no byte is sent twice, and 14.2's many small ranges cost
 * what they hold. */
static void
gather(struct gathered *g, struct http_range r)
{
	unsigned at = g->count, kept = 0;

	for (unsigned i = 0; i < g->count; i++) {
		struct http_range o = g->range[i];

		if (o.from > r.to || r.from > o.to) {
			g->range[kept++] = o;
			continue;
		}
		if (at == g->count)
			at = kept++;
		r.from = o.from < r.from ? o.from : r.from;
		r.to = o.to > r.to ? o.to : r.to;
	}
	if (at == g->count) {
		g->range[g->count++] = r;
		return;
	}
	g->range[at] = r;
	g->count = kept;
}

enum http_range_verdict
http_range_resolve(struct bytes value, uint64_t length, struct http_ranges *out)
{
	struct gathered g = {0};
	struct http_range_spec spec;
	struct http_range range;
	struct bytes element;
	unsigned asked = 0;

	out->count = 0;
	if (!bytes_unit(&value))
		return HTTP_RANGE_IGNORE;
	while (http_list_split(&value, &element)) {
		if (++asked > ASKED_MAX || !range_spec(element, &spec))
			return HTTP_RANGE_IGNORE;
		/* Of nothing, a suffix is all; a 206 could not say so. */
		if (length == 0 && spec.suffix && spec.first > 0)
			return HTTP_RANGE_IGNORE;
		if (resolve(&spec, length, &range))
			gather(&g, range);
	}
	if (asked == 0 || g.count > HTTP_RANGES_MAX)
		return HTTP_RANGE_IGNORE;
	memcpy(out->range, g.range, g.count * sizeof(*out->range));
	out->count = g.count;
	return g.count > 0 ? HTTP_RANGE_PARTS : HTTP_RANGE_NONE;
}

int
http_content_range(struct bytes value, struct http_range *out, uint64_t *length)
{
	const struct bytes unit = BYTES("bytes ");
	struct http_range_spec spec;
	const char *slash;
	struct bytes range, complete;

	if (value.n < unit.n ||
	    !bytes_ieq((struct bytes){value.p, unit.n}, unit))
		return LARDER_INVALID;
	value = bytes_skip(value, unit.n);
	slash = value.n ? memchr(value.p, '/', value.n) : NULL;
	if (slash == NULL)
		return LARDER_INVALID;
	range = (struct bytes){value.p, (size_t)(slash - value.p)};
	complete = bytes_skip(value, range.n + 1);
	if (!range_spec(range, &spec) || spec.suffix || spec.last >= INT64_MAX)
		return LARDER_INVALID;
	if (bytes_eq(complete, BYTES("*")))
		*length = UINT64_MAX;
	else if (!bytes_decimal(complete, INT64_MAX, length) ||
		 spec.last >= *length)
		return LARDER_INVALID;
	*out = (struct http_range){spec.first, spec.last + 1};
	return 0;
}
