/*
 * Compression behind the clients' back.
 *
 * Large bodies are written raw, so that nobody waits. One that has rested is
 * sampled, and where that gains, written anew as independent zstd frames:
 *
 *   find ──> sample ──> reserve ──> frames ──> durable, in tmp/ ──> publish
 *    └ later   └ never    └ later    └ never, or dropped     └ gone: dropped
 *
 * One of these that is asked for often again goes the same way back, without a
 * sample, where there is much room:
 *
 *   press_note() ──> room for all ──> raw ──> durable, in tmp/ ──> publish
 *
 * publish() changes the object as any other change does: the writer commits
 * its new place, and with it the old file is condemned. So a crash leaves one
 * of the two files in tmp/, named or not, as with every other file.
 *
 * What always holds
 *   - Nothing is published but for the same object in the same place.
 *   - Readers of the raw file have it until they are done.
 *
 * This file's thread looks for what rests and publishes what was made of it;
 * squeeze.c does the work, at idle priority.
 */
#include "press.h"

#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "larder/clock.h"
#include "squeeze.h"

/* Containers that are looked at in one go, and the pause behind it. */
#define BATCH	   64u
#define PAUSE_MS   20
/* Between two walks. */
#define WALK_MAX   15000
/* More uses than that, the first one counted, and it stays raw: it goes out by
 * sendfile(). */
#define USES	   4u
/* As many uses, and it is raw again: twice as many, or it would go back and
 * forth. */
#define USES_HOT   (2 * USES + 2)
/* Where others must go for every byte that it takes, only what is asked for
 * all the time does, and what rests does not rest for long. */
#define USES_FULL  (SKETCH_TOP - 2)
#define AFTER_FULL 2u
#define WALK_FULL  300
/* How often it asks for room, PAUSE_MS apart. */
#define ROOM_TRIES 25u
/* Bodies that are not worth a look any more: a bit an id, round and round. An
 * id that has an older one's bit only stays raw. */
#define MARKS	   (1u << 23)

struct presser {
	struct store *store;
	unsigned after; /* seconds */
	pthread_t thread;
	pthread_mutex_t lock; /* for `wake` alone */
	pthread_cond_t wake;
	_Atomic bool ending;
	/* The looking thread's. */
	uint64_t at; /* the container to look at next */
	uint8_t *marks;
	struct squeezer *squeezer;
};

/* Or until it ends. */
static void
wait_ms(struct presser *p, int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_mutex_lock(&p->lock);
	while (
	    !p->ending && pthread_cond_timedwait(&p->wake, &p->lock, &t) == 0)
		;
	pthread_mutex_unlock(&p->lock);
}

/* ---- new files, until they are committed --------------------------------- */

struct pressed *
pressed_ref(struct pressed *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void
pressed_unref(struct pressed **pp)
{
	struct pressed *p = *pp;

	*pp = NULL;
	if (!p ||
	    atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (!p->kept)
		file_drop(&p->store->files, p->id, p->size);
	file_unref(&p->store->files, &p->file);
	free(p);
}

/* ---- one body ------------------------------------------------------------ */

static void
mark(struct presser *p, uint64_t id)
{
	p->marks[id % MARKS / 8] |= (uint8_t)(1u << id % 8);
}

static bool
marked(const struct presser *p, uint64_t id)
{
	return p->marks[id % MARKS / 8] & 1u << id % 8;
}

struct publishing {
	struct object *object; /* as it was found */
	struct place place;
	struct pressed *pressed;
};

static struct object *
replaced(const struct publishing *w, const struct object *o)
{
	struct object *copy = object_copy(o);

	if (!copy)
		return NULL;
	copy->info.body = w->place;
	copy->pressed = pressed_ref(w->pressed);
	return copy;
}

static int
on_pressed(void *arg, const struct image *old, struct image **out)
{
	const struct publishing *w = arg;
	const struct object_info *was = &w->object->info;

	for (unsigned i = 0; i < old->count; i++) {
		const struct object_info *info = &old->objects[i]->info;
		struct object *now;

		if (info->id != was->id || info->body.kind != PLACE_BLOB ||
		    info->body.container != was->body.container)
			continue;
		now = replaced(w, old->objects[i]);
		*out = now ? image_with(old, NULL, NULL, NULL) : NULL;
		if (!*out) {
			object_unref(&now);
			return LARDER_NOMEM;
		}
		object_unref(&(*out)->objects[i]);
		(*out)->objects[i] = now;
		return 1;
	}
	return 0;
}

/* Takes the new file and its room over. */
static void
publish(struct presser *p, struct press_task *t)
{
	struct store *store = p->store;
	struct pressed *made = calloc(1, sizeof(*made));
	struct publishing w = {t->object, t->place, made};

	if (!made)
		return;
	*made = (struct pressed){1, false, store, t->to, t->to->id, t->reserved,
	    t->object->info.body.container};
	t->to = NULL;
	t->reserved = 0;
	if (file_adopt_table(made->file, &t->trailer, &t->table, true) == 0)
		memory_change(
		    store, t->hash, t->object->key, on_pressed, &w, NULL);
	/* Where it was gone meanwhile this drops the file. */
	pressed_unref(&made);
}

/* Where there is none the writer makes some: pressing gives back more than it
 * takes. But only a little of all there is, or it would be the body itself
 * that goes. */
static int
reserve(struct presser *p, struct press_task *t)
{
	struct store *store = p->store;
	int err = squeeze_reserve(store, t, t->expected);

	if (t->encoding == ENCODING_RAW ||
	    t->expected > store->budget.size / 64)
		return err;
	for (unsigned i = 0; err == LARDER_NOSPACE && i < ROOM_TRIES; i++) {
		atomic_store(&store->press_wants, 2 * t->expected);
		writer_nudge(store);
		wait_ms(p, PAUSE_MS);
		err = squeeze_reserve(store, t, t->expected);
	}
	atomic_store(&store->press_wants, 0);
	return err;
}

/* Room for it, and its file. */
static int
begin(struct presser *p, struct press_task *t)
{
	struct store *store = p->store;
	uint64_t id;
	int err;

	t->table = malloc(t->from->blocks * object_entry_size(t->encoding) + 1);
	if (!t->table)
		return LARDER_NOMEM;
	err = reserve(p, t);
	if (err)
		return err;
	id = atomic_fetch_add(&store->next_id, 1);
	return file_create(&store->files, id, PLACE_BLOB, &t->to);
}

static void
clear(struct presser *p, struct press_task *t)
{
	struct store *store = p->store;

	if (t->to)
		file_drop(&store->files, t->to->id, t->reserved);
	else if (t->reserved)
		budget_give(&store->budget, t->reserved);
	file_unref(&store->files, &t->to);
	file_unref(&store->files, &t->from);
	object_unref(&t->object);
	free(t->table);
}

static void
press_one(struct presser *p, struct press_task *t)
{
	uint64_t id = t->from->id;

	/* Who reads it now has an open file, and may come again. */
	if (file_shared(&p->store->files, t->from))
		return;
	squeeze_sample(p->squeezer, t);
	if (!t->err && t->gains)
		t->err = begin(p, t);
	if (!t->err && t->gains)
		squeeze_press(p->squeezer, t);
	if (!t->err && t->gains)
		publish(p, t);
	else if (!t->err)
		mark(p, id);
}

static void
undo_one(struct presser *p, struct press_task *t)
{
	t->expected = t->from->raw;
	t->err = begin(p, t);
	if (!t->err)
		squeeze_undo(p->squeezer, t);
	if (!t->err)
		publish(p, t);
}

static void
work_on(struct presser *p, struct press_task *t)
{
	struct store *store = p->store;

	t->err = file_open(
	    &store->files, &t->object->info.body, t->object->info.id, &t->from);
	if (!t->err && t->encoding == ENCODING_FRAMES)
		press_one(p, t);
	else if (!t->err)
		undo_one(p, t);
	if (t->err == LARDER_DAMAGED)
		store_drop_damaged(store, t->hash, t->object);
	clear(p, t);
}

/* ---- looking for one ----------------------------------------------------- */

/* Is the store at its budget, so that something is evicted all the time? */
static bool
is_full(const struct presser *p)
{
	const struct budget *b = &p->store->budget;

	return budget_usable(b) < 2 * budget_margin(b);
}

/* Is it time? Says also what need not be looked at again. */
static bool
rests(struct presser *p, struct hash hash, const struct object_info *info)
{
	int64_t now = clock_wall_ms() / 1000;
	bool full = is_full(p);
	unsigned after = full && p->after > AFTER_FULL ? AFTER_FULL : p->after;

	if (info->body.encoding != ENCODING_RAW) {
		mark(p, info->body.container);
		return false;
	}
	return now - info->stored_at >= after &&
	       sketch_count(p->store->sketch, hash.lo) <=
		   (full ? USES_FULL : USES);
}

/* Worth its place raw, though somebody decided otherwise; and nothing need go
 * for it. */
static bool
is_hot(struct presser *p, struct hash hash, const struct object_info *info)
{
	const struct budget *b = &p->store->budget;

	return info->body.encoding == ENCODING_FRAMES &&
	       sketch_count(p->store->sketch, hash.lo) >= USES_HOT &&
	       budget_usable(b) / 2 > budget_margin(b) + info->body.raw / 2;
}

typedef bool choose_fn(
    struct presser *p, struct hash hash, const struct object_info *info);

static bool
take(struct presser *p, struct catalog_reader *r, struct bytes key, uint64_t id,
    choose_fn *choose, struct press_task *t)
{
	struct hash hash = store_hash(p->store, key);
	struct object_value value;
	struct bytes bytes;

	if (catalog_get(r, hash, key, &bytes) != 0 ||
	    object_value_decode(bytes, key, &value) != 0)
		return false;
	for (unsigned i = 0; i < value.count; i++) {
		const struct object_info *info = &value.infos[i];

		if (info->body.kind != PLACE_BLOB ||
		    info->body.container != id || !choose(p, hash, info))
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
take_from(struct presser *p, struct catalog_reader *r, uint64_t id,
    choose_fn *choose, struct press_task *t)
{
	struct catalog_walk walk = {.count = 0};
	bool taken = false;

	if (catalog_members(r, id, &walk) == 0)
		for (unsigned i = 0; i < walk.count && !taken; i++)
			taken = take(p, r, walk.keys[i], id, choose, t);
	catalog_walk_release(&walk);
	return taken;
}

enum found { FOUND, NOT_HERE, WALKED };

void
press_note(struct store *store, struct hash hash, uint64_t id)
{
	_Atomic uint64_t *slot = &store->press_hot[id % PRESS_HOT];

	/* Two that share a place: the later one. Who is lost comes again. */
	if (sketch_count(store->sketch, hash.lo) >= USES_HOT &&
	    atomic_load_explicit(slot, memory_order_relaxed) != id)
		atomic_store_explicit(slot, id, memory_order_relaxed);
}

static bool
find_hot(struct presser *p, struct catalog_reader *r, struct press_task *t)
{
	for (unsigned i = 0; i < PRESS_HOT; i++) {
		uint64_t id = atomic_exchange(&p->store->press_hot[i], 0);

		if (id && take_from(p, r, id, is_hot, t))
			return true;
	}
	return false;
}

/* FOUND: in *t; NOT_HERE: go on; WALKED: that was the last one. */
static enum found
find(struct presser *p, struct catalog_reader *r, struct press_task *t)
{
	struct object_container c;

	for (unsigned i = 0; i < BATCH; i++) {
		uint64_t id = p->at;

		if (catalog_next_container(r, &id) != 0)
			return WALKED;
		p->at = id + 1;
		if (marked(p, id) || catalog_get_container(r, id, &c) != 0)
			continue;
		if (c.kind != PLACE_BLOB) {
			mark(p, id);
			continue;
		}
		if (take_from(p, r, id, rests, t))
			return FOUND;
	}
	return NOT_HERE;
}

static void *
run(void *arg)
{
	struct presser *p = arg;
	int64_t rest = p->after * 250ll + PAUSE_MS;

	rest = rest < WALK_MAX ? rest : WALK_MAX;
	while (!p->ending) {
		struct catalog_reader *r;
		struct press_task task;
		enum found found = WALKED;

		if (store_borrow(p->store, &r) == 0) {
			found =
			    find_hot(p, r, &task) ? FOUND : find(p, r, &task);
			store_return(p->store, &r);
		}
		if (found == FOUND) {
			work_on(p, &task);
		} else if (found == NOT_HERE) {
			wait_ms(p, PAUSE_MS);
		} else {
			p->at = 0;
			wait_ms(p,
			    is_full(p) && rest > WALK_FULL ? WALK_FULL : rest);
		}
	}
	return NULL;
}

/* ---- life ---------------------------------------------------------------- */

static void
release(struct presser *p)
{
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->wake);
	squeeze_stop(&p->squeezer);
	free(p->marks);
	free(p);
}

int
press_start(struct store *store, unsigned after)
{
	struct presser *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return LARDER_NOMEM;
	p->store = store;
	p->after = after;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &attr);
	pthread_condattr_destroy(&attr);
	p->marks = calloc(1, MARKS / 8);
	p->squeezer = squeeze_start(store);
	if (!p->marks || !p->squeezer ||
	    pthread_create(&p->thread, NULL, run, p) != 0) {
		release(p);
		return LARDER_NOMEM;
	}
	store->presser = p;
	return 0;
}

void
press_stop(struct store *store)
{
	struct presser *p = store->presser;

	store->presser = NULL;
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	squeeze_hurry(p->squeezer);
	pthread_join(p->thread, NULL);
	release(p);
}
