#include "net_test.h"

#include <dirent.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "larder/check.h"
#include "net/listener.h"

static struct listener *listener;
static int accepted[256];
static unsigned count, stop_after;
static union addr last_peer;
static bool close_inside;

static void
on_accept(void *arg, int fd, const union addr *peer)
{
	(void)arg;
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	last_peer = *peer;
	accepted[count++] = fd;
	if (close_inside)
		listener_close(&listener);
	if (count == stop_after)
		loop_stop(loop);
}

static int
setup(void **state)
{
	count = stop_after = 0;
	close_inside = false;
	return loop_setup(state);
}

static int
teardown(void **state)
{
	listener_close(&listener);
	while (count)
		close(accepted[--count]);
	return loop_teardown(state);
}

/* A listener on a free port of loopback; its address. */
static union addr
listen_tcp(const char *ip)
{
	char why[256];
	union addr a;
	socklen_t len = sizeof(a);
	int fd;

	assert_int_equal(addr_parse_ip(bytes_str(ip), 0, &a), 0);
	fd = listener_socket(&a, why, sizeof(why));
	assert_true(fd >= 0);
	getsockname(fd, &a.sa, &len);
	assert_int_equal(listener_new(&listener, loop, fd, on_accept, NULL), 0);
	return a;
}

static int
dial(const union addr *to)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd >= 0)
		connect(fd, &to->sa, addr_len(to));
	return fd;
}

static void
accepts_a_batch(void **state)
{
	union addr a = listen_tcp("127.0.0.1");
	int fd[100], on = 0;
	socklen_t len = sizeof(on);

	(void)state;
	for (int i = 0; i < 100; i++)
		fd[i] = dial(&a);
	stop_after = 100;
	run();
	assert_int_equal(count, 100);
	assert_int_equal(last_peer.sa.sa_family, AF_INET);
	/* Inherited from the listening socket. */
	getsockopt(accepted[0], IPPROTO_TCP, TCP_NODELAY, &on, &len);
	assert_true(on);
	for (int i = 0; i < 100; i++)
		close(fd[i]);
}

static void
closing_takes_the_backlog(void **state)
{
	union addr a = listen_tcp("127.0.0.1");
	int first = dial(&a), second = dial(&a), third;

	(void)state;
	close_inside = true;
	run_for(20);
	assert_null(listener);
	assert_int_equal(count, 2);
	third = dial(&a);
	run_for(20);
	assert_int_equal(count, 2);
	close(first);
	close(second);
	close(third);
}

static void
several_share_a_port(void **state)
{
	union addr a = listen_tcp("127.0.0.1");
	char why[256];
	int fd = listener_socket(&a, why, sizeof(why));

	(void)state;
	assert_true(fd >= 0);
	close(fd);
}

static void
wrong_addresses_are_explained(void **state)
{
	char why[256];
	union addr a;

	(void)state;
	addr_parse_ip(BYTES("192.0.2.1"), 80, &a);
	assert_int_equal(listener_socket(&a, why, sizeof(why)), LARDER_IO);
	assert_string_equal(why, "cannot listen on 192.0.2.1:80: Cannot "
				 "assign requested address");
}

static void
a_dual_socket_takes_both(void **state)
{
	union addr a = {0}, to;
	socklen_t len = sizeof(a);
	char why[256];
	int fd, v4, v6;

	(void)state;
	a.v6.sin6_family = AF_INET6;
	a.v6.sin6_flowinfo = ADDR_DUAL;
	fd = listener_socket(&a, why, sizeof(why));
	assert_true(fd >= 0);
	getsockname(fd, &a.sa, &len);
	assert_int_equal(listener_new(&listener, loop, fd, on_accept, NULL), 0);
	addr_parse_ip(BYTES("127.0.0.1"), addr_port(&a), &to);
	v4 = dial(&to);
	addr_parse_ip(BYTES("::1"), addr_port(&a), &to);
	v6 = dial(&to);
	run_for(30);
	/* Where the machine has no v6 address the second one cannot come. */
	assert_in_range(count, 1, 2);
	close(v4);
	close(v6);
}

static void
unix_sockets_replace_stale_ones(void **state)
{
	char dir[] = "/tmp/larder-listener-XXXXXX", text[64], why[256];
	const char *phrase;
	union addr a;
	int fd, second, file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(text, sizeof(text), "unix:%s/sock", dir);
	assert_int_equal(addr_parse_listen(text, &a, &phrase), 0);
	fd = listener_socket(&a, why, sizeof(why));
	assert_true(fd >= 0);
	/* Somebody answers there. */
	assert_int_equal(listener_socket(&a, why, sizeof(why)), LARDER_IO);
	assert_non_null(strstr(why, "Address already in use"));
	/* Two workers, one socket. */
	second = dup(fd);
	assert_int_equal(
	    listener_new(&listener, loop, second, on_accept, NULL), 0);
	file = dial(&a);
	stop_after = 1;
	run();
	close(file);
	listener_close(&listener);
	close(fd);
	/* Nobody does any more. */
	fd = listener_socket(&a, why, sizeof(why));
	assert_true(fd >= 0);
	close(fd);
	unlink(a.un.sun_path);
	/* Not a socket: not ours to delete. */
	file = open(a.un.sun_path, O_CREAT | O_WRONLY, 0600);
	close(file);
	assert_int_equal(listener_socket(&a, why, sizeof(why)), LARDER_IO);
	assert_int_equal(access(a.un.sun_path, F_OK), 0);
	unlink(a.un.sun_path);
	rmdir(dir);
}

static rlim_t
descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	rlim_t highest = 0;

	for (struct dirent *e; (e = readdir(dir));)
		if ((rlim_t)atoi(e->d_name) > highest)
			highest = (rlim_t)atoi(e->d_name);
	closedir(dir);
	return highest;
}

static unsigned turns;

static void
on_turn(void *arg)
{
	(void)arg;
	turns++;
}

static void
starvation_pauses(void **state)
{
	struct rlimit before, tight;
	struct loop_timer timer;
	int plug[256], fd[6], saved = dup(STDERR_FILENO), logged[2];
	unsigned plugs = 0;
	char text[2000] = "";
	union addr a;

	(void)state;
	loop_timer_release(&watchdog);
	loop_free(&loop);
	assert_int_equal(loop_new(&loop, on_turn, NULL), 0);
	loop_timer_init(&watchdog, loop, bite, NULL);
	loop_timer_init(&timer, loop, stop, NULL);
	a = listen_tcp("127.0.0.1");
	for (int i = 0; i < 6; i++)
		fd[i] = dial(&a);
	assert_int_equal(pipe(logged), 0);
	dup2(logged[1], STDERR_FILENO);
	getrlimit(RLIMIT_NOFILE, &before);
	tight = before;
	tight.rlim_cur = descriptors() + 1;
	setrlimit(RLIMIT_NOFILE, &tight);
	/* Holes below the limit would still be found. */
	while (
	    plugs < ARRAY_SIZE(plug) && (plug[plugs] = dup(STDERR_FILENO)) >= 0)
		plugs++;
	turns = 0;
	loop_timer_start(&timer, 450);
	run();
	setrlimit(RLIMIT_NOFILE, &before);
	assert_in_range(turns, 1, 30); /* it does not spin */
	while (plugs)
		close(plug[--plugs]);
	assert_int_equal(count, 0);
	loop_timer_start(&timer, 300);
	run();
	dup2(saved, STDERR_FILENO);
	assert_int_equal(count, 6);
	assert_true(read(logged[0], text, sizeof(text) - 1) > 0);
	/* Once for all pauses, and once for their end. */
	assert_non_null(strstr(text, "accepting pauses: Too many open files"));
	assert_null(strstr(strstr(text, "pauses") + 1, "pauses"));
	assert_non_null(strstr(text, "accepting goes on"));
	for (int i = 0; i < 6; i++)
		close(fd[i]);
	close(logged[0]);
	close(logged[1]);
	close(saved);
	loop_timer_release(&timer);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(accepts_a_batch),
	    CASE(closing_takes_the_backlog),
	    CASE(several_share_a_port),
	    CASE(wrong_addresses_are_explained),
	    CASE(a_dual_socket_takes_both),
	    CASE(unix_sockets_replace_stale_ones),
	    CASE(starvation_pauses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
