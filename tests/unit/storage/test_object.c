/*
 * The format on disk: what is encoded is decoded, and bytes of anybody's
 * making are refused or decoded to something that keeps the limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "larder/check.h"
#include "object.h"
#include "record.h"

static struct object_value
sample(void)
{
	struct object_value v = {
	    .key = BYTES("http://a.example/x"), .count = 2};

	v.infos[0] = (struct object_info){.id = 1ull << 40,
	    .stored_at = -5,
	    .expires = INT64_MAX,
	    .head_size = 300,
	    .body_size = 5000,
	    .variant = BYTES("gzip"),
	    .meta = BYTES("m\0m"),
	    .head = {.kind = PLACE_NONE},
	    .body = {PLACE_PACK, ENCODING_ZSTD, 7, 4096, 2090, 5000, 0}};
	v.infos[1] = v.infos[0];
	v.infos[1].body_size = 1ull << 33;
	v.infos[1].head =
	    (struct place){PLACE_PACK, ENCODING_RAW, 7, 9000, 380, 0, 0};
	v.infos[1].body = (struct place){PLACE_BLOB, ENCODING_FRAMES, 9, 0,
	    1ull << 32, 1ull << 33, 0x123456789abcdef0u};
	return v;
}

static void
test_value(void **state)
{
	struct object_value v = sample(), w;
	char *buf = malloc(object_value_bound(&v));
	size_t n = object_value_encode(&v, buf);

	(void)state;
	assert_true(n <= object_value_bound(&v));
	assert_int_equal(object_value_decode(bytes_of(buf, n), v.key, &w), 0);
	assert_true(bytes_eq(w.key, v.key));
	assert_int_equal(w.count, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(w.infos[i].id, v.infos[i].id);
		assert_int_equal(w.infos[i].stored_at, -5);
		assert_true(w.infos[i].expires == INT64_MAX);
		assert_int_equal(w.infos[i].body_size, v.infos[i].body_size);
		assert_true(bytes_eq(w.infos[i].meta, v.infos[i].meta));
		assert_true(w.infos[i].body.kind == v.infos[i].body.kind);
		assert_int_equal(w.infos[i].body.sum, v.infos[i].body.sum);
		assert_int_equal(
		    w.infos[i].head.offset, v.infos[i].head.offset);
	}
	/* Every shorter range is damage, read in an allocation of its own so
	 * that a sanitizer sees a byte too many. */
	for (size_t i = 0; i < n; i++) {
		char *cut = malloc(i + 1);

		memcpy(cut, buf, i);
		assert_int_equal(
		    object_value_decode(bytes_of(cut, i), v.key, &w),
		    LARDER_DAMAGED);
		free(cut);
	}
	free(buf);
}

static void
test_unsound(void **state)
{
	struct object_value v, w;
	char buf[1024];

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct object_info *a, *b;
		size_t n;

		v = sample();
		a = &v.infos[0];
		b = &v.infos[1];
		if (i == 0)
			a->body.kind = PLACE_NONE;
		if (i == 1)
			a->body_size = STORE_SMALL + 1;
		if (i == 2)
			a->head_size = STORE_SMALL + 1;
		if (i == 3)
			a->body.stored = RECORD_MAX + 1;
		if (i == 4)
			b->head.kind = PLACE_NONE;
		if (i == 5)
			a->body.encoding = ENCODING_FRAMES;
		if (i == 6)
			b->head.kind = PLACE_SELF;
		if (i == 7)
			a->body.stored = RECORD_MIN - 1;
		n = object_value_encode(&v, buf);
		assert_int_equal(
		    object_value_decode(bytes_of(buf, n), v.key, &w),
		    LARDER_DAMAGED);
	}
}

static void
test_trailer(void **state)
{
	struct object_trailer t = {
	    ENCODING_RAW, OBJECT_BLOCK, 5, 600000, 600000, 3, 77};
	struct object_trailer u;
	struct place p = {PLACE_BLOB, ENCODING_RAW, 5, 0, 600000, 600000, 0};
	char buf[OBJECT_TRAILER];

	(void)state;
	object_trailer_encode(&t, buf);
	p.sum = object_get64(buf + 56);
	assert_int_equal(
	    object_trailer_decode(bytes_of(buf, sizeof(buf)), 5, &p, &u), 0);
	assert_int_equal(u.blocks, 3);
	assert_int_equal(
	    object_trailer_decode(bytes_of(buf, sizeof(buf)), 6, &p, &u),
	    LARDER_DAMAGED);
	for (size_t i = 0; i < sizeof(buf); i++) {
		buf[i] ^= 1;
		assert_int_equal(object_trailer_decode(
				     bytes_of(buf, sizeof(buf)), 5, &p, &u),
		    LARDER_DAMAGED);
		buf[i] ^= 1;
	}
	t.blocks = 4;
	object_trailer_encode(&t, buf);
	p.sum = object_get64(buf + 56);
	assert_int_equal(
	    object_trailer_decode(bytes_of(buf, sizeof(buf)), 5, &p, &u),
	    LARDER_DAMAGED);
}

/* Mutations of a good value: whatever decodes keeps the limits. */
static void
test_hostile(void **state)
{
	struct object_value v = sample(), w;
	char good[1024], *buf;
	size_t n = object_value_encode(&v, good);
	unsigned decoded = 0;

	(void)state;
	srandom(1);
	buf = malloc(n);
	for (unsigned round = 0; round < 200000; round++) {
		memcpy(buf, good, n);
		for (long i = random() % 4; i >= 0; i--)
			buf[(size_t)random() % n] = (char)random();
		if (object_value_decode(bytes_of(buf, n), v.key, &w) != 0)
			continue;
		decoded++;
		assert_in_range(w.count, 1, STORE_VARIANTS_MAX);
		for (unsigned i = 0; i < w.count; i++) {
			assert_true(
			    w.infos[i].body_size <= w.infos[i].body.raw);
			assert_true(
			    w.infos[i].meta.p >= buf &&
			    w.infos[i].meta.p + w.infos[i].meta.n <= buf + n);
			assert_true(w.infos[i].head_size <= STORE_SMALL);
		}
	}
	assert_true(decoded > 0);
	free(buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_value),
	    cmocka_unit_test(test_unsound),
	    cmocka_unit_test(test_trailer),
	    cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
