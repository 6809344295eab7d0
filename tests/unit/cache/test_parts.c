#include "../http/parse.h"

#include <string.h>

#include "cache/decide.h"
#include "cache/parts.h"
#include "http/date.h"

#define NOW INT64_C(1700000000)
#define BIG (UINT64_C(1) << 62)

/* A part of a representation of 1000 bytes with the tag "a". */
static struct cache_stored
part(uint64_t from, uint64_t to)
{
	struct cache_stored s = {.variant = {"", 0}, .body_size = 1000};

	s.meta = (struct cache_meta){.status = 200,
	    .request_time = NOW - 20,
	    .response_time = NOW - 20,
	    .date = NOW - 20,
	    .lifetime = 60,
	    .stale_while_revalidate = CACHE_NOT_GIVEN,
	    .stale_if_error = CACHE_NOT_GIVEN,
	    .last_modified = HTTP_DATE_INVALID,
	    .etag = BYTES("\"a\""),
	    .part = {from, to, 1000}};
	return s;
}

struct extent {
	uint64_t from, to;
};

struct want {
	uint64_t from, to;
	int at;
};

static const struct {
	const char *name;
	struct extent parts[8];
	uint64_t from, to;
	unsigned count, gaps;
	struct want pieces[5];
} covers[] = {
    {"all of one", {{100, 200}}, 100, 200, 1, 0, {{100, 200, 0}}},
    {"inside of one", {{100, 200}}, 150, 160, 1, 0, {{150, 160, 0}}},
    {"behind it", {{100, 200}}, 200, 300, 1, 1, {{200, 300, -1}}},
    {"before it", {{100, 200}}, 0, 100, 1, 1, {{0, 100, -1}}},
    {"around it", {{100, 200}}, 0, 1000, 3, 2,
	{{0, 100, -1}, {100, 200, 0}, {200, 1000, -1}}},
    {"adjacent", {{100, 200}, {200, 300}}, 150, 250, 2, 0,
	{{150, 200, 0}, {200, 250, 1}}},
    {"overlapping: the longest first", {{100, 150}, {100, 200}, {140, 300}},
	100, 300, 2, 0, {{100, 200, 1}, {200, 300, 2}}},
    {"one byte short", {{100, 200}, {201, 300}}, 100, 300, 3, 1,
	{{100, 200, 0}, {200, 201, -1}, {201, 300, 1}}},
    {"in any order", {{500, 1000}, {0, 300}, {200, 500}}, 0, 1000, 3, 0,
	{{0, 300, 1}, {300, 500, 2}, {500, 1000, 0}}},
    {"nothing wanted", {{0, 10}}, 5, 5, 0, 0, {{0, 0, 0}}},
    {"four gaps are four", {{10, 20}, {30, 40}, {50, 60}}, 0, 70, 7, 4,
	{{0, 10, -1}, {10, 20, 0}, {20, 30, -1}, {30, 40, 1}, {40, 50, -1}}},
    {"five gaps are one", {{10, 20}, {30, 40}, {50, 60}, {70, 80}}, 0, 90, 1, 1,
	{{0, 90, -1}}},
    {"and what lies around stays",
	{{0, 10}, {20, 30}, {40, 50}, {60, 70}, {80, 90}, {100, 110},
	    {120, 130}},
	0, 130, 3, 1, {{0, 10, 0}, {10, 120, -1}, {120, 130, 6}}},
};

static void
covers_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(covers) / sizeof(*covers); i++) {
		struct cache_stored stored[8];
		struct cache_cover out;
		unsigned n = 0;

		for (; n < 8 && covers[i].parts[n].to > 0; n++)
			stored[n] = part(
			    covers[i].parts[n].from, covers[i].parts[n].to);
		cache_cover(stored, n, 0, covers[i].from, covers[i].to, &out);
		row_check(i, covers[i].name, out.count == covers[i].count);
		row_check(i, covers[i].name, out.gaps == covers[i].gaps);
		for (unsigned k = 0; k < out.count && k < 5; k++) {
			const struct want *w = &covers[i].pieces[k];

			row_check(
			    i, covers[i].name, out.pieces[k].from == w->from);
			row_check(i, covers[i].name, out.pieces[k].to == w->to);
			row_check(i, covers[i].name, out.pieces[k].at == w->at);
		}
	}
}

/* The candidate [500, 1000) beside [0, 500), which is chosen. */
static bool
is_joined(const struct cache_stored *other)
{
	struct cache_stored stored[2] = {part(0, 500), *other};
	struct cache_cover out;

	cache_cover(stored, 2, 0, 0, 1000, &out);
	return out.gaps == 0;
}

/* RFC 9111 3.4 */
static void
only_the_same_is_joined(void **state)
{
	struct cache_stored s = part(500, 1000);

	(void)state;
	assert_true(is_joined(&s));
	s.meta.date -= 1000;
	assert_true(is_joined(&s));
	s.meta.etag = BYTES("\"b\"");
	assert_false(is_joined(&s));
	s.meta.etag = BYTES("W/\"a\"");
	assert_false(is_joined(&s));
	s.meta.etag = BYTES("");
	assert_false(is_joined(&s));
	s.meta.last_modified = NOW - 5000;
	assert_false(is_joined(&s));
	s = part(500, 1000);
	s.body_size = s.meta.part.complete = 1001;
	assert_false(is_joined(&s));
	s = part(500, 1000);
	s.variant = BYTES("accept\n");
	assert_false(is_joined(&s));
	s = part(500, 1000);
	s.meta.status = 203;
	assert_false(is_joined(&s));
	/* A whole one is all of it. */
	s = part(0, 0);
	s.meta.part = (struct cache_extent){0};
	assert_true(is_joined(&s));
	s.body_size = 999;
	assert_false(is_joined(&s));
}

/* RFC 9110 8.8.2.2 */
static void
dates_are_strong_if_they_lie_back(void **state)
{
	struct cache_stored a = part(0, 500), b = part(500, 1000);

	(void)state;
	a.meta.etag = b.meta.etag = BYTES("");
	a.meta.last_modified = b.meta.last_modified = NOW - 21;
	assert_true(cache_same_representation(&a.meta, 1000, &b.meta, 1000));
	a.meta.last_modified = b.meta.last_modified = NOW - 20;
	assert_false(cache_is_strong(&a.meta));
	assert_false(cache_same_representation(&a.meta, 1000, &b.meta, 1000));
	a.meta.etag = BYTES("\"a\"");
	assert_true(cache_is_strong(&a.meta));
	a.meta.etag = BYTES("W/\"a\"");
	a.meta.last_modified = NOW - 1000;
	assert_false(cache_is_strong(&a.meta));
}

static void
lengths_reach_far(void **state)
{
	struct cache_stored s[2] = {part(0, 0), part(0, 0)};
	struct cache_cover out;

	(void)state;
	s[0].body_size = s[1].body_size = INT64_MAX;
	s[0].meta.part = (struct cache_extent){0, BIG, INT64_MAX};
	s[1].meta.part = (struct cache_extent){BIG + 1, INT64_MAX, INT64_MAX};
	cache_cover(s, 2, 0, 0, INT64_MAX, &out);
	assert_int_equal(out.count, 3);
	assert_int_equal(out.pieces[1].from, BIG);
	assert_int_equal(out.pieces[1].to, BIG + 1);
	assert_int_equal(out.pieces[1].at, -1);
	assert_int_equal(out.pieces[2].to, INT64_MAX);
}

static void
many_candidates_are_bounded(void **state)
{
	struct cache_stored s[40];
	struct cache_cover out;

	(void)state;
	for (unsigned i = 0; i < 40; i++)
		s[i] = part(20 * i, 20 * i + 10);
	cache_cover(s, 40, 0, 0, 1000, &out);
	assert_int_equal(out.gaps, 1);
	assert_int_equal(out.count, 2);
	assert_int_equal(out.pieces[0].to, 10);
}

/* Which ones are made one on disk, beside the first. */
static void
small_neighbours_are_joined(void **state)
{
	static const struct {
		struct extent parts[5];
		bool any;
		struct extent all;
	} rows[] = {
	    {{{100, 200}}, false, {100, 200}},
	    {{{100, 200}, {200, 300}}, true, {100, 300}},
	    {{{100, 200}, {0, 100}}, true, {0, 200}},
	    {{{100, 200}, {150, 300}}, true, {100, 300}},
	    {{{100, 200}, {201, 300}}, false, {100, 200}},
	    {{{100, 200}, {120, 180}}, false, {100, 200}},
	    {{{100, 200}, {200, 401}}, true, {100, 401}},
	    {{{100, 200}, {200, 402}}, false, {100, 200}},
	    /* what was too large, or too far, is not any more */
	    {{{100, 200}, {300, 800}, {200, 300}}, true, {100, 300}},
	    {{{100, 200}, {300, 700}, {200, 300}}, true, {100, 700}},
	    {{{500, 600}, {400, 500}, {300, 400}, {600, 1000}, {0, 300}}, true,
		{0, 1000}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_stored stored[5];
		struct http_range out;
		unsigned n = 0;

		for (; n < 5 && rows[i].parts[n].to > 0; n++)
			stored[n] =
			    part(rows[i].parts[n].from, rows[i].parts[n].to);
		row_check(i, "neighbours",
		    cache_neighbours(stored, n, 0, &out) == rows[i].any);
		row_check(i, "neighbours", out.from == rows[i].all.from);
		row_check(i, "neighbours", out.to == rows[i].all.to);
	}
}

/* RFC 9111 3.3: what is asked for, and what came. */
static const struct {
	const char *asked, *fields;
	bool good;
	struct cache_extent extent;
} answers[] = {
    {"bytes=0-9", "Content-Range: bytes 0-9/100\r\n", true, {0, 10, 100}},
    {"bytes=0-9",
	"Content-Range: bytes 0-9/100\r\n"
	"Content-Length: 10\r\n",
	true, {0, 10, 100}},
    {"bytes=0-9",
	"Content-Range: bytes 0-9/100\r\n"
	"Content-Length: 11\r\n",
	false, {0, 0, 0}},
    {"bytes=90-", "Content-Range: bytes 90-99/100\r\n", true, {90, 100, 100}},
    {"bytes=90-200", "Content-Range: bytes 90-99/100\r\n", true,
	{90, 100, 100}},
    {"bytes=-10", "Content-Range: bytes 90-99/100\r\n", true, {90, 100, 100}},
    {"bytes=-200", "Content-Range: bytes 0-99/100\r\n", true, {0, 100, 100}},
    /* less or more or something else than was asked for */
    {"bytes=0-9", "Content-Range: bytes 0-8/100\r\n", false, {0, 0, 0}},
    {"bytes=0-9", "Content-Range: bytes 0-10/100\r\n", false, {0, 0, 0}},
    {"bytes=0-9", "Content-Range: bytes 1-10/100\r\n", false, {0, 0, 0}},
    {"bytes=90-", "Content-Range: bytes 90-98/100\r\n", false, {0, 0, 0}},
    {"bytes=-10", "Content-Range: bytes 89-99/100\r\n", false, {0, 0, 0}},
    {"bytes=0-9", "Content-Range: bytes 0-9/*\r\n", false, {0, 0, 0}},
    {"bytes=0-9", "Content-Range: bytes 0-9/9\r\n", false, {0, 0, 0}},
    {"bytes=0-9", "Content-Range: bytes */100\r\n", false, {0, 0, 0}},
    {"bytes=0-9", "Content-Range: items 0-9/100\r\n", false, {0, 0, 0}},
    {"bytes=0-9", "", false, {0, 0, 0}},
    {"bytes=0-9",
	"Content-Range: bytes 0-9/100\r\n"
	"Content-Range: bytes 0-9/100\r\n",
	false, {0, 0, 0}},
    {"bytes=0-9", "Content-Type: multipart/byteranges; boundary=x\r\n", false,
	{0, 0, 0}},
    {"bytes=0-9", "Content-Range: bytes 0-9/9223372036854775807\r\n", true,
	{0, 10, INT64_MAX}},
    {"bytes=0-9", "Content-Range: bytes 0-9/9223372036854775808\r\n", false,
	{0, 0, 0}},
    {"bytes=9223372036854775806-",
	"Content-Range: bytes 9223372036854775806-9223372036854775806/"
	"9223372036854775807\r\n",
	true, {INT64_MAX - 1, INT64_MAX, INT64_MAX}},
};

static struct http_head
head_of(const char *start, const char *fields, bool request, struct arena *a)
{
	static const struct http_limits limits = {
	    .line = 8192, .head = 8192, .fields = 64};
	struct http_fault fault;
	struct http_head head;
	struct bytes text = arena_printf(a, "%s\r\n%s\r\n", start, fields);

	assert_int_equal(
	    request ? http_parse_request(text, &limits, a, &head, &fault)
		    : http_parse_response(text, &limits, a, &head, &fault),
	    0);
	return head;
}

static void
only_what_was_asked_for_is_a_part(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		struct http_head head = head_of("HTTP/1.1 206 Partial Content",
		    answers[i].fields, false, &a);
		struct http_range_spec asked;
		struct cache_extent e;
		int err;

		assert_true(
		    http_range_single(bytes_str(answers[i].asked), &asked));
		err = cache_part_extent(&asked, &head, &e);
		row_check(i, answers[i].fields, (err == 0) == answers[i].good);
		if (err < 0)
			continue;
		row_check(i, answers[i].fields,
		    e.from == answers[i].extent.from &&
			e.to == answers[i].extent.to &&
			e.complete == answers[i].extent.complete);
	}
	arena_release(&a);
}

static void
a_206_is_stored_with_the_head_of_its_200(void **state)
{
	struct http_head head, whole;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	head = head_of("HTTP/1.1 206 Partial Content",
	    "Content-Type: text/x\r\nContent-Range: bytes 0-9/100\r\n"
	    "Content-Length: 10\r\nETag: \"a\"\r\n",
	    false, &a);
	assert_int_equal(cache_part_head(&head, &a, &whole), 0);
	assert_int_equal(whole.status, 200);
	assert_int_equal(whole.count, 2);
	assert_false(http_has(&whole, HTTP_F_CONTENT_RANGE));
	assert_true(http_has(&whole, HTTP_F_ETAG));
	arena_release(&a);
}

static void
parts_have_variants_of_their_own(void **state)
{
	struct cache_stored a = part(0, 500), b = part(500, 1000), c;
	struct bytes selecting = BYTES("accept:x\n"), va, vb, meta;
	struct arena arena;

	(void)state;
	arena_init(&arena, 1 << 16);
	va = cache_part_variant(&a.meta, selecting, &arena);
	vb = cache_part_variant(&b.meta, selecting, &arena);
	assert_false(bytes_eq(va, vb));
	assert_false(bytes_eq(va, selecting));
	assert_true(bytes_eq(cache_selecting(va), selecting));
	assert_true(bytes_eq(cache_selecting(selecting), selecting));
	b = a;
	b.meta.etag = BYTES("\"b\"");
	vb = cache_part_variant(&b.meta, selecting, &arena);
	assert_false(bytes_eq(va, vb));
	/* As it comes from the store. */
	meta = cache_meta_encode(&a.meta, &arena);
	assert_int_equal(cache_stored_decode(meta, va, 500, &c), 0);
	assert_int_equal(c.body_size, 1000);
	assert_int_equal(c.meta.part.to, 500);
	assert_true(bytes_eq(c.variant, selecting));
	/* Where it contradicts itself it is nobody's. */
	assert_int_equal(
	    cache_stored_decode(meta, va, 499, &c), LARDER_DAMAGED);
	assert_false(bytes_eq(c.variant, selecting));
	assert_false(cache_is_part(&c.meta));
	assert_int_equal(
	    cache_stored_decode(meta, selecting, 500, &c), LARDER_DAMAGED);
	arena_release(&arena);
}

/* What a request does with fresh parts of 1000 bytes: RFC 9111 3.3, 4. */
static const struct {
	const char *lines;
	struct extent parts[3];
	enum cache_action action;
	unsigned gaps;
} decisions[] = {
    {"", {{0, 500}}, CACHE_COMPLETE, 1},
    {"", {{0, 500}, {500, 1000}}, CACHE_SEND, 0},
    {"", {{100, 500}}, CACHE_COMPLETE, 2},
    {"Range: bytes=0-99\r\n", {{0, 500}}, CACHE_SEND, 0},
    {"Range: bytes=0-\r\n", {{0, 500}}, CACHE_COMPLETE, 1},
    {"Range: bytes=400-599\r\n", {{0, 500}}, CACHE_COMPLETE, 1},
    {"Range: bytes=400-599\r\n", {{0, 500}, {500, 700}}, CACHE_SEND, 0},
    {"Range: bytes=500-599\r\n", {{0, 500}}, CACHE_PART, 1},
    {"Range: bytes=-300\r\n", {{700, 1000}}, CACHE_SEND, 0},
    {"Range: bytes=1000-\r\n", {{0, 500}}, CACHE_SEND, 0},
    {"Range: bytes=0-9,90-99\r\n", {{0, 500}}, CACHE_SEND, 0},
    {"Range: bytes=0-9,90-99\r\n", {{0, 20}, {80, 100}}, CACHE_SEND, 0},
    {"Range: bytes=0-9,600-699\r\n", {{0, 500}}, CACHE_PASS, 0},
    {"Range: bytes=0-9\r\nIf-Range: \"a\"\r\n", {{0, 500}}, CACHE_SEND, 0},
    {"Range: bytes=0-9\r\nIf-Range: \"b\"\r\n", {{0, 500}}, CACHE_COMPLETE, 1},
    {"Range: bytes=0-9\r\nIf-Range: W/\"a\"\r\n", {{0, 500}}, CACHE_COMPLETE,
	1},
    {"If-None-Match: \"a\"\r\n", {{0, 500}}, CACHE_SEND, 0},
    {"If-None-Match: \"b\"\r\n", {{0, 500}}, CACHE_COMPLETE, 1},
    {"Range: bytes=600-\r\nIf-None-Match: W/\"a\"\r\n", {{0, 500}}, CACHE_SEND,
	0},
    {"Cache-Control: only-if-cached\r\nIf-None-Match: \"a\"\r\n", {{0, 500}},
	CACHE_SEND, 0},
    {"Cache-Control: only-if-cached\r\n", {{0, 500}}, CACHE_REFUSE, 1},
    {"Cache-Control: no-cache\r\n", {{0, 500}}, CACHE_REVALIDATE, 1},
};

static void
parts_are_sent_or_completed(void **state)
{
	const struct cache_policy policy = {0};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t i = 0; i < sizeof(decisions) / sizeof(*decisions); i++) {
		struct http_head head = head_of(
		    "GET / HTTP/1.1\r\nHost: a", decisions[i].lines, true, &a);
		struct cache_stored stored[3];
		struct cache_request request;
		struct cache_decision d;
		unsigned n = 0;

		for (; n < 3 && decisions[i].parts[n].to > 0; n++)
			stored[n] = part(decisions[i].parts[n].from,
			    decisions[i].parts[n].to);
		cache_request_init(&request, &head);
		cache_decide(&request, stored, n, NOW, &policy, &a, &d);
		row_check(
		    i, decisions[i].lines, d.action == decisions[i].action);
		if (d.cover != NULL)
			row_check(i, decisions[i].lines,
			    d.cover->gaps == decisions[i].gaps);
	}
	arena_release(&a);
}

/* Stale ones are asked about before anything is added to them; what has no
 * strong validator is never added to. */
static void
stale_and_weak_parts(void **state)
{
	const struct cache_policy policy = {0};
	struct cache_stored s = part(0, 500);
	struct cache_request request;
	struct cache_decision d;
	struct http_head whole, range;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	whole = head_of("GET / HTTP/1.1\r\nHost: a", "", true, &a);
	range = head_of(
	    "GET / HTTP/1.1\r\nHost: a", "Range: bytes=0-9\r\n", true, &a);
	s.meta.stale_while_revalidate = 1000;
	cache_request_init(&request, &whole);
	cache_decide(&request, &s, 1, NOW + 100, &policy, &a, &d);
	assert_int_equal(d.action, CACHE_REVALIDATE);
	assert_false(d.background);
	cache_decide_validated(&d);
	assert_int_equal(d.action, CACHE_COMPLETE);
	cache_request_init(&request, &range);
	cache_decide(&request, &s, 1, NOW + 100, &policy, &a, &d);
	assert_int_equal(d.action, CACHE_SEND);
	assert_true(d.background);
	s.meta.etag = BYTES("");
	cache_decide(&request, &s, 1, NOW, &policy, &a, &d);
	assert_int_equal(d.action, CACHE_SEND);
	cache_request_init(&request, &whole);
	cache_decide(&request, &s, 1, NOW, &policy, &a, &d);
	assert_int_equal(d.action, CACHE_FETCH);
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(covers_are_found),
	    cmocka_unit_test(only_the_same_is_joined),
	    cmocka_unit_test(dates_are_strong_if_they_lie_back),
	    cmocka_unit_test(lengths_reach_far),
	    cmocka_unit_test(many_candidates_are_bounded),
	    cmocka_unit_test(small_neighbours_are_joined),
	    cmocka_unit_test(only_what_was_asked_for_is_a_part),
	    cmocka_unit_test(a_206_is_stored_with_the_head_of_its_200),
	    cmocka_unit_test(parts_have_variants_of_their_own),
	    cmocka_unit_test(parts_are_sent_or_completed),
	    cmocka_unit_test(stale_and_weak_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
