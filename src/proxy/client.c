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
/* Who finds no place has so long for the request that is refused; and so many
 * of a worker's may, others are closed without a word. */
#define REFUSED_MS     1000
#define REFUSED_MAX    64u

static void read_request(struct client *c);

static void
destroy(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct client, garbage));
}

/* ---- idle ones -------------------------------------------------------- */

static void
count_idle(struct worker *w, int by)
{
	int64_t since = 0;

	w->idle_count += (unsigned)by;
	if (w->idle_count > 0)
		since =
		    container_of(w->idle.next, struct client, idle)->idle_since;
	guard_set_idle(w->guard, w->index, w->idle_count, since);
}

static void
join_idle(struct client *c)
{
	if (!list_empty(&c->idle) || c->verdict != GUARD_ADMITTED)
		return;
	c->idle_since = loop_mono_ms(c->w->loop);
	list_append(&c->w->idle, &c->idle);
	count_idle(c->w, 1);
}

static void
leave_idle(struct client *c)
{
	if (list_empty(&c->idle))
		return;
	list_remove(&c->idle);
	count_idle(c->w, -1);
}

/* ---- the end ---------------------------------------------------------- */

/* The one place where a client ends. */
static void
client_end(struct client *c)
{
	struct worker *w = c->w;

	check(c->exchange == NULL);
	leave_idle(c);
	guard_leave(w->guard, &c->place);
	if (c->verdict != GUARD_ADMITTED)
		w->refused_count--;
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

bool
clients_give_up_idle(struct worker *w)
{
	struct client *c;

	if (list_empty(&w->idle))
		return false;
	c = container_of(w->idle.next, struct client, idle);
	stats_add(&w->stats, STAT_given_up, 1);
	client_close(c, false);
	return true;
}

struct conn *
client_take_conn(struct client *c, struct guard_place *place)
{
	struct conn *conn = c->conn;

	*place = c->place;
	c->place.held = false;
	c->conn = NULL;
	client_end(c);
	return conn;
}

/* ---- reading a head --------------------------------------------------- */

static void
wait_for_request(struct client *c)
{
	c->heading = false;
	c->scanned = 0;
	conn_set_timeout(c->conn, c->w->conf->idle_timeout);
	join_idle(c);
}

/* While we drain: it gets one answer, if it asks. */
static void
wait_a_moment(struct client *c)
{
	leave_idle(c);
	c->heading = true;
	conn_set_timeout(c->conn, DRAIN_GRACE_MS);
}

static void
wait_for_head(struct client *c)
{
	leave_idle(c);
	if (c->heading)
		return;
	c->heading = true;
	conn_set_timeout(c->conn, c->w->conf->header_timeout);
}

/* There is no place for it. */
static enum step
answer_refused(struct exchange *x, enum guard_verdict verdict)
{
	x->keep = false;
	x->result = RESULT_DENIED;
	if (verdict == GUARD_SHARE)
		return answer_own(x, 429, "client-share",
		    "This address has as many connections open as one may. "
		    "The rule is limits.client_share in larder.conf.");
	return answer_own(x, 503, "max-connections",
	    "All of this proxy's places for clients are taken. The rule is "
	    "limits.max_connections in larder.conf.");
}

/* Behind the empty lines that old clients send after a body. */
static struct bytes
begun(struct client *c)
{
	struct bytes in = conn_input(c->conn);

	while (bytes_starts(in, BYTES("\r\n")))
		in = bytes_skip(in, 2);
	return in;
}

/* Answers what is no whole request. */
static void
refuse(struct client *c, const struct http_fault *fault)
{
	struct exchange *x = exchange_new(c);

	if (x == NULL) {
		client_close(c, true);
		return;
	}
	leave_idle(c);
	c->exchange = x;
	/* Whatever is wrong with it: an answer to HEAD has no body. */
	if (bytes_starts(begun(c), BYTES("HEAD ")))
		x->head.method = HTTP_HEAD;
	x->step = answer_fault(x, fault);
	if (c->verdict != GUARD_ADMITTED)
		x->step = answer_refused(x, c->verdict);
	exchange_run(x);
}

static void
start_exchange(struct client *c, size_t size)
{
	struct http_limits limits = worker_request_limits(c->w->conf);
	struct http_fault fault;
	struct exchange *x = exchange_new(c);

	if (x == NULL) {
		client_close(c, false);
		return;
	}
	leave_idle(c);
	c->exchange = x;
	c->asked = true;
	c->heading = false;
	c->scanned = 0;
	conn_set_timeout(c->conn, 0);
	x->raw = arena_copy(&x->arena, bytes_of(conn_input(c->conn).p, size));
	conn_consume(c->conn, size);
	stats_add(&c->w->stats, STAT_requests, 1);
	if (x->raw.p == NULL) {
		fault = (struct http_fault){431, "The request is too large."};
		x->step = answer_fault(x, &fault);
	} else if (http_parse_request(
		       x->raw, &limits, &x->arena, &x->head, &fault) < 0 ||
		   http_body_of_request(&x->head, &x->body, &fault) < 0 ||
		   http_target_parse(&x->head, &x->arena, &x->target, &fault) <
		       0) {
		x->step = answer_fault(x, &fault);
	}
	if (c->verdict != GUARD_ADMITTED)
		x->step = answer_refused(x, c->verdict);
	exchange_run(x);
}

/* Parses what is buffered; false: more is needed. */
static bool
parse_input(struct client *c)
{
	struct http_limits limits = worker_request_limits(c->w->conf);
	struct bytes in = conn_input(c->conn);
	struct http_fault fault;
	size_t size;
	int err;

	if (in.n == 0)
		return false;
	err = http_head_scan(in, &limits, true, &c->scanned, &size, &fault);
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
		n = conn_fill(c->conn, c->w->conf->limit_head + 2);
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
	else if (!c->heading)
		join_idle(c);
}

static void
on_timeout(struct client *c)
{
	struct http_fault fault = {408, "The request did not come in time."};

	/* Without a request an answer would be taken for the next one's. */
	if (c->verdict != GUARD_ADMITTED || (c->heading && begun(c).n > 0)) {
		if (c->verdict == GUARD_ADMITTED)
			stats_add(&c->w->stats, STAT_too_slow, 1);
		refuse(c, &fault);
	} else {
		client_close(c, false);
	}
}

/* The client was waited for too long: for its body, or to take the answer. */
static void
on_slow(struct exchange *x)
{
	if (deliver_moves(x))
		return;
	stats_add(&x->w->stats, STAT_too_slow, 1);
	if (x->fetch == NULL || !upload_too_slow(x->fetch))
		exchange_abort(x);
}

/*
 * While an exchange is under way, reading is for its body. An orderly end is
 * noted: a client may have said all it wants to say, and gets its answer. Who
 * has reset the connection gets none.
 */
static void
on_exchange_event(struct client *c, unsigned what)
{
	struct exchange *x = c->exchange;

	if (what & CONN_GONE) {
		exchange_abort(x);
		return;
	}
	if (what & CONN_TIMEOUT) {
		on_slow(x);
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
	/* It asked, and left at once. */
	if ((what & CONN_GONE) && c->magic == CLIENT_MAGIC &&
	    c->exchange != NULL)
		exchange_abort(c->exchange);
}

/* ---- the beginning ---------------------------------------------------- */

/* A place, if need be the one of the connection that has been idle longest,
 * whosever it is. */
static enum guard_verdict
find_place(struct worker *w, const union addr *peer, struct guard_place *place)
{
	enum guard_verdict verdict = guard_enter(w->guard, peer, false, place);
	int oldest;

	if (verdict != GUARD_FULL)
		return verdict;
	oldest = guard_oldest(w->guard);
	if (oldest < 0)
		return verdict;
	/* In first, then one goes: who is asked must see that there are too
	 * many. */
	verdict = guard_enter(w->guard, peer, true, place);
	if (oldest == (int)w->index) {
		if (verdict == GUARD_FULL || guard_is_over(w->guard))
			clients_give_up_idle(w);
		if (verdict == GUARD_FULL)
			verdict = guard_enter(w->guard, peer, true, place);
	} else if (verdict == GUARD_ADMITTED) {
		guard_ask(w->guard, (unsigned)oldest, false);
	}
	return verdict;
}

static struct client *
make_client(struct worker *w, int fd, const union addr *peer)
{
	struct client *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		log_warnx("a client is turned away: out of memory");
		close(fd);
		return NULL;
	}
	c->magic = CLIENT_MAGIC;
	c->w = w;
	c->peer = *peer;
	list_init(&c->idle);
	if (conn_new(&c->conn, w->loop, fd, on_event, c) < 0) {
		log_warn("a client is turned away");
		free(c);
		return NULL;
	}
	return c;
}

void
client_new(struct worker *w, int fd, const union addr *peer, bool admin)
{
	struct guard_place place;
	enum guard_verdict verdict = find_place(w, peer, &place);
	struct client *c;

	if (verdict != GUARD_ADMITTED)
		stats_add(&w->stats,
		    verdict == GUARD_SHARE ? STAT_refused_share
					   : STAT_refused_full,
		    1);
	if (verdict != GUARD_ADMITTED && w->refused_count >= REFUSED_MAX) {
		close(fd);
		return;
	}
	c = make_client(w, fd, peer);
	if (c == NULL) {
		guard_leave(w->guard, &place);
		return;
	}
	c->place = place;
	c->verdict = verdict;
	c->admin = admin;
	list_append(&w->clients, &c->node);
	atomic_fetch_add_explicit(&w->open, 1, memory_order_relaxed);
	stats_add(&w->stats, STAT_connections, 1);
	if (verdict != GUARD_ADMITTED) {
		w->refused_count++;
		c->heading = true;
		conn_set_timeout(c->conn, REFUSED_MS);
	} else if (w->draining) {
		/* It was in the backlog. */
		wait_a_moment(c);
	} else {
		wait_for_request(c);
	}
}

/* So that the answer is not lost to a reset; but it costs nothing afterwards,
 * as lingering would. */
static void
drop_input(struct client *c)
{
	conn_consume(c->conn, conn_input(c->conn).n);
	for (int i = 0; i < 4 && conn_fill(c->conn, WORKER_READ) > 0; i++)
		conn_consume(c->conn, conn_input(c->conn).n);
}

void
client_next(struct client *c, bool keep)
{
	check(c->exchange == NULL);
	if (c->verdict != GUARD_ADMITTED) {
		drop_input(c);
		client_close(c, false);
		return;
	}
	if (!keep || c->w->draining) {
		client_close(c, !c->ended);
		return;
	}
	wait_for_request(c);
	/* Not from here: the stack would grow with the pipeline. */
	if (conn_input(c->conn).n > 0 || c->ended || conn_readable(c->conn)) {
		leave_idle(c);
		conn_poke(c->conn, CONN_READABLE);
	}
}

void
clients_close_idle(struct worker *w)
{
	list_each_safe (node, &w->clients) {
		struct client *c = container_of(node, struct client, node);

		if (c->exchange != NULL || c->heading)
			continue;
		if (!c->asked || conn_waiting(c->conn))
			wait_a_moment(c);
		else
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
