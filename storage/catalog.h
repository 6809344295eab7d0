/*
 * The catalog: LMDB behind functions that speak of keys and containers. Only
 * catalog*.c and tree.c know LMDB.
 *
 * Read: a reader pins a snapshot from its first question until it rests. It
 * belongs to one thread at a time. Every question is answered from a snapshot
 * at least as new as the last commit that ended before it was asked.
 * Write: one thread only, the writer.
 */
#ifndef STORAGE_CATALOG_H
#define STORAGE_CATALOG_H

#include <stdbool.h>

#include "object.h"

#define CATALOG_FILE	"catalog.mdb"
#define CATALOG_BATCH	256u
/* Longer keys are in the index up to that, and by their hashes. */
#define CATALOG_CUT	400u
/* Keys of the index are not longer. */
#define CATALOG_KEY_MAX 424u

struct catalog;
struct catalog_reader;

/* XXH3-128 of a key with the store's secret. */
struct hash {
	uint64_t lo, hi;
};

struct catalog_totals {
	uint64_t next_id, next_queue;
	/* The containers that records are appended to, or 0. */
	uint64_t pack, main_pack;
	uint64_t objects, body_bytes, stored_bytes;
	uint64_t disk;	/* what all containers take */
	uint64_t small; /* of that, those of the small queue */
};

/* map: the most it may ever become, in bytes. May block. 0, LARDER_DAMAGED,
 * LARDER_ACCESS, LARDER_NOMEM, LARDER_IO, LARDER_NOSPACE. */
int catalog_open(struct catalog **out, const char *path, uint64_t map);
/* All readers must be closed. */
void catalog_close(struct catalog **c);
/* It was found damaged, or LMDB fell over it: then nothing more is read or
 * written. */
bool catalog_damaged(struct catalog *c);
/* Looks through all of it, while it is used, until *stop; pins a snapshot as
 * long as that takes. 0, LARDER_DAMAGED, LARDER_IO, LARDER_NOMEM,
 * LARDER_CLOSED. May block. */
int catalog_check(struct catalog *c, const _Atomic bool *stop);
/* From now on catalog_damaged(). */
void catalog_condemn(struct catalog *c);
/* Opens the file of that name anew, perhaps another one: readers go over to it
 * with their next question. The writer's thread, no transaction. May block. As
 * catalog_open(); on an error all is as it was. */
int catalog_renew(struct catalog *c);
/* Bytes that its file takes, and how many of these hold something; the
 * writer's thread, or before there is one. */
uint64_t catalog_size(struct catalog *c);
uint64_t catalog_used(struct catalog *c);
/* Writes what it holds into a file without empty pages, and goes on with that
 * one: the writer's, between transactions. Readers go over to it with their
 * next question. dir: the store's folder. May block, for as long as the disk
 * takes. 0 or an error, and then it is as it was. */
int catalog_compact(struct catalog *c, int dir);
/* At opening: what a crash left of that. */
void catalog_forget_copy(int dir);

int catalog_reader_open(struct catalog *c, struct catalog_reader **out);
void catalog_reader_rest(struct catalog_reader *r);
void catalog_reader_close(struct catalog_reader **r);

/* All: 0, LARDER_ABSENT, LARDER_IO, LARDER_DAMAGED. Views last until the
 * reader rests. */

/* The value under exactly this key; hash: the key's. */
int catalog_get(struct catalog_reader *r, struct hash hash, struct bytes key,
    struct bytes *value);
int catalog_get_container(
    struct catalog_reader *r, uint64_t id, struct object_container *out);
int catalog_get_state(
    struct catalog_reader *r, const char *name, struct bytes *out);
int catalog_get_holes(struct catalog_reader *r, struct bytes *out);
int catalog_get_totals(struct catalog_reader *r, struct catalog_totals *out);
/* The containers in the order of the queue: the first at or behind *queue. */
int catalog_oldest(struct catalog_reader *r, uint64_t *queue, uint64_t *id);
/* The containers in the order of their ids: the first at or behind *id. */
int catalog_next_container(struct catalog_reader *r, uint64_t *id);

/* A walk over keys, a batch at a time; the reader may rest in between, and what
 * comes or goes meanwhile may be seen or not. All zeros: at its beginning. */
struct catalog_walk {
	unsigned count;			  /* of the batch; 0: that was all */
	struct bytes keys[CATALOG_BATCH]; /* until the next batch */
	char *room;			  /* what they lie in */
	size_t filled;
	char after[CATALOG_KEY_MAX]; /* where the batch ended */
	size_t n;
	bool begun;
};

void catalog_walk_release(struct catalog_walk *walk);
/* Keys that begin with prefix, in order; where it is longer than CATALOG_CUT,
 * perhaps others that share so much. LARDER_NOMEM, too. */
int catalog_urls(
    struct catalog_reader *r, struct bytes prefix, struct catalog_walk *walk);
/* What the catalog has in the container, in place of the keys: of a blob's file
 * the key, of a pack the offset of each record (catalog_offset() of it), for
 * the record says whose it is: owners.c asks it. */
int catalog_members(
    struct catalog_reader *r, uint64_t container, struct catalog_walk *walk);
/* LARDER_DAMAGED: it is none. */
int catalog_offset(struct bytes member, uint64_t *offset);

int catalog_begin(struct catalog *c);
void catalog_abort(struct catalog *c);
/* 0, or LARDER_NOSPACE, LARDER_IO: then nothing of it happened. */
int catalog_commit(struct catalog *c);
/* As seen by the transaction; the view lasts until the next change. */
int catalog_old(
    struct catalog *c, struct hash hash, struct bytes key, struct bytes *value);
/* value.p NULL: removed. */
int catalog_put(
    struct catalog *c, struct hash hash, struct bytes key, struct bytes value);
/* Something of this key lies at the place, or does not any more. */
int catalog_put_member(struct catalog *c, const struct place *place,
    struct hash hash, struct bytes key, bool there);
int catalog_old_container(
    struct catalog *c, uint64_t id, struct object_container *out);
/* before: the record it replaces, after: NULL for removed, and with it all its
 * members; either may be. */
int catalog_put_container(struct catalog *c, uint64_t id,
    const struct object_container *before,
    const struct object_container *after);
int catalog_put_state(struct catalog *c, const char *name, struct bytes value);
/* What is to be punched after the commit, or after a crash instead. */
int catalog_put_holes(struct catalog *c, struct bytes holes);
int catalog_put_totals(struct catalog *c, const struct catalog_totals *totals);

#endif
