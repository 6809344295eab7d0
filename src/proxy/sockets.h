/*
 * Listening sockets, bound by the main thread for the workers' orders.
 */
#ifndef PROXY_SOCKETS_H
#define PROXY_SOCKETS_H

#include <stddef.h>

#include "proxy/orders.h"

/* Orders for `count` workers with a socket each for every address that conf has
 * and old (or NULL) has not. All or none: LARDER_IO, LARDER_ACCESS,
 * LARDER_NOMEM, LARDER_INVALID (a socket was handed over that conf does not
 * name) with a sentence in why. */
int sockets_bind(struct orders **out, unsigned count, const struct conf *conf,
    const struct conf *old, char *why, size_t why_size);

/* Closes and frees orders that nobody has taken. */
void sockets_close(struct orders *orders, unsigned count);

/* Adds those of `fresh` to what the worker has not taken yet, and frees that
 * list. */
void sockets_add(struct orders *to, struct orders *fresh);

/* The paths of Unix sockets that conf (NULL: none) has no more, but for those
 * that were handed over. */
void sockets_unlink(const struct conf *old, const struct conf *conf);

#endif
