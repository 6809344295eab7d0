/*
 * The writer's thread; what comes in to it is in inbox.c.
 *
 * A round: make room (ahead of who will need it, and for who waits), then
 * commit what is due. A change is due WRITER_WINDOW_MS after it was made, or
 * when enough waits with it, or when somebody waits for it.
 *
 * What always holds
 *   - An entry that is dirty is in `dirty` or in the batch, never in both.
 *   - `dirty` is ordered by tickets, so that its head (and what the batch has)
 *     says up to where all is durable.
 *   - Who is stalled is resumed after each round: with room, or refused.
 * Locks: writer.lock is taken last, but for the pools'.
 */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "record.h"
#include "larder/clock.h"
#include "larder/thread.h"

/* One group appends no more than that. */
#define GROUP_BYTES  (8u * 1024 * 1024)
/* Beside the bytes themselves: the end of a block. */
#define GROUP_SLACK  (16u * 1024)
#define GROUP_LEAST  256u
/* What a group may have where there is no room for it. */
#define CUT_BYTES    (64u * 1024)
/* A commit of so many ms is no reason for larger groups. */
#define COMMIT_QUICK 20
#define RETRY_MS     10
/* After the start others have the processor. */
#define SETTLE_MS    300
#define FAILED_MS    500
/* No worker waits for longer than about that and a step. */
#define TURN_US	     250u
/* So much may wait that the writer is in no hurry. */
#define LITTLE	     (3 * WRITER_WINDOW_BYTES / 2)
/* So much that was pending leaves holes in the heap that are worth giving back,
 * once it has been over for a while. Not often: who allocates meanwhile waits
 * for some milliseconds. */
#define BURST	     (8u * 1024 * 1024)
#define BURST_MS     2000
#define GIVE_MS	     600000

/* ---- a round ------------------------------------------------------------- */

/* What cannot be written, for there is no room, is not kept in memory for
 * ever: new bodies and those that had to move go, removals stay. */
static bool
is_hopeless(void *arg, const struct object *o)
{
	(void)arg;
	return (o->move && !o->unpress) ||
	       (o->info.body.kind == PLACE_NONE && !blob_base(o->blob)->large);
}

static int
on_give_up(void *arg, const struct image *old, struct image **out)
{
	struct store *store = arg;
	unsigned moves = 0;

	for (unsigned i = 0; i < old->count; i++)
		if (old->objects[i]->unpress) {
			old->objects[i]->unpress = false;
			old->objects[i]->move = 0;
		}
	*out = image_with(old, NULL, is_hopeless, NULL);
	if (!*out)
		return LARDER_NOMEM;
	if ((*out)->count == old->count) {
		image_unref(out);
		return 0;
	}
	for (unsigned i = 0; i < old->count; i++) {
		const struct object *o = old->objects[i];

		/* What is stored already was to be moved for eviction. */
		if (o->info.body.kind == PLACE_NONE || !o->move)
			continue;
		store_count(&store->evicted, 1);
		store_count(&store->evicted_bytes, object_disk_size(&o->info));
		moves++;
	}
	store_count(&store->no_room, old->count - (*out)->count - moves);
	return 1;
}

static void
give_up(struct store *store, struct list *batch, int err)
{
	struct writer *w = &store->writer;
	int64_t now = clock_mono_ms();

	list_each (node, batch) {
		struct entry *e = container_of(node, struct entry, node);

		memory_change(store, e->hash, e->key, on_give_up, store, NULL);
	}
	if (now - w->complained > 60000 || !w->complained) {
		w->complained = now;
		store_report(store,
		    "cannot write to the cache folder (%s): new responses pass "
		    "uncached until it can be written again",
		    larder_strerror(err));
	}
}

/*
 * How many keys at most a group has. LMDB copies each page that a transaction
 * touches, and cannot use the old ones before the one after the next: with
 * groups of a large part of all keys the catalog's file would be three times
 * what it holds. Groups of a 256th keep that to a fifth or so. But where a
 * commit takes long, and does so for its syncs, larger ones it must be.
 */
static unsigned
group_limit(struct store *store)
{
	struct writer *w = &store->writer;
	uint64_t n = w->totals.objects / 256, most = commit_limit(store);

	n = n > GROUP_LEAST ? n : GROUP_LEAST;
	if (w->commit_ms > COMMIT_QUICK)
		n = n * (uint64_t)w->commit_ms / COMMIT_QUICK;
	return (unsigned)(n < most ? n : most);
}

/* The next group, up to what one transaction takes. */
static void
take_batch(struct store *store, struct list *batch)
{
	struct writer *w = &store->writer;
	unsigned n = 0, limit = group_limit(store);
	uint64_t bytes = 0, room = w->grant;

	/* The rest is for what it takes to fill up blocks. */
	room = room > GROUP_SLACK ? room - GROUP_SLACK : 0;
	pthread_mutex_lock(&w->lock);
	w->busy_since = 0;
	while (!list_empty(&w->dirty) && n < limit) {
		struct list *node = w->dirty.next;
		struct entry *e = container_of(node, struct entry, node);

		if (n && bytes + e->queued > room)
			break;
		list_remove(node);
		if (!w->busy_since || e->ticket < w->busy_since)
			w->busy_since = e->ticket;
		e->batched = true;
		w->dirty_count--;
		w->dirty_bytes -= e->queued;
		bytes += e->queued;
		list_append(batch, node);
		n++;
	}
	w->batch_bytes = bytes;
	list_splice(&w->states_taken, &w->states);
	w->stating = !list_empty(&w->states_taken);
	pthread_mutex_unlock(&w->lock);
}

static void
free_states(struct list *states)
{
	struct list *node;

	while ((node = list_shift(states)))
		free(container_of(node, struct writer_state, node));
}

static void
commit_group(struct store *store)
{
	struct writer *w = &store->writer;
	struct list batch;
	int64_t before;
	bool left;
	int err;

	list_init(&batch);
	take_batch(store, &batch);
	if (list_empty(&batch) && list_empty(&w->states_taken))
		return;
	before = clock_mono_ms();
	err = commit_batch(store, &batch, NULL);
	w->commit_ms = clock_mono_ms() - before;
	if (err)
		give_up(store, &batch, err);
	else
		free_states(&w->states_taken);
	left = !list_empty(&batch);
	writer_requeue(store, &batch);
	pthread_mutex_lock(&w->lock);
	w->batch_bytes = 0;
	w->busy_since = 0;
	w->stating = !list_empty(&w->states_taken);
	w->failed += err != 0;
	w->error = err ? err : w->error;
	if (left || err)
		w->not_before = clock_mono_ms() + (err ? FAILED_MS : RETRY_MS);
	pthread_mutex_unlock(&w->lock);
}

/* So that who writes need not wait for it. */
static uint64_t
keep_free(struct store *store)
{
	return budget_margin(&store->budget) + store->press_wants;
}

/* Room for what waits, and a margin for what comes. The group's part is taken
 * at once: those who write large ones would be quicker. */
static void
make_room(struct store *store)
{
	struct writer *w = &store->writer;
	unsigned stalled = 0;
	bool room = true;
	uint64_t bytes;

	pthread_mutex_lock(&w->lock);
	bytes = w->dirty_bytes;
	list_each (node, &w->stalled)
		stalled++;
	pthread_mutex_unlock(&w->lock);
	if (bytes)
		bytes =
		    (bytes > GROUP_BYTES ? GROUP_BYTES : bytes) + GROUP_SLACK;
	while (room) {
		room = evict_room(store, bytes + keep_free(store), &stalled);
		if (budget_take(&store->budget, bytes)) {
			w->grant = bytes;
			return;
		}
	}
	/* The budget was cut, and what is left is bodies that wait to be
	 * indexed: as soon as they are they can go. A few at a time, from what
	 * eviction may take, or beyond a bound that is passed anyway. */
	bytes = bytes < CUT_BYTES ? bytes : CUT_BYTES;
	if (budget_take_last(&store->budget, bytes)) {
		w->grant = bytes;
	} else if (budget_is_passed(&store->budget)) {
		w->grant = bytes;
		budget_force(&store->budget, bytes);
	}
}

unsigned
writer_resume(struct store *store, unsigned most, bool refused)
{
	struct writer *w = &store->writer;
	struct list all, *node;
	unsigned n = 0;

	list_init(&all);
	pthread_mutex_lock(&w->lock);
	for (; n < most && (node = list_shift(&w->stalled)); n++)
		list_append(&all, node);
	w->is_short = !list_empty(&w->stalled);
	pthread_mutex_unlock(&w->lock);
	while ((node = list_shift(&all)))
		blob_resume(container_of(node, struct blob, stall), refused);
	return n;
}

static void
resume_all(struct store *store)
{
	/* What could not be evicted up to the margin may still be room. */
	bool room = budget_usable(&store->budget) >= BLOB_STEP / 2;

	(void)writer_resume(store, UINT_MAX, !room);
}

static void
round_once(struct store *store, bool gc)
{
	if (catalog_damaged(store->catalog))
		(void)salvage_replace(store);
	make_room(store);
	resume_all(store);
	commit_group(store);
	budget_give(&store->budget, store->writer.grant);
	store->writer.grant = 0;
	if (gc) {
		merge_all(store);
		commit_compact_catalog(store);
	} else {
		merge_one(store);
	}
}

uint64_t
writer_waiting(const struct store *store)
{
	return store->writer.dirty_bytes + store->writer.batch_bytes;
}

/*
 * Those who serve have the processor first. But beside a worker that is always
 * busy a turn comes but once in some milliseconds: it is longer where there is
 * more to be written than a window's and half another, or a transfer waits for
 * room; and the writer keeps the processor where somebody waits for it to be
 * done, or so much waits that it would come out of memory where now most of it
 * is in the processor's cache: that makes a miss a twelfth dearer.
 */
unsigned
writer_turn(const struct store *store)
{
	const struct writer *w = &store->writer;
	uint64_t bytes = writer_waiting(store);
	uint64_t more =
	    bytes < LITTLE ? 0 : (bytes - LITTLE) / (LITTLE / 6) + 1;

	if (w->awaited || more > 3)
		return 0;
	if (w->is_short && more < 2)
		more = 2;
	return TURN_US << more;
}

void
writer_pause(const struct store *store)
{
	unsigned turn_us = writer_turn(store);

	if (turn_us)
		pool_pause(turn_us);
}

/* ---- the loop ------------------------------------------------------------ */

/* Milliseconds until something is due; 0: now. The lock is held. */
static int64_t
until_due(struct store *store)
{
	struct writer *w = &store->writer;
	int64_t now = clock_mono_ms(), wait = 1000;

	if (!list_empty(&w->stalled) || w->gc_wanted || w->sparse_count)
		return 0;
	if (!list_empty(&w->dirty)) {
		const struct entry *first =
		    container_of(w->dirty.next, struct entry, node);

		wait = first->since + WRITER_WINDOW_MS - now;
		if (w->flushing || w->ending ||
		    w->dirty_bytes > WRITER_WINDOW_BYTES ||
		    w->dirty_count >= group_limit(store))
			wait = 0;
	} else if (!list_empty(&w->states) || !list_empty(&w->states_taken)) {
		wait = w->flushing || w->ending ? 0 : WRITER_WINDOW_MS;
	} else if (w->ending) {
		return 0;
	}
	if (wait < w->not_before - now)
		wait = w->not_before - now;
	return wait > 0 ? wait : 0;
}

static void
wait_ms(struct writer *w, int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	pthread_cond_timedwait(&w->wake, &w->lock, &t);
}

/* Once a minute, or at the end. */
static void
keep_uses(struct store *store, bool ends)
{
	int64_t now = clock_wall_ms() / 1000;

	if (!ends && !used_wants_tick(&store->used, now))
		return;
	used_tick(&store->used, now);
	(void)used_save(&store->used, now, ends);
}

/* What was allocated while much was pending lies between what stays, in the
 * tier; free() gives back only what is at the heap's end. */
static void
give_memory_back(struct store *store)
{
	struct writer *w = &store->writer;
	uint64_t pending = store->pending;
	int64_t now = clock_mono_ms();

	if (pending >= w->burst / 4) {
		if (pending > w->burst)
			w->burst = pending;
		w->burst_at = now;
	} else if (w->burst < BURST) {
		w->burst = pending;
	} else if (now - w->burst_at >= BURST_MS && now >= w->gives_at) {
		w->burst = pending;
		w->gives_at = now + GIVE_MS;
		(void)malloc_trim(0);
	}
}

/* Zero: all is durable. Whether states wait counts as one. */
static uint64_t
waiting(const struct writer *w)
{
	return w->dirty_count +
	       (!list_empty(&w->states) || !list_empty(&w->states_taken));
}

static bool
all_done(const struct writer *w)
{
	return w->ending && waiting(w) == 0 && list_empty(&w->stalled);
}

/* What reads a rotten page fails, or goes wrong and is found out; LMDB would
 * write through its offsets. So before anything is written all of it is looked
 * at: some microseconds a page, and as fast as a disk can read where it is
 * cold. Changes wait in memory meanwhile. */
static void
look_through(struct store *store)
{
	int err = catalog_check(store->catalog, &store->writer.closing);

	if (err == LARDER_DAMAGED)
		catalog_condemn(store->catalog);
	store->is_unseen = err == LARDER_NOMEM;
}

static void *
run(void *arg)
{
	struct store *store = arg;
	struct writer *w = &store->writer;
	unsigned failures = 0;

	/* A start does not wait for it, nor for the processor. */
	pthread_mutex_lock(&w->lock);
	if (!store->sketch_is_read && until_due(store) > 0)
		wait_ms(w, SETTLE_MS);
	pthread_mutex_unlock(&w->lock);
	if (!store->sketch_is_read)
		store_load_sketch(store);
	pthread_mutex_lock(&w->lock);
	while (!all_done(w) && failures < 8) {
		int64_t wait = until_due(store);
		uint64_t before;
		bool gc;

		/* A daemon that evicts ahead need not be asked to. */
		if (wait) {
			wait_ms(w, wait);
			pthread_mutex_unlock(&w->lock);
			give_memory_back(store);
			pthread_mutex_lock(&w->lock);
			if (until_due(store) &&
			    !catalog_damaged(store->catalog) &&
			    budget_usable(&store->budget) >= keep_free(store) &&
			    !used_wants_tick(
				&store->used, clock_wall_ms() / 1000))
				continue;
		}
		before = waiting(w);
		gc = w->gc_wanted > 0;
		w->awaited = w->flushing || gc || w->ending;
		pthread_mutex_unlock(&w->lock);
		if (store->is_unseen)
			look_through(store);
		give_memory_back(store);
		round_once(store, gc);
		keep_uses(store, false);
		pthread_mutex_lock(&w->lock);
		w->rounds++;
		w->gc_wanted -= w->gc_wanted > 0;
		/* At the end, what cannot be written is given up. */
		failures = w->ending && before && waiting(w) >= before
			       ? failures + 1
			       : 0;
		pthread_cond_broadcast(&w->done);
	}
	pthread_mutex_unlock(&w->lock);
	keep_uses(store, true);
	return NULL;
}

/* ---- life ---------------------------------------------------------------- */

void
writer_prepare(struct store *store)
{
	struct writer *w = &store->writer;
	pthread_condattr_t attr;

	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->wake, &attr);
	pthread_cond_init(&w->done, NULL);
	pthread_condattr_destroy(&attr);
	list_init(&w->dirty);
	list_init(&w->stalled);
	list_init(&w->states);
	list_init(&w->states_taken);
}

int
writer_init(struct store *store)
{
	struct writer *w = &store->writer;
	int err;

	w->raw = malloc(RECORD_MAX);
	w->pressed = malloc(frame_bound(STORE_SMALL));
	if (!w->raw || !w->pressed)
		return LARDER_NOMEM;
	err = catalog_reader_open(store->catalog, &w->reader);
	if (err)
		return err;
	err = catalog_get_totals(w->reader, &w->totals);
	catalog_reader_rest(w->reader);
	if (err == LARDER_ABSENT) {
		w->totals =
		    (struct catalog_totals){.next_id = 1, .next_queue = 1};
		err = 0;
	}
	policy_init(&w->policy, store->budget.size);
	if (!err)
		err = pack_resume(store, POLICY_SMALL);
	return err ? err : pack_resume(store, POLICY_MAIN);
}

void
writer_reset(struct store *store)
{
	struct writer *w = &store->writer;

	pack_release(store);
	catalog_reader_close(&w->reader);
	free(w->raw);
	free(w->pressed);
	w->raw = w->pressed = NULL;
}

int
writer_start(struct store *store)
{
	struct writer *w = &store->writer;

	int err = thread_start(&w->thread, "writer", run, store);

	w->running = !err;
	return err;
}

void
writer_stop(struct store *store)
{
	struct writer *w = &store->writer;

	if (w->running) {
		pthread_mutex_lock(&w->lock);
		w->ending = true;
		w->awaited = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->lock);
		pthread_join(w->thread, NULL);
		w->running = false;
	}
	pthread_mutex_lock(&w->lock);
	w->ended = true;
	pthread_mutex_unlock(&w->lock);
	(void)writer_resume(store, UINT_MAX, true);
}

void
writer_release(struct store *store)
{
	struct writer *w = &store->writer;

	pack_release(store);
	catalog_reader_close(&w->reader);
	frame_release(&w->coder);
	free_states(&w->states);
	free_states(&w->states_taken);
	free(w->raw);
	free(w->pressed);
	pthread_mutex_destroy(&w->lock);
	pthread_cond_destroy(&w->wake);
	pthread_cond_destroy(&w->done);
}
