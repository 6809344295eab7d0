/*
 * A new connection: the name resolved, every address judged, those that are
 * left tried in turn, the next one when the last has failed or a head start
 * has passed (RFC 8305 5). The first that is open, TLS included, wins.
 *
 *   RESOLVING ──> RACING   begin()
 *   RACING ──> DONE        on_attempt(): fn gets the connection
 *   any ──> FAILED         conclude(): fn is called from a task, so never from
 *                          inside upstreams_get()
 *   any ──> gone           upstream_cancel()
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"
#include "net/upstream_internal.h"

#define HEAD_START_MS 250

struct attempt {
	struct upstream_wait *wait;
	struct conn *conn; /* NULL: not begun, or over */
};

struct upstream_wait {
	struct list node; /* in u->waits */
	struct loop_garbage garbage;
	struct upstreams *u;
	struct upstream_key key;
	upstream_allow_fn *allow;
	void *allow_arg;
	upstream_fn *fn;
	void *arg;
	struct resolve *resolve;      /* NULL: resolved */
	struct resolve_answer answer; /* those that are allowed */
	struct attempt attempt[RESOLVE_MAX];
	unsigned next, running;
	struct loop_timer head_start, deadline;
	struct loop_task task;
	int err; /* the weightiest failure so far */
	char why[384];
};

/* ---- the end ---------------------------------------------------------- */

static void
destroy(struct loop_garbage *garbage)
{
	struct upstream_wait *w =
	    container_of(garbage, struct upstream_wait, garbage);

	loop_timer_release(&w->head_start);
	loop_timer_release(&w->deadline);
	free(w);
}

static void
end(struct upstream_wait *w)
{
	list_remove(&w->node);
	resolve_cancel(&w->resolve);
	loop_task_stop(&w->task);
	loop_timer_stop(&w->head_start);
	loop_timer_stop(&w->deadline);
	for (unsigned i = 0; i < w->next; i++)
		if (w->attempt[i].conn)
			conn_close(&w->attempt[i].conn, false);
	loop_discard(w->u->loop, &w->garbage, destroy);
}

static void
on_task(void *arg)
{
	struct upstream_wait *w = arg;

	end(w);
	w->fn(w->arg, w->err, NULL, false, w->why);
}

/* For a sentence: nothing in it that is not a name's or an address's. */
static const char *
host_of(const struct upstream_wait *w)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_:";

	if (w->key.n == 0 || strspn(w->key.host, allowed) != w->key.n)
		return "the host";
	return w->key.host;
}

static void __attribute__((format(printf, 3, 4)))
conclude(struct upstream_wait *w, int err, const char *format, ...)
{
	va_list ap;

	w->err = err;
	va_start(ap, format);
	vsnprintf(w->why, sizeof(w->why), format, ap);
	va_end(ap);
	loop_task_start(w->u->loop, &w->task);
}

/* The first failure is the one to tell, but for one that says more. */
static void
note_failure(struct upstream_wait *w, int err, const char *why)
{
	if (w->err && (err != LARDER_TLS || w->err == LARDER_TLS))
		return;
	w->err = err;
	snprintf(w->why, sizeof(w->why), "%s", why);
}

/* ---- the race --------------------------------------------------------- */

static void on_attempt(struct conn *conn, unsigned what, void *arg);

/* No descriptor is left: one that nobody uses is given back for it. */
static bool
make_way(struct upstreams *u, int system_error)
{
	if (system_error != EMFILE && system_error != ENFILE)
		return false;
	if (upstreams_give_up_idle(u))
		return true;
	return u->options.starved && u->options.starved(u->options.starved_arg);
}

static int
begin_attempt(struct attempt *attempt, const union addr *to)
{
	struct upstream_wait *w = attempt->wait;
	struct tls_context *tls = w->key.tls ? w->u->tls : NULL;
	struct bytes host = bytes_of(w->key.host, w->key.n);
	int err, left = 2;

	do
		err = conn_connect(&attempt->conn, w->u->loop, to, tls, host,
		    on_attempt, attempt);
	while (err != 0 && --left > 0 && make_way(w->u, errno));
	return err;
}

/* Begins attempts until one is under way; concludes when none can win. */
static void
try_next(struct upstream_wait *w)
{
	while (w->next < w->answer.count) {
		const union addr *to = &w->answer.addr[w->next];
		struct attempt *attempt = &w->attempt[w->next++];
		int err;

		attempt->wait = w;
		err = begin_attempt(attempt, to);
		if (err == 0) {
			w->running++;
			if (w->next < w->answer.count)
				loop_timer_start(&w->head_start, HEAD_START_MS);
			return;
		}
		note_failure(w, err,
		    err == LARDER_NOMEM ? "out of memory"
					: "no socket is to be had");
	}
	if (w->running == 0)
		loop_task_start(w->u->loop, &w->task);
}

static void
on_attempt(struct conn *conn, unsigned what, void *arg)
{
	struct attempt *attempt = arg;
	struct upstream_wait *w = attempt->wait;

	check(attempt->conn == conn);
	if (what & CONN_FAILED) {
		note_failure(w, conn_error(conn), conn_error_text(conn));
		conn_close(&attempt->conn, false);
		w->running--;
		try_next(w);
	} else if (what & CONN_OPENED) {
		attempt->conn = NULL;
		conn_set_handler(conn, NULL, NULL);
		end(w);
		w->fn(w->arg, 0, conn, false, "");
	}
}

static void
on_head_start(void *arg)
{
	try_next(arg);
}

static void
on_deadline(void *arg)
{
	struct upstream_wait *w = arg;
	long long ms = w->u->options.connect_ms;

	if (w->resolve)
		conclude(w, LARDER_TIMEOUT,
		    "no name server has answered for %s in %lld.%lld seconds",
		    host_of(w), ms / 1000, ms % 1000 / 100);
	else
		conclude(w, LARDER_TIMEOUT,
		    "%s port %u does not answer: no connection in %lld.%lld "
		    "seconds",
		    host_of(w), w->key.port, ms / 1000, ms % 1000 / 100);
}

/* The name is resolved: judge, and start. */
static void
begin(struct upstream_wait *w, const struct resolve_answer *answer)
{
	char text[ADDR_TEXT];

	w->answer.count = 0;
	for (unsigned i = 0; i < answer->count; i++)
		if (w->allow(w->allow_arg, &answer->addr[i]))
			w->answer.addr[w->answer.count++] = answer->addr[i];
	if (w->answer.count == 0)
		conclude(w, LARDER_REFUSED,
		    "%s is at %s, which access.destinations does not allow",
		    host_of(w), addr_format_host(&answer->addr[0], text));
	else
		try_next(w);
}

static void
not_resolved(struct upstream_wait *w, int err)
{
	switch (err) {
	case LARDER_NONAME:
		conclude(w, err,
		    "the name of %s does not resolve: there is "
		    "no such name, or it has no address",
		    host_of(w));
		break;
	case LARDER_TIMEOUT:
		conclude(w, err,
		    "the name of %s cannot be resolved: no name server "
		    "answers",
		    host_of(w));
		break;
	default:
		conclude(w, err,
		    "the name of %s cannot be resolved: the name service "
		    "failed",
		    host_of(w));
		break;
	}
}

static void
on_resolved(void *arg, int err, const struct resolve_answer *answer)
{
	struct upstream_wait *w = arg;

	w->resolve = NULL;
	if (err)
		not_resolved(w, err);
	else
		begin(w, answer);
}

int
upstream_race(struct upstreams *u, const struct upstream_target *target,
    upstream_allow_fn *allow, void *allow_arg, upstream_fn *fn, void *arg,
    struct upstream_wait **out)
{
	struct upstream_wait *w = calloc(1, sizeof(*w));
	struct resolve_answer answer;
	int err;

	if (w == NULL)
		return LARDER_NOMEM;
	w->u = u;
	w->allow = allow;
	w->allow_arg = allow_arg;
	w->fn = fn;
	w->arg = arg;
	loop_task_init(&w->task, on_task, w);
	loop_timer_init(&w->head_start, u->loop, on_head_start, w);
	loop_timer_init(&w->deadline, u->loop, on_deadline, w);
	list_append(&u->waits, &w->node);
	loop_timer_start(&w->deadline, u->options.connect_ms);
	*out = w;
	if (!upstream_key_set(&w->key, target)) {
		conclude(w, LARDER_NONAME, "there is no such host name");
	} else if (target->tls && u->tls == NULL) {
		conclude(w, LARDER_TLS, "TLS is not set up");
	} else {
		err = resolve_start(u->resolver, target->host, target->port,
		    &answer, &w->resolve, on_resolved, w);
		if (err == 0)
			begin(w, &answer);
		else if (err != LARDER_AGAIN)
			not_resolved(w, err);
	}
	return LARDER_AGAIN;
}

void
upstream_cancel(struct upstream_wait **out)
{
	struct upstream_wait *w = *out;

	*out = NULL;
	if (w)
		end(w);
}

void
upstream_race_cancel_first(struct upstreams *u)
{
	end(container_of(u->waits.next, struct upstream_wait, node));
}
