/*
 * The request's body, from the leader's client to the origin: taken apart,
 * framed anew and staged in one bounded buffer. When the origin does not take
 * it, the client is not read.
 */
#include <stdlib.h>

#include "http/forward.h"
#include "larder/check.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"

/* The leader's client left, or sent nonsense, in the middle of its body: the
 * origin must not take what it has for the whole. */
static void
upload_broken(struct fetch *f)
{
	struct exchange *x = f->leader;

	x->keep = false;
	fetch_fail(f, 400, "request-body",
	    "The request's body is broken or incomplete.");
}

bool
upload_too_slow(struct fetch *f)
{
	struct exchange *x = f->leader;

	if (!f->uploads || x == NULL || x->step != STEP_AWAIT ||
	    f->state != FETCH_ASKING)
		return false;
	x->keep = false;
	fetch_fail(f, 408, "request-timeout",
	    "The request's body did not come in time.");
	return true;
}

static void
stage(struct fetch *f, const void *p, size_t n)
{
	check(n <= FETCH_ROOM - f->staged);
	if (n == 0)
		return;
	memcpy(f->staging + f->staged, p, n);
	f->staged += n;
}

static void
stage_data(struct fetch *f, struct bytes data)
{
	bool chunked = f->leader->body.framing == HTTP_BODY_CHUNKED;
	char head[HTTP_CHUNK_HEAD];

	if (data.n == 0)
		return;
	if (chunked)
		stage(f, head, http_chunk_head(head, data.n));
	stage(f, data.p, data.n);
	if (chunked)
		stage(f, "\r\n", 2);
}

static void
stage_end(struct fetch *f)
{
	struct exchange *x = f->leader;
	struct bytes trailers =
	    http_trailers_write(http_body_trailers(&x->body), &f->request,
		&worker_limits, &f->arena);

	if (x->body.framing == HTTP_BODY_CHUNKED) {
		stage(f, "0\r\n", 3);
		stage(f, trailers.p, trailers.n);
		stage(f, "\r\n", 2);
	}
	f->uploads = false;
	conn_set_timeout(x->client->conn, 0);
}

/* More of the client's bytes. False: they are to come, or f is gone. */
static bool
read_more(struct fetch *f)
{
	struct exchange *x = f->leader;
	ssize_t n = conn_fill(x->client->conn, WORKER_READ);
	int64_t now = loop_mono_ms(f->w->loop), left;

	if (n == LARDER_AGAIN) {
		/* It is the client's turn, not the origin's. */
		left = pace_wait(&f->pace, now);
		conn_set_timeout(x->client->conn, left > 0 ? left : 1);
		if (f->state == FETCH_ASKING)
			conn_set_timeout(f->conn, 0);
		return false;
	}
	conn_set_timeout(x->client->conn, 0);
	pace_moved(&f->pace, now, n > 0 ? (uint64_t)n : 0);
	if (n < 0) {
		x->client->ended = true;
		upload_broken(f);
		return false;
	}
	return true;
}

/* Takes from the client's input, as much as there is room for. False: nothing
 * there yet, or f is gone. */
static bool
upload_some(struct fetch *f)
{
	struct exchange *x = f->leader;
	struct conn *conn = x->client->conn;
	struct bytes in, data;
	size_t used;
	int err;

	if (conn_input(conn).n == 0 && !read_more(f))
		return false;
	in = conn_input(conn);
	if (in.n > FETCH_STAGING / 2)
		in.n = FETCH_STAGING / 2;
	f->upload_begun = true;
	err = http_body_next(&x->body, in, &used, &data);
	if (err == LARDER_INVALID) {
		upload_broken(f);
		return false;
	}
	stage_data(f, data);
	conn_consume(conn, used);
	if (err == LARDER_ABSENT || http_body_done(&x->body))
		stage_end(f);
	else if (err == LARDER_AGAIN && used == 0)
		/* The start of something: more is needed to tell. */
		return read_more(f);
	return true;
}

/* Fills the staging buffer; false: nothing to send now. */
bool
upload_fill(struct fetch *f)
{
	if (!f->uploads || f->leader == NULL || f->write_failed)
		return false;
	if (f->staging == NULL) {
		f->staging = malloc(FETCH_ROOM);
		if (f->staging == NULL) {
			fetch_fail(f, 502, "no-memory", "No memory is left.");
			return false;
		}
	}
	f->staged = f->staged_sent = 0;
	while (f->uploads && f->staged < FETCH_STAGING / 2)
		if (!upload_some(f))
			break;
	return f->state != FETCH_OVER && f->staged > 0;
}
