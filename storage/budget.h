/*
 * What the folder may take on disk: two atomics that every thread may touch
 * without a lock.
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

/* False, and nothing taken, when it would pass the bound; or leave less than
 * budget_last(): that only eviction may take, to write anew what stays. */
bool budget_take(struct budget *b, uint64_t n);
bool budget_take_last(struct budget *b, uint64_t n);
/* For what is on disk already. */
void budget_force(struct budget *b, uint64_t n);
void budget_give(struct budget *b, uint64_t n);
uint64_t budget_free(const struct budget *b);
/* More is taken than there is: the bound was lowered. */
bool budget_is_passed(const struct budget *b);
/* The same without what only eviction may take. */
uint64_t budget_usable(const struct budget *b);
/* What must be given back until so much is usable. */
uint64_t budget_lack(const struct budget *b, uint64_t need);
/* How much is to be kept free, so that who writes need not wait. */
uint64_t budget_margin(const struct budget *b);
uint64_t budget_last(const struct budget *b);
/* How long a pack gets: small enough that one is a small part of it all. */
uint64_t budget_pack(const struct budget *b);
/* What the catalog may grow by in one transaction. */
uint64_t budget_ahead(const struct budget *b);

#endif
