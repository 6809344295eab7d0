/*
 * A fetch's connection: which one it asks over, what comes from there, and
 * once more over another one.
 *
 * What always holds: a request is sent twice only if it is safe to, nothing of
 * its body was taken from the client, and nothing of an answer had come.
 */
#include "http/forward.h"
#include "larder/check.h"
#include "larder/log.h"
#include "proxy/acl.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"

/* How long ago an idle connection may have been in use for what cannot be sent
 * twice. */
#define RECENT_MS 500

/* ---- once more -------------------------------------------------------- */

static void
retry(struct fetch *f)
{
	f->retried = true;
	conn_close(&f->conn, false);
	f->scanned = 0;
	f->write_failed = false;
	if (ask_write(f) < 0)
		fetch_fail(f, 502, "no-memory", "The request is too large.");
	else
		fetch_connect(f, true);
}

/*
 * The connection ended before any byte of an answer: once more, if that cannot
 * do a thing twice (RFC 9110 9.2.2). An idle connection may just have ended;
 * one that was made for this request is a reason to try again only where there
 * is nothing to lose.
 */
void
fetch_no_answer(struct fetch *f)
{
	bool again = f->reused ? http_method_idempotent(f->request.method)
			       : http_method_safe(f->request.method) &&
				     !f->cache_request.content;

	if (again && !f->retried && !f->upload_begun && f->interims == 0)
		retry(f);
	else
		fetch_fail(f, 502, "no-answer",
		    "The origin closed the connection without an answer.");
}

void
fetch_ask_again(struct fetch *f)
{
	f->unconditional = true;
	f->interims = 0;
	f->scanned = 0;
	f->response = (struct http_head){0};
	fetch_release_conn(f);
	if (ask_write(f) < 0)
		fetch_fail(f, 502, "no-memory", "The request is too large.");
	else
		fetch_connect(f, false);
}

/* ---- the connection --------------------------------------------------- */

/* The connection moves bytes, or has to within this time. */
void
fetch_expect_progress(struct fetch *f)
{
	f->watches_room = false;
	conn_set_timeout(f->conn, f->conf->response_timeout);
}

static void
on_event(struct conn *conn, unsigned what, void *arg)
{
	struct fetch *f = arg;

	(void)conn;
	check_magic(f, FETCH_MAGIC);
	if ((what & CONN_TIMEOUT) && f->watches_room) {
		fetch_pump(f);
		return;
	}
	if (what & CONN_TIMEOUT) {
		fetch_fail(f, 504, "origin-timeout",
		    "The origin did not answer in time.");
		return;
	}
	/* Before writing: an early answer counts more than a failed write. */
	if (what & CONN_READABLE) {
		fetch_receive(f);
		if (f->state == FETCH_OVER || f->conn == NULL)
			return;
	}
	if (what & CONN_WRITABLE)
		fetch_send(f);
}

static void
use_conn(struct fetch *f, struct conn *conn, bool reused)
{
	f->conn = conn;
	f->reused = reused;
	f->state = FETCH_ASKING;
	f->bytes_before = conn_bytes_in(conn);
	f->request_time = worker_now(f->w);
	stats_add(&f->w->stats, STAT_origin_requests, 1);
	if (!reused)
		stats_add(&f->w->stats, STAT_origin_connections, 1);
	conn_set_handler(conn, on_event, f);
	fetch_expect_progress(f);
	fetch_send(f);
}

static void
on_connected(
    void *arg, int err, struct conn *conn, bool reused, const char *why)
{
	struct fetch *f = arg;
	struct bytes text;

	check_magic(f, FETCH_MAGIC);
	f->wait = NULL;
	if (err == 0) {
		use_conn(f, conn, reused);
		return;
	}
	log_debug("no connection for %.*s: %s", BYTES_FMT(f->key), why);
	text = answer_without_host(&f->arena, why, f->origin.host);
	if (err == LARDER_REFUSED)
		fetch_fail(f, 403, "destination-refused", acl_destination_text);
	else if (err == LARDER_TIMEOUT)
		fetch_fail(f, 504, "connect-timeout", text.p);
	else if (err == LARDER_NONAME)
		fetch_fail(f, 502, "no-such-host", text.p);
	else if (err == LARDER_TLS)
		fetch_fail(f, 502, "tls", text.p);
	else
		fetch_fail(f, 502, "connect-failed", text.p);
}

static bool
allow(void *arg, const union addr *address)
{
	struct fetch *f = arg;

	return acl_allows_destination(
	    f->conf, f->w->proxy, f->site != NULL, address);
}

/*
 * What must not be sent twice (RFC 9110 9.2.2) should not meet an origin that
 * closes an idle connection at this very moment: nobody could tell whether it
 * took the request. So it goes on one that was in use a moment ago, less than
 * any server waits before it closes, and is open as far as the kernel knows;
 * else on a new one. That costs a round trip now and then, where a new one for
 * each would cost one every time.
 */
static int64_t
oldest_idle(const struct fetch *f)
{
	if (f->uploads || !http_method_idempotent(f->request.method))
		return RECENT_MS;
	return UPSTREAM_ANY;
}

static bool
is_good(const struct fetch *f, struct conn **conn)
{
	if (oldest_idle(f) == UPSTREAM_ANY || conn_is_alive(*conn))
		return true;
	conn_close(conn, false);
	return false;
}

void
fetch_connect(struct fetch *f, bool fresh)
{
	struct conn *conn = NULL;
	int err;

	f->state = FETCH_CONNECTING;
	do
		err = upstreams_get(f->w->upstreams, &f->origin,
		    fresh ? UPSTREAM_NONE : oldest_idle(f), allow, f,
		    on_connected, f, &conn, &f->wait);
	while (err == 0 && !is_good(f, &conn));
	if (err == 0)
		use_conn(f, conn, true);
	else if (err != LARDER_AGAIN)
		fetch_fail(f, 502, "no-memory", "There is no memory left.");
}
