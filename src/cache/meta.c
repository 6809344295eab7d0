/*
 * The record's meta as bytes: it is half of what the catalog has of an object,
 * so numbers are varints (LEB128 of 64 bits, a "signed" one in zigzag), and
 * times differences.
 *
 *   u8 version: 3, or 4 with tags
 *   | u8 what is there: 1 Last-Modified, 2 its text (else it is the date as
 *     HTTP writes it), 4 an entity tag, 8 a part, 16 an age to begin with,
 *     32 stale-while-revalidate, 64 stale-if-error, 128 a status but 200
 *   | varint status, if it is not 200
 *   | varint flags | signed response_time - EPOCH
 *   | signed response_time - request_time | signed response_time - date
 *   | varint initial_age, if it is not 0 | varint lifetime
 *   | signed stale_while_revalidate, stale_if_error, each if it was given
 *   | signed response_time - last_modified
 *   | of a part: varint from, to - from, complete - to
 *   | varint length of the text, of the tags | the text | the tags
 *   | the entity tag, to the end
 *
 * Always, of a meta that decodes: no sum or difference of its times can wrap,
 * and there is no other way to write it.
 */
#include "cache/meta.h"

#include "cache/control.h"
#include "http/date.h"

#define VERSION	  3
#define TAGGED	  4
#define EPOCH	  INT64_C(1798761600) /* 2027-01-01: near it is short */
#define TEXT_MAX  UINT16_MAX
#define FLAGS_ALL 8191u
/* Beyond any date HTTP can write. */
#define TIME_MAX  (INT64_C(1) << 40)
/* A varint, and all of them together with the two bytes before. */
#define LONGEST	  10u
#define FIXED_MAX (2 + 14 * LONGEST)

enum {
	HAS_MODIFIED = 1,
	HAS_TEXT = 2,
	HAS_ETAG = 4,
	HAS_PART = 8,
	HAS_AGE = 16,
	HAS_SWR = 32,
	HAS_SIE = 64,
	HAS_STATUS = 128,
};

/* ---- numbers ------------------------------------------------------------- */

static char *
put(char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (char)(v | 0x80);
	*p++ = (char)v;
	return p;
}

static char *
put_signed(char *p, int64_t v)
{
	return put(p, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

/* Takes it off the front; *bad where there is none, or not in its shortest
 * form. */
static uint64_t
get(struct bytes *in, bool *bad)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && in->n > 0; shift += 7) {
		uint64_t byte = (unsigned char)*in->p;

		*in = bytes_skip(*in, 1);
		if ((shift == 63 && byte > 1) || (shift > 0 && byte == 0))
			break;
		v |= (byte & 0x7f) << shift;
		if (byte < 0x80)
			return v;
	}
	*bad = true;
	return 0;
}

static int64_t
get_signed(struct bytes *in, bool *bad)
{
	uint64_t v = get(in, bad);

	return (int64_t)(v >> 1 ^ (~(v & 1) + 1));
}

/* response_time less a difference. What is far off is no time: it must not
 * wrap on the way to where it is refused. */
static int64_t
get_before(struct bytes *in, int64_t response, bool *bad)
{
	int64_t v = get_signed(in, bad);

	if (v < -4 * TIME_MAX || v > 4 * TIME_MAX) {
		*bad = true;
		return 0;
	}
	return response - v;
}

/* ---- the whole ----------------------------------------------------------- */

struct bytes
cache_last_modified(const struct cache_meta *m, char buf[HTTP_DATE_SIZE])
{
	if (m->last_modified_text.n > 0 ||
	    m->last_modified == HTTP_DATE_INVALID)
		return m->last_modified_text;
	return (struct bytes){buf, http_date_format(m->last_modified, buf)};
}

/* Does the text say no more than the date does? */
static bool
is_canonical(const struct cache_meta *m)
{
	struct cache_meta bare = *m;
	char buf[HTTP_DATE_SIZE];

	bare.last_modified_text.n = 0;
	return bytes_eq(cache_last_modified(&bare, buf), m->last_modified_text);
}

static unsigned
what_is_there(const struct cache_meta *m)
{
	unsigned has = 0;

	if (m->last_modified != HTTP_DATE_INVALID) {
		has |= HAS_MODIFIED;
		/* A text that cannot be kept is the date's own. */
		if (m->last_modified_text.n > 0 &&
		    m->last_modified_text.n <= TEXT_MAX && !is_canonical(m))
			has |= HAS_TEXT;
	}
	/* A validator that cannot be kept is none. */
	if (m->etag.n > 0 && m->etag.n <= TEXT_MAX)
		has |= HAS_ETAG;
	if (cache_is_part(m))
		has |= HAS_PART;
	if (m->initial_age != 0)
		has |= HAS_AGE;
	if (m->stale_while_revalidate != CACHE_NOT_GIVEN)
		has |= HAS_SWR;
	if (m->stale_if_error != CACHE_NOT_GIVEN)
		has |= HAS_SIE;
	if (m->status != 200)
		has |= HAS_STATUS;
	return has;
}

static char *
put_numbers(char *p, const struct cache_meta *m, unsigned has)
{
	if (has & HAS_STATUS)
		p = put(p, m->status);
	p = put(p, m->flags);
	p = put_signed(p, m->response_time - EPOCH);
	p = put_signed(p, m->response_time - m->request_time);
	p = put_signed(p, m->response_time - m->date);
	if (has & HAS_AGE)
		p = put(p, (uint64_t)m->initial_age);
	p = put(p, (uint64_t)m->lifetime);
	if (has & HAS_SWR)
		p = put_signed(p, m->stale_while_revalidate);
	if (has & HAS_SIE)
		p = put_signed(p, m->stale_if_error);
	if (has & HAS_MODIFIED)
		p = put_signed(p, m->response_time - m->last_modified);
	return p;
}

struct bytes
cache_meta_encode(const struct cache_meta *m, struct arena *arena)
{
	unsigned has = what_is_there(m);
	size_t text = has & HAS_TEXT ? m->last_modified_text.n : 0;
	size_t etag = has & HAS_ETAG ? m->etag.n : 0;
	size_t tags = m->tags.n <= TEXT_MAX ? m->tags.n : 0;
	char fixed[FIXED_MAX], *p = fixed, *out;
	size_t n;

	*p++ = tags > 0 ? TAGGED : VERSION;
	*p++ = (char)has;
	p = put_numbers(p, m, has);
	if (has & HAS_PART) {
		p = put(p, m->part.from);
		p = put(p, m->part.to - m->part.from);
		p = put(p, m->part.complete - m->part.to);
	}
	if (has & HAS_TEXT)
		p = put(p, text);
	if (tags > 0)
		p = put(p, tags);
	n = (size_t)(p - fixed);
	out = arena_alloc(arena, n + text + tags + etag);
	if (out == NULL)
		return (struct bytes){NULL, 0};
	memcpy(out, fixed, n);
	if (text > 0)
		memcpy(out + n, m->last_modified_text.p, text);
	if (tags > 0)
		memcpy(out + n + text, m->tags.p, tags);
	if (etag > 0)
		memcpy(out + n + text + tags, m->etag.p, etag);
	return (struct bytes){out, n + text + tags + etag};
}

static bool
within(int64_t v, int64_t min, int64_t max)
{
	return v >= min && v <= max;
}

static bool
is_sane_extent(const struct cache_extent *e)
{
	return e->from < e->to && e->to <= e->complete &&
	       e->complete <= INT64_MAX && e->to - e->from < e->complete;
}

static bool
is_sane(const struct cache_meta *m)
{
	return within(m->status, 200, 999) && m->flags <= FLAGS_ALL &&
	       within(m->request_time, -TIME_MAX, TIME_MAX) &&
	       within(m->response_time, -TIME_MAX, TIME_MAX) &&
	       within(m->date, -TIME_MAX, TIME_MAX) &&
	       within(m->initial_age, 0, CACHE_SECONDS_MAX) &&
	       within(m->lifetime, 0, 2 * CACHE_SECONDS_MAX) &&
	       within(m->stale_while_revalidate, CACHE_NOT_GIVEN,
		   CACHE_SECONDS_MAX) &&
	       within(m->stale_if_error, CACHE_NOT_GIVEN, CACHE_SECONDS_MAX) &&
	       (m->last_modified == HTTP_DATE_INVALID ||
		   within(m->last_modified, -TIME_MAX, TIME_MAX));
}

static void
get_numbers(struct bytes *in, struct cache_meta *m, unsigned has, bool *bad)
{
	uint64_t status = has & HAS_STATUS ? get(in, bad) : 200;
	uint64_t bits = get(in, bad);

	m->status = status > 999 ? 0 : (uint16_t)status;
	*bad |= bits > FLAGS_ALL;
	m->flags = (uint16_t)(bits & FLAGS_ALL);
	m->response_time = -get_before(in, -EPOCH, bad);
	m->request_time = get_before(in, m->response_time, bad);
	m->date = get_before(in, m->response_time, bad);
	m->initial_age = has & HAS_AGE ? (int64_t)get(in, bad) : 0;
	m->lifetime = (int64_t)get(in, bad);
	m->stale_while_revalidate =
	    has & HAS_SWR ? get_signed(in, bad) : CACHE_NOT_GIVEN;
	m->stale_if_error =
	    has & HAS_SIE ? get_signed(in, bad) : CACHE_NOT_GIVEN;
	m->last_modified = has & HAS_MODIFIED
			       ? get_before(in, m->response_time, bad)
			       : HTTP_DATE_INVALID;
}

static void
get_part(struct bytes *in, struct cache_extent *e, bool *bad)
{
	uint64_t from = get(in, bad), size = get(in, bad), rest = get(in, bad);

	if (from > INT64_MAX || size > INT64_MAX - from ||
	    rest > INT64_MAX - from - size)
		*bad = true;
	else
		*e = (struct cache_extent){
		    from, from + size, from + size + rest};
	*bad |= !is_sane_extent(e);
}

int
cache_meta_decode(struct bytes in, struct cache_meta *m)
{
	bool bad = false, tagged;
	uint64_t text, tags;
	unsigned has;

	*m = (struct cache_meta){.last_modified = HTTP_DATE_INVALID};
	if (in.n < 2 || (*in.p != VERSION && *in.p != TAGGED))
		return LARDER_DAMAGED;
	tagged = *in.p == TAGGED;
	has = (unsigned char)in.p[1];
	in = bytes_skip(in, 2);
	get_numbers(&in, m, has, &bad);
	if (has & HAS_PART)
		get_part(&in, &m->part, &bad);
	text = has & HAS_TEXT ? get(&in, &bad) : 0;
	tags = tagged ? get(&in, &bad) : 0;
	if (bad || text > TEXT_MAX || tags > TEXT_MAX || text + tags > in.n ||
	    tagged != (tags > 0) || !is_sane(m))
		return LARDER_DAMAGED;
	m->last_modified_text = (struct bytes){in.p, (size_t)text};
	m->tags = (struct bytes){in.p + text, (size_t)tags};
	m->etag = bytes_skip(in, (size_t)(text + tags));
	/* Written so, and in no other way? */
	return m->etag.n <= TEXT_MAX && what_is_there(m) == has
		   ? 0
		   : LARDER_DAMAGED;
}
