#include "../http/parse.h"

#include <string.h>

#include "cache/decide.h"
#include "cache/etag.h"
#include "http/date.h"

#define NG    CACHE_NOT_GIVEN
#define CC(v) "Cache-Control: " v "\r\n"
#define NOW   INT64_C(1700000000)

/* What is stored, by name: a response of a 60 seconds' lifetime. */
enum kind {
	NOTHING,
	FRESH,	   /* 20 seconds old */
	STALE,	   /* 100 seconds old, with a tag */
	STALE_LM,  /* with Last-Modified alone */
	STALE_RAW, /* without a validator */
	STALE_MUST,
	STALE_SWR,	/* stale-while-revalidate=50 */
	STALE_SWR_MUST, /* and must-revalidate */
	STALE_NOW,	/* since this second, stale-while-revalidate=0 */
	FRESH_NO_CACHE,
	FRESH_IMMUTABLE,
	STALE_IMMUTABLE,
	STALE_BAD, /* what it said made no sense */
	OTHER,	   /* fresh, of another variant */
	OTHER_RAW, /* likewise, without a validator */
};

static struct cache_stored
stored_of(enum kind kind)
{
	struct cache_stored s = {.variant = {"", 0}};

	s.meta = (struct cache_meta){.status = 200,
	    .request_time = NOW - 100,
	    .response_time = NOW - 100,
	    .date = NOW - 100,
	    .lifetime = 60,
	    .stale_while_revalidate = NG,
	    .stale_if_error = NG,
	    .last_modified = HTTP_DATE_INVALID,
	    .etag = BYTES("\"a\"")};
	if (kind == FRESH || kind == FRESH_NO_CACHE || kind == OTHER ||
	    kind == OTHER_RAW || kind == FRESH_IMMUTABLE)
		s.meta.response_time = s.meta.date = NOW - 20;
	if (kind == FRESH_NO_CACHE)
		s.meta.flags = CACHE_ALWAYS_REVALIDATE;
	if (kind == FRESH_IMMUTABLE || kind == STALE_IMMUTABLE)
		s.meta.flags = CACHE_IMMUTABLE;
	if (kind == STALE_MUST || kind == STALE_SWR_MUST)
		s.meta.flags = CACHE_MUST_REVALIDATE;
	if (kind == STALE_SWR || kind == STALE_SWR_MUST)
		s.meta.stale_while_revalidate = 50;
	if (kind == STALE_NOW) {
		s.meta.lifetime = 100;
		s.meta.stale_while_revalidate = 0;
	}
	if (kind == STALE_LM || kind == STALE_RAW || kind == OTHER_RAW)
		s.meta.etag = BYTES("");
	if (kind == STALE_LM)
		s.meta.last_modified = NOW - 5000;
	if (kind == STALE_BAD) {
		s.meta.lifetime = 0;
		s.meta.flags = CACHE_INVALID_FRESHNESS;
	}
	if (kind == OTHER || kind == OTHER_RAW)
		s.variant = BYTES("accept:x\n");
	return s;
}

/* RFC 9111 4, 4.2.4, 5.2.1; RFC 5861 3; RFC 9110 14.2 */
static const struct {
	const char *method, *lines;
	enum kind kind;
	enum cache_action action;
	enum cache_why why;
	bool stale, background;
} rows[] = {
#define ROW(method, lines, kind, action, why)                                \
	{                                                                    \
		method, lines, kind, CACHE_##action, CACHE_WHY_##why, false, \
		    false                                                    \
	}
    ROW("GET", "", NOTHING, FETCH, URI_MISS),
    ROW("GET", "", FRESH, SEND, HIT),
    ROW("HEAD", "", FRESH, SEND, HIT),
    ROW("GET", "", STALE, REVALIDATE, STALE),
    ROW("GET", "", STALE_LM, REVALIDATE, STALE),
    ROW("GET", "", STALE_RAW, FETCH, STALE),
    ROW("GET", "", STALE_MUST, REVALIDATE, STALE),
    ROW("GET", "", STALE_BAD, REVALIDATE, STALE),
    ROW("GET", "", FRESH_NO_CACHE, REVALIDATE, NO_CACHE),
    ROW("GET", "", OTHER, REVALIDATE, VARY_MISS),
    ROW("GET", "", OTHER_RAW, FETCH, VARY_MISS),
    ROW("GET", "Accept: x\r\n", OTHER, SEND, HIT),
    /* methods */
    ROW("POST", "", FRESH, PASS, METHOD),
    ROW("OPTIONS", "", FRESH, PASS, METHOD),
    ROW("get", "", FRESH, PASS, METHOD),
    ROW("HEAD", "", NOTHING, PASS, URI_MISS),
    ROW("HEAD", "", OTHER, PASS, VARY_MISS),
    ROW("HEAD", "", STALE, REVALIDATE, STALE),
    ROW("HEAD", "", STALE_RAW, PASS, STALE),
    /* requests that no cache answers */
    ROW("GET", CC("no-store"), FRESH, PASS, BYPASS),
    ROW("GET", "If-Match: \"a\"\r\n", FRESH, PASS, BYPASS),
    ROW("GET", "If-Unmodified-Since: x\r\n", FRESH, PASS, BYPASS),
    ROW("GET", "Content-Length: 3\r\n", FRESH, PASS, BYPASS),
    ROW("GET", "Transfer-Encoding: chunked\r\n", FRESH, PASS, BYPASS),
    ROW("GET", "Content-Length: 0\r\n", FRESH, SEND, HIT),
    /* ranges */
    ROW("GET", "Range: bytes=0-1\r\n", FRESH, SEND, HIT),
    ROW("GET", "Range: bytes=0-1\r\n", NOTHING, PART, URI_MISS),
    ROW("GET", "Range: bytes=5-\r\n", NOTHING, PART, URI_MISS),
    ROW("GET", "Range: bytes=-5\r\n", NOTHING, PART, URI_MISS),
    ROW("GET", "Range: bytes=0-1\r\nIf-None-Match: \"b\"\r\n", NOTHING, PASS,
	URI_MISS),
    ROW("GET", "Range: bytes=0-1\r\n" CC("no-store"), NOTHING, PASS, BYPASS),
    ROW("GET", "Range: bytes=0-,5-\r\n", NOTHING, PASS, URI_MISS),
    ROW("GET", "Range: items=0-\r\n", NOTHING, PASS, URI_MISS),
    ROW("GET", "Range: bytes=0-,5-\r\n", OTHER_RAW, PASS, VARY_MISS),
    ROW("GET", "Range: bytes=0-,5-\r\n", STALE_RAW, PASS, STALE),
    ROW("GET", "Range: bytes=0-\r\n", NOTHING, FETCH, URI_MISS),
    ROW("GET", "Range: bytes=0-1\r\n", STALE, REVALIDATE, STALE),
    ROW("GET", "Range: bytes=0-1\r\n", STALE_RAW, PART, STALE),
    ROW("GET", "Range: bytes=0-1\r\nRange: bytes=2-3\r\n", NOTHING, FETCH,
	URI_MISS),
    /* 5.2.1.1 to 5.2.1.4, 5.4 */
    ROW("GET", CC("no-cache"), FRESH, REVALIDATE, REQUEST),
    ROW("GET", "Pragma: no-cache\r\n", FRESH, REVALIDATE, REQUEST),
    ROW("GET", "Pragma: no-cache\r\n" CC("max-age=50"), FRESH, SEND, HIT),
    ROW("GET", CC("max-age=20"), FRESH, SEND, HIT),
    ROW("GET", CC("max-age=19"), FRESH, REVALIDATE, REQUEST),
    ROW("GET", CC("max-age=0"), FRESH, REVALIDATE, REQUEST),
    ROW("GET", CC("max-age=x"), FRESH, REVALIDATE, REQUEST),
    /* RFC 8246 2 */
    ROW("GET", CC("max-age=0"), FRESH_IMMUTABLE, SEND, HIT),
    ROW("GET", CC("no-cache"), FRESH_IMMUTABLE, REVALIDATE, REQUEST),
    ROW("GET", CC("max-age=0"), STALE_IMMUTABLE, REVALIDATE, REQUEST),
    ROW("GET", "", STALE_IMMUTABLE, REVALIDATE, STALE),
    ROW("GET", CC("min-fresh=40"), FRESH, SEND, HIT),
    ROW("GET", CC("min-fresh=41"), FRESH, REVALIDATE, REQUEST),
    {"GET", CC("max-stale"), STALE, CACHE_SEND, CACHE_WHY_HIT, true, false},
    {"GET", CC("max-stale=40"), STALE, CACHE_SEND, CACHE_WHY_HIT, true, false},
    ROW("GET", CC("max-stale=39"), STALE, REVALIDATE, STALE),
    ROW("GET", CC("max-stale"), STALE_MUST, REVALIDATE, STALE),
    ROW("GET", CC("max-stale"), FRESH_NO_CACHE, REVALIDATE, NO_CACHE),
    ROW("GET", CC("max-stale, max-age=50"), STALE, REVALIDATE, REQUEST),
    /* 5.2.1.7 */
    ROW("GET", CC("only-if-cached"), FRESH, SEND, HIT),
    ROW("GET", CC("only-if-cached"), NOTHING, REFUSE, URI_MISS),
    ROW("GET", CC("only-if-cached"), STALE, REFUSE, STALE),
    ROW("GET", CC("only-if-cached, no-store"), FRESH, REFUSE, BYPASS),
    ROW("POST", CC("only-if-cached"), FRESH, PASS, METHOD),
    {"GET", CC("only-if-cached, max-stale"), STALE, CACHE_SEND, CACHE_WHY_HIT,
	true, false},
    /* RFC 5861 3 */
    {"GET", "", STALE_SWR, CACHE_SEND, CACHE_WHY_HIT, true, true},
    {"GET", CC("only-if-cached"), STALE_SWR, CACHE_SEND, CACHE_WHY_HIT, true,
	false},
    ROW("GET", "", STALE_SWR_MUST, REVALIDATE, STALE),
    ROW("GET", CC("max-age=50"), STALE_SWR, REVALIDATE, REQUEST),
    ROW("GET", "", STALE_NOW, REVALIDATE, STALE),
    {"GET", CC("max-stale=0"), STALE_NOW, CACHE_SEND, CACHE_WHY_HIT, true,
	false},
    /* conditions of the client's own are answered behind the decision */
    ROW("GET", "If-None-Match: \"a\"\r\n", FRESH, SEND, HIT),
};

static void
decisions(void **state)
{
	const struct cache_policy policy = {.stale_if_error = 86400};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_stored s = stored_of(rows[i].kind);
		struct cache_decision d;
		struct cache_request r;
		struct http_head h;
		struct arena a;
		char name[128];

		arena_init(&a, 1 << 16);
		snprintf(name, sizeof(name), "%s %s with %d", rows[i].method,
		    rows[i].lines, rows[i].kind);
		h = test_request(&a, rows[i].method, rows[i].lines);
		cache_request_init(&r, &h);
		cache_decide(
		    &r, &s, rows[i].kind != NOTHING, NOW, &policy, &a, &d);
		row_check(i, name, d.action == rows[i].action);
		row_check(i, name, d.why == rows[i].why);
		row_check(i, name, d.stale == rows[i].stale);
		row_check(i, name, d.background == rows[i].background);
		row_check(i, name, d.action != CACHE_SEND || d.chosen == 0);
		arena_release(&a);
	}
}

/* What the admin says makes a request one for the origin alone. */
static void
some_go_alone(void **state)
{
	const struct cache_policy forward = {.override_fields = true};
	const struct cache_policy strict = {.strict_cookies = true};
	const struct cache_policy none = {.stale_if_error = 0};
	const struct {
		const char *lines;
		const struct cache_policy *policy;
		enum cache_action action;
		const char *detail;
	} cases[] = {
	    {"X-Forwarded-Host: x\r\n", &forward, CACHE_PASS, "override-field"},
	    {"FORWARDED: x\r\n", &forward, CACHE_PASS, "override-field"},
	    {"Front-End-Https: on\r\n", &forward, CACHE_PASS, "override-field"},
	    {"X-HTTP-Method-Override: PUT\r\n", &forward, CACHE_PASS,
		"override-field"},
	    {"X_Forwarded_host: x\r\n", &forward, CACHE_PASS, "override-field"},
	    {"Proxy: http://x/\r\n", &forward, CACHE_PASS, "override-field"},
	    {"X-Forwarded-Host: x\r\n", &none, CACHE_SEND, NULL},
	    {"X-Forwarded-For: x\r\n", &forward, CACHE_SEND, NULL},
	    {"Cookie: a=b\r\n", &strict, CACHE_PASS, "cookie"},
	    {"Cookie: a=b\r\n", &none, CACHE_SEND, NULL},
	};
	struct cache_stored s = stored_of(FRESH);
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct http_head h = test_request(&a, "GET", cases[i].lines);
		struct cache_request r;
		struct cache_decision d;

		cache_request_init(&r, &h);
		cache_decide(&r, &s, 1, NOW, cases[i].policy, &a, &d);
		row_check(i, cases[i].lines, d.action == cases[i].action);
		row_check(i, cases[i].lines,
		    (d.detail == NULL) == (cases[i].detail == NULL));
		if (d.detail != NULL)
			assert_string_equal(d.detail, cases[i].detail);
		if (d.action == CACHE_PASS)
			assert_int_equal(d.why, CACHE_WHY_BYPASS);
	}
	arena_release(&a);
}

/* An error to such a request is for its sender alone. */
static void
odd_requests(void **state)
{
	struct cache_request r;
	struct http_head h;
	struct arena a;
	char line[8192];

	(void)state;
	arena_init(&a, 1 << 20);
	for (unsigned more = 0; more < 2; more++) {
		/* "GET", "/", "Host: h" with its end, "X: " and "\r\n" */
		size_t n = CACHE_ODD_HEAD - 4 - 9 - 5 + more;

		snprintf(line, sizeof(line), "X: %0*d\r\n", (int)n, 0);
		h = test_request(&a, "GET", line);
		cache_request_init(&r, &h);
		assert_int_equal(r.odd, more);
	}
	h = test_request(
	    &a, "POST", "Content-Length: 1\r\nContent-Type: x\r\n");
	cache_request_init(&r, &h);
	assert_false(r.odd);
	h = test_request(&a, "GET", "Content-Encoding: gzip\r\n");
	cache_request_init(&r, &h);
	assert_true(r.odd);
	arena_release(&a);
}

static void
reloads_can_be_ignored(void **state)
{
	const struct cache_policy policy = {.ignore_reload = true};
	static const struct {
		const char *lines;
		enum cache_action action;
	} reloads[] = {
	    {CC("no-cache"), CACHE_SEND},
	    {"Pragma: no-cache\r\n", CACHE_SEND},
	    {CC("max-age=0"), CACHE_SEND},
	    {CC("min-fresh=50"), CACHE_REVALIDATE},
	    {CC("no-store"), CACHE_PASS},
	};
	struct cache_stored s = stored_of(FRESH);
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(reloads) / sizeof(*reloads); i++) {
		struct http_head h = test_request(&a, "GET", reloads[i].lines);
		struct cache_request r;
		struct cache_decision d;

		cache_request_init(&r, &h);
		cache_decide(&r, &s, 1, NOW, &policy, &a, &d);
		row_check(i, reloads[i].lines, d.action == reloads[i].action);
	}
	arena_release(&a);
}

/* RFC 9111 4: of several that match, the newest Date; then what was stored
 * last, which stands first. */
static void
the_newest_match_is_chosen(void **state)
{
	const struct cache_policy policy = {.stale_if_error = 0};
	struct cache_stored s[4] = {stored_of(FRESH), stored_of(OTHER),
	    stored_of(FRESH), stored_of(FRESH)};
	struct cache_decision d;
	struct cache_request r;
	struct http_head h;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	h = test_request(&a, "GET", "");
	cache_request_init(&r, &h);
	cache_decide(&r, s, 4, NOW, &policy, &a, &d);
	assert_int_equal(d.chosen, 0);
	s[2].meta.date++;
	s[1].meta.date += 2; /* does not match */
	cache_decide(&r, s, 4, NOW, &policy, &a, &d);
	assert_int_equal(d.chosen, 2);
	assert_int_equal(d.age, 20);
	assert_int_equal(d.ttl, 40);
	/* RFC 9111 4.1: but one that has Vary before one that has not */
	s[3].variant = BYTES("accept\n");
	cache_decide(&r, s, 4, NOW, &policy, &a, &d);
	assert_int_equal(d.chosen, 3);
	arena_release(&a);
}

/* The edge of freshness: it is fresh while its lifetime exceeds its age (RFC
 * 9111 4.2); the edges of both stale windows. */
static void
edges(void **state)
{
	const struct cache_policy policy = {.stale_if_error = 0};
	struct cache_stored s = stored_of(STALE_SWR);
	struct cache_decision d;
	struct cache_request r;
	struct http_head h;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	h = test_request(&a, "GET", "");
	cache_request_init(&r, &h);
	cache_decide(&r, &s, 1, NOW - 41, &policy, &a, &d);
	assert_true(d.action == CACHE_SEND && !d.stale && d.ttl == 1);
	cache_decide(&r, &s, 1, NOW - 40, &policy, &a, &d);
	assert_true(d.action == CACHE_SEND && d.stale && d.ttl == 0);
	cache_decide(&r, &s, 1, NOW + 10, &policy, &a, &d);
	assert_true(d.action == CACHE_SEND && d.background && d.ttl == -50);
	cache_decide(&r, &s, 1, NOW + 11, &policy, &a, &d);
	assert_true(d.action == CACHE_REVALIDATE && d.ttl == -51);
	/* A clock set back, and one far off. */
	cache_decide(&r, &s, 1, INT64_MIN, &policy, &a, &d);
	assert_int_equal(d.age, 0);
	cache_decide(&r, &s, 1, INT64_MAX, &policy, &a, &d);
	assert_int_equal(d.age, CACHE_SECONDS_MAX);
	arena_release(&a);
}

/* RFC 5861 4, RFC 9111 4.2.4; 40 seconds stale. */
static void
stale_stands_in_for_a_failing_origin(void **state)
{
	static const struct {
		enum kind kind;
		int64_t sie, policy;
		const char *lines;
		bool may;
	} cases[] = {
	    {STALE, NG, 86400, "", true},
	    {STALE, NG, 40, "", true},
	    {STALE, NG, 39, "", false},
	    {STALE, NG, 0, "", false},
	    {STALE, 40, 0, "", true},
	    {STALE, 39, 86400, "", false},
	    {STALE, 0, 86400, "", false},
	    {STALE, 0, 0, CC("stale-if-error=40"), true},
	    {STALE_NOW, NG, 1, "", true},
	    {STALE_NOW, NG, 0, "", false},
	    {STALE_NOW, 0, 86400, "", false},
	    {STALE_NOW, NG, 86400, CC("stale-if-error=0"), false},
	    {STALE, 86400, 86400, CC("stale-if-error=39"), false},
	    {STALE_MUST, 86400, 86400, "", false},
	    {STALE_MUST, NG, 0, CC("stale-if-error=99"), false},
	    {FRESH_NO_CACHE, 86400, 86400, "", false},
	    {STALE, NG, 86400, CC("no-cache"), false},
	    /* what apt asks its indices with */
	    {STALE, NG, 86400, CC("max-age=0"), true},
	    {FRESH, 0, 0, CC("max-age=0"), true},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct cache_policy policy = {
		    .stale_if_error = cases[i].policy};
		struct http_head h = test_request(&a, "GET", cases[i].lines);
		struct cache_stored s = stored_of(cases[i].kind);
		struct cache_request r;

		s.meta.stale_if_error = cases[i].sie;
		cache_request_init(&r, &h);
		row_check(i, cases[i].lines,
		    cache_may_serve_stale(&r, &s.meta, NOW, &policy) ==
			cases[i].may);
	}
	/* An error does not stand in for another. */
	{
		const struct cache_policy policy = {.stale_if_error = 86400};
		struct http_head h = test_request(&a, "GET", "");
		struct cache_stored s = stored_of(STALE);
		struct cache_request r;

		cache_request_init(&r, &h);
		s.meta.status = 404;
		assert_true(cache_may_serve_stale(&r, &s.meta, NOW, &policy));
		s.meta.status = 503;
		assert_false(cache_may_serve_stale(&r, &s.meta, NOW, &policy));
	}
	arena_release(&a);
}

#define T      INT64_C(784111777)
#define DATE   "Sun, 06 Nov 1994 08:49:37 GMT"
#define LATER  "Sun, 06 Nov 1994 08:49:38 GMT"
#define ERLY   "Sun, 06 Nov 1994 08:49:36 GMT"
#define INM(v) "If-None-Match: " v "\r\n"
#define IMS(v) "If-Modified-Since: " v "\r\n"

/* RFC 9110 13.1.2, 13.1.3, 13.2.2: of a representation with this tag, last
 * modified at T. */
static const struct {
	const char *lines, *etag;
	int status;
} conditions[] = {
    {"", "\"a\"", 200},
    {INM("\"a\""), "\"a\"", 304},
    {INM("\"b\""), "\"a\"", 200},
    {INM("W/\"a\""), "\"a\"", 304},
    {INM("\"a\""), "W/\"a\"", 304},
    {INM("W/\"a\""), "W/\"a\"", 304},
    {INM("\"x\", W/\"a\" ,\"y\""), "\"a\"", 304},
    {INM(", ,\"a\""), "\"a\"", 304},
    {INM("\"x\"") INM("\"a\""), "\"a\"", 304},
    {INM("\"a,b\""), "\"a,b\"", 304},
    {INM("\"a\\\""), "\"a\\\"", 304},
    {INM("\"\""), "\"\"", 304},
    {INM("*"), "\"a\"", 304},
    {INM("*"), "", 304},
    {INM("\"*\""), "\"a\"", 200},
    {INM("a"), "\"a\"", 200},
    {INM("w/\"a\""), "\"a\"", 200},
    {INM("W/ \"a\""), "\"a\"", 200},
    {INM("\"a"), "\"a\"", 200},
    {INM("\"a\"x"), "\"a\"", 200},
    {INM("\"A\""), "\"a\"", 200},
    {INM("\"a\""), "", 200},
    {INM(""), "\"a\"", 200},
    {IMS(DATE), "", 304},
    {IMS(LATER), "", 304},
    {IMS(ERLY), "", 200},
    {IMS("Sunday, 06-Nov-94 08:49:37 GMT"), "", 304},
    {IMS("Sun Nov  6 08:49:37 1994"), "", 304},
    {IMS("nonsense"), "", 200},
    {IMS("0"), "", 200},
    {IMS(DATE) IMS(DATE), "", 200},
    /* the tag alone counts */
    {INM("\"b\"") IMS(DATE), "\"a\"", 200},
    {INM("\"a\"") IMS(ERLY), "\"a\"", 304},
    {INM("x") IMS(DATE), "\"a\"", 200},
};

static void
conditions_of_clients(void **state)
{
	struct cache_meta meta = {
	    .date = T, .last_modified = HTTP_DATE_INVALID};
	struct http_head h;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(conditions) / sizeof(*conditions); i++) {
		h = test_request(&a, "GET", conditions[i].lines);
		row_check(i, conditions[i].lines,
		    cache_precondition(&h, bytes_str(conditions[i].etag), T,
			T + 9) == conditions[i].status);
	}
	h = test_request(&a, "HEAD", INM("*"));
	assert_int_equal(cache_precondition(&h, BYTES(""), T, T), 304);
	h = test_request(&a, "POST", INM("*"));
	assert_int_equal(cache_precondition(&h, BYTES(""), T, T), 200);
	/* Without Last-Modified: never, but by Date for a stored one. */
	h = test_request(&a, "GET", IMS(DATE));
	assert_int_equal(
	    cache_precondition(&h, BYTES(""), HTTP_DATE_INVALID, T), 200);
	assert_int_equal(cache_precondition_stored(&h, &meta, T), 304);
	meta.date++;
	assert_int_equal(cache_precondition_stored(&h, &meta, T), 200);
	arena_release(&a);
}

/* RFC 9110 13.1.5, 8.8.2.2 */
static void
if_range_is_strong(void **state)
{
	static const struct {
		const char *lines, *etag;
		int64_t modified, date;
		bool range;
	} ranges[] = {
#define IR(v) "If-Range: " v "\r\n"
	    {"", "", HTTP_DATE_INVALID, T, true},
	    {IR("\"a\""), "\"a\"", T, T, true},
	    {IR("\"b\""), "\"a\"", T, T, false},
	    {IR("W/\"a\""), "W/\"a\"", T, T, false},
	    {IR("W/\"a\""), "\"a\"", T, T, false},
	    {IR("\"a\""), "W/\"a\"", T, T, false},
	    {IR("\"a\""), "", T, T, false},
	    {IR("\"a\", \"b\""), "\"a\"", T, T, false},
	    {IR("\"a\"") IR("\"a\""), "\"a\"", T, T, false},
	    {IR(DATE), "\"a\"", T, T + 1, true},
	    {IR(DATE), "", T, T, false},
	    {IR(DATE), "", T, T - 1, false},
	    {IR(DATE), "", T - 1, T + 9, false},
	    {IR(LATER), "", T, T + 9, false},
	    {IR(DATE), "", HTTP_DATE_INVALID, T, false},
	    {IR("x"), "", HTTP_DATE_INVALID, T, false},
	    {IR(""), "\"a\"", T, T + 9, false},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
		struct http_head h = test_request(&a, "GET", ranges[i].lines);

		row_check(i, ranges[i].lines,
		    cache_if_range(&h, bytes_str(ranges[i].etag),
			ranges[i].modified, ranges[i].date,
			T + 99) == ranges[i].range);
	}
	arena_release(&a);
}

static void
every_reason_has_its_words(void **state)
{
	/* RFC 9211 2.2 */
	static const char *const tokens[] = {NULL, "uri-miss", "vary-miss",
	    "stale", "request", "method", "bypass", "partial", "stale"};

	(void)state;
	for (unsigned i = 0; i < sizeof(tokens) / sizeof(*tokens); i++) {
		const char *token = cache_why_token((enum cache_why)i);

		assert_true(strlen(cache_why_text((enum cache_why)i)) > 10);
		if (tokens[i] == NULL)
			assert_null(token);
		else
			assert_string_equal(token, tokens[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(decisions),
	    cmocka_unit_test(some_go_alone),
	    cmocka_unit_test(odd_requests),
	    cmocka_unit_test(reloads_can_be_ignored),
	    cmocka_unit_test(the_newest_match_is_chosen),
	    cmocka_unit_test(edges),
	    cmocka_unit_test(stale_stands_in_for_a_failing_origin),
	    cmocka_unit_test(conditions_of_clients),
	    cmocka_unit_test(if_range_is_strong),
	    cmocka_unit_test(every_reason_has_its_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
