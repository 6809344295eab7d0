/*
 * What is kept in the catalog with each stored response: all that a decision
 * needs, so that the head itself is only read to be sent. Pure.
 */
#ifndef CACHE_META_H
#define CACHE_META_H

#include "http/date.h"
#include "larder/arena.h"
#include "larder/bytes.h"
#include "larder/err.h"

enum {
	CACHE_MUST_REVALIDATE = 1,   /* must-, proxy-revalidate, s-maxage */
	CACHE_ALWAYS_REVALIDATE = 2, /* no-cache */
	CACHE_HEURISTIC = 4,	     /* the lifetime is a guess */
	CACHE_IMMUTABLE = 8,
	CACHE_NO_TRANSFORM = 16,
	CACHE_INVALID_FRESHNESS = 32, /* stale: what it said made no sense */
	CACHE_WAS_AUTHORIZED = 64,    /* request had Authorization */
	CACHE_BY_HTTP_1_0 = 128,      /* it came so: for Via */
	/* The content coding, if larder may change it; else none of these. */
	CACHE_IDENTITY = 256,
	CACHE_GZIP = 512,
	CACHE_ZSTD = 1024,
	CACHE_CODINGS = CACHE_IDENTITY | CACHE_GZIP | CACHE_ZSTD,
	CACHE_GAINS = 2048,   /* its type would gain by one */
	CACHE_BY_RULE = 4096, /* a rule has set its lifetime */
};

/* Bytes [from, to) of a representation of `complete` bytes. */
struct cache_extent {
	uint64_t from, to, complete;
};

struct cache_meta {
	uint16_t status;
	uint16_t flags;
	int64_t request_time;  /* seconds: when its request was sent */
	int64_t response_time; /* seconds: when its head came */
	int64_t date;	       /* Date, or response_time */
	int64_t initial_age;   /* corrected_initial_age, RFC 9111 4.2.3 */
	int64_t lifetime;      /* freshness lifetime, 4.2.1 */
	int64_t stale_while_revalidate, stale_if_error; /* CACHE_NOT_GIVEN */
	int64_t last_modified; /* seconds or HTTP_DATE_INVALID */
	struct bytes etag;     /* with W/ and quotes; n == 0: none */
	/* As received, where HTTP would write it otherwise today; n == 0: it
	 * would not. See cache_last_modified(). */
	struct bytes last_modified_text;
	/* What is stored is a part (RFC 9111 3.3). All 0: it is the whole. */
	struct cache_extent part;
	struct bytes tags; /* separated by spaces; n == 0: none */
};

static inline bool
cache_is_part(const struct cache_meta *meta)
{
	return meta->part.to > 0;
}

/* Some 20 bytes and the entity tag; versioned. p == NULL when the arena is
 * full.
 */
struct bytes cache_meta_encode(
    const struct cache_meta *meta, struct arena *arena);
/* Views point into `in`. LARDER_DAMAGED: it is not one. */
int cache_meta_decode(struct bytes in, struct cache_meta *out);

/* What is to be echoed: Last-Modified as received, perhaps in buf; n == 0:
 * there was none. */
struct bytes cache_last_modified(
    const struct cache_meta *meta, char buf[HTTP_DATE_SIZE]);

/* Current age and what is left of freshness (negative: stale for so long), in
 * seconds; never wraps. */
int64_t cache_age(const struct cache_meta *meta, int64_t now);
int64_t cache_ttl(const struct cache_meta *meta, int64_t now);

#endif
