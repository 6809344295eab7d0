/*
 * The format on disk: see the tables at the top of object.c. Pure functions
 * over ranges of bytes; nothing here allocates, reads or trusts.
 */
#ifndef STORAGE_OBJECT_H
#define STORAGE_OBJECT_H

#include <stdint.h>

#include "larder/bytes.h"
#include "larder/store.h"

#define OBJECT_FORMAT	 3u
#define OBJECT_META_MAX	 (64u * 1024)
/* Blocks of a blob's table; those of longer ones are longer. */
#define OBJECT_BLOCK	 (256u * 1024)
#define OBJECT_BLOCK_BIG (1024u * 1024)
#define OBJECT_TRAILER	 64u
#define OBJECT_CONTAINER 48u

enum place_kind {
	PLACE_NONE, /* nowhere: a head that stands before its body */
	PLACE_PACK, /* a record of a pack */
	PLACE_BLOB, /* a file of its own */
	PLACE_SELF, /* in a pack's record: that record itself */
};

enum encoding {
	ENCODING_RAW,
	ENCODING_ZSTD,	 /* one zstd frame */
	ENCODING_FRAMES, /* independent zstd frames, with a table */
};

/* Where bytes lie on disk. */
struct place {
	enum place_kind kind;
	enum encoding encoding;
	uint64_t container;
	uint64_t offset; /* of the pack's record */
	uint64_t stored; /* bytes of that record, or of the blob, on disk */
	uint64_t raw;	 /* bytes of body that it decodes to */
	uint64_t sum;	 /* of a blob's trailer */
};

/* What the catalog says of one object; views into what was decoded. */
struct object_info {
	uint64_t id;
	int64_t stored_at, expires;
	uint64_t head_size, body_size;
	struct bytes variant, meta;
	/* NONE: in the same pack's record as the body. */
	struct place head;
	struct place body;
};

/* The value under one hash: a key and its variants, newest first. */
struct object_value {
	struct bytes key;
	unsigned count;
	struct object_info infos[STORE_VARIANTS_MAX];
};

/* What a pack's record says, but for a body that may be in it. */
struct object_plain {
	struct bytes key;
	/* One place says SELF: the head's, with a body elsewhere, or the
	 * body's; then the head's is NONE, or elsewhere. */
	struct object_info info;
	struct bytes head; /* n == 0: elsewhere, or empty */
};

/* A container: a pack, or the file of one blob. */
struct object_container {
	enum place_kind kind;
	uint64_t queue; /* its position in the queue of eviction */
	uint64_t size;	/* bytes that it takes on disk */
	uint64_t live;	/* bytes in it that something names */
	uint64_t end;	/* of a pack: where the next record goes */
};

/* What ends a blob's file; the table lies before it. */
struct object_trailer {
	enum encoding encoding;
	uint32_t block; /* raw bytes a block or frame covers */
	uint64_t id;
	uint64_t raw, stored; /* bytes: of the body, of what the file holds */
	uint64_t blocks;
	uint64_t table_sum;
};

/* Do its sizes and places not contradict each other? */
bool object_sound(const struct object_info *info);
/* Bytes that a place takes on disk, and those of head and body together. */
uint64_t object_place_size(const struct place *place);
uint64_t object_disk_size(const struct object_info *info);

size_t object_value_bound(const struct object_value *value);
/* All but the key. buf holds at least the bound; returns the bytes used. */
size_t object_value_encode(const struct object_value *value, char *buf);
/* What stands under the key. 0 or LARDER_DAMAGED. The views are into `in`. */
int object_value_decode(
    struct bytes in, struct bytes key, struct object_value *out);

size_t object_plain_bound(const struct object_plain *plain);
/* buf holds at least the bound; returns the bytes used. */
size_t object_plain_encode(const struct object_plain *plain, char *buf);
/* 0 or LARDER_DAMAGED. The views are into `in`. */
int object_plain_decode(struct bytes in, struct object_plain *out);

void object_container_encode(const struct object_container *c, char *buf);
int object_container_decode(struct bytes in, struct object_container *out);

/* OBJECT_TRAILER bytes. */
void object_trailer_encode(const struct object_trailer *t, char *buf);
/* expected: what the catalog's record says. */
int object_trailer_decode(struct bytes in, uint64_t id,
    const struct place *expected, struct object_trailer *out);
/* The same of one that nobody expects. */
int object_trailer_read(struct bytes in, struct object_trailer *out);
/* Bytes of one entry in the table before the trailer. */
size_t object_entry_size(enum encoding encoding);

/* Where each frame of a table begins, and behind the last one where that ends:
 * blocks + 1 numbers. LARDER_DAMAGED: that is not where the table begins. */
int object_table_offsets(
    const char *table, uint64_t blocks, uint64_t stored, uint64_t *offsets);

/* One of FRAMES: how long the frame is on disk, and its sum. */
void object_frame_encode(char *buf, uint32_t stored, uint64_t sum);

/* The checksum of a payload: seeded by its object, so that bytes of another
 * one in the right place are seen too. */
uint64_t object_sum(const void *p, size_t n, uint64_t id);
/* Of one behind the other. */
uint64_t object_sum_of_two(struct bytes a, struct bytes b, uint64_t id);

void object_put32(char *p, uint32_t v);
uint64_t object_get64(const char *p);
void object_put64(char *p, uint64_t v);
void object_put64_be(char *p, uint64_t v);
uint64_t object_get64_be(const char *p);

#endif
