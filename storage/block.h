/*
 * A block of the catalog's index: entries in the order of their keys, each
 * without what it shares with the one before. Pure functions over ranges of
 * bytes, which are anybody's; the format is told at the top of block.c.
 */
#ifndef STORAGE_BLOCK_H
#define STORAGE_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"
#include "larder/err.h"

/* What one page of LMDB's overflow holds beside its header. */
#define BLOCK_MAX	4080u
/* A longer key or value is the caller's to cut. With these, three entries at
 * least are in what is too long for one block. */
#define BLOCK_KEY_MAX	432u
#define BLOCK_VALUE_MAX 800u
#define BLOCK_ENTRY_MAX (6u + BLOCK_KEY_MAX + BLOCK_VALUE_MAX)
/* What an edit may make of a full one: a new entry, and the next one with all
 * of its key. */
#define BLOCK_ROOM	(BLOCK_MAX + BLOCK_ENTRY_MAX + BLOCK_KEY_MAX)

/* One with nothing in it is this long. */
#define BLOCK_EMPTY 8u

/* 0, or LARDER_DAMAGED: its sum does not fit. Asked once for each block that
 * was read; all else here takes a sound one, and is still no more than wrong
 * where it is not. */
int block_check(struct bytes block);

/* 0 and a view of the value, LARDER_ABSENT, LARDER_DAMAGED. */
int block_find(struct bytes block, struct bytes key, struct bytes *value);

/* Entries one after another. */
struct block_cursor {
	const char *p, *end;	 /* what was not read yet */
	char key[BLOCK_KEY_MAX]; /* of the entry that was read last */
	size_t n;
	struct bytes value;
	bool bad; /* what follows is damaged */
};

void block_begin(struct block_cursor *c, struct bytes block);
/* False at the end, and where it is damaged. */
bool block_next(struct block_cursor *c);

/* A block being written: entries come in their order. */
struct block_builder {
	char *buf;
	size_t n; /* bytes so far */
	unsigned count;
	char last[BLOCK_KEY_MAX]; /* key of the entry before */
	size_t last_n;
};

void block_start(struct block_builder *b, char *buf);
/* Bytes that it will have with this entry. */
size_t block_size_with(
    const struct block_builder *b, struct bytes key, struct bytes value);
void block_add(struct block_builder *b, struct bytes key, struct bytes value);
/* Seals it and returns its bytes. */
size_t block_seal(struct block_builder *b);

struct block_edited {
	char *buf; /* of BLOCK_ROOM bytes, the caller's */
	size_t n;  /* how long it is, perhaps more than BLOCK_MAX */
	/* The key is new, and behind all others: it begins there, and has so
	 * much in common with the one before. */
	bool appended;
	size_t shared;
};

/* Where an edit put its entry: one of a greater key in what came of it begins
 * there to look. Of all zeros it says nothing. */
struct block_hint {
	uint64_t sum; /* of the block */
	size_t at;    /* behind the entry */
	char key[BLOCK_KEY_MAX];
	size_t n;
};

/* Writes the block with this key's value put in its place (value.p NULL: the
 * key left out). block.n 0 is an empty one. The hint may be of any other block;
 * it is replaced. 0, LARDER_ABSENT (there was nothing to leave out),
 * LARDER_DAMAGED. */
int block_edit(struct bytes block, struct bytes key, struct bytes value,
    struct block_hint *hint, struct block_edited *out);

/* Bytes with which both begin. */
size_t block_shared(struct bytes a, struct bytes b);

#endif
