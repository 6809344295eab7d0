/*
 * What the unit tests of net/ share: a loop with a watchdog, sockets on
 * loopback, and a handler that writes down what it is told.
 */
#ifndef NET_TEST_H
#define NET_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "larder/err.h"
#include "net/conn.h"
#include "net/loop.h"

static struct loop *loop;
static struct loop_timer watchdog;

static inline void
bite(void *arg)
{
	(void)arg;
	fail_msg("the loop still runs after its time");
}

/* Runs until loop_stop(loop). */
static inline void
run(void)
{
	loop_timer_start(&watchdog, 8000);
	loop_run(loop);
	loop_timer_stop(&watchdog);
}

static inline void
stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static inline void
run_for(int64_t ms)
{
	struct loop_timer timer;

	loop_timer_init(&timer, loop, stop, NULL);
	loop_timer_start(&timer, ms);
	run();
	loop_timer_release(&timer);
}

static inline int
loop_setup(void **state)
{
	(void)state;
	if (loop_new(&loop, NULL, NULL) != 0)
		return -1;
	loop_timer_init(&watchdog, loop, bite, NULL);
	return 0;
}

static inline int
loop_teardown(void **state)
{
	(void)state;
	loop_timer_release(&watchdog);
	loop_free(&loop);
	return 0;
}

/* A listening socket on a free port of 127.0.0.1 (or ::1). */
static inline int
listen_on_loopback(int family, union addr *out)
{
	socklen_t len = sizeof(*out);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(out, 0, sizeof(*out));
	out->sa.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		out->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		out->v6.sin6_addr = in6addr_loopback;
	if (bind(fd, &out->sa, addr_len(out)) != 0 || listen(fd, 64) != 0) {
		close(fd);
		return -1;
	}
	getsockname(fd, &out->sa, &len);
	return fd;
}

/* Two ends of a TCP connection over loopback; a is non-blocking. */
static inline void
tcp_pair(int *a, int *b)
{
	union addr address;
	int fd = listen_on_loopback(AF_INET, &address);

	assert_true(fd >= 0);
	*b = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*b, &address.sa, addr_len(&address)), 0);
	*a = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(*a >= 0);
	close(fd);
}

/* What a connection's handler was told. */
struct seen {
	unsigned what; /* all flags so far */
	unsigned calls;
	unsigned stop_at; /* stops the loop when one of these comes */
};

static inline void
on_seen(struct conn *conn, unsigned what, void *arg)
{
	struct seen *seen = arg;

	(void)conn;
	seen->what |= what;
	seen->calls++;
	if (what & seen->stop_at)
		loop_stop(loop);
}

#endif
