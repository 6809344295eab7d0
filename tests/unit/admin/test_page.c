/*
 * By which names the page may be asked for, and what a PAC file says.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/names.h"
#include "admin/pac.h"
#include "larder/check.h"

static struct conf *conf;

static void
load(const char *text)
{
	char path[] = "/tmp/larder-page-XXXXXX", *why;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	dprintf(fd, "%s", text);
	close(fd);
	if (conf)
		conf_unref(&conf);
	if (conf_load(path, &conf, &why) != 0)
		fail_msg("%s", why);
	unlink(path);
}

static int
tear_down(void **state)
{
	(void)state;
	if (conf)
		conf_unref(&conf);
	return 0;
}

/* ---- names ------------------------------------------------------------ */

static struct names *names;

static bool
known(const char *host)
{
	return names_know(names, conf, bytes_str(host), false);
}

static void
names_of_the_machine(void **state)
{
	(void)state;
	load("admin_names = {\"Cache.Example\"}");
	assert_int_equal(
	    names_make(&names, "larder",
		"# search x\nnameserver 10.0.0.1\nsearch office.example "
		"lab.example. .\n\tdomain home.example # c\nsearch",
		"127.0.0.1 localhost other\n127.0.1.1\tlarder.full.example "
		"larder alias # larder2\n10.0.0.9 else.example\n#1 larder bad"),
	    0);
	assert_true(known("localhost"));
	assert_true(known("larder"));
	assert_true(known("larder."));
	assert_true(known("larder.local"));
	assert_true(known("larder.office.example"));
	assert_true(known("larder.lab.example"));
	assert_true(known("larder.home.example"));
	assert_true(known("larder.full.example"));
	assert_true(known("alias"));
	assert_true(known("cache.example"));
	assert_true(known("LARDER"));
	/* Without a Host nobody can have been misled. */
	assert_true(known(""));
	assert_true(names_know(names, conf, BYTES("10.9.8.7"), true));
	assert_false(known("other"));
	assert_false(known("larder2"));
	assert_false(known("bad"));
	assert_false(known("else.example"));
	assert_false(known("larder.evil.example"));
	assert_false(known("xlarder"));
	assert_false(known("larder.x"));
	assert_false(known("."));
	assert_false(known("office.example"));
	names_free(&names);
}

static void
names_of_odd_machines(void **state)
{
	char line[8192];

	(void)state;
	load("");
	assert_int_equal(names_make(&names, "", "search a.example", ""), 0);
	assert_true(known("localhost"));
	assert_false(known("a.example"));
	names_free(&names);
	assert_int_equal(
	    names_make(&names, "box.full.example", "search a.example\r", ""),
	    0);
	assert_true(known("box.full.example"));
	assert_true(known("box"));
	assert_true(known("box.local"));
	names_free(&names);
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, "search ", 7);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(names_make(&names, "box", line, line), 0);
	assert_true(known("box"));
	names_free(&names);
	/* More than there is room for. */
	for (size_t i = 7; i + 1 < sizeof(line); i++)
		line[i] = i % 3 ? (char)('a' + i % 26) : ' ';
	assert_int_equal(names_make(&names, "box", line, line), 0);
	assert_true(known("box"));
	names_free(&names);
}

/* ---- PAC -------------------------------------------------------------- */

static void
says(const char *here, uint16_t port, const char *proxy)
{
	struct arena arena;
	struct bytes text;
	union addr a = {0};
	char line[256];

	arena_init(&arena, 65536);
	if (here)
		assert_int_equal(addr_parse_ip(bytes_str(here), port, &a), 0);
	else
		a.sa.sa_family = AF_UNIX;
	text = pac_make(conf, &a, &arena);
	assert_non_null(text.p);
	snprintf(line, sizeof(line), "\"PROXY %s; DIRECT\"", proxy);
	if (memmem(text.p, text.n, line, strlen(line)) == NULL)
		fail_msg("%s:%u should be %s in:\n%.*s", here, port, proxy, 200,
		    text.p);
	arena_release(&arena);
}

static void
pac_of_several_interfaces(void **state)
{
	(void)state;
	load("listen = {\"0.0.0.0:3128\", \"[::]:3128\", \"0.0.0.0:3142\", "
	     "\"10.0.0.1:8080\"} admin_listen = {\"0.0.0.0:80\"}");
	says("192.168.1.5", 3128, "192.168.1.5:3128");
	says("10.0.0.1", 3142, "10.0.0.1:3142");
	says("10.0.0.1", 8080, "10.0.0.1:8080");
	says("fd00::5", 3128, "[fd00::5]:3128");
	/* Of the page's own address: a port that is a proxy's. */
	says("192.168.1.5", 80, "192.168.1.5:3128");
	says(NULL, 0, "127.0.0.1:3128");
}

static void
pac_of_one_interface(void **state)
{
	(void)state;
	load("listen = {\"10.0.0.1:8080\", \"unix:/tmp/x\"} "
	     "admin_listen = {\"10.0.0.1:80\"} access { connect_ports = {} }");
	says("10.0.0.1", 80, "10.0.0.1:8080");
	load("listen = {\":3128\"}");
	says("10.0.0.1", 3128, "10.0.0.1:3128");
	says("::1", 3128, "[::1]:3128");
	/* As a socket for both tells a v4 client's end. */
	says("::ffff:10.0.0.1", 3128, "10.0.0.1:3128");
}

static void
pac_has_the_ports_of_tunnels(void **state)
{
	struct arena arena;
	struct bytes text;
	union addr a;

	(void)state;
	load("access { connect_ports = {443, 8443} }");
	addr_parse_ip(BYTES("10.0.0.1"), 3128, &a);
	arena_init(&arena, 65536);
	text = pac_make(conf, &a, &arena);
	assert_non_null(memmem(text.p, text.n, "TUNNELS = [443, 8443];", 22));
	arena_release(&arena);
	/* No memory. */
	arena_init(&arena, 100);
	assert_null(pac_make(conf, &a, &arena).p);
	arena_release(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_of_the_machine),
	    cmocka_unit_test(names_of_odd_machines),
	    cmocka_unit_test(pac_of_several_interfaces),
	    cmocka_unit_test(pac_of_one_interface),
	    cmocka_unit_test(pac_has_the_ports_of_tunnels),
	};

	return cmocka_run_group_tests_name("page", tests, NULL, tear_down);
}
