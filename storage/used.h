/*
 * When keys were last asked for, in days; see used.c.
 */
#ifndef STORAGE_USED_H
#define STORAGE_USED_H

#include <stdatomic.h>
#include <stdbool.h>

#include "budget.h"
#include "catalog.h"

struct used {
	void *room;
	_Atomic uint8_t *cells; /* in room */
	uint64_t count;		/* of cells; a power of two */
	_Atomic uint8_t mark;	/* what a use today is written as */
	_Atomic bool dirty;	/* not all of it is in the file */
	_Atomic int64_t base;	/* the day that a mark of 1 stands for */
	_Atomic int64_t since;	/* seconds: nothing is known of before */
	_Atomic int64_t latest; /* seconds: the newest time that was told */
	int64_t ticked, saved;	/* seconds: when that was last done */
	int dir;
	struct budget *budget;
	uint64_t on_disk; /* bytes of the budget that the file has */
};

/* Times are wall clock, in seconds. */

/* Reads the file, or begins anew where there is none that makes sense. Before
 * other threads know of it; budget: its size decides how many cells there are.
 * LARDER_NOMEM. May block. */
int used_open(struct used *u, int dir, struct budget *budget, int64_t now);
void used_release(struct used *u);

/* Any thread; no wait, no system call. The first says that the second comes. */
void used_prefetch(const struct used *u, struct hash hash);
void used_touch(struct used *u, struct hash hash);
/* It has not been used later than that. stored_at counts as a use. */
int64_t used_last(const struct used *u, struct hash hash, int64_t stored_at);

/* A minute has gone by since used_tick(). */
bool used_wants_tick(const struct used *u, int64_t now);
/* Time goes by: the writer's thread only. */
void used_tick(struct used *u, int64_t now);
/* Into the file, if there is something new, and (unless it must be) an hour has
 * gone by. The writer's thread only. May block. 0, LARDER_NOSPACE, LARDER_IO,
 * LARDER_ACCESS, LARDER_NOMEM: then it is tried again later. */
int used_save(struct used *u, int64_t now, bool must);

#endif
