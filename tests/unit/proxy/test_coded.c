/*
 * Bodies that were coded: what is found is what was kept, in no more bytes
 * than were named, and whoever holds one has it until the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "proxy/coded.h"

#define MOST (64u * 1024)

static void
keep(struct coded *c, uint64_t id, enum http_coding to, size_t n, size_t most)
{
	static char body[CODED_MAX];

	memset(body, (int)(id * 4 + to), n);
	coded_keep(c, id, to, 3 * n, body, n, most);
}

static bool
has(struct coded *c, uint64_t id, enum http_coding to, size_t n)
{
	struct coded_body *b = coded_find(c, id, to);

	if (b == NULL)
		return false;
	assert_int_equal(b->n, n);
	assert_int_equal(b->raw, 3 * n);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(b->data[i], (char)(id * 4 + to));
	coded_unref(&b);
	return true;
}

static void
test_found(void **state)
{
	struct coded *c;

	(void)state;
	assert_int_equal(coded_new(&c), 0);
	assert_false(has(c, 1, HTTP_CODING_ZSTD, 0));
	keep(c, 1, HTTP_CODING_ZSTD, 100, MOST);
	keep(c, 1, HTTP_CODING_GZIP, 200, MOST);
	keep(c, 2, HTTP_CODING_ZSTD, 0, MOST);
	/* The same slot. */
	keep(c, 1 + 1024, HTTP_CODING_ZSTD, 300, MOST);
	assert_true(has(c, 1, HTTP_CODING_ZSTD, 100));
	assert_true(has(c, 1, HTTP_CODING_GZIP, 200));
	assert_true(has(c, 2, HTTP_CODING_ZSTD, 0));
	assert_true(has(c, 1 + 1024, HTTP_CODING_ZSTD, 300));
	assert_false(has(c, 1, HTTP_CODING_IDENTITY, 0));
	assert_false(has(c, 1 + 2048, HTTP_CODING_ZSTD, 0));
	/* The first one stays. */
	keep(c, 1, HTTP_CODING_ZSTD, 50, MOST);
	assert_true(has(c, 1, HTTP_CODING_ZSTD, 100));
	coded_free(&c);
}

static void
test_bound(void **state)
{
	struct coded_body *held;
	struct coded *c;

	(void)state;
	assert_int_equal(coded_new(&c), 0);
	keep(c, 1, HTTP_CODING_ZSTD, MOST, MOST);
	assert_false(has(c, 1, HTTP_CODING_ZSTD, MOST));
	for (uint64_t id = 1; id <= 100; id++) {
		keep(c, id, HTTP_CODING_ZSTD, 1000, MOST);
		assert_true(has(c, 1, HTTP_CODING_ZSTD, 1000));
	}
	/* The first was used all the time, the others go in their order. */
	assert_true(has(c, 100, HTTP_CODING_ZSTD, 1000));
	assert_true(has(c, 50, HTTP_CODING_ZSTD, 1000));
	assert_false(has(c, 2, HTTP_CODING_ZSTD, 1000));
	assert_false(has(c, 30, HTTP_CODING_ZSTD, 1000));
	/* With less room there are fewer; who holds one has it still. */
	held = coded_find(c, 100, HTTP_CODING_ZSTD);
	assert_non_null(held);
	keep(c, 200, HTTP_CODING_ZSTD, 100, 0);
	assert_false(has(c, 100, HTTP_CODING_ZSTD, 1000));
	assert_false(has(c, 200, HTTP_CODING_ZSTD, 100));
	assert_int_equal(held->n, 1000);
	assert_int_equal(held->data[999], (char)(100 * 4 + HTTP_CODING_ZSTD));
	coded_unref(&held);
	coded_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_found),
	    cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
