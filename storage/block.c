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

	for (uint64_t x, y; n - i >= sizeof(x); i += sizeof(x)) {
		memcpy(&x, a.p + i, sizeof(x));
		memcpy(&y, b.p + i, sizeof(y));
		if (x != y)
			break;
	}
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
 * Where an entry's key is beside the one sought, without ever writing it down:
 * *same is how much of the one sought the entry before has, and that is less
 * than it. An entry that shares more with its predecessor than that is less,
 * too; one that shares less is greater.
 */
static int
order(size_t shared, struct bytes rest, struct bytes key, size_t *same)
{
	size_t more;

	if (shared != *same)
		return shared > *same ? -1 : 1;
	more = block_shared(rest, bytes_skip(key, *same));
	*same += more;
	if (*same == key.n)
		return more < rest.n;
	if (more == rest.n)
		return -1;
	return (unsigned char)rest.p[more] < (unsigned char)key.p[*same] ? -1
									 : 1;
}

int
block_find(struct bytes block, struct bytes key, struct bytes *value)
{
	struct in in = entries_of(block);
	size_t n = 0, same = 0, shared;
	struct bytes rest;
	int at = -1;

	while (at < 0 && in.p < in.end &&
	       read_entry(&in, n, &shared, &rest, value)) {
		n = shared + rest.n;
		at = order(shared, rest, key, &same);
	}
	return in.bad ? LARDER_DAMAGED : at == 0 ? 0 : LARDER_ABSENT;
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

/* An entry, and the key of the one before it. */
struct place_in {
	struct in in;
	const char *at; /* where it begins, or the end */
	size_t shared;
	struct bytes rest, value;
	char key[BLOCK_KEY_MAX];
	size_t n;
};

static bool
look_at_next(struct place_in *p)
{
	p->at = p->in.p;
	return p->in.p < p->in.end &&
	       read_entry(&p->in, p->n, &p->shared, &p->rest, &p->value);
}

static void
pass(struct place_in *p)
{
	if (p->rest.n)
		memcpy(p->key + p->shared, p->rest.p, p->rest.n);
	p->n = p->shared + p->rest.n;
}

/* Behind the entry that the hint is of, if that is in this block and less than
 * the key. How much of the key it has. */
static size_t
skip(struct place_in *p, struct bytes block, struct bytes key,
    const struct block_hint *hint)
{
	size_t same = block_shared(bytes_of(hint->key, hint->n), key);

	if (hint->at < BLOCK_EMPTY || hint->at > block.n || same == key.n ||
	    hint->sum != object_get64(block.p) ||
	    (same < hint->n &&
		(unsigned char)hint->key[same] > (unsigned char)key.p[same]))
		return 0;
	p->in.p = block.p + hint->at;
	memcpy(p->key, hint->key, hint->n);
	p->n = hint->n;
	return same;
}

/* The first entry that is not less than the key; its order, or -1: none is. */
static int
seek(struct place_in *p, struct bytes block, struct bytes key,
    const struct block_hint *hint)
{
	size_t same;
	int at = -1;

	p->in = entries_of(block);
	p->n = 0;
	same = skip(p, block, key, hint);
	while (look_at_next(p)) {
		at = order(p->shared, p->rest, key, &same);
		if (at >= 0)
			break;
		pass(p);
	}
	return at;
}

/* What is before the key stays as it is, byte for byte, and so does what is
 * behind the entry after it: that one is the last whose neighbour changed. */
int
block_edit(struct bytes block, struct bytes key, struct bytes value,
    struct block_hint *hint, struct block_edited *out)
{
	struct place_in p;
	struct block_builder b;
	int at = seek(&p, block, key, hint);
	bool there = at == 0, more = at >= 0;
	size_t before =
	    block.n < BLOCK_EMPTY ? 0 : (size_t)(p.at - block.p) - BLOCK_EMPTY;

	block_start(&b, out->buf);
	memcpy(b.last, p.key, p.n);
	b.last_n = p.n;
	if (there) {
		pass(&p);
		more = look_at_next(&p);
	}
	if (p.in.bad)
		return LARDER_DAMAGED;
	if (!value.p && !there)
		return LARDER_ABSENT;
	if (before)
		memcpy(out->buf + BLOCK_EMPTY, block.p + BLOCK_EMPTY, before);
	b.n += before;
	out->appended = !more && !there && before;
	out->shared = block_shared(bytes_of(b.last, b.last_n), key);
	hint->at = 0;
	if (value.p) {
		block_add(&b, key, value);
		hint->at = b.n;
		hint->n = key.n;
		memcpy(hint->key, key.p, key.n);
	}
	if (more) {
		pass(&p);
		block_add(&b, bytes_of(p.key, p.n), p.value);
		memcpy(out->buf + b.n, p.in.p, (size_t)(p.in.end - p.in.p));
		b.n += (size_t)(p.in.end - p.in.p);
	}
	out->n = block_seal(&b);
	hint->sum = object_get64(out->buf);
	return 0;
}
