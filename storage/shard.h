/*
 * memory.c's for change.c: entries in a shard, whose lock is held.
 */
#ifndef STORAGE_SHARD_H
#define STORAGE_SHARD_H

#include "memory.h"

struct shard *shard_of(struct store *store, struct hash hash);
/* The entry, out of the catalog if there is none: with no objects if it has
 * nothing, either. In none of the lists then. 0, LARDER_NOMEM, LARDER_IO,
 * LARDER_ABSENT: there is one, of another key with the same hash. */
int shard_load(struct store *store, struct shard *s, struct hash hash,
    struct bytes key, struct entry **out);
/* It is clean: the tier may keep it. */
void shard_keep(struct store *store, struct shard *s, struct entry *e);
/* A clean one goes. */
void shard_remove(struct store *store, struct shard *s, struct entry *e);
/* What it costs the tier is now this. */
void shard_account(struct store *store, struct entry *e, size_t cost);

#endif
