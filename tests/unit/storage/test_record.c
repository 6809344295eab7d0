/*
 * Records of packs: what is encoded is decoded, not one bit may be another, and
 * whatever a frame claims of itself, no more comes out of it than may.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "record.h"

#define HEAD                                               \
	"HTTP/1.1 200 OK\r\nServer: nginx\r\n"             \
	"Date: Fri, 27 Nov 2026 12:00:01 GMT\r\n"          \
	"Content-Type: application/x-xz\r\n"               \
	"Last-Modified: Mon, 05 Oct 2026 07:08:09 GMT\r\n" \
	"ETag: \"6521fa39-800\"\r\nAccept-Ranges: bytes\r\n\r\n"
#define TEXT                                                                  \
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<title>Moved</title>\n" \
	"<link rel=\"stylesheet\" href=\"/a.css\">\n</head>\n<body>\n"        \
	"<p>It is <a href=\"/there\">there</a>.</p>\n</body>\n</html>\n"

static char room[STORE_SMALL + 4096];

/* Its body is in it. */
static struct record
sample(void)
{
	struct record r = {.plain = {.key = BYTES("http://a.example/x.xz"),
			       .head = BYTES(HEAD)}};

	r.dictionary = DICTIONARY_NEWEST;
	r.plain.info = (struct object_info){.id = 1ull << 40,
	    .stored_at = -5,
	    .expires = INT64_MAX,
	    .head_size = sizeof(HEAD) - 1,
	    .variant = BYTES("gzip"),
	    .meta = BYTES("\3\5\0\"6521fa39-800\""),
	    .head = {.kind = PLACE_NONE},
	    .body = {.kind = PLACE_SELF}};
	return r;
}

static void
set_body(struct frame_coder *coder, struct record *r, struct bytes body)
{
	r->plain.info.body_size = r->plain.info.body.raw = body.n;
	record_press_body(coder, r, body, room);
}

/* In an allocation of its own, so that a byte too many is seen. */
static struct bytes
encoded(struct frame_coder *coder, struct record *r, const struct record *was)
{
	char *buf = malloc(record_bound(r)), *exact;
	size_t n;

	assert_non_null(buf);
	n = record_encode(coder, r, was, buf);
	assert_true(n > 0 && n <= record_bound(r));
	exact = malloc(n);
	memcpy(exact, buf, n);
	free(buf);
	return bytes_of(exact, n);
}

static void
release(struct bytes *b)
{
	char *p;

	memcpy(&p, &b->p, sizeof(p));
	free(p);
	b->p = NULL;
}

static void
assert_same(const struct record *a, const struct record *b)
{
	const struct object_info *x = &a->plain.info, *y = &b->plain.info;

	assert_true(bytes_eq(a->plain.key, b->plain.key));
	assert_true(bytes_eq(a->plain.head, b->plain.head));
	assert_true(bytes_eq(a->payload, b->payload));
	assert_true(bytes_eq(x->variant, y->variant));
	assert_true(bytes_eq(x->meta, y->meta));
	assert_true(x->id == y->id && x->expires == y->expires);
	assert_true(x->body.encoding == y->body.encoding);
	assert_int_equal(x->body_size, y->body_size);
	assert_int_equal(a->moved, b->moved);
	assert_int_equal(a->folded, b->folded);
	assert_int_equal(a->dictionary, b->dictionary);
}

static void
random_bytes(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)random();
}

/* Bodies of all kinds. */
static void
test_round(void **state)
{
	static char body[STORE_SMALL], back[STORE_SMALL];
	const struct {
		size_t n;
		bool text;
		enum encoding encoding;
		bool folded;
	} cases[] = {
	    {0, false, ENCODING_RAW, false},
	    {1, false, ENCODING_RAW, false},
	    {2048, false, ENCODING_RAW, false},
	    {2048, true, ENCODING_ZSTD, true},
	    {16384, true, ENCODING_ZSTD, true},
	    {16385, true, ENCODING_ZSTD, false},
	    {STORE_SMALL, true, ENCODING_ZSTD, false},
	    {STORE_SMALL, false, ENCODING_RAW, false},
	};
	struct frame_coder coder = {0}, other = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct record r = sample(), got;
		uint64_t front, stored;
		struct bytes b;

		for (size_t k = 0; k < cases[i].n; k++)
			body[k] = TEXT[k % (sizeof(TEXT) - 1)];
		if (!cases[i].text)
			random_bytes(body, cases[i].n);
		r.moved = i % 2;
		set_body(&coder, &r, bytes_of(body, cases[i].n));
		assert_true(r.plain.info.body.encoding == cases[i].encoding);
		assert_int_equal(r.folded, cases[i].folded);
		b = encoded(&coder, &r, NULL);
		assert_int_equal(record_peek(b, &front, &stored), 0);
		assert_int_equal(front, r.front);
		assert_int_equal(front + stored, b.n);
		assert_int_equal(record_is_moved(b), i % 2);
		assert_ptr_equal(record_find(b), b.p);
		assert_int_equal(record_decode(&other, b, &got), 0);
		assert_same(&r, &got);
		if (cases[i].encoding == ENCODING_ZSTD)
			assert_int_equal(record_body(&other, &got, back), 0);
		else
			memcpy(back, got.payload.p, got.payload.n);
		assert_memory_equal(back, body, cases[i].n);
		assert_true(record_holds(&got, &r.plain.info, true, true));
		assert_int_equal(
		    record_decode_front(&other, bytes_of(b.p, front), &got), 0);
		assert_int_equal(got.payload.n, stored);
		release(&b);
	}
	frame_release(&coder);
	frame_release(&other);
}

/* A front is pressed where that makes a difference. */
static void
test_fronts(void **state)
{
	static char body[16384];
	struct frame_coder coder = {0};
	struct record r = sample();

	(void)state;
	random_bytes(body, sizeof(body));
	for (size_t n = 2048; n <= sizeof(body); n *= 8) {
		struct bytes b;

		set_body(&coder, &r, bytes_of(body, n));
		b = encoded(&coder, &r, NULL);
		if (n == 2048)
			assert_true(r.front < r.said.n);
		else
			assert_true(r.front > r.said.n);
		release(&b);
	}
	frame_release(&coder);
}

/* What all records have in common costs little. */
static void
test_small(void **state)
{
	struct frame_coder coder = {0};
	struct record r = sample();
	struct bytes b;

	(void)state;
	set_body(&coder, &r, BYTES(TEXT));
	b = encoded(&coder, &r, NULL);
	print_message("front %zu of %zu, body %zu of %zu\n", r.front, r.said.n,
	    r.payload.n, sizeof(TEXT) - 1);
	assert_true(r.front < 130);
	assert_true(r.payload.n < 80);
	release(&b);
	frame_release(&coder);
}

/* What does not shrink, or is too long for one block, is left as it is. */
static void
test_plain(void **state)
{
	static char bytes[OBJECT_META_MAX], head[STORE_SMALL];
	struct frame_coder coder = {0}, other = {0};

	(void)state;
	srandom(4);
	random_bytes(bytes, sizeof(bytes));
	memset(head, 'h', sizeof(head));
	for (size_t n = 1; n <= sizeof(bytes); n += n / 2 + 1) {
		struct record r = sample(), got;
		struct bytes b;

		r.plain.key = r.plain.info.variant = bytes_of(NULL, 0);
		r.plain.head = bytes_of(head, n > 30000 ? sizeof(head) : 0);
		r.plain.info.head_size = r.plain.head.n;
		r.plain.info.meta = bytes_of(bytes, n);
		set_body(&coder, &r, BYTES("raw"));
		b = encoded(&coder, &r, NULL);
		if (n < 30000)
			assert_in_range(r.front, n, n + 64);
		assert_int_equal(record_decode(&other, b, &got), 0);
		assert_same(&r, &got);
		release(&b);
	}
	frame_release(&coder);
	frame_release(&other);
}

/* A body elsewhere, and a head elsewhere. */
static void
test_parts(void **state)
{
	struct frame_coder coder = {0}, other = {0};
	struct record r = sample(), got;
	struct bytes b;

	(void)state;
	r.plain.info.body_size = 1ull << 33;
	r.plain.info.head.kind = PLACE_SELF;
	r.plain.info.body = (struct place){PLACE_BLOB, ENCODING_FRAMES, 9, 0,
	    1ull << 32, 1ull << 33, 0x123456789abcdef0u};
	b = encoded(&coder, &r, NULL);
	assert_int_equal(record_decode(&other, b, &got), 0);
	assert_same(&r, &got);
	assert_true(got.plain.info.body.sum == r.plain.info.body.sum);
	assert_true(got.plain.info.body.stored == 1ull << 32);
	assert_true(record_holds(&got, &r.plain.info, true, false));
	assert_false(record_holds(&got, &r.plain.info, false, true));
	release(&b);

	r = sample();
	r.plain.info.head =
	    (struct place){PLACE_PACK, ENCODING_RAW, 7, 9000, 380, 0, 0};
	r.plain.head.n = 0;
	set_body(&coder, &r, BYTES("short"));
	b = encoded(&coder, &r, NULL);
	assert_int_equal(record_decode(&other, b, &got), 0);
	assert_same(&r, &got);
	assert_int_equal(got.plain.info.head.offset, 9000);
	assert_true(record_holds(&got, &r.plain.info, false, true));
	assert_false(record_holds(&got, &r.plain.info, true, true));
	release(&b);
	frame_release(&coder);
	frame_release(&other);
}

/* A body is what is decoded in memory: it may not say that it is more. */
static void
test_sizes(void **state)
{
	struct frame_coder coder = {0}, other = {0};
	struct record got;

	(void)state;
	for (uint64_t n = 0; n < 4; n++) {
		struct record r = sample();
		struct bytes b;

		set_body(&coder, &r, n < 2 ? BYTES(TEXT) : BYTES("raw"));
		r.plain.info.body_size = n == 0	  ? STORE_SMALL
					 : n == 1 ? STORE_SMALL + 1
						  : n;
		b = encoded(&coder, &r, NULL);
		assert_int_equal(record_decode(&other, b, &got),
		    n == 0 || n == 3 ? 0 : LARDER_DAMAGED);
		release(&b);
	}
	frame_release(&coder);
	frame_release(&other);
}

/* What moves is not pressed anew where it says the same, and else it is. */
static void
test_moved(void **state)
{
	struct frame_coder coder = {0};
	struct record r = sample(), was, now;
	struct bytes a, b;

	(void)state;
	set_body(&coder, &r, BYTES(TEXT));
	a = encoded(&coder, &r, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(record_decode(&coder, a, &was), 0);
		now = was;
		now.moved = true;
		now.plain.info.expires -= i;
		b = encoded(&coder, &now, &was);
		assert_int_equal(now.pressed.p == was.pressed.p, i == 0);
		assert_int_equal(record_decode(&coder, b, &was), 0);
		assert_true(was.moved && was.folded);
		assert_true(was.plain.info.expires == r.plain.info.expires - i);
		assert_true(bytes_eq(was.plain.head, BYTES(HEAD)));
		release(&b);
	}
	release(&a);
	frame_release(&coder);
}

/* No bit of a whole record may be another, none of a front but those of the
 * payload, and none may be missing. */
static void
test_bits(void **state)
{
	struct frame_coder coder = {0}, other = {0};
	struct record r = sample(), got;
	char *p;
	struct bytes b;

	(void)state;
	set_body(&coder, &r, BYTES(TEXT));
	b = encoded(&coder, &r, NULL);
	memcpy(&p, &b.p, sizeof(p));
	for (size_t i = 0; i < 8 * b.n; i++) {
		p[i / 8] ^= (char)(1 << i % 8);
		assert_int_equal(
		    record_decode(&other, b, &got), LARDER_DAMAGED);
		if (i / 8 < r.front)
			assert_int_equal(record_decode_front(&other,
					     bytes_of(p, r.front), &got),
			    LARDER_DAMAGED);
		p[i / 8] ^= (char)(1 << i % 8);
	}
	for (size_t i = 0; i < b.n; i++) {
		char *cut = malloc(i + 1);

		memcpy(cut, p, i);
		assert_int_equal(record_decode(&other, bytes_of(cut, i), &got),
		    LARDER_DAMAGED);
		assert_int_equal(
		    record_decode_front(&other, bytes_of(cut, i), &got),
		    i == r.front ? 0 : LARDER_DAMAGED);
		free(cut);
	}
	/* Another object's, in its place. */
	assert_int_equal(record_decode(&other, b, &got), 0);
	r.plain.info.id++;
	assert_false(record_holds(&got, &r.plain.info, true, true));
	release(&b);
	frame_release(&coder);
	frame_release(&other);
}

static int
unfold(struct frame_coder *coder, unsigned dictionary, struct bytes block,
    size_t n)
{
	char *to = malloc(n + 1);
	int err;

	assert_non_null(to);
	err = frame_unfold(coder, dictionary, DICTIONARY_BODY, block, to, n);
	if (!err && n == sizeof(TEXT) - 1)
		assert_memory_equal(to, TEXT, n);
	free(to);
	return err;
}

/* Blocks that are not what they should be, under sums that fit. */
static void
test_blocks(void **state)
{
	static char large[256 * 1024];
	struct frame_coder coder = {0}, other = {0};
	size_t n = sizeof(TEXT) - 1;
	struct bytes block;
	char buf[256];

	(void)state;
	assert_true(
	    frame_fold(&coder, 1, DICTIONARY_BODY, BYTES(TEXT), &block));
	assert_int_equal(unfold(&other, 1, block, n), 0);
	assert_int_equal(unfold(&other, 1, block, n - 1), LARDER_DAMAGED);
	assert_int_equal(unfold(&other, 1, block, n + 1), LARDER_DAMAGED);
	assert_int_equal(unfold(&other, 1, block, 0), LARDER_DAMAGED);
	/* Of dictionaries that there are not. */
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(
		    unfold(&other, i, block, n), i == 1 ? 0 : LARDER_DAMAGED);
	assert_false(
	    frame_fold(&coder, 0, DICTIONARY_BODY, BYTES(TEXT), &block));
	assert_false(
	    frame_fold(&coder, 2, DICTIONARY_BODY, BYTES(TEXT), &block));
	/* Longer than a block may be, on either side. */
	assert_false(frame_fold(&coder, 1, DICTIONARY_BODY,
	    bytes_of(large, sizeof(large)), &block));
	assert_int_equal(unfold(&other, 1, bytes_of(large, sizeof(large)), n),
	    LARDER_DAMAGED);
	srandom(3);
	for (unsigned i = 0; i < 20000; i++) {
		random_bytes(buf, sizeof(buf));
		unfold(&other, 1, bytes_of(buf, (size_t)random() % 256),
		    (size_t)random() % 4096);
	}
	frame_release(&coder);
	frame_release(&other);
}

/* Stores are full of what needs it. */
static void
test_dictionary(void **state)
{
	static const uint64_t sums[DICTIONARY_KINDS] = {
	    0xdd8caa05e62617c0u, 0x7aad6b937ae56fb5u};
	char *all = malloc(64 * 1024);

	(void)state;
	for (unsigned kind = 0; kind < DICTIONARY_KINDS; kind++) {
		const struct dictionary_text *t = &dictionary_1[kind];
		size_t n = 0;

		for (size_t i = 0; i < t->count; i++) {
			memcpy(all + n, t->pieces[i].p, t->pieces[i].n);
			n += t->pieces[i].n;
		}
		assert_true(object_sum(all, n, 0) == sums[kind]);
		assert_non_null(dictionary_to_press(1, kind));
		assert_non_null(dictionary_to_unpress(1, kind));
		assert_null(dictionary_to_unpress(2, kind));
	}
	free(all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round),
	    cmocka_unit_test(test_fronts),
	    cmocka_unit_test(test_small),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_sizes),
	    cmocka_unit_test(test_moved),
	    cmocka_unit_test(test_bits),
	    cmocka_unit_test(test_blocks),
	    cmocka_unit_test(test_dictionary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
