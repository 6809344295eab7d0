/*
 * A blob's producer: what it appends, and what becomes of that.
 *
 * What always holds: a producer never waits, and is woken once after it was
 * told that there is no room; what it appends beyond the announced length is
 * swallowed, and the commit fails.
 */
#include "blob.h"

#include "internal.h"
#include "larder/clock.h"

/* What the tail may hold unwritten before a thread is called. */
#define SPILL_FROM (64u * 1024)
/* Readers that are a crowd. */
#define CROWD	   16u

void
blob_set_producer(struct blob *b, store_wake_fn *wake, void *arg)
{
	pthread_mutex_lock(&b->lock);
	b->wake = wake;
	b->wake_arg = arg;
	b->starved = b->starved && wake;
	pthread_mutex_unlock(&b->lock);
}

void
blob_wake_readers(struct blob *b)
{
	list_each (node, &b->readers) {
		struct blob_reader *r =
		    container_of(node, struct blob_reader, node);

		if (!r->waiting)
			continue;
		r->waiting = false;
		r->wake(r->wake_arg);
	}
}

/* Whatever makes it false wakes the readers; while it is true and there is
 * something to be written, there is a job. */
bool
blob_has_crowd(const struct blob *b)
{
	return b->reader_count >= CROWD && b->state == BLOB_GROWING &&
	       b->file && !b->window && !b->stalled;
}

static uint64_t
room(const struct blob *b)
{
	if (b->state != BLOB_GROWING)
		return STORE_WINDOW;
	/* What goes beyond the announced length is swallowed; then the commit
	 * fails. */
	if (b->announced != STORE_UNKNOWN && b->size >= b->announced)
		return STORE_WINDOW;
	if (b->flat)
		return b->announced - b->size;
	return STORE_WINDOW - (b->size - b->tail_start);
}

size_t
blob_room(struct blob *b)
{
	size_t n;

	pthread_mutex_lock(&b->lock);
	n = room(b);
	if (n == 0 && b->window) {
		/* Readers may stand further ahead than there is yet. */
		blob_trim(b);
		n = room(b);
	}
	/* Who learns that there is none waits for some. */
	b->starved = n == 0;
	pthread_mutex_unlock(&b->lock);
	return n;
}

static void
feed_producer(struct blob *b)
{
	if (!b->starved || !room(b) || !b->wake)
		return;
	b->starved = false;
	b->wake(b->wake_arg);
}

uint64_t
blob_slowest(const struct blob *b)
{
	uint64_t least = STORE_UNKNOWN;

	list_each (node, &b->readers) {
		const struct blob_reader *r =
		    container_of(node, struct blob_reader, node);

		if (r->pos < r->end && r->pos < least && !r->cut)
			least = r->pos;
	}
	return list_empty(&b->readers) ? 0 : least;
}

/* It stands where the window begins, and has not passed its first chunk. */
static bool
holds_up(const struct blob *b, const struct blob_reader *r)
{
	return !r->cut && r->pos < r->end &&
	       r->pos < b->tail_start + BLOB_CHUNK;
}

bool
blob_is_awaited(const struct blob *b)
{
	list_each (node, &b->readers) {
		const struct blob_reader *r =
		    container_of(node, struct blob_reader, node);

		if (r->pos >= b->size && r->pos < r->end)
			return true;
	}
	return false;
}

static bool
is_held_up(const struct blob *b)
{
	bool holds = false;

	if (!b->window || b->flat || b->state != BLOB_GROWING || room(b) > 0)
		return false;
	list_each (node, &b->readers)
		holds |=
		    holds_up(b, container_of(node, struct blob_reader, node));
	return holds && blob_is_awaited(b);
}

bool
blob_is_held_up(struct blob *b)
{
	bool held;

	pthread_mutex_lock(&b->lock);
	held = is_held_up(b);
	pthread_mutex_unlock(&b->lock);
	return held;
}

unsigned
blob_cut_off(struct blob *b)
{
	unsigned n = 0;

	pthread_mutex_lock(&b->lock);
	if (!is_held_up(b)) {
		pthread_mutex_unlock(&b->lock);
		return 0;
	}
	list_each (node, &b->readers) {
		struct blob_reader *r =
		    container_of(node, struct blob_reader, node);

		if (!holds_up(b, r))
			continue;
		r->cut = true;
		r->waiting = false;
		r->wake(r->wake_arg);
		n++;
	}
	blob_trim(b);
	pthread_mutex_unlock(&b->lock);
	return n;
}

void
blob_trim(struct blob *b)
{
	uint64_t to = b->file ? b->written : 0;
	unsigned drop = 0;

	if (b->flat)
		return;
	if (b->window) {
		uint64_t passed = blob_slowest(b);

		to = passed > to ? passed : to;
	}
	while (drop < b->tail_count) {
		uint64_t end = b->tail_start + BLOB_CHUNK;

		if (end > b->size && b->state == BLOB_GROWING)
			break;
		if ((end > b->size ? b->size : end) > to)
			break;
		chunk_unref(&b->tail[drop++]);
		b->tail_start = end;
	}
	if (!drop)
		return;
	b->tail_count -= drop;
	memmove(b->tail, b->tail + drop, b->tail_count * sizeof(*b->tail));
	if (b->charged >= (uint64_t)drop * BLOB_CHUNK) {
		b->charged -= (uint64_t)drop * BLOB_CHUNK;
		atomic_fetch_sub_explicit(&b->store->pending,
		    (uint64_t)drop * BLOB_CHUNK, memory_order_relaxed);
	}
	feed_producer(b);
}

void
blob_to_window(struct blob *b)
{
	b->window = true;
	blob_wake_readers(b);
	blob_trim(b);
	/* Without readers there is no room yet; the producer may want to know
	 * that there will be none. */
	if (b->starved && b->wake) {
		b->starved = false;
		b->wake(b->wake_arg);
	}
}

void
blob_kick(struct blob *b)
{
	if (b->busy || !b->large || b->window)
		return;
	b->busy = true;
	blob_ref(b);
	pool_add(&b->store->spillers, &b->job);
}

/* As much as goes into one chunk, or into `flat`; 0: no memory. */
static size_t
take(struct blob *b, const char *data, size_t n)
{
	uint64_t at = b->size - b->tail_start;
	struct chunk *c;

	if (b->flat) {
		memcpy(b->flat->data + b->size, data, n);
		return n;
	}
	if (at / BLOB_CHUNK == b->tail_count) {
		check(b->tail_count < BLOB_TAIL);
		c = chunk_new(BLOB_CHUNK);
		if (!c)
			return 0;
		blob_charge(b, BLOB_CHUNK);
		b->tail[b->tail_count++] = c;
	}
	c = b->tail[at / BLOB_CHUNK];
	at %= BLOB_CHUNK;
	if (n > BLOB_CHUNK - at)
		n = BLOB_CHUNK - at;
	memcpy(c->data + at, data, n);
	return n;
}

/* It got longer: does that change what becomes of it? */
static void
outgrown(struct blob *b)
{
	if (b->window || b->flat)
		return;
	if (b->size > b->store->max_object)
		blob_to_window(b);
	else if (b->head_size + b->size > STORE_SMALL || !room(b))
		b->large = true;
	if (b->large && (b->size - b->written >= SPILL_FROM || !room(b)))
		blob_kick(b);
}

size_t
blob_append(struct blob *b, const void *data, size_t n)
{
	const char *p = data;
	size_t taken = 0;

	pthread_mutex_lock(&b->lock);
	while (taken < n && b->state == BLOB_GROWING) {
		uint64_t now = room(b), put = n - taken;

		if (b->announced != STORE_UNKNOWN) {
			if (b->size == b->announced) {
				b->overrun = true;
				taken = n;
				break;
			}
			if (put > b->announced - b->size)
				put = b->announced - b->size;
		}
		put = put > now ? now : put;
		put = put ? take(b, p + taken, put) : 0;
		if (!put)
			break;
		b->size += put;
		taken += put;
	}
	if (b->state != BLOB_GROWING)
		taken = n;
	outgrown(b);
	b->starved = taken < n;
	if (blob_has_crowd(b))
		blob_kick(b);
	else
		blob_wake_readers(b);
	pthread_mutex_unlock(&b->lock);
	return taken;
}

bool
blob_is_window(struct blob *b)
{
	bool window;

	b = blob_base(b);
	pthread_mutex_lock(&b->lock);
	window = b->window;
	pthread_mutex_unlock(&b->lock);
	return window;
}

void
blob_forgo(struct blob *b)
{
	pthread_mutex_lock(&b->lock);
	if (b->state == BLOB_GROWING && !b->window)
		blob_to_window(b);
	pthread_mutex_unlock(&b->lock);
}

bool
blob_in_memory(struct blob *b)
{
	return blob_ready(blob_base(b));
}

uint64_t
blob_size(struct blob *b, bool *whole)
{
	uint64_t size;

	b = blob_base(b);
	pthread_mutex_lock(&b->lock);
	size = b->size;
	if (whole)
		*whole = b->state == BLOB_WHOLE || b->state == BLOB_COLD;
	pthread_mutex_unlock(&b->lock);
	return size;
}

void
blob_abort(struct blob *b, int why)
{
	pthread_mutex_lock(&b->lock);
	if (b->state == BLOB_GROWING) {
		b->state = BLOB_ABORTED;
		b->error = why < 0 ? why : LARDER_CLOSED;
		b->starved = false;
		blob_wake_readers(b);
	}
	pthread_mutex_unlock(&b->lock);
}

/* The chunks of a small one whose length nobody knew, in one piece. */
static void
gather(struct blob *b)
{
	struct chunk *flat = chunk_new(b->size);

	if (!flat) {
		b->window = true;
		return;
	}
	for (unsigned i = 0; i < b->tail_count; i++) {
		uint64_t at = (uint64_t)i * BLOB_CHUNK;
		size_t n =
		    b->size - at > BLOB_CHUNK ? BLOB_CHUNK : b->size - at;

		memcpy(flat->data + at, b->tail[i]->data, n);
		chunk_unref(&b->tail[i]);
	}
	b->tail_count = 0;
	b->flat = flat;
}

struct publication {
	struct blob *blob;
	const struct object_info *info;
};

static int
on_publish(void *arg, const struct image *old, struct image **out)
{
	const struct publication *p = arg;
	struct blob *b = p->blob;
	struct object *o = object_new(b->object->key, p->info);

	if (!o)
		return LARDER_NOMEM;
	o->blob = blob_ref(b);
	o->head = chunk_ref(b->head);
	*out = image_with(old, o, NULL, NULL);
	object_unref(&o);
	return *out ? 1 : LARDER_NOMEM;
}

static void
publish(struct blob *b, const struct object_info *info)
{
	struct publication p = {b, info};
	int err = memory_change(
	    b->store, b->hash, b->object->key, on_publish, &p, NULL);

	if (!err) {
		/* Who asked for it did not find it, but asked. */
		sketch_add(b->store->sketch, b->hash.lo);
		return;
	}
	store_count(&b->store->no_room, 1);
	pthread_mutex_lock(&b->lock);
	b->lost = true;
	pthread_mutex_unlock(&b->lock);
}

/* It grows no more. Is there something to be found? The lock is held. */
static bool
settle(struct blob *b)
{
	bool store;

	if (!b->window && !b->large && !b->flat)
		gather(b);
	b->state = BLOB_WHOLE;
	store = b->object && !b->window;
	if (store) {
		b->object->info.body_size = b->size;
		b->object->info.stored_at = clock_wall_ms() / 1000;
	}
	if (b->flat)
		atomic_store_explicit(&b->ready, true, memory_order_release);
	blob_wake_readers(b);
	return store;
}

int
blob_commit(struct blob *b)
{
	bool store;

	pthread_mutex_lock(&b->lock);
	if (b->state != BLOB_GROWING) {
		pthread_mutex_unlock(&b->lock);
		return b->error ? b->error : LARDER_CLOSED;
	}
	if (b->overrun ||
	    (b->announced != STORE_UNKNOWN && b->size != b->announced)) {
		pthread_mutex_unlock(&b->lock);
		blob_abort(b, LARDER_INVALID);
		return LARDER_INVALID;
	}
	store = settle(b);
	pthread_mutex_unlock(&b->lock);
	if (!store)
		return 0;
	publish(b, &b->object->info);
	pthread_mutex_lock(&b->lock);
	blob_kick(b);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

int
blob_commit_as(struct blob *b, struct bytes variant, struct bytes meta)
{
	struct object_info info;

	pthread_mutex_lock(&b->lock);
	if (b->state != BLOB_GROWING || b->window || !b->object || b->overrun ||
	    b->size == 0 || variant.n > OBJECT_META_MAX ||
	    meta.n > OBJECT_META_MAX) {
		pthread_mutex_unlock(&b->lock);
		return LARDER_INVALID;
	}
	b->cut = true;
	b->announced = b->size;
	if (!settle(b)) {
		pthread_mutex_unlock(&b->lock);
		return LARDER_INVALID;
	}
	/* A thread that writes it knows b->object: that stays. */
	info = b->object->info;
	info.variant = variant;
	info.meta = meta;
	pthread_mutex_unlock(&b->lock);
	publish(b, &info);
	pthread_mutex_lock(&b->lock);
	blob_kick(b);
	pthread_mutex_unlock(&b->lock);
	return 0;
}
