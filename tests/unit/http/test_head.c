#include "parse.h"

#include <stdlib.h>
#include <string.h>

/* What scanning and then parsing says: 0, or the fault's status. The bytes lie
 * in a block of their own size, so that a read behind them is seen. */
static int
verdict(struct bytes in, bool request, const struct http_limits *limits,
    struct arena *arena, struct http_head *out)
{
	struct http_fault fault = {0, NULL};
	size_t scanned = 0, size = 0;
	char *copy = malloc(in.n + 1);
	struct bytes head;
	int err;

	assert_non_null(copy);
	memcpy(copy, in.p, in.n);
	err = http_head_scan((struct bytes){copy, in.n}, limits, request,
	    &scanned, &size, &fault);
	free(copy);
	if (err == LARDER_AGAIN)
		return 1;
	if (err == 0) {
		head = (struct bytes){in.p, size};
		err =
		    request
			? http_parse_request(head, limits, arena, out, &fault)
			: http_parse_response(head, limits, arena, out, &fault);
	}
	if (err == 0)
		return 0;
	assert_non_null(fault.text);
	return fault.status;
}

#define H "Host: h\r\n"
#define OK(text)           \
	{                  \
		B(text), 0 \
	}
#define BAD(text)            \
	{                    \
		B(text), 400 \
	}

static const struct {
	struct bytes in;
	int status; /* 0: good; 1: more is needed */
} requests[] = {
    /* RFC 9112 3 */
    OK("GET / HTTP/1.1\r\n" H "\r\n"),
    OK("GET / HTTP/1.0\r\n\r\n"),
    OK("GET /a?b=c&d=%20|[]{} HTTP/1.1\r\n\r\n"),
    OK("M-SEARCH * HTTP/1.1\r\n\r\n"),
    OK("GET / HTTP/1.1\r\n" H "\r\nGET /next"),
    {B("GET / HTTP/1.1\r\n" H), 1},
    {B("GET / HTTP/1.1\r\n" H "\r"), 1},
    {B(""), 1},
    {B("G"), 1},
    BAD("GET  / HTTP/1.1\r\n\r\n"),
    BAD("GET /  HTTP/1.1\r\n\r\n"),
    BAD("GET / HTTP/1.1 \r\n\r\n"),
    BAD(" GET / HTTP/1.1\r\n\r\n"),
    BAD("GET\t/ HTTP/1.1\r\n\r\n"),
    BAD("GET /\tHTTP/1.1\r\n\r\n"),
    BAD("GET / a HTTP/1.1\r\n\r\n"),
    BAD("GET /\r\n\r\n"),
    BAD("GET\r\n\r\n"),
    BAD("GET  HTTP/1.1\r\n\r\n"),
    BAD("G(T / HTTP/1.1\r\n\r\n"),
    BAD("G\xc3\xa9T / HTTP/1.1\r\n\r\n"),
    /* RFC 9112 3.2: a fragment, raw UTF-8 */
    BAD("GET /a#b HTTP/1.1\r\n\r\n"),
    BAD("GET /\xc3\xa4 HTTP/1.1\r\n\r\n"),
    BAD("GET /\x7f HTTP/1.1\r\n\r\n"),
    /* RFC 9112 2.3 */
    OK("GET / HTTP/1.2\r\n\r\n"),
    OK("GET / HTTP/1.9\r\n\r\n"),
    {B("GET / HTTP/2.0\r\n\r\n"), 505},
    {B("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505},
    {B("GET / HTTP/0.9\r\n\r\n"), 505},
    BAD("GET / http/1.1\r\n\r\n"),
    BAD("GET / HTTP/1\r\n\r\n"),
    BAD("GET / HTTP/1.10\r\n\r\n"),
    BAD("GET / HTTP/11.1\r\n\r\n"),
    BAD("GET / HTTP/1,1\r\n\r\n"),
    BAD("GET / HTTPS/1.1\r\n\r\n"),
    BAD("GET / HTTP/1.a\r\n\r\n"),
    /* RFC 9112 3: a method that is too long */
    OK("ABCDEFGHIJKLMNOPQRSTUVWXYZ012345 / HTTP/1.1\r\n\r\n"),
    {B("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456 / HTTP/1.1\r\n\r\n"), 501},
    /* RFC 9112 2.2: line ends, empty lines */
    OK("\r\nGET / HTTP/1.1\r\n\r\n"),
    OK("\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    BAD("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
    BAD("\nGET / HTTP/1.1\r\n\r\n"),
    BAD("GET / HTTP/1.1\n\n"),
    BAD("GET / HTTP/1.1\r\n" H "\n"),
    BAD("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: b\r\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: \x0b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: 1234567\x1f\r\n\r\n"),
    BAD("\x16\x03\x01\x02\x00\x01"),
    /* RFC 9112 5: names, colons, folding */
    OK("GET / HTTP/1.1\r\nA:\r\nB: \t \r\nC:d\r\n\r\n"),
    OK("GET / HTTP/1.1\r\nA: \xe4\xf6 \"x,y\"\tz\r\n\r\n"),
    OK("GET / HTTP/1.1\r\n!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA : b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\t: b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\n A: b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\n: b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA b: c\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\xe4: c\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA(b): c\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\"b: c\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\x0b: b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\x0c: b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\0: b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\xa0: b\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: b\r\n \r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA: b\n\rC: d\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA/B: c\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA,B: c\r\n\r\n"),
    BAD("GET / HTTP/1.1\r\nA\r\n: b\r\n\r\n"),
    OK("GET / HTTP/1.1\r\nA: \x85\xa0\r\n\r\n"),
    OK("GET / HTTP/1.1\r\nA: b: c\r\n\r\n"),
    /* other spaces in the request line, RFC 9112 3 */
    BAD("GET\xa0/ HTTP/1.1\r\n\r\n"),
    BAD("GET /\xa0HTTP/1.1\r\n\r\n"),
    BAD("GET\x0b/ HTTP/1.1\r\n\r\n"),
    BAD("GET /\x0cHTTP/1.1\r\n\r\n"),
    BAD("GET /\rHTTP/1.1\r\n\r\n"),
    BAD("\tGET / HTTP/1.1\r\n\r\n"),
    BAD(" \r\nGET / HTTP/1.1\r\n\r\n"),
    BAD("\rGET / HTTP/1.1\r\n\r\n"),
    BAD("GET / HTTP/1.\r\n\r\n"),
    BAD("GET / HTTP/01.1\r\n\r\n"),
    BAD("GET / HTTP/1.1x\r\n\r\n"),
    BAD("GET / HTTP / 1.1\r\n\r\n"),
    {B("GET / HTTP/3.0\r\n\r\n"), 505},
    {B("GET / HTTP/9.9\r\n\r\n"), 505},
};

static void
requests_are_good_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		struct http_head head;
		struct arena a;

		arena_init(&a, 1 << 20);
		row_check(i, requests[i].in.p,
		    verdict(requests[i].in, true, &test_limits, &a, &head) ==
			requests[i].status);
		arena_release(&a);
	}
}

static const struct {
	struct bytes in;
	int verdict;
	int status, minor;
	const char *reason;
} responses[] = {
    /* RFC 9112 4 */
    {B("HTTP/1.1 200 OK\r\n\r\n"), 0, 200, 1, "OK"},
    {B("HTTP/1.0 404 Not Found\r\nA: b\r\n\r\n"), 0, 404, 0, "Not Found"},
    {B("HTTP/1.1 200 \r\n\r\n"), 0, 200, 1, ""},
    {B("HTTP/1.1 200\r\n\r\n"), 0, 200, 1, ""},
    {B("HTTP/1.1 999 a\xe4 b\tc\r\n\r\n"), 0, 999, 1, "a\xe4 b\tc"},
    {B("HTTP/1.1 100 Continue\r\n\r\n"), 0, 100, 1, "Continue"},
    {B("HTTP/1.3 200 OK\r\n\r\n"), 0, 200, 1, "OK"},
    {B("HTTP/2.0 200 OK\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 099 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 20 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 2000 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 +20 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1  200 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1\t200 x\r\n\r\n"), 502, 0, 0, ""},
    {B("http/1.1 200 OK\r\n\r\n"), 502, 0, 0, ""},
    {B("ICY 200 OK\r\n\r\n"), 502, 0, 0, ""},
    {B("<html>\r\n\r\n"), 502, 0, 0, ""},
    {B("\r\nHTTP/1.1 200 OK\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200 OK\n\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200 O\0K\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200 OK\r\n: b\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200OK\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 20\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 \r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 0200 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 000 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 2 0 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200\tx\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1 200 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/2 200\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.10 200 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/11 200 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/0.9 200 x\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200 x\rA: b\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200 OK\r\n A: b\r\n\r\n"), 502, 0, 0, ""},
    {B("HTTP/1.1 200 OK\r\nA: \x7f\r\n\r\n"), 502, 0, 0, ""},
    /* more is needed, or it is something else (RFC 9112 2.3): at once */
    {B(""), 1, 0, 0, ""},
    {B("H"), 1, 0, 0, ""},
    {B("HTTP/"), 1, 0, 0, ""},
    {B("HTTP/1.1 200"), 1, 0, 0, ""},
    {B("h"), 502, 0, 0, ""},
    {B("HTTQ"), 502, 0, 0, ""},
    {B("<html"), 502, 0, 0, ""},
    {B("SSH-2.0-x\r\n"), 502, 0, 0, ""},
    {B(" "), 502, 0, 0, ""},
};

static void
responses_are_good_or_502(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(responses) / sizeof(*responses); i++) {
		struct http_head head = {0};
		struct arena a;
		int v;

		arena_init(&a, 1 << 20);
		v = verdict(responses[i].in, false, &test_limits, &a, &head);
		row_check(i, responses[i].in.p, v == responses[i].verdict);
		if (v == 0) {
			assert_int_equal(head.status, responses[i].status);
			assert_int_equal(head.minor, responses[i].minor);
			assert_true(bytes_eq(
			    head.reason, bytes_str(responses[i].reason)));
		}
		arena_release(&a);
	}
}

/* The end is found at the same place however the bytes come. */
static void
scan_does_not_depend_on_pieces(void **state)
{
	const struct bytes in =
	    BYTES("\r\nPOST /abcdefghij HTTP/1.1\r\n"
		  "Host: a\r\nX: \t 1234567890\r\n\r\nbody");

	(void)state;
	for (size_t step = 1; step <= in.n; step++) {
		struct http_fault fault;
		size_t scanned = 0, size = 0, n = 0;
		int err;

		do {
			n = n + step < in.n ? n + step : in.n;
			err = http_head_scan((struct bytes){in.p, n},
			    &test_limits, true, &scanned, &size, &fault);
		} while (err == LARDER_AGAIN && n < in.n);
		assert_int_equal(err, 0);
		assert_int_equal(size, in.n - 4);
	}
}

static void
limits_say_414_and_431(void **state)
{
	const struct http_limits limits = {.line = 20, .head = 60, .fields = 3};
	static const struct {
		struct bytes in;
		int status;
	} rows[] = {
	    /* 20 bytes of request line, and 21 (RFC 9112 3) */
	    {B("GET /234567 HTTP/1.1\r\n\r\n"), 0},
	    {B("GET /2345678 HTTP/1.1\r\n\r\n"), 414},
	    /* known before the line's end, and with empty lines before it */
	    {B("GET /2345678901234567"), 414},
	    {B("GET /234567890123456"), 1},
	    {B("\r\n\r\nGET /234567 HTTP/1.1\r\n\r\n"), 0},
	    {B("\r\n\r\nGET /2345678 HTTP/1.1\r\n\r\n"), 414},
	    /* 60 bytes of head, and 61 (RFC 6585 5) */
	    {B("GET / HTTP/1.1\r\nA: 345678901234567890123456789012345678"
	       "9\r\n\r\n"),
		0},
	    {B("GET / HTTP/1.1\r\nA: 345678901234567890123456789012345678"
	       "90\r\n\r\n"),
		431},
	    {B("GET / HTTP/1.1\r\nA: 345678901234567890123456789012345678"
	       "901234"),
		431},
	    {B("GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n\r\n"), 0},
	    {B("GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n"), 431},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head head;
		struct arena a;

		arena_init(&a, 1 << 16);
		row_check(i, rows[i].in.p,
		    verdict(rows[i].in, true, &limits, &a, &head) ==
			rows[i].status);
		arena_release(&a);
	}
}

/* One field line, whatever the others are (RFC 6585 5). */
static void
a_field_line_has_a_limit(void **state)
{
	const struct http_limits limits = {
	    .line = 20, .head = 60, .fields = 3, .field = 9};
	static const struct {
		struct bytes in;
		int status;
	} rows[] = {
	    {B("GET / HTTP/1.1\r\nA: 456789\r\n\r\n"), 0},
	    {B("GET / HTTP/1.1\r\nA: 4567890\r\n\r\n"), 431},
	    {B("GET / HTTP/1.1\r\nA: 1\r\nB: 4567890\r\n\r\n"), 431},
	    {B("GET / HTTP/1.1\r\nA:       0\r\n\r\n"), 431},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head head;
		struct arena a;

		arena_init(&a, 1 << 16);
		row_check(i, rows[i].in.p,
		    verdict(rows[i].in, true, &limits, &a, &head) ==
			rows[i].status);
		arena_release(&a);
	}
}

/* Whoever parses without having scanned has the same limits. */
static void
parsing_holds_the_limits_too(void **state)
{
	const struct http_limits limits = {.line = 20, .head = 60, .fields = 3};
	struct bytes in = BYTES("GET /2345678 HTTP/1.1\r\n\r\n");
	struct http_fault fault = {0, NULL};
	size_t scanned = 0, size;
	struct http_head head;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(
	    http_parse_request(in, &limits, &a, &head, &fault), LARDER_TOOBIG);
	assert_int_equal(fault.status, 414);
	in = BYTES("GET / HTTP/1.1\r\nA: 345678901234567890123456789012345678"
		   "90\r\n\r\n");
	assert_int_equal(
	    http_parse_request(in, &limits, &a, &head, &fault), LARDER_TOOBIG);
	assert_int_equal(fault.status, 431);
	/* A fifth empty line is refused by the scan, before more comes. */
	in = BYTES("\r\n\r\n\r\n\r\n\r\n");
	assert_int_equal(
	    http_head_scan(in, &limits, true, &scanned, &size, &fault),
	    LARDER_INVALID);
	arena_release(&a);
}

static void
many_fields_move_to_the_arena(void **state)
{
	char text[8192] = "GET / HTTP/1.1\r\n", *end = text + strlen(text);
	struct http_head head;
	struct arena a;

	(void)state;
	for (int i = 0; i < 100; i++)
		end += sprintf(end, "X-%d: %d\r\n", i, i);
	strcpy(end, "\r\n");
	arena_init(&a, 1 << 16);
	assert_int_equal(
	    verdict(bytes_str(text), true, &test_limits, &a, &head), 0);
	assert_int_equal(head.count, 100);
	for (int i = 0; i < 100; i++) {
		char name[8];

		sprintf(name, "x-%d", i);
		assert_true(bytes_eq(
		    http_next_named(&head, bytes_str(name), NULL)->value,
		    bytes_str(name + 2)));
	}
	arena_release(&a);
	/* Without room in the arena: 431, and nothing points at the stack. */
	arena_init(&a, 1000);
	assert_int_equal(
	    verdict(bytes_str(text), true, &test_limits, &a, &head), 431);
	assert_null(head.fields);
	arena_release(&a);
}

static void
a_flood_of_connection_options_is_refused(void **state)
{
	char text[512] = "GET / HTTP/1.1\r\nConnection: a";
	struct http_head head;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (int i = 1; i < 64; i++)
		strcat(text, ",a");
	strcat(text, "\r\n\r\n");
	assert_int_equal(
	    verdict(bytes_str(text), true, &test_limits, &a, &head), 0);
	strcpy(strstr(text, "\r\n\r\n"), ",a\r\n\r\n");
	assert_int_equal(
	    verdict(bytes_str(text), true, &test_limits, &a, &head), 431);
	arena_release(&a);
}

static void
request_is_taken_apart(void **state)
{
	static const struct {
		const char *text;
		enum http_method method;
		bool safe, idempotent;
	} rows[] = {
	    /* RFC 9110 9.2 */
	    {"GET", HTTP_GET, true, true},
	    {"HEAD", HTTP_HEAD, true, true},
	    {"POST", HTTP_POST, false, false},
	    {"PUT", HTTP_PUT, false, true},
	    {"DELETE", HTTP_DELETE, false, true},
	    {"PATCH", HTTP_PATCH, false, false},
	    {"OPTIONS", HTTP_OPTIONS, true, true},
	    {"TRACE", HTTP_TRACE, true, true},
	    {"CONNECT", HTTP_CONNECT, false, false},
	    {"get", HTTP_OTHER_METHOD, false, false},
	    {"PURGE", HTTP_OTHER_METHOD, false, false},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h =
		    test_request(&a, rows[i].text, "A:  b c \t\r\n");

		row_check(i, rows[i].text, h.method == rows[i].method);
		row_check(i, rows[i].text,
		    http_method_safe(h.method) == rows[i].safe);
		row_check(i, rows[i].text,
		    http_method_idempotent(h.method) == rows[i].idempotent);
		assert_true(bytes_eq(h.method_text, bytes_str(rows[i].text)));
		assert_true(bytes_eq(h.target, BYTES("/")));
		assert_int_equal(h.status, 0);
		assert_int_equal(h.count, 2);
		assert_true(bytes_eq(h.fields[1].value, BYTES("b c")));
	}
	arena_release(&a);
}

static void
fields_are_found(void **state)
{
	struct arena a;
	struct http_head h;
	const struct http_field *f;

	(void)state;
	arena_init(&a, 1 << 16);
	h = test_request(
	    &a, "GET", "vArY: 1\r\nX-Foo: 2\r\nVary: 3\r\nx-foo: 4\r\nTE:\r\n");
	assert_int_equal(http_count(&h, HTTP_F_VARY), 2);
	assert_true(bytes_eq(http_value(&h, HTTP_F_VARY), BYTES("1")));
	f = http_next(&h, HTTP_F_VARY, NULL);
	f = http_next(&h, HTTP_F_VARY, f);
	assert_true(bytes_eq(f->value, BYTES("3")));
	assert_null(http_next(&h, HTTP_F_VARY, f));
	f = http_next_named(&h, BYTES("X-FOO"), NULL);
	assert_true(bytes_eq(f->value, BYTES("2")));
	f = http_next_named(&h, BYTES("X-FOO"), f);
	assert_true(bytes_eq(f->value, BYTES("4")));
	assert_null(http_next_named(&h, BYTES("X-FOO"), f));
	assert_non_null(http_next_named(&h, BYTES("te"), NULL));
	assert_true(http_has(&h, HTTP_F_TE));
	assert_false(http_has(&h, HTTP_F_AGE));
	assert_null(http_value(&h, HTTP_F_AGE).p);
	assert_null(http_next(&h, HTTP_F_OTHER, NULL));
	arena_release(&a);
}

static void
every_known_name_has_its_id(void **state)
{
	(void)state;
	for (unsigned i = 0; i < HTTP_F_OTHER; i++) {
		struct bytes name = http_field_name((enum http_field_id)i);
		char other[64];

		assert_int_equal(http_field_id(name), i);
		for (size_t at = 0; at < name.n; at++)
			other[at] = (char)(name.p[at] ^
					   ((name.p[at] | 32) >= 'a' &&
						       (name.p[at] | 32) <= 'z'
						   ? 32
						   : 0));
		assert_int_equal(
		    http_field_id((struct bytes){other, name.n}), i);
		/* One byte off in the middle is no longer it. */
		other[name.n / 2] = '!';
		assert_int_equal(
		    http_field_id((struct bytes){other, name.n}), HTTP_F_OTHER);
	}
	assert_int_equal(http_field_id(BYTES("")), HTTP_F_OTHER);
	assert_int_equal(http_field_alias(BYTES("")), HTTP_F_OTHER);
	assert_int_equal(
	    http_field_alias(BYTES("content_LENGTH")), HTTP_F_CONTENT_LENGTH);
	assert_int_equal(
	    http_field_alias(BYTES("Content-Length")), HTTP_F_CONTENT_LENGTH);
	assert_int_equal(http_field_alias(BYTES("_ost")), HTTP_F_OTHER);
	assert_int_equal(http_field_id(BYTES("A")), HTTP_F_OTHER);
	assert_int_equal(http_field_name(HTTP_F_OTHER).n, 0);
}

static void
trailer_lines_parse_alone(void **state)
{
	struct http_fault fault;
	struct http_head h;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(http_parse_fields(BYTES("A: b\r\nETag: \"x\"\r\n"),
			     &test_limits, &a, &h, &fault),
	    0);
	assert_int_equal(h.count, 2);
	assert_int_equal(
	    http_parse_fields(BYTES(""), &test_limits, &a, &h, &fault), 0);
	assert_int_equal(h.count, 0);
	assert_int_equal(http_parse_fields(BYTES("A: b\r\n\r\n"), &test_limits,
			     &a, &h, &fault),
	    LARDER_INVALID);
	assert_int_equal(
	    http_parse_fields(BYTES("A: b"), &test_limits, &a, &h, &fault),
	    LARDER_INVALID);
	arena_release(&a);
}

static void
phrases(void **state)
{
	(void)state;
	assert_string_equal(http_reason(200), "OK");
	assert_string_equal(
	    http_reason(511), "Network Authentication Required");
	assert_string_equal(http_reason(299), "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_are_good_or_refused),
	    cmocka_unit_test(responses_are_good_or_502),
	    cmocka_unit_test(scan_does_not_depend_on_pieces),
	    cmocka_unit_test(limits_say_414_and_431),
	    cmocka_unit_test(a_field_line_has_a_limit),
	    cmocka_unit_test(parsing_holds_the_limits_too),
	    cmocka_unit_test(many_fields_move_to_the_arena),
	    cmocka_unit_test(a_flood_of_connection_options_is_refused),
	    cmocka_unit_test(request_is_taken_apart),
	    cmocka_unit_test(fields_are_found),
	    cmocka_unit_test(every_known_name_has_its_id),
	    cmocka_unit_test(trailer_lines_parse_alone),
	    cmocka_unit_test(phrases),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
