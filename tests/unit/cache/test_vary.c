#include "../http/parse.h"

#include <string.h>

#include "cache/vary.h"

/* RFC 9111 4.1: is a second request answered by what a first one stored? */
static const struct {
	const char *vary, *first, *second; /* vary: the response's fields */
	bool match;
} rows[] = {
#define V(names) "Vary: " names "\r\n"
    {"", "A: 1\r\n", "A: 2\r\n", true},
    {V(""), "A: 1\r\n", "A: 2\r\n", true},
    {V("A"), "A: 1\r\n", "A: 1\r\n", true},
    {V("A"), "A: 1\r\n", "A: 2\r\n", false},
    {V("A"), "A: 1\r\n", "", false},
    {V("A"), "", "A: 1\r\n", false},
    {V("A"), "", "", true},
    {V("A"), "", "A:\r\n", false},
    {V("A"), "A: 1\r\n", "a: 1\r\nB: 2\r\n", true},
    {V("a"), "A: x\r\n", "A: X\r\n", false},
    {V("A, B"), "A: 1\r\nB: 2\r\n", "B: 2\r\nA: 1\r\n", true},
    {V("A, B"), "A: 1\r\nB: 2\r\n", "A: 1\r\nB: 3\r\n", false},
    {V("A") V("B"), "A: 1\r\nB: 2\r\n", "A: 1\r\nB: 3\r\n", false},
    {V("A,, ,B"), "A: 1\r\nB: 2\r\n", "A: 1\r\nB: 2\r\n", true},
    /* lines joined; white space around commas is none */
    {V("A"), "A: 1\r\nA: 2\r\n", "A: 1, 2\r\n", true},
    {V("A"), "A: 1\r\nA: 2\r\n", "A: 2\r\nA: 1\r\n", false},
    {V("A"), "A: 1,2\r\n", "A:  1 \t,  2 \r\n", true},
    {V("A"), "A: 12\r\n", "A: 1 2\r\n", false},
    {V("A"), "A: \"1,2\"\r\n", "A: \"1, 2\"\r\n", false},
    {V("A"), "A: \"\\\"\", 2\r\n", "A: \"\\\"\",2\r\n", true},
    {V("A"), "A: \"\\\", 2\"\r\n", "A: \"\\\",2\"\r\n", false},
    {V("A"), "A: \"1, 2\r\n", "A: \"1,2\r\n", false},
    {V("Cookie"), "Cookie: a=1, 2\r\n", "Cookie: a=1,2\r\n", false},
    {V("User-Agent"), "User-Agent: a, b\r\n", "User-Agent: a,b\r\n", false},
    {V("A"), "A: 1, 2\r\n", "A: 2, 1\r\n", false},
    {V("A"), "A:   1\t\r\n", "A: 1\r\n", true},
    /* fields with a syntax of their own */
    {V("Accept-Encoding"), "Accept-Encoding: gzip, br\r\n",
	"Accept-Encoding:  BR ,gzip\r\n", true},
    {V("Accept-Encoding"), "Accept-Encoding: gzip;q=0.5, br\r\n",
	"Accept-Encoding: br;q=1.0\r\nAccept-Encoding: gzip ; q=0.500\r\n",
	true},
    {V("Accept-Encoding"), "Accept-Encoding: gzip;q=0.5\r\n",
	"Accept-Encoding: gzip;q=0.6\r\n", false},
    {V("Accept-Encoding"), "Accept-Encoding: gzip\r\n",
	"Accept-Encoding: br\r\n", false},
    {V("Accept-Encoding"), "Accept-Encoding:\r\n", "", false},
    {V("Accept-Encoding"), "Accept-Encoding: gzip;q=0.5\r\n",
	"Accept-Encoding: gzip;q=500\r\n", false},
    {V("Accept-Encoding"), "Accept-Encoding: gzip;q=x\r\n",
	"Accept-Encoding: gzip;q=x\r\n", true},
    {V("Accept-Encoding"), "Accept-Encoding: gzip;q=x\r\n",
	"Accept-Encoding: gzip\r\n", false},
    {V("Accept-Encoding"), "Accept-Encoding: gzip, gzip;q=0\r\n",
	"Accept-Encoding: gzip;q=0, gzip\r\n", false},
    {V("Accept-Language"), "Accept-Language: de, en;q=0.8\r\n",
	"Accept-Language: EN;q=0.8,de\r\n", true},
    {V("Accept-Language"), "Accept-Language: de, en;q=0.8\r\n",
	"Accept-Language: en, de;q=0.8\r\n", false},
    {V("Accept-Language"), "Accept-Language: de;q=1, en;q=0.50\r\n",
	"Accept-Language: en;q=0.5,DE\r\n", true},
    {V("Accept-Language"), "Accept-Language: en, de\r\n",
	"Accept-Language: de\r\nAccept-Language: en\r\n", true},
/* what it is in is what the other wants first */
#define CL(l) V("Accept-Language") "Content-Language: " l "\r\n"
    {CL("de"), "Accept-Language: en, de\r\n",
	"Accept-Language: fr;q=0.5, DE;q=1.0\r\n", true},
    {CL("de"), "Accept-Language: en, de\r\n", "Accept-Language: en\r\n", false},
    {CL("de"), "Accept-Language: en, de\r\n", "Accept-Language: fr, de\r\n",
	false},
    {CL("de"), "Accept-Language: en, de\r\n",
	"Accept-Language: fr, de;q=0.9\r\n", false},
    {CL("de"), "Accept-Language: en, de\r\n", "Accept-Language: de;q=0\r\n",
	false},
    {CL("de"), "Accept-Language: en, de\r\n", "Accept-Language: de-AT\r\n",
	false},
    {CL("de"), "Accept-Language: en, de\r\n", "", false},
    {CL("de, en"), "Accept-Language: en, de\r\n", "Accept-Language: de\r\n",
	false},
    {CL("de") V("A"), "Accept-Language: en, de\r\nA: 1\r\n",
	"Accept-Language: de\r\nA: 2\r\n", false},
    /* RFC 9110 7.6.1: what was not passed on was never there */
    {V("A"), "Connection: a\r\nA: 1\r\n", "", true},
    {V("A"), "Connection: a\r\nA: 1\r\n", "A: 1\r\n", false},
    {V("Connection"), "Connection: x\r\n", "Connection: y\r\n", true},
    /* but that cannot be done to what must pass */
    {V("Authorization"), "Connection: Authorization\r\nAuthorization: 1\r\n",
	"", false},
};

static void
variants_match_their_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head response, first, second;
		struct bytes variant;
		struct arena a;
		char name[256];

		snprintf(name, sizeof(name), "%s%s-> %s", rows[i].vary,
		    rows[i].first, rows[i].second);
		arena_init(&a, 1 << 16);
		response = test_response(&a, 200, rows[i].vary);
		first = test_request(&a, "GET", rows[i].first);
		second = test_request(&a, "GET", rows[i].second);
		assert_int_equal(
		    cache_variant(&first, &response, &a, &variant), 0);
		row_check(i, name, cache_variant_matches(variant, &first, &a));
		row_check(i, name,
		    cache_variant_matches(variant, &second, &a) ==
			rows[i].match);
		arena_release(&a);
	}
}

/* One that differs only in how Vary is written is the same variant. */
static void
variants_are_canonical(void **state)
{
	struct http_head request, response;
	struct bytes one, two, text;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	request = test_request(
	    &a, "GET", "Accept-Encoding: GZIP;q=0.5, br\r\nX-B: v\r\n");
	response = test_response(
	    &a, 200, "Vary: X-B, accept-encoding, Accept-Language\r\n");
	assert_int_equal(cache_variant(&request, &response, &a, &one), 0);
	assert_true(bytes_eq(
	    one, BYTES("accept-encoding:br,gzip;q=0.500\naccept-language\n"
		       "x-b:v\n")));
	response = test_response(&a, 200,
	    "Vary: Accept-Language,,Accept-Encoding\r\nVary: x-b, X-B\r\n");
	assert_int_equal(cache_variant(&request, &response, &a, &two), 0);
	assert_true(bytes_eq(one, two));
	text = cache_variant_text(one, &a);
	assert_true(bytes_eq(text,
	    BYTES("Accept-Encoding: br,gzip;q=0.500; Accept-Language: (none); "
		  "x-b: v")));
	assert_int_equal(cache_variant_text(BYTES(""), &a).n, 0);
	arena_release(&a);
}

static void
explosions_are_bounded(void **state)
{
	char names[512] = "Vary: x0", value[16384];
	struct http_head request, response;
	struct bytes variant;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	request = test_request(&a, "GET", "");
	for (int i = 1; i < 33; i++)
		sprintf(names + strlen(names), ",x%d", i);
	strcat(names, "\r\n");
	response = test_response(&a, 200, names);
	assert_int_equal(
	    cache_variant(&request, &response, &a, &variant), LARDER_TOOBIG);
	memset(value, 'x', sizeof(value));
	memcpy(value, "A: ", 3);
	memcpy(value + 9000, "\r\n", 3);
	request = test_request(&a, "GET", value);
	response = test_response(&a, 200, "Vary: a\r\n");
	assert_int_equal(
	    cache_variant(&request, &response, &a, &variant), LARDER_TOOBIG);
	response = test_response(&a, 200, "Vary: a, *\r\n");
	assert_int_equal(
	    cache_variant(&request, &response, &a, &variant), LARDER_REFUSED);
	arena_release(&a);
	arena_init(&a, 1 << 12);
	request = test_request(&a, "GET", "A: 1\r\n");
	response = test_response(&a, 200, "Vary: a\r\n");
	a.limit = a.used;
	assert_int_equal(
	    cache_variant(&request, &response, &a, &variant), LARDER_NOMEM);
	arena_release(&a);
}

static void
damaged_variants_match_nothing(void **state)
{
	static const struct bytes bad[] = {B("a"), B("a:1"), B("\n"), B(":1\n"),
	    B("a 1\n"), B("a\nb"), B("a:1\n\n"), B("\0\n"), B("a;1\n")};
	struct http_head request;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	request = test_request(&a, "GET", "A: 1\r\n");
	assert_true(cache_variant_matches(BYTES("a:1\n"), &request, &a));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		row_check(
		    i, bad[i].p, !cache_variant_matches(bad[i], &request, &a));
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(variants_match_their_own),
	    cmocka_unit_test(variants_are_canonical),
	    cmocka_unit_test(explosions_are_bounded),
	    cmocka_unit_test(damaged_variants_match_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
