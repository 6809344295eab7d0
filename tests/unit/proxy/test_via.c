/* Loops are known by Via (RFC 9110 7.6.3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "proxy/via.h"

static const struct http_limits limits = {
    .line = 8192, .head = 8192, .fields = 100};

static bool
is_loop(const char *via)
{
	char text[512];
	struct arena arena;
	struct http_head head;
	struct http_fault fault;
	bool loop;

	snprintf(text, sizeof(text),
	    "GET http://a/ HTTP/1.1\r\nHost: a\r\n%s\r\n", via);
	arena_init(&arena, 16384);
	assert_int_equal(
	    http_parse_request(bytes_str(text), &limits, &arena, &head, &fault),
	    0);
	loop = via_is_loop(&head, "0123456789abcdef");
	arena_release(&arena);
	return loop;
}

static void
knows_a_loop(void **state)
{
	static const struct {
		const char *via;
		bool loop;
	} rows[] = {
	    {"", false},
	    {"Via: 1.1 larder (0123456789abcdef)\r\n", true},
	    {"Via: 1.1 a, 1.1 Larder\t(0123456789abcdef) , 1.0 b\r\n", true},
	    {"Via: 1.1 a\r\nVia: 1.1 larder (0123456789abcdef)\r\n", true},
	    /* somebody took the comment out */
	    {"Via: 1.1 larder\r\n", true},
	    {"Via: HTTP/1.1 larder\r\n", true},
	    /* another one, in front of this one */
	    {"Via: 1.1 larder (fedcba9876543210)\r\n", false},
	    {"Via: 1.1 larder (0123456789abcdef0)\r\n", false},
	    {"Via: 1.1 larder.example\r\n", false},
	    {"Via: 1.1 a (larder)\r\n", false},
	    {"Via: larder\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (is_loop(rows[i].via) != rows[i].loop)
			fail_msg("row %zu: %s", i, rows[i].via);
}

static void
knows_what_it_writes(void **state)
{
	struct arena arena;
	struct http_out out;
	struct bytes line;
	char text[256];

	(void)state;
	arena_init(&arena, 4096);
	http_out_init(&out, &arena, 64);
	via_write(&out, 1, "0123456789abcdef");
	line = http_out_done(&out);
	snprintf(text, sizeof(text), "%.*s", BYTES_FMT(line));
	assert_string_equal(text, "Via: 1.1 larder (0123456789abcdef)\r\n");
	assert_true(is_loop(text));
	arena_release(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(knows_a_loop),
	    cmocka_unit_test(knows_what_it_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
