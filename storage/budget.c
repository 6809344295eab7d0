/*
 * The budget and the sketch.
 *
 * What always holds: budget_take() never passes the bound, however many
 * threads take at once; who took gives back exactly that.
 */
#include "budget.h"

#include "larder/check.h"

#define MIB (1024u * 1024)

static uint64_t
bound(uint64_t n, uint64_t least, uint64_t most)
{
	return n < least ? least : n > most ? most : n;
}

static bool
take(struct budget *b, uint64_t n, uint64_t leave)
{
	uint64_t size =
	    atomic_load_explicit(&b->size, memory_order_relaxed) - leave;
	uint64_t taken = atomic_load_explicit(&b->taken, memory_order_relaxed);

	do {
		if (taken > size || n > size - taken)
			return false;
	} while (!atomic_compare_exchange_weak(&b->taken, &taken, taken + n));
	return true;
}

bool
budget_take(struct budget *b, uint64_t n)
{
	return take(b, n, budget_pack(b));
}

bool
budget_take_last(struct budget *b, uint64_t n)
{
	return take(b, n, 0);
}

void
budget_force(struct budget *b, uint64_t n)
{
	atomic_fetch_add(&b->taken, n);
}

void
budget_give(struct budget *b, uint64_t n)
{
	uint64_t before = atomic_fetch_sub(&b->taken, n);

	check(before >= n);
}

uint64_t
budget_free(const struct budget *b)
{
	uint64_t size = atomic_load_explicit(&b->size, memory_order_relaxed);
	uint64_t taken = atomic_load_explicit(&b->taken, memory_order_relaxed);

	return size > taken ? size - taken : 0;
}

uint64_t
budget_usable(const struct budget *b)
{
	uint64_t n = budget_free(b), last = budget_pack(b);

	return n > last ? n - last : 0;
}

uint64_t
budget_pack(const struct budget *b)
{
	return bound(atomic_load_explicit(&b->size, memory_order_relaxed) / 32,
	    MIB, 64 * MIB);
}

uint64_t
budget_ahead(const struct budget *b)
{
	return bound(atomic_load_explicit(&b->size, memory_order_relaxed) / 16,
	    MIB, 16 * MIB);
}

uint64_t
budget_margin(const struct budget *b)
{
	return budget_pack(b) / 2;
}

/* ---- frequency ---------------------------------------------------------- */

static _Atomic uint8_t *
counter(struct sketch *s, unsigned row, uint64_t hash)
{
	uint64_t mixed = (hash ^ hash >> 29) * (0x9e3779b97f4a7c15u + 2 * row);

	return &s->rows[row][mixed >> 46];
}

/* Half of everything is forgotten, so that what was popular can go. */
static void
age(struct sketch *s)
{
	for (unsigned row = 0; row < SKETCH_ROWS; row++)
		for (unsigned i = 0; i < SKETCH_WIDTH; i++) {
			uint8_t v = atomic_load_explicit(
			    &s->rows[row][i], memory_order_relaxed);

			if (v)
				atomic_store_explicit(&s->rows[row][i], v >> 1,
				    memory_order_relaxed);
		}
}

void
sketch_add(struct sketch *s, uint64_t hash)
{
	/* Two threads at once may lose a count: it is an estimate. */
	for (unsigned row = 0; row < SKETCH_ROWS; row++) {
		_Atomic uint8_t *c = counter(s, row, hash);
		uint8_t v = atomic_load_explicit(c, memory_order_relaxed);

		if (v < SKETCH_TOP)
			atomic_store_explicit(
			    c, (uint8_t)(v + 1), memory_order_relaxed);
	}
	if (atomic_fetch_add_explicit(&s->added, 1, memory_order_relaxed) %
		(8ull * SKETCH_WIDTH) ==
	    8ull * SKETCH_WIDTH - 1)
		age(s);
}

unsigned
sketch_count(const struct sketch *s, uint64_t hash)
{
	unsigned least = SKETCH_TOP;

	for (unsigned row = 0; row < SKETCH_ROWS; row++) {
		uint64_t mixed =
		    (hash ^ hash >> 29) * (0x9e3779b97f4a7c15u + 2 * row);
		uint8_t v = atomic_load_explicit(
		    &s->rows[row][mixed >> 46], memory_order_relaxed);

		if (v < least)
			least = v;
	}
	return least;
}

void
sketch_spend(struct sketch *s, uint64_t hash)
{
	for (unsigned row = 0; row < SKETCH_ROWS; row++) {
		_Atomic uint8_t *c = counter(s, row, hash);
		uint8_t v = atomic_load_explicit(c, memory_order_relaxed);

		atomic_store_explicit(c, v >> 1, memory_order_relaxed);
	}
}

bool
evict_keep(unsigned uses, uint64_t size, uint64_t room)
{
	return uses > 0 && size <= room;
}
