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
 *   resting_note() ──> room for all ──> raw ──> durable, in tmp/ ──> publish
 *
 * publish() changes the object as any other change does: the writer commits
 * its new place, and with it the old file is condemned. So a crash leaves one
 * of the two files in tmp/, named or not, as with every other file.
 *
 * What always holds
 *   - Nothing is published but for the same object in the same place.
 *   - Readers of the raw file have it until they are done.
 *
 * This file's thread is told by resting.c what rests, and publishes what was
 * made of it; squeeze.c does the work, at idle priority.
 */
#include "press.h"

#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "larder/thread.h"
#include "squeeze.h"

/* Between two batches of a walk, and two questions for room. */
#define PAUSE_MS   20
/* How often it asks for room. */
#define ROOM_TRIES 25u
/* How often it looks, while it rests, whether to go on. */
#define LOOK_MS	   1000

struct presser {
	struct store *store;
	pthread_t thread;
	pthread_mutex_t lock; /* for `wake` alone */
	pthread_cond_t wake;
	_Atomic bool ending;
	/* The looking thread's. */
	struct resting resting;
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
		file_abandon(&p->store->files, p->file, p->size);
	file_unref(&p->store->files, &p->file);
	free(p);
}

/* ---- one body ------------------------------------------------------------ */

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

		if (info->id != was->id || info->body.kind != PLACE_BLOB ||
		    info->body.container != was->body.container)
			continue;
		return image_replace(old, i, replaced(w, old->objects[i]), out);
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
		file_abandon(&store->files, t->to, t->reserved);
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
		resting_mark(&p->resting, id);
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

/* Between two walks: shorter as soon as the store is full. */
static void
rest(struct presser *p)
{
	int64_t rested = 0, left;

	while ((left = resting_pause(&p->resting) - rested) > 0 && !p->ending) {
		left = left < LOOK_MS ? left : LOOK_MS;
		wait_ms(p, left);
		rested += left;
	}
}

static void *
run(void *arg)
{
	struct presser *p = arg;

	/* What was hot before the start is to stay as it is. */
	while (!p->ending && !p->store->sketch_is_read)
		wait_ms(p, PAUSE_MS);
	while (!p->ending) {
		struct catalog_reader *r;
		struct press_task task;
		enum resting_found found = RESTING_WALKED;

		if (store_borrow(p->store, &r) == 0) {
			found = resting_find(&p->resting, r, &task);
			store_return(p->store, &r);
		}
		if (found == RESTING_FOUND)
			work_on(p, &task);
		else if (found == RESTING_NOT_HERE)
			wait_ms(p, PAUSE_MS);
		else
			rest(p);
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
	resting_release(&p->resting);
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
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &attr);
	pthread_condattr_destroy(&attr);
	p->squeezer = squeeze_start(store);
	if (resting_init(&p->resting, store, after) || !p->squeezer ||
	    thread_start(&p->thread, "presser", run, p) != 0) {
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
