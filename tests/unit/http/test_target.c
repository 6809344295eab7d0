#include "parse.h"

#include "http/target.h"

#define HH "Host: h\r\n"

/* RFC 9112 3.2 and 3.3, RFC 9110 4.2 and 7.2 */
static const struct {
	const char *line, *lines;
	bool good;
	enum http_form form;
	bool tls, v6;
	uint16_t port;
	const char *host, *path;
} rows[] = {
#define GOOD(line, lines, form, tls, v6, port, host, path)                     \
	{                                                                      \
		line, lines, true, HTTP_FORM_##form, tls, v6, port, host, path \
	}
#define BAD(line, lines)                                                     \
	{                                                                    \
		line, lines, false, HTTP_FORM_ORIGIN, false, false, 0, NULL, \
		    NULL                                                     \
	}
    GOOD("GET /a?b HTTP/1.1", HH, ORIGIN, 0, 0, 80, "h", "/a?b"),
    GOOD("GET / HTTP/1.1", "Host: Ex.ORG:8080\r\n", ORIGIN, 0, 0, 8080,
	"ex.org", "/"),
    GOOD("GET / HTTP/1.1", "Host: [::1]:81\r\n", ORIGIN, 0, 1, 81, "::1", "/"),
    GOOD("GET / HTTP/1.1", "Host: a_b.c-d.\r\n", ORIGIN, 0, 0, 80, "a_b.c-d.",
	"/"),
    GOOD("GET / HTTP/1.1", "Host: h:\r\n", ORIGIN, 0, 0, 80, "h", "/"),
    GOOD("GET // HTTP/1.1", HH, ORIGIN, 0, 0, 80, "h", "//"),
    GOOD("GET //x/y HTTP/1.1", HH, ORIGIN, 0, 0, 80, "h", "//x/y"),
    GOOD("GET /../a/./%2e%2E/? HTTP/1.1", HH, ORIGIN, 0, 0, 80, "h",
	"/../a/./%2e%2E/?"),
    GOOD("GET / HTTP/1.0", "", ORIGIN, 0, 0, 80, "", "/"),
    GOOD("GET / HTTP/1.0", HH, ORIGIN, 0, 0, 80, "h", "/"),
    /* absolute form wins over Host */
    GOOD("GET http://o/p HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "o", "/p"),
    GOOD("GET http://o/p HTTP/1.0", "", ABSOLUTE, 0, 0, 80, "o", "/p"),
    GOOD("GET http://o/p HTTP/1.1", "Host:\r\n", ABSOLUTE, 0, 0, 80, "o", "/p"),
    GOOD("GET HTTP://O.Ex:0081 HTTP/1.1", HH, ABSOLUTE, 0, 0, 81, "o.ex", "/"),
    GOOD("GET https://o?q=/x HTTP/1.1", HH, ABSOLUTE, 1, 0, 443, "o", "/?q=/x"),
    GOOD("GET https://[2001:DB8::1]:443/ HTTP/1.1", HH, ABSOLUTE, 1, 1, 443,
	"2001:db8::1", "/"),
    GOOD("GET http://HTTPS///h/p HTTP/1.1", HH, ABSOLUTE, 1, 0, 443, "h", "/p"),
    GOOD("GET http://HTTPS///h:8443/p HTTP/1.1", "Host: HTTPS\r\n", ABSOLUTE, 1,
	0, 8443, "h", "/p"),
    GOOD("GET http://https///h/p HTTP/1.1", HH, ABSOLUTE, 1, 0, 443, "h", "/p"),
    GOOD("GET http://https:80///h/p HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "https",
	"///h/p"),
    GOOD("GET http://https/p HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "https", "/p"),
    GOOD("GET /a?\\ HTTP/1.1", HH, ORIGIN, 0, 0, 80, "h", "/a?\\"),
    GOOD("GET http://h/?\\ HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "h", "/?\\"),
    GOOD("GET http://h//a/../b HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "h",
	"//a/../b"),
    GOOD("GET http://h/a@b:c HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "h", "/a@b:c"),
    GOOD("GET http://h:/ HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "h", "/"),
    GOOD("GET http://2130706433/ HTTP/1.1", HH, ABSOLUTE, 0, 0, 80,
	"2130706433", "/"),
    GOOD("GET http://[::FFFF:1.2.3.4]/ HTTP/1.1", HH, ABSOLUTE, 0, 1, 80,
	"::ffff:1.2.3.4", "/"),
    GOOD("GET /%zz%? HTTP/1.1", HH, ORIGIN, 0, 0, 80, "h", "/%zz%?"),
    /* RFC 9112 3.2.4 */
    GOOD("OPTIONS * HTTP/1.1", HH, ASTERISK, 0, 0, 80, "h", "*"),
    GOOD("OPTIONS http://o HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "o", "*"),
    GOOD("OPTIONS http://o/ HTTP/1.1", HH, ABSOLUTE, 0, 0, 80, "o", "/"),
    /* RFC 9112 3.2.3 */
    GOOD("CONNECT H:443 HTTP/1.1", HH, AUTHORITY, 0, 0, 443, "h", ""),
    GOOD("CONNECT [::1]:1 HTTP/1.1", HH, AUTHORITY, 0, 1, 1, "::1", ""),
    /* Host: exactly one, and a host */
    BAD("GET / HTTP/1.1", ""),
    BAD("GET / HTTP/1.1", HH HH),
    BAD("GET / HTTP/1.0", HH HH),
    BAD("GET http://o/ HTTP/1.1", ""),
    BAD("GET http://o/ HTTP/1.1", HH HH),
    BAD("GET http://o/ HTTP/1.1", "Host: a b\r\n"),
    BAD("GET / HTTP/1.1", "Host:\r\n"),
    BAD("GET / HTTP/1.1", "Host: a@b\r\n"),
    BAD("GET / HTTP/1.1", "Host: a/b\r\n"),
    BAD("GET / HTTP/1.1", "Host: a?b\r\n"),
    BAD("GET / HTTP/1.1", "Host: a,b\r\n"),
    BAD("GET / HTTP/1.1", "Host: a\\b\r\n"),
    BAD("GET / HTTP/1.1", "Host: a%41\r\n"),
    BAD("GET / HTTP/1.1", "Host: http://a\r\n"),
    BAD("GET / HTTP/1.1", "Host: \xc3\xa4\r\n"),
    BAD("GET / HTTP/1.1", "Host: a:0\r\n"),
    BAD("GET / HTTP/1.1", "Host: a:65536\r\n"),
    BAD("GET / HTTP/1.1", "Host: a:000080\r\n"),
    BAD("GET / HTTP/1.1", "Host: a:+80\r\n"),
    BAD("GET / HTTP/1.1", "Host: a:8:8\r\n"),
    BAD("GET / HTTP/1.1", "Host: :80\r\n"),
    BAD("GET / HTTP/1.1", "Host: .a\r\n"),
    BAD("GET / HTTP/1.1", "Host: a..b\r\n"),
    BAD("GET / HTTP/1.1", "Host: .\r\n"),
    BAD("GET / HTTP/1.1", "Host: ::1\r\n"),
    BAD("GET / HTTP/1.1", "Host: [::1\r\n"),
    BAD("GET / HTTP/1.1", "Host: [::1]x\r\n"),
    BAD("GET / HTTP/1.1", "Host: []\r\n"),
    BAD("GET / HTTP/1.1", "Host: [fe80::1%25eth0]\r\n"),
    BAD("GET / HTTP/1.1", "Host: [v1.a]\r\n"),
    /* targets */
    BAD("GET * HTTP/1.1", HH),
    BAD("OPTIONS *x HTTP/1.1", HH),
    BAD("GET a HTTP/1.1", HH),
    BAD("GET h:80 HTTP/1.1", HH),
    BAD("GET ftp://h/ HTTP/1.1", HH),
    BAD("GET http:/h/ HTTP/1.1", HH),
    BAD("GET http:///p HTTP/1.1", HH),
    BAD("GET http:// HTTP/1.1", HH),
    BAD("GET http://?q HTTP/1.1", HH),
    BAD("GET http://u@h/ HTTP/1.1", HH),
    BAD("GET http://u:p@h/ HTTP/1.1", HH),
    BAD("GET http://h\\@o/ HTTP/1.1", HH),
    BAD("GET http://h:x/ HTTP/1.1", HH),
    BAD("GET http://h%00/ HTTP/1.1", HH),
    BAD("GET http://HTTPS/// HTTP/1.1", HH),
    BAD("GET /a\\b HTTP/1.1", HH),
    BAD("GET \\a HTTP/1.1", HH),
    BAD("GET http://h/a\\b?q HTTP/1.1", HH),
    BAD("GET http://h\\ HTTP/1.1", HH),
    BAD("GET http://h:80:80/ HTTP/1.1", HH),
    BAD("GET http://h:0/ HTTP/1.1", HH),
    BAD("GET http://h:65536/ HTTP/1.1", HH),
    BAD("GET http://h:+80/ HTTP/1.1", HH),
    BAD("GET http://h:-1/ HTTP/1.1", HH),
    BAD("GET http://h:0x50/ HTTP/1.1", HH),
    BAD("GET http://a@b@c/ HTTP/1.1", HH),
    BAD("GET http://@h/ HTTP/1.1", HH),
    BAD("GET http://h,o/ HTTP/1.1", HH),
    BAD("GET http://h;o/ HTTP/1.1", HH),
    BAD("GET http://h%2eo/ HTTP/1.1", HH),
    BAD("GET http://h%25eth0/ HTTP/1.1", HH),
    BAD("GET http://[fe80::1%25eth0]/ HTTP/1.1", HH),
    BAD("GET http://[::1]80/ HTTP/1.1", HH),
    BAD("GET httpx://h/ HTTP/1.1", HH),
    BAD("GET http:h HTTP/1.1", HH),
    BAD("GET http//h/ HTTP/1.1", HH),
    BAD("GET / HTTP/1.1", "Host: h:\\80\r\n"),
    BAD("GET / HTTP/1.1", "Host: h:80 80\r\n"),
    BAD("GET / HTTP/1.1", "Host: h:8\t0\r\n"),
    BAD("GET / HTTP/1.1", "Host: h\xa0\r\n"),
    BAD("GET / HTTP/1.1", "Host: \x85h\r\n"),
    BAD("GET / HTTP/1.1", "Host: h#x\r\n"),
    BAD("GET / HTTP/1.1", "Host: \"h\"\r\n"),
    BAD("GET / HTTP/1.1", "Host: *\r\n"),
    BAD("GET / HTTP/1.1", "Host: h, h\r\n"),
    BAD("GET / HTTP/1.1", "Host: [::ffff:1.2.3]\r\n"),
    BAD("POST * HTTP/1.1", HH),
    BAD("CONNECT h:443?x HTTP/1.1", HH),
    BAD("CONNECT h:65536 HTTP/1.1", HH),
    BAD("CONNECT h:+443 HTTP/1.1", HH),
    BAD("CONNECT :443 HTTP/1.1", HH),
    BAD("CONNECT h:443 HTTP/1.1", HH HH),
    BAD("CONNECT h:443 HTTP/1.1", ""),
    BAD("CONNECT h HTTP/1.1", HH),
    BAD("CONNECT h: HTTP/1.1", HH),
    BAD("CONNECT h:0 HTTP/1.1", HH),
    BAD("CONNECT h:443/ HTTP/1.1", HH),
    BAD("CONNECT http://h:443 HTTP/1.1", HH),
    BAD("CONNECT u@h:443 HTTP/1.1", HH),
    BAD("CONNECT /h:443 HTTP/1.1", HH),
    BAD("CONNECT * HTTP/1.1", HH),
    BAD("CONNECT ::1:443 HTTP/1.1", HH),
};

static void
targets_are_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_target t;
		struct http_fault fault = {0, NULL};
		struct http_head head;
		struct arena a;
		int err;

		arena_init(&a, 1 << 20);
		err = http_parse_request(arena_printf(&a, "%s\r\n%s\r\n",
					     rows[i].line, rows[i].lines),
		    &test_limits, &a, &head, &fault);
		assert_int_equal(err, 0);
		err = http_target_parse(&head, &a, &t, &fault);
		row_check(i, rows[i].line, (err == 0) == rows[i].good);
		if (err < 0) {
			assert_int_equal(fault.status, 400);
			assert_non_null(fault.text);
		} else {
			row_check(i, rows[i].line, t.form == rows[i].form);
			row_check(i, rows[i].line, t.tls == rows[i].tls);
			row_check(i, rows[i].line, t.v6 == rows[i].v6);
			row_check(i, rows[i].line, t.port == rows[i].port);
			row_check(i, rows[i].line,
			    bytes_eq(t.host, bytes_str(rows[i].host)));
			row_check(i, rows[i].line,
			    bytes_eq(t.path, bytes_str(rows[i].path)));
		}
		arena_release(&a);
	}
}

static void
v6_literals_are_checked(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} literals[] = {
	    {"::", true},
	    {"::1", true},
	    {"1::", true},
	    {"1:2:3:4:5:6:7:8", true},
	    {"1:2:3::7:8", true},
	    {"1:2:3:4:5:6:7::", true},
	    {"::2:3:4:5:6:7:8", true},
	    {"::ffff:1.2.3.4", true},
	    {"1:2:3:4:5:6:1.2.3.4", true},
	    {"1:2:3:4:5:6:7", false},
	    {"1:2:3:4:5:6:7:8:9", false},
	    {"1:2:3:4::5:6:7:8", false},
	    {"1::2::3", false},
	    {":::", false},
	    {":1:2:3:4:5:6:7", false},
	    {"1:2:3:4:5:6:7:", false},
	    {"12345::", false},
	    {"g::", false},
	    {"1.2.3.4", false},
	    {"::1.2.3", false},
	    {"::1.2.3.256", false},
	    {"::1.2.3.04", false},
	    {"::1.2.3.4:5", false},
	    {"1:2:3:4:5:6:7:1.2.3.4", false},
	    {"", false},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(literals) / sizeof(*literals); i++) {
		struct http_target t;
		const char *why;
		int err = http_target_of_url(
		    arena_printf(&a, "http://[%s]/", literals[i].text), &a, &t,
		    &why);

		row_check(i, literals[i].text, (err == 0) == literals[i].good);
	}
	arena_release(&a);
}

/* RFC 3986 5.4, against http://a/b/c/d;p?q; and what is no http URL. */
static void
references_are_resolved(void **state)
{
	static const struct {
		const char *reference, *result;
	} refs[] = {
	    {"g", "a/b/c/g"},
	    {"./g", "a/b/c/g"},
	    {"g/", "a/b/c/g/"},
	    {"/g", "a/g"},
	    {"//g", "g/"},
	    {"?y", "a/b/c/d;p?y"},
	    {"g?y", "a/b/c/g?y"},
	    {"#s", "a/b/c/d;p?q"},
	    {"g#s", "a/b/c/g"},
	    {"g?y#s", "a/b/c/g?y"},
	    {";x", "a/b/c/;x"},
	    {"g;x", "a/b/c/g;x"},
	    {"", "a/b/c/d;p?q"},
	    {".", "a/b/c/"},
	    {"./", "a/b/c/"},
	    {"..", "a/b/"},
	    {"../", "a/b/"},
	    {"../g", "a/b/g"},
	    {"../..", "a/"},
	    {"../../", "a/"},
	    {"../../g", "a/g"},
	    {"../../../g", "a/g"},
	    {"../../../../g", "a/g"},
	    {"/./g", "a/g"},
	    {"/../g", "a/g"},
	    {"g.", "a/b/c/g."},
	    {".g", "a/b/c/.g"},
	    {"g..", "a/b/c/g.."},
	    {"..g", "a/b/c/..g"},
	    {"./../g", "a/b/g"},
	    {"./g/.", "a/b/c/g/"},
	    {"g/./h", "a/b/c/g/h"},
	    {"g/../h", "a/b/c/h"},
	    {"g;x=1/../y", "a/b/c/y"},
	    {"g?y/./x", "a/b/c/g?y/./x"},
	    {"g?y/../x", "a/b/c/g?y/../x"},
	    {"http://x:80/y", "x/y"},
	    {"HTTP://X:81/y/../z", "x:81/z"},
	    {"http://x", "x/"},
	    {"//x?y", "x/?y"},
	    {"g:h", NULL},
	    {"mailto:a", NULL},
	    {"ftp://a/", NULL},
	    {"http:g", NULL},
	    {"http://", NULL},
	    {"//u@x/", NULL},
	    {"a b", NULL},
	    {"\xc3\xa4", NULL},
	};
	struct http_target base, t;
	struct arena a;
	const char *why;

	(void)state;
	arena_init(&a, 1 << 16);
	assert_int_equal(
	    http_target_of_url(BYTES("http://a/b/c/d;p?q"), &a, &base, &why),
	    0);
	for (size_t i = 0; i < sizeof(refs) / sizeof(*refs); i++) {
		int err = http_target_resolve(
		    &base, bytes_str(refs[i].reference), &a, &t);
		struct bytes got;

		row_check(i, refs[i].reference,
		    (err == 0) == (refs[i].result != NULL));
		if (err < 0)
			continue;
		got = http_target_authority(&t, &a);
		got = arena_printf(
		    &a, "%.*s%.*s", BYTES_FMT(got), BYTES_FMT(t.path));
		row_check(i, refs[i].reference,
		    bytes_eq(got, bytes_str(refs[i].result)));
	}
	/* The scheme is the base's. */
	base.tls = true;
	assert_int_equal(http_target_resolve(&base, BYTES("//x/y"), &a, &t), 0);
	assert_true(t.tls);
	assert_int_equal(t.port, 443);
	arena_release(&a);
}

static void
urls_origins_and_authorities(void **state)
{
	struct http_target a, b;
	struct arena arena;
	const char *why;

	(void)state;
	arena_init(&arena, 1 << 16);
#define URL(text, t) http_target_of_url(BYTES(text), &arena, t, &why)
	assert_int_equal(URL("http://A:80/x#frag", &a), 0);
	assert_true(bytes_eq(a.path, BYTES("/x")));
	assert_int_equal(URL("http://a/y", &b), 0);
	assert_true(http_target_same_origin(&a, &b));
	assert_int_equal(URL("https://a:80/y", &b), 0);
	assert_false(http_target_same_origin(&a, &b));
	assert_int_equal(URL("http://a:81/y", &b), 0);
	assert_false(http_target_same_origin(&a, &b));
	assert_true(bytes_eq(http_target_authority(&b, &arena), BYTES("a:81")));
	assert_int_equal(URL("https://[::1]/", &b), 0);
	assert_true(
	    bytes_eq(http_target_authority(&b, &arena), BYTES("[::1]")));
	assert_int_equal(URL("https://[::1]:80/", &b), 0);
	assert_true(
	    bytes_eq(http_target_authority(&b, &arena), BYTES("[::1]:80")));
	assert_int_equal(URL("example.org/x", &b), LARDER_INVALID);
	assert_non_null(why);
	arena_release(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(targets_are_read),
	    cmocka_unit_test(v6_literals_are_checked),
	    cmocka_unit_test(references_are_resolved),
	    cmocka_unit_test(urls_origins_and_authorities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
