/*
 * Tags of stored responses, by which an admin removes what belongs together:
 * those of a rule, and where the origin speaks to this cache (a site with
 * `targeted`) those of its Cache-Tag (a list) and Surrogate-Key (separated by
 * spaces). From other origins they are of some other CDN's business, and
 * anybody's to choose. Pure.
 */
#ifndef CACHE_TAG_H
#define CACHE_TAG_H

#include "cache/request.h"

/* In all, with a space between two. What has more is not stored: it could not
 * be found by each of them. */
#define CACHE_TAGS_MAX 4096u

/* All of a response, separated by single spaces; n == 0: none. LARDER_TOOBIG,
 * LARDER_NOMEM. */
int cache_tags(const struct http_head *response,
    const struct cache_policy *policy, struct arena *arena, struct bytes *out);

/* Is it one of them? Case counts. */
bool cache_tags_have(struct bytes tags, struct bytes tag);

#endif
