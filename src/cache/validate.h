/*
 * Revalidation (RFC 9111 4.3). Pure.
 */
#ifndef CACHE_VALIDATE_H
#define CACHE_VALIDATE_H

#include "cache/admit.h"
#include "cache/decide.h"
#include "http/forward.h"

/* Writes If-None-Match (the tags of all candidates, the chosen one first) and
 * If-Modified-Since for a request that revalidates. False: none of them has a
 * validator, ask without condition. */
bool cache_conditions(struct http_out *out, const struct cache_stored *stored,
    unsigned count, int chosen);

/*
 * Which stored response a 304 selects (RFC 9111 4.3.4): its index, or -1 when
 * it fits none (drop them and ask again).
 */
int cache_select_304(const struct http_head *not_modified,
    const struct cache_stored *stored, unsigned count, int chosen);

/*
 * The stored head with a 304's (or HEAD's) fields merged in: every field it
 * has replaces the stored ones of that name, but for those that describe the
 * bytes as stored (Content-Length, -Encoding, -Range; ETag if it is weaker:
 * RFC 9111 3.2). *form: the new stored form; admission: its new meta, variant
 * and expiry; the variant is another one if Vary names other fields now.
 * admission->store false: it must not be kept.
 * LARDER_DAMAGED, LARDER_NOMEM.
 */
int cache_freshen(const struct cache_request *request, struct bytes stored_form,
    const struct cache_stored *stored, const struct http_head *not_modified,
    int64_t request_time, int64_t response_time,
    const struct cache_policy *policy, struct arena *arena, struct bytes *form,
    struct cache_admission *admission);

/* Does this 200 to a HEAD agree with the stored GET's (RFC 9111 4.3.5)? If not,
 * the stored one is to be invalidated, else freshened. */
bool cache_head_agrees(
    const struct http_head *response, const struct cache_stored *stored);

/* Does this response to a request with this method invalidate the target
 * (RFC 9111 4.4)? */
bool cache_invalidates(
    const struct http_head *request, const struct http_head *response);

#endif
