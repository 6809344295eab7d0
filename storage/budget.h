/*
 * What the folder may take on disk, and how often a key was asked for. Both
 * are a few atomics that every thread may touch without a lock.
 */
#ifndef STORAGE_BUDGET_H
#define STORAGE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct budget {
	_Atomic uint64_t size;	/* the bound, in bytes */
	_Atomic uint64_t taken; /* files, and what is promised to them */
};

/* False, and nothing taken, when it would pass the bound; or leave less than a
 * pack: that much only eviction may take, to write anew what stays. */
bool budget_take(struct budget *b, uint64_t n);
bool budget_take_last(struct budget *b, uint64_t n);
/* For what is on disk already. */
void budget_force(struct budget *b, uint64_t n);
void budget_give(struct budget *b, uint64_t n);
uint64_t budget_free(const struct budget *b);
/* The same without what only eviction may take. */
uint64_t budget_usable(const struct budget *b);
/* How much is to be kept free, so that who writes need not wait. */
uint64_t budget_margin(const struct budget *b);
/* How long a pack gets: small enough that one is a small part of it all. */
uint64_t budget_pack(const struct budget *b);
/* What the catalog may grow by in one transaction. */
uint64_t budget_ahead(const struct budget *b);

/* A count-min sketch: never too low but by ageing, seldom too high. 1 MiB. */
#define SKETCH_ROWS  4u
#define SKETCH_WIDTH (1u << 18)
#define SKETCH_TOP   15u

struct sketch {
	_Atomic uint8_t rows[SKETCH_ROWS][SKETCH_WIDTH];
	_Atomic uint64_t added;
};

void sketch_add(struct sketch *s, uint64_t hash);
unsigned sketch_count(const struct sketch *s, uint64_t hash);
/* Halves one key's count: it has used up its chance. */
void sketch_spend(struct sketch *s, uint64_t hash);

/*
 * The policy of eviction, pure: does an object that reached the head of the
 * queue stay? uses: since it was counted anew; room: bytes that may still be
 * written again for those that stay.
 */
bool evict_keep(unsigned uses, uint64_t size, uint64_t room);

#endif
