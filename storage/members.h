/*
 * What lies in a container: looked up for eviction, in the order in which it
 * lies there, and taken out of it. All of it is the writer's thread's.
 */
#ifndef STORAGE_MEMBERS_H
#define STORAGE_MEMBERS_H

#include "catalog.h"
#include "larder/arena.h"
#include "policy.h"

struct store;

/* One place in it. */
struct member {
	struct bytes key; /* in `keys` */
	struct hash hash;
	uint64_t offset, size; /* bytes */
	bool head; /* a head alone: it goes and stays with its body */
};

struct members {
	uint64_t container;
	struct object_container record;
	struct member *all;	    /* by offset */
	struct policy_member *says; /* one each: the verdict */
	size_t count, room;
	bool held_up; /* a change of one of them is not committed yet */
	struct arena keys;
};

/* May block. 0, or LARDER_ABSENT, LARDER_IO, LARDER_NOMEM, LARDER_DAMAGED:
 * then there is nothing to be released. */
int members_load(struct store *store, uint64_t container, struct members *m);
void members_release(struct members *m);

/* Carries out what `says` says, in as many transactions as it takes; what is
 * held up by a change that cannot be committed yet is left where it is.
 * May block. 0 or an error. */
int members_leave(struct store *store, struct members *m);
int members_stay(struct store *store, struct members *m);

/* One of them, as part of a batch of changes; says: the verdict. */
int members_drop(
    struct store *store, const struct members *m, size_t i, struct list *batch);

#endif
