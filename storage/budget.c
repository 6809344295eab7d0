/*
 * The budget.
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

	/* Nothing more is wanted, even where too much is taken. */
	if (n == 0)
		return true;
	do {
		if (taken > size || n > size - taken)
			return false;
	} while (!atomic_compare_exchange_weak(&b->taken, &taken, taken + n));
	return true;
}

bool
budget_take(struct budget *b, uint64_t n)
{
	return take(b, n, budget_last(b));
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

bool
budget_is_passed(const struct budget *b)
{
	return atomic_load_explicit(&b->taken, memory_order_relaxed) >
	       atomic_load_explicit(&b->size, memory_order_relaxed);
}

uint64_t
budget_usable(const struct budget *b)
{
	uint64_t n = budget_free(b), last = budget_last(b);

	return n > last ? n - last : 0;
}

uint64_t
budget_lack(const struct budget *b, uint64_t need)
{
	uint64_t size = atomic_load_explicit(&b->size, memory_order_relaxed);
	uint64_t taken = atomic_load_explicit(&b->taken, memory_order_relaxed);
	uint64_t wanted = taken + need + budget_last(b);

	return wanted > size ? wanted - size : 0;
}

static uint64_t
share(const struct budget *b, unsigned part, uint64_t least, uint64_t most)
{
	return bound(
	    atomic_load_explicit(&b->size, memory_order_relaxed) / part, least,
	    most);
}

uint64_t
budget_last(const struct budget *b)
{
	return share(b, 128, MIB, 32 * MIB);
}

uint64_t
budget_pack(const struct budget *b)
{
	return share(b, 128, MIB, 64 * MIB);
}

uint64_t
budget_ahead(const struct budget *b)
{
	return share(b, 128, MIB, 16 * MIB);
}

uint64_t
budget_margin(const struct budget *b)
{
	return share(b, 128, MIB / 2, 32 * MIB);
}
