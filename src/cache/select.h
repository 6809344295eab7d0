/*
 * Selecting values (RFC 9111 4.1): what a request has for a field that Vary
 * names, normalised as the field's own definition allows. For vary.c. Pure.
 */
#ifndef CACHE_SELECT_H
#define CACHE_SELECT_H

#include "http/forward.h"

/* p == NULL: the request has nothing there, or there was no memory, then
 * *failed. */
struct bytes cache_selecting_value(const struct http_head *request,
    struct bytes name, struct arena *arena, bool *failed);

/* Is this language what the request wants before any other? */
bool cache_prefers_language(struct bytes language,
    const struct http_head *request, struct arena *arena, bool *failed);

/* Order without case, as strcmp(). */
int cache_compare(struct bytes a, struct bytes b);
void cache_lower(struct http_out *out, struct bytes b);

#endif
