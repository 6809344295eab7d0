/*
 * Connections to origins: a pool of idle ones a loop, bounded a target and
 * altogether, and new ones: the name resolved, addresses judged, then tried in
 * turn with v6 and v4 raced (RFC 8305). Knows nothing of HTTP.
 */
#ifndef NET_UPSTREAM_H
#define NET_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"
#include "net/conn.h"

struct upstreams;
struct upstream_wait;
struct resolver;

struct upstream_target {
	bool tls;
	struct bytes host; /* lower case; v6 without brackets */
	uint16_t port;
};

/* Any idle connection will do, or none. */
#define UPSTREAM_ANY  INT64_MAX
#define UPSTREAM_NONE INT64_C(-1)

struct upstream_options {
	int64_t connect_ms;	  /* for one target, all addresses together */
	int64_t idle_ms;	  /* how long an idle connection is kept */
	unsigned idle_per_target; /* connections */
	unsigned idle_total;
	/* Called when there is no descriptor for a new connection and none of
	 * an idle one to take it from; true: now there is. May be NULL. */
	bool (*starved)(void *arg);
	void *starved_arg;
};

/* May this address be connected to? */
typedef bool upstream_allow_fn(void *arg, const union addr *address);

/* err 0: conn is the callee's, who sets its handler. The wait is void from the
 * moment that this is called. Else LARDER_REFUSED (every address judged
 * away), LARDER_NONAME, LARDER_TIMEOUT, LARDER_IO, LARDER_TLS; why is a
 * sentence that lives for the call. */
typedef void upstream_fn(
    void *arg, int err, struct conn *conn, bool reused, const char *why);

/* tls may be NULL: targets with TLS then fail. LARDER_NOMEM. */
int upstreams_new(struct upstreams **out, struct loop *loop,
    struct resolver *resolver, struct tls_context *tls,
    const struct upstream_options *options);
void upstreams_configure(
    struct upstreams *u, const struct upstream_options *options);
/* Waits that are left are cancelled, idle connections closed. */
void upstreams_free(struct upstreams **u);

/*
 * A connection for target. 0: an idle one, in *conn (allow has judged its
 * address). LARDER_AGAIN: *wait is set and fn is called later, once, never from
 * inside this call. idle_ms: how long one may have been idle at most, or
 * UPSTREAM_ANY, UPSTREAM_NONE. target's bytes are copied.
 * LARDER_NOMEM.
 */
int upstreams_get(struct upstreams *u, const struct upstream_target *target,
    int64_t idle_ms, upstream_allow_fn *allow, void *allow_arg, upstream_fn *fn,
    void *arg, struct conn **conn, struct upstream_wait **wait);
/* fn is not called any more; nulls the pointer. */
void upstream_cancel(struct upstream_wait **wait);

/* Gives back the descriptor of the oldest idle one; false: there is none. */
bool upstreams_give_up_idle(struct upstreams *u);

/* Takes a connection back that is ready for another request; closes it when
 * there is too many, or unread input on it. Nulls the pointer. One that the
 * origin closes or writes to while it is idle is thrown away. */
void upstreams_put(struct upstreams *u, const struct upstream_target *target,
    struct conn **conn);

#endif
