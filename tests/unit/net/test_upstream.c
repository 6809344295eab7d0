#include "net_test.h"

#include <netdb.h>
#include <stdio.h>

#include "larder/clock.h"
#include "net/resolve.h"
#include "net/upstream.h"

/* An origin on 127.0.0.1, a hosts file, no name server. */
static char dir[] = "/tmp/larder-upstream-XXXXXX";
static char hosts[64];
static struct resolver *resolver;
static struct upstreams *upstreams;
static int origin;
static union addr origin_addr;
static struct upstream_target target;
static struct upstream_options options;

static int
deny(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **out)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)out;
	return EAI_NONAME;
}

static int
setup(void **state)
{
	const struct resolver_options r = {
	    .resolv_conf = "/nowhere", .hosts = hosts, .system = deny};
	FILE *file;

	if (loop_setup(state) != 0)
		return -1;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(hosts, sizeof(hosts), "%s/hosts", dir);
	file = fopen(hosts, "w");
	fputs("127.0.0.1 one.test two.test\n"
	      "127.0.0.3 many.test hole.test\n127.0.0.2 many.test\n"
	      "127.0.0.1 many.test\n",
	    file);
	fclose(file);
	origin = listen_on_loopback(AF_INET, &origin_addr);
	fcntl(origin, F_SETFL, O_NONBLOCK);
	target = (struct upstream_target){
	    .host = BYTES("one.test"), .port = addr_port(&origin_addr)};
	options = (struct upstream_options){.connect_ms = 2000,
	    .idle_ms = 2000,
	    .idle_per_target = 2,
	    .idle_total = 3};
	if (resolver_new_with(&resolver, loop, &r) != 0)
		return -1;
	return upstreams_new(&upstreams, loop, resolver, NULL, &options);
}

static int
teardown(void **state)
{
	upstreams_free(&upstreams);
	resolver_free(&resolver);
	close(origin);
	unlink(hosts);
	rmdir(dir);
	return loop_teardown(state);
}

/* What a call of upstreams_get() led to. */
struct got {
	struct conn *conn;
	struct upstream_wait *wait;
	int err, calls;
	bool at_once;
	char why[512];
};

static void
on_got(void *arg, int err, struct conn *conn, bool reused, const char *why)
{
	struct got *got = arg;

	assert_false(reused);
	assert_int_equal(conn == NULL, err != 0);
	got->wait = NULL;
	got->calls++;
	got->err = err;
	got->conn = conn;
	snprintf(got->why, sizeof(got->why), "%s", why);
	if (conn)
		conn_set_handler(conn, on_seen, NULL);
	loop_stop(loop);
}

/* The addresses that a test forbids: those that begin with this. */
static const char *forbidden = "none";

static bool
allow(void *arg, const union addr *a)
{
	char text[ADDR_TEXT];

	(void)arg;
	addr_format_host(a, text);
	return strncmp(text, forbidden, strlen(forbidden)) != 0;
}

static void
start(struct got *got, bool fresh)
{
	int err;

	memset(got, 0, sizeof(*got));
	err = upstreams_get(upstreams, &target,
	    fresh ? UPSTREAM_NONE : UPSTREAM_ANY, allow, NULL, on_got, got,
	    &got->conn, &got->wait);
	assert_int_equal(got->calls, 0);
	got->at_once = err == 0;
	assert_true(err == 0 ? got->conn && !got->wait
			     : err == LARDER_AGAIN && !got->conn && got->wait);
}

static struct got
get(bool fresh)
{
	static struct got got;

	start(&got, fresh);
	if (!got.at_once)
		run();
	return got;
}

static void
put(struct got *got)
{
	upstreams_put(upstreams, &target, &got->conn);
	assert_null(got->conn);
}

static int
accept_one(void)
{
	int fd = accept(origin, NULL, NULL);

	assert_true(fd >= 0);
	return fd;
}

/* Whether our side has closed it. */
static bool
is_closed(int fd)
{
	char c;

	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

/* ---- the pool --------------------------------------------------------- */

static void
the_latest_is_reused(void **state)
{
	struct got a = get(false), b = get(false), again;
	struct conn *first = a.conn, *second = b.conn;

	(void)state;
	assert_int_equal(a.err, 0);
	assert_int_equal(b.err, 0);
	put(&a);
	put(&b);
	run_for(10);
	again = get(true);
	assert_false(again.at_once);
	conn_close(&again.conn, false);
	again = get(false);
	assert_true(again.at_once);
	assert_ptr_equal(again.conn, second);
	b = get(false);
	assert_ptr_equal(b.conn, first);
	conn_close(&again.conn, false);
	conn_close(&b.conn, false);
	/* Another name, another target, though the address is the same. */
	a = get(false);
	put(&a);
	target.host = BYTES("two.test");
	b = get(false);
	assert_false(b.at_once);
	conn_close(&b.conn, false);
}

static void
what_speaks_while_idle_goes(void **state)
{
	struct got got;
	int fd[3];

	(void)state;
	for (int end = 0; end < 3; end++) {
		got = get(true);
		fd[end] = accept_one();
		if (end == 2) /* unread input when it is given back */
			assert_int_equal(write(fd[end], "x", 1), 1);
		put(&got);
		if (end == 0)
			shutdown(fd[end], SHUT_WR);
		if (end == 1)
			assert_int_equal(write(fd[end], "x", 1), 1);
		run_for(20);
		assert_true(
		    end == 1 || is_closed(fd[end]) || errno == ECONNRESET);
		got = get(false);
		assert_false(got.at_once);
		conn_close(&got.conn, false);
		close(accept_one());
		close(fd[end]);
	}
}

static void
idle_ones_grow_old(void **state)
{
	struct got got;
	int fd;

	(void)state;
	options.idle_ms = 40;
	upstreams_configure(upstreams, &options);
	got = get(false);
	fd = accept_one();
	put(&got);
	run_for(10);
	assert_false(is_closed(fd));
	run_for(100);
	assert_true(is_closed(fd));
	close(fd);
	options.idle_ms = 0; /* none are kept */
	upstreams_configure(upstreams, &options);
	got = get(false);
	fd = accept_one();
	put(&got);
	assert_true(is_closed(fd));
	close(fd);
}

static void
the_pool_is_bounded(void **state)
{
	struct got got[5];
	int fd[5], closed = 0;

	(void)state;
	for (int i = 0; i < 5; i++) {
		if (i == 3) /* two of one target, then of another */
			target.host = BYTES("two.test");
		got[i] = get(true);
		fd[i] = accept_one();
	}
	target.host = BYTES("one.test");
	for (int i = 0; i < 3; i++)
		put(&got[i]);
	assert_true(is_closed(fd[0])); /* the oldest of its target */
	assert_false(is_closed(fd[1]));
	target.host = BYTES("two.test");
	put(&got[3]);
	assert_false(is_closed(fd[1]));
	put(&got[4]);
	assert_true(is_closed(fd[1])); /* the oldest of all */
	options.idle_total = 1;
	upstreams_configure(upstreams, &options);
	for (int i = 0; i < 5; i++) {
		closed += is_closed(fd[i]);
		close(fd[i]);
	}
	assert_int_equal(closed, 4);
}

static void
idle_ones_are_judged_again(void **state)
{
	struct got got = get(false);

	(void)state;
	put(&got);
	forbidden = "127.";
	got = get(false);
	assert_false(got.at_once);
	assert_int_equal(got.err, LARDER_REFUSED);
	forbidden = "none";
	got = get(false);
	assert_true(got.at_once);
	conn_close(&got.conn, false);
}

/* ---- the race --------------------------------------------------------- */

/* A port that answers nothing: its backlog is full. */
static int hole, plug[3];

static void
dig(const char *ip, uint16_t port)
{
	union addr a;
	const int on = 1;

	assert_int_equal(addr_parse_ip(bytes_str(ip), port, &a), 0);
	hole = socket(a.sa.sa_family, SOCK_STREAM, 0);
	setsockopt(hole, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(hole, &a.sa, addr_len(&a)), 0);
	assert_int_equal(listen(hole, 0), 0);
	for (int i = 0; i < 3; i++) {
		plug[i] =
		    socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(plug[i], &a.sa, addr_len(&a));
	}
}

static void
fill_in(void)
{
	close(hole);
	for (int i = 0; i < 3; i++)
		close(plug[i]);
}

static void
a_silent_address_costs_a_head_start(void **state)
{
	int64_t start_ms = clock_mono_ms();
	struct got got;
	char text[ADDR_TEXT];

	(void)state;
	/* 127.0.0.3 is silent, 127.0.0.2 refuses, 127.0.0.1 answers. */
	dig("127.0.0.3", target.port);
	target.host = BYTES("many.test");
	got = get(false);
	assert_int_equal(got.err, 0);
	assert_string_equal(
	    addr_format_host(conn_peer(got.conn), text), "127.0.0.1");
	assert_in_range(clock_mono_ms() - start_ms, 240, 1500);
	conn_close(&got.conn, false);
	fill_in();
}

static void
a_refusing_address_costs_nothing(void **state)
{
	int64_t start_ms = clock_mono_ms();
	struct got got;

	(void)state;
	target.host = BYTES("many.test");
	got = get(false);
	assert_int_equal(got.err, 0);
	assert_in_range(clock_mono_ms() - start_ms, 0, 200);
	conn_close(&got.conn, false);
}

static void
forbidden_addresses_are_not_tried(void **state)
{
	struct got got;

	(void)state;
	forbidden = "127.0.0.1";
	target.host = BYTES("many.test");
	got = get(false);
	assert_int_equal(got.err, LARDER_IO);
	target.host = BYTES("localhost");
	forbidden = "";
	got = get(false);
	assert_int_equal(got.err, LARDER_REFUSED);
	assert_non_null(strstr(got.why, "access.destinations"));
	forbidden = "none";
}

static void
failures_are_told_apart(void **state)
{
	struct got got;
	char bad[] = "a\r\nb";

	(void)state;
	target.host = BYTES("missing.test");
	got = get(false);
	assert_int_equal(got.err, LARDER_NONAME);
	assert_string_equal(got.why, "the name of missing.test does not "
				     "resolve: there is no such name, or it "
				     "has no address");
	target.host = bytes_str(bad);
	got = get(false);
	assert_int_equal(got.err, LARDER_NONAME);
	assert_null(strchr(got.why, '\n'));
	target.host = bytes_of(NULL, 0);
	assert_int_equal(get(false).err, LARDER_NONAME);
	target.host = BYTES("one.test");
	close(origin);
	got = get(false);
	assert_int_equal(got.err, LARDER_IO);
	assert_non_null(strstr(got.why, "connection refused by 127.0.0.1:"));
	target.tls = true;
	assert_int_equal(get(false).err, LARDER_TLS);
	origin = -1;
}

static void
all_has_a_deadline(void **state)
{
	int64_t start_ms;
	struct got got;

	(void)state;
	options.connect_ms = 300;
	upstreams_configure(upstreams, &options);
	dig("127.0.0.3", target.port);
	target.host = BYTES("hole.test");
	start_ms = clock_mono_ms();
	got = get(false);
	assert_int_equal(got.err, LARDER_TIMEOUT);
	assert_non_null(strstr(got.why, "hole.test"));
	assert_in_range(clock_mono_ms() - start_ms, 299, 1500);
	fill_in();
}

static void
cancelled_waits_are_silent(void **state)
{
	struct got a, b;

	(void)state;
	start(&a, false);
	upstream_cancel(&a.wait);
	assert_null(a.wait);
	target.host = BYTES("missing.test");
	start(&b, false);
	upstream_cancel(&b.wait);
	run_for(50);
	assert_int_equal(a.calls + b.calls, 0);
	/* One that is left when all goes. */
	target.host = BYTES("one.test");
	start(&a, false);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(the_latest_is_reused),
	    CASE(what_speaks_while_idle_goes),
	    CASE(idle_ones_grow_old),
	    CASE(the_pool_is_bounded),
	    CASE(idle_ones_are_judged_again),
	    CASE(a_silent_address_costs_a_head_start),
	    CASE(a_refusing_address_costs_nothing),
	    CASE(forbidden_addresses_are_not_tried),
	    CASE(failures_are_told_apart),
	    CASE(all_has_a_deadline),
	    CASE(cancelled_waits_are_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
