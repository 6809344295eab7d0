/*
 * Freshness lifetime and age (RFC 9111 4.2) of a response that came. Pure.
 */
#ifndef CACHE_FRESH_H
#define CACHE_FRESH_H

#include "cache/meta.h"
#include "cache/request.h"

enum cache_freshness {
	CACHE_FRESHNESS_NONE,	  /* it says nothing, and nothing is guessed */
	CACHE_FRESHNESS_GUESSED,  /* heuristic */
	CACHE_FRESHNESS_EXPLICIT, /* though it may be 0, or nonsense */
	CACHE_FRESHNESS_RULED,	  /* fresh as the admin says, it does not */
};

/* The directives that count, and whether they are CDN-Cache-Control's. */
void cache_response_control(const struct http_head *response,
    const struct cache_policy *policy, struct cache_control *out,
    bool *targeted);

/* Takes away the fields that the policy strips. */
void cache_strip(struct http_head *response, const struct cache_policy *policy);

/* May a lifetime be guessed for this status (RFC 9111 4.2.2)? */
bool cache_is_heuristic(int status, const struct cache_control *control);

/* Fills all of meta. The request and response times in seconds. */
enum cache_freshness cache_fresh(const struct http_head *response, int status,
    const struct cache_control *control, bool targeted, int64_t request_time,
    int64_t response_time, const struct cache_policy *policy,
    struct cache_meta *meta);

#endif
