/*
 * What the store does with its containers, in memory alone: see
 * storage/evict.c, which does the same to files.
 *
 * What always holds: `used` is what du would say of packs and blobs, and does
 * not pass the budget less its overhead.
 */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "larder/list.h"
#include "larder/store.h"
#include "policy.h"
#include "sketch.h"
#include "trace.h"

#define MIB  (1024u * 1024)
/* Asks between two looks at how much is stored. */
#define LOOK 1024u

struct object {
	struct object *next; /* in its slot */
	struct list node;    /* in its container, by offset */
	struct container *container;
	uint64_t key, hash, offset, size; /* size: bytes on disk */
};

struct container {
	struct list node; /* in its queue */
	struct list members;
	enum policy_queue queue;
	bool blob;
	uint64_t size, end;
};

struct model {
	struct model_options options;
	uint64_t budget;
	struct policy policy;
	struct sketch *sketch;
	struct list queues[POLICY_QUEUES];
	uint64_t bytes[POLICY_QUEUES];
	struct container *open[POLICY_QUEUES]; /* packs */
	struct policy_member *members;
	size_t room;
	struct object **slots;
	uint64_t size;
	uint64_t asked;
	struct model_stats stats;
};

/* ---- containers ---------------------------------------------------------- */

static struct container *
add_container(struct model *m, enum policy_queue queue, bool blob)
{
	struct container *c = calloc(1, sizeof(*c));

	check(c != NULL);
	c->queue = queue;
	c->blob = blob;
	list_init(&c->members);
	list_append(&m->queues[queue], &c->node);
	return c;
}

static void
resize(struct model *m, struct container *c, uint64_t size)
{
	m->bytes[c->queue] += size - c->size;
	m->stats.used += size - c->size;
	c->size = size;
}

static void
requeue(struct model *m, struct container *c)
{
	list_remove(&c->node);
	list_append(&m->queues[POLICY_MAIN], &c->node);
	m->bytes[c->queue] -= c->size;
	c->queue = POLICY_MAIN;
	m->bytes[c->queue] += c->size;
}

static void
drop_container(struct model *m, struct container *c)
{
	resize(m, c, 0);
	list_remove(&c->node);
	free(c);
}

static uint64_t
pack_size(const struct model *m)
{
	uint64_t n = m->options.budget / 128;

	return n < MIB ? MIB : n > 64 * MIB ? 64 * MIB : n;
}

static void
place(struct model *m, struct object *o, enum policy_queue queue)
{
	struct container *c = m->open[queue];

	if (o->size > STORE_SMALL) {
		c = add_container(m, queue, true);
		resize(m, c, disk_round(o->size) + DISK_BLOCK);
	} else {
		if (!c || c->end + o->size > pack_size(m))
			c = m->open[queue] = add_container(m, queue, false);
		resize(m, c,
		    c->size + disk_round(c->end + o->size) -
			disk_round(c->end));
	}
	o->container = c;
	o->offset = c->end;
	c->end += o->size;
	list_append(&c->members, &o->node);
}

/* ---- objects ------------------------------------------------------------- */

static struct object **
slot_of(struct model *m, uint64_t key)
{
	struct object **at = &m->slots[key & (m->size - 1)];

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	return at;
}

static void
grow(struct model *m)
{
	struct object **old = m->slots;
	uint64_t size = m->size;

	if (old && m->stats.objects < size)
		return;
	m->size = size ? size * 2 : 4096;
	m->slots = calloc(m->size, sizeof(struct object *));
	check(m->slots != NULL);
	for (uint64_t i = 0; i < size; i++)
		for (struct object *o = old[i], *next; o; o = next) {
			struct object **at = &m->slots[o->key & (m->size - 1)];

			next = o->next;
			o->next = *at;
			*at = o;
		}
	free(old);
}

static void
drop_object(struct model *m, struct object *o)
{
	struct object **at = slot_of(m, o->key);

	*at = o->next;
	list_remove(&o->node);
	sketch_bury(m->sketch, o->hash);
	m->stats.objects--;
	free(o);
}

/* ---- eviction ------------------------------------------------------------ */

static size_t
collect(struct model *m, struct container *c)
{
	size_t n = 0;

	list_each (node, &c->members) {
		struct object *o = container_of(node, struct object, node);

		if (n == m->room) {
			m->room = m->room ? m->room * 2 : 1024;
			m->members =
			    realloc(m->members, m->room * sizeof(*m->members));
			check(m->members != NULL);
		}
		m->members[n++] = (struct policy_member){o->offset, o->size,
		    policy_value(
			sketch_count(m->sketch, o->hash), o->size, o->hash),
		    false, false};
	}
	return n;
}

/* Those that stay are written anew, the others are dropped. */
static void
leave(struct model *m, struct container *c, const struct policy_member *members)
{
	struct list staying;

	list_init(&staying);
	list_each_safe (node, &c->members) {
		struct object *o = container_of(node, struct object, node);

		if ((members++)->stays) {
			list_remove(&o->node);
			list_append(&staying, &o->node);
		} else {
			drop_object(m, o);
		}
	}
	drop_container(m, c);
	while (!list_empty(&staying)) {
		struct object *o =
		    container_of(list_shift(&staying), struct object, node);

		policy_rewrote(&m->policy, o->size);
		m->stats.rewritten += o->size;
		place(m, o, POLICY_MAIN);
	}
}

static void
stay(struct model *m, struct container *c, const struct policy_member *members,
    size_t n)
{
	uint64_t size = c->blob ? c->size : policy_blocks(members, n);

	list_each_safe (node, &c->members)
		if (!(members++)->stays)
			drop_object(m, container_of(node, struct object, node));
	resize(m, c, size);
	requeue(m, c);
}

static void
evict(struct model *m, uint64_t *stayed)
{
	enum policy_queue q =
	    policy_turn(m->bytes[POLICY_SMALL], m->bytes[POLICY_MAIN]);
	struct policy_container what = {
	    .round = (unsigned)(*stayed / m->budget)};
	struct container *c;
	size_t n;

	if (list_empty(&m->queues[q]))
		q = q == POLICY_SMALL ? POLICY_MAIN : POLICY_SMALL;
	c = container_of(m->queues[q].next, struct container, node);
	if (m->open[q] == c)
		m->open[q] = NULL;
	what.blob = c->blob;
	what.size = what.room = c->size;
	n = collect(m, c);
	if (policy_judge(&m->policy, &what, m->members, n) == POLICY_STAY) {
		*stayed += what.size;
		stay(m, c, m->members, n);
	} else {
		leave(m, c, m->members);
	}
}

static void
make_room(struct model *m, uint64_t size)
{
	uint64_t stayed = 0;

	while (m->stats.used + size > m->budget)
		evict(m, &stayed);
}

/* ---- the door ------------------------------------------------------------ */

bool
model_ask(struct model *m, uint64_t key, uint64_t size)
{
	struct object *o = *slot_of(m, key), **at;
	uint64_t hash = trace_mix(key ^ 0x5bd1e995), disk = size;
	enum policy_queue queue;

	sketch_add(m->sketch, hash);
	if (m->asked++ % LOOK == 0)
		sketch_remember(m->sketch, m->stats.objects);
	if (o)
		return true;
	if ((double)(trace_mix(key + 99) % 1000) < m->options.text * 1000)
		disk = (uint64_t)((double)size / m->options.ratio);
	disk += m->options.record;
	if (disk > m->budget / 2)
		return false;
	make_room(m, disk + 2 * DISK_BLOCK);
	o = calloc(1, sizeof(*o));
	check(o != NULL);
	o->key = key;
	o->hash = hash;
	o->size = disk;
	list_init(&o->node);
	queue = policy_enter(&m->policy, sketch_buried(m->sketch, hash),
	    policy_value(sketch_count(m->sketch, hash), disk, hash));
	grow(m);
	at = slot_of(m, key);
	o->next = *at;
	*at = o;
	m->stats.objects++;
	m->stats.stored += disk;
	policy_stored(&m->policy, disk);
	place(m, o, queue);
	if (m->stats.used > m->stats.most)
		m->stats.most = m->stats.used;
	return false;
}

void
model_stats(const struct model *m, struct model_stats *out)
{
	*out = m->stats;
}

struct model *
model_new(const struct model_options *options)
{
	struct model *m = calloc(1, sizeof(*m));

	check(m != NULL);
	m->options = *options;
	m->budget =
	    (uint64_t)((double)options->budget * (1 - options->overhead));
	m->sketch = sketch_new(options->budget);
	check(m->sketch != NULL);
	policy_init(&m->policy, options->budget);
	for (unsigned i = 0; i < POLICY_QUEUES; i++)
		list_init(&m->queues[i]);
	grow(m);
	return m;
}

void
model_free(struct model *m)
{
	for (unsigned i = 0; i < POLICY_QUEUES; i++)
		while (!list_empty(&m->queues[i])) {
			struct container *c = container_of(
			    m->queues[i].next, struct container, node);

			list_each_safe (node, &c->members)
				drop_object(
				    m, container_of(node, struct object, node));
			drop_container(m, c);
		}
	sketch_free(m->sketch);
	free(m->members);
	free(m->slots);
	free(m);
}
