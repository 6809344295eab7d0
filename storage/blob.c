/*
 * Blobs: one body, one producer, any number of readers.
 *
 * How the bytes travel. The newest are in memory: in one piece (`flat`) where
 * the announced length is small, else in the tail, chunks that cover
 * [tail_start, size). A blob that outgrows STORE_SMALL also has a file that
 * covers [0, written); spill.c writes the tail to it and the tail is trimmed
 * behind. A reader takes its bytes from where they are: the file below
 * `written`, else memory. A window is the same without the file; its tail is
 * trimmed behind the slowest reader.
 *
 *   GROWING ── blob_commit() ──> WHOLE      COLD ── load.c ──> WHOLE
 *      └────── blob_abort() ──> ABORTED
 *
 * What always holds
 *   - tail_start is a multiple of BLOB_CHUNK; size - tail_start never passes
 *     STORE_WINDOW.
 *   - written >= tail_start but in a window, so that no byte is in neither
 *     place; and what a reader of a window has not passed is in the tail.
 *   - A file that a blob has stays readable until the blob goes, even when it
 *     became a window or could not be finished.
 *   - Once `ready` nothing changes, and readers take no lock.
 */
#include "blob.h"

#include <stdlib.h>

#include "internal.h"
#include "larder/clock.h"

/* What the tail may hold unwritten before a thread is called. */
#define SPILL_FROM (64u * 1024)

/* ---- chunks -------------------------------------------------------------- */

struct chunk *
chunk_new(size_t size)
{
	struct chunk *c;

	check(size <= UINT32_MAX / 2);
	c = malloc(sizeof(*c) + size);
	if (c) {
		c->refs = 1;
		c->size = (uint32_t)size;
	}
	return c;
}

struct chunk *
chunk_copy(struct bytes b)
{
	struct chunk *c = chunk_new(b.n);

	if (c && b.n)
		memcpy(c->data, b.p, b.n);
	return c;
}

struct chunk *
chunk_ref(struct chunk *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void
chunk_unref(struct chunk **p)
{
	struct chunk *c = *p;

	*p = NULL;
	if (c &&
	    atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
		free(c);
}

/* ---- life ---------------------------------------------------------------- */

static struct blob *
blob_new(struct store *store)
{
	struct blob *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->magic = BLOB_MAGIC;
	b->refs = 1;
	b->store = store;
	b->announced = STORE_UNKNOWN;
	b->block = OBJECT_BLOCK;
	b->job.run = spill_run;
	pthread_mutex_init(&b->lock, NULL);
	list_init(&b->readers);
	list_init(&b->stall);
	list_init(&b->job.node);
	return b;
}

struct blob *
blob_base(struct blob *b)
{
	return b->base ? b->base : b;
}

struct blob *
blob_ref(struct blob *b)
{
	check_magic(b, BLOB_MAGIC);
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void
blob_unref(struct blob **p)
{
	struct blob *b = *p;

	*p = NULL;
	if (!b ||
	    atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) > 1)
		return;
	check_magic(b, BLOB_MAGIC);
	check(list_empty(&b->readers) && !b->busy);
	blob_uncharge(b);
	spill_release(b);
	chunk_unref(&b->head);
	chunk_unref(&b->flat);
	for (unsigned i = 0; i < b->tail_count; i++)
		chunk_unref(&b->tail[i]);
	blob_unref(&b->base);
	object_unref(&b->object);
	pthread_mutex_destroy(&b->lock);
	b->magic = 0;
	free(b);
}

struct blob *
blob_derive(struct blob *body, struct chunk *head)
{
	struct blob *b = blob_new(body->store);

	if (!b)
		return NULL;
	b->base = blob_ref(blob_base(body));
	b->head = chunk_ref(head);
	b->state = BLOB_WHOLE;
	return b;
}

struct blob *
blob_cold(struct store *store, struct hash hash, struct object *o)
{
	struct blob *b = blob_new(store);

	if (!b)
		return NULL;
	b->state = BLOB_COLD;
	b->hash = hash;
	b->size = o->info.body_size;
	b->head_size = o->info.head_size;
	b->head_place = o->info.head;
	b->place = o->info.body;
	b->object = object_new(o->key, &o->info);
	if (o->head)
		b->head = chunk_ref(o->head);
	if (!b->object)
		blob_unref(&b);
	return b;
}

static void
charge(struct blob *b, uint64_t n)
{
	b->charged += n;
	store_count(&b->store->pending, n);
}

void
blob_uncharge(struct blob *b)
{
	b = blob_base(b);
	pthread_mutex_lock(&b->lock);
	atomic_fetch_sub_explicit(
	    &b->store->pending, b->charged, memory_order_relaxed);
	b->charged = 0;
	pthread_mutex_unlock(&b->lock);
}

size_t
blob_cost(const struct blob *b)
{
	size_t cost = sizeof(*b);

	if (b->base)
		return cost + blob_cost(b->base);
	return cost + b->head_size + b->size;
}

static int
too_big(const struct store_new *n)
{
	return n->key.n > STORE_KEY_MAX || n->variant.n > OBJECT_META_MAX ||
	       n->meta.n > OBJECT_META_MAX || n->head.n > STORE_SMALL;
}

/* Not even worth trying to store it. */
static bool
must_pass(struct store *store, const struct store_new *n)
{
	uint64_t size = n->body_size == STORE_UNKNOWN ? 0 : n->body_size;

	if (!n->storable || !n->key.n || size > store->max_object)
		return true;
	if (store->pending > STORE_PENDING ||
	    size > atomic_load(&store->budget.size)) {
		store_count(&store->no_room, 1);
		return true;
	}
	return false;
}

static int
describe(struct blob *b, const struct store_new *n)
{
	struct object_info info = {0};

	info.id = atomic_fetch_add(&b->store->next_id, 1);
	info.expires = n->expires;
	info.head_size = n->head.n;
	info.variant = n->variant;
	info.meta = n->meta;
	b->hash = store_hash(b->store, n->key);
	b->object = object_new(n->key, &info);
	return b->object ? 0 : LARDER_NOMEM;
}

int
store_create(struct store *store, const struct store_new *n, struct blob **out)
{
	bool small = n->body_size != STORE_UNKNOWN &&
		     n->body_size <= STORE_SMALL - n->head.n;
	struct blob *b;
	int err = 0;

	if (too_big(n))
		return LARDER_TOOBIG;
	b = blob_new(store);
	if (!b)
		return LARDER_NOMEM;
	b->state = BLOB_GROWING;
	b->storable = n->storable;
	b->announced = n->body_size;
	b->head_size = n->head.n;
	b->window = must_pass(store, n);
	if (b->announced != STORE_UNKNOWN && b->announced >> 30)
		b->block = OBJECT_BLOCK_BIG;
	if (!b->window)
		err = describe(b, n);
	b->head = chunk_copy(n->head);
	if (small) {
		b->flat = chunk_new(n->body_size);
		charge(b, n->body_size);
	}
	if (err || !b->head || (small && !b->flat)) {
		blob_unref(&b);
		return LARDER_NOMEM;
	}
	b->large = !small && !b->window && b->announced != STORE_UNKNOWN;
	*out = b;
	return 0;
}

/* ---- the producer -------------------------------------------------------- */

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

/* How far the slowest reader got; what it has ended with it does not hold. */
static uint64_t
slowest(const struct blob *b)
{
	uint64_t least = STORE_UNKNOWN;

	list_each (node, &b->readers) {
		const struct blob_reader *r =
		    container_of(node, struct blob_reader, node);

		if (r->pos < r->end && r->pos < least)
			least = r->pos;
	}
	return list_empty(&b->readers) ? 0 : least;
}

void
blob_trim(struct blob *b)
{
	uint64_t to = b->file ? b->written : 0;
	unsigned drop = 0;

	if (b->flat)
		return;
	if (b->window) {
		uint64_t passed = slowest(b);

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
		charge(b, BLOB_CHUNK);
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

static bool
is_ready(struct blob *b)
{
	return atomic_load_explicit(&b->ready, memory_order_acquire);
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
	return is_ready(blob_base(b));
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

static int
on_publish(void *arg, const struct image *old, struct image **out)
{
	struct blob *b = arg;
	struct object *o = object_new(b->object->key, &b->object->info);

	if (!o)
		return LARDER_NOMEM;
	o->blob = blob_ref(b);
	o->head = chunk_ref(b->head);
	*out = image_with(old, o, NULL, NULL);
	object_unref(&o);
	return *out ? 1 : LARDER_NOMEM;
}

static void
publish(struct blob *b)
{
	int err = memory_change(
	    b->store, b->hash, b->object->key, on_publish, b, NULL);

	if (!err)
		return;
	store_count(&b->store->no_room, 1);
	pthread_mutex_lock(&b->lock);
	b->lost = true;
	pthread_mutex_unlock(&b->lock);
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
	pthread_mutex_unlock(&b->lock);
	if (!store)
		return 0;
	publish(b);
	pthread_mutex_lock(&b->lock);
	blob_kick(b);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

/* ---- readers ------------------------------------------------------------- */

int
blob_reader_open(struct blob_reader *r, struct store_view *view,
    struct blob *blob, uint64_t from, uint64_t to, store_wake_fn *wake,
    void *arg)
{
	struct blob *b = blob_base(blob);
	int err = 0;

	memset(r, 0, sizeof(*r));
	list_init(&r->node);
	r->view = view;
	r->pos = from;
	r->end = to;
	r->wake = wake;
	r->wake_arg = arg;
	if (blob->base || is_ready(b))
		r->head = chunk_ref(blob->head);
	if (!is_ready(b)) {
		pthread_mutex_lock(&b->lock);
		if (!r->head && b->head)
			r->head = chunk_ref(b->head);
		if (b->window && !b->flat && from < b->tail_start)
			err = LARDER_ABSENT;
		else
			list_append(&b->readers, &r->node);
		r->listed = !err;
		pthread_mutex_unlock(&b->lock);
	}
	if (err) {
		struct chunk *head = r->head;

		chunk_unref(&head);
		r->head = NULL;
		return err;
	}
	r->blob = blob_ref(b);
	return 0;
}

static void
let_go(void **held)
{
	struct chunk *c = *held;

	chunk_unref(&c);
	*held = NULL;
}

void
blob_reader_range(struct blob_reader *r, uint64_t from, uint64_t to)
{
	struct blob *b = r->blob;

	pthread_mutex_lock(&b->lock);
	r->pos = from;
	r->end = to;
	r->given = r->want = 0;
	let_go(&r->held);
	if (b->window)
		blob_trim(b);
	pthread_mutex_unlock(&b->lock);
}

void
blob_reader_close(struct blob_reader *r)
{
	struct blob *b = r->blob;

	if (!b)
		return;
	if (r->listed) {
		pthread_mutex_lock(&b->lock);
		list_remove(&r->node);
		if (b->window)
			blob_trim(b);
		pthread_mutex_unlock(&b->lock);
	}
	let_go(&r->held);
	let_go(&r->head);
	blob_unref(&r->blob);
}

int
blob_reader_head(struct blob_reader *r, struct bytes *out)
{
	struct blob *b = r->blob;
	struct chunk *head;
	int err = 0;

	if (!r->head) {
		pthread_mutex_lock(&b->lock);
		if (b->state == BLOB_COLD)
			err = load_cold(b, &r->view->coder);
		if (err == LARDER_AGAIN)
			r->waiting = true;
		else if (!err && b->head)
			r->head = chunk_ref(b->head);
		else if (!err)
			err = b->broken ? b->broken : LARDER_IO;
		pthread_mutex_unlock(&b->lock);
	}
	if (err)
		return err;
	head = r->head;
	*out = bytes_of(head->data, head->size);
	return 0;
}

/* In the file: checked, and in the page cache, or a thread sees to it. */
static int
peek_file(
    struct blob *b, struct blob_reader *r, size_t max, struct blob_slice *out)
{
	uint32_t size = b->file->table ? b->file->block : b->block;
	uint64_t block = r->pos / size, left = size - r->pos % size;
	struct chunk *frame = r->held;
	bool checked;

	if (left > b->written - r->pos)
		left = b->written - r->pos;
	out->n = left < max ? left : max;
	if (b->file->encoding == ENCODING_FRAMES) {
		if (!frame || r->given != block + 1)
			return load_block(r, block);
		out->mem = frame->data + r->pos % size;
		return 0;
	}
	checked = !b->file->table || file_verified(b->file, block);
	/* Read in for this reader, and cold again: memory is short, and going
	 * round again would not help. */
	if (!checked || (r->given != block + 1 &&
			    !disk_is_warm(b->file->fd, r->pos, out->n)))
		return load_block(r, block);
	out->mem = NULL;
	out->fd = b->file->fd;
	out->offset = (int64_t)r->pos;
	return 0;
}

static int
peek_locked(
    struct blob *b, struct blob_reader *r, size_t max, struct blob_slice *out)
{
	uint64_t end, at;
	int err = b->state == BLOB_COLD ? load_cold(b, &r->view->coder) : 0;

	if (!err)
		err = b->broken;
	if (err)
		return err;
	end = r->end < b->size ? r->end : b->size;
	if (r->pos >= end) {
		if (r->pos >= r->end || b->state == BLOB_WHOLE)
			return LARDER_ABSENT;
		return b->state == BLOB_ABORTED ? b->error : LARDER_AGAIN;
	}
	out->n = end - r->pos < max ? end - r->pos : max;
	if (b->flat) {
		out->mem = b->flat->data + b->flat_from + r->pos;
		return 0;
	}
	if (b->file && r->pos < b->written)
		return peek_file(b, r, out->n, out);
	check(r->pos >= b->tail_start);
	at = r->pos - b->tail_start;
	let_go(&r->held);
	r->held = chunk_ref(b->tail[at / BLOB_CHUNK]);
	out->mem = b->tail[at / BLOB_CHUNK]->data + at % BLOB_CHUNK;
	if (out->n > BLOB_CHUNK - at % BLOB_CHUNK)
		out->n = BLOB_CHUNK - at % BLOB_CHUNK;
	return 0;
}

int
blob_reader_peek(struct blob_reader *r, size_t max, struct blob_slice *out)
{
	struct blob *b = r->blob;
	int err;

	*out = (struct blob_slice){NULL, -1, 0, 0};
	if (is_ready(b)) {
		uint64_t end = r->end < b->size ? r->end : b->size;

		if (r->pos >= end)
			return LARDER_ABSENT;
		out->n = end - r->pos < max ? end - r->pos : max;
		out->mem = b->flat->data + b->flat_from + r->pos;
		return 0;
	}
	pthread_mutex_lock(&b->lock);
	err = peek_locked(b, r, max, out);
	if (err == LARDER_AGAIN)
		r->waiting = true;
	pthread_mutex_unlock(&b->lock);
	return err;
}

void
blob_reader_advance(struct blob_reader *r, size_t n)
{
	struct blob *b = r->blob;

	if (!r->listed) {
		r->pos += n;
		return;
	}
	pthread_mutex_lock(&b->lock);
	r->pos += n;
	if (!b->file || b->file->encoding != ENCODING_FRAMES)
		let_go(&r->held);
	if (b->window)
		blob_trim(b);
	pthread_mutex_unlock(&b->lock);
}
