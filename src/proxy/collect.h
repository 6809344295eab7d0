/*
 * Tallies on their way from the workers to the main thread and back: each
 * worker writes into one, and, when it is asked to, swaps it for an empty one.
 * No lock: two pointers a worker, exchanged atomically.
 *
 *   worker.tally ── note ──> full ── proxy_take_tallies() ──> empty
 *        ^                                                      │
 *        └──────────────── at the next note ────────────────────┘
 */
#ifndef PROXY_COLLECT_H
#define PROXY_COLLECT_H

#include "proxy/tally.h"
#include "proxy/worker.h"

/* The worker's tallies and its note. LARDER_NOMEM. */
int collect_init(struct worker *w);
void collect_release(struct worker *w);

/* One of those that proxy_collect() has asked has answered. */
void proxy_count_collected(struct proxy *proxy);
/* For hashes of texts from outside. */
uint64_t proxy_seed(struct proxy *proxy);

#endif
