/*
 * What the presser is to do next: a walk over all containers finds what rests,
 * and readers tell of what is asked for often though it is pressed.
 */
#include "resting.h"

#include <stdlib.h>

#include "internal.h"
#include "larder/clock.h"
#include "squeeze.h"

/* Containers that are looked at in one go, at most. */
#define BATCH	    64u
/* Between two walks, ms. */
#define PAUSE_LEAST 20
#define WALK_MAX    15000
/* More uses than that, the first one counted, and it stays raw: it goes out by
 * sendfile(). */
#define USES	    4u
/* As many uses, and it is raw again: twice as many, or it would go back and
 * forth. */
#define USES_HOT    (2 * USES + 2)
/* Where others must go for every byte that it takes, only what is asked for
 * all the time does, and what rests does not rest for long. */
#define USES_FULL   (SKETCH_TOP - 2)
#define AFTER_FULL  2u
#define WALK_FULL   300
/* It is full so long after something went. */
#define FULL_MS	    60000
/* Bodies that are not worth a look any more: a bit an id, round and round. An
 * id that has an older one's bit only stays raw. */
#define MARKS	    (1u << 23)

void
resting_mark(struct resting *s, uint64_t id)
{
	s->marks[id % MARKS / 8] |= (uint8_t)(1u << id % 8);
}

static bool
marked(const struct resting *s, uint64_t id)
{
	return s->marks[id % MARKS / 8] & 1u << id % 8;
}

/* ---- is it one? ---------------------------------------------------------- */

/* Is the store at its budget, so that something goes for what comes? Where much
 * has just gone there is room for a while, and it is full all the same. */
static bool
is_full(const struct store *store)
{
	const struct budget *b = &store->budget;
	int64_t evicted = store->evicted_at;

	return budget_usable(b) < 2 * budget_margin(b) ||
	       (evicted != 0 && clock_mono_ms() - evicted < FULL_MS);
}

/* Is it time? Says also what need not be looked at again. */
static bool
rests(struct resting *s, struct hash hash, const struct object_info *info)
{
	int64_t now = clock_wall_ms() / 1000;
	bool full = is_full(s->store);
	unsigned after = full && s->after > AFTER_FULL ? AFTER_FULL : s->after;

	if (info->body.encoding != ENCODING_RAW) {
		resting_mark(s, info->body.container);
		return false;
	}
	return now - info->stored_at >= after &&
	       sketch_count(s->store->sketch, hash.lo) <=
		   (full ? USES_FULL : USES);
}

/* Nothing need go for it. What is pressed as there is no room is not laid out
 * in the room that this has made. */
static bool
is_roomy(const struct store *store, const struct object_info *info)
{
	const struct budget *b = &store->budget;

	return !is_full(store) &&
	       budget_usable(b) / 2 > budget_margin(b) + info->body.raw / 2;
}

/* Worth its place raw, though somebody decided otherwise. */
static bool
is_hot(struct resting *s, struct hash hash, const struct object_info *info)
{
	return info->body.encoding == ENCODING_FRAMES &&
	       sketch_count(s->store->sketch, hash.lo) >= USES_HOT &&
	       is_roomy(s->store, info);
}

typedef bool choose_fn(
    struct resting *s, struct hash hash, const struct object_info *info);

static bool
take(struct resting *s, struct catalog_reader *r, struct bytes key, uint64_t id,
    choose_fn *choose, struct press_task *t)
{
	struct hash hash = store_hash(s->store, key);
	struct object_value value;
	struct bytes bytes;

	if (catalog_get(r, hash, key, &bytes) != 0 ||
	    object_value_decode(bytes, key, &value) != 0)
		return false;
	for (unsigned i = 0; i < value.count; i++) {
		const struct object_info *info = &value.infos[i];

		if (info->body.kind != PLACE_BLOB ||
		    info->body.container != id || !choose(s, hash, info))
			continue;
		*t = (struct press_task){.hash = hash};
		t->encoding = info->body.encoding == ENCODING_RAW
				  ? ENCODING_FRAMES
				  : ENCODING_RAW;
		t->object = object_new(value.key, info);
		return t->object != NULL;
	}
	return false;
}

/* A blob's file is of one object: one batch says whose. */
static bool
take_from(struct resting *s, struct catalog_reader *r, uint64_t id,
    choose_fn *choose, struct press_task *t)
{
	struct catalog_walk walk = {.count = 0};
	bool taken = false;

	if (catalog_members(r, id, &walk) == 0)
		for (unsigned i = 0; i < walk.count && !taken; i++)
			taken = take(s, r, walk.keys[i], id, choose, t);
	catalog_walk_release(&walk);
	return taken;
}

void
resting_note(struct store *store, struct hash hash, uint64_t id)
{
	_Atomic uint64_t *slot = &store->hot[id % RESTING_HOT];

	/* Two that share a place: the later one. Who is lost comes again. */
	if (sketch_count(store->sketch, hash.lo) >= USES_HOT &&
	    atomic_load_explicit(slot, memory_order_relaxed) != id)
		atomic_store_explicit(slot, id, memory_order_relaxed);
}

/* ---- small ones ---------------------------------------------------------- */

/* In the sketch, how often it was decoded is counted under this. */
#define DECODED 0x5bd1e9955bd1e995u

static int
on_decoded(void *arg, const struct image *old, struct image **out)
{
	const struct object *was = arg;

	for (unsigned i = 0; i < old->count; i++) {
		struct object *o = old->objects[i], *copy;

		if (o->info.id != was->info.id)
			continue;
		if (o->info.body.kind != PLACE_PACK || o->move ||
		    o->info.body.encoding == ENCODING_RAW)
			return 0;
		copy = object_copy(o);
		if (copy) {
			copy->move = o->info.body.container;
			copy->unpress = true;
		}
		return image_replace(old, i, copy, out);
	}
	return 0;
}

void
resting_decoded(struct store *store, struct hash hash, const struct object *o)
{
	/* Not how often it is asked for: mostly the tier in memory has it. */
	uint64_t name = hash.lo ^ DECODED;

	if (store->offline || !is_roomy(store, &o->info))
		return;
	sketch_add(store->sketch, name);
	/* While a lost catalog is made anew its newest head may not be known.
	 */
	if (sketch_count(store->sketch, name) >= USES_HOT &&
	    !salvage_busy(store))
		(void)memory_change(store, hash, o->key, on_decoded,
		    (void *)(uintptr_t)o, NULL);
}

/* ---- what is next -------------------------------------------------------- */

static bool
find_hot(struct resting *s, struct catalog_reader *r, struct press_task *t)
{
	for (unsigned i = 0; i < RESTING_HOT; i++) {
		uint64_t id = atomic_exchange(&s->store->hot[i], 0);

		if (id && take_from(s, r, id, is_hot, t))
			return true;
	}
	return false;
}

/* RESTING_FOUND: in *t; RESTING_NOT_HERE: go on; RESTING_WALKED: that was the
 * last one. */
static enum resting_found
look(struct resting *s, struct catalog_reader *r, struct press_task *t)
{
	struct object_container c;

	for (unsigned i = 0; i < BATCH; i++) {
		uint64_t id = s->at;

		if (catalog_next_container(r, &id) != 0)
			return RESTING_WALKED;
		s->at = id + 1;
		if (marked(s, id) || catalog_get_container(r, id, &c) != 0)
			continue;
		if (c.kind != PLACE_BLOB) {
			resting_mark(s, id);
			continue;
		}
		if (take_from(s, r, id, rests, t))
			return RESTING_FOUND;
	}
	return RESTING_NOT_HERE;
}

enum resting_found
resting_find(struct resting *s, struct catalog_reader *r, struct press_task *t)
{
	enum resting_found found;

	if (find_hot(s, r, t))
		return RESTING_FOUND;
	found = look(s, r, t);
	if (found == RESTING_WALKED)
		s->at = 0;
	return found;
}

int64_t
resting_pause(const struct resting *s)
{
	int64_t ms = s->after * 250ll + PAUSE_LEAST;

	ms = ms < WALK_MAX ? ms : WALK_MAX;
	return is_full(s->store) && ms > WALK_FULL ? WALK_FULL : ms;
}

int
resting_init(struct resting *s, struct store *store, unsigned after)
{
	*s = (struct resting){store, after, 0, calloc(1, MARKS / 8)};
	return s->marks ? 0 : LARDER_NOMEM;
}

void
resting_release(struct resting *s)
{
	free(s->marks);
	s->marks = NULL;
}
