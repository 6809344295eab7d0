/*
 * FIFO, LRU, SIEVE (Zhang, NSDI 2024), S3-FIFO (Yang, SOSP 2023), GDSF
 * (Cherkasova, 1998) and LFUDA (Arlitt, 2000).
 *
 * A node is in the table under its key, and either cached, in a queue or the
 * heap, or (S3-FIFO) a ghost. What always holds: `used` is the bytes of those
 * that are cached and never above the budget when cache_ask() returns.
 */
#include "rivals.h"

#include <stdlib.h>
#include <string.h>

#include "larder/list.h"
#include "trace.h"

const char *const rival_names[RIVALS] = {
    "FIFO", "LRU", "SIEVE", "S3-FIFO", "GDSF", "LFUDA"};

enum queue { SMALL, MAIN, GHOST, QUEUES };

struct node {
	struct node *next; /* in its slot */
	struct list list;
	uint64_t key, size;
	unsigned uses;
	enum queue queue;
	double value; /* GDSF, LFUDA */
	uint64_t heap;
};

struct cache {
	enum rival policy;
	uint64_t budget, used;
	struct list queues[QUEUES];
	uint64_t bytes[QUEUES];
	struct list *hand; /* SIEVE */
	double clock;	   /* GDSF, LFUDA: L */
	struct node **heap;
	uint64_t heap_count, heap_room;
	struct node **slots;
	uint64_t count, size;
};

/* ---- the table ----------------------------------------------------------- */

static struct node **
slot_of(struct cache *c, uint64_t key)
{
	struct node **at = &c->slots[key & (c->size - 1)];

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

static void
grow(struct cache *c)
{
	struct node **old = c->slots;
	uint64_t size = c->size;

	if (old && c->count < size)
		return;
	c->size = size ? size * 2 : 4096;
	c->slots = calloc(c->size, sizeof(struct node *));
	check(c->slots != NULL);
	for (uint64_t i = 0; i < size; i++)
		for (struct node *n = old[i], *next; n; n = next) {
			struct node **at = &c->slots[n->key & (c->size - 1)];

			next = n->next;
			n->next = *at;
			*at = n;
		}
	free(old);
}

static struct node *
add(struct cache *c, uint64_t key, uint64_t size)
{
	struct node *n = calloc(1, sizeof(*n)), **at;

	check(n != NULL);
	grow(c);
	n->key = key;
	n->size = size;
	list_init(&n->list);
	at = &c->slots[key & (c->size - 1)];
	n->next = *at;
	*at = n;
	c->count++;
	return n;
}

static void
drop(struct cache *c, struct node *n)
{
	struct node **at = slot_of(c, n->key);

	*at = n->next;
	c->count--;
	free(n);
}

/* ---- queues -------------------------------------------------------------- */

static void
enter(struct cache *c, struct node *n, enum queue queue)
{
	n->queue = queue;
	list_append(&c->queues[queue], &n->list);
	c->bytes[queue] += n->size;
	c->used += queue == GHOST ? 0 : n->size;
}

static void
leave(struct cache *c, struct node *n)
{
	if (c->hand == &n->list)
		c->hand = n->list.next;
	list_remove(&n->list);
	c->bytes[n->queue] -= n->size;
	c->used -= n->queue == GHOST ? 0 : n->size;
}

static struct node *
oldest(struct cache *c, enum queue queue)
{
	return container_of(c->queues[queue].next, struct node, list);
}

/* ---- the heap ------------------------------------------------------------ */

static void
heap_set(struct cache *c, uint64_t i, struct node *n)
{
	c->heap[i] = n;
	n->heap = i;
}

static void
heap_up(struct cache *c, uint64_t i)
{
	struct node *n = c->heap[i];

	while (i && c->heap[(i - 1) / 2]->value > n->value) {
		heap_set(c, i, c->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_set(c, i, n);
}

static void
heap_down(struct cache *c, uint64_t i)
{
	struct node *n = c->heap[i];

	for (;;) {
		uint64_t k = 2 * i + 1;

		if (k + 1 < c->heap_count &&
		    c->heap[k + 1]->value < c->heap[k]->value)
			k++;
		if (k >= c->heap_count || c->heap[k]->value >= n->value)
			break;
		heap_set(c, i, c->heap[k]);
		i = k;
	}
	heap_set(c, i, n);
}

static void
weigh(struct cache *c, struct node *n)
{
	double per = c->policy == GDSF ? (double)n->size : 1;

	n->value = c->clock + n->uses / per;
}

static void
heap_add(struct cache *c, struct node *n)
{
	if (c->heap_count == c->heap_room) {
		c->heap_room = c->heap_room ? c->heap_room * 2 : 4096;
		c->heap =
		    realloc(c->heap, c->heap_room * sizeof(struct node *));
		check(c->heap != NULL);
	}
	weigh(c, n);
	heap_set(c, c->heap_count++, n);
	heap_up(c, n->heap);
	c->used += n->size;
}

static void
heap_evict(struct cache *c)
{
	struct node *n = c->heap[0];

	c->clock = n->value;
	heap_set(c, 0, c->heap[--c->heap_count]);
	if (c->heap_count)
		heap_down(c, 0);
	c->used -= n->size;
	drop(c, n);
}

/* ---- what goes ----------------------------------------------------------- */

static void
sieve_evict(struct cache *c)
{
	struct list *q = &c->queues[MAIN];
	struct node *n;

	/* From the oldest to the newest, and round again. */
	for (;;) {
		if (!c->hand || c->hand == q)
			c->hand = q->next;
		n = container_of(c->hand, struct node, list);
		if (!n->uses)
			break;
		n->uses = 0;
		c->hand = c->hand->next;
	}
	leave(c, n);
	drop(c, n);
}

static void
to_ghost(struct cache *c, struct node *n)
{
	leave(c, n);
	n->uses = 0;
	enter(c, n, GHOST);
	while (c->bytes[GHOST] > c->budget / 10 * 9) {
		n = oldest(c, GHOST);
		leave(c, n);
		drop(c, n);
	}
}

static void
s3_evict(struct cache *c)
{
	bool small = c->bytes[SMALL] > c->budget / 10;
	struct node *n;

	if (list_empty(&c->queues[MAIN]))
		small = true;
	n = oldest(c, small ? SMALL : MAIN);
	if (small && n->uses > 1) {
		leave(c, n);
		n->uses = 0;
		enter(c, n, MAIN);
	} else if (small) {
		to_ghost(c, n);
	} else if (n->uses) {
		leave(c, n);
		n->uses--;
		enter(c, n, MAIN);
	} else {
		leave(c, n);
		drop(c, n);
	}
}

static void
evict(struct cache *c)
{
	struct node *n;

	if (c->policy == GDSF || c->policy == LFUDA) {
		heap_evict(c);
	} else if (c->policy == SIEVE) {
		sieve_evict(c);
	} else if (c->policy == S3FIFO) {
		s3_evict(c);
	} else {
		n = oldest(c, MAIN);
		leave(c, n);
		drop(c, n);
	}
}

/* ---- the door ------------------------------------------------------------ */

static void
touch(struct cache *c, struct node *n)
{
	n->uses++;
	if (c->policy == SIEVE)
		n->uses = 1;
	if (c->policy == S3FIFO && n->uses > 3)
		n->uses = 3;
	if (c->policy == LRU) {
		leave(c, n);
		enter(c, n, MAIN);
	}
	if (c->policy == GDSF || c->policy == LFUDA) {
		weigh(c, n);
		heap_down(c, n->heap);
	}
}

bool
cache_ask(struct cache *c, uint64_t key, uint64_t size)
{
	struct node *n = *slot_of(c, key);
	bool ghost = n && n->queue == GHOST;

	if (n && !ghost) {
		touch(c, n);
		return true;
	}
	if (ghost) {
		leave(c, n);
		drop(c, n);
	}
	if (size > c->budget)
		return false;
	while (c->used + size > c->budget)
		evict(c);
	n = add(c, key, size);
	if (c->policy == GDSF || c->policy == LFUDA) {
		n->uses = 1;
		n->queue = MAIN;
		heap_add(c, n);
	} else {
		enter(c, n, c->policy == S3FIFO && !ghost ? SMALL : MAIN);
	}
	return false;
}

struct cache *
cache_new(enum rival policy, uint64_t budget)
{
	struct cache *c = calloc(1, sizeof(*c));

	check(c != NULL);
	c->policy = policy;
	c->budget = budget;
	for (unsigned i = 0; i < QUEUES; i++)
		list_init(&c->queues[i]);
	grow(c);
	return c;
}

void
cache_free(struct cache *c)
{
	for (uint64_t i = 0; i < c->size; i++)
		for (struct node *n = c->slots[i], *next; n; n = next) {
			next = n->next;
			free(n);
		}
	free(c->slots);
	free(c->heap);
	free(c);
}
