/*
 * Variants (RFC 9111 4.1): a stored response's variant is the list of the
 * fields that its Vary names with the values its request had, normalised where
 * the field's own definition allows. Pure.
 */
#ifndef CACHE_VARY_H
#define CACHE_VARY_H

#include "http/head.h"

/* The variant of a response to this request: 0 (n == 0 without Vary),
 * LARDER_REFUSED ("*" is among the names), LARDER_NOMEM, LARDER_TOOBIG. */
int cache_variant(const struct http_head *request,
    const struct http_head *response, struct arena *arena, struct bytes *out);

/* Would this request be answered by it? Malformed bytes: no. */
bool cache_variant_matches(
    struct bytes variant, const struct http_head *request, struct arena *arena);

/* Likewise, but that one field may have any value. */
bool cache_variant_matches_but(struct bytes variant,
    const struct http_head *request, enum http_field_id but,
    struct arena *arena);

/* Are the fields by which it was chosen those that this Vary names, "*" not
 * among them? */
bool cache_variant_fits(struct bytes variant, const struct http_head *response);

/* For people: "Accept-Encoding: gzip; Accept-Language: (none)". */
struct bytes cache_variant_text(struct bytes variant, struct arena *arena);

#endif
