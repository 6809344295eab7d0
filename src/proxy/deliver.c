/*
 * The body towards the client: what its source has now, in the client's
 * framing. Whether the blob is whole, growing or a window makes no difference.
 *
 * What always holds
 *   - An answer ends well only if every byte of it was there: else the
 *     connection is reset, whatever the framing.
 *   - Nothing is copied but what the store decodes; at most one slice is held.
 */
#include "larder/check.h"
#include "larder/stats.h"
#include "net/conn.h"
#include "proxy/client.h"
#include "proxy/exchange.h"

static void
put_frame(struct exchange *x, const char *p, size_t n)
{
	check(x->before_count < (int)ARRAY_SIZE(x->before));
	x->before[x->before_count].iov_base = (void *)(uintptr_t)p;
	x->before[x->before_count++].iov_len = n;
}

static void
begin_chunk(struct exchange *x, size_t n)
{
	size_t at = 0;

	if (x->chunk_begun) {
		memcpy(x->frame, "\r\n", 2);
		at = 2;
	}
	at += http_chunk_head(x->frame + at, n);
	put_frame(x, x->frame, at);
	x->chunk_begun = true;
	x->chunk_left = n;
}

static void
end_chunks(struct exchange *x)
{
	struct flight *f = x->waiter.flight;

	if (x->last_written)
		return;
	x->last_written = true;
	if (x->chunk_begun)
		put_frame(x, "\r\n0\r\n", 5);
	else
		put_frame(x, "0\r\n", 3);
	/* Written before the blob was whole, and not changed since. */
	if (f != NULL && f->trailers.n > 0 && !x->from_store &&
	    x->takes_trailers && x->recode == NULL)
		put_frame(x, f->trailers.p, f->trailers.n);
	put_frame(x, "\r\n", 2);
}

static int
body_peek(struct exchange *x, size_t max, struct blob_slice *slice)
{
	if (x->recode != NULL)
		return recode_peek(
		    x->recode, &x->source, !x->from_store, max, slice);
	return source_peek(&x->source, max, slice);
}

/* 0: *slice has bytes; LARDER_ABSENT: the body is over; LARDER_AGAIN; else the
 * body cannot end well. */
static int
next_slice(struct exchange *x, size_t max, struct blob_slice *slice)
{
	int err;

	*slice = (struct blob_slice){.fd = -1};
	if (x->delimiter == DELIMIT_NONE || x->body_left == 0)
		return LARDER_ABSENT;
	if (x->chunk_left > 0 && x->chunk_left < max)
		max = x->chunk_left;
	if (x->body_left < max)
		max = x->body_left;
	err = body_peek(x, max, slice);
	if (err == LARDER_ABSENT && x->delimiter == DELIMIT_LENGTH)
		return LARDER_CLOSED; /* body_left > 0: it is short */
	if (err == LARDER_ABSENT && x->delimiter == DELIMIT_CHUNKED)
		end_chunks(x);
	if (err == 0 && x->delimiter == DELIMIT_CHUNKED && x->chunk_left == 0)
		begin_chunk(x, slice->n);
	return err;
}

/* What the origin would have sent the client for it (larder/stats.h). Own
 * answers have no body here: they are written with their head. */
static uint64_t
worth_of(struct exchange *x, size_t body)
{
	uint64_t before = x->recoded;

	if (x->recode == NULL || x->coding.from != HTTP_CODING_IDENTITY)
		return body;
	x->recoded = recode_taken(x->recode);
	return x->recoded - before;
}

static void
account(struct exchange *x, size_t before, size_t body)
{
	struct stats *stats = &x->w->stats;

	x->sent += before + body;
	x->w->moved += before + body;
	x->body_sent += body;
	stats_add(stats, STAT_served_bytes, before + body);
	if (body == 0)
		return;
	stats_add(stats, STAT_worth_bytes, worth_of(x, body));
	if (x->recode != NULL)
		recode_advance(x->recode, body);
	else
		source_advance(&x->source, body);
	if (x->chunk_left > 0)
		x->chunk_left -= body;
	if (x->body_left != STORE_UNKNOWN)
		x->body_left -= body;
}

/* n bytes of `before` are written; returns how many of n were more. */
static size_t
drop_before(struct exchange *x, size_t n)
{
	int i = 0;

	while (i < x->before_count && n >= x->before[i].iov_len)
		n -= x->before[i++].iov_len;
	if (i > 0)
		x->interim_begun = false;
	if (i < x->before_count) {
		x->before[i].iov_base = (char *)x->before[i].iov_base + n;
		x->before[i].iov_len -= n;
		n = 0;
	}
	memmove(x->before, x->before + i,
	    (size_t)(x->before_count - i) * sizeof(x->before[0]));
	x->before_count -= i;
	return n;
}

/* Writes once: what goes before, and the slice. Bytes, or an error. */
static ssize_t
write_some(struct exchange *x, const struct blob_slice *slice)
{
	struct conn *conn = x->client->conn;
	struct iovec iov[ARRAY_SIZE(x->before) + 1];
	bool file = slice->n > 0 && slice->mem == NULL;
	int count = x->before_count;
	size_t body;
	ssize_t n;

	if (file && count == 0) {
		n = conn_sendfile(
		    conn, slice->fd, slice->offset, slice->n, false);
		if (n > 0)
			account(x, 0, (size_t)n);
		return n;
	}
	memcpy(iov, x->before, (size_t)count * sizeof(iov[0]));
	if (slice->n > 0 && !file) {
		iov[count].iov_base = (void *)(uintptr_t)slice->mem;
		iov[count++].iov_len = slice->n;
	}
	n = conn_writev(conn, iov, count, file);
	if (n <= 0)
		return n;
	body = drop_before(x, (size_t)n);
	account(x, (size_t)n - body, body);
	return n;
}

static enum step
broken(struct exchange *x, int err)
{
	if (x->sent == 0 && x->recode != NULL && recode_has_failed(x->recode))
		return answer_own(x, 502, "bad-coding",
		    "The body is not what its Content-Encoding says.");
	/* Nothing is out yet: the store has dropped what is damaged, and the
	 * next look finds what is right. */
	if (x->from_store && x->sent == 0 && !x->alone &&
	    (err == LARDER_DAMAGED || err == LARDER_IO))
		return exchange_look_again(x);
	/* Nor is anything lost for who only followed. */
	if (x->sent == 0 && !x->from_store && !x->leads && !x->alone)
		return exchange_look_again(x);
	x->broken = true;
	x->aborted = true;
	return STEP_RECORD;
}

/* It is the client's turn. */
static void
wait_for_client(struct exchange *x)
{
	struct conn *conn = x->client->conn;
	int64_t left = pace_wait(&x->pace, loop_mono_ms(x->w->loop));

	x->queued = conn_queued(conn);
	conn_set_timeout(conn, left > 0 ? left : 1);
}

/* The kernel tells of room only when there is much of it, and has taken more
 * than a slow client does in that time: what it is rid of counts. */
bool
deliver_moves(struct exchange *x)
{
	int64_t now = loop_mono_ms(x->w->loop);
	size_t queued;

	if (x->step != STEP_DELIVER)
		return false;
	/* It has moved since the time was set. */
	if (x->pace.since == 0)
		return true;
	queued = conn_queued(x->client->conn);
	if (queued >= x->queued)
		return false;
	pace_moved(&x->pace, now, x->queued - queued);
	if (pace_wait(&x->pace, now) == 0)
		return false;
	wait_for_client(x);
	return true;
}

enum step
deliver_step(struct exchange *x)
{
	int64_t now = loop_mono_ms(x->w->loop);
	struct conn *conn = x->client->conn;
	uint64_t stop = x->sent + worker_burst(x->w, &x->served);

	if (x->recode != NULL)
		recode_turn(x->recode);
	while (x->sent < stop) {
		struct blob_slice slice;
		int have = next_slice(x, stop - x->sent, &slice);
		ssize_t n;

		if (have == LARDER_ABSENT && x->before_count == 0)
			return STEP_RECORD;
		if (have == LARDER_AGAIN && x->recode != NULL &&
		    recode_is_tired(x->recode))
			break;
		/* A stored body's first bytes are checked before the head
		 * that promises them goes out. */
		/* A gap between stored parts: the origin has it. */
		if (have == LARDER_AGAIN && x->before_count == 0 &&
		    source_gap(&x->source) != NULL) {
			pace_rest(&x->pace, now);
			conn_set_timeout(conn, 0);
			return STEP_FILL;
		}
		if (have == LARDER_AGAIN &&
		    (x->before_count == 0 || (x->from_store && x->sent == 0))) {
			pace_rest(&x->pace, now);
			conn_set_timeout(conn, 0);
			return STEP_WAIT;
		}
		if (have < 0 && have != LARDER_AGAIN)
			return broken(x, have);
		n = write_some(x, &slice);
		if (n == LARDER_AGAIN) {
			wait_for_client(x);
			return STEP_WAIT;
		}
		if (n <= 0) {
			x->aborted = true;
			x->broken = true;
			return STEP_RECORD;
		}
		pace_moved(&x->pace, now, (size_t)n);
	}
	conn_poke(conn, CONN_WRITABLE);
	return STEP_WAIT;
}
