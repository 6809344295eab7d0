/*
 * The catalog: LMDB behind functions that speak of hashes, keys and
 * containers. catalog.c is the only file that knows LMDB.
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

#define CATALOG_BATCH 256u

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
void catalog_close(struct catalog **c);
/* Bytes that its file takes; the writer's thread, or before there is one. */
uint64_t catalog_size(struct catalog *c);

int catalog_reader_open(struct catalog *c, struct catalog_reader **out);
void catalog_reader_rest(struct catalog_reader *r);
void catalog_reader_close(struct catalog_reader **r);

/* All: 0, LARDER_ABSENT, LARDER_IO, LARDER_DAMAGED. Views last until the
 * reader rests. */
int catalog_get(struct catalog_reader *r, struct hash hash, struct bytes *out);
int catalog_get_container(
    struct catalog_reader *r, uint64_t id, struct object_container *out);
int catalog_get_state(
    struct catalog_reader *r, const char *name, struct bytes *out);
int catalog_get_holes(struct catalog_reader *r, struct bytes *out);
int catalog_get_totals(struct catalog_reader *r, struct catalog_totals *out);
/* Up to CATALOG_BATCH hashes that have something in the container, from `from`
 * on (by their order on disk; NULL: the first); *count 0 at the end. */
int catalog_members(struct catalog_reader *r, uint64_t container,
    const struct hash *from, struct hash *out, unsigned *count);
/* The containers in the order of the queue: the first at or behind *queue. */
int catalog_oldest(struct catalog_reader *r, uint64_t *queue, uint64_t *id);
/* The containers in the order of their ids: the first at or behind *id. */
int catalog_next_container(struct catalog_reader *r, uint64_t *id);

/* Hashes in the order of their keys. `after` is where the last batch ended,
 * *n its length (0: begin at prefix). Up to CATALOG_BATCH; *count 0: no more.
 */
#define CATALOG_URL_MAX 511u
int catalog_urls(struct catalog_reader *r, struct bytes prefix, char *after,
    size_t *n, struct hash *out, unsigned *count);

int catalog_begin(struct catalog *c);
void catalog_abort(struct catalog *c);
/* 0, or LARDER_NOSPACE, LARDER_IO: then nothing of it happened. */
int catalog_commit(struct catalog *c);
/* As seen by the transaction; the view lasts until the next change. */
int catalog_old(struct catalog *c, struct hash hash, struct bytes *out);
/* value.p NULL: removed. */
int catalog_put(
    struct catalog *c, struct hash hash, struct bytes key, struct bytes value);
int catalog_put_member(
    struct catalog *c, uint64_t container, struct hash hash, bool there);
int catalog_old_container(
    struct catalog *c, uint64_t id, struct object_container *out);
/* before: the record it replaces, after: NULL for removed; either may be. */
int catalog_put_container(struct catalog *c, uint64_t id,
    const struct object_container *before,
    const struct object_container *after);
int catalog_put_state(struct catalog *c, const char *name, struct bytes value);
/* What is to be punched after the commit, or after a crash instead. */
int catalog_put_holes(struct catalog *c, struct bytes holes);
int catalog_put_totals(struct catalog *c, const struct catalog_totals *totals);

#endif
