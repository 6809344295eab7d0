/*
 * What always holds: at most one exchange a connection, answered before the
 * next head is parsed, so that pipelined requests are answered in order; input
 * is only read while there is none, or as the exchange's body.
 *
 *   IDLE ── first byte ──> HEADING ── head whole ──> BUSY ── client_next ─┐
 *    ^ └── idle timeout                └── header timeout (408)           │
 *    └────────────────────────────────────────────────────────────────────┘
 */
#include <stdlib.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/log.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"

/* How long a connection that came too late for a request has to send one. */
#define DRAIN_GRACE_MS 500

static void read_request(struct client *c);

static void
destroy(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct client, garbage));
}

/* The one place where a client ends. */
static void
client_end(struct client *c)
{
	struct worker *w = c->w;

	check(c->exchange == NULL);
	list_remove(&c->node);
	atomic_fetch_sub_explicit(&w->open, 1, memory_order_relaxed);
	c->magic = 0;
	loop_discard(w->loop, &c->garbage, destroy);
	worker_check_drained(w);
}

static void
client_close(struct client *c, bool linger)
{
	conn_close(&c->conn, linger);
	client_end(c);
}

void
client_reset(struct client *c)
{
	conn_reset(&c->conn);
	client_end(c);
}

struct conn *
client_take_conn(struct client *c)
{
	struct conn *conn = c->conn;

	c->conn = NULL;
	client_end(c);
	return conn;
}

static void
wait_for_request(struct client *c)
{
	c->heading = false;
	c->scanned = 0;
	conn_set_timeout(c->conn, c->w->conf->idle_timeout);
}

static void
wait_for_head(struct client *c)
{
	if (c->heading)
		return;
	c->heading = true;
	conn_set_timeout(c->conn, c->w->conf->header_timeout);
}

static void
refuse(struct client *c, const struct http_fault *fault)
{
	struct exchange *x = exchange_new(c);

	if (x == NULL) {
		client_close(c, true);
		return;
	}
	c->exchange = x;
	x->step = answer_fault(x, fault);
	exchange_run(x);
}

static void
start_exchange(struct client *c, size_t size)
{
	struct http_fault fault;
	struct exchange *x = exchange_new(c);

	if (x == NULL) {
		client_close(c, false);
		return;
	}
	c->exchange = x;
	c->heading = false;
	c->scanned = 0;
	conn_set_timeout(c->conn, 0);
	x->raw = arena_copy(&x->arena, bytes_of(conn_input(c->conn).p, size));
	conn_consume(c->conn, size);
	stats_add(&c->w->stats, STAT_requests, 1);
	if (x->raw.p == NULL) {
		fault = (struct http_fault){431, "The request is too large."};
		x->step = answer_fault(x, &fault);
	} else if (http_parse_request(x->raw, &worker_limits, &x->arena,
		       &x->head, &fault) < 0 ||
		   http_body_of_request(&x->head, &x->body, &fault) < 0 ||
		   http_target_parse(&x->head, &x->arena, &x->target, &fault) <
		       0) {
		x->step = answer_fault(x, &fault);
	}
	exchange_run(x);
}

/* Parses what is buffered; false: more is needed. */
static bool
parse_input(struct client *c)
{
	struct bytes in = conn_input(c->conn);
	struct http_fault fault;
	size_t size;
	int err;

	if (in.n == 0)
		return false;
	err = http_head_scan(
	    in, &worker_limits, true, &c->scanned, &size, &fault);
	if (err == LARDER_AGAIN)
		return false;
	if (err < 0)
		refuse(c, &fault);
	else
		start_exchange(c, size);
	return true;
}

static void
read_request(struct client *c)
{
	for (;;) {
		ssize_t n;

		if (parse_input(c))
			return;
		if (c->ended) {
			client_close(c, false);
			return;
		}
		/* A CR at the limit says nothing yet. */
		n = conn_fill(c->conn, WORKER_HEAD + 2);
		if (n > 0)
			continue;
		if (n == LARDER_AGAIN)
			break;
		if (n != LARDER_CLOSED && n != LARDER_TOOBIG) {
			client_close(c, false);
			return;
		}
		c->ended = true;
	}
	if (conn_input(c->conn).n > 0)
		wait_for_head(c);
}

static void
on_timeout(struct client *c)
{
	struct http_fault fault = {408, "The request did not come in time."};

	if (c->heading && conn_input(c->conn).n > 0)
		refuse(c, &fault);
	else
		client_close(c, false);
}

/*
 * While an exchange is under way, reading is for its body. An orderly end is
 * noted: a client may have said all it wants to say. A reset shows when the
 * answer is written.
 */
static void
on_exchange_event(struct client *c, unsigned what)
{
	struct exchange *x = c->exchange;

	if (what & CONN_TIMEOUT) {
		exchange_abort(x);
		return;
	}
	if ((what & CONN_READABLE) && x->fetch != NULL)
		fetch_source_readable(x->fetch);
	if (what & CONN_WRITABLE)
		exchange_run(x);
}

static void
on_event(struct conn *conn, unsigned what, void *arg)
{
	struct client *c = arg;

	(void)conn;
	check_magic(c, CLIENT_MAGIC);
	if (c->exchange != NULL) {
		on_exchange_event(c, what);
		return;
	}
	if (what & CONN_READABLE)
		read_request(c);
	else if (what & CONN_TIMEOUT)
		on_timeout(c);
}

void
client_new(struct worker *w, int fd, const union addr *peer)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		log_warnx("a client is turned away: out of memory");
		close(fd);
		return;
	}
	c->magic = CLIENT_MAGIC;
	c->w = w;
	c->peer = *peer;
	if (conn_new(&c->conn, w->loop, fd, on_event, c) < 0) {
		log_warn("a client is turned away");
		free(c);
		return;
	}
	list_append(&w->clients, &c->node);
	atomic_fetch_add_explicit(&w->open, 1, memory_order_relaxed);
	stats_add(&w->stats, STAT_connections, 1);
	wait_for_request(c);
	/* It was in the backlog: it gets its one answer, if it asks. */
	if (w->draining) {
		c->heading = true;
		conn_set_timeout(c->conn, DRAIN_GRACE_MS);
	}
}

void
client_next(struct client *c, bool keep)
{
	check(c->exchange == NULL);
	if (!keep || c->w->draining) {
		client_close(c, !c->ended);
		return;
	}
	wait_for_request(c);
	/* Not from here: the stack would grow with the pipeline. */
	if (conn_input(c->conn).n > 0 || c->ended || conn_readable(c->conn))
		conn_poke(c->conn, CONN_READABLE);
}

void
clients_close_idle(struct worker *w)
{
	list_each_safe (node, &w->clients) {
		struct client *c = container_of(node, struct client, node);

		if (c->exchange == NULL && !c->heading)
			client_close(c, false);
	}
}

void
clients_abort_all(struct worker *w)
{
	list_each_safe (node, &w->clients) {
		struct client *c = container_of(node, struct client, node);

		if (c->exchange != NULL)
			exchange_abort(c->exchange);
		else
			client_close(c, false);
	}
}
