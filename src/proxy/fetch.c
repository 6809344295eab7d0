/*
 * A fetch's life, and the bytes of its request and answer.
 *
 * What always holds
 *   - The flight is ended exactly once: by fetch_fail() or fetch_finish().
 *   - Body bytes go into the blob alone; while that is full nothing is read.
 *   - A connection goes back to the pool only after a whole answer to a whole
 *     request, with nothing behind it.
 */
#include <stdlib.h>

#include "larder/check.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/tally.h"

/* A body that nobody reads any more is still fetched for the cache if this
 * much is missing, or if this share (of one not too large) is there already. */
#define FORSAKEN_SMALL	(1024u * 1024)
#define FORSAKEN_LARGE	(256u * 1024 * 1024)
#define FORSAKEN_TENTHS 8u

/* How long slow readers of a passing transfer may hold up others. */
#define HELD_MS 5000

/* What a transfer may stand still, in all, for want of room on disk; and as
 * long again as it has moved. */
#define STALL_MS 250

/* ---- the end ---------------------------------------------------------- */

static void
destroy(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct fetch, garbage));
}

static void
let_go_of_leader(struct fetch *f)
{
	if (f->leader != NULL) {
		check(f->leader->fetch == f);
		f->leader->fetch = NULL;
	}
	f->leader = NULL;
}

/* After the flight has ended. */
static void
fetch_end(struct fetch *f)
{
	struct worker *w = f->w;

	check(f->state != FETCH_OVER);
	f->state = FETCH_OVER;
	if (f->fetched > 0) /* a name with no counts takes no row */
		tally_at(w->tally, TALLY_HOST, f->target.host)->fetched +=
		    f->fetched;
	if (f->background)
		w->background_count--;
	let_go_of_leader(f);
	if (f->blob != NULL)
		blob_set_producer(f->blob, NULL, NULL);
	blob_unref(&f->blob);
	blob_reader_close(&f->stored_reader);
	if (f->wait != NULL)
		upstream_cancel(&f->wait);
	if (f->conn != NULL)
		conn_reset(&f->conn);
	mailbox_cancel(&f->note);
	mailbox_cancel(&f->forsaken);
	http_body_release(&f->body);
	flight_unref(&f->flight);
	arena_release(&f->arena);
	conf_unref(&f->conf);
	free(f->staging);
	f->magic = 0;
	list_remove(&f->node);
	atomic_fetch_sub_explicit(&w->flights, 1, memory_order_relaxed);
	loop_discard(w->loop, &f->garbage, destroy);
	worker_check_drained(w);
}

/* What has come since the last call. */
static void
count_received(struct fetch *f)
{
	uint64_t now = conn_bytes_in(f->conn);

	stats_add(&f->w->stats, STAT_fetched_bytes, now - f->bytes_before);
	f->fetched += now - f->bytes_before;
	f->bytes_before = now;
}

/* Every byte of the request is out: staged ones are not. */
bool
fetch_is_asked(const struct fetch *f)
{
	return f->ask.n == 0 && f->staged_sent == f->staged && !f->uploads &&
	       !f->write_failed;
}

/* The connection goes back to the pool, or ends. What follows half a request
 * would be taken for the rest of it. */
void
fetch_release_conn(struct fetch *f)
{
	if (f->conn == NULL)
		return;
	count_received(f);
	if (f->reusable && fetch_is_asked(f) && conn_input(f->conn).n == 0)
		upstreams_put(f->w->upstreams, &f->origin, &f->conn);
	else
		conn_close(&f->conn, false);
}

void
fetch_fail(struct fetch *f, int status, const char *detail, const char *text)
{
	struct flight_result result = {
	    .kind = FLIGHT_ERROR,
	    .shared = true,
	    .status = status,
	    .detail = detail,
	};

	if (f->conn != NULL) {
		count_received(f);
		conn_reset(&f->conn);
	}
	/* A blob without a published head is nobody's yet. */
	if (f->blob != NULL && (f->state != FETCH_BODY || !part_keep(f)))
		blob_abort(f->blob, LARDER_CLOSED);
	if (f->state != FETCH_BODY) {
		if (status != 403) /* larder's own doing */
			stats_add(&f->w->stats, STAT_origin_failures, 1);
		result.text = arena_copy(&f->flight->arena, bytes_str(text));
		memcpy(result.peer, "-", 2);
		flight_publish(f->flight, &result);
	}
	flight_end(f->flight);
	fetch_end(f);
}

void
fetch_finish(struct fetch *f)
{
	fetch_release_conn(f);
	if (f->blob != NULL) {
		f->flight->trailers =
		    http_trailers_write(http_body_trailers(&f->body),
			&f->response, &worker_limits, &f->flight->arena);
		if (flight_overtaken(f->flight))
			blob_forgo(f->blob);
		if (f->flight->result.stored)
			flight_supersede(f->flight);
		blob_commit(f->blob);
		/* A change that came between the two lines before. */
		if (!blob_is_window(f->blob) && flight_overtaken(f->flight))
			store_remove(proxy_store(f->w->proxy), f->key, 0);
		else if (f->flight->result.stored && !blob_is_window(f->blob))
			part_tidy(f);
	}
	flight_end(f->flight);
	part_rest(f);
	fetch_end(f);
}

/* ---- moving bytes ----------------------------------------------------- */

static void
drop_prefix(struct fetch *f, size_t n)
{
	size_t head = n < f->ask.n ? n : f->ask.n;

	f->ask = bytes_skip(f->ask, head);
	f->staged_sent += n - head;
}

void
fetch_send(struct fetch *f)
{
	for (;;) {
		struct iovec iov[2];
		ssize_t n;

		if (f->write_failed ||
		    (f->ask.n == 0 && f->staged_sent == f->staged &&
			!upload_fill(f)))
			return;
		iov[0].iov_base = (void *)(uintptr_t)f->ask.p;
		iov[0].iov_len = f->ask.n;
		iov[1].iov_base =
		    f->staged > 0 ? f->staging + f->staged_sent : NULL;
		iov[1].iov_len = f->staged - f->staged_sent;
		n = conn_writev(f->conn, iov + (iov[0].iov_len == 0),
		    1 + (iov[0].iov_len > 0 && iov[1].iov_len > 0), false);
		if (n == LARDER_AGAIN)
			return;
		if (n < 0) {
			/* The answer may still come, or the end. */
			f->write_failed = true;
			f->ask.n = f->staged = f->staged_sent = 0;
			conn_poke(f->conn, CONN_READABLE);
			return;
		}
		drop_prefix(f, (size_t)n);
		if (f->upload_begun)
			fetch_expect_progress(f);
	}
}

void
fetch_source_readable(struct fetch *f)
{
	if (f->state == FETCH_ASKING || f->state == FETCH_BODY)
		fetch_send(f);
}

/* False: wait for more, or f is gone. */
static bool
receive_head(struct fetch *f)
{
	struct bytes in = conn_input(f->conn), raw;
	struct http_fault fault;
	size_t size;
	int err = LARDER_AGAIN;

	if (in.n > 0)
		err = http_head_scan(
		    in, &worker_limits, false, &f->scanned, &size, &fault);
	if (err == LARDER_AGAIN) {
		ssize_t n = conn_fill(f->conn, WORKER_HEAD + 2);

		if (n > 0)
			return true;
		if (n == LARDER_AGAIN)
			return false;
		if (conn_input(f->conn).n == 0)
			fetch_no_answer(f);
		else
			fetch_fail(f, 502, "bad-answer",
			    "The origin's answer ended in its head.");
		return false;
	}
	if (err < 0) {
		fetch_fail(f, 502, "bad-answer", fault.text);
		return false;
	}
	raw = arena_copy(&f->arena, bytes_of(in.p, size));
	f->scanned = 0;
	if (raw.p == NULL ||
	    http_parse_response(
		raw, &worker_limits, &f->arena, &f->response, &fault) < 0 ||
	    http_body_of_response(
		&f->response, f->request.method, &f->body, &fault) < 0) {
		fetch_fail(f, 502, "bad-answer",
		    raw.p == NULL ? "The origin's head is too large."
				  : fault.text);
		return false;
	}
	conn_consume(f->conn, size);
	/* A question that no client had asked. */
	if (f->response.status == 304 &&
	    (f->action == CACHE_REVALIDATE || f->action == CACHE_COMPLETE))
		stats_add(&f->w->stats, STAT_cost_bytes, size);
	f->response_time = worker_now(f->w);
	if (f->response.status < 200) {
		reply_interim(f);
		return f->state == FETCH_ASKING;
	}
	reply_on_head(f);
	return false;
}

void
fetch_receive(struct fetch *f)
{
	if (f->state == FETCH_ASKING)
		while (receive_head(f))
			;
	else if (f->state == FETCH_BODY)
		fetch_pump(f);
}

/* The connection ended while a body was due. */
static void
on_body_end(struct fetch *f, ssize_t n)
{
	if (n == LARDER_CLOSED && http_body_ends_here(&f->body))
		fetch_finish(f);
	else
		fetch_fail(f, 502, "short-body", "The origin's body is short.");
}

/*
 * The readers set the pace; their own timeouts hold. But where some have read
 * all there is, those who have not, and who do not get a window's worth further
 * within HELD_MS, must not hold them up: they are cut off, and may come again.
 */
static void
wait_for_readers(struct fetch *f)
{
	int64_t now = loop_mono_ms(f->w->loop), left;

	conn_set_timeout(f->conn, HELD_MS / 5);
	if (!blob_is_held_up(f->blob)) {
		f->held_since = 0;
		return;
	}
	if (f->held_since == 0 ||
	    f->body.total - f->held_total >= STORE_WINDOW) {
		f->held_since = now;
		f->held_total = f->body.total;
	}
	left = HELD_MS - (now - f->held_since);
	if (left > 0) {
		conn_set_timeout(f->conn, left);
		return;
	}
	f->held_since = 0;
	/* The note that there is room goes on. */
	stats_add(&f->w->stats, STAT_held_up, blob_cut_off(f->blob));
}

static void
end_stall(struct fetch *f)
{
	if (f->stall_since != 0)
		f->stalled += loop_mono_ms(f->w->loop) - f->stall_since;
	f->stall_since = 0;
}

/*
 * A disk sets the pace, too: what is not stored crosses the uplink once more.
 * But who waits for a page of it must not notice; so a transfer takes no more
 * than twice its time, and a moment, and passes then.
 */
static void
wait_for_disk(struct fetch *f)
{
	int64_t now = loop_mono_ms(f->w->loop), left;

	conn_set_timeout(f->conn, STALL_MS / 5);
	if (!blob_is_stalled(f->blob)) {
		end_stall(f);
		return;
	}
	if (f->stall_since == 0)
		f->stall_since = now;
	left = STALL_MS - f->stalled - (now - f->stall_since) +
	       (f->stall_since - f->body_since - f->stalled);
	if (left > 0)
		conn_set_timeout(f->conn, left);
	else
		(void)blob_pass(f->blob);
}

/* Nobody tells when a reader has read all there is, and waits from then on: it
 * is looked at now and then. */
static void
wait_for_room(struct fetch *f)
{
	f->watches_room = true;
	if (blob_is_window(f->blob))
		wait_for_readers(f);
	else
		wait_for_disk(f);
}

/* It is the origin's turn. What somebody waits for may come as slowly as it
 * likes; what is for the cache alone must come at all. */
static void
wait_for_origin(struct fetch *f)
{
	int64_t left;

	if (f->leader != NULL || flight_interested(f->flight) > 0) {
		f->drip = pace_begin(f->conf->response_timeout);
		fetch_expect_progress(f);
		return;
	}
	left = pace_wait(&f->drip, loop_mono_ms(f->w->loop));
	f->watches_room = false;
	conn_set_timeout(f->conn, left > 0 ? left : 1);
}

/* One read's worth. False: it waits, or f is gone. */
static bool
pump_some(struct fetch *f)
{
	struct bytes in, data;
	size_t room = blob_room(f->blob), used;
	ssize_t n;
	int err;

	if (room == 0 && !fetch_is_wanted(f)) {
		fetch_fail(f, 502, "abandoned", "Nobody waits for it.");
		return false;
	}
	if (room == 0) {
		wait_for_room(f);
		return false;
	}
	end_stall(f);
	in = conn_input(f->conn);
	if (in.n > room)
		in.n = room;
	err = http_body_next(&f->body, in, &used, &data);
	if (err == LARDER_INVALID) {
		fetch_fail(f, 502, "bad-body", "The origin's body is broken.");
		return false;
	}
	if (data.n > 0 && blob_append(f->blob, data.p, data.n) < data.n) {
		fetch_fail(f, 502, "no-memory", "There is no memory left.");
		return false;
	}
	stats_add(&f->w->stats, STAT_cost_bytes, data.n);
	f->w->moved += data.n;
	conn_consume(f->conn, used);
	if (err == LARDER_ABSENT) {
		fetch_finish(f);
		return false;
	}
	if (err == 0 || conn_input(f->conn).n > in.n - used)
		return true;
	n = conn_fill(f->conn, WORKER_READ);
	if (n > 0) {
		pace_moved(&f->drip, loop_mono_ms(f->w->loop), (uint64_t)n);
		return true;
	}
	if (n == LARDER_AGAIN) {
		wait_for_origin(f);
		return false;
	}
	on_body_end(f, n);
	return false;
}

void
fetch_pump(struct fetch *f)
{
	uint64_t stop = f->body.total + worker_burst(f->w, &f->served);

	count_received(f);
	while (f->body.total < stop)
		if (!pump_some(f))
			return;
	conn_poke(f->conn, CONN_READABLE);
}

/* The blob has room again, or the stored head has been read. */
static void
on_note(void *arg)
{
	struct fetch *f = arg;

	check_magic(f, FETCH_MAGIC);
	if (f->state == FETCH_MERGING)
		reply_merge(f);
	else if (f->state == FETCH_BODY)
		fetch_pump(f);
}

/* ---- who still wants it ----------------------------------------------- */

/* Is what is missing so little that the cache should have it? */
static bool
worth_finishing(const struct fetch *f)
{
	uint64_t left = f->body.left, all = f->body.left + f->body.total;

	if (f->action == CACHE_PASS || f->blob == NULL ||
	    blob_is_window(f->blob) || f->body.framing != HTTP_BODY_LENGTH)
		return false;
	if (left <= FORSAKEN_SMALL)
		return true;
	return all <= FORSAKEN_LARGE &&
	       f->body.total / FORSAKEN_TENTHS >= all / 10;
}

bool
fetch_is_wanted(struct fetch *f)
{
	if (flight_interested(f->flight) > 0)
		return true;
	/* What is asked for nobody is not waited for: who asks and leaves,
	 * again and again, would have any number of them. */
	if (f->state == FETCH_CONNECTING || f->state == FETCH_ASKING)
		return f->background;
	if (f->state == FETCH_MERGING)
		return true;
	if (f->background)
		return !blob_is_window(f->blob);
	return worth_finishing(f);
}

static void
on_forsaken(void *arg)
{
	struct fetch *f = arg;

	check_magic(f, FETCH_MAGIC);
	if (!fetch_is_wanted(f))
		fetch_fail(f, 502, "abandoned", "Nobody waits for it.");
}

void
fetch_leader_left(struct fetch *f)
{
	bool needed = f->uploads;

	let_go_of_leader(f);
	if (needed)
		fetch_fail(f, 502, "abandoned", "The client left.");
}

void
fetches_abort_all(struct worker *w)
{
	while (!list_empty(&w->fetches))
		fetch_fail(container_of(w->fetches.next, struct fetch, node),
		    503, "stopping", "larder is stopping.");
}

void
fetch_run(struct fetch *f)
{
	struct worker *w = f->w;

	mailbox_note_init(&f->note, w->mailbox, on_note, f);
	mailbox_note_init(&f->forsaken, w->mailbox, on_forsaken, f);
	f->flight->forsaken = &f->forsaken;
	list_append(&w->fetches, &f->node);
	if (f->background)
		w->background_count++;
	atomic_fetch_add_explicit(&w->flights, 1, memory_order_relaxed);
	fetch_connect(f, false);
}
