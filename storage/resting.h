/*
 * Which large body is to be pressed next, or laid out raw again. The presser's
 * thread alone calls it, but for what readers tell.
 */
#ifndef STORAGE_RESTING_H
#define STORAGE_RESTING_H

#include "catalog.h"

/* How many bodies wait at most to be looked at again. */
#define RESTING_HOT 16u

struct object;
struct press_task;
struct store;

struct resting {
	struct store *store;
	unsigned after; /* seconds that a body rests before */
	uint64_t at;	/* the container to look at next */
	uint8_t *marks; /* containers that need no look */
};

/* LARDER_NOMEM. */
int resting_init(struct resting *s, struct store *store, unsigned after);
void resting_release(struct resting *s);

enum resting_found { RESTING_FOUND, RESTING_NOT_HERE, RESTING_WALKED };

/* FOUND: in *task, with an object that is the caller's; NOT_HERE: go on;
 * WALKED: that was all there is. */
enum resting_found resting_find(
    struct resting *s, struct catalog_reader *reader, struct press_task *task);
/* Milliseconds until the next walk. */
int64_t resting_pause(const struct resting *s);
/* Nothing is to be gained with that container. */
void resting_mark(struct resting *s, uint64_t id);

/* A frame of the file of that id was decoded for a reader. Any thread; never
 * blocks. */
void resting_note(struct store *store, struct hash hash, uint64_t id);
/* All of a body was that lies in a pack; where that is so again and again it
 * moves, to be laid out raw. Any thread that holds none of the store's locks.
 */
void resting_decoded(
    struct store *store, struct hash hash, const struct object *object);

#endif
