/* The access log's lines: what tools expect, and nothing that breaks them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "proxy/access.h"

static union addr client = {.v4 = {.sin_family = AF_INET}};

static struct access_record
record(void)
{
	client.v4.sin_addr.s_addr = htonl(0x0a000005);
	return (struct access_record){
	    .started = 1700000000000,
	    .ended = 1700000000123,
	    .client = &client,
	    .result = RESULT_HIT,
	    .status = 200,
	    .bytes = 4321,
	    .method = BYTES("GET"),
	    .url = BYTES("http://a.example/x?y"),
	    .peer = "-",
	    .type = BYTES("text/html; charset=utf-8"),
	    .agent = BYTES("curl/8"),
	};
}

static void
squid(void **state)
{
	struct access_record r = record();
	char line[512];

	(void)state;
	line[access_format(&r, CONF_LOG_SQUID, line, sizeof(line) - 1)] = 0;
	assert_string_equal(line,
	    "1700000000.123    123 10.0.0.5 TCP_HIT/200 4321 GET "
	    "http://a.example/x?y - HIER_NONE/- text/html");
	r.result = RESULT_MISS;
	r.aborted = true;
	r.peer = "192.0.2.7";
	r.type = bytes_of(NULL, 0);
	line[access_format(&r, CONF_LOG_SQUID, line, sizeof(line) - 1)] = 0;
	assert_string_equal(line,
	    "1700000000.123    123 10.0.0.5 TCP_MISS_ABORTED/200 4321 GET "
	    "http://a.example/x?y - HIER_DIRECT/192.0.2.7 -");
}

static void
nothing_breaks_a_line(void **state)
{
	struct access_record r = record();
	char line[1024];
	int words = 1;

	(void)state;
	r.url = BYTES("http://a/ b\r\nFAKE 1 2 \xff\"");
	r.type = BYTES("a\tb");
	line[access_format(&r, CONF_LOG_SQUID, line, sizeof(line) - 1)] = 0;
	assert_null(strpbrk(line, "\r\n\t"));
	assert_non_null(strstr(line, "http://a/%20b%0D%0AFAKE%201%202%20%FF"));
	for (const char *p = strstr(line, "10.0.0.5"); *p; p++)
		words += *p == ' ';
	assert_int_equal(words, 8);
	r.agent = BYTES("a\"b\\c\nd");
	line[access_format(&r, CONF_LOG_COMBINED, line, sizeof(line) - 1)] = 0;
	assert_non_null(strstr(line, "\"a%22b%5Cc%0Ad\""));
}

static void
json_is_json(void **state)
{
	struct access_record r = record();
	char line[8192], *url = malloc(70000);
	json_t *object;

	(void)state;
	memset(url, '"', 70000);
	r.url = bytes_of(url, 70000);
	r.type = BYTES("te\\xt\x01");
	line[access_format(&r, CONF_LOG_JSON, line, sizeof(line) - 1)] = 0;
	object = json_loads(line, 0, NULL);
	assert_non_null(object);
	assert_string_equal(
	    json_string_value(json_object_get(object, "result")), "TCP_HIT");
	assert_int_equal(
	    json_integer_value(json_object_get(object, "bytes")), 4321);
	json_decref(object);
	free(url);
}

static void
a_line_is_cut(void **state)
{
	struct access_record r = record();
	char line[64];

	(void)state;
	memset(line, '#', sizeof(line));
	assert_int_equal(access_format(&r, CONF_LOG_SQUID, line, 40), 40);
	assert_int_equal(line[40], '#');
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(squid),
	    cmocka_unit_test(nothing_breaks_a_line),
	    cmocka_unit_test(json_is_json),
	    cmocka_unit_test(a_line_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
