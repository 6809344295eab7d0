#include "net_test.h"

#include <poll.h>
#include <stdio.h>
#include <sys/uio.h>

/* The connection under test, its other end, and what its handler was told. */
static struct conn *conn;
static int peer;
static struct seen seen;

static int
setup_pair(void **state, bool tcp)
{
	int fd[2];

	if (loop_setup(state) != 0)
		return -1;
	memset(&seen, 0, sizeof(seen));
	if (tcp)
		tcp_pair(&fd[0], &fd[1]);
	else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) != 0)
		return -1;
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	peer = fd[1];
	return conn_new(&conn, loop, fd[0], on_seen, &seen);
}

static int
setup(void **state)
{
	return setup_pair(state, false);
}

static int
setup_tcp(void **state)
{
	return setup_pair(state, true);
}

static int
teardown(void **state)
{
	conn_close(&conn, false);
	close(peer);
	return loop_teardown(state);
}

static void
say(const char *text)
{
	assert_int_equal(write(peer, text, strlen(text)), strlen(text));
}

static void
run_until(unsigned what)
{
	seen.stop_at = what;
	run();
	seen.stop_at = 0;
}

static ssize_t
send_bytes(const void *p, size_t n)
{
	char *bytes = NULL;
	struct iovec iov = {.iov_len = n};

	memcpy(&bytes, &p, sizeof(p));
	iov.iov_base = bytes;
	return conn_writev(conn, &iov, 1, false);
}

/* ---- splicing --------------------------------------------------------- */

static void
splices(void **state)
{
	struct pipes pipes = {.lent = 0};
	struct pipe *pipe = pipe_get(&pipes);
	char got[16];

	(void)state;
	assert_non_null(pipe);
	assert_int_equal(conn_splice_in(conn, pipe), LARDER_AGAIN);
	say("hello world");
	run_until(CONN_READABLE);
	assert_int_equal(conn_splice_in(conn, pipe), 11);
	assert_int_equal(pipe->held, 11);
	assert_int_equal(conn_bytes_in(conn), 11);
	assert_int_equal(conn_splice_out(conn, pipe), 11);
	assert_int_equal(pipe->held, 0);
	assert_int_equal(conn_bytes_out(conn), 11);
	assert_int_equal(read(peer, got, sizeof(got)), 11);
	assert_memory_equal(got, "hello world", 11);
	/* What is buffered would be overtaken. */
	assert_int_equal(conn_splice_in(conn, pipe), LARDER_AGAIN);
	say("more");
	run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 100), 4);
	assert_int_equal(conn_splice_in(conn, pipe), LARDER_AGAIN);
	conn_consume(conn, 4);
	say("last");
	shutdown(peer, SHUT_WR);
	run_until(CONN_READABLE);
	assert_int_equal(conn_splice_in(conn, pipe), 4);
	assert_int_equal(conn_splice_out(conn, pipe), 4);
	/* Of the end only recv() is believed. */
	assert_int_equal(conn_splice_in(conn, pipe), LARDER_AGAIN);
	while (conn_fill(conn, 100) == LARDER_AGAIN)
		run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 100), LARDER_CLOSED);
	assert_int_equal(conn_splice_in(conn, pipe), LARDER_AGAIN);
	pipe_put(&pipes, &pipe);
	pipes_release(&pipes);
}

/* Until nothing more can be sent; what is in the pipe then comes later. */
static void
a_pipe_waits_for_room(void **state)
{
	static char block[64 * 1024];
	struct pipes pipes = {.lent = 0};
	struct pipe *pipe = pipe_get(&pipes);
	size_t sent = 0, got = 0;
	ssize_t n = 0;

	(void)state;
	while (n >= 0) {
		n = send_bytes(block, sizeof(block));
		sent += n > 0 ? (size_t)n : 0;
	}
	assert_int_equal(n, LARDER_AGAIN);
	say("the end");
	run_until(CONN_READABLE);
	assert_int_equal(conn_splice_in(conn, pipe), 7);
	assert_int_equal(conn_splice_out(conn, pipe), LARDER_AGAIN);
	assert_int_equal(pipe->held, 7);
	while (got < sent)
		got += (size_t)read(peer, block, sizeof(block));
	run_until(CONN_WRITABLE);
	assert_int_equal(conn_splice_out(conn, pipe), 7);
	assert_int_equal(read(peer, block, sizeof(block)), 7);
	assert_memory_equal(block, "the end", 7);
	pipe_put(&pipes, &pipe);
	pipes_release(&pipes);
}

static void
pipes_are_lent(void **state)
{
	struct pipes pipes = {.lent = 0};
	struct pipe *lent[PIPES_MAX], *again;

	(void)state;
	for (unsigned i = 0; i < PIPES_MAX; i++)
		assert_non_null(lent[i] = pipe_get(&pipes));
	assert_null(pipe_get(&pipes));
	/* One with something in it is not used again. */
	assert_int_equal(write(lent[0]->in, "x", 1), 1);
	lent[0]->held = 1;
	pipe_put(&pipes, &lent[0]);
	assert_null(lent[0]);
	assert_int_equal(pipes.idle_count, 0);
	for (unsigned i = 1; i < PIPES_MAX; i++)
		pipe_put(&pipes, &lent[i]);
	assert_int_equal(pipes.idle_count, PIPES_IDLE);
	again = pipe_get(&pipes);
	assert_non_null(again);
	assert_true(again->size >= 64 * 1024);
	pipe_put(&pipes, &again);
	pipe_put(&pipes, &again);
	pipes_release(&pipes);
}

/* ---- reading ---------------------------------------------------------- */

static void
reads(void **state)
{
	(void)state;
	assert_int_equal(conn_fill(conn, 100), LARDER_AGAIN);
	assert_null(conn_input(conn).p);
	say("hello world");
	run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 100), 11);
	assert_true(bytes_eq(conn_input(conn), BYTES("hello world")));
	assert_int_equal(conn_fill(conn, 100), LARDER_AGAIN);
	conn_consume(conn, 6);
	assert_true(bytes_eq(conn_input(conn), BYTES("world")));
	conn_consume(conn, 5);
	assert_null(conn_input(conn).p);
	assert_int_equal(conn_bytes_in(conn), 11);
}

static void
input_is_bounded(void **state)
{
	static char big[100000];
	size_t got = 0;
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)('a' + i % 23);
	fcntl(peer, F_SETFL, O_NONBLOCK);
	assert_true(write(peer, big, sizeof(big)) == sizeof(big));
	run_until(CONN_READABLE);
	while ((n = conn_fill(conn, 50000)) > 0)
		got += (size_t)n;
	assert_int_equal(n, LARDER_TOOBIG);
	assert_int_equal(got, 50000);
	assert_memory_equal(conn_input(conn).p, big, 50000);
	/* What is consumed makes room; what is left moves along. */
	conn_consume(conn, 49990);
	while ((n = conn_fill(conn, 60000)) > 0)
		got += (size_t)n;
	assert_int_equal(n, LARDER_AGAIN);
	assert_int_equal(got, sizeof(big));
	assert_int_equal(conn_input(conn).n, 50010);
	assert_memory_equal(conn_input(conn).p, big + 49990, 50010);
}

static void
small_limits_hold(void **state)
{
	(void)state;
	say("0123456789");
	run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 4), 4);
	assert_int_equal(conn_fill(conn, 4), LARDER_TOOBIG);
	assert_int_equal(conn_fill(conn, 9), 5);
	conn_consume(conn, 8);
	assert_int_equal(conn_fill(conn, 9), 1);
	assert_true(bytes_eq(conn_input(conn), BYTES("89")));
}

static void
paused_reading_loses_nothing(void **state)
{
	(void)state;
	say("one");
	run_until(CONN_READABLE);
	/* Told, but not read: no further edge comes for these bytes. */
	run_for(20);
	assert_int_equal(conn_fill(conn, 100), 3);
	/* Bytes and the end arrive while nobody reads. */
	say("two");
	shutdown(peer, SHUT_WR);
	run_for(20);
	assert_int_equal(conn_fill(conn, 100), 3);
	assert_int_equal(conn_fill(conn, 100), LARDER_CLOSED);
	assert_int_equal(conn_fill(conn, 100), LARDER_CLOSED);
	assert_true(bytes_eq(conn_input(conn), BYTES("onetwo")));
}

static void
the_end_behind_a_short_read_is_seen(void **state)
{
	(void)state;
	say("last");
	shutdown(peer, SHUT_WR);
	run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 100), 4);
	assert_int_equal(conn_fill(conn, 100), LARDER_CLOSED);
}

/* The kernel tells of a reset once, and here a write hears of it: what is read
 * then is no orderly end. */
static void
a_reset_that_a_write_has_seen_is_no_end(void **state)
{
	const struct linger now = {.l_onoff = 1};
	struct pollfd gone = {.fd = conn_fd(conn)};

	(void)state;
	say("half");
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(peer);
	peer = -1;
	assert_int_equal(poll(&gone, 1, 5000), 1);
	assert_int_equal(send_bytes("x", 1), LARDER_IO);
	assert_int_equal(conn_fill(conn, 100), 4);
	run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 100), LARDER_IO);
}

/* But who had ended in order, and then took no more, has ended in order. */
static void
an_end_before_a_reset_is_one(void **state)
{
	struct pollfd gone = {.fd = conn_fd(conn)};

	(void)state;
	say("all");
	close(peer);
	peer = -1;
	/* The first is answered by a reset. */
	assert_int_equal(send_bytes("x", 1), 1);
	assert_int_equal(poll(&gone, 1, 5000), 1);
	assert_int_equal(send_bytes("x", 1), LARDER_IO);
	assert_int_equal(conn_fill(conn, 100), 3);
	run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 100), LARDER_CLOSED);
}

static void
a_reset_behind_a_short_read_is_seen(void **state)
{
	const struct linger now = {.l_onoff = 1};

	(void)state;
	say("last");
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(peer);
	peer = -1;
	/* Both lie there before the loop looks for the first time. */
	run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 100), 4);
	assert_int_equal(conn_fill(conn, 100), LARDER_IO);
	assert_int_equal(conn_error(conn), LARDER_IO);
	assert_non_null(strstr(conn_error_text(conn), "reset"));
	assert_int_equal(conn_fill(conn, 100), LARDER_IO);
	assert_int_equal(send_bytes("x", 1), LARDER_IO);
}

static void
an_empty_socket_is_not_asked_again(void **state)
{
	(void)state;
	say("one");
	run_until(CONN_READABLE);
	assert_true(conn_readable(conn));
	assert_int_equal(conn_fill(conn, 100), 3);
	/* That was short of what was asked for: no call until the next edge,
	 * which the loop has not seen yet. */
	assert_false(conn_readable(conn));
	say("two");
	assert_int_equal(conn_fill(conn, 100), LARDER_AGAIN);
	run_until(CONN_READABLE);
	assert_int_equal(conn_fill(conn, 100), 3);
}

static void
poke_calls_once_and_later(void **state)
{
	(void)state;
	conn_poke(conn, CONN_READABLE);
	conn_poke(conn, CONN_WRITABLE);
	assert_int_equal(seen.calls, 0);
	run_for(20);
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.what, CONN_READABLE | CONN_WRITABLE);
}

/* ---- writing ---------------------------------------------------------- */

static void
writes_until_full_and_resumes(void **state)
{
	static char block[65536], in[65536];
	size_t sent = 0, got = 0;
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 7);
	for (int rounds = 0; rounds < 3; rounds++) {
		while ((n = send_bytes(block + sent % sizeof(block),
			    sizeof(block) - sent % sizeof(block))) > 0)
			sent += (size_t)n;
		assert_int_equal(n, LARDER_AGAIN);
		assert_int_equal(send_bytes("x", 1), LARDER_AGAIN);
		seen.what = 0;
		run_for(10);
		assert_false(seen.what & CONN_WRITABLE);
		while (got < sent) {
			size_t at = got % sizeof(block);

			n = read(peer, in, sizeof(block) - at);
			assert_true(n > 0);
			assert_memory_equal(in, block + at, n);
			got += (size_t)n;
		}
		run_until(CONN_WRITABLE);
	}
	assert_int_equal(conn_bytes_out(conn), sent);
}

static void
gathers(void **state)
{
	char a[] = "head ", b[] = "body", in[16];
	struct iovec iov[2] = {{a, 5}, {b, 4}};

	(void)state;
	assert_int_equal(conn_writev(conn, iov, 2, true), 9);
	conn_shutdown(conn);
	assert_int_equal(send_bytes("x", 1), LARDER_IO);
	assert_int_equal(read(peer, in, 16), 9);
	assert_memory_equal(in, "head body", 9);
	assert_int_equal(read(peer, in, 16), 0);
}

static void
sends_files(void **state)
{
	char in[16];
	FILE *file = tmpfile();
	int fd = fileno(file);

	(void)state;
	assert_int_equal(pwrite(fd, "0123456789", 10, 0), 10);
	assert_int_equal(conn_sendfile(conn, fd, 2, 5, false), 5);
	assert_int_equal(read(peer, in, 16), 5);
	assert_memory_equal(in, "23456", 5);
	/* Shorter than it was said to be: what there is, then an error. */
	assert_int_equal(conn_sendfile(conn, fd, 8, 5, false), 2);
	assert_int_equal(conn_sendfile(conn, fd, 10, 3, false), LARDER_IO);
	fclose(file);
}

static void
writing_to_nobody_is_an_error(void **state)
{
	(void)state;
	close(peer);
	peer = -1;
	assert_int_equal(send_bytes("x", 1), LARDER_IO); /* and no SIGPIPE */
}

/* ---- the end ---------------------------------------------------------- */

static void
deadlines_pass_once(void **state)
{
	(void)state;
	conn_set_timeout(conn, 10);
	conn_set_timeout(conn, 30);
	run_until(CONN_TIMEOUT);
	seen.calls = 0;
	run_for(60);
	assert_int_equal(seen.calls, 0);
	conn_set_timeout(conn, 10);
	conn_set_timeout(conn, 0);
	run_for(40);
	assert_int_equal(seen.calls, 0);
}

static struct conn *other;

static void
on_close_both(struct conn *c, unsigned what, void *arg)
{
	(void)what;
	(void)arg;
	seen.calls++;
	/* Both were readable in this turn; the other one must stay silent. */
	conn_close(c == conn ? &conn : &other, false);
	if (conn)
		conn_reset(&conn);
	if (other)
		conn_reset(&other);
	loop_stop(loop);
}

static void
closing_inside_a_callback_silences(void **state)
{
	int fd[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	assert_int_equal(conn_new(&other, loop, fd[0], on_close_both, NULL), 0);
	conn_set_handler(conn, on_close_both, NULL);
	say("x");
	assert_int_equal(write(fd[1], "x", 1), 1);
	conn_set_timeout(other, 1);
	conn_poke(conn, CONN_READABLE);
	conn_poke(other, CONN_READABLE);
	usleep(5000);
	run();
	run_for(20);
	assert_int_equal(seen.calls, 1);
	close(fd[1]);
}

static void
close_is_an_orderly_end(void **state)
{
	char in[4];

	(void)state;
	send_bytes("bye", 3);
	conn_close(&conn, false);
	assert_null(conn);
	assert_int_equal(read(peer, in, 4), 3);
	assert_int_equal(read(peer, in, 4), 0);
}

static void
reset_is_seen_as_one(void **state)
{
	char in[4];

	(void)state;
	conn_reset(&conn);
	assert_null(conn);
	assert_int_equal(read(peer, in, 4), -1);
	assert_int_equal(errno, ECONNRESET);
}

static void
lingering_saves_the_answer(void **state)
{
	char in[16];
	struct pollfd p = {.fd = peer, .events = POLLIN};

	(void)state;
	/* Unread bytes would turn a plain close into a reset. */
	say("a body that nobody wants");
	send_bytes("413", 3);
	conn_close(&conn, true);
	run_for(20);
	say("more of it");
	run_for(20);
	assert_int_equal(poll(&p, 1, 1000), 1);
	assert_int_equal(read(peer, in, 16), 3);
	assert_int_equal(read(peer, in, 16), 0);
	shutdown(peer, SHUT_WR);
	run_for(20);
}

static void
lingering_is_bounded(void **state)
{
	static char block[65536];
	ssize_t n = 0;

	(void)state;
	fcntl(peer, F_SETFL, O_NONBLOCK);
	conn_close(&conn, true);
	/* It drops a quarter of a mebibyte, not all that is ever sent. */
	for (int i = 0; i < 200 && n >= 0; i++) {
		do
			n = send(peer, block, sizeof(block), MSG_NOSIGNAL);
		while (n > 0);
		n = errno == EAGAIN ? 0 : -1;
		run_for(2);
	}
	assert_int_equal(n, -1);
	assert_true(errno == ECONNRESET || errno == EPIPE);
}

static void
lingering_ends_with_the_loop(void **state)
{
	int fd = conn_fd(conn);

	conn_close(&conn, true);
	run_for(10);
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	loop_teardown(state);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	loop_setup(state);
}

/* ---- connecting ------------------------------------------------------- */

static void
connects(void **state)
{
	union addr to;
	struct conn *c;
	int fd = listen_on_loopback(AF_INET, &to), accepted;
	struct seen s = {.stop_at = CONN_OPENED | CONN_FAILED};

	(void)state;
	assert_int_equal(
	    conn_connect(&c, loop, &to, NULL, BYTES(""), on_seen, &s), 0);
	assert_int_equal(conn_fill(c, 10), LARDER_AGAIN);
	run();
	assert_int_equal(s.what, CONN_OPENED);
	assert_true(addr_equal(conn_peer(c), &to, true));
	accepted = accept(fd, NULL, NULL);
	assert_int_equal(write(accepted, "hi", 2), 2);
	s.stop_at = CONN_READABLE;
	run();
	assert_int_equal(conn_fill(c, 10), 2);
	conn_close(&c, false);
	close(accepted);
	close(fd);
}

static void
refusal_is_named(void **state)
{
	union addr to;
	struct conn *c;
	int fd = listen_on_loopback(AF_INET, &to);
	struct seen s = {.stop_at = CONN_OPENED | CONN_FAILED};
	char text[ADDR_TEXT];

	(void)state;
	close(fd);
	assert_int_equal(
	    conn_connect(&c, loop, &to, NULL, BYTES(""), on_seen, &s), 0);
	assert_int_equal(s.calls, 0);
	run();
	assert_int_equal(s.what, CONN_FAILED);
	assert_int_equal(conn_error(c), LARDER_IO);
	assert_non_null(
	    strstr(conn_error_text(c), "connection refused by 127.0.0.1:"));
	assert_non_null(strstr(conn_error_text(c), addr_format(&to, text)));
	assert_int_equal(conn_fill(c, 10), LARDER_IO);
	conn_close(&c, true);
	run_for(10);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TCP(f)	cmocka_unit_test_setup_teardown(f, setup_tcp, teardown)
#define LOOP(f) cmocka_unit_test_setup_teardown(f, loop_setup, loop_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(reads),
	    TCP(reads),
	    CASE(input_is_bounded),
	    CASE(small_limits_hold),
	    CASE(paused_reading_loses_nothing),
	    TCP(paused_reading_loses_nothing),
	    CASE(the_end_behind_a_short_read_is_seen),
	    TCP(the_end_behind_a_short_read_is_seen),
	    TCP(a_reset_behind_a_short_read_is_seen),
	    TCP(a_reset_that_a_write_has_seen_is_no_end),
	    TCP(an_end_before_a_reset_is_one),
	    TCP(an_empty_socket_is_not_asked_again),
	    CASE(poke_calls_once_and_later),
	    CASE(writes_until_full_and_resumes),
	    TCP(writes_until_full_and_resumes),
	    CASE(gathers),
	    TCP(gathers),
	    CASE(sends_files),
	    TCP(sends_files),
	    CASE(splices),
	    TCP(splices),
	    CASE(a_pipe_waits_for_room),
	    TCP(a_pipe_waits_for_room),
	    CASE(pipes_are_lent),
	    CASE(writing_to_nobody_is_an_error),
	    CASE(deadlines_pass_once),
	    CASE(closing_inside_a_callback_silences),
	    TCP(close_is_an_orderly_end),
	    TCP(reset_is_seen_as_one),
	    TCP(lingering_saves_the_answer),
	    TCP(lingering_is_bounded),
	    TCP(lingering_ends_with_the_loop),
	    LOOP(connects),
	    LOOP(refusal_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
