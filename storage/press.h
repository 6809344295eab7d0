/*
 * The presser: compresses large bodies once they rest, and lays those out raw
 * again that are asked for often. See press.c.
 */
#ifndef STORAGE_PRESS_H
#define STORAGE_PRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct file;
struct object_trailer;
struct store;

/* A body's new file, from when it is durable until its object is committed
 * with it. Each object that stands on it has a reference. */
struct pressed {
	_Atomic unsigned refs;
	_Atomic bool kept; /* the catalog names it: set by the writer */
	struct store *store;
	struct file *file; /* one reference */
	uint64_t id;	   /* of the file, a container */
	uint64_t size;	   /* bytes that it takes on disk, of the budget */
	uint64_t from;	   /* the container that it stands for */
};

struct pressed *pressed_ref(struct pressed *pressed);
/* The last one drops a file that was not kept. */
void pressed_unref(struct pressed **pressed);

struct presser;

/* after: seconds that a body rests before. 0 or LARDER_NOMEM. */
int press_start(struct store *store, unsigned after);
/* Ends what is under way, too. Idempotent. */
void press_stop(struct store *store);

#endif
