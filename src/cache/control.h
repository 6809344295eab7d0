/*
 * Cache-Control (RFC 9111 5.2, 5861, 8246) of requests and responses, Pragma.
 * Unknown directives are ignored; of what is malformed or doubled with another
 * value the meaning that stores and reuses less is taken. Pure.
 */
#ifndef CACHE_CONTROL_H
#define CACHE_CONTROL_H

#include "http/head.h"

#define CACHE_NOT_GIVEN	  (-1)
/* Delta-seconds are clamped to this (RFC 9111 1.2.2). */
#define CACHE_SECONDS_MAX INT64_C(2147483648)

struct cache_control {
	bool no_store, no_cache, no_transform, only_if_cached;
	bool must_revalidate, proxy_revalidate, must_understand;
	bool is_public, is_private, immutable;
	/* private="a, b" and no-cache="a, b": views of the lists, or n == 0;
	 * then is_private and no_cache are false. */
	struct bytes private_fields, no_cache_fields;
	/* Seconds, or CACHE_NOT_GIVEN. An invalid max-age or s-maxage is 0. */
	int64_t max_age, s_maxage, min_fresh;
	int64_t max_stale; /* of max-stale without value: CACHE_SECONDS_MAX */
	int64_t stale_while_revalidate, stale_if_error;
	bool invalid; /* max-age or s-maxage made no sense */
};

/* All lines of Cache-Control; for requests without any, Pragma: no-cache. */
void cache_control_parse(
    const struct http_head *head, bool request, struct cache_control *out);

/* CDN-Cache-Control (RFC 9213), a structured field: it takes the place of a
 * response's Cache-Control and Expires. False, and *out as it was, if there is
 * none that is valid and not empty. */
bool cache_control_targeted(
    const struct http_head *head, struct cache_control *out);

#endif
