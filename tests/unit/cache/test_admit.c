#include "../http/parse.h"

#include "cache/admit.h"
#include "http/date.h"

/* The response's head comes at T; its request was sent two seconds before. */
#define T	  INT64_C(784111777)
#define DATE	  "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define DAY_AGO	  "Sat, 05 Nov 1994 08:49:37 GMT"
#define IN_HOUR	  "Sun, 06 Nov 1994 09:49:37 GMT"
#define LM	  "Last-Modified: " DAY_AGO "\r\n"
#define ETAG	  "ETag: \"a\"\r\n"
#define CC(v)	  "Cache-Control: " v "\r\n"
#define YEAR	  INT64_C(31536000)
#define GUESS_MAX 604800

static const struct cache_policy plain = {.stale_if_error = 86400,
    .heuristic_percent = 10,
    .heuristic_max = GUESS_MAX};
static const struct cache_policy targeted = {
    .heuristic_percent = 10, .heuristic_max = GUESS_MAX, .targeted = true};
static const struct cache_policy immutable = {
    .heuristic_percent = 10, .heuristic_max = GUESS_MAX, .immutable = true};

#define RULE .heuristic_percent = 10, .heuristic_max = GUESS_MAX
static const struct cache_policy at_least = {RULE, .min_fresh = 600};
static const struct cache_policy at_most = {RULE, .max_fresh = 600};
static const struct cache_policy between = {
    RULE, .min_fresh = 300, .max_fresh = 600};
static const struct cache_policy asked = {RULE, .revalidate = true};
static const struct cache_policy never = {RULE, .never = true};
static const struct cache_policy queryless = {
    RULE, .min_fresh = 600, .ignore_query = true};
static const struct cache_policy no_store = {
    RULE, .min_fresh = 600, .force = CACHE_FORCE_NO_STORE};
static const struct cache_policy no_cache = {
    RULE, .min_fresh = 600, .force = CACHE_FORCE_NO_CACHE};
static const struct cache_policy private = {
    RULE, .min_fresh = 600, .force = CACHE_FORCE_PRIVATE};
static const struct cache_policy authorization = {
    RULE, .min_fresh = 600, .force = CACHE_FORCE_AUTHORIZATION};

static const struct cache_policy strict = {.heuristic_percent = 10,
    .heuristic_max = GUESS_MAX,
    .strict_cookies = true};
static const struct cache_policy forward = {.heuristic_percent = 10,
    .heuristic_max = GUESS_MAX,
    .override_fields = true};

static struct cache_admission
admit(const char *method, const char *request_lines, int status,
    const char *lines, const struct cache_policy *policy, struct arena *a)
{
	struct http_head *q = arena_alloc(a, sizeof(*q));
	const struct http_target target = {
	    .host = BYTES("h"), .port = 80, .path = BYTES("/dir/a?b")};
	struct cache_request r;
	struct cache_admission out;
	struct http_head p = test_response(a, status, lines);

	*q = test_request(a, method, request_lines);
	cache_request_init(&r, q);
	r.target = &target;
	assert_int_equal(cache_admit(&r, &p, T - 2, T, policy, a, &out), 0);
	assert_int_equal(out.store, out.why_not == NULL);
	return out;
}

/* RFC 9111 4.2.1 to 4.2.3, 5.1, 5.3: lifetime and initial age of a 200; the
 * request's two seconds are in every age. */
static const struct {
	const char *lines;
	int64_t lifetime, age;
	int flags;
	const struct cache_policy *policy;
} fresh[] = {
    {DATE CC("max-age=60"), 60, 2, 0, NULL},
    {DATE CC("max-age=60, s-maxage=30"), 30, 2, CACHE_MUST_REVALIDATE, NULL},
    {DATE CC("s-maxage=30") "Expires: " IN_HOUR "\r\n", 30, 2,
	CACHE_MUST_REVALIDATE, NULL},
    {DATE CC("max-age=60") "Expires: " IN_HOUR "\r\n", 60, 2, 0, NULL},
    {DATE CC("max-age=0") "Expires: " IN_HOUR "\r\n", 0, 2, 0, NULL},
    {DATE "Expires: " IN_HOUR "\r\n", 3600, 2, 0, NULL},
    {"Expires: " IN_HOUR "\r\n", 3600, 2, 0, NULL},
    {DATE "Expires: " DAY_AGO "\r\n", 0, 2, 0, NULL},
    /* relative to Date, not to our clock */
    {"Date: " DAY_AGO "\r\nExpires: " IN_HOUR "\r\n", 90000, 86400, 0, NULL},
    {DATE "Expires: 0\r\n", 0, 2, CACHE_INVALID_FRESHNESS, NULL},
    {DATE "Expires: Sun, 06 Nov 1994 09:49:37 UTC\r\n", 0, 2,
	CACHE_INVALID_FRESHNESS, NULL},
    {DATE "Expires: " IN_HOUR "\r\nExpires: " IN_HOUR "\r\n", 0, 2,
	CACHE_INVALID_FRESHNESS, NULL},
    {DATE "Expires: Fri, 31 Dec 9999 23:59:59 GMT\r\n", CACHE_SECONDS_MAX, 2, 0,
	NULL},
    {DATE CC("max-age=abc") "Expires: " IN_HOUR "\r\n", 0, 2,
	CACHE_INVALID_FRESHNESS, NULL},
    /* heuristic */
    {DATE LM, 8640, 2, CACHE_HEURISTIC, NULL},
    {DATE "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n", GUESS_MAX, 2,
	CACHE_HEURISTIC, NULL},
    {DATE "Last-Modified: " IN_HOUR "\r\n", 0, 2, CACHE_HEURISTIC, NULL},
    {DATE "Last-Modified: yesterday\r\n", 0, 2, 0, NULL},
    {DATE LM LM, 0, 2, 0, NULL},
    {DATE ETAG, 0, 2, 0, NULL},
    {LM CC("no-cache"), 8640, 2, CACHE_HEURISTIC | CACHE_ALWAYS_REVALIDATE,
	NULL},
    /* age */
    {DATE CC("max-age=60") "Age: 40\r\n", 60, 42, 0, NULL},
    {DATE CC("max-age=60") "Age: 40, 50\r\n", 60, 42, 0, NULL},
    {DATE CC("max-age=60") "Age: 40\r\nAge: 50\r\n", 60, 42, 0, NULL},
    {DATE CC("max-age=60") "Age: 0040\r\n", 60, 42, 0, NULL},
    {DATE CC("max-age=60") "Age: -1\r\n", 60, 2, 0, NULL},
    {DATE CC("max-age=60") "Age: 40.5\r\n", 60, 2, 0, NULL},
    {DATE CC("max-age=60") "Age: abc\r\n", 60, 2, 0, NULL},
    {DATE CC("max-age=60") "Age:\r\n", 60, 2, 0, NULL},
    {DATE CC("max-age=60") "Age: 2147483648\r\n", 60, CACHE_SECONDS_MAX, 0,
	NULL},
    {DATE CC("max-age=60") "Age: 99999999999999999999\r\n", 60,
	CACHE_SECONDS_MAX, 0, NULL},
    {"Date: " DAY_AGO "\r\n" CC("max-age=60"), 60, 86400, 0, NULL},
    {"Date: " DAY_AGO "\r\nAge: 86500\r\n" CC("max-age=60"), 60, 86502, 0,
	NULL},
    {"Date: " IN_HOUR "\r\n" CC("max-age=60"), 60, 2, 0, NULL},
    {"Date: nonsense\r\n" CC("max-age=60"), 60, 2, 0, NULL},
    {DATE DATE CC("max-age=60"), 60, 2, 0, NULL},
    /* flags */
    {DATE CC("max-age=60, must-revalidate, no-transform"), 60, 2,
	CACHE_MUST_REVALIDATE | CACHE_NO_TRANSFORM, NULL},
    {DATE CC("max-age=60, proxy-revalidate, immutable"), 60, 2,
	CACHE_MUST_REVALIDATE | CACHE_IMMUTABLE, NULL},
    /* RFC 9213: in place of Cache-Control and Expires */
    /* but of transforming both are heard */
    {DATE "CDN-Cache-Control: max-age=60\r\n" CC("no-transform"), 60, 2,
	CACHE_NO_TRANSFORM, &targeted},
    {DATE CC("max-age=60, no-cache") "CDN-Cache-Control: max-age=9\r\n", 9, 2,
	0, &targeted},
    {DATE CC("max-age=60") "CDN-Cache-Control: max-age=9\r\n", 60, 2, 0, NULL},
    {DATE CC("max-age=60") "CDN-Cache-Control: max-age=\"9\"\r\n", 60, 2, 0,
	&targeted},
    {DATE "Expires: " IN_HOUR "\r\nCDN-Cache-Control: public\r\n", 0, 2, 0,
	&targeted},
    /* a rule */
    {DATE CC("max-age=60, no-cache"), YEAR + 2, 2,
	CACHE_IMMUTABLE | CACHE_BY_RULE, &immutable},
    {DATE LM, YEAR + 2, 2, CACHE_IMMUTABLE | CACHE_BY_RULE, &immutable},
    {DATE CC("max-age=60") "Age: 100\r\n", YEAR + 102, 102,
	CACHE_IMMUTABLE | CACHE_BY_RULE, &immutable},
    {DATE, 602, 2, CACHE_BY_RULE, &at_least},
    {DATE LM, 8640, 2, CACHE_HEURISTIC, &at_least},
    {DATE CC("max-age=60"), 602, 2, CACHE_BY_RULE, &at_least},
    {DATE CC("max-age=60") "Age: 100\r\n", 702, 102, CACHE_BY_RULE, &at_least},
    {DATE CC("max-age=700"), 700, 2, 0, &at_least},
    {DATE "Expires: 0\r\n", 602, 2, CACHE_BY_RULE, &at_least},
    {DATE CC("max-age=60, no-cache"), 602, 2,
	CACHE_ALWAYS_REVALIDATE | CACHE_BY_RULE, &at_least},
    {DATE CC("max-age=60, no-cache"), 602, 2, CACHE_BY_RULE, &no_cache},
    {DATE CC("max-age=60"), 60, 2, 0, &at_most},
    {DATE CC("max-age=7000"), 602, 2, CACHE_BY_RULE, &at_most},
    {DATE CC("max-age=7000") "Age: 100\r\n", 702, 102, CACHE_BY_RULE, &at_most},
    {DATE LM, 602, 2, CACHE_HEURISTIC | CACHE_BY_RULE, &at_most},
    {DATE CC("max-age=60"), 302, 2, CACHE_BY_RULE, &between},
    {DATE CC("max-age=400"), 400, 2, 0, &between},
    {DATE CC("max-age=4000"), 602, 2, CACHE_BY_RULE, &between},
    {DATE CC("max-age=4000"), 4000, 2, CACHE_ALWAYS_REVALIDATE | CACHE_BY_RULE,
	&asked},
};

static void
lifetime_and_age(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fresh) / sizeof(*fresh); i++) {
		struct cache_admission out;
		struct arena a;

		arena_init(&a, 1 << 20);
		out = admit("GET", "", 200, fresh[i].lines,
		    fresh[i].policy ? fresh[i].policy : &plain, &a);
		row_check(
		    i, fresh[i].lines, out.meta.lifetime == fresh[i].lifetime);
		row_check(
		    i, fresh[i].lines, out.meta.initial_age == fresh[i].age);
		row_check(i, fresh[i].lines,
		    (out.meta.flags & ~CACHE_CODINGS) == fresh[i].flags);
		row_check(i, fresh[i].lines,
		    out.expires == T + fresh[i].lifetime - fresh[i].age);
		arena_release(&a);
	}
}

/* RFC 9111 3, 3.5, 5.2.2, 7.3 */
static const struct {
	const char *method, *request_lines;
	int status;
	const char *lines;
	bool store;
	const struct cache_policy *policy;
} storing[] = {
    {"GET", "", 200, CC("max-age=60"), true, NULL},
    {"GET", "", 200, ETAG, true, NULL},
    {"GET", "", 200, LM, true, NULL},
    {"GET", "", 200, "", false, NULL},
    {"GET", "", 200, "ETag: unquoted\r\n", false, NULL},
    {"GET", "", 200, CC("max-age=0"), false, NULL},
    {"GET", "", 200, CC("max-age=1") "Age: 5\r\n", false, NULL},
    {"GET", "", 200, CC("max-age=0, stale-while-revalidate=60"), true, NULL},
    {"GET", "", 200, CC("max-age=0, stale-if-error=60"), true, NULL},
    {"GET", "", 200, CC("s-maxage=0, stale-if-error=60"), false, NULL},
    {"GET", "", 200, CC("max-age=0") ETAG, true, NULL},
    {"GET", "", 200, "Expires: 0\r\n" ETAG, true, NULL},
    {"GET", "", 200, CC("no-cache, max-age=60"), false, NULL},
    {"GET", "", 200, CC("no-cache") ETAG, true, NULL},
    /* methods and requests */
    {"HEAD", "", 200, CC("max-age=60"), false, NULL},
    {"POST", "", 200, CC("max-age=60"), false, NULL},
    {"QUERY", "", 200, CC("max-age=60"), false, NULL},
    {"GET", CC("no-store"), 200, CC("max-age=60"), false, NULL},
    {"GET", CC("no-cache"), 200, CC("max-age=60"), true, NULL},
    /* A whole is a whole, whatever was asked for; what is said of the range
     * is not said of it. */
    {"GET", "Range: bytes=0-1\r\n", 200, CC("max-age=60"), true, NULL},
    {"GET", "Range: bytes=0-1\r\n", 206, CC("max-age=60"), false, NULL},
    {"GET", "Range: bytes=0-1\r\n", 404, CC("max-age=60"), false, NULL},
    {"GET", "Range: bytes=0-1\r\n", 416, CC("max-age=60"), false, NULL},
    {"GET", "Range: bytes=0-\r\n", 200, CC("max-age=60"), true, NULL},
    {"GET", "Content-Length: 5\r\n", 200, CC("max-age=60"), false, NULL},
    {"GET", "Content-Length: 0\r\n", 200, CC("max-age=60"), true, NULL},
    {"GET", "If-Match: \"a\"\r\n", 200, CC("max-age=60"), false, NULL},
    /* directives */
    {"GET", "", 200, CC("no-store, max-age=60"), false, NULL},
    {"GET", "", 200, CC("no-store") ETAG, false, NULL},
    {"GET", "", 200, CC("private, max-age=60"), false, NULL},
    {"GET", "", 200, CC("private=\"x\", max-age=60"), true, NULL},
    {"GET", "", 200, CC("no-store, must-understand, max-age=60"), true, NULL},
    {"GET", "", 299, CC("no-store, must-understand, max-age=60"), false, NULL},
    {"GET", "", 299, CC("must-understand, max-age=60"), false, NULL},
    /* statuses */
    {"GET", "", 299, CC("max-age=60"), true, NULL},
    {"GET", "", 599, CC("max-age=60"), true, NULL},
    {"GET", "", 999, CC("max-age=60"), true, NULL},
    {"GET", "", 206, CC("max-age=60"), false, NULL},
    {"GET", "", 304, CC("max-age=60"), false, NULL},
    {"GET", "", 299, LM ETAG, false, NULL},
    {"GET", "", 299, CC("public") LM, true, NULL},
    {"GET", "", 302, LM ETAG, false, NULL},
    {"GET", "", 302, CC("max-age=60"), true, NULL},
    {"GET", "", 301, LM, true, NULL},
    {"GET", "", 308, LM, true, NULL},
    {"GET", "", 404, LM, true, NULL},
    {"GET", "", 404, "", false, NULL},
    {"GET", "", 410, LM, true, NULL},
    {"GET", "", 405, LM, true, NULL},
    {"GET", "", 400, LM, false, NULL},
    {"GET", "", 400, CC("public") LM, true, NULL},
    {"GET", "", 400, CC("max-age=60"), true, NULL},
    {"GET", "", 413, CC("max-age=60"), false, NULL},
    {"GET", "", 431, CC("max-age=60"), false, NULL},
    {"GET", "", 414, LM, true, NULL},
    {"GET", "", 500, CC("public") LM, true, NULL},
    {"GET", "", 500, LM, false, NULL},
    {"GET", "", 501, LM, true, NULL},
    {"GET", "", 503, LM, false, NULL},
    {"GET", "", 503, CC("max-age=60"), true, NULL},
    {"GET", "", 599, LM, false, NULL},
    {"GET", "", 599, CC("public") LM, true, NULL},
    {"GET", "", 404, CC("no-store, must-understand, max-age=60"), true, NULL},
    {"GET", "", 418, CC("no-store, must-understand, max-age=60"), false, NULL},
    {"GET", "", 206, CC("no-store, must-understand, max-age=60"), false, NULL},
    /* an error that the request may have provoked */
    {"GET", "X: \xc3\xa4\r\n", 400, CC("max-age=60"), false, NULL},
    {"GET", "X: a\tb\r\n", 400, CC("max-age=60"), false, NULL},
    {"GET", "X: \xc3\xa4\r\n", 399, CC("max-age=60"), true, NULL},
    {"GET", "X: \xc3\xa4\r\n", 200, CC("max-age=60"), true, NULL},
    {"GET", "X-HTTP-Method-Override: PUT\r\n", 405, CC("max-age=60"), false,
	NULL},
    {"GET", "x-original-url: /b\r\n", 404, CC("max-age=60"), false, NULL},
    {"GET", "x-original-url: /b\r\n", 200, CC("max-age=60"), true, NULL},
    {"GET", "x-original-url: /b\r\n", 200, CC("max-age=60"), false, &forward},
    {"GET", "Content-Type: a/b\r\n", 415, CC("max-age=60"), false, NULL},
    {"GET", "X-Forwarded-For: 10.0.0.1\r\n", 404, CC("max-age=60"), true, NULL},
    /* POST, RFC 9110 9.3.3 */
    {"POST", "Content-Length: 3\r\n", 200,
	CC("max-age=60") "Content-Location: /dir/a?b\r\n", true, NULL},
    {"POST", "", 200, CC("max-age=60") "Content-Location: a?b\r\n", true, NULL},
    {"POST", "", 200, CC("max-age=60") "Content-Location: http://H/dir/a?b\r\n",
	true, NULL},
    {"POST", "", 200, CC("max-age=60") "Content-Location: a\r\n", false, NULL},
    {"POST", "", 200, CC("max-age=60") "Content-Location: //x/dir/a?b\r\n",
	false, NULL},
    {"POST", "", 200,
	CC("max-age=60") "Content-Location: a?b\r\nContent-Location: a?b\r\n",
	false, NULL},
    {"POST", "", 200, LM "Content-Location: a?b\r\n", false, NULL},
    {"POST", "", 201, CC("max-age=60") "Content-Location: a?b\r\n", false,
	NULL},
    {"POST", CC("no-store"), 200, CC("max-age=60") "Content-Location: a?b\r\n",
	false, NULL},
    {"POST", "", 200, CC("private, max-age=60") "Content-Location: a?b\r\n",
	false, NULL},
    {"POST", "", 200, "Content-Location: a?b\r\n", false, &immutable},
    {"PUT", "", 200, CC("max-age=60") "Content-Location: a?b\r\n", false, NULL},
    /* Authorization, 3.5 */
    {"GET", "Authorization: x\r\n", 200, CC("max-age=60"), false, NULL},
    {"GET", "Authorization: x\r\n", 200, CC("max-age=60, proxy-revalidate"),
	false, NULL},
    {"GET", "Authorization: x\r\n", 200, CC("max-age=60, public"), true, NULL},
    {"GET", "Authorization: x\r\n", 200, CC("max-age=60, must-revalidate"),
	true, NULL},
    {"GET", "Authorization: x\r\n", 200, CC("s-maxage=60"), true, NULL},
    {"GET", "Authorization: x\r\n", 200, LM, false, &immutable},
    /* cookies, 7.3 */
    {"GET", "Cookie: a=b\r\n", 200, CC("max-age=60"), true, NULL},
    {"GET", "", 200, LM "Set-Cookie: a=b\r\n", false, NULL},
    {"GET", "", 200, ETAG "Set-Cookie: a=b\r\n", false, NULL},
    {"GET", "", 200, CC("max-age=60") "Set-Cookie: a=b\r\n", true, NULL},
    {"GET", "", 200, CC("public") LM "Set-Cookie: a=b\r\n", true, NULL},
    {"GET", "", 200, "Expires: " IN_HOUR "\r\nSet-Cookie: a=b\r\n", true, NULL},
    {"GET", "", 200, LM "Set-Cookie: a=b\r\n", false, &immutable},
    {"GET", "", 200, "Set-Cookie: a=b\r\n", false, &immutable},
    {"GET", "", 200, CC("max-age=0") "Set-Cookie: a=b\r\n", false, &immutable},
    {"GET", "", 200, CC("no-cache, max-age=9") "Set-Cookie: a=b\r\n", false,
	&immutable},
    {"GET", "", 200, CC("max-age=60") "Set-Cookie: a=b\r\n", true, &immutable},
    {"GET", "", 200, CC("public") "Set-Cookie: a=b\r\n", true, &immutable},
    {"GET", "", 200, CC("max-age=60, public") "Set-Cookie: a=b\r\n", false,
	&strict},
    {"GET", "Cookie: a=b\r\n", 200, CC("max-age=60"), false, &strict},
    {"GET", "", 200, CC("max-age=60"), true, &strict},
    {"GET", "", 200, CC("no-cache=\"Set-Cookie\"") LM "Set-Cookie: a=b\r\n",
	true, NULL},
    /* Vary, 4.1 */
    {"GET", "", 200, CC("max-age=60") "Vary: *\r\n", false, NULL},
    {"GET", "", 200, CC("max-age=60") "Vary: a, *\r\n", false, NULL},
    {"GET", "", 200, CC("max-age=60") "Vary: a\r\nVary: *\r\n", false, NULL},
    {"GET", "", 200, CC("max-age=60") "Vary: a b\r\n", false, NULL},
    {"GET", "", 200, CC("max-age=60") "Vary: a, b\r\n", true, NULL},
    {"GET", "", 200, CC("max-age=60") "Vary: *a\r\n", true, NULL},
    /* the admin's rule */
    {"GET", "", 200, "", true, &immutable},
    {"GET", "", 404, "", false, &immutable},
    {"GET", "", 200, CC("no-store"), false, &immutable},
    {"GET", "", 200, CC("private"), false, &immutable},
    {"GET", "", 206, "", false, &immutable},
    {"GET", "", 200, "", true, &at_least},
    {"GET", "", 404, "", false, &at_least},
    {"GET", "", 200, CC("max-age=0"), true, &at_least},
    {"GET", "", 200, CC("no-store"), false, &at_least},
    {"GET", "", 200, CC("private"), false, &at_least},
    {"GET", "Authorization: a\r\n", 200, CC("max-age=60"), false, &at_least},
    {"GET", "", 200, "Set-Cookie: a=b\r\n", false, &at_least},
    {"GET", "", 200, CC("max-age=60"), false, &asked},
    {"GET", "", 200, CC("max-age=60") ETAG, true, &asked},
    {"GET", "", 200, CC("no-store") ETAG, false, &asked},
    {"GET", "", 200, CC("max-age=60"), false, &never},
    {"GET", "", 200, CC("max-age=60"), true, &queryless},
    {"GET", "", 404, CC("max-age=60"), false, &queryless},
    {"GET", "", 301, CC("max-age=60"), false, &queryless},
    {"GET", "", 200, CC("private"), false, &queryless},
    /* force says which, and no other */
    {"GET", "", 200, CC("no-store"), true, &no_store},
    {"GET", "", 200, CC("private"), false, &no_store},
    {"GET", "", 200, CC("private"), true, &private},
    {"GET", "", 200, CC("private, no-store"), false, &private},
    {"GET", "Authorization: a\r\n", 200, CC("max-age=60"), true,
	&authorization},
    {"GET", "Authorization: a\r\n", 200, CC("private"), false, &authorization},
    {"GET", "Authorization: a\r\n", 200, CC("max-age=60"), false, &private},
    {"GET", CC("no-store"), 200, CC("max-age=60"), false, &no_store},
    /* RFC 9213 */
    {"GET", "", 200, CC("no-store") "CDN-Cache-Control: max-age=9\r\n", true,
	&targeted},
    {"GET", "", 200, CC("no-store") "CDN-Cache-Control: max-age=9,\r\n", false,
	&targeted},
    {"GET", "", 200, CC("max-age=9") "CDN-Cache-Control: no-store\r\n", false,
	&targeted},
    {"GET", "", 200, CC("max-age=9") "CDN-Cache-Control: no-store\r\n", true,
	NULL},
};

static void
what_may_be_stored(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(storing) / sizeof(*storing); i++) {
		struct cache_admission out;
		struct arena a;

		arena_init(&a, 1 << 20);
		out = admit(storing[i].method, storing[i].request_lines,
		    storing[i].status, storing[i].lines,
		    storing[i].policy ? storing[i].policy : &plain, &a);
		if (out.store != storing[i].store)
			fail_msg("row %zu: %d %s%s-> %s", i, storing[i].status,
			    storing[i].request_lines, storing[i].lines,
			    out.why_not ? out.why_not : "stored");
		arena_release(&a);
	}
}

static void
validators_are_kept_if_valid(void **state)
{
	struct cache_admission out;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	out = admit("GET", "", 200, ETAG LM, &plain, &a);
	assert_true(bytes_eq(out.meta.etag, BYTES("\"a\"")));
	assert_int_equal(out.meta.last_modified, T - 86400);
	assert_true(bytes_eq(out.meta.last_modified_text, BYTES(DAY_AGO)));
	assert_int_equal(out.meta.status, 200);
	assert_int_equal(out.meta.date, T);
	out =
	    admit("GET", "", 200, ETAG ETAG "Last-Modified: 0\r\n", &plain, &a);
	assert_int_equal(out.meta.etag.n, 0);
	assert_int_equal(out.meta.last_modified, HTTP_DATE_INVALID);
	out =
	    admit("GET", "Authorization: x\r\n", 200, CC("public"), &plain, &a);
	assert_true(out.meta.flags & CACHE_WAS_AUTHORIZED);
	arena_release(&a);
}

/* RFC 9111 3.1, 5.2.2.4, 5.2.2.7; RFC 9110 6.6.1, 7.6.1 */
static void
stored_forms(void **state)
{
	static const struct {
		const char *lines, *form; /* behind the status line */
	} rows[] = {
	    {DATE "x-B: 1\r\nX-a: 2\r\nX-B: 3\r\n",
		DATE "x-B: 1\r\nX-a: 2\r\nX-B: 3\r\n"},
	    {"X:  y \r\n", "X: y\r\n" DATE},
	    {DATE "Content-Length: 5\r\nAge: 7\r\nConnection: close, x\r\n"
		  "X: y\r\nKeep-Alive: 5\r\nZ:\r\n",
		DATE "Z: \r\n"},
	    {DATE "Transfer-Encoding: chunked\r\nTrailer: a\r\n", DATE},
	    {DATE CC("private=\"a\", no-cache=\"b, c\"") "A: 1\r\nB: 2\r\n"
							 "c: 3\r\nD: 4\r\n",
		DATE CC("private=\"a\", no-cache=\"b, c\"") "D: 4\r\n"},
	    {DATE "Connection: cache-control\r\n" CC("max-age=5"),
		DATE CC("max-age=5")},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h = test_response(&a, 200, rows[i].lines);
		struct bytes form = cache_head_form(&h, true, T, &a);
		struct bytes want =
		    arena_printf(&a, "HTTP/1.1 200 x\r\n%s", rows[i].form);
		struct http_head again;

		row_check(i, rows[i].lines, bytes_eq(form, want));
		assert_int_equal(cache_head_parse(form, &a, &again), 0);
		assert_int_equal(again.status, 200);
		row_check(i, rows[i].lines,
		    bytes_eq(cache_head_form(&again, true, T, &a), want));
	}
	/* Towards the client who asked, nothing is left out. */
	{
		struct http_head h =
		    test_response(&a, 200, DATE CC("private=\"a\"") "A: 1\r\n");
		struct bytes form = cache_head_form(&h, false, T, &a);

		assert_true(bytes_eq(form, BYTES("HTTP/1.1 200 x\r\n" DATE CC(
					       "private=\"a\"") "A: 1\r\n")));
	}
	arena_release(&a);
}

static void
damaged_forms_are_told(void **state)
{
	static const struct bytes bad[] = {
	    B(""),
	    B("HTTP/1.1 200 OK"),
	    B("HTTP/1.1 200 OK\n"),
	    B("HTTP/1.0 200 OK\r\n"),
	    B("HTTP/1.1 2x0 OK\r\n"),
	    B("HTTP/1.1 099 OK\r\n"),
	    B("HTTP/1.1 200 OK\r\nX"),
	    B("HTTP/1.1 200 OK\r\nX: y\r\n\r\n"),
	    B("HTTP/1.1 200 OK\r\nX: \0\r\n"),
	};
	struct http_head h;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		row_check(i, bad[i].p,
		    cache_head_parse(bad[i], &a, &h) == LARDER_DAMAGED);
	arena_release(&a);
	arena_init(&a, 8);
	assert_int_equal(
	    cache_head_parse(BYTES("HTTP/1.1 200 OK\r\nX: y\r\n"), &a, &h),
	    LARDER_NOMEM);
	arena_release(&a);
}

/* RFC 9110 15.4.5 */
static void
not_modified_has_what_it_must(void **state)
{
	struct http_head h;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	h = test_response(&a, 200,
	    DATE ETAG LM CC(
		"max-age=5") "Content-Type: a/b\r\nContent-Location: "
			     "/x\r\nVary: a\r\n"
			     "Expires: 0\r\nX: y\r\n");
	assert_true(bytes_eq(cache_head_not_modified(&h, &a),
	    BYTES("HTTP/1.1 304 Not Modified\r\n" DATE ETAG CC(
		"max-age=5") "Content-Location: /x\r\nVary: a\r\nExpires: "
			     "0\r\n")));
	h = test_response(&a, 200, DATE LM);
	assert_true(bytes_eq(cache_head_not_modified(&h, &a),
	    BYTES("HTTP/1.1 304 Not Modified\r\n" DATE LM)));
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lifetime_and_age),
	    cmocka_unit_test(what_may_be_stored),
	    cmocka_unit_test(validators_are_kept_if_valid),
	    cmocka_unit_test(stored_forms),
	    cmocka_unit_test(damaged_forms_are_told),
	    cmocka_unit_test(not_modified_has_what_it_must),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
