#include "../http/parse.h"

#include "cache/validate.h"
#include "http/date.h"

#define NG    CACHE_NOT_GIVEN
#define T     INT64_C(784111777)
#define DATE  "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define LM    "Sat, 05 Nov 1994 08:49:37 GMT"
#define OLDER "Fri, 04 Nov 1994 08:49:37 GMT"
#define CC(v) "Cache-Control: " v "\r\n"

static const struct cache_policy policy = {
    .stale_if_error = 86400, .heuristic_percent = 10, .heuristic_max = 604800};

/* tag "" and modified 0: none. */
static struct cache_stored
stored_with(const char *tag, int days, int64_t date)
{
	struct cache_stored s = {.variant = {"", 0}, .body_size = 5};

	s.meta = (struct cache_meta){.status = 200,
	    .response_time = T,
	    .date = date,
	    .stale_while_revalidate = NG,
	    .stale_if_error = NG,
	    .last_modified = days ? T - days * 86400 : HTTP_DATE_INVALID,
	    .etag = bytes_str(tag),
	    .last_modified_text = bytes_str(days == 1	? LM
					    : days == 2 ? OLDER
							: "")};
	return s;
}

/* RFC 9111 4.3.1, RFC 9110 13.1 */
static void
conditions_name_all_tags(void **state)
{
	static const struct {
		const char *tags[3];
		int days[3];
		int chosen;
		const char *lines;
	} rows[] = {
	    {{"\"a\"", NULL}, {0}, 0, "If-None-Match: \"a\"\r\n"},
	    {{"W/\"a\"", NULL}, {1}, 0,
		"If-None-Match: W/\"a\"\r\nIf-Modified-Since: " LM "\r\n"},
	    {{"", NULL}, {2}, 0, "If-Modified-Since: " OLDER "\r\n"},
	    {{"", NULL}, {0}, 0, ""},
	    {{"\"a\"", "\"b\"", "\"c\""}, {1, 2, 0}, 1,
		"If-None-Match: \"b\", \"a\", "
		"\"c\"\r\nIf-Modified-Since: " OLDER "\r\n"},
	    {{"\"a\"", "\"a\"", "\"a\""}, {0}, 2, "If-None-Match: \"a\"\r\n"},
	    {{"\"b\"", "\"a\"", "\"b\""}, {0}, 1,
		"If-None-Match: \"a\", \"b\"\r\n"},
	    {{"\"a\"", "\"b\"", NULL}, {1, 1}, -1,
		"If-None-Match: \"a\", \"b\"\r\n"},
	    {{"", "\"b\"", NULL}, {1, 1}, 0,
		"If-None-Match: \"b\"\r\nIf-Modified-Since: " LM "\r\n"},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_stored s[3];
		struct http_out out;
		unsigned n = 0;
		bool any;

		for (; n < 3 && rows[i].tags[n]; n++)
			s[n] = stored_with(rows[i].tags[n], rows[i].days[n], T);
		http_out_init(&out, &a, 16);
		any = cache_conditions(&out, s, n, rows[i].chosen);
		row_check(i, rows[i].lines,
		    bytes_eq(http_out_done(&out), bytes_str(rows[i].lines)));
		row_check(i, rows[i].lines, any == (*rows[i].lines != '\0'));
	}
	arena_release(&a);
}

/* RFC 9111 4.3.4 */
static void
a_304_selects(void **state)
{
	static const struct {
		const char *lines;
		struct {
			const char *tag;
			int days;
			int date;
		} stored[3];
		int chosen, selected;
	} rows[] = {
#define E(v) "ETag: " v "\r\n"
#define L(v) "Last-Modified: " v "\r\n"
	    /* strong */
	    {E("\"a\""), {{"\"a\"", 0, 0}}, 0, 0},
	    {E("\"b\""), {{"\"a\"", 0, 0}}, 0, -1},
	    {E("\"a\""), {{"W/\"a\"", 0, 0}}, 0, -1},
	    {E("\"b\""), {{"\"a\"", 0, 0}, {"\"b\"", 0, 0}}, 0, 1},
	    {E("\"b\"") L(LM), {{"\"a\"", 1, 0}}, 0, -1},
	    {E("\"a\""), {{"", 1, 0}}, 0, -1},
	    /* weak: the newest that fits, the chosen one first */
	    {E("W/\"a\""), {{"W/\"a\"", 0, 0}}, 0, 0},
	    {E("W/\"a\""), {{"\"a\"", 0, 0}}, 0, 0},
	    {E("W/\"a\""), {{"\"b\"", 0, 0}}, 0, -1},
	    {E("W/\"a\""),
		{{"W/\"x\"", 0, 9}, {"W/\"a\"", 0, 1}, {"W/\"a\"", 0, 2}}, 0,
		2},
	    {L(LM), {{"", 1, 0}}, 0, 0},
	    {L(LM), {{"\"a\"", 1, 0}}, 0, 0},
	    {L(OLDER), {{"", 1, 0}}, 0, -1},
	    {L(OLDER), {{"", 1, 0}, {"", 2, 0}}, 0, 1},
	    {L("x"), {{"", 1, 0}}, 0, -1},
	    /* none */
	    {"", {{"", 1, 0}}, 0, 0},
	    {"", {{"\"a\"", 0, 0}}, 0, 0},
	    {"", {{"", 1, 0}, {"", 2, 0}}, 1, 1},
	    {"", {{"\"a\"", 0, 0}, {"\"b\"", 0, 0}}, 1, -1},
	    {"", {{"\"a\"", 0, 0}, {"", 1, 0}}, 0, 0},
	    {"", {{"\"a\"", 0, 0}, {"", 1, 0}}, 1, -1},
	    /* nonsense */
	    {E("a"), {{"\"a\"", 0, 0}}, 0, -1},
	    {E("\"a\"") E("\"a\""), {{"\"a\"", 0, 0}}, 0, -1},
	    {E(""), {{"\"a\"", 0, 0}}, 0, -1},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h = test_response(&a, 304, rows[i].lines);
		struct cache_stored s[3];
		unsigned n = 0;

		for (; n < 3 && rows[i].stored[n].tag; n++)
			s[n] = stored_with(rows[i].stored[n].tag,
			    rows[i].stored[n].days, T + rows[i].stored[n].date);
		row_check(i, rows[i].lines,
		    cache_select_304(&h, s, n, rows[i].chosen) ==
			rows[i].selected);
	}
	arena_release(&a);
}

/* RFC 9111 3.2, 4.3.4: a stored form, a 304's fields, what comes of it. */
static const struct {
	const char *stored, *update, *merged;
	int flags; /* of what is stored */
	bool keep;
	int64_t lifetime, age;
} merges[] = {
    {DATE "ETag: \"a\"\r\nX: 1\r\nX: 2\r\nY: 3\r\n" CC("max-age=5"),
	DATE "x: 9\r\n" CC("max-age=50"),
	"ETag: \"a\"\r\nY: 3\r\n" DATE "x: 9\r\n" CC("max-age=50"), 0, true, 50,
	2},
    /* what describes the bytes as they are stored stays */
    {DATE "ETag: \"a\"\r\nContent-Encoding: gzip\r\nContent-Type: a/b\r\n",
	DATE "Content-Encoding: br\r\nContent-Length: 9\r\n"
	     "Content-Range: bytes 0-1/2\r\nContent-Type: c/d\r\n"
	     "Transfer-Encoding: chunked\r\n",
	"ETag: \"a\"\r\nContent-Encoding: gzip\r\n" DATE
	"Content-Type: c/d\r\n",
	0, true, 0, 2},
    /* hop-by-hop fields, and those named so, are not merged */
    {DATE "ETag: \"a\"\r\nX: 1\r\n",
	DATE "Connection: close, x\r\nX: 2\r\nKeep-Alive: 1\r\n",
	"ETag: \"a\"\r\nX: 1\r\n" DATE, 0, true, 0, 2},
    /* a weak tag does not take a strong one's place; a strong one does */
    {DATE "ETag: \"a\"\r\n", DATE "ETag: W/\"a\"\r\n", "ETag: \"a\"\r\n" DATE,
	0, true, 0, 2},
    {DATE "ETag: W/\"a\"\r\n", DATE "ETag: W/\"b\"\r\n",
	DATE "ETag: W/\"b\"\r\n", 0, true, 0, 2},
    /* Age is the 304's; so is Date, or the time it came */
    {DATE "ETag: \"a\"\r\n", DATE "Age: 7\r\n" CC("max-age=50"),
	"ETag: \"a\"\r\n" DATE CC("max-age=50"), 0, true, 50, 9},
    {"Date: " LM "\r\nETag: \"a\"\r\n" CC("max-age=50"), "",
	"ETag: \"a\"\r\n" CC("max-age=50") DATE, 0, true, 50, 2},
    /* Expires goes by the new Date */
    {"Date: " LM "\r\nETag: \"a\"\r\nExpires: 0\r\n",
	DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT\r\n",
	"ETag: \"a\"\r\n" DATE "Expires: Sun, 06 Nov 1994 08:50:37 GMT\r\n", 0,
	true, 60, 2},
    /* what the update forbids to keep */
    {DATE "ETag: \"a\"\r\n" CC("max-age=5"), DATE CC("no-store"),
	"ETag: \"a\"\r\n" DATE CC("no-store"), 0, false, 0, 2},
    {DATE "ETag: \"a\"\r\n" CC("max-age=5"), DATE CC("private"),
	"ETag: \"a\"\r\n" DATE CC("private"), 0, false, 0, 2},
    {DATE "ETag: \"a\"\r\n" CC("public"), DATE CC("max-age=5"),
	"ETag: \"a\"\r\n" DATE CC("max-age=5"), CACHE_WAS_AUTHORIZED, false, 5,
	2},
    {DATE "ETag: \"a\"\r\n" CC("public"), DATE,
	"ETag: \"a\"\r\n" CC("public") DATE, CACHE_WAS_AUTHORIZED, true, 0, 2},
    /* private fields of the update are not stored either */
    {DATE "ETag: \"a\"\r\nX: 1\r\n", DATE CC("private=\"x\"") "X: 2\r\n",
	"ETag: \"a\"\r\n" DATE CC("private=\"x\""), 0, true, 0, 2},
};

static void
a_304_freshens(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(merges) / sizeof(*merges); i++) {
		struct cache_stored s = stored_with("\"a\"", 0, T - 1000);
		struct cache_admission out;
		struct cache_request r;
		struct http_head q, update;
		struct bytes form, want, old;
		struct arena a;

		arena_init(&a, 1 << 16);
		s.meta.flags = (uint16_t)merges[i].flags;
		q = test_request(&a, "GET", "");
		cache_request_init(&r, &q);
		update = test_response(&a, 304, merges[i].update);
		old =
		    arena_printf(&a, "HTTP/1.1 203 y\r\n%s", merges[i].stored);
		assert_int_equal(cache_freshen(&r, old, &s, &update, T - 2, T,
				     &policy, &a, &form, &out),
		    0);
		want =
		    arena_printf(&a, "HTTP/1.1 203 y\r\n%s", merges[i].merged);
		if (!bytes_eq(form, want))
			fail_msg("row %zu: %.*s", i, BYTES_FMT(form));
		row_check(i, merges[i].update, out.store == merges[i].keep);
		row_check(i, merges[i].update,
		    out.meta.lifetime == merges[i].lifetime);
		row_check(
		    i, merges[i].update, out.meta.initial_age == merges[i].age);
		assert_int_equal(out.meta.status, 203);
		arena_release(&a);
	}
}

/* A stored response is only kept where the requests that it was stored for
 * find it (RFC 9111 4.1). */
static void
a_304_may_change_vary(void **state)
{
	static const struct {
		const char *stored, *update, *variant;
		const char *now; /* NULL: it goes */
	} rows[] = {
	    {"Vary: X\r\n", "", "x:1\n", "x:1\n"},
	    {"Vary: X\r\n", "Vary: x\r\n", "x:1\n", "x:1\n"},
	    {"Vary: X\r\n", "Vary: x\r\n", "x:2\n", "x:2\n"},
	    {"Vary: X, B\r\n", "Vary: b\r\nVary: X\r\n", "b\nx:1\n",
		"b\nx:1\n"},
	    {"Vary: X\r\n", "Vary: Y\r\n", "x:2\n", "y:3\n"},
	    {"Vary: X\r\n", "Vary: X, Y\r\n", "x:2\n", "x:2\ny:3\n"},
	    {"Vary: X, Y\r\n", "Vary: X\r\n", "x:2\ny:3\n", "x:2\n"},
	    {"", "Vary: X\r\n", "", "x:2\n"},
	    {"Vary: X\r\n", "Vary:\r\n", "x:2\n", ""},
	    {"Vary: X\r\n", "Vary: *\r\n", "x:2\n", NULL},
	    {"Vary: X\r\n", "Vary: Y\r\n", "x:1\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_stored s = stored_with("\"a\"", 0, T - 1000);
		struct cache_admission out;
		struct cache_request r;
		struct http_head q, update;
		struct bytes form, old;
		struct arena a;

		arena_init(&a, 1 << 16);
		s.variant = bytes_str(rows[i].variant);
		/* Whose 304 it is may be another variant's request. */
		q = test_request(&a, "GET", "X: 2\r\nY: 3\r\n");
		cache_request_init(&r, &q);
		update = test_response(&a, 304, rows[i].update);
		old = arena_printf(
		    &a, "HTTP/1.1 200 y\r\nETag: \"a\"\r\n%s", rows[i].stored);
		assert_int_equal(cache_freshen(&r, old, &s, &update, T - 2, T,
				     &policy, &a, &form, &out),
		    0);
		row_check(
		    i, rows[i].update, out.store == (rows[i].now != NULL));
		row_check(i, rows[i].update,
		    bytes_eq(out.variant,
			rows[i].now ? bytes_str(rows[i].now) : s.variant));
		arena_release(&a);
	}
}

static void
damage_and_want_of_memory_are_told(void **state)
{
	struct cache_stored s = stored_with("\"a\"", 0, T);
	struct cache_admission out;
	struct cache_request r;
	struct http_head q, update;
	struct bytes form;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 12);
	q = test_request(&a, "GET", "");
	cache_request_init(&r, &q);
	update = test_response(&a, 304, DATE);
	assert_int_equal(cache_freshen(&r, BYTES("HTTP/1.1 2"), &s, &update, T,
			     T, &policy, &a, &form, &out),
	    LARDER_DAMAGED);
	for (size_t room = 0; room < 400; room += 16) {
		int err;

		a.limit = a.used + room;
		err = cache_freshen(&r,
		    BYTES("HTTP/1.1 200 OK\r\nETag: \"a\"\r\n"), &s, &update, T,
		    T, &policy, &a, &form, &out);
		assert_true(err == LARDER_NOMEM || (room > 100 && err == 0));
		assert_true(err == 0 || form.p == NULL);
	}
	arena_release(&a);
}

/* RFC 9111 4.3.5 */
static void
a_head_agrees_or_not(void **state)
{
	static const struct {
		const char *lines;
		bool agrees;
	} rows[] = {
	    {"", true},
	    {"Content-Length: 5\r\n", true},
	    {"Content-Length: 6\r\n", false},
	    {"ETag: \"a\"\r\n", true},
	    {"ETag: W/\"a\"\r\n", true},
	    {"ETag: \"b\"\r\n", false},
	    {"Last-Modified: " LM "\r\n", true},
	    {"Last-Modified: " OLDER "\r\n", false},
	    {"ETag: \"a\"\r\nContent-Length: 6\r\n", false},
	    {"ETag: a\r\n", false},
	    {"Last-Modified: yesterday\r\n", false},
	};
	/* A validator that is new says that the representation may be. */
	static const struct {
		const char *lines;
		bool agrees;
	} bare[] = {
	    {"", true},
	    {"ETag: \"a\"\r\n", false},
	    {"Last-Modified: " LM "\r\n", false},
	    {"ETag: a\r\n", true},
	    {"Last-Modified: yesterday\r\n", true},
	};
	struct cache_stored s = stored_with("\"a\"", 1, T);
	struct http_head bare_head;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head h = test_response(&a, 200, rows[i].lines);

		row_check(i, rows[i].lines,
		    cache_head_agrees(&h, &s) == rows[i].agrees);
	}
	/* Nor does it freshen what is stored of another status. */
	s.meta.status = 404;
	bare_head = test_response(&a, 200, "");
	assert_false(cache_head_agrees(&bare_head, &s));
	s.meta.status = 200;
	s.meta.etag = BYTES("");
	s.meta.last_modified = HTTP_DATE_INVALID;
	for (size_t i = 0; i < sizeof(bare) / sizeof(*bare); i++) {
		struct http_head h = test_response(&a, 200, bare[i].lines);

		row_check(i, bare[i].lines,
		    cache_head_agrees(&h, &s) == bare[i].agrees);
	}
	arena_release(&a);
}

/* RFC 9111 4.4 */
static void
unsafe_methods_invalidate(void **state)
{
	static const struct {
		const char *method;
		int status;
		bool invalidates;
	} rows[] = {
	    {"POST", 200, true},
	    {"PUT", 204, true},
	    {"DELETE", 200, true},
	    {"PATCH", 200, true},
	    {"PURGE", 200, true},
	    {"M-SEARCH", 303, true},
	    {"POST", 301, true},
	    {"POST", 399, true},
	    {"POST", 400, false},
	    {"DELETE", 404, false},
	    {"PUT", 500, false},
	    {"PUT", 100, false},
	    {"GET", 200, false},
	    {"HEAD", 200, false},
	    {"OPTIONS", 200, false},
	    {"TRACE", 200, false},
	    {"CONNECT", 200, false},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head q = test_request(&a, rows[i].method, "");
		struct http_head p = test_response(&a, rows[i].status, "");

		row_check(i, rows[i].method,
		    cache_invalidates(&q, &p) == rows[i].invalidates);
	}
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(conditions_name_all_tags),
	    cmocka_unit_test(a_304_selects),
	    cmocka_unit_test(a_304_freshens),
	    cmocka_unit_test(a_304_may_change_vary),
	    cmocka_unit_test(damage_and_want_of_memory_are_told),
	    cmocka_unit_test(a_head_agrees_or_not),
	    cmocka_unit_test(unsafe_methods_invalidate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
