/*
 * The pool of idle connections. One is taken from the end where it was last
 * put, so that what is not needed grows old and goes.
 *
 * Always: an idle connection is watched; whatever it gets to say (its end, or
 * bytes nobody asked for) closes it. Tickets of TLS are no such bytes.
 */
#include "net/upstream.h"

#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"
#include "larder/zeroed.h"
#include "net/upstream_internal.h"

struct idle {
	struct list in_bucket; /* or in u->spare */
	struct list in_age;
	struct upstreams *u;
	struct conn *conn;
	int64_t since; /* ms */
	struct upstream_key key;
};

bool
upstream_key_set(struct upstream_key *key, const struct upstream_target *target)
{
	uint32_t hash = 2166136261u; /* FNV-1a: a collision only costs */

	key->tls = target->tls;
	key->port = target->port;
	key->n = target->host.n < sizeof(key->host) ? target->host.n : 0;
	for (size_t i = 0; i < key->n; i++) {
		key->host[i] = target->host.p[i];
		hash = (hash ^ (unsigned char)key->host[i]) * 16777619u;
	}
	key->host[key->n] = '\0';
	hash = (hash ^ key->port) * 16777619u;
	key->hash = hash ^ hash >> 16;
	return key->n > 0 && memchr(key->host, 0, key->n) == NULL;
}

static bool
same_key(const struct upstream_key *a, const struct upstream_key *b)
{
	return a->hash == b->hash && a->tls == b->tls && a->port == b->port &&
	       a->n == b->n && memcmp(a->host, b->host, a->n) == 0;
}

/* Out of the pool; the connection is the caller's. */
static struct conn *
take(struct idle *idle)
{
	struct conn *conn = idle->conn;

	idle->conn = NULL;
	idle->u->idle_count--;
	idle->u->in_bucket[idle->key.hash % UPSTREAM_BUCKETS]--;
	list_remove(&idle->in_bucket);
	list_remove(&idle->in_age);
	list_prepend(&idle->u->spare, &idle->in_bucket);
	conn_set_timeout(conn, 0);
	conn_set_handler(conn, NULL, NULL);
	return conn;
}

static void
drop(struct idle *idle)
{
	struct conn *conn = take(idle);

	conn_close(&conn, false);
}

/* Nothing came, and nothing is wrong. */
static bool
is_quiet(struct conn *conn)
{
	return conn_input(conn).n == 0 && conn_fill(conn, 1) == LARDER_AGAIN;
}

static void
on_idle(struct conn *conn, unsigned what, void *arg)
{
	struct idle *idle = arg;

	check(idle->conn == conn);
	if ((what & CONN_TIMEOUT) || !is_quiet(conn))
		drop(idle);
}

/* The latest that is still good and whose address may (still) be used. */
static struct conn *
take_idle(struct upstreams *u, const struct upstream_key *key, int64_t idle_ms,
    upstream_allow_fn *allow, void *allow_arg)
{
	struct list *bucket = &u->bucket[key->hash % UPSTREAM_BUCKETS];
	int64_t now = loop_mono_ms(u->loop);

	list_each_safe (node, bucket) {
		struct idle *idle = container_of(node, struct idle, in_bucket);

		if (!same_key(&idle->key, key) || now - idle->since > idle_ms ||
		    !allow(allow_arg, conn_peer(idle->conn)))
			continue;
		if (is_quiet(idle->conn))
			return take(idle);
		drop(idle);
	}
	return NULL;
}

int
upstreams_get(struct upstreams *u, const struct upstream_target *target,
    int64_t idle_ms, upstream_allow_fn *allow, void *allow_arg, upstream_fn *fn,
    void *arg, struct conn **conn, struct upstream_wait **wait)
{
	struct upstream_key key;

	*conn = NULL;
	*wait = NULL;
	if (idle_ms != UPSTREAM_NONE && upstream_key_set(&key, target)) {
		*conn = take_idle(u, &key, idle_ms, allow, allow_arg);
		if (*conn)
			return 0;
	}
	return upstream_race(u, target, allow, allow_arg, fn, arg, wait);
}

static void
drop_oldest(struct upstreams *u)
{
	drop(container_of(u->by_age.next, struct idle, in_age));
}

bool
upstreams_give_up_idle(struct upstreams *u)
{
	if (u->idle_count == 0)
		return false;
	drop_oldest(u);
	return true;
}

/* Room for one more of this target. */
static void
trim_target(struct upstreams *u, const struct upstream_key *key)
{
	struct list *bucket = &u->bucket[key->hash % UPSTREAM_BUCKETS];
	struct idle *oldest = NULL;
	unsigned count = 0;

	if (u->in_bucket[key->hash % UPSTREAM_BUCKETS] <
	    u->options.idle_per_target)
		return;
	list_each (node, bucket) {
		struct idle *idle = container_of(node, struct idle, in_bucket);

		if (same_key(&idle->key, key)) {
			oldest = idle;
			count++;
		}
	}
	if (oldest && count >= u->options.idle_per_target)
		drop(oldest);
}

static struct idle *
new_idle(struct upstreams *u)
{
	struct list *node = list_shift(&u->spare);
	struct idle *idle;

	if (node)
		return container_of(node, struct idle, in_bucket);
	idle = zeroed(sizeof(*idle));
	if (idle == NULL)
		return NULL;
	list_init(&idle->in_bucket);
	list_init(&idle->in_age);
	idle->u = u;
	return idle;
}

void
upstreams_put(struct upstreams *u, const struct upstream_target *target,
    struct conn **out)
{
	struct conn *conn = *out;
	struct idle *idle = NULL;
	struct upstream_key key;

	*out = NULL;
	if (conn == NULL)
		return;
	if (u->options.idle_ms > 0 && u->options.idle_per_target &&
	    u->options.idle_total && upstream_key_set(&key, target) &&
	    is_quiet(conn)) {
		trim_target(u, &key);
		if (u->idle_count >= u->options.idle_total)
			drop_oldest(u);
		idle = new_idle(u);
	}
	if (idle == NULL) {
		conn_close(&conn, false);
		return;
	}
	idle->conn = conn;
	idle->since = loop_mono_ms(u->loop);
	idle->key = key;
	list_prepend(&u->bucket[key.hash % UPSTREAM_BUCKETS], &idle->in_bucket);
	list_append(&u->by_age, &idle->in_age);
	u->idle_count++;
	u->in_bucket[key.hash % UPSTREAM_BUCKETS]++;
	conn_set_handler(conn, on_idle, idle);
	conn_set_timeout(conn, u->options.idle_ms);
}

int
upstreams_new(struct upstreams **out, struct loop *loop,
    struct resolver *resolver, struct tls_context *tls,
    const struct upstream_options *options)
{
	struct upstreams *u = calloc(1, sizeof(*u));

	*out = u;
	if (u == NULL)
		return LARDER_NOMEM;
	u->loop = loop;
	u->resolver = resolver;
	u->tls = tls;
	u->options = *options;
	for (unsigned i = 0; i < UPSTREAM_BUCKETS; i++)
		list_init(&u->bucket[i]);
	list_init(&u->by_age);
	list_init(&u->spare);
	list_init(&u->waits);
	return 0;
}

void
upstreams_configure(struct upstreams *u, const struct upstream_options *options)
{
	u->options = *options;
	while (u->idle_count > u->options.idle_total)
		drop_oldest(u);
}

void
upstreams_free(struct upstreams **out)
{
	struct upstreams *u = *out;
	struct list *node;

	*out = NULL;
	if (u == NULL)
		return;
	while (!list_empty(&u->waits))
		upstream_race_cancel_first(u);
	while (u->idle_count)
		drop_oldest(u);
	while ((node = list_shift(&u->spare)))
		free(container_of(node, struct idle, in_bucket));
	free(u);
}
