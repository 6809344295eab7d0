#include "../http/parse.h"

#include <string.h>

#include "cache/control.h"
#include "cache/meta.h"
#include "http/date.h"

static void
meta_comes_back_or_is_damaged(void **state)
{
	struct cache_meta m = {.status = 200,
	    .flags = CACHE_HEURISTIC | CACHE_WAS_AUTHORIZED,
	    .request_time = 1700000000,
	    .response_time = 1700000001,
	    .date = -1,
	    .initial_age = CACHE_SECONDS_MAX,
	    .lifetime = 60,
	    .stale_while_revalidate = CACHE_NOT_GIVEN,
	    .stale_if_error = 0,
	    .last_modified = 784111777,
	    .etag = BYTES("W/\"a\""),
	    .last_modified_text = BYTES("Sun, 06 Nov 1994 08:49:37 GMT"),
	    .tags = BYTES("one two")};
	struct cache_meta again;
	struct bytes b;
	struct arena a;
	char copy[256], date[HTTP_DATE_SIZE];

	(void)state;
	arena_init(&a, 1 << 12);
	b = cache_meta_encode(&m, &a);
	/* Its text is what HTTP writes, and is left out; seven of tags, and
	 * their length. */
	assert_int_equal(b.n, 25 + 1 + 7 + 5);
	assert_int_equal(cache_meta_decode(b, &again), 0);
	assert_int_equal(again.status, 200);
	assert_int_equal(again.flags, m.flags);
	assert_int_equal(again.request_time, m.request_time);
	assert_int_equal(again.response_time, m.response_time);
	assert_int_equal(again.date, -1);
	assert_int_equal(again.initial_age, m.initial_age);
	assert_int_equal(again.lifetime, 60);
	assert_int_equal(again.stale_while_revalidate, CACHE_NOT_GIVEN);
	assert_int_equal(again.stale_if_error, 0);
	assert_int_equal(again.last_modified, 784111777);
	assert_true(bytes_eq(again.etag, m.etag));
	assert_true(
	    bytes_eq(cache_last_modified(&again, date), m.last_modified_text));
	assert_true(bytes_eq(again.tags, m.tags));
	/* The tag goes to the end, and nothing else may. */
	for (size_t n = 0; n <= b.n - m.etag.n; n++)
		assert_int_equal(
		    cache_meta_decode((struct bytes){b.p, n}, &again),
		    LARDER_DAMAGED);
	/* Version, what is there, flags, a lifetime and a date that do not end.
	 */
	for (size_t i = 0; i < 5; i++) {
		static const unsigned char at[5] = {0, 1, 2, 18, 24};

		memcpy(copy, b.p, b.n);
		copy[at[i]] = (char)0xff;
		row_check(at[i], "damaged",
		    cache_meta_decode((struct bytes){copy, b.n}, &again) ==
			LARDER_DAMAGED);
	}
	/* As received, where that was another of the three forms. */
	m.last_modified_text = BYTES("Sun Nov  6 08:49:37 1994");
	b = cache_meta_encode(&m, &a);
	assert_int_equal(b.n, 25 + 1 + 1 + 24 + 7 + 5);
	assert_int_equal(cache_meta_decode(b, &again), 0);
	assert_true(
	    bytes_eq(cache_last_modified(&again, date), m.last_modified_text));
	assert_true(bytes_eq(again.etag, m.etag));
	m.last_modified = HTTP_DATE_INVALID;
	m.etag.n = m.last_modified_text.n = 0;
	b = cache_meta_encode(&m, &a);
	assert_int_equal(cache_meta_decode(b, &again), 0);
	assert_int_equal(cache_last_modified(&again, date).n, 0);
	assert_int_equal(again.last_modified, HTTP_DATE_INVALID);
	assert_int_equal(again.etag.n, 0);
	a.limit = a.used;
	assert_null(cache_meta_encode(&m, &a).p);
	arena_release(&a);
}

/* RFC 9111 3.3: from, to and the complete length. */
static void
a_part_says_which(void **state)
{
	static const struct {
		struct cache_extent part;
		bool good;
	} rows[] = {
	    {{0, 1, 2}, true},
	    {{1, 2, 2}, true},
	    {{0, 1, INT64_MAX}, true},
	    {{INT64_MAX - 1, INT64_MAX, INT64_MAX}, true},
	    {{0, 2, 2}, false},
	    {{2, 2, 3}, false},
	    {{3, 2, 4}, false},
	    {{0, 3, 2}, false},
	    {{0, 1, (uint64_t)INT64_MAX + 1}, false},
	    {{UINT64_MAX, 1, 2}, false},
	};
	struct cache_meta again;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_meta m = {.status = 200,
		    .last_modified = HTTP_DATE_INVALID,
		    .etag = BYTES("\"a\""),
		    .part = rows[i].part};
		struct bytes b = cache_meta_encode(&m, &a);

		row_check(i, "part",
		    (cache_meta_decode(b, &again) == 0) == rows[i].good);
		if (!rows[i].good)
			continue;
		assert_int_equal(again.part.from, m.part.from);
		assert_int_equal(again.part.to, m.part.to);
		assert_int_equal(again.part.complete, m.part.complete);
		assert_true(bytes_eq(again.etag, m.etag));
		for (size_t n = 0; n <= b.n - m.etag.n; n++)
			assert_int_equal(
			    cache_meta_decode((struct bytes){b.p, n}, &again),
			    LARDER_DAMAGED);
	}
	arena_release(&a);
}

/* Of times no sum or difference wraps; what cannot be is refused. */
static void
hostile_numbers_are_damage(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} rows[] = {
	    /* A response time, and a date before it, of 64 bits. */
	    {"\3\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0\0\0", 16},
	    {"\3\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0", 16},
	    /* A lifetime that is negative as a signed one, or too long. */
	    {"\3\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 16},
	    {"\3\0\0\0\0\0\xff\xff\xff\xff\x7f", 11},
	    /* An age of 0 that is said to be there, and a status of 200. */
	    {"\3\x10\0\0\0\0\0\0", 8},
	    {"\3\x80\xc8\1\0\0\0\0\0", 9},
	    /* Not in its shortest form. */
	    {"\3\0\x80\0\0\0\0\0", 8},
	    /* A tag, and none there; none, and one there. */
	    {"\3\4\0\0\0\0\0", 7},
	    {"\3\0\0\0\0\0\0x", 8},
	};
	struct cache_meta m;

	(void)state;
	assert_int_equal(cache_meta_decode(BYTES("\3\0\0\0\0\0\0"), &m), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_check(i, "hostile",
		    cache_meta_decode((struct bytes){rows[i].bytes, rows[i].n},
			&m) == LARDER_DAMAGED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(meta_comes_back_or_is_damaged),
	    cmocka_unit_test(a_part_says_which),
	    cmocka_unit_test(hostile_numbers_are_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
