/*
 * Records of packs.
 *
 * A small object's key, what the catalog has of it, and its head are as long
 * as many a body, and much alike: they are pressed together, with a dictionary
 * of what such things look like (dictionary.c). A body that does not shrink
 * stands behind them as it is, so that it is handed on where it was read to.
 *
 * What always holds
 *   - Whoever reads a record, or the front of one, does so by this file; what
 *     it is given is under sums that fit. One sum covers all of it and is
 *     seeded with the object's id, so that neither another object's record nor
 *     an older one's rest passes for it; the check covers the front alone, for
 *     those who read no more.
 *   - What is pressed is decoded to as much as the record says, or it is
 *     damage: a front to no more than RECORD_PLAIN, a body than STORE_SMALL.
 */
#include "record.h"

#include <string.h>

#include "larder/check.h"
#include "varint.h"

#define MAGIC	  "LDR\3"
#define MAGIC_LEN 4u
/* What comes before all that is under the sum. */
#define SUMS	  16u
/* Longer bodies make up for what a dictionary would say. */
#define FOLD_MAX  (16u * 1024)
/* To press what is less than so small a part of what is stored is a tenth of a
 * miss, and gains a thirtieth of the room at most. */
#define FEW	  20u

enum {
	MOVED = 1,
	PRESSED = 2,
	FOLDED = 4,
	UNKNOWN = 8,
	DICTIONARY = 4, /* a shift */
};

static uint32_t
check_of(const char *front, size_t n, uint64_t sum)
{
	return (uint32_t)object_sum(front + SUMS, n - SUMS, sum);
}

static bool
check_fits(struct bytes front)
{
	char check[4];

	object_put32(
	    check, check_of(front.p, front.n, object_get64(front.p + 8)));
	return memcmp(check, front.p + 4, sizeof(check)) == 0;
}

/* ---- writing ------------------------------------------------------------- */

size_t
record_bound(const struct record *r)
{
	return RECORD_MIN + object_plain_bound(&r->plain) + r->payload.n;
}

void
record_press_body(
    struct frame_coder *coder, struct record *r, struct bytes body, char *room)
{
	struct object_info *info = &r->plain.info;
	struct bytes block;
	size_t put;

	r->folded = false;
	r->payload = body;
	info->body.encoding = ENCODING_RAW;
	if (!frame_gains(coder, body))
		return;
	if (body.n <= FOLD_MAX &&
	    frame_fold(coder, r->dictionary, DICTIONARY_BODY, body, &block)) {
		r->folded = frame_smaller(block.n, body.n);
		put = r->folded ? block.n : 0;
		if (put)
			memcpy(room, block.p, put);
	} else {
		put = frame_press(
		    coder, room, frame_bound(STORE_SMALL), body.p, body.n);
	}
	if (!put)
		return;
	info->body.encoding = ENCODING_ZSTD;
	r->payload = bytes_of(room, put);
}

/* What comes behind the lengths. */
static int
press(struct frame_coder *coder, struct record *r, const struct record *was)
{
	size_t n;

	if (!frame_reserve(&coder->plain, object_plain_bound(&r->plain)))
		return LARDER_NOMEM;
	n = object_plain_encode(&r->plain, coder->plain.p);
	check(n <= RECORD_PLAIN);
	r->said = r->pressed = bytes_of(coder->plain.p, n);
	if (was && was->dictionary == r->dictionary &&
	    bytes_eq(was->said, r->said))
		r->pressed = was->pressed;
	else if (r->payload.n / FEW < n)
		frame_fold(coder, r->dictionary, DICTIONARY_FRONT, r->said,
		    &r->pressed);
	return 0;
}

/* What is not smaller is left as it is. */
static bool
is_pressed(const struct record *r)
{
	return r->pressed.n != r->said.n;
}

static size_t
varint_size(uint64_t v)
{
	size_t n = 1;

	while (v >>= 7)
		n++;
	return n;
}

/* The front's own length is part of it. */
static size_t
front_size(const struct record *r)
{
	size_t rest = SUMS + 1 + varint_size(r->payload.n) + r->pressed.n, n;

	if (is_pressed(r))
		rest += varint_size(r->said.n);
	n = rest + 1;

	while (rest + varint_size(n) > n)
		n++;
	return n;
}

size_t
record_encode_front(struct frame_coder *coder, struct record *r,
    const struct record *was, char *buf)
{
	uint64_t id = r->plain.info.id, sum;
	char *p = buf + SUMS;

	if (press(coder, r, was) != 0)
		return 0;
	r->front = front_size(r);
	*p++ = (char)((r->moved ? MOVED : 0) | (is_pressed(r) ? PRESSED : 0) |
		      (r->folded ? FOLDED : 0) | r->dictionary << DICTIONARY);
	p = out_varint(p, r->front);
	p = out_varint(p, r->payload.n);
	if (is_pressed(r))
		p = out_varint(p, r->said.n);
	memcpy(p, r->pressed.p, r->pressed.n);
	check(p + r->pressed.n == buf + r->front);
	sum = object_sum_of_two(
	    bytes_of(buf + SUMS, r->front - SUMS), r->payload, id);
	memcpy(buf, MAGIC, MAGIC_LEN);
	object_put64(buf + 8, sum);
	object_put32(buf + 4, check_of(buf, r->front, sum));
	return r->front;
}

size_t
record_encode(struct frame_coder *coder, struct record *r,
    const struct record *was, char *buf)
{
	size_t n = record_encode_front(coder, r, was, buf);

	if (!n)
		return 0;
	if (r->payload.n)
		memcpy(buf + n, r->payload.p, r->payload.n);
	return n + r->payload.n;
}

/* ---- reading ------------------------------------------------------------- */

static int
lengths(struct in *in, uint64_t *front, uint64_t *stored)
{
	*front = in_varint(in);
	*stored = in_varint(in);
	return in->bad || *front < RECORD_MIN || *front > RECORD_FRONT ||
		       *stored > STORE_SMALL
		   ? LARDER_DAMAGED
		   : 0;
}

int
record_peek(struct bytes bytes, uint64_t *front, uint64_t *stored)
{
	struct in in = {bytes.p, bytes.p + bytes.n, false};

	if (bytes.n < RECORD_MIN || memcmp(bytes.p, MAGIC, MAGIC_LEN) != 0)
		return LARDER_DAMAGED;
	in.p += SUMS + 1;
	return lengths(&in, front, stored);
}

bool
record_is_moved(struct bytes in)
{
	return in.n > SUMS && in.p[SUMS] & MOVED;
}

const char *
record_find(struct bytes in)
{
	return in.n ? memmem(in.p, in.n, MAGIC, MAGIC_LEN) : NULL;
}

/* What the front has behind the lengths: there, or decoded by the coder. */
static int
unpress(struct frame_coder *coder, struct in *in, struct record *out)
{
	uint64_t n = in_varint(in);

	out->pressed = bytes_of(in->p, (size_t)(in->end - in->p));
	if (in->bad || n > RECORD_PLAIN || n == out->pressed.n)
		return LARDER_DAMAGED;
	if (!frame_reserve(&coder->said, n))
		return LARDER_NOMEM;
	out->said = bytes_of(coder->said.p, n);
	return frame_unfold(coder, out->dictionary, DICTIONARY_FRONT,
	    out->pressed, coder->said.p, n);
}

/* Its body is what it says, or it has none. */
static bool
payload_fits(const struct record *r)
{
	const struct object_info *info = &r->plain.info;

	if (info->body.kind == PLACE_SELF &&
	    info->body.encoding == ENCODING_ZSTD)
		return true;
	return !r->folded &&
	       r->payload.n ==
		   (info->body.kind == PLACE_SELF ? info->body_size : 0);
}

int
record_decode_front(
    struct frame_coder *coder, struct bytes bytes, struct record *out)
{
	struct in in = {bytes.p, bytes.p + bytes.n, false};
	uint64_t front, stored;
	unsigned bits;
	int err = record_peek(bytes, &front, &stored);

	if (err || front != bytes.n || !check_fits(bytes))
		return LARDER_DAMAGED;
	in.p += SUMS;
	bits = (unsigned)in_byte(&in);
	out->moved = bits & MOVED;
	out->folded = bits & FOLDED;
	out->dictionary = bits >> DICTIONARY;
	out->front = bytes.n;
	out->payload = bytes_of(NULL, (size_t)stored);
	if (bits & UNKNOWN || lengths(&in, &front, &stored) != 0)
		return LARDER_DAMAGED;
	out->said = out->pressed = bytes_of(in.p, (size_t)(in.end - in.p));
	if (bits & PRESSED)
		err = unpress(coder, &in, out);
	if (!err)
		err = object_plain_decode(out->said, &out->plain);
	return err || payload_fits(out) ? err : LARDER_DAMAGED;
}

int
record_decode(struct frame_coder *coder, struct bytes bytes, struct record *out)
{
	uint64_t front, stored;
	int err = record_peek(bytes, &front, &stored);

	if (err || front + stored != bytes.n)
		return LARDER_DAMAGED;
	err = record_decode_front(coder, bytes_of(bytes.p, front), out);
	if (err)
		return err;
	out->payload.p = bytes.p + front;
	return object_sum(bytes.p + SUMS, bytes.n - SUMS, out->plain.info.id) ==
		       object_get64(bytes.p + 8)
		   ? 0
		   : LARDER_DAMAGED;
}

bool
record_holds(const struct record *r, const struct object_info *info, bool head,
    bool body)
{
	const struct object_info *has = &r->plain.info;

	if (has->id != info->id)
		return false;
	if (head && r->plain.head.n != info->head_size)
		return false;
	return !body || (has->body.kind == PLACE_SELF &&
			    has->body_size == info->body_size);
}

int
record_body(struct frame_coder *coder, const struct record *r, char *to)
{
	const struct object_info *info = &r->plain.info;

	if (r->folded)
		return frame_unfold(coder, r->dictionary, DICTIONARY_BODY,
		    r->payload, to, info->body_size);
	return frame_unpress(
	    coder, to, info->body_size, r->payload.p, r->payload.n);
}
