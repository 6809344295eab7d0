/*
 * A bounded arena: what lives as long as one exchange is taken from it and
 * goes with it at once. Not for sharing between threads.
 */
#ifndef LARDER_ARENA_H
#define LARDER_ARENA_H

#include <stdarg.h>

#include "larder/bytes.h"

struct arena_block;

struct arena {
	struct arena_block *block; /* the newest, which gives */
	struct arena_block *first; /* kept by arena_reset() */
	size_t used;		   /* bytes given, over all blocks */
	size_t limit;		   /* what `used` may reach */
};

/* Takes no memory yet. limit in bytes. */
void arena_init(struct arena *a, size_t limit);
/* Forgets all it gave; keeps one block, so that the next round allocates
 * nothing. */
void arena_reset(struct arena *a);
/* Gives everything back; the arena may be used again after arena_init(). */
void arena_release(struct arena *a);

/* Aligned for any type, not zeroed. NULL past the limit or out of memory. */
void *arena_alloc(struct arena *a, size_t n);
/* Zeroed. */
void *arena_zalloc(struct arena *a, size_t n);
/* A copy, with a NUL behind it that is not counted. p == NULL on failure. */
struct bytes arena_copy(struct arena *a, struct bytes b);
/* printf into the arena; p == NULL on failure. */
struct bytes arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
