/*
 * What upstream.c (the pool) and upstream_race.c (new connections) share.
 * Nobody else includes it.
 */
#ifndef NET_UPSTREAM_INTERNAL_H
#define NET_UPSTREAM_INTERNAL_H

#include "net/resolve.h"
#include "net/upstream.h"

#define UPSTREAM_BUCKETS 256u

struct upstream_key {
	bool tls;
	uint16_t port;
	uint32_t hash;
	size_t n;
	char host[256]; /* NUL-terminated */
};

struct upstreams {
	struct loop *loop;
	struct resolver *resolver;
	struct tls_context *tls;
	struct upstream_options options;
	struct list bucket[UPSTREAM_BUCKETS]; /* idle, the latest first */
	unsigned in_bucket[UPSTREAM_BUCKETS]; /* how many */
	struct list by_age;		      /* idle, the oldest first */
	unsigned idle_count;
	struct list spare; /* idles without a connection, for reuse */
	struct list waits;
};

/* False: the host is no host's. */
bool upstream_key_set(
    struct upstream_key *key, const struct upstream_target *target);

/* A new connection; as upstreams_get(). */
int upstream_race(struct upstreams *u, const struct upstream_target *target,
    upstream_allow_fn *allow, void *allow_arg, upstream_fn *fn, void *arg,
    struct upstream_wait **out);
/* Cancels the first of u->waits. */
void upstream_race_cancel_first(struct upstreams *u);

#endif
