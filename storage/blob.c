/*
 * Blobs: one body, one producer (producer.c), any number of readers (reader.c).
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
#include "larder/zeroed.h"

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
	struct blob *b = zeroed(sizeof(*b));

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
	/* A new file that no commit names yet stays while this reads it. */
	if (b->object && o->pressed)
		b->object->pressed = pressed_ref(o->pressed);
	if (o->head)
		b->head = chunk_ref(o->head);
	if (!b->object)
		blob_unref(&b);
	return b;
}

void
blob_charge(struct blob *b, uint64_t n)
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
	if (store->pending > store->pending_max ||
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
	if (small)
		b->flat = chunk_new(n->body_size);
	blob_charge(b, blob_cost(b) + (b->object ? b->object->cost : 0) +
			   (small ? n->body_size : 0));
	if (err || !b->head || (small && !b->flat)) {
		blob_unref(&b);
		return LARDER_NOMEM;
	}
	b->large = !small && !b->window && b->announced != STORE_UNKNOWN;
	*out = b;
	return 0;
}
