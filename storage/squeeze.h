/*
 * The hard work of pressing, in a thread of its own at idle priority.
 */
#ifndef STORAGE_SQUEEZE_H
#define STORAGE_SQUEEZE_H

#include "catalog.h"

struct file;
struct squeezer;
struct store;

/* One body that is pressed, or laid out raw again. */
struct press_task {
	struct hash hash;
	struct object *object;	/* a copy: its key, id and place */
	enum encoding encoding; /* of what is made: FRAMES or RAW */
	struct file *from, *to;
	struct object_trailer trailer;
	struct place place; /* of the new file */
	char *table;
	uint64_t
	    expected; /* bytes that it will take; of frames, by the sample */
	uint64_t reserved;
	bool gains;
	int err;
};

/* NULL: no memory, or no thread. */
struct squeezer *squeeze_start(struct store *store);
/* What is under way ends with LARDER_CLOSED. */
void squeeze_hurry(struct squeezer *squeezer);
void squeeze_stop(struct squeezer **squeezer);

/* Is it worth it? Says so in gains, expected and err. Blocks. */
void squeeze_sample(struct squeezer *squeezer, struct press_task *task);
/* Writes the frames of `from` to `to` and makes them durable: trailer, place,
 * table, gains, err. Blocks. */
void squeeze_press(struct squeezer *squeezer, struct press_task *task);
/* The other way round, in the same manner; there is room for all of it. */
void squeeze_undo(struct squeezer *squeezer, struct press_task *task);
/* Room for so many bytes of it, beyond what it has. 0 or NOSPACE. */
int squeeze_reserve(
    struct store *store, struct press_task *task, uint64_t stored);

#endif
