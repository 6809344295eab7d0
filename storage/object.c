/*
 * The format on disk, version 3. Numbers are little-endian; a "varint" is
 * LEB128, at most 10 bytes, "signed" one in zigzag. Sums are XXH3-64.
 *
 * The folder
 *   larder.store   superblock, twice: "larder store, format N\n", secret, sum
 *   lock           held by the process that uses it
 *   sketch         what was asked for how often, see sketch.c; may be missing
 *   used           when what was used last, see used.c; may be missing
 *   catalog.mdb    LMDB, see catalog.c, tree.c, block.c
 *   catalog.new    its copy, until that takes its place
 *   catalog.damaged  one that was set aside: larder needs it no more
 *   catalog.rebuild  empty: the catalog does not know yet all that is stored
 *   packs/ID       pack: records one after another, holes where some were
 *   blobs/xx/ID    one body each; xx: the last two digits of ID
 *   tmp/ID         a pack or blob that the catalog does not name yet, or is
 *                  about to name no more
 *
 * A value of the catalog: all variants of one key, newest first
 *   u8 count | count records
 * A record
 *   u8 shape: kind of head | kind of body << 2 | body's encoding << 4
 *   | varint id | signed stored_at - EPOCH | signed expires - stored_at
 *   | varint head size | varint body size | varint, variant | varint, meta
 *   | place of head | place of body
 * A place
 *   NONE, SELF  nothing
 *   PACK        signed container - id | varint offset | varint bytes of the
 *               pack's record, which has the sum that covers it
 *   BLOB        signed container - id | varint stored, unless RAW | u64 sum
 *
 * A record of a pack: see record.c
 *   offset size
 *        0    3  magic "LDR"
 *        3    1  version
 *        4    4  check: low half of the sum of the front from 16 on, seeded
 *                with the sum that follows
 *        8    8  sum of all from 16 on, seeded with the object's id
 *       16    1  1: in the pack of those that moved or changed, and not of
 *                newcomers | 2: the front is pressed | 4: the payload is
 *                pressed with the dictionary, too | dictionary << 4
 *       17    …  varint front: bytes before the payload, all of these included
 *             …  varint stored: bytes of the payload
 *             …  varint, key | a record, as above, in which one place says
 *                SELF | the head, unless it lies elsewhere. Pressed: varint,
 *                how long they are | one block of zstd's, see frame.c
 *    front    …  the payload: the body, unless it lies elsewhere; raw, or one
 *                zstd frame, or with the dictionary one block
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
#include "record.h"
#include "varint.h"

#define TRAILER_MAGIC 0x3142444cu /* "LDB1" */
#define BLOCK_MIN     4096u
/* 2027-01-01: times around it are short. */
#define EPOCH	      1798761600

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

void
object_put32(char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++, v >>= 8)
		p[i] = (char)(v & 0xff);
}

uint64_t
object_sum(const void *p, size_t n, uint64_t id)
{
	return XXH3_64bits_withSeed(p, n, id);
}

uint64_t
object_sum_of_two(struct bytes a, struct bytes b, uint64_t id)
{
	XXH3_state_t state;

	XXH3_64bits_reset_withSeed(&state, id);
	XXH3_64bits_update(&state, a.p, a.n);
	XXH3_64bits_update(&state, b.p, b.n);
	return XXH3_64bits_digest(&state);
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

/* ---- values ------------------------------------------------------------ */

uint64_t
object_place_size(const struct place *place)
{
	uint64_t blocks;

	switch (place->kind) {
	case PLACE_PACK:
		return place->stored;
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

/* Differences of what may be anything: they wrap, here and on the way back. */
static int64_t
minus(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b);
}

static int64_t
plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static char *
out_place(char *p, const struct place *place, uint64_t id)
{
	if (place->kind != PLACE_PACK && place->kind != PLACE_BLOB)
		return p;
	p = out_signed(p, minus(place->container, id));
	if (place->kind == PLACE_PACK) {
		p = out_varint(p, place->offset);
		return out_varint(p, place->stored);
	}
	if (place->encoding != ENCODING_RAW)
		p = out_varint(p, place->stored);
	object_put64(p, place->sum);
	return p + 8;
}

/* Kind, encoding and raw are known. */
static void
in_place(struct in *in, struct place *place, uint64_t id)
{
	if (place->kind == PLACE_PACK || place->kind == PLACE_BLOB)
		place->container = id + (uint64_t)in_signed(in);
	if (place->kind == PLACE_PACK) {
		place->offset = in_varint(in);
		place->stored = in_varint(in);
		/* It is decoded in memory. */
		if (place->stored < RECORD_MIN || place->stored > RECORD_MAX)
			in->bad = true;
	} else if (place->kind == PLACE_BLOB) {
		place->stored = place->raw;
		if (place->encoding != ENCODING_RAW)
			place->stored = in_varint(in);
		place->sum = in_u64(in);
	}
	if (place->offset > INT64_MAX / 4 || place->stored > INT64_MAX / 4 ||
	    place->raw > INT64_MAX / 4)
		in->bad = true;
}

/* Sizes and places must not contradict each other. */
bool
object_sound(const struct object_info *info)
{
	if (info->head_size > STORE_SMALL || info->body.kind == PLACE_NONE ||
	    info->head.kind == PLACE_BLOB || info->body_size != info->body.raw)
		return false;
	if (info->body.kind == PLACE_BLOB)
		return info->head.kind != PLACE_NONE;
	return info->body.encoding != ENCODING_FRAMES &&
	       info->body_size <= STORE_SMALL;
}

static void
in_info(struct in *in, struct object_info *info)
{
	uint64_t shape = in_byte(in);

	memset(info, 0, sizeof(*info));
	info->head.kind = (enum place_kind)(shape & 3);
	info->body.kind = (enum place_kind)(shape >> 2 & 3);
	info->body.encoding = (enum encoding)(shape >> 4);
	if (info->body.encoding > ENCODING_FRAMES)
		in->bad = true;
	info->id = in_varint(in);
	info->stored_at = plus(in_signed(in), EPOCH);
	info->expires = plus(info->stored_at, in_signed(in));
	info->head_size = in_varint(in);
	info->body_size = info->body.raw = in_varint(in);
	info->variant = in_bytes(in, OBJECT_META_MAX);
	info->meta = in_bytes(in, OBJECT_META_MAX);
	in_place(in, &info->head, info->id);
	in_place(in, &info->body, info->id);
	if (!in->bad && !object_sound(info))
		in->bad = true;
}

static char *
out_info(char *p, const struct object_info *info)
{
	*p++ =
	    (char)((unsigned)info->head.kind | (unsigned)info->body.kind << 2 |
		   (unsigned)info->body.encoding << 4);
	p = out_varint(p, info->id);
	p = out_signed(p, minus((uint64_t)info->stored_at, EPOCH));
	p = out_signed(
	    p, minus((uint64_t)info->expires, (uint64_t)info->stored_at));
	p = out_varint(p, info->head_size);
	p = out_varint(p, info->body_size);
	p = out_bytes(p, info->variant);
	p = out_bytes(p, info->meta);
	p = out_place(p, &info->head, info->id);
	return out_place(p, &info->body, info->id);
}

/* Eight numbers of its own, and two places of three and a sum. */
static size_t
info_bound(const struct object_info *info)
{
	return 1 + 8 * VARINT_MAX + info->variant.n + info->meta.n +
	       2 * (3 * VARINT_MAX + 8);
}

size_t
object_value_bound(const struct object_value *value)
{
	size_t n = 1;

	for (unsigned i = 0; i < value->count; i++)
		n += info_bound(&value->infos[i]);
	return n;
}

size_t
object_value_encode(const struct object_value *value, char *buf)
{
	char *p = buf;

	check(value->count <= STORE_VARIANTS_MAX);
	*p++ = (char)value->count;
	for (unsigned i = 0; i < value->count; i++)
		p = out_info(p, &value->infos[i]);
	return (size_t)(p - buf);
}

static bool
is_self(const struct object_info *info)
{
	return info->head.kind == PLACE_SELF || info->body.kind == PLACE_SELF;
}

int
object_value_decode(
    struct bytes bytes, struct bytes key, struct object_value *out)
{
	struct in in = {bytes.p, bytes.p + bytes.n, false};
	uint64_t count = in_byte(&in);

	if (!count || count > STORE_VARIANTS_MAX)
		return LARDER_DAMAGED;
	out->key = key;
	out->count = (unsigned)count;
	for (unsigned i = 0; i < count && !in.bad; i++) {
		in_info(&in, &out->infos[i]);
		if (is_self(&out->infos[i]))
			in.bad = true;
	}
	return in.bad || in.p != in.end ? LARDER_DAMAGED : 0;
}

/* ---- what a pack's record says ------------------------------------------ */

size_t
object_plain_bound(const struct object_plain *plain)
{
	return VARINT_MAX + plain->key.n + info_bound(&plain->info) +
	       plain->head.n;
}

size_t
object_plain_encode(const struct object_plain *plain, char *buf)
{
	char *p = out_info(out_bytes(buf, plain->key), &plain->info);

	if (plain->head.n)
		memcpy(p, plain->head.p, plain->head.n);
	return (size_t)(p - buf) + plain->head.n;
}

int
object_plain_decode(struct bytes bytes, struct object_plain *out)
{
	struct in in = {bytes.p, bytes.p + bytes.n, false};
	const struct object_info *info = &out->info;
	bool has_head;

	out->key = in_bytes(&in, STORE_KEY_MAX);
	in_info(&in, &out->info);
	/* Its head or its body is here, and perhaps both. */
	if (in.bad || !is_self(info) ||
	    (info->head.kind == PLACE_SELF && info->body.kind == PLACE_SELF))
		return LARDER_DAMAGED;
	has_head = info->head.kind != PLACE_PACK;
	out->head = bytes_of(in.p, (size_t)(in.end - in.p));
	return out->head.n == (has_head ? info->head_size : 0) ? 0
							       : LARDER_DAMAGED;
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

int
object_table_offsets(
    const char *table, uint64_t blocks, uint64_t stored, uint64_t *offsets)
{
	size_t size = object_entry_size(ENCODING_FRAMES);
	uint64_t at = 0;

	offsets[0] = 0;
	for (uint64_t i = 0; i < blocks; i++) {
		at += get32(table + size * i);
		if (at > stored)
			return LARDER_DAMAGED;
		offsets[i + 1] = at;
	}
	return at == stored ? 0 : LARDER_DAMAGED;
}

void
object_frame_encode(char *buf, uint32_t stored, uint64_t sum)
{
	object_put32(buf, stored);
	object_put64(buf + 4, sum);
}

void
object_trailer_encode(const struct object_trailer *t, char *buf)
{
	memset(buf, 0, OBJECT_TRAILER);
	object_put32(buf, TRAILER_MAGIC);
	buf[4] = OBJECT_FORMAT;
	buf[5] = (char)t->encoding;
	object_put32(buf + 8, t->block);
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
