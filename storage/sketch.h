/*
 * How often a key was asked for lately, stored or not, and which went not long
 * ago. Both are tables in memory of a size that the budget gives, atomics that
 * every thread may touch without a lock, and estimates: to lose a count, or to
 * take one for another's now and then, does no harm.
 */
#ifndef STORAGE_SKETCH_H
#define STORAGE_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "larder/bytes.h"

/* The most that is counted. */
#define SKETCH_TOP 15u

struct sketch;

/* For a store of so many bytes: 64 KiB to 20 MiB. NULL: out of memory. */
struct sketch *sketch_new(uint64_t budget);
void sketch_free(struct sketch *s);

/* What was counted is halved once in so many uses; the more is stored, the
 * longer it has to be remembered. */
void sketch_remember(struct sketch *s, uint64_t objects);

/* It will be added soon: what that touches is far away. */
void sketch_prefetch(const struct sketch *s, uint64_t hash);
void sketch_add(struct sketch *s, uint64_t hash);
unsigned sketch_count(const struct sketch *s, uint64_t hash);

/* It went; and did it, not long ago? */
void sketch_bury(struct sketch *s, uint64_t hash);
bool sketch_buried(const struct sketch *s, uint64_t hash);

/* All of it as bytes, for the next start. What others count meanwhile may be
 * lost. */
size_t sketch_size(const struct sketch *s);
void sketch_save(const struct sketch *s, char *out);
/* False, and nothing of it taken: of another size, or damaged. */
bool sketch_load(struct sketch *s, struct bytes in);

#endif
