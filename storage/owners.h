/*
 * Whose bytes lie in a container.
 */
#ifndef STORAGE_OWNERS_H
#define STORAGE_OWNERS_H

#include "catalog.h"
#include "frame.h"

struct store;

/* A batch of keys; all zeros before the first. */
struct owners {
	unsigned count;			  /* 0: that was all */
	struct bytes keys[CATALOG_BATCH]; /* until the next batch */
	struct catalog_walk walk;
	char *room; /* what they lie in */
	size_t filled, size;
	struct frame_coder coder;
};

/* The next ones that have something there, in no order; one with two records
 * in a pack perhaps twice. The reader may rest in between. May block: a pack's
 * records are read. 0, LARDER_NOMEM, LARDER_IO, LARDER_DAMAGED. */
int owners_next(struct store *store, struct catalog_reader *r,
    uint64_t container, struct owners *o);
void owners_release(struct owners *o);

#endif
