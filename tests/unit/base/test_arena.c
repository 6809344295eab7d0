#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdalign.h>
#include <string.h>

#include "larder/arena.h"

static void
gives_aligned_and_apart(void **state)
{
	struct arena a;
	char *last = NULL;

	(void)state;
	arena_init(&a, 1 << 20);
	for (size_t n = 0; n < 300; n++) {
		char *p = arena_alloc(&a, n);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
		assert_true(n < 2 || p != last);
		memset(p, 0xaa, n);
		last = p;
		arena_copy(&a, BYTES("x"));
	}
	arena_release(&a);
}

static void
limit_is_exact(void **state)
{
	struct arena a;

	(void)state;
	arena_init(&a, 100);
	assert_null(arena_alloc(&a, 101));
	assert_null(arena_alloc(&a, SIZE_MAX));
	assert_non_null(arena_alloc(&a, 60));
	assert_null(arena_alloc(&a, 41));
	assert_non_null(arena_alloc(&a, 40));
	assert_null(arena_alloc(&a, 1));
	assert_null(arena_copy(&a, BYTES("")).p);
	assert_null(arena_printf(&a, "%d", 1).p);
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 100));
	arena_release(&a);
}

static void
reset_keeps_one_block(void **state)
{
	struct arena a;
	void *first;

	(void)state;
	arena_init(&a, 1 << 20);
	first = arena_alloc(&a, 10);
	for (int i = 0; i < 100; i++)
		assert_non_null(arena_alloc(&a, 1000));
	arena_reset(&a);
	assert_ptr_equal(arena_alloc(&a, 10), first);
	/* A huge first block is not kept for ever. */
	arena_release(&a);
	assert_non_null(arena_alloc(&a, 500000));
	arena_reset(&a);
	assert_null(a.block);
	arena_release(&a);
}

static void
copies_and_prints(void **state)
{
	struct arena a;
	struct bytes b;

	(void)state;
	arena_init(&a, 100000);
	b = arena_copy(&a, bytes_of("a\0b", 3));
	assert_int_equal(b.n, 3);
	assert_memory_equal(b.p, "a\0b", 4);
	b = arena_printf(&a, "%s:%d", "host", 80);
	assert_int_equal(b.n, 7);
	assert_string_equal(b.p, "host:80");
	b = arena_printf(&a, "%9000d", 1);
	assert_int_equal(b.n, 9000);
	assert_memory_equal(
	    arena_zalloc(&a, 16), "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(gives_aligned_and_apart),
	    cmocka_unit_test(limit_is_exact),
	    cmocka_unit_test(reset_keeps_one_block),
	    cmocka_unit_test(copies_and_prints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
