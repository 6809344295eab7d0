/*
 * The record's meta as bytes. All numbers little-endian.
 *
 *   offset  size  meaning
 *        0     1  version: 1, or 2 of a part
 *        1     1  0
 *        2     2  status
 *        4     2  flags
 *        6     2  length of the entity tag
 *        8     2  length of Last-Modified's text
 *       10     2  length of the tags
 *       12     4  0
 *       16    64  request_time, response_time, date, initial_age, lifetime,
 *                 stale_while_revalidate, stale_if_error, last_modified
 *       80    24  of a part: from, to, complete
 *                 the entity tag, then Last-Modified's text, then the tags
 *
 * Always, of a meta that decodes: no sum or difference of its times can wrap.
 */
#include "cache/meta.h"

#include "cache/control.h"
#include "http/date.h"

#define VERSION	  1
#define OF_PART	  2
#define FIXED	  80
#define EXTENT	  24
#define NUMBERS	  8
#define TEXT_MAX  UINT16_MAX
#define FLAGS_ALL 8191u
/* Beyond any date HTTP can write. */
#define TIME_MAX  (INT64_C(1) << 40)

static void
put(char *p, uint64_t v, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (char)(v >> 8 * i & 0xff);
}

static uint64_t
get(const char *p, unsigned size)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= (uint64_t)(unsigned char)p[i] << 8 * i;
	return v;
}

struct bytes
cache_meta_encode(const struct cache_meta *m, struct arena *arena)
{
	const int64_t numbers[NUMBERS] = {m->request_time, m->response_time,
	    m->date, m->initial_age, m->lifetime, m->stale_while_revalidate,
	    m->stale_if_error, m->last_modified};
	struct bytes etag = m->etag, text = m->last_modified_text;
	struct bytes tags = m->tags;
	size_t fixed = cache_is_part(m) ? FIXED + EXTENT : FIXED;
	char *p;

	/* A validator that cannot be kept is none. */
	if (etag.n > TEXT_MAX)
		etag.n = 0;
	if (text.n > TEXT_MAX)
		text.n = 0;
	if (tags.n > TEXT_MAX)
		tags.n = 0;
	p = arena_zalloc(arena, fixed + etag.n + text.n + tags.n);
	if (p == NULL)
		return (struct bytes){NULL, 0};
	put(p, cache_is_part(m) ? OF_PART : VERSION, 1);
	put(p + 2, m->status, 2);
	put(p + 4, m->flags, 2);
	put(p + 6, etag.n, 2);
	put(p + 8, text.n, 2);
	put(p + 10, tags.n, 2);
	for (unsigned i = 0; i < NUMBERS; i++)
		put(p + 16 + 8 * i, (uint64_t)numbers[i], 8);
	if (cache_is_part(m)) {
		put(p + FIXED, m->part.from, 8);
		put(p + FIXED + 8, m->part.to, 8);
		put(p + FIXED + 16, m->part.complete, 8);
	}
	if (etag.n > 0)
		memcpy(p + fixed, etag.p, etag.n);
	if (text.n > 0)
		memcpy(p + fixed + etag.n, text.p, text.n);
	if (tags.n > 0)
		memcpy(p + fixed + etag.n + text.n, tags.p, tags.n);
	return (struct bytes){p, fixed + etag.n + text.n + tags.n};
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

int
cache_meta_decode(struct bytes in, struct cache_meta *m)
{
	int64_t numbers[NUMBERS];
	size_t etag, text, tags, fixed = FIXED;
	struct cache_extent part = {0};

	if (in.n < FIXED || get(in.p + 12, 4) != 0)
		return LARDER_DAMAGED;
	if (get(in.p, 2) == OF_PART && in.n >= FIXED + EXTENT) {
		fixed += EXTENT;
		part = (struct cache_extent){get(in.p + FIXED, 8),
		    get(in.p + FIXED + 8, 8), get(in.p + FIXED + 16, 8)};
		if (!is_sane_extent(&part))
			return LARDER_DAMAGED;
	} else if (get(in.p, 2) != VERSION) {
		return LARDER_DAMAGED;
	}
	etag = (size_t)get(in.p + 6, 2);
	text = (size_t)get(in.p + 8, 2);
	tags = (size_t)get(in.p + 10, 2);
	if (in.n != fixed + etag + text + tags)
		return LARDER_DAMAGED;
	for (unsigned i = 0; i < NUMBERS; i++)
		numbers[i] = (int64_t)get(in.p + 16 + 8 * i, 8);
	*m = (struct cache_meta){
	    .status = (uint16_t)get(in.p + 2, 2),
	    .flags = (uint16_t)get(in.p + 4, 2),
	    .request_time = numbers[0],
	    .response_time = numbers[1],
	    .date = numbers[2],
	    .initial_age = numbers[3],
	    .lifetime = numbers[4],
	    .stale_while_revalidate = numbers[5],
	    .stale_if_error = numbers[6],
	    .last_modified = numbers[7],
	    .etag = {in.p + fixed, etag},
	    .last_modified_text = {in.p + fixed + etag, text},
	    .part = part,
	    .tags = {in.p + fixed + etag + text, tags},
	};
	return is_sane(m) ? 0 : LARDER_DAMAGED;
}
