#include "parse.h"

#include <string.h>

#include "http/body.h"

#define CL(v) "Content-Length: " v "\r\n"
#define TE(v) "Transfer-Encoding: " v "\r\n"

/* RFC 9112 6.1 to 6.3, RFC 9110 8.6 */
static const struct {
	const char *method, *lines;
	int status; /* 0: good */
	enum http_framing framing;
	uint64_t length;
} requests[] = {
    {"GET", "", 0, HTTP_BODY_NONE, 0},
    {"POST", "", 0, HTTP_BODY_NONE, 0},
    {"POST", CL("0"), 0, HTTP_BODY_LENGTH, 0},
    {"POST", CL("0042"), 0, HTTP_BODY_LENGTH, 42},
    {"GET", CL("9223372036854775807"), 0, HTTP_BODY_LENGTH, INT64_MAX},
    {"POST", CL("9223372036854775808"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("18446744073709551617"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL(""), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("+1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("-1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("0x1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1 1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1,1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1, 2"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1.0"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1") CL("1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1") CL("2"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked"), 0, HTTP_BODY_CHUNKED, 0},
    {"GET", TE("Chunked"), 0, HTTP_BODY_CHUNKED, 0},
    {"POST", TE("chunked") CL("1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("0") TE("chunked"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked") TE("chunked"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked, chunked"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked") TE("gzip"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("gzip") TE("chunked"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked, gzip"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("gzip"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("identity"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("gzip, chunked"), 501, HTTP_BODY_NONE, 0},
    {"POST", TE(""), 400, HTTP_BODY_NONE, 0},
    {"POST", TE(",chunked"), 501, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked;a=b"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("\"chunked\""), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("xchunked"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("chunke"), 400, HTTP_BODY_NONE, 0},
    /* spellings of framing that another parser might take */
    {"POST", CL("\t1 "), 0, HTTP_BODY_LENGTH, 1},
    {"POST", CL("00000000000000000000005"), 0, HTTP_BODY_LENGTH, 5},
    {"POST", CL("99999999999999999999"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("18446744073709551616"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("-0"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1_0"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1e1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("\"1\""), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1;a"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("1\xa0"), 400, HTTP_BODY_NONE, 0},
    {"POST",
	CL("\x85"
	   "1"),
	400, HTTP_BODY_NONE, 0},
    {"POST", CL("1,"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL(",1"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("0, 0"), 400, HTTP_BODY_NONE, 0},
    {"POST", CL("0") CL(""), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("\tchunked "), 0, HTTP_BODY_CHUNKED, 0},
    {"POST", TE("chunked,"), 501, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked,identity"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("identity, chunked"), 501, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked") TE(""), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("") TE("chunked"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("chunked\xa0"), 400, HTTP_BODY_NONE, 0},
    {"POST",
	TE("\x85"
	   "chunked"),
	400, HTTP_BODY_NONE, 0},
    {"POST", TE("ch unked"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("'chunked'"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("x") CL("5"), 400, HTTP_BODY_NONE, 0},
    {"POST", TE("identity") CL("5"), 400, HTTP_BODY_NONE, 0},
    /* RFC 9110 9.3.6 */
    {"CONNECT", "", 0, HTTP_BODY_NONE, 0},
    {"CONNECT", CL("0"), 0, HTTP_BODY_NONE, 0},
    {"CONNECT", CL("1"), 400, HTTP_BODY_NONE, 0},
    {"CONNECT", TE("chunked"), 400, HTTP_BODY_NONE, 0},
};

static void
requests_are_framed(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
		struct http_head h =
		    test_request(&a, requests[i].method, requests[i].lines);
		struct http_fault fault = {0, NULL};
		struct http_body body;
		int err = http_body_of_request(&h, &body, &fault);

		row_check(i, requests[i].lines,
		    (err == 0 ? 0 : fault.status) == requests[i].status);
		if (err < 0)
			continue;
		row_check(
		    i, requests[i].lines, body.framing == requests[i].framing);
		row_check(
		    i, requests[i].lines, body.left == requests[i].length);
	}
	arena_release(&a);
}

static const struct {
	enum http_method method;
	int status;
	const char *lines;
	int fault;
	enum http_framing framing;
} responses[] = {
    {HTTP_GET, 200, "", 0, HTTP_BODY_CLOSE},
    {HTTP_GET, 200, CL("5"), 0, HTTP_BODY_LENGTH},
    {HTTP_GET, 200, TE("chunked"), 0, HTTP_BODY_CHUNKED},
    {HTTP_GET, 404, TE("chunked"), 0, HTTP_BODY_CHUNKED},
    {HTTP_HEAD, 200, CL("5"), 0, HTTP_BODY_NONE},
    {HTTP_HEAD, 200, TE("chunked"), 0, HTTP_BODY_NONE},
    {HTTP_GET, 204, CL("5"), 0, HTTP_BODY_NONE},
    {HTTP_GET, 304, CL("5"), 0, HTTP_BODY_NONE},
    {HTTP_GET, 304, "", 0, HTTP_BODY_NONE},
    {HTTP_GET, 100, "", 0, HTTP_BODY_NONE},
    {HTTP_GET, 103, "", 0, HTTP_BODY_NONE},
    {HTTP_GET, 205, CL("0"), 0, HTTP_BODY_LENGTH},
    {HTTP_CONNECT, 200, CL("5"), 0, HTTP_BODY_NONE},
    {HTTP_CONNECT, 200, TE("chunked") CL("5"), 0, HTTP_BODY_NONE},
    {HTTP_CONNECT, 403, CL("5"), 0, HTTP_BODY_LENGTH},
    {HTTP_GET, 200, CL("5") TE("chunked"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, CL("5") CL("6"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, CL("5") CL("5"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, CL("5, 5"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, TE("gzip"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, TE("gzip, chunked"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, TE("identity"), 502, HTTP_BODY_NONE},
    {HTTP_HEAD, 200, CL("x"), 502, HTTP_BODY_NONE},
    /* RFC 9112 6.1, RFC 9110 8.6: of what has no body */
    {HTTP_GET, 204, TE("chunked"), 0, HTTP_BODY_NONE},
    {HTTP_GET, 304, TE("chunked"), 0, HTTP_BODY_NONE},
    {HTTP_GET, 204, CL("5") CL("6"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 304, TE("gzip"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 103, CL("0"), 0, HTTP_BODY_NONE},
    {HTTP_GET, 103, CL("5"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 100, TE("chunked"), 502, HTTP_BODY_NONE},
    {HTTP_HEAD, 103, CL("5"), 502, HTTP_BODY_NONE},
    {HTTP_HEAD, 200, CL("5") TE("chunked"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, TE("chunked") TE("chunked"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, TE("chunked, identity"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, CL(""), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, CL("+5"), 502, HTTP_BODY_NONE},
    {HTTP_GET, 200, CL("9223372036854775808"), 502, HTTP_BODY_NONE},
};

static void
responses_are_framed(void **state)
{
	struct http_fault fault;
	struct http_head old;
	struct http_body body;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(responses) / sizeof(*responses); i++) {
		struct http_head h =
		    test_response(&a, responses[i].status, responses[i].lines);
		int err = http_body_of_response(
		    &h, responses[i].method, &body, &fault);

		row_check(i, responses[i].lines,
		    (err == 0 ? 0 : fault.status) == responses[i].fault);
		row_check(i, responses[i].lines,
		    err < 0 || body.framing == responses[i].framing);
	}
	/* RFC 9112 6.1: HTTP/1.0 has no Transfer-Encoding. */
	assert_int_equal(http_parse_response(
			     BYTES("HTTP/1.0 200 OK\r\n" TE("chunked") "\r\n"),
			     &test_limits, &a, &old, &fault),
	    0);
	assert_int_equal(http_body_of_response(&old, HTTP_GET, &body, &fault),
	    LARDER_INVALID);
	arena_release(&a);
}

/* Takes `in` apart in steps; what is body goes to out. */
static int
take(struct http_body *body, struct bytes in, size_t step, char *out,
    size_t *out_n, size_t *used_all)
{
	size_t have = 0;

	*out_n = *used_all = 0;
	for (;;) {
		struct bytes data, part = {in.p + *used_all, have - *used_all};
		size_t used;
		int err = http_body_next(body, part, &used, &data);

		assert_true(used <= part.n);
		assert_true(err == 0 || data.n == 0);
		assert_true(
		    data.n == 0 ||
		    (data.p >= part.p && data.p + data.n <= part.p + used));
		memcpy(out + *out_n, data.p, data.n);
		*out_n += data.n;
		*used_all += used;
		if (err == LARDER_AGAIN) {
			if (have == in.n)
				return err;
			have = have + step < in.n ? have + step : in.n;
		} else if (err != 0) {
			return err;
		}
	}
}

/* RFC 9112 7.1 */
static const struct {
	struct bytes in;
	int result;
	const char *body, *trailers;
	size_t behind; /* bytes that are not the body's */
} chunked[] = {
    {B("0\r\n\r\n"), LARDER_ABSENT, "", "", 0},
    {B("5\r\nhello\r\n0\r\n\r\nGET"), LARDER_ABSENT, "hello", "", 3},
    {B("1\r\na\r\n00A\r\n0123456789\r\n000\r\n\r\n"), LARDER_ABSENT,
	"a0123456789", "", 0},
    {B("5\r\nhe"), LARDER_AGAIN, "he", "", 0},
    {B("0\r\n"), LARDER_AGAIN, "", "", 0},
    /* sizes */
    {B("\r\n"), LARDER_INVALID, "", "", 0},
    {B(" 5\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5 \r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("+5\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("-5\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("0x5\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5h\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("00000000000000001\r\na\r\n"), LARDER_INVALID, "", "", 0},
    {B("0000000000000001\r\na\r\n0\r\n\r\n"), LARDER_ABSENT, "a", "", 0},
    {B("7fffffffffffffff\r\n"), LARDER_AGAIN, "", "", 0},
    {B("8000000000000000\r\n"), LARDER_INVALID, "", "", 0},
    {B("ffffffffffffffff\r\n"), LARDER_INVALID, "", "", 0},
    {B("1\r\na\r\n7fffffffffffffff\r\n"), LARDER_INVALID, "a", "", 0},
    {B("0X5\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("0_5\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("\"5\"\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5\xa0\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5\0\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5\x0b\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5\t\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("100000005\r\nhello"), LARDER_AGAIN, "hello", "", 0},
    /* line ends */
    {B("5\r\nhello!\r\n0\r\n\r\n"), LARDER_INVALID, "hello", "", 0},
    {B("5\r\nhell\r\n0\r\n\r\n"), LARDER_INVALID, "hell\r", "", 0},
    {B("5\r\nhello\r0\r\n\r\n"), LARDER_INVALID, "hello", "", 0},
    {B("5\r\nhello\r\n\r\n"), LARDER_INVALID, "hello", "", 0},
    {B("5\rhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5\r\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5;a\rb\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5;a=\"\r\n\"\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5;a=\"\\\r\n\"\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5 a=b\r\nhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("2;\nxx\r\n4c\r\n0\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("5\nhello\r\n0\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("5\r\rhello\r\n"), LARDER_INVALID, "", "", 0},
    {B("5\r\nhello\n0\r\n\r\n"), LARDER_INVALID, "hello", "", 0},
    {B("5\r\nhelloXX0\r\n\r\n"), LARDER_INVALID, "hello", "", 0},
    {B("5\r\nhello0\r\n\r\n"), LARDER_INVALID, "hello", "", 0},
    {B("0\r\n\rX"), LARDER_INVALID, "", "", 0},
    {B("0\n\n"), LARDER_INVALID, "", "", 0},
    /* extensions, 7.1.1 */
    {B("1;a\r\nx\r\n0;b=c\r\n\r\n"), LARDER_ABSENT, "x", "", 0},
    {B("1 ; a = \"b;\\\"\r\n"), LARDER_INVALID, "", "", 0},
    {B("1 ;\ta = \"b;\\\"c\" ; d\r\nx\r\n0\r\n\r\n"), LARDER_ABSENT, "x", "",
	0},
    {B("1;\r\n"), LARDER_INVALID, "", "", 0},
    {B("1;=b\r\n"), LARDER_INVALID, "", "", 0},
    {B("1;a=\r\n"), LARDER_INVALID, "", "", 0},
    {B("1;a b\r\n"), LARDER_INVALID, "", "", 0},
    {B("1;a \r\n"), LARDER_INVALID, "", "", 0},
    {B("1;a=\"b\"c\r\n"), LARDER_INVALID, "", "", 0},
    {B("1;a=\"\0\"\r\n"), LARDER_INVALID, "", "", 0},
    {B("1;a=b\nx"), LARDER_INVALID, "", "", 0},
    {B("1;\xe4\r\n"), LARDER_INVALID, "", "", 0},
    /* trailers, RFC 9110 6.5.1 */
    {B("0\r\nX-A: b\r\nETag: \"q\"\r\n\r\n!"), LARDER_ABSENT, "",
	"X-A: b\r\nETag: \"q\"\r\n", 1},
    {B("0\r\nSet-Cookie: a\r\nX: y\r\nAuthorization: z\r\n\r\n"), LARDER_ABSENT,
	"", "X: y\r\n", 0},
    {B("0\r\nCache-Control: max-age=9\r\nConnection: x\r\n\r\n"), LARDER_ABSENT,
	"", "", 0},
    {B("0\r\nX-Forwarded-Host: a\r\nForwarded: b\r\nX: y\r\n\r\n"),
	LARDER_ABSENT, "", "X: y\r\n", 0},
    {B("0\r\ncontent-digest: a\r\nContent-Foo: b\r\nContent-MD5: c\r\n"
       "\r\n"),
	LARDER_ABSENT, "", "content-digest: a\r\nContent-MD5: c\r\n", 0},
    {B("0\r\nproxy-x: a\r\nSEC-y: b\r\nSet-Cookie2: c\r\nWarning: d\r\n"
       "X-HTTP-Method-Override: PUT\r\nX-Original-URL: /\r\n"
       "X-Rewrite-URL: /\r\nRetry-After: 1\r\n\r\n"),
	LARDER_ABSENT, "", "", 0},
    {B("0\r\nAccess-Control-Allow-Origin: *\r\nServer-Timing: a\r\n\r\n"),
	LARDER_ABSENT, "", "Server-Timing: a\r\n", 0},
    {B("0\r\nContent-Length: 5\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("0\r\ntransfer-encoding: chunked\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("0\r\nHost: evil\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("0\r\nX : y\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("0\r\nX: y\r\n z\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("0\r\nX: y\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("0\r\nX: y\rz\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("0\r\nX\r\n\r\n"), LARDER_INVALID, "", "", 0},
    {B("0\r\n\n"), LARDER_INVALID, "", "", 0},
};

static void
chunks_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(chunked) / sizeof(*chunked); i++)
		for (size_t step = 1; step <= chunked[i].in.n; step++) {
			struct http_body b = {.framing = HTTP_BODY_CHUNKED};
			struct bytes in = chunked[i].in;
			char out[128];
			size_t n, used;
			int r = take(&b, in, step, out, &n, &used);

			row_check(i, in.p, r == chunked[i].result);
			row_check(i, in.p,
			    bytes_eq((struct bytes){out, n},
				bytes_str(chunked[i].body)));
			row_check(i, in.p,
			    http_body_done(&b) == (r == LARDER_ABSENT));
			row_check(i, in.p,
			    http_body_ends_here(&b) == (r == LARDER_ABSENT));
			if (r == LARDER_ABSENT) {
				row_check(
				    i, in.p, in.n - used == chunked[i].behind);
				row_check(i, in.p,
				    bytes_eq(http_body_trailers(&b),
					bytes_str(chunked[i].trailers)));
				assert_int_equal(b.total, n);
			}
			http_body_release(&b);
		}
}

/* What is repeated for ever is refused at its bound, not later. */
static size_t
accepted(struct bytes start, struct bytes again)
{
	struct http_body b = {.framing = HTTP_BODY_CHUNKED};
	struct bytes data;
	size_t used, total = 0;
	int err = http_body_next(&b, start, &used, &data);

	while (err == LARDER_AGAIN || err == 0) {
		err = http_body_next(&b, again, &used, &data);
		total += used;
		assert_true(total < 1 << 20);
	}
	assert_int_equal(err, LARDER_INVALID);
	http_body_release(&b);
	return total;
}

static void
extensions_and_trailers_are_bounded(void **state)
{
	(void)state;
	assert_true(
	    accepted(BYTES("1;"), BYTES("a")) <= HTTP_CHUNK_EXT_MAX + 1);
	assert_true(
	    accepted(BYTES("0\r\n"), BYTES("a")) <= HTTP_TRAILERS_MAX + 1);
	assert_true(accepted(BYTES("0\r\n"), BYTES("Date: x\r\n")) <=
		    HTTP_TRAILERS_MAX + 16);
	assert_true(accepted(BYTES("0\r\n"), BYTES("X: y\r\n")) <=
		    HTTP_TRAILERS_MAX + 16);
	/* Over all chunks together: x of 1 byte each. */
	{
		struct http_body b = {.framing = HTTP_BODY_CHUNKED};
		size_t chunks = 0;
		int err;

		do {
			char out[8];
			size_t n, used;

			err = take(&b, BYTES("1;abcdefg\r\nx\r\n"), 64, out, &n,
			    &used);
			chunks++;
		} while (err == LARDER_AGAIN && chunks < 100000);
		assert_int_equal(err, LARDER_INVALID);
		assert_true(chunks <= HTTP_CHUNK_EXT_MAX / 8 + 1);
		http_body_release(&b);
	}
}

static void
lengths_and_ends(void **state)
{
	struct http_body b = {.framing = HTTP_BODY_LENGTH, .left = 5};
	char out[16];
	size_t n, used;

	(void)state;
	assert_false(http_body_done(&b));
	assert_int_equal(
	    take(&b, BYTES("hel"), 2, out, &n, &used), LARDER_AGAIN);
	assert_false(http_body_ends_here(&b));
	assert_int_equal(
	    take(&b, BYTES("loGET"), 9, out, &n, &used), LARDER_ABSENT);
	assert_int_equal(used, 2);
	assert_int_equal(b.total, 5);
	assert_true(http_body_done(&b));

	b = (struct http_body){.framing = HTTP_BODY_CLOSE};
	assert_int_equal(
	    take(&b, BYTES("hello"), 2, out, &n, &used), LARDER_AGAIN);
	assert_int_equal(n, 5);
	assert_false(http_body_done(&b));
	assert_true(http_body_ends_here(&b));

	b = (struct http_body){.framing = HTTP_BODY_NONE};
	assert_int_equal(
	    take(&b, BYTES("GET"), 2, out, &n, &used), LARDER_ABSENT);
	assert_int_equal(used, 0);
	assert_true(http_body_done(&b));
}

static void
chunk_heads_are_written(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} rows[] = {{0, "0\r\n"}, {1, "1\r\n"}, {15, "f\r\n"}, {16, "10\r\n"},
	    {8000, "1f40\r\n"}, {UINT64_MAX, "ffffffffffffffff\r\n"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char out[HTTP_CHUNK_HEAD];
		size_t n = http_chunk_head(out, rows[i].n);

		row_check(i, rows[i].text,
		    bytes_eq((struct bytes){out, n}, bytes_str(rows[i].text)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(requests_are_framed),
	    cmocka_unit_test(responses_are_framed),
	    cmocka_unit_test(chunks_are_taken_apart),
	    cmocka_unit_test(extensions_and_trailers_are_bounded),
	    cmocka_unit_test(lengths_and_ends),
	    cmocka_unit_test(chunk_heads_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
