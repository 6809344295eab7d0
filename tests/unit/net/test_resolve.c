#include "net_test.h"

#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "larder/check.h"
#include "net/resolve.h"

/* ---- a name server on loopback ---------------------------------------- */

struct server {
	struct evdns_server_port *port;
	int number; /* of its UDP port */
	unsigned questions;
	uint8_t last_byte; /* of the addresses it gives */
	bool silent;
};

static struct server server, server2;

static bool
is(const char *name, const char *prefix)
{
	return strncasecmp(name, prefix, strlen(prefix)) == 0;
}

static void
on_question(struct evdns_server_request *request, void *arg)
{
	struct server *s = arg;
	const struct evdns_server_question *q = request->questions[0];
	uint8_t v4[4] = {198, 51, 100, s->last_byte};
	uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = s->last_byte};
	uint8_t mapped[16] = {[10] = 0xff, 0xff, 198, 51, 100, s->last_byte};
	bool aaaa = q->type == EVDNS_TYPE_AAAA;
	int error = 0;

	s->questions++;
	if (s->silent || is(q->name, "silent.") ||
	    (is(q->name, "slow6.") && aaaa)) {
		evdns_server_request_drop(request);
		return;
	}
	if (is(q->name, "none.") || (is(q->name, "denied6.") && aaaa))
		error = DNS_ERR_NOTEXIST;
	else if (is(q->name, "broken."))
		error = DNS_ERR_SERVERFAILED;
	else if (aaaa && is(q->name, "mapped."))
		evdns_server_request_add_aaaa_reply(
		    request, q->name, 1, mapped, 60);
	else if (aaaa && is(q->name, "both."))
		evdns_server_request_add_aaaa_reply(
		    request, q->name, 1, v6, 60);
	else if (!aaaa && !is(q->name, "empty."))
		evdns_server_request_add_a_reply(request, q->name, 1, v4, 60);
	evdns_server_request_respond(request, error);
}

static void
start_server(struct server *s, uint8_t last_byte)
{
	union addr a = {0};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	a.v4.sin_family = AF_INET;
	a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, &a.sa, addr_len(&a)), 0);
	getsockname(fd, &a.sa, &len);
	*s = (struct server){.number = addr_port(&a), .last_byte = last_byte};
	s->port = evdns_add_server_port_with_base(
	    loop_base(loop), fd, 0, on_question, s);
	assert_non_null(s->port);
}

/* ---- the resolver, and what it says ----------------------------------- */

static char dir[] = "/tmp/larder-resolve-XXXXXX";
static char conf[64], hosts[64];
static struct resolver *resolver;
static atomic_int system_calls, system_ended;
static atomic_bool system_slow;

static int
fake_system(const char *node, const char *service, const struct addrinfo *hints,
    struct addrinfo **out)
{
	struct addrinfo numeric = *hints;
	int err;

	atomic_fetch_add(&system_calls, 1);
	if (atomic_load(&system_slow))
		usleep(100000);
	numeric.ai_flags |= AI_NUMERICHOST;
	err = strcmp(node, "denied.test") == 0
		  ? EAI_NONAME
		  : getaddrinfo("192.0.2.77", service, &numeric, out);
	atomic_fetch_add(&system_ended, 1);
	return err;
}

static void write_file(const char *path, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
write_file(const char *path, const char *format, ...)
{
	char fresh[80];
	va_list ap;
	FILE *file;

	snprintf(fresh, sizeof(fresh), "%s.new", path);
	file = fopen(fresh, "w");
	assert_non_null(file);
	va_start(ap, format);
	vfprintf(file, format, ap);
	va_end(ap);
	fclose(file);
	assert_int_equal(rename(fresh, path), 0);
}

static int
setup(void **state)
{
	struct resolver_options options = {
	    .resolv_conf = conf, .hosts = hosts, .system = fake_system};

	if (loop_setup(state) != 0)
		return -1;
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(conf, sizeof(conf), "%s/resolv.conf", dir);
	snprintf(hosts, sizeof(hosts), "%s/hosts", dir);
	start_server(&server, 1);
	start_server(&server2, 2);
	write_file(conf,
	    "nameserver 127.0.0.1:%d\n"
	    "options timeout:1 attempts:1\n",
	    server.number);
	write_file(hosts,
	    "# a comment\n192.0.2.9 Local-Host.test alias.test # x\n"
	    "2001:db8::9\talias.test\nnonsense alias.test\n"
	    "192.0.2.10 last.test");
	atomic_store(&system_calls, 0);
	atomic_store(&system_ended, 0);
	atomic_store(&system_slow, false);
	return resolver_new_with(&resolver, loop, &options);
}

static int
teardown(void **state)
{
	resolver_free(&resolver);
	evdns_close_server_port(server.port);
	evdns_close_server_port(server2.port);
	unlink(conf);
	unlink(hosts);
	rmdir(dir);
	/* A thread that nobody waits for any more ends before the process. */
	while (atomic_load(&system_ended) < atomic_load(&system_calls))
		usleep(1000);
	usleep(2000);
	return loop_teardown(state);
}

struct result {
	struct resolve *resolve;
	int calls, err;
	struct resolve_answer answer;
};

static int waiting;

static void
on_result(void *arg, int err, const struct resolve_answer *answer)
{
	struct result *r = arg;

	r->resolve = NULL;
	r->calls++;
	r->err = err;
	assert_int_equal(answer == NULL, err != 0);
	if (answer)
		r->answer = *answer;
	if (--waiting == 0)
		loop_stop(loop);
}

static int
start(struct result *r, const char *name)
{
	memset(r, 0, sizeof(*r));
	r->err = resolve_start(resolver, bytes_str(name), 80, &r->answer,
	    &r->resolve, on_result, r);
	if (r->err == LARDER_AGAIN)
		waiting++;
	return r->err;
}

/* "err" or "a b": what name resolves to. */
static const char *
text_of(const struct result *r)
{
	static char text[ADDR_TEXT * 4];
	char one[ADDR_TEXT];

	if (r->err)
		return larder_strerror(r->err);
	text[0] = '\0';
	for (unsigned i = 0; i < r->answer.count && i < 4; i++) {
		if (i)
			strcat(text, " ");
		strcat(text, addr_format(&r->answer.addr[i], one));
	}
	return text;
}

static const char *
look_up(const char *name)
{
	static struct result r;

	if (start(&r, name) == LARDER_AGAIN)
		run();
	return text_of(&r);
}

#define NONAME larder_strerror(LARDER_NONAME)

/* ---- tests ------------------------------------------------------------ */

static void
numbers_and_names(void **state)
{
	static const char *const bad[] = {"", ".", "a..b", ".a", "a b", "a/b",
	    "a@b", "caf\xc3\xa9.test", "127.1", "0x7f000001", "0x7f.1",
	    "2130706433", "017700000001", "1.2.3.4.5", "1.2.3.0x4", "1.2.3.256",
	    "foo.123", "[::1]", "fe80::1%lo", "a.test..", "1.2.3.4.", "::g"};
	char longest[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_string_equal(look_up(bad[i]), NONAME);
	memset(longest, 'a', sizeof(longest));
	longest[64] = '\0';
	assert_string_equal(look_up(longest), NONAME);
	longest[64] = 'a';
	for (size_t i = 50; i < 300; i += 50)
		longest[i] = '.';
	longest[254] = '\0';
	assert_string_equal(look_up(longest), NONAME);
	assert_int_equal(server.questions, 0);
	assert_string_equal(look_up("192.0.2.1"), "192.0.2.1:80");
	assert_string_equal(look_up("2001:db8::1"), "[2001:db8::1]:80");
	assert_string_equal(look_up("::ffff:192.0.2.1"), "192.0.2.1:80");
	assert_string_equal(look_up("localhost"), "[::1]:80 127.0.0.1:80");
	assert_string_equal(look_up("a.LocalHost."), "[::1]:80 127.0.0.1:80");
	assert_int_equal(server.questions, 0);
	longest[253] = '\0';
	assert_string_equal(look_up(longest), "198.51.100.1:80");
	assert_string_equal(look_up("_x-.1a.test"), "198.51.100.1:80");
}

static void
hosts_come_first(void **state)
{
	(void)state;
	assert_string_equal(look_up("LOCAL-host.test"), "192.0.2.9:80");
	assert_string_equal(
	    look_up("alias.test"), "[2001:db8::9]:80 192.0.2.9:80");
	assert_string_equal(look_up("last.test"), "192.0.2.10:80");
	assert_int_equal(server.questions, 0);
	write_file(hosts, "192.0.2.11 last.test\n");
	run_for(1100);
	assert_string_equal(look_up("last.test"), "192.0.2.11:80");
	unlink(hosts);
	run_for(1100);
	assert_string_equal(look_up("last.test"), "198.51.100.1:80");
}

static void
both_families_interleave(void **state)
{
	(void)state;
	assert_string_equal(
	    look_up("both.test"), "[2001:db8::1]:80 198.51.100.1:80");
	assert_string_equal(look_up("four.test"), "198.51.100.1:80");
	assert_string_equal(look_up("mapped.test"), "198.51.100.1:80");
	assert_string_equal(look_up("denied6.test"), "198.51.100.1:80");
}

static void
a_slow_family_is_not_waited_for(void **state)
{
	int64_t before = loop_mono_ms(loop);

	(void)state;
	assert_string_equal(look_up("slow6.test"), "198.51.100.1:80");
	assert_in_range(loop_mono_ms(loop) - before, 40, 700);
	/* What never comes is forgotten. */
	run_for(2500);
	assert_int_equal(atomic_load(&system_calls), 0);
}

static void
answers_and_failures_are_cached(void **state)
{
	unsigned asked;

	(void)state;
	assert_string_equal(look_up("four.test"), "198.51.100.1:80");
	assert_string_equal(look_up("none.test"), NONAME);
	assert_string_equal(look_up("empty.test"), NONAME);
	asked = server.questions;
	assert_string_equal(look_up("FOUR.test."), "198.51.100.1:80");
	assert_string_equal(look_up("none.test"), NONAME);
	assert_string_equal(look_up("empty.test"), NONAME);
	assert_int_equal(server.questions, asked);
	/* Failures only briefly. */
	run_for(3100);
	assert_string_equal(look_up("none.test"), NONAME);
	assert_string_equal(look_up("four.test"), "198.51.100.1:80");
	assert_true(server.questions > asked);
}

static void
one_name_is_one_query(void **state)
{
	struct result a, b, c;

	(void)state;
	assert_int_equal(start(&a, "four.test"), LARDER_AGAIN);
	assert_int_equal(start(&b, "Four.test"), LARDER_AGAIN);
	assert_int_equal(start(&c, "four.test"), LARDER_AGAIN);
	resolve_cancel(&b.resolve);
	assert_null(b.resolve);
	waiting--;
	run();
	assert_int_equal(server.questions, 2);
	assert_string_equal(text_of(&a), "198.51.100.1:80");
	assert_string_equal(text_of(&c), "198.51.100.1:80");
	assert_int_equal(b.calls, 0);
}

static void
failing_servers_are_backed_up(void **state)
{
	(void)state;
	assert_string_equal(look_up("broken.test"), "192.0.2.77:80");
	assert_string_equal(look_up("broken.test"), "192.0.2.77:80");
	assert_int_equal(atomic_load(&system_calls), 1);
	assert_string_equal(look_up("silent.test"), "192.0.2.77:80");
	assert_int_equal(atomic_load(&system_calls), 2);
}

static void
without_servers_the_system_is_asked(void **state)
{
	(void)state;
	write_file(conf, "# none\n");
	assert_string_equal(look_up("x.test"), "192.0.2.77:80");
	assert_string_equal(look_up("denied.test"), NONAME);
	unlink(conf);
	run_for(1100);
	assert_string_equal(look_up("y.test"), "192.0.2.77:80");
	write_file(conf, "nameserver 127.0.0.1:%d\n", server.number);
	run_for(1100);
	assert_string_equal(look_up("y.test"), "198.51.100.1:80");
}

static void
only_short_names_are_searched(void **state)
{
	(void)state;
	write_file(conf,
	    "nameserver 127.0.0.1:%d\nsearch none.test zone.test\n",
	    server.number);
	/* none.x.test and what the list makes of it: asked for once a family.
	 */
	assert_string_equal(look_up("none.x.test"), NONAME);
	assert_int_equal(server.questions, 2);
	assert_string_equal(look_up("short"), "198.51.100.1:80");
}

static void
a_new_resolv_conf_is_used(void **state)
{
	(void)state;
	assert_string_equal(look_up("four.test"), "198.51.100.1:80");
	write_file(conf, "nameserver 127.0.0.1:%d\n", server2.number);
	run_for(1100);
	assert_string_equal(look_up("four.test"), "198.51.100.2:80");
}

static void
what_was_asked_before_moves_over(void **state)
{
	struct result r;

	(void)state;
	server.silent = true;
	assert_int_equal(start(&r, "four.test"), LARDER_AGAIN);
	write_file(conf, "nameserver 127.0.0.1:%d\n", server2.number);
	run();
	assert_string_equal(text_of(&r), "198.51.100.2:80");
	assert_int_equal(atomic_load(&system_calls), 0);
}

static void
it_may_go_with_work_under_way(void **state)
{
	struct result r;

	(void)state;
	atomic_store(&system_slow, true);
	assert_int_equal(start(&r, "broken.test"), LARDER_AGAIN);
	run_for(50);
	assert_int_equal(atomic_load(&system_calls), 1);
	assert_int_equal(r.calls, 0);
	resolve_cancel(&r.resolve);
	assert_int_equal(start(&r, "silent.test"), LARDER_AGAIN);
	resolve_cancel(&r.resolve);
	assert_int_equal(start(&r, "four.test"), LARDER_AGAIN);
	resolve_cancel(&r.resolve);
	waiting = 0;
	/* teardown frees it */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(numbers_and_names),
	    CASE(hosts_come_first),
	    CASE(both_families_interleave),
	    CASE(a_slow_family_is_not_waited_for),
	    CASE(answers_and_failures_are_cached),
	    CASE(one_name_is_one_query),
	    CASE(failing_servers_are_backed_up),
	    CASE(without_servers_the_system_is_asked),
	    CASE(only_short_names_are_searched),
	    CASE(a_new_resolv_conf_is_used),
	    CASE(what_was_asked_before_moves_over),
	    CASE(it_may_go_with_work_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
