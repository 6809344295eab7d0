/*
 * Blocks of the catalog's index.
 *
 *   offset size
 *        0    8  sum of what follows, XXH3-64
 *        8    …  entries, in ascending order of their keys
 * An entry
 *   varint shared: bytes that its key has in common with the one before
 *   | varint, the rest of its key | varint, value
 *
 * What always holds: of what was not written here nothing is believed: every
 * length is compared with what is left, and a key grows only within its bound.
 */
#include "block.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "larder/check.h"
#include "object.h"
#include "varint.h"

static uint64_t
sum_of(const char *p, size_t n)
{
	return XXH3_64bits(p, n);
}

int
block_check(struct bytes block)
{
	if (block.n < BLOCK_EMPTY || block.n > BLOCK_MAX)
		return LARDER_DAMAGED;
	return object_get64(block.p) ==
		       sum_of(block.p + BLOCK_EMPTY, block.n - BLOCK_EMPTY)
		   ? 0
		   : LARDER_DAMAGED;
}

size_t
block_shared(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n, i = 0;

	while (i < n && a.p[i] == b.p[i])
		i++;
	return i;
}

/* ---- reading ------------------------------------------------------------- */

static struct in
entries_of(struct bytes block)
{
	const char *end = block.p + block.n;

	if (block.n < BLOCK_EMPTY)
		return (struct in){end, end, false};
	return (struct in){block.p + BLOCK_EMPTY, end, false};
}

/* One entry; n: how long the key before it is. */
static bool
read_entry(struct in *in, size_t n, size_t *shared, struct bytes *rest,
    struct bytes *value)
{
	uint64_t same = in_varint(in);

	if (same > n)
		in->bad = true;
	*shared = (size_t)same;
	*rest = in_bytes(in, in->bad ? 0 : BLOCK_KEY_MAX - same);
	*value = in_bytes(in, BLOCK_VALUE_MAX);
	return !in->bad;
}

/*
 * Without ever writing a key down: `same` is how much of the key sought the
 * entry before has, and it is less than it. An entry that shares more with its
 * predecessor than that is less, too; one that shares less is greater.
 */
int
block_find(struct bytes block, struct bytes key, struct bytes *value)
{
	struct in in = entries_of(block);
	size_t n = 0, same = 0, shared;
	struct bytes rest;

	while (in.p < in.end && read_entry(&in, n, &shared, &rest, value)) {
		size_t more;

		n = shared + rest.n;
		if (shared > same)
			continue;
		if (shared < same)
			return LARDER_ABSENT;
		more = block_shared(rest, bytes_skip(key, same));
		same += more;
		if (same == key.n)
			return more == rest.n ? 0 : LARDER_ABSENT;
		if (more < rest.n &&
		    (unsigned char)rest.p[more] > (unsigned char)key.p[same])
			return LARDER_ABSENT;
	}
	return in.bad ? LARDER_DAMAGED : LARDER_ABSENT;
}

void
block_begin(struct block_cursor *c, struct bytes block)
{
	struct in in = entries_of(block);

	c->p = in.p;
	c->end = in.end;
	c->n = 0;
	c->value = bytes_of(NULL, 0);
	c->bad = false;
}

bool
block_next(struct block_cursor *c)
{
	struct in in = {c->p, c->end, false};
	struct bytes rest;
	size_t shared;

	if (c->p == c->end || c->bad)
		return false;
	if (!read_entry(&in, c->n, &shared, &rest, &c->value)) {
		c->bad = true;
		return false;
	}
	if (rest.n)
		memcpy(c->key + shared, rest.p, rest.n);
	c->n = shared + rest.n;
	c->p = in.p;
	return true;
}

/* ---- writing ------------------------------------------------------------- */

void
block_start(struct block_builder *b, char *buf)
{
	b->buf = buf;
	b->n = BLOCK_EMPTY;
	b->count = 0;
	b->last_n = 0;
}

static size_t
varint_size(uint64_t v)
{
	size_t n = 1;

	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

size_t
block_size_with(
    const struct block_builder *b, struct bytes key, struct bytes value)
{
	size_t shared = block_shared(bytes_of(b->last, b->last_n), key);

	return b->n + varint_size(shared) + varint_size(key.n - shared) +
	       key.n - shared + varint_size(value.n) + value.n;
}

void
block_add(struct block_builder *b, struct bytes key, struct bytes value)
{
	size_t shared = block_shared(bytes_of(b->last, b->last_n), key);
	char *p = b->buf + b->n;

	check(key.n <= BLOCK_KEY_MAX && value.n <= BLOCK_VALUE_MAX);
	p = out_varint(p, shared);
	p = out_bytes(p, bytes_skip(key, shared));
	p = out_bytes(p, value);
	b->n = (size_t)(p - b->buf);
	b->count++;
	memcpy(b->last + shared, key.p + shared, key.n - shared);
	b->last_n = key.n;
}

size_t
block_seal(struct block_builder *b)
{
	object_put64(b->buf, sum_of(b->buf + BLOCK_EMPTY, b->n - BLOCK_EMPTY));
	return b->n;
}

static int
compare(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;

	return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

/* What is before the key stays as it is, byte for byte, and so does what is
 * behind the entry after it: that one is the last whose neighbour changed. */
int
block_edit(struct bytes block, struct bytes key, struct bytes value,
    struct block_edited *out)
{
	struct block_cursor c;
	struct block_builder b;
	bool there = false, more;
	const char *at;
	size_t before;

	block_begin(&c, block);
	block_start(&b, out->buf);
	do {
		at = c.p;
		memcpy(b.last, c.key, c.n);
		b.last_n = c.n;
		more = block_next(&c);
	} while (more && compare(bytes_of(c.key, c.n), key) < 0);
	if (c.bad)
		return LARDER_DAMAGED;
	before =
	    block.n < BLOCK_EMPTY ? 0 : (size_t)(at - block.p) - BLOCK_EMPTY;
	if (before)
		memcpy(out->buf + BLOCK_EMPTY, block.p + BLOCK_EMPTY, before);
	b.n += before;
	if (more && bytes_eq(bytes_of(c.key, c.n), key)) {
		there = true;
		more = block_next(&c);
	}
	if (c.bad)
		return LARDER_DAMAGED;
	if (!value.p && !there)
		return LARDER_ABSENT;
	out->appended = !more && !there && before;
	out->shared = block_shared(bytes_of(b.last, b.last_n), key);
	if (value.p)
		block_add(&b, key, value);
	if (more) {
		block_add(&b, bytes_of(c.key, c.n), c.value);
		memcpy(out->buf + b.n, c.p, (size_t)(c.end - c.p));
		b.n += (size_t)(c.end - c.p);
	}
	out->n = block_seal(&b);
	return 0;
}
