/*
 * Two connections, joined. Each way: what one side sends lies in its input
 * buffer until the other has taken it; while that is full the sender is not
 * read. Where much comes at once it goes through a pipe, which takes the
 * buffer's place and is never copied. An orderly end of one side is passed on
 * behind its last byte, and the other way goes on.
 *
 *   OPENING (has an exchange) ── connected, 200 written ──> OPEN ──> (freed)
 */
#include <stdlib.h>

#include "larder/check.h"
#include "net/conn.h"
#include "proxy/access.h"
#include "proxy/acl.h"
#include "proxy/client.h"
#include "proxy/fetch.h"
#include "proxy/tally.h"
#include "proxy/tunnel.h"

#define TUNNEL_MAGIC 0x74756e6eu
/* Bytes in a turn that are worth a pipe. */
#define BULK	     (48u * 1024)

/* One way. */
struct way {
	struct conn *from, *to;
	struct pipe *pipe; /* while something lies in it */
	bool bulk;	   /* much came at once */
	bool copies;	   /* for there is no other way */
	bool served;	   /* see worker_burst() */
	bool ended;	   /* `from` has said all */
	bool shut;	   /* and `to` has been told */
};

struct tunnel {
	uint32_t magic;
	struct loop_garbage garbage;
	struct list node; /* in worker.tunnels */
	struct worker *w;
	struct exchange *x;	  /* while it is being opened */
	struct guard_place place; /* from the client, once it is open */
	struct upstream_wait *wait;
	struct conn *client, *origin;
	struct way up, down;
	struct bytes greeting; /* what is left of the 200 */
	int64_t started, idle; /* wall clock ms; ms */
	uint64_t counted;      /* bytes, both ways */
	uint64_t tally_hash;   /* of peer; see tally_at_client() */
	union addr peer;
	char origin_text[ADDR_TEXT];
	char *url; /* host:port */
	bool failed;
};

static void pump_both(struct tunnel *t);

static void
destroy(struct loop_garbage *garbage)
{
	struct tunnel *t = container_of(garbage, struct tunnel, garbage);

	free(t->url);
	free(t);
}

static void
discard(struct tunnel *t)
{
	t->magic = 0;
	list_remove(&t->node);
	guard_leave(t->w->guard, &t->place);
	if (t->wait != NULL)
		upstream_cancel(&t->wait);
	loop_discard(t->w->loop, &t->garbage, destroy);
	worker_check_drained(t->w);
}

static void
record(struct tunnel *t, uint64_t down)
{
	struct access_log *log = proxy_access_log(t->w->proxy);
	struct access_record r = {
	    .started = t->started,
	    .ended = loop_wall_ms(t->w->loop),
	    .client = &t->peer,
	    .result = RESULT_TUNNEL,
	    .aborted = t->failed,
	    .status = 200,
	    .bytes = down,
	    .method = BYTES("CONNECT"),
	    .url = bytes_str(t->url),
	    .peer = t->origin_text,
	};

	if (access_log_wanted(log))
		access_log_write(log, &r);
}

/* Without its port. */
static struct bytes
host_of(const struct tunnel *t)
{
	struct bytes url = bytes_str(t->url);

	while (url.n > 0 && url.p[url.n - 1] != ':')
		url.n--;
	return bytes_of(url.p, url.n > 0 ? url.n - 1 : 0);
}

/* A tunnel may last for days: what it moves is counted as it does. */
static void
count_moved(struct tunnel *t)
{
	uint64_t now = conn_bytes_out(t->client) + conn_bytes_out(t->origin);
	struct tally_counts counts = {
	    .requests = t->counted == 0, .tunnelled = now - t->counted};

	if (now == t->counted)
		return;
	stats_add(&t->w->stats, STAT_tunnel_bytes, counts.tunnelled);
	tally_add(
	    tally_at_client(t->w->tally, &t->peer, &t->tally_hash), &counts);
	tally_add(tally_at(t->w->tally, TALLY_HOST, host_of(t)), &counts);
	t->counted = now;
}

static void
tunnel_end(struct tunnel *t, bool failed)
{
	t->failed = failed;
	pipe_put(&t->w->pipes, &t->up.pipe);
	pipe_put(&t->w->pipes, &t->down.pipe);
	count_moved(t);
	record(t, conn_bytes_out(t->client));
	if (failed) {
		conn_reset(&t->client);
		conn_reset(&t->origin);
	} else {
		conn_close(&t->client, false);
		conn_close(&t->origin, false);
	}
	discard(t);
}

/* 0: all that is there is through; LARDER_AGAIN: `to` is full; LARDER_IO. */
static int
flush_way(struct way *way)
{
	struct bytes in;

	while ((in = conn_input(way->from)).n > 0) {
		struct iovec iov = {(void *)(uintptr_t)in.p, in.n};
		ssize_t n = conn_writev(way->to, &iov, 1, false);

		if (n < 0)
			return (int)n;
		conn_consume(way->from, (size_t)n);
	}
	while (way->pipe != NULL && way->pipe->held > 0) {
		ssize_t n = conn_splice_out(way->to, way->pipe);

		if (n < 0)
			return (int)n;
	}
	if (way->ended && !way->shut) {
		way->shut = true;
		conn_shutdown(way->to);
	}
	return 0;
}

/* As conn_fill() says. */
static ssize_t
take(struct worker *w, struct way *way)
{
	ssize_t n = LARDER_AGAIN;

	if (way->bulk && !way->copies && way->pipe == NULL)
		way->pipe = pipe_get(&w->pipes);
	if (way->pipe != NULL)
		n = conn_splice_in(way->from, way->pipe);
	way->copies |= n == LARDER_INVALID;
	return n > 0 ? n : conn_fill(way->from, WORKER_READ);
}

/* Moves up to a burst. 0, or LARDER_IO; *more: there may be more at once. */
static int
move(struct worker *w, struct way *way, size_t burst, size_t *moved, bool *more)
{
	while (*moved < burst) {
		int err = flush_way(way);
		ssize_t n;

		if (err != 0)
			return err == LARDER_AGAIN ? 0 : err;
		if (way->ended)
			return 0;
		n = take(w, way);
		if (n == LARDER_AGAIN)
			return 0;
		if (n == LARDER_CLOSED)
			way->ended = true;
		else if (n < 0)
			return LARDER_IO;
		else
			*moved += (size_t)n;
		way->bulk |= *moved >= BULK;
	}
	*more = true;
	return 0;
}

static int
pump(struct tunnel *t, struct way *way, bool *more)
{
	size_t burst = worker_burst(t->w, &way->served), moved = 0;
	int err = move(t->w, way, burst, &moved, more);

	t->w->moved += moved;
	/* One that waits for its turn, or its other side, goes on as it was. */
	if (burst > 0 && (way->pipe == NULL || way->pipe->held == 0))
		way->bulk = moved >= BULK;
	if (way->pipe != NULL && way->pipe->held == 0)
		pipe_put(&t->w->pipes, &way->pipe);
	return err;
}

static int
write_greeting(struct tunnel *t)
{
	while (t->greeting.n > 0) {
		struct iovec iov = {
		    (void *)(uintptr_t)t->greeting.p, t->greeting.n};
		ssize_t n = conn_writev(t->client, &iov, 1, false);

		if (n < 0)
			return (int)n;
		t->greeting = bytes_skip(t->greeting, (size_t)n);
	}
	return 0;
}

static void
pump_both(struct tunnel *t)
{
	bool more = false;
	int err = write_greeting(t);

	conn_set_timeout(t->client, t->idle);
	if (err == LARDER_AGAIN)
		return;
	/* An origin that takes no more may have said something all the same. */
	if (err == 0 && !t->up.shut && pump(t, &t->up, &more) < 0)
		t->up.ended = t->up.shut = t->failed = true;
	if (err < 0 || pump(t, &t->down, &more) < 0) {
		tunnel_end(t, true);
		return;
	}
	if (t->up.shut && t->down.shut) {
		tunnel_end(t, t->failed);
		return;
	}
	count_moved(t);
	if (more)
		conn_poke(t->client, CONN_READABLE);
}

static void
on_event(struct conn *conn, unsigned what, void *arg)
{
	struct tunnel *t = arg;

	(void)conn;
	check_magic(t, TUNNEL_MAGIC);
	if (what & CONN_TIMEOUT)
		tunnel_end(t, true);
	else
		pump_both(t);
}

/* The exchange has done its part: the connections are the tunnel's. */
static void
open_tunnel(struct tunnel *t, struct conn *origin)
{
	struct exchange *x = t->x;
	struct client *client = x->client;

	t->x = NULL;
	x->tunnel = NULL;
	t->origin = origin;
	addr_format_host(conn_peer(origin), t->origin_text);
	stats_add(&t->w->stats, STAT_tunnels, 1);
	mailbox_cancel(&x->note);
	client->exchange = NULL;
	exchange_release(&x);
	t->client = client_take_conn(client, &t->place);
	conn_set_handler(t->client, on_event, t);
	conn_set_handler(origin, on_event, t);
	conn_set_timeout(origin, 0);
	t->up = (struct way){.from = t->client, .to = origin};
	t->down = (struct way){.from = origin, .to = t->client};
	t->up.copies = t->down.copies =
	    !conn_splices(t->client) || !conn_splices(origin);
	t->greeting = BYTES("HTTP/1.1 200 Connection established\r\n\r\n");
	pump_both(t);
}

static void
on_connected(
    void *arg, int err, struct conn *conn, bool reused, const char *why)
{
	struct tunnel *t = arg;
	struct exchange *x = t->x;
	struct bytes text;

	(void)reused;
	check_magic(t, TUNNEL_MAGIC);
	t->wait = NULL;
	if (err == 0) {
		open_tunnel(t, conn);
		return;
	}
	x->tunnel = NULL;
	discard(t);
	text = answer_without_host(&x->arena, why, x->target.host);
	if (err == LARDER_REFUSED) {
		x->result = RESULT_DENIED;
		x->step = answer_own(
		    x, 403, "destination-refused", acl_destination_text);
	} else {
		x->step = answer_own(x, err == LARDER_TIMEOUT ? 504 : 502,
		    err == LARDER_TIMEOUT ? "connect-timeout"
					  : "connect-failed",
		    text.p);
	}
	exchange_run(x);
}

static bool
allow(void *arg, const union addr *address)
{
	struct tunnel *t = arg;

	return acl_allows_destination(t->x->conf, t->w->proxy, false, address);
}

static enum step
refuse(struct exchange *x, int status, const char *detail, const char *text)
{
	if (status == 403)
		x->result = RESULT_DENIED;
	return answer_own(x, status, detail, text);
}

enum step
tunnel_start(struct exchange *x)
{
	struct upstream_target target = {
	    .host = x->target.host, .port = x->target.port};
	struct conn *conn = NULL;
	struct tunnel *t;

	if (!http_body_done(&x->body))
		return refuse(x, 400, "connect-body", "CONNECT has no body.");
	if (!acl_allows_connect_port(x->conf, x->target.port))
		return refuse(x, 403, "port-refused",
		    "Tunnels to this port are not allowed. The rule is "
		    "access.connect_ports in larder.conf.");
	t = calloc(1, sizeof(*t));
	if (t != NULL)
		t->url = strndup(x->key.p, x->key.n);
	if (t == NULL || t->url == NULL) {
		free(t);
		return refuse(x, 503, "no-memory", "No memory is left.");
	}
	t->magic = TUNNEL_MAGIC;
	t->w = x->w;
	t->x = x;
	t->started = x->started;
	t->idle = x->conf->idle_timeout;
	t->peer = x->client->peer;
	list_append(&t->w->tunnels, &t->node);
	x->tunnel = t;
	if (upstreams_get(t->w->upstreams, &target, UPSTREAM_NONE, allow, t,
		on_connected, t, &conn, &t->wait) == LARDER_AGAIN)
		return STEP_WAIT;
	x->tunnel = NULL;
	discard(t);
	return refuse(x, 503, "no-memory", "No memory is left.");
}

void
tunnel_cancel(struct tunnel *t)
{
	check_magic(t, TUNNEL_MAGIC);
	t->x->tunnel = NULL;
	t->x = NULL;
	discard(t);
}

void
tunnels_abort_all(struct worker *w)
{
	list_each_safe (node, &w->tunnels) {
		struct tunnel *t = container_of(node, struct tunnel, node);

		if (t->x == NULL)
			tunnel_end(t, true);
	}
}
