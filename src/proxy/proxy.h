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

struct local_door;
struct mailbox_note;
struct proxy;
struct recent;
struct tally;

/* Binds every address, opens the access log, makes the workers; nothing runs
 * yet. On failure a sentence in why. Takes a reference on conf; the store must
 * outlive the proxy. */
int proxy_open(struct proxy **out, struct conf *conf, struct store *store,
    char *why, size_t why_size);

/* Who answers what is asked of larder itself (local.h). Before the threads
 * start; it must outlive the proxy. */
void proxy_set_door(struct proxy *proxy, const struct local_door *door);

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

/* What is asked for right now. */
struct recent *proxy_recent(struct proxy *proxy);

/*
 * `larderctl doctor` is its own origin for a moment: requests may go to this
 * port of 127.0.0.1 until then (clock_mono_ms()), whatever access.destinations
 * says, unless it is larder's own. Port 0: no more.
 */
void proxy_admit_probe(struct proxy *proxy, uint16_t port, int64_t until);

/* Asks the workers to hand over what they have tallied (tally.h); `done` is
 * posted when all have; not before that it is asked again. The main thread's,
 * as the next one. */
void proxy_collect(struct proxy *proxy, struct mailbox_note *done);
/* Shows what has been handed over since the last call, and, of workers that
 * have ended, the rest. */
void proxy_take_tallies(struct proxy *proxy,
    void (*visit)(void *arg, const struct tally *tally), void *arg);

struct conf *proxy_conf(struct proxy *proxy); /* a new reference */

#endif
