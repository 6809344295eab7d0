/*
 * The format on disk, version 1. Numbers are little-endian; a "varint" is
 * LEB128, at most 10 bytes. Sums are XXH3-64.
 *
 * The folder
 *   larder.store   superblock, twice: "larder store, format N\n", secret, sum
 *   lock           held by the process that uses it
 *   catalog.mdb    LMDB, see catalog.c
 *   catalog.rebuild  it is there: the catalog does not know all that is here
 *   catalog.damaged  one that was set aside; nobody needs it
 *   packs/ID       pack: records one after another, holes where some were
 *   blobs/xx/ID    one body each; xx: the last two digits of ID
 *   tmp/ID         a pack or blob that the catalog does not name yet, or is
 *                  about to name no more
 *
 * A value of the catalog: all variants of one key, newest first
 *   u8 version | u8 count | varint key length | key | count records
 * A record
 *   varint id | varint zigzag(stored_at) | varint zigzag(expires)
 *   | varint head size | varint body size | varint, variant
 *   | varint, meta | place of head | place of body
 * A place
 *   u8 kind | encoding << 4; NONE ends here, else
 *   varint container, offset, front, stored, raw | u64 sum
 *   (SELF: varint raw only)
 *
 * A record of a pack
 *   offset size
 *        0    4  magic "LDR1"
 *        4    1  version
 *        5    1  encoding of the payload
 *        6    2  zero
 *        8    4  front: bytes before the payload, this header included
 *       12    4  stored: bytes of the payload
 *       16    8  sum of the payload, seeded with the object's id
 *       24    8  sum of the front from 32 on
 *       32    …  a value with one record, in which one place says SELF
 *    front    …  the payload: head and body, or a head alone
 *
 * A blob's file
 *        0       stored bytes of the body
 *   stored       the table: an entry a block (raw: u64 sum of the block;
 *                frames: u32 stored length, u64 sum of the stored frame)
 *   behind it    the trailer
 *        0    4  magic "LDB1"
 *        4    1  version
 *        5    1  encoding
 *        6    2  zero
 *        8    4  block: raw bytes an entry covers, the last one less
 *       12    4  zero
 *       16    8  object's id
 *       24    8  raw size
 *       32    8  stored size
 *       40    8  entries
 *       48    8  sum of the table
 *       56    8  sum of the trailer's bytes 0 to 55
 *
 * A container's record in the catalog
 *        0    1  version, 1: kind, 2-7: zero
 *        8    8  queue, 16: size, 24: live, 32: end, 40: sum of 0 to 39
 *
 * What always holds: a decoder reads no byte outside its range, and what it
 * returns obeys every limit that its comment in object.h gives.
 */
#include "object.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "larder/check.h"

#define RECORD_MAGIC  0x3152444cu /* "LDR1" */
#define TRAILER_MAGIC 0x3142444cu /* "LDB1" */
#define BLOCK_MIN     4096u

/* ---- numbers ----------------------------------------------------------- */

uint64_t
object_get64(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | u[i];
	return v;
}

void
object_put64(char *p, uint64_t v)
{
	for (int i = 0; i < 8; i++, v >>= 8)
		p[i] = (char)(v & 0xff);
}

void
object_put64_be(char *p, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		p[i] = (char)(v & 0xff);
}

uint64_t
object_get64_be(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | u[i];
	return v;
}

static uint32_t
get32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 |
	       (uint32_t)u[3] << 24;
}

static void
put32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++, v >>= 8)
		p[i] = (char)(v & 0xff);
}

uint64_t
object_sum(const void *p, size_t n, uint64_t id)
{
	return XXH3_64bits_withSeed(p, n, id);
}

/* ---- a cursor for each direction --------------------------------------- */

struct in {
	const char *p, *end;
	bool bad;
};

static uint64_t
in_byte(struct in *in)
{
	if (in->p == in->end) {
		in->bad = true;
		return 0;
	}
	return (unsigned char)*in->p++;
}

static uint64_t
in_varint(struct in *in)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64 && !in->bad; shift += 7) {
		uint64_t byte = in_byte(in);

		/* The tenth byte has room for one bit. */
		if (shift == 63 && byte > 1)
			break;
		v |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	in->bad = true;
	return 0;
}

static int64_t
in_signed(struct in *in)
{
	uint64_t v = in_varint(in);

	return (int64_t)(v >> 1 ^ (~(v & 1) + 1));
}

static uint64_t
in_u64(struct in *in)
{
	uint64_t v;

	if (in->end - in->p < 8) {
		in->bad = true;
		return 0;
	}
	v = object_get64(in->p);
	in->p += 8;
	return v;
}

static struct bytes
in_bytes(struct in *in, uint64_t max)
{
	uint64_t n = in_varint(in);
	struct bytes b = {in->p, (size_t)n};

	if (in->bad || n > max || n > (uint64_t)(in->end - in->p)) {
		in->bad = true;
		return (struct bytes){NULL, 0};
	}
	in->p += n;
	return b;
}

static char *
out_varint(char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (char)(v | 0x80);
	*p++ = (char)v;
	return p;
}

static char *
out_signed(char *p, int64_t v)
{
	return out_varint(p, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

static char *
out_bytes(char *p, struct bytes b)
{
	p = out_varint(p, b.n);
	if (b.n)
		memcpy(p, b.p, b.n);
	return p + b.n;
}

/* ---- values ------------------------------------------------------------ */

uint64_t
object_place_size(const struct place *place)
{
	uint64_t blocks;

	switch (place->kind) {
	case PLACE_PACK:
		return place->front + place->stored;
	case PLACE_BLOB:
		blocks = place->raw / OBJECT_BLOCK + 1;
		return place->stored + OBJECT_TRAILER +
		       blocks * object_entry_size(place->encoding);
	case PLACE_NONE:
	case PLACE_SELF:
		break;
	}
	return 0;
}

uint64_t
object_disk_size(const struct object_info *info)
{
	return object_place_size(&info->head) + object_place_size(&info->body);
}

uint64_t
object_skip(const struct object_info *info)
{
	return info->body.raw - info->body_size;
}

static char *
out_place(char *p, const struct place *place)
{
	*p++ = (char)((unsigned)place->kind | (unsigned)place->encoding << 4);
	if (place->kind == PLACE_NONE)
		return p;
	if (place->kind == PLACE_SELF)
		return out_varint(p, place->raw);
	p = out_varint(p, place->container);
	p = out_varint(p, place->offset);
	p = out_varint(p, place->front);
	p = out_varint(p, place->stored);
	p = out_varint(p, place->raw);
	object_put64(p, place->sum);
	return p + 8;
}

static void
in_place(struct in *in, struct place *place)
{
	uint64_t byte = in_byte(in);
	uint64_t kind = byte & 0xf, encoding = byte >> 4;

	memset(place, 0, sizeof(*place));
	if (kind > PLACE_SELF || encoding > ENCODING_FRAMES) {
		in->bad = true;
		return;
	}
	place->kind = (enum place_kind)kind;
	place->encoding = (enum encoding)encoding;
	if (kind == PLACE_NONE)
		return;
	if (kind == PLACE_SELF) {
		place->raw = in_varint(in);
	} else {
		place->container = in_varint(in);
		place->offset = in_varint(in);
		place->front = in_varint(in);
		place->stored = in_varint(in);
		place->raw = in_varint(in);
		place->sum = in_u64(in);
	}
	if (place->offset > INT64_MAX / 4 || place->stored > INT64_MAX / 4 ||
	    place->raw > INT64_MAX / 4 || place->front > INT32_MAX)
		in->bad = true;
	/* What is in a pack is decoded in memory. */
	if (kind == PLACE_PACK &&
	    (place->raw > 2 * STORE_SMALL || place->stored > 2 * STORE_SMALL))
		in->bad = true;
}

/* Sizes and places must not contradict each other. */
bool
object_sound(const struct object_info *info)
{
	if (info->head_size > STORE_SMALL || info->body.kind == PLACE_NONE)
		return false;
	if (info->body_size > info->body.raw)
		return false;
	if (info->body.kind == PLACE_BLOB)
		return info->body_size == info->body.raw &&
		       (info->head.kind == PLACE_PACK ||
			   info->head.kind == PLACE_SELF) &&
		       info->head.raw == info->head_size;
	if (info->head.kind == PLACE_NONE)
		return object_skip(info) == info->head_size;
	return info->head.kind != PLACE_BLOB &&
	       info->head.raw == info->head_size;
}

static void
in_info(struct in *in, struct object_info *info)
{
	info->id = in_varint(in);
	info->stored_at = in_signed(in);
	info->expires = in_signed(in);
	info->head_size = in_varint(in);
	info->body_size = in_varint(in);
	info->variant = in_bytes(in, OBJECT_META_MAX);
	info->meta = in_bytes(in, OBJECT_META_MAX);
	in_place(in, &info->head);
	in_place(in, &info->body);
	if (!in->bad && !object_sound(info))
		in->bad = true;
}

static char *
out_info(char *p, const struct object_info *info)
{
	p = out_varint(p, info->id);
	p = out_signed(p, info->stored_at);
	p = out_signed(p, info->expires);
	p = out_varint(p, info->head_size);
	p = out_varint(p, info->body_size);
	p = out_bytes(p, info->variant);
	p = out_bytes(p, info->meta);
	p = out_place(p, &info->head);
	return out_place(p, &info->body);
}

size_t
object_value_bound(const struct object_value *value)
{
	size_t n = 2 + 10 + value->key.n;

	/* Nine varints of its own, and two places of 1 + 5 * 10 + 8. */
	for (unsigned i = 0; i < value->count; i++)
		n += 7 * 10 + value->infos[i].variant.n +
		     value->infos[i].meta.n + 2 * (1 + 5 * 10 + 8);
	return n;
}

size_t
object_value_encode(const struct object_value *value, char *buf)
{
	char *p = buf;

	check(value->count <= STORE_VARIANTS_MAX);
	*p++ = OBJECT_FORMAT;
	*p++ = (char)value->count;
	p = out_bytes(p, value->key);
	for (unsigned i = 0; i < value->count; i++)
		p = out_info(p, &value->infos[i]);
	return (size_t)(p - buf);
}

static int
value_decode(struct in *in, struct object_value *out)
{
	uint64_t version = in_byte(in);
	uint64_t count = in_byte(in);

	if (version != OBJECT_FORMAT || !count || count > STORE_VARIANTS_MAX)
		return LARDER_DAMAGED;
	out->key = in_bytes(in, STORE_KEY_MAX);
	out->count = (unsigned)count;
	for (unsigned i = 0; i < count && !in->bad; i++)
		in_info(in, &out->infos[i]);
	return in->bad || in->p != in->end ? LARDER_DAMAGED : 0;
}

static bool
is_self(const struct object_info *info)
{
	return info->head.kind == PLACE_SELF || info->body.kind == PLACE_SELF;
}

int
object_value_decode(struct bytes bytes, struct object_value *out)
{
	struct in in = {bytes.p, bytes.p + bytes.n, false};
	int err = value_decode(&in, out);

	for (unsigned i = 0; !err && i < out->count; i++)
		if (is_self(&out->infos[i]))
			err = LARDER_DAMAGED;
	return err;
}

/* ---- records of packs -------------------------------------------------- */

size_t
object_front_encode(
    const struct object_value *value, const struct place *self, char *buf)
{
	size_t n = object_value_encode(value, buf + OBJECT_FRONT_MIN);
	size_t front = OBJECT_FRONT_MIN + n;

	check(value->count == 1 && self->stored <= UINT32_MAX);
	put32(buf, RECORD_MAGIC);
	buf[4] = OBJECT_FORMAT;
	buf[5] = (char)self->encoding;
	buf[6] = buf[7] = 0;
	put32(buf + 8, (uint32_t)front);
	put32(buf + 12, (uint32_t)self->stored);
	object_put64(buf + 16, self->sum);
	object_put64(
	    buf + 24, object_sum(buf + OBJECT_FRONT_MIN, n, self->sum));
	return front;
}

int
object_front_peek(struct bytes in, uint64_t *front, uint64_t *stored)
{
	if (in.n < OBJECT_FRONT_MIN || get32(in.p) != RECORD_MAGIC ||
	    in.p[4] != OBJECT_FORMAT)
		return LARDER_DAMAGED;
	*front = get32(in.p + 8);
	*stored = get32(in.p + 12);
	if (*front < OBJECT_FRONT_MIN || *front > 1u << 20 ||
	    *stored > 2 * STORE_SMALL)
		return LARDER_DAMAGED;
	return 0;
}

const char *
object_front_find(struct bytes in)
{
	char magic[4];

	put32(magic, RECORD_MAGIC);
	return in.n ? memmem(in.p, in.n, magic, sizeof(magic)) : NULL;
}

int
object_front_decode(
    struct bytes bytes, struct object_value *out, struct place *self)
{
	struct in in = {bytes.p, bytes.p + bytes.n, false};
	uint64_t front, stored;
	int err = object_front_peek(bytes, &front, &stored);

	if (err || front != bytes.n ||
	    (unsigned char)bytes.p[5] > ENCODING_ZSTD)
		return LARDER_DAMAGED;
	memset(self, 0, sizeof(*self));
	self->kind = PLACE_PACK;
	self->encoding = (enum encoding)bytes.p[5];
	self->front = front;
	self->stored = stored;
	self->sum = object_get64(bytes.p + 16);
	in.p += OBJECT_FRONT_MIN;
	if (object_sum(in.p, (size_t)(in.end - in.p), self->sum) !=
	    object_get64(bytes.p + 24))
		return LARDER_DAMAGED;
	err = value_decode(&in, out);
	if (err || out->count != 1 || !is_self(&out->infos[0]))
		return LARDER_DAMAGED;
	self->raw = out->infos[0].head.kind == PLACE_SELF
			? out->infos[0].head.raw
			: out->infos[0].body.raw;
	return self->raw > 2 * STORE_SMALL ? LARDER_DAMAGED : 0;
}

/* ---- containers and trailers ------------------------------------------- */

void
object_container_encode(const struct object_container *c, char *buf)
{
	memset(buf, 0, OBJECT_CONTAINER);
	buf[0] = OBJECT_FORMAT;
	buf[1] = (char)c->kind;
	object_put64(buf + 8, c->queue);
	object_put64(buf + 16, c->size);
	object_put64(buf + 24, c->live);
	object_put64(buf + 32, c->end);
	object_put64(buf + 40, object_sum(buf, 40, OBJECT_FORMAT));
}

int
object_container_decode(struct bytes in, struct object_container *out)
{
	if (in.n != OBJECT_CONTAINER || in.p[0] != OBJECT_FORMAT ||
	    (in.p[1] != PLACE_PACK && in.p[1] != PLACE_BLOB) ||
	    object_get64(in.p + 40) != object_sum(in.p, 40, OBJECT_FORMAT))
		return LARDER_DAMAGED;
	out->kind = (enum place_kind)in.p[1];
	out->queue = object_get64(in.p + 8);
	out->size = object_get64(in.p + 16);
	out->live = object_get64(in.p + 24);
	out->end = object_get64(in.p + 32);
	return 0;
}

size_t
object_entry_size(enum encoding encoding)
{
	return encoding == ENCODING_FRAMES ? 12 : 8;
}

void
object_frame_encode(char *buf, uint32_t stored, uint64_t sum)
{
	put32(buf, stored);
	object_put64(buf + 4, sum);
}

void
object_trailer_encode(const struct object_trailer *t, char *buf)
{
	memset(buf, 0, OBJECT_TRAILER);
	put32(buf, TRAILER_MAGIC);
	buf[4] = OBJECT_FORMAT;
	buf[5] = (char)t->encoding;
	put32(buf + 8, t->block);
	object_put64(buf + 16, t->id);
	object_put64(buf + 24, t->raw);
	object_put64(buf + 32, t->stored);
	object_put64(buf + 40, t->blocks);
	object_put64(buf + 48, t->table_sum);
	object_put64(buf + 56, object_sum(buf, 56, t->id));
}

int
object_trailer_read(struct bytes in, struct object_trailer *out)
{
	if (in.n != OBJECT_TRAILER || get32(in.p) != TRAILER_MAGIC ||
	    in.p[4] != OBJECT_FORMAT ||
	    object_sum(in.p, 56, object_get64(in.p + 16)) !=
		object_get64(in.p + 56))
		return LARDER_DAMAGED;
	out->encoding = (enum encoding)(unsigned char)in.p[5];
	out->block = get32(in.p + 8);
	out->id = object_get64(in.p + 16);
	out->raw = object_get64(in.p + 24);
	out->stored = object_get64(in.p + 32);
	out->blocks = object_get64(in.p + 40);
	out->table_sum = object_get64(in.p + 48);
	if (out->encoding != ENCODING_FRAMES &&
	    (out->encoding != ENCODING_RAW || out->stored != out->raw))
		return LARDER_DAMAGED;
	if (out->block < BLOCK_MIN || out->block > OBJECT_BLOCK_BIG ||
	    out->blocks != out->raw / out->block + !!(out->raw % out->block))
		return LARDER_DAMAGED;
	return 0;
}

int
object_trailer_decode(struct bytes in, uint64_t id,
    const struct place *expected, struct object_trailer *out)
{
	int err = object_trailer_read(in, out);

	if (err || object_get64(in.p + 56) != expected->sum || out->id != id ||
	    out->encoding != expected->encoding || out->raw != expected->raw ||
	    out->stored != expected->stored)
		return LARDER_DAMAGED;
	return 0;
}
