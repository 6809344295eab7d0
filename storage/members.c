/*
 * The members of a container.
 *
 * What always holds
 *   - They leave in the order in which they lie, so that neighbours that go
 *     become one hole and space comes back as it goes.
 *   - A block is given back as a whole only if nothing that the catalog names
 *     lies in it once that transaction is committed.
 *   - What stays is written only where there is room for it; what can neither
 *     go nor move is left where it is.
 */
#include "members.h"

#include <stdlib.h>

#include "internal.h"
#include "owners.h"

/* ---- looking up ---------------------------------------------------------- */

static int
add(struct members *m, const struct member *one)
{
	if (m->count == m->room) {
		size_t room = m->room ? m->room * 2 : 256;
		struct member *more = realloc(m->all, room * sizeof(*more));

		if (!more)
			return LARDER_NOMEM;
		m->all = more;
		m->room = room;
	}
	m->all[m->count++] = *one;
	return 0;
}

static int
add_place(struct members *m, struct bytes key, struct hash hash,
    const struct place *place, bool head)
{
	struct member one = {
	    key, hash, place->offset, object_place_size(place), head};

	if (place->kind == PLACE_NONE || place->container != m->container)
		return 0;
	return add(m, &one);
}

static int
add_key(struct store *store, struct members *m, struct bytes key)
{
	struct hash hash = store_hash(store, key);
	struct object_value value;
	struct bytes bytes, copy;
	int err = catalog_get(store->writer.reader, hash, key, &bytes);

	if (!err)
		err = object_value_decode(bytes, key, &value);
	/* Nobody can find it. */
	if (err == LARDER_ABSENT || err == LARDER_DAMAGED)
		return 0;
	if (err)
		return err;
	copy = arena_copy(&m->keys, key);
	if (key.n && !copy.p)
		return LARDER_NOMEM;
	for (unsigned i = 0; !err && i < value.count; i++) {
		const struct object_info *info = &value.infos[i];

		err = add_place(m, copy, hash, &info->body, false);
		if (!err)
			err = add_place(m, copy, hash, &info->head, true);
	}
	return err;
}

static int
by_offset(const void *pa, const void *pb)
{
	const struct member *a = pa, *b = pb;

	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* In order, each once: a key with several records there was named by each. */
static void
arrange(struct members *m)
{
	size_t n = 0;

	if (m->count)
		qsort(m->all, m->count, sizeof(*m->all), by_offset);
	for (size_t i = 0; i < m->count; i++)
		if (!n || m->all[n - 1].offset != m->all[i].offset)
			m->all[n++] = m->all[i];
	m->count = n;
}

static int
load(struct store *store, struct members *m)
{
	struct catalog_reader *r = store->writer.reader;
	struct owners owners = {.count = 1};
	int err = catalog_get_container(r, m->container, &m->record);

	while (!err && owners.count) {
		err = owners_next(store, r, m->container, &owners);
		for (unsigned i = 0; i < owners.count && !err; i++)
			err = add_key(store, m, owners.keys[i]);
	}
	owners_release(&owners);
	/* What it does not say is not known to be nobody's. */
	if (!err && catalog_damaged(store->catalog))
		err = LARDER_DAMAGED;
	if (!err)
		arrange(m);
	return err;
}

int
members_load(struct store *store, uint64_t container, struct members *m)
{
	int err;

	memset(m, 0, sizeof(*m));
	arena_init(&m->keys, SIZE_MAX);
	m->container = container;
	err = load(store, m);
	catalog_reader_rest(store->writer.reader);
	if (!err) {
		m->says = calloc(m->count + 1, sizeof(*m->says));
		err = m->says ? 0 : LARDER_NOMEM;
	}
	if (err) {
		members_release(m);
		return err;
	}
	for (size_t i = 0; i < m->count; i++) {
		const struct member *one = &m->all[i];
		unsigned uses = sketch_count(store->sketch, one->hash.lo);

		m->says[i] = (struct policy_member){
		    .offset = one->offset,
		    .size = one->size,
		    .value = policy_value(uses, one->size, one->hash.lo),
		    .bound = one->head,
		};
	}
	return 0;
}

void
members_release(struct members *m)
{
	free(m->all);
	free(m->says);
	arena_release(&m->keys);
	memset(m, 0, sizeof(*m));
}

/* ---- one of them --------------------------------------------------------- */

struct change {
	struct store *store;
	const struct members *m;
	const struct member *member;
	bool stays;	/* it moves; or else it goes */
	uint64_t room;	/* for what moves */
	uint64_t moved; /* bytes */
};

static bool
lies_at(const struct change *c, const struct place *p)
{
	return p->kind != PLACE_NONE && p->container == c->m->container &&
	       p->offset == c->member->offset;
}

static bool
is_it(void *arg, const struct object *o)
{
	return o == arg;
}

static int
go(struct change *c, const struct image *old, struct object *o,
    struct image **out)
{
	*out = image_with(old, NULL, is_it, o);
	if (!*out)
		return LARDER_NOMEM;
	store_count(&c->store->evicted, 1);
	store_count(&c->store->evicted_bytes, object_disk_size(&o->info));
	sketch_bury(c->store->sketch, c->member->hash.lo);
	return 1;
}

static int
move(struct change *c, const struct image *old, unsigned i, struct image **out)
{
	struct object *o = old->objects[i], *copy;
	uint64_t size = object_disk_size(&o->info);
	int result;

	if (c->member->head)
		size = c->member->size;
	if (o->move == c->m->container)
		return 0;
	/* The head of a body that lies elsewhere goes when that does. */
	if (size > c->room - c->moved)
		return c->member->head ? 0 : go(c, old, o, out);
	copy = object_copy(o);
	if (copy) {
		/* Now it has to. */
		copy->move = c->m->container;
		copy->unpress = false;
	}
	result = image_replace(old, i, copy, out);
	c->moved += result == 1 ? size : 0;
	return result;
}

static int
on_change(void *arg, const struct image *old, struct image **out)
{
	struct change *c = arg;

	for (unsigned i = 0; i < old->count; i++) {
		struct object *o = old->objects[i];

		if (!lies_at(c, &o->info.body) && !lies_at(c, &o->info.head))
			continue;
		return c->stays ? move(c, old, i, out) : go(c, old, o, out);
	}
	return 0;
}

static int
change(struct change *c, size_t i, struct list *batch)
{
	c->member = &c->m->all[i];
	c->stays = c->m->says[i].stays || c->m->says[i].bound;
	return memory_change(
	    c->store, c->member->hash, c->member->key, on_change, c, batch);
}

int
members_drop(
    struct store *store, const struct members *m, size_t i, struct list *batch)
{
	struct change c = {.store = store, .m = m};

	return change(&c, i, batch);
}

/* ---- all of them --------------------------------------------------------- */

static int
commit(struct store *store, struct members *m, struct list *batch,
    const struct commit_extra *x)
{
	struct writer *w = &store->writer;
	int err;

	w->evicting = true;
	err = commit_batch(store, batch, x);
	w->evicting = false;
	m->held_up |= !list_empty(batch);
	writer_requeue(store, batch);
	return err;
}

/* Those that are to be changed, up to a last batch that is left to commit. */
static int
change_all(struct store *store, struct members *m, bool all, struct list *batch)
{
	struct commit_extra x = {.leave = all ? m->container : 0};
	struct change c = {.store = store, .m = m};
	unsigned n = 0, limit = commit_limit(store);
	int err = 0;

	c.room = budget_free(&store->budget) / 2;
	for (size_t i = 0; i < m->count && !err; i++) {
		if (!all && (m->says[i].stays || m->says[i].bound))
			continue;
		if (n == limit || c.moved > c.room / 2) {
			err = commit(store, m, batch, &x);
			c.room = budget_free(&store->budget) / 2;
			c.moved = n = 0;
		}
		if (err)
			break;
		if (change(&c, i, batch) == 0)
			n++;
		else
			/* Somebody else changes it: until that is committed
			 * the catalog says that it is here. */
			m->says[i].stays = true;
	}
	return err;
}

int
members_leave(struct store *store, struct members *m)
{
	struct commit_extra x = {.leave = m->container};
	struct list batch;
	int err;

	list_init(&batch);
	err = change_all(store, m, true, &batch);
	if (!m->count)
		x.remove = m->container;
	if (!err && (x.remove || !list_empty(&batch)))
		err = commit(store, m, &batch, &x);
	return err;
}

/* The blocks that none of those who stay lies in, as pairs; NULL: no memory. */
static uint64_t *
find_holes(const struct members *m, unsigned *count)
{
	uint64_t *holes = malloc((m->count + 1) * 2 * sizeof(*holes));
	uint64_t at = 0, end = disk_round(m->record.end);

	*count = 0;
	for (size_t i = 0; holes && i <= m->count; i++) {
		const struct policy_member *p = &m->says[i];
		uint64_t from = end, to = end;

		if (i < m->count) {
			if (!p->stays && !p->bound)
				continue;
			from = p->offset / DISK_BLOCK * DISK_BLOCK;
			to = disk_round(p->offset + p->size);
		}
		if (from > at) {
			holes[2 * *count] = at;
			holes[2 * *count + 1] = from - at;
			++*count;
		}
		at = to > at ? to : at;
	}
	return holes;
}

int
members_stay(struct store *store, struct members *m)
{
	struct commit_extra x = {
	    .stay = &m->container, .stays = 1, .holed = m->container};
	uint64_t *holes = NULL;
	struct list batch;
	int err;

	list_init(&batch);
	err = change_all(store, m, false, &batch);
	x.left = policy_blocks(m->says, m->count);
	if (!err && !m->held_up && m->record.kind == PLACE_PACK &&
	    x.left < m->record.size)
		x.holes = holes = find_holes(m, &x.hole_count);
	if (!err)
		err = commit(store, m, &batch, &x);
	free(holes);
	return err;
}
