/*
 * Content codings between origin, store and clients (RFC 9110 8.4, 12.5.3):
 * what an origin is asked for, which client what is stored can answer, and in
 * which coding that goes out. larder itself negotiates between identity, gzip
 * and zstd; any other coding is the origin's, and never touched. Pure.
 */
#ifndef CACHE_CODING_H
#define CACHE_CODING_H

#include "cache/meta.h"
#include "cache/request.h"
#include "http/coding.h"

/* Shorter bodies are not coded: it would gain nothing. */
#define CACHE_CODING_LEAST 1024u

/*
 * Sets request->asked, the request as the origin is to see it, and
 * request->recodes. A client that accepts gzip or zstd has `Accept-Encoding:
 * zstd, gzip` sent for it, so that all of them share one response, but for
 * ranges, no-transform, and where the policy says no. revalidates: likewise
 * whatever the client accepts, for what is stored is so coded. LARDER_NOMEM.
 */
int cache_coding_ask(struct cache_request *request,
    const struct cache_policy *policy, bool revalidates, struct arena *arena);

/* What a response says of its coding, and whether it would gain by one, for
 * cache_meta.flags. */
unsigned cache_coding_flags(
    const struct http_head *asked, const struct http_head *response);
/* The second alone. */
unsigned cache_coding_gains(
    const struct http_head *asked, const struct http_head *response);

/* Of these flags; OTHER of what is not to be touched. */
enum http_coding cache_coding_of(unsigned flags);

/* Would this request be answered by it? As cache_variant_matches(), but where
 * larder can give it the coding that it accepts, Accept-Encoding does not
 * count. */
bool cache_coding_matches(const struct cache_request *request,
    struct bytes variant, const struct cache_meta *meta, struct arena *arena);

struct cache_coding {
	enum http_coding from, to; /* the same: it goes out as it is */
	bool needed;		   /* as it is it is not acceptable */
	bool varies;		   /* others get, or could get, another one */
};

/*
 * Which coding goes out to the client (request->head). length: of the body as
 * it is, or UINT64_MAX. shared: it is for all; what is for one client alone is
 * only decoded.
 */
void cache_coding_choose(const struct cache_request *request,
    const struct cache_meta *meta, uint64_t length, bool shared,
    const struct cache_policy *policy, struct cache_coding *out);

/*
 * The stored form of a head (cache/admit.h) as it goes out with that choice:
 * of another representation if it is coded anew (RFC 9110 8.8.3.3: a weak
 * entity tag; no ranges, no digests), and with Vary where it varies.
 * LARDER_DAMAGED, LARDER_NOMEM.
 */
int cache_coding_form(struct bytes form, const struct cache_coding *coding,
    struct arena *arena, struct bytes *out);

#endif
