/*
 * What is read from the disk, by a disk that may hold anything: the catalog's
 * values and blocks, records of packs, trailers, seek tables, frames. The
 * first byte says which; sums are made to fit where the second one is odd,
 * since nobody guesses them.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "block.h"
#include "frame.h"
#include "object.h"
#include "record.h"

#define RAW_MAX 4096u

/* In an allocation of its own, so that a byte too many is seen. */
static struct bytes
copy_of(struct bytes in)
{
	char *p = malloc(in.n + !in.n);

	check(p != NULL);
	if (in.n)
		memcpy(p, in.p, in.n);
	return bytes_of(p, in.n);
}

static char *
writable(struct bytes b)
{
	char *p;

	memcpy(&p, &b.p, sizeof(p));
	return p;
}

static void
check_place(const struct place *place)
{
	check(place->stored <= INT64_MAX / 4 && place->raw <= INT64_MAX / 4);
	check(place->kind != PLACE_PACK ||
	      (place->raw <= STORE_SMALL && place->stored <= RECORD_MAX));
}

static void
check_info(const struct object_info *info, struct bytes in)
{
	check_place(&info->head);
	check_place(&info->body);
	check(info->head_size <= STORE_SMALL);
	check(info->body_size <= info->body.raw);
	check(
	    info->meta.p >= in.p && info->meta.p + info->meta.n <= in.p + in.n);
	object_disk_size(info);
}

static void
check_value(const struct object_value *v, struct bytes in)
{
	check(v->count >= 1 && v->count <= STORE_VARIANTS_MAX);
	for (unsigned i = 0; i < v->count; i++)
		check_info(&v->infos[i], in);
}

/* What decodes is encoded to what decodes to the same. */
static void
fuzz_value(struct bytes in)
{
	struct object_value v, w;
	char *buf, *again;
	size_t n;

	if (object_value_decode(in, BYTES("key"), &v) != 0)
		return;
	check_value(&v, in);
	buf = malloc(object_value_bound(&v));
	again = malloc(object_value_bound(&v));
	check(buf && again);
	n = object_value_encode(&v, buf);
	check(n <= object_value_bound(&v));
	check(object_value_decode(bytes_of(buf, n), v.key, &w) == 0);
	check(object_value_encode(&w, again) == n);
	check(memcmp(buf, again, n) == 0);
	free(buf);
	free(again);
}

/* The front is checked first, with the sum that the record names. */
static void
make_fit(struct bytes in)
{
	static struct frame_coder coder;
	struct record r;
	uint64_t front, stored, sum;
	char check[8];

	memcpy(writable(in), "LDR\3", 4);
	if (record_peek(in, &front, &stored) != 0 || front > in.n)
		return;
	for (unsigned i = 0; i < 2; i++) {
		sum = object_get64(in.p + 8);
		object_put64(
		    check, object_sum(in.p + 16, (size_t)front - 16, sum));
		memcpy(writable(in) + 4, check, 4);
		if (record_decode_front(
			&coder, bytes_of(in.p, (size_t)front), &r) != 0)
			return;
		object_put64(writable(in) + 8,
		    object_sum(in.p + 16, in.n - 16, r.plain.info.id));
	}
}

static void
check_record(const struct record *r, struct bytes in)
{
	check(r->plain.key.n <= STORE_KEY_MAX);
	check(r->said.n <= RECORD_PLAIN && r->payload.n <= STORE_SMALL);
	check_info(&r->plain.info, r->said);
	check(r->plain.head.p >= r->said.p &&
	      r->plain.head.p + r->plain.head.n <= r->said.p + r->said.n);
	check(r->front >= RECORD_MIN && r->front <= in.n);
}

/* Whoever wrote it: what is encoded again is decoded to the same. */
static void
encode_again(struct record *r)
{
	static struct frame_coder coder, other;
	char *buf = malloc(record_bound(r));
	struct record again;
	size_t n;

	check(buf != NULL);
	n = record_encode(&coder, r, NULL, buf);
	check(n > 0 && n <= record_bound(r));
	check(record_decode(&other, bytes_of(buf, n), &again) == 0);
	check(bytes_eq(again.said, r->said));
	check(bytes_eq(again.payload, r->payload));
	free(buf);
}

static void
fuzz_record(struct bytes in, bool fitting)
{
	static struct frame_coder coder;
	uint64_t front, stored;
	struct record r;
	char *body;

	if (fitting && in.n >= RECORD_MIN)
		make_fit(in);
	if (record_peek(in, &front, &stored) == 0)
		check(front >= RECORD_MIN && front <= RECORD_FRONT &&
		      stored <= STORE_SMALL);
	if (record_decode_front(&coder, in, &r) == 0)
		check_record(&r, in);
	if (record_decode(&coder, in, &r) != 0)
		return;
	check_record(&r, in);
	check(r.front + r.payload.n == in.n);
	if (r.plain.info.body.kind == PLACE_SELF &&
	    r.plain.info.body.encoding == ENCODING_ZSTD) {
		body = malloc(r.plain.info.body_size + !r.plain.info.body_size);
		check(body != NULL);
		record_body(&coder, &r, body);
		free(body);
	}
	/* body and said are still those of the last one that was decoded. */
	if (record_decode(&coder, in, &r) == 0 && r.dictionary < 2)
		encode_again(&r);
}

static void
walk_block(struct bytes in)
{
	struct block_cursor c;

	block_begin(&c, in);
	while (block_next(&c))
		check(c.n <= BLOCK_KEY_MAX && c.value.n <= BLOCK_VALUE_MAX &&
		      c.value.p + c.value.n <= in.p + in.n);
}

/* A key, then a block in which it is sought, put and removed. */
static void
fuzz_block(struct bytes in, bool fitting)
{
	struct bytes key = fuzz_piece(&in), value;
	struct bytes block = copy_of(in);
	struct block_edited e = {.buf = malloc(BLOCK_ROOM)};
	struct block_hint hint = {.at = in.n, .key = "k", .n = 1};

	if (block.n >= BLOCK_EMPTY && block.n % 2)
		hint = (struct block_hint){.sum = object_get64(block.p),
		    .at = block.n / 2,
		    .key = "\x10",
		    .n = 1};
	check(e.buf != NULL);
	if (key.n > BLOCK_KEY_MAX)
		key.n = BLOCK_KEY_MAX;
	if (fitting && block.n >= BLOCK_EMPTY)
		object_put64(writable(block), object_sum(block.p + BLOCK_EMPTY,
						  block.n - BLOCK_EMPTY, 0));
	/* As in tree.c: of another size it is not even looked at. */
	if (block_check(block) == 0 ||
	    (block.n >= BLOCK_EMPTY && block.n <= BLOCK_MAX)) {
		walk_block(block);
		if (block_find(block, key, &value) == 0)
			check(value.p >= block.p &&
			      value.p + value.n <= block.p + block.n);
		if (block_edit(block, key, BYTES("value"), &hint, &e) == 0) {
			check(e.n <= BLOCK_ROOM);
			walk_block(bytes_of(e.buf, e.n));
		}
		if (block_edit(block, key, bytes_of(NULL, 0), &hint, &e) == 0) {
			check(e.n <= BLOCK_ROOM);
			walk_block(bytes_of(e.buf, e.n));
		}
	}
	free(e.buf);
	free(writable(block));
}

static void
fuzz_trailer(struct bytes in, bool fitting)
{
	struct place place = {.kind = PLACE_BLOB};
	struct object_trailer t;
	uint64_t id = 7;

	if (in.n == OBJECT_TRAILER) {
		/* The record that names it says the same. */
		place.encoding = (enum encoding)(in.p[5] & 3);
		id = object_get64(in.p + 16);
		place.raw = object_get64(in.p + 24);
		place.stored = object_get64(in.p + 32);
		if (fitting)
			object_put64(
			    writable(in) + 56, object_sum(in.p, 56, id));
		place.sum = object_get64(in.p + 56);
	}
	if (object_trailer_decode(in, id, &place, &t) != 0)
		return;
	check(t.block >= 4096 && t.block <= OBJECT_BLOCK_BIG);
	check(t.raw <= t.blocks * t.block);
}

static void
fuzz_table(struct bytes in)
{
	size_t size = object_entry_size(ENCODING_FRAMES);
	uint64_t blocks, stored, *offsets;

	if (in.n < 8)
		return;
	stored = object_get64(in.p);
	in = bytes_skip(in, 8);
	blocks = in.n / size;
	offsets = malloc((blocks + 1) * sizeof(*offsets));
	check(offsets != NULL);
	if (object_table_offsets(in.p, blocks, stored, offsets) == 0) {
		check(offsets[0] == 0 && offsets[blocks] == stored);
		for (uint64_t i = 0; i < blocks; i++)
			check(offsets[i] <= offsets[i + 1]);
	}
	free(offsets);
}

/* It decodes to as much as the record says, or it is damage. */
static void
fuzz_frame(struct bytes in)
{
	static struct frame_coder coder;
	size_t raw;
	char *to;

	if (in.n < 2)
		return;
	raw = ((unsigned char)in.p[0] | (size_t)(unsigned char)in.p[1] << 8) %
	      RAW_MAX;
	in = bytes_skip(in, 2);
	to = malloc(raw + !raw);
	check(to != NULL);
	frame_unpress(&coder, to, raw, in.p, in.n);
	for (unsigned kind = 0; kind < DICTIONARY_KINDS; kind++)
		frame_unfold(&coder, DICTIONARY_NEWEST,
		    (enum dictionary_kind)kind, in, to, raw);
	free(to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct object_container c;
	struct bytes in;
	bool fitting;

	if (size < 2)
		return 0;
	fitting = data[1] & 1;
	in = copy_of(bytes_of(data + 2, size - 2));
	switch (data[0] % 7) {
	case 0:
		fuzz_value(in);
		break;
	case 1:
		fuzz_record(in, fitting);
		break;
	case 2:
		fuzz_block(in, fitting);
		break;
	case 3:
		fuzz_trailer(in, fitting);
		break;
	case 4:
		fuzz_table(in);
		break;
	case 5:
		fuzz_frame(in);
		break;
	case 6:
		if (object_container_decode(in, &c) == 0)
			check(c.kind == PLACE_PACK || c.kind == PLACE_BLOB);
		break;
	}
	free(writable(in));
	return 0;
}
