/*
 * The proxy as the daemon and the admin room see it: worker threads that walk
 * requests (see exchange.c) over one store.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "larder/stats.h"
#include "larder/store.h"

struct proxy;

/* Binds every address, opens the access log, makes the workers; nothing runs
 * yet. On failure a sentence in why. Takes a reference on conf; the store must
 * outlive the proxy. */
int proxy_open(struct proxy **out, struct conf *conf, struct store *store,
    char *why, size_t why_size);

/* Starts the worker threads. They block all signals. LARDER_IO. */
int proxy_start(struct proxy *proxy);

/* All of the new configuration, for requests read from now on, or none of it
 * with a sentence in why (an address that cannot be bound, a value that only a
 * restart can change). */
int proxy_reload(
    struct proxy *proxy, struct conf *conf, char *why, size_t why_size);

/* After logrotate moved it. LARDER_IO: goes on with the old one. */
int proxy_reopen_log(struct proxy *proxy);

/* No new connections; what is in flight finishes, until the drain timeout.
 * Returns at once; proxy_running() tells when it is over. A second call ends
 * what is in flight now. */
void proxy_drain(struct proxy *proxy);
bool proxy_running(const struct proxy *proxy);

/* Has every worker turned its loop since this was last asked? For a watchdog:
 * false again and again means that one hangs. */
bool proxy_alive(struct proxy *proxy);

/* Joins the threads and frees. After proxy_drain(). Blocks until it is over. */
void proxy_free(struct proxy **proxy);

/* Totals over all workers, indexed by enum stats_counter. */
void proxy_stats(const struct proxy *proxy, uint64_t out[STAT_COUNT]);
/* Right now: client connections open, and fetches in flight. */
void proxy_gauges(
    const struct proxy *proxy, uint64_t *connections, uint64_t *flights);

struct conf *proxy_conf(struct proxy *proxy); /* a new reference */

#endif
