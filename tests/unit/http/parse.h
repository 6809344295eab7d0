/*
 * Heads from literals, for the tests of http/ and cache/.
 */
#ifndef TEST_PARSE_H
#define TEST_PARSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "http/head.h"

static const struct http_limits test_limits = {
    .line = 8192, .head = 65536, .fields = 100};

/* BYTES() for static tables, where a compound literal is no constant. */
#define B(lit)                         \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

/* Says which row it was, where an assertion alone does not. */
#define row_check(i, name, expr)                                             \
	do {                                                                 \
		if (!(expr))                                                 \
			fail_msg(                                            \
			    "row %zu (%s): %s", (size_t)(i), (name), #expr); \
	} while (0)

/* lines: field lines, each with CRLF. */
static inline struct http_head
test_request(struct arena *a, const char *method, const char *lines)
{
	struct bytes text = arena_printf(
	    a, "%s / HTTP/1.1\r\nHost: h\r\n%s\r\n", method, lines);
	struct http_fault fault = {0, ""};
	struct http_head head;

	if (http_parse_request(text, &test_limits, a, &head, &fault) != 0)
		fail_msg("%s: %s", lines, fault.text);
	return head;
}

static inline struct http_head
test_response(struct arena *a, int status, const char *lines)
{
	struct bytes text =
	    arena_printf(a, "HTTP/1.1 %d x\r\n%s\r\n", status, lines);
	struct http_fault fault = {0, ""};
	struct http_head head;

	if (http_parse_response(text, &test_limits, a, &head, &fault) != 0)
		fail_msg("%s: %s", lines, fault.text);
	return head;
}

#endif
