/*
 * Keys (RFC 9111 2): the target URI; one key serves GET and HEAD. As text, so
 * that the store's order by key is an order by scheme, host and path. Pure.
 */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include "http/target.h"

/* "http://host/path?query", port left out where it is the scheme's. p == NULL
 * when the arena is full. */
struct bytes cache_key(const struct http_target *target, struct arena *arena);

/* Another key of the same URL, for what is got forward where a site is asked
 * by that URL as well. p == NULL when the arena is full. */
struct bytes cache_key_apart(struct bytes key, struct arena *arena);
/* The URL of either. */
struct bytes cache_key_url(struct bytes key);

/* The key of the URL without its query; a view. */
struct bytes cache_key_without_query(struct bytes key);

/* Shell-like glob over a key's URL: * any bytes, ? one, [a-z] a class,
 * \ quotes. A pattern that has no "://" is matched against the key behind it.
 * Linear in the key for one star, never exponential. */
bool cache_key_glob(struct bytes pattern, struct bytes key);

/* Is it of this host (any scheme and port; or with ":port" of that port)? */
bool cache_key_host_is(struct bytes key, struct bytes host);

#endif
