/*
 * Entity tags (RFC 9110 8.8.3) and their lists. Backslash is an ordinary byte
 * in them, so http/list.h is not for them. Pure.
 */
#ifndef CACHE_ETAG_H
#define CACHE_ETAG_H

#include "larder/bytes.h"

/* Takes the next one off a list; false at the end, or where it is malformed. */
bool cache_etag_next(struct bytes *rest, struct bytes *tag);
/* Exactly one, and nothing else. */
bool cache_etag_valid(struct bytes tag);
bool cache_etag_is_weak(struct bytes tag);
/* 8.8.3.2; of valid ones. */
bool cache_etag_strong_eq(struct bytes a, struct bytes b);
bool cache_etag_weak_eq(struct bytes a, struct bytes b);

#endif
