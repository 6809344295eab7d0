/*
 * One group of changes on its way to be durable: commit.c leads it, place.c
 * puts its bytes where they will lie, transact.c tells the catalog. All of it
 * is the writer's thread's.
 */
#ifndef STORAGE_COMMIT_H
#define STORAGE_COMMIT_H

#include "internal.h"

/* A region to be punched, as the catalog keeps it: container, offset, n. */
#define HOLE_SIZE 24u

struct item {
	struct entry *entry;
	struct image *image;
	uint64_t version;
	struct place places[2 * STORE_VARIANTS_MAX]; /* head, body, head, … */
};

struct touched {
	uint64_t id;
	bool there;    /* in the catalog before */
	bool doomed;   /* and not any more */
	bool stuck;    /* but it could not be condemned */
	int64_t live;  /* bytes that came or went */
	uint64_t end;  /* of a pack that was appended to */
	uint64_t size; /* of a blob that is new */
	uint64_t heir; /* the container whose place in the queue it takes */
	enum policy_queue queue; /* of a new one */
	enum place_kind kind;
	uint64_t unholed; /* what it would take but for extra->holes */
	struct object_container old, now;
};

/* Bytes of a pack that nothing names any more. */
struct region {
	uint64_t container, offset, n;
	uint64_t whole; /* of these, in blocks that lie in it */
	bool gone;	/* of an object that is none any more */
};

struct commit {
	struct store *store;
	const struct commit_extra *extra;
	struct item *items;
	unsigned count;
	struct touched *touched;
	unsigned touched_count, touched_room;
	struct region *regions;
	unsigned region_count, region_room;
	/* Bytes of what is new, and of what was moved. */
	uint64_t stored, rewritten;
	struct catalog_totals before;
};
/* An array with room for one more: it, or a longer one in its place. */
void *commit_grow(void *array, unsigned count, unsigned *room, size_t size);
/* What this group does to a container. */
struct touched *commit_touch(
    struct commit *c, uint64_t id, enum place_kind kind);

/* place.c: may it be committed now? Perhaps without what takes its time. */
bool commit_ready(struct item *item);
/* Appends what has to be, and says where all of it is. 0 or an error. */
int commit_place(struct commit *c, struct item *item);

/* What was punched stays so. 0 or an error. */
int commit_sync_holes(struct store *store);

/* transact.c: 0, or an error, and then nothing happened. */
int commit_transact(struct commit *c);

#endif
