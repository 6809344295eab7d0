#include "parse.h"

#include <string.h>

#include "http/forward.h"
#include "http/list.h"
#include "http/sf.h"

/* RFC 9110 5.6.1 */
static void
elements_are_split(void **state)
{
	static const struct {
		const char *lines, *joined; /* each element and a "|" */
	} rows[] = {
	    {"", ""},
	    {"Vary:\r\n", ""},
	    {"Vary: a\r\n", "a|"},
	    {"Vary: a,b , c\t,d\r\n", "a|b|c|d|"},
	    {"Vary: ,, a,,b,\r\n", "a|b|"},
	    {"Vary: a\r\nX: n\r\nvary:\r\nVARY: b\r\n", "a|b|"},
	    {"Vary: a=\"b,c\", d\r\n", "a=\"b,c\"|d|"},
	    {"Vary: a=\"b\\\",c\", d\r\n", "a=\"b\\\",c\"|d|"},
	    {"Vary: \"a, b\r\nVary: c\r\n", "\"a, b|c|"},
	    {"Vary: \"a\\\r\n", "\"a\\|"},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h = test_request(&a, "GET", rows[i].lines);
		struct http_list list;
		struct bytes e;
		char got[64] = "";

		http_list_init(&list, &h, HTTP_F_VARY);
		while (http_list_next(&list, &e)) {
			strncat(got, e.p, e.n);
			strcat(got, "|");
		}
		assert_false(http_list_next(&list, &e));
		row_check(i, rows[i].lines, strcmp(got, rows[i].joined) == 0);
	}
	arena_release(&a);
}

/* RFC 9110 5.6.4, 5.6.6 */
static void
parameters_are_split(void **state)
{
	static const struct {
		const char *element;
		bool good;
		const char *name, *value;
		bool quoted;
	} rows[] = {
	    {"a", true, "a", NULL, false},
	    {"a=b", true, "a", "b", false},
	    {"a=\"b c\"", true, "a", "b c", true},
	    {"a=\"\"", true, "a", "", true},
	    {"a=\"b\\\"c\"", true, "a", "b\\\"c", true},
	    {"a=", false, NULL, NULL, false},
	    {"=b", false, NULL, NULL, false},
	    {"a =b", false, NULL, NULL, false},
	    {"a= b", false, NULL, NULL, false},
	    {"a=b c", false, NULL, NULL, false},
	    {"a=\"b", false, NULL, NULL, false},
	    {"a=\"b\"c\"", false, NULL, NULL, false},
	    {"a=\"b\\\"", false, NULL, NULL, false},
	    {"a=\"", false, NULL, NULL, false},
	    {"a;b", false, NULL, NULL, false},
	    {"", false, NULL, NULL, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bytes name, value;
		bool quoted;
		bool good = http_param(
		    bytes_str(rows[i].element), &name, &value, &quoted);

		row_check(i, rows[i].element, good == rows[i].good);
		if (!good)
			continue;
		row_check(i, rows[i].element,
		    bytes_eq(name, bytes_str(rows[i].name)));
		row_check(i, rows[i].element,
		    (value.p == NULL) == (rows[i].value == NULL) &&
			bytes_eq(value, bytes_str(rows[i].value)));
		row_check(i, rows[i].element, quoted == rows[i].quoted);
	}
}

/* RFC 9110 12.4.2, 12.5.3 */
static void
codings_have_weights(void **state)
{
	static const struct {
		const char *value, *coding;
		int weight;
	} rows[] = {
	    {"gzip", "gzip", 1000},
	    {"GZIP", "gzip", 1000},
	    {"gzip;q=0.5", "gzip", 500},
	    {"gzip ; Q=0.123", "gzip", 123},
	    {"gzip;q=0", "gzip", 0},
	    {"gzip;q=1.000", "gzip", 1000},
	    {"gzip;q=0.", "gzip", 0},
	    {"br, gzip;q=0.9", "gzip", 900},
	    {"*", "gzip", 1000},
	    {"*;q=0.2, gzip;q=0.1", "gzip", 100},
	    {"*;q=0", "identity", 0},
	    {"br", "gzip", -1},
	    {"", "gzip", -1},
	    {"gzip;q=1.001", "gzip", -1},
	    {"gzip;q=2", "gzip", -1},
	    {"gzip;q=0.1234", "gzip", -1},
	    {"gzip;q=", "gzip", -1},
	    {"gzip;q=-1", "gzip", -1},
	    {"gzip;x=1", "gzip", -1},
	    {"gzip q=1", "gzip", -1},
	    {"xgzip", "gzip", -1},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bytes line =
		    arena_printf(&a, "Accept-Encoding: %s\r\n", rows[i].value);
		struct http_head h = test_request(&a, "GET", line.p);

		row_check(i, rows[i].value,
		    http_coding_weight(&h, bytes_str(rows[i].coding)) ==
			rows[i].weight);
	}
	arena_release(&a);
}

/* RFC 9110 7.6.1 */
static void
hop_by_hop_fields_do_not_pass(void **state)
{
	static const struct {
		const char *lines; /* the last one is asked about */
		bool passes;
	} rows[] = {
	    {"X: y\r\n", true},
	    {"Connection: close\r\n", false},
	    {"Keep-Alive: x\r\n", false},
	    {"Proxy-Connection: x\r\n", false},
	    {"Proxy-Authenticate: x\r\n", false},
	    {"Proxy-Authorization: x\r\n", false},
	    {"Proxy-Authentication-Info: x\r\n", false},
	    {"TE: x\r\n", false},
	    {"Trailer: x\r\n", false},
	    {"Transfer-Encoding: x\r\n", false},
	    {"Upgrade: x\r\n", false},
	    {"HTTP2-Settings: x\r\n", false},
	    {"Connection: close, X-Foo\r\nx-foo: y\r\n", false},
	    {"Connection: a\r\nConnection: b\r\nB: y\r\n", false},
	    {"Connection: X-Foo\r\nX-Foo2: y\r\n", true},
	    {"Connection: Accept-Language\r\nAccept-Language: y\r\n", false},
	    {"Connection: Cache-Control\r\nCache-Control: y\r\n", true},
	    {"Connection: Authorization\r\nAuthorization: y\r\n", true},
	    {"Connection: Content-Length\r\nContent-Length: 1\r\n", true},
	    {"Connection: Host, Cookie\r\nCookie: y\r\n", true},
	    {"Connection: Vary\r\nVary: y\r\n", true},
	    {"Connection: x-forwarded-for\r\nX-Forwarded-For: y\r\n", true},
	    /* a quote joins nothing; empty elements are none */
	    {"Connection: \"a, X-Foo\r\nX-Foo: y\r\n", false},
	    {"Connection: ,,\t X-Foo ,\r\nX-Foo: y\r\n", false},
	    {"Connection: X-Foo;a\r\nX-Foo: y\r\n", true},
	    {"Connection:\r\nX-Foo: y\r\n", true},
	    {"Authentication-Info: x\r\n", true},
	    {"Proxy-Other: x\r\n", true},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h = test_request(&a, "GET", rows[i].lines);

		row_check(i, rows[i].lines,
		    http_field_passes(&h, h.fields + h.count - 1) ==
			rows[i].passes);
	}
	arena_release(&a);
}

/* RFC 9110 6.5.1, 7.6.1 */
static void
trailers_are_written_anew(void **state)
{
	static const struct {
		const char *connection;
		struct bytes in;
		const char *out;
	} rows[] = {
	    {"", B(""), ""},
	    {"", B("A: b\r\n"), "A: b\r\n"},
	    {"", B("A:b\r\nC:\t d \t\r\nE:\r\n"), "A: b\r\nC: d\r\nE: \r\n"},
	    {"Connection: c\r\n", B("A: b\r\nC: d\r\nCC: e\r\n"),
		"A: b\r\nCC: e\r\n"},
	    {"Connection: c\r\n", B("C: d\r\n"), ""},
	};
	struct arena a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h;
		struct bytes out;

		arena_init(&a, 1 << 16);
		h = test_request(&a, "POST", rows[i].connection);
		out = http_trailers_write(rows[i].in, &h, &test_limits, &a);
		row_check(i, rows[i].in.p, out.p != NULL);
		row_check(
		    i, rows[i].in.p, bytes_eq(out, bytes_str(rows[i].out)));
		arena_release(&a);
	}
	/* Without memory there are none. */
	arena_init(&a, 1000);
	{
		struct http_head h = test_request(&a, "POST", "");

		while (arena_alloc(&a, 16) != NULL)
			;
		assert_null(http_trailers_write(
		    BYTES("A: b\r\nC: d\r\n"), &h, &test_limits, &a)
				.p);
	}
	arena_release(&a);
}

static void
connection_holds_options(void **state)
{
	static const struct {
		const char *lines;
		bool has; /* "close" */
	} rows[] = {
	    {"", false},
	    {"Connection: close\r\n", true},
	    {"Connection: keep-alive, Close\r\n", true},
	    {"Connection: a\r\nConnection: b,close\r\n", true},
	    {"Connection: \"a, close\r\n", true},
	    {"Connection: closed\r\n", false},
	    {"Connection: close;a\r\n", false},
	    {"Connection: \"close\"\r\n", false},
	    {"Proxy-Connection: close\r\n", false},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h = test_request(&a, "GET", rows[i].lines);

		row_check(i, rows[i].lines,
		    http_connection_has(&h, BYTES("close")) == rows[i].has);
	}
	arena_release(&a);
}

static void
output_grows_or_fails_for_good(void **state)
{
	struct http_out out;
	struct arena a;
	struct bytes done;

	(void)state;
	arena_init(&a, 4096);
	http_out_init(&out, &a, 4);
	http_out_str(&out, "abc");
	http_out_u64(&out, 0);
	http_out_u64(&out, UINT64_MAX);
	http_out_field(&out, BYTES("A"), BYTES(""));
	http_out_bytes(&out, (struct bytes){NULL, 0});
	done = http_out_done(&out);
	assert_true(bytes_eq(done, BYTES("abc018446744073709551615A: \r\n")));
	http_out_bytes(&out, (struct bytes){done.p, 5000});
	assert_true(out.failed);
	http_out_str(&out, "x");
	assert_null(http_out_done(&out).p);
	arena_release(&a);
	arena_init(&a, 3);
	http_out_init(&out, &a, 4);
	http_out_str(&out, "x");
	http_out_field(&out, BYTES("A"), BYTES("b"));
	assert_null(http_out_done(&out).p);
	arena_release(&a);
}

/* RFC 8941 4.2: keys with their types, or NULL where it fails. */
static void
dictionaries_are_strict(void **state)
{
	static const struct {
		const char *lines, *members;
	} rows[] = {
#define L(v) "CDN-Cache-Control: " v "\r\n"
	    {"", ""},
	    {L(""), ""},
	    {L("a"), "a:5 "},
	    {L("a, b=1,c=\"x\" , d=tok"), "a:5 b:0 c:2 d:3 "},
	    {L("a=?0, b=?1"), "a:5 b:5 "},
	    {L("a=-15, b=999999999999999"), "a:0 b:0 "},
	    {L("a=1.5, b=-123456789012.123"), "a:1 b:1 "},
	    {L("a=:aGk=:"), "a:4 "},
	    {L("a=(1 \"x\" t;p=1);q"), "a:6 "},
	    {L("a=()"), "a:6 "},
	    {L("a;p;q=1, *b-_.*9=t/:x"), "a:5 *b-_.*9:3 "},
	    {L("a; p=1"), "a:5 "},
	    {L("a") L("b=2"), "a:5 b:0 "},
	    {L("a\t,\t b"), "a:5 b:5 "},
	    {L("A"), NULL},
	    {L("a,"), NULL},
	    {L(",a"), NULL},
	    {L("a,,b"), NULL},
	    {L("a b"), NULL},
	    {L("a ;p"), NULL},
	    {L("a="), NULL},
	    {L("a =1"), NULL},
	    {L("a= 1"), NULL},
	    {L("a=1a"), NULL},
	    {L("a=1."), NULL},
	    {L("a=1.2345"), NULL},
	    {L("a=1234567890123.1"), NULL},
	    {L("a=1000000000000000"), NULL},
	    {L("a=--1"), NULL},
	    {L("a=\"x"), NULL},
	    {L("a=\"x\\y\""), NULL},
	    {L("a=\"\xe4\""), NULL},
	    {L("a=?2"), NULL},
	    {L("a=?"), NULL},
	    {L("a=:a"), NULL},
	    {L("a=:*:"), NULL},
	    {L("a=(1"), NULL},
	    {L("a=(1,2)"), NULL},
	    {L("a=(1\"x\")"), NULL},
	    {L("a;P"), NULL},
	    {L("a;"), NULL},
	    {L("9"), NULL},
	    {L("max-age=10, &&&&&"), NULL},
	    /* numbers, 4.2.4 */
	    {L("a=01, b=-0"), "a:0 b:0 "},
	    {L("a=0.0, b=-0.500"), "a:1 b:1 "},
	    {L("a=-"), NULL},
	    {L("a=.5"), NULL},
	    {L("a=-.5"), NULL},
	    {L("a=+1"), NULL},
	    {L("a=1e3"), NULL},
	    {L("a=0x1"), NULL},
	    {L("a=1_0"), NULL},
	    /* strings, 4.2.5 */
	    {L("a=\"\", b=\"\\\\ \\\"\""), "a:2 b:2 "},
	    {L("a=\"x\\\""), NULL},
	    {L("a=\"\t\""), NULL},
	    {L("a='x'"), NULL},
	    /* tokens, 4.2.6 */
	    {L("a=*x/y:z!, b=Z"), "a:3 b:3 "},
	    {L("a=_x"), NULL},
	    {L("a=/x"), NULL},
	    {L("a=x\xe4"), NULL},
	    /* of RFC 9651, not of 8941 */
	    {L("a=@1659578233"), NULL},
	    {L("a=%\"x\""), NULL},
	    /* parameters, 4.2.3.2, and inner lists, 4.2.1.2 */
	    {L("a;p;p=?0;q=\"x,y\", b"), "a:5 b:5 "},
	    {L("a=( 1  2 );p"), "a:6 "},
	    {L("a=(1\t2)"), NULL},
	    {L("a=(1 2"), NULL},
	    {L("a=((1))"), NULL},
	    {L("a;p ;q"), NULL},
	    {L("a;\tp"), NULL},
	    {L("a;p= 1"), NULL},
	    {L("a;p="), NULL},
	    {L("a\t=1"), NULL},
	    {L("a") L(""), NULL},
	    {L("a,") L("b"), NULL},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h = test_request(&a, "GET", rows[i].lines);
		struct http_sf_member m;
		struct http_sf sf;
		char got[64] = "", type[8];

		http_sf_init(&sf, &h, HTTP_F_CDN_CACHE_CONTROL);
		while (http_sf_next(&sf, &m)) {
			strncat(got, m.key.p, m.key.n);
			snprintf(type, sizeof(type), ":%d ", (int)m.type);
			strcat(got, type);
		}
		assert_false(http_sf_next(&sf, &m));
		row_check(
		    i, rows[i].lines, sf.failed == (rows[i].members == NULL));
		row_check(i, rows[i].lines,
		    sf.failed || strcmp(got, rows[i].members) == 0);
	}
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(elements_are_split),
	    cmocka_unit_test(parameters_are_split),
	    cmocka_unit_test(codings_have_weights),
	    cmocka_unit_test(hop_by_hop_fields_do_not_pass),
	    cmocka_unit_test(trailers_are_written_anew),
	    cmocka_unit_test(connection_holds_options),
	    cmocka_unit_test(output_grows_or_fails_for_good),
	    cmocka_unit_test(dictionaries_are_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
