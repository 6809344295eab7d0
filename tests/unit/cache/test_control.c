#include "../http/parse.h"

#include "cache/control.h"

#define NG    CACHE_NOT_GIVEN
#define MAX   CACHE_SECONDS_MAX
#define CC(v) "Cache-Control: " v "\r\n"

enum {
	NO_STORE = 1,
	NO_CACHE = 2,
	PRIVATE = 4,
	PUBLIC = 8,
	MUST = 16,
	PROXY = 32,
	UNDERSTAND = 64,
	TRANSFORM = 128,
	CACHED = 256,
	IMMUTABLE = 512,
	INVALID = 1024,
};

static int
flags(const struct cache_control *c)
{
	return (c->no_store ? NO_STORE : 0) | (c->no_cache ? NO_CACHE : 0) |
	       (c->is_private ? PRIVATE : 0) | (c->is_public ? PUBLIC : 0) |
	       (c->must_revalidate ? MUST : 0) |
	       (c->proxy_revalidate ? PROXY : 0) |
	       (c->must_understand ? UNDERSTAND : 0) |
	       (c->no_transform ? TRANSFORM : 0) |
	       (c->only_if_cached ? CACHED : 0) |
	       (c->immutable ? IMMUTABLE : 0) | (c->invalid ? INVALID : 0);
}

/* RFC 9111 5.2.2, 1.2.2; RFC 8246; RFC 5861 3 and 4 */
static const struct {
	const char *lines;
	int flags;
	int64_t max_age, s_maxage, swr, sie;
	const char *private_fields, *no_cache_fields;
} responses[] = {
    {"", 0, NG, NG, NG, NG, "", ""},
    {CC(""), 0, NG, NG, NG, NG, "", ""},
    {CC("no-store"), NO_STORE, NG, NG, NG, NG, "", ""},
    {CC("NO-STORE"), NO_STORE, NG, NG, NG, NG, "", ""},
    {CC("no-store=x"), NO_STORE, NG, NG, NG, NG, "", ""},
    {CC("no-store; max-age=5"), NO_STORE, NG, NG, NG, NG, "", ""},
    {CC("no-storex, xno-store, \"no-store\""), 0, NG, NG, NG, NG, "", ""},
    {CC("max-age=10"), 0, 10, NG, NG, NG, "", ""},
    {CC("MaX-aGe=10"), 0, 10, NG, NG, NG, "", ""},
    {CC("a=b, , max-age=10 ,c"), 0, 10, NG, NG, NG, "", ""},
    {CC("max-age=0010"), 0, 10, NG, NG, NG, "", ""},
    {CC("max-age=\"10\""), 0, 10, NG, NG, NG, "", ""},
    {CC("max-age=2147483647"), 0, 2147483647, NG, NG, NG, "", ""},
    {CC("max-age=2147483648"), 0, MAX, NG, NG, NG, "", ""},
    {CC("max-age=99999999999999999999999999"), 0, MAX, NG, NG, NG, "", ""},
    /* 4.2.1: nonsense is stale */
    {CC("max-age"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age="), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age=\"\""), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age=-1"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age=+1"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age=10.0"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age=10s"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age='10'"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age =10"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age= 10"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age=10; public"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("max-age=0x10"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("s-maxage=x, max-age=10"), INVALID, 10, 0, NG, NG, "", ""},
    /* 4.2.1: of two the lower, on one line or on two */
    {CC("max-age=20, max-age=10"), 0, 10, NG, NG, NG, "", ""},
    {CC("max-age=10") CC("max-age=20"), 0, 10, NG, NG, NG, "", ""},
    {CC("max-age=10, max-age=x"), INVALID, 0, NG, NG, NG, "", ""},
    {CC("s-maxage=5, max-age=10"), 0, 10, 5, NG, NG, "", ""},
    /* quoted strings hide what they hold */
    {CC("x=\"max-age=10\", max-age=5"), 0, 5, NG, NG, NG, "", ""},
    {CC("x=\"a, no-store\""), 0, NG, NG, NG, NG, "", ""},
    {CC("x=\"a\\\", no-store\""), 0, NG, NG, NG, NG, "", ""},
    /* but one that is never closed hides nothing */
    {CC("x=\"a, no-store"), NO_STORE, NG, NG, NG, NG, "", ""},
    {CC("private=\"a, max-age=10, no-store"), NO_STORE | PRIVATE, 10, NG, NG,
	NG, "", ""},
    /* field names, 5.2.2.4 and 5.2.2.7 */
    {CC("private, no-cache"), PRIVATE | NO_CACHE, NG, NG, NG, NG, "", ""},
    {CC("private=\"a, b\""), 0, NG, NG, NG, NG, "a, b", ""},
    {CC("private=a"), 0, NG, NG, NG, NG, "a", ""},
    {CC("no-cache=\"Set-Cookie\""), 0, NG, NG, NG, NG, "", "Set-Cookie"},
    {CC("no-cache=\"a\", no-cache=\"a\""), 0, NG, NG, NG, NG, "", "a"},
    {CC("no-cache=\"a\", no-cache=\"b\""), NO_CACHE, NG, NG, NG, NG, "", ""},
    {CC("no-cache=\"a\", no-cache"), NO_CACHE, NG, NG, NG, NG, "", ""},
    {CC("no-cache, no-cache=\"a\""), NO_CACHE, NG, NG, NG, NG, "", ""},
    {CC("private=\"\""), PRIVATE, NG, NG, NG, NG, "", ""},
    {CC("private="), PRIVATE, NG, NG, NG, NG, "", ""},
    {CC("private=\"a b\""), PRIVATE, NG, NG, NG, NG, "", ""},
    {CC("private=\"a"), PRIVATE, NG, NG, NG, NG, "", ""},
    /* the others */
    {CC("public, must-revalidate, proxy-revalidate, must-understand, "
	"no-transform, immutable"),
	PUBLIC | MUST | PROXY | UNDERSTAND | TRANSFORM | IMMUTABLE, NG, NG, NG,
	NG, "", ""},
    /* what permits, with an argument it cannot have, permits nothing; but
     * immutable ignores it (RFC 8246 2) */
    {CC("public=1, must-understand=1, immutable=1, must-revalidate=1"),
	MUST | IMMUTABLE, NG, NG, NG, NG, "", ""},
    {CC("stale-while-revalidate=10, stale-if-error=20"), 0, NG, NG, 10, 20, "",
	""},
    {CC("stale-while-revalidate=x, stale-if-error"), 0, NG, NG, 0, 0, "", ""},
    {CC("stale-if-error=20, stale-if-error=10"), 0, NG, NG, NG, 10, "", ""},
    /* Pragma is of requests */
    {"Pragma: no-cache\r\n", 0, NG, NG, NG, NG, "", ""},
};

static void
responses_are_read(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(responses) / sizeof(*responses); i++) {
		const char *lines = responses[i].lines;
		struct http_head h = test_response(&a, 200, lines);
		struct cache_control c;

		cache_control_parse(&h, false, &c);
		row_check(i, lines, flags(&c) == responses[i].flags);
		row_check(i, lines, c.max_age == responses[i].max_age);
		row_check(i, lines, c.s_maxage == responses[i].s_maxage);
		row_check(
		    i, lines, c.stale_while_revalidate == responses[i].swr);
		row_check(i, lines, c.stale_if_error == responses[i].sie);
		row_check(i, lines,
		    bytes_eq(c.private_fields,
			bytes_str(responses[i].private_fields)));
		row_check(i, lines,
		    bytes_eq(c.no_cache_fields,
			bytes_str(responses[i].no_cache_fields)));
	}
	arena_release(&a);
}

/* RFC 9111 5.2.1, 5.4 */
static void
requests_are_read(void **state)
{
	static const struct {
		const char *lines;
		int flags;
		int64_t max_age, min_fresh, max_stale, sie;
	} rows[] = {
	    {"", 0, NG, NG, NG, NG},
	    {CC("no-cache"), NO_CACHE, NG, NG, NG, NG},
	    {CC("no-cache=\"a\""), NO_CACHE, NG, NG, NG, NG},
	    {CC("no-store, only-if-cached, no-transform"),
		NO_STORE | CACHED | TRANSFORM, NG, NG, NG, NG},
	    {CC("max-age=5, min-fresh=6, max-stale=7"), 0, 5, 6, 7, NG},
	    {CC("max-stale"), 0, NG, NG, MAX, NG},
	    {CC("max-stale, max-stale=7"), 0, NG, NG, 7, NG},
	    {CC("max-stale=x"), 0, NG, NG, 0, NG},
	    {CC("max-stale="), 0, NG, NG, 0, NG},
	    {CC("min-fresh=6, min-fresh=9"), 0, NG, 9, NG, NG},
	    {CC("min-fresh=x"), 0, NG, MAX, NG, NG},
	    {CC("max-age=x"), INVALID, 0, NG, NG, NG},
	    {CC("stale-if-error=9"), 0, NG, NG, NG, 9},
	    {"Pragma: no-cache\r\n", NO_CACHE, NG, NG, NG, NG},
	    {"Pragma: x, No-Cache\r\n", NO_CACHE, NG, NG, NG, NG},
	    {"Pragma: no-cachex\r\n", 0, NG, NG, NG, NG},
	    {"Pragma: no-cache\r\n" CC("max-age=5"), 0, 5, NG, NG, NG},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h = test_request(&a, "GET", rows[i].lines);
		struct cache_control c;

		cache_control_parse(&h, true, &c);
		row_check(i, rows[i].lines, flags(&c) == rows[i].flags);
		row_check(i, rows[i].lines, c.max_age == rows[i].max_age);
		row_check(i, rows[i].lines, c.min_fresh == rows[i].min_fresh);
		row_check(i, rows[i].lines, c.max_stale == rows[i].max_stale);
		row_check(i, rows[i].lines, c.stale_if_error == rows[i].sie);
	}
	arena_release(&a);
}

/* RFC 9213 2.1, 2.2 */
static void
targeted_ones_are_strict(void **state)
{
	static const struct {
		const char *value;
		bool valid;
		int flags;
		int64_t max_age;
	} rows[] = {
	    {"max-age=10", true, 0, 10},
	    {"max-age=99999999999", true, 0, MAX},
	    {"max-age=10;x=1, no-store, private", true, NO_STORE | PRIVATE, 10},
	    {"unknown, max-age=10", true, 0, 10},
	    {"max-age=10, max-age=20", true, 0, 20},
	    {"no-store, no-store=?0", true, 0, NG},
	    {"private=\"a\"", true, 0, NG},
	    {"private=\"a\", private", true, PRIVATE, NG},
	    {"private, private=\"a\"", true, 0, NG},
	    {"max-age=-1", true, INVALID, 0},
	    {"", false, 0, NG},
	    {"max-age =10", false, 0, NG},
	    {"max-age= 10", false, 0, NG},
	    {"MaX-aGe=10", false, 0, NG},
	    {"max-age=\"10\"", false, 0, NG},
	    {"max-age=10.5", false, 0, NG},
	    {"max-age=ten", false, 0, NG},
	    {"max-age", false, 0, NG},
	    {"no-store=1", false, 0, NG},
	    {"max-age=10, &&&&&", false, 0, NG},
	    {"max-age=10,", false, 0, NG},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bytes line = arena_printf(
		    &a, "CDN-Cache-Control: %s\r\n", rows[i].value);
		struct http_head h = test_response(&a, 200, line.p);
		struct cache_control c;
		bool valid = cache_control_targeted(&h, &c);

		row_check(i, rows[i].value, valid == rows[i].valid);
		if (!valid)
			continue;
		row_check(i, rows[i].value, flags(&c) == rows[i].flags);
		row_check(i, rows[i].value, c.max_age == rows[i].max_age);
	}
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(responses_are_read),
	    cmocka_unit_test(requests_are_read),
	    cmocka_unit_test(targeted_ones_are_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
