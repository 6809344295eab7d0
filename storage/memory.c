/*
 * The table of what is known in memory, in shards.
 *
 * What always holds
 *   - An entry is the whole truth about its key: every variant stands in it.
 *   - A key without an entry is as the catalog says in any snapshot at least
 *     as new as the last commit: an entry goes clean after the commit count
 *     went up, and leaves only when it is clean; and whoever finds no entry
 *     then asks the catalog with a snapshot not older than that count.
 *   - A key that is noted as absent has no entry, and had none since before
 *     the catalog was asked: nothing can have put it there.
 *   - Images and objects are constant, but for places, blob and head, which
 *     are the shard's.
 * Locks: a shard's, then a blob's or the writer's or a leaf. Loading a value
 * from the catalog happens under the shard's lock.
 */
#include "memory.h"

#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "larder/zeroed.h"
#include "shard.h"

/* Of the tier, for what was asked for once. */
#define FRESH_SHARE 10u

/* ---- entries and shards -------------------------------------------------- */

int
memory_init(struct memory *m, uint64_t size)
{
	m->size = size;
	for (unsigned i = 0; i < MEMORY_SHARDS; i++) {
		struct shard *s = &m->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		list_init(&s->fresh);
		list_init(&s->proven);
		s->size = 64;
		s->slots = calloc(s->size, sizeof(*s->slots));
		if (!s->slots)
			return LARDER_NOMEM;
	}
	return 0;
}

struct shard *
shard_of(struct store *store, struct hash hash)
{
	return &store->memory.shards[hash.hi % MEMORY_SHARDS];
}

static struct entry **
slot_of(struct shard *s, struct hash hash)
{
	struct entry **at = &s->slots[hash.lo & (s->size - 1)];

	while (*at && ((*at)->hash.lo != hash.lo || (*at)->hash.hi != hash.hi))
		at = &(*at)->next;
	return at;
}

static void
grow(struct shard *s)
{
	size_t size = s->size * 2;
	struct entry **slots;

	if (s->count < s->size || !(slots = calloc(size, sizeof(*slots))))
		return;
	for (size_t i = 0; i < s->size; i++)
		for (struct entry *e = s->slots[i], *next; e; e = next) {
			struct entry **at = &slots[e->hash.lo & (size - 1)];

			next = e->next;
			e->next = *at;
			*at = e;
		}
	free(s->slots);
	s->slots = slots;
	s->size = size;
}

static struct hash *
absent_slot(struct shard *s, struct hash hash)
{
	return &s->absent[hash.lo % MEMORY_ABSENT];
}

static bool
is_absent(struct shard *s, struct hash hash)
{
	const struct hash *at = absent_slot(s, hash);

	return at->lo == hash.lo && at->hi == hash.hi;
}

/* Takes the image. NULL: out of memory. */
static struct entry *
add_entry(
    struct shard *s, struct hash hash, struct bytes key, struct image **image)
{
	struct entry *e = zeroed(sizeof(*e) + key.n), **at;
	char *text = (char *)(e + 1);

	if (!e) {
		image_unref(image);
		return NULL;
	}
	grow(s);
	e->hash = hash;
	e->key = image_put_bytes(&text, key);
	e->image = *image;
	*image = NULL;
	list_init(&e->node);
	at = slot_of(s, hash);
	e->next = *at;
	*at = e;
	s->count++;
	s->added++;
	if (is_absent(s, hash))
		memset(absent_slot(s, hash), 0, sizeof(hash));
	return e;
}

void
shard_account(struct store *store, struct entry *e, size_t cost)
{
	store->memory.used += cost - e->cost;
	if (!e->proven)
		store->memory.fresh += cost - e->cost;
	e->cost = cost;
}

void
shard_remove(struct store *store, struct shard *s, struct entry *e)
{
	struct entry **at = slot_of(s, e->hash);

	check(*at == e && !e->dirty);
	*at = e->next;
	s->count--;
	list_remove(&e->node);
	shard_account(store, e, 0);
	image_unref(&e->image);
	free(e);
}

static size_t
cost_of(const struct entry *e)
{
	size_t cost = sizeof(*e) + e->key.n + sizeof(*e->image);

	for (unsigned i = 0; i < e->image->count; i++) {
		const struct object *o = e->image->objects[i];

		cost += o->cost;
		if (o->blob)
			cost += blob_cost(o->blob);
	}
	return cost;
}

/* The one that goes next; NULL: none is left. What was asked for once may have
 * a tenth of the tier where the rest is asked for more; the last that came is
 * not to go at once for it. */
static struct list *
next_to_go(const struct memory *m, struct shard *s, uint64_t size)
{
	bool much =
	    m->fresh > size / FRESH_SHARE && s->fresh.next != s->fresh.prev;

	if (!list_empty(&s->fresh) && (much || list_empty(&s->proven)))
		return s->fresh.next;
	return list_empty(&s->proven) ? NULL : s->proven.next;
}

static void
prove(struct store *store, struct entry *e)
{
	size_t cost = e->cost;

	shard_account(store, e, 0);
	e->proven = true;
	shard_account(store, e, cost);
}

/*
 * Most of what comes is never asked for again, and pushes nothing out that is:
 * S3-FIFO (Yang et al., SOSP 2023), with the sketch for its ghosts. What has
 * proven itself has a second chance where it was asked for meanwhile.
 */
static void
shrink(struct store *store, struct shard *s, uint64_t size)
{
	struct list *node;

	while (store->memory.used > size &&
	       (node = next_to_go(&store->memory, s, size))) {
		struct entry *e = container_of(node, struct entry, node);

		if (!atomic_exchange_explicit(
			&e->hot, false, memory_order_relaxed) ||
		    !size) {
			shard_remove(store, s, e);
			continue;
		}
		prove(store, e);
		list_remove(&e->node);
		list_append(&s->proven, &e->node);
	}
}

/* It is clean: the tier may keep it. */
void
shard_keep(struct store *store, struct shard *s, struct entry *e)
{
	if (!e->proven && sketch_count(store->sketch, e->hash.lo) > 1)
		prove(store, e);
	list_remove(&e->node);
	list_append(e->proven ? &s->proven : &s->fresh, &e->node);
	shard_account(store, e, cost_of(e));
	shrink(store, s, memory_limit(&store->memory));
}

/* What the catalog has, or LARDER_ABSENT. */
static int
load_image(struct store *store, struct shard *s, struct hash hash,
    struct bytes key, struct image **image)
{
	struct catalog_reader *r;
	struct bytes value;
	int err;

	if (is_absent(s, hash))
		return LARDER_ABSENT;
	err = store_borrow(store, &r);
	if (err)
		return err;
	err = catalog_get(r, hash, key, &value);
	if (!err)
		err = image_decode(value, key, image);
	store_return(store, &r);
	if (err == LARDER_DAMAGED) {
		store_count(&store->damaged, 1);
		store_count(&store->unreadable, 1);
	}
	return err;
}

/* The entry, out of the catalog if there is none: with no objects if it has
 * nothing, either. In none of the lists then. */
int
shard_load(struct store *store, struct shard *s, struct hash hash,
    struct bytes key, struct entry **out)
{
	struct image *image = NULL;
	bool absent;
	int err;

	*out = *slot_of(s, hash);
	if (*out)
		return bytes_eq((*out)->key, key) ? 0 : LARDER_ABSENT;
	err = load_image(store, s, hash, key, &image);
	absent = err == LARDER_ABSENT;
	if (err == LARDER_ABSENT || err == LARDER_DAMAGED) {
		image = image_new();
		err = image ? 0 : LARDER_NOMEM;
	}
	if (err)
		return err;
	*out = add_entry(s, hash, key, &image);
	if (!*out)
		return LARDER_NOMEM;
	(*out)->absent = absent;
	return 0;
}

/* ---- finding ------------------------------------------------------------- */

static int
fill_record(struct arena *arena, const struct object *o, struct store_record *r)
{
	const struct object_info *info = &o->info;
	size_t n = o->key.n + info->variant.n + info->meta.n;
	char *at = arena_alloc(arena, n + 1);

	if (!at)
		return LARDER_NOMEM;
	r->key = image_put_bytes(&at, o->key);
	r->variant = image_put_bytes(&at, info->variant);
	r->meta = image_put_bytes(&at, info->meta);
	r->id = info->id;
	r->stored_at = info->stored_at;
	r->expires = info->expires;
	r->head_size = info->head_size;
	r->body_size = info->body_size;
	r->disk_size = object_disk_size(info);
	if (info->body.kind == PLACE_NONE)
		r->disk_size += info->head_size + info->body_size;
	return 0;
}

static int
fill_found(
    struct arena *arena, const struct image *image, struct store_found *out)
{
	int err = 0;

	if (!image->count)
		return LARDER_ABSENT;
	out->count = image->count;
	out->records = arena_alloc(arena, image->count * sizeof(*out->records));
	if (!out->records)
		return LARDER_NOMEM;
	/* Most have one variant, and it is opened soon: it is far away. */
	if (image->objects[0]->blob) {
		__builtin_prefetch(image->objects[0]->blob);
		__builtin_prefetch(&image->objects[0]->blob->head);
	}
	for (unsigned i = 0; i < image->count && !err; i++)
		err = fill_record(arena, image->objects[i], &out->records[i]);
	return err;
}

int
memory_find(struct store *store, struct hash hash, struct bytes key, bool asked,
    struct arena *arena, struct store_found *out, uint64_t *added)
{
	struct shard *s = shard_of(store, hash);
	int err = LARDER_AGAIN;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	e = *slot_of(s, hash);
	if (e) {
		if (asked)
			atomic_store_explicit(
			    &e->hot, true, memory_order_relaxed);
		err = bytes_eq(e->key, key) ? fill_found(arena, e->image, out)
					    : LARDER_ABSENT;
	} else if (is_absent(s, hash)) {
		err = LARDER_ABSENT;
	}
	*added = s->added;
	pthread_mutex_unlock(&s->lock);
	return err;
}

void
memory_note_absent(struct store *store, struct hash hash, uint64_t added)
{
	struct shard *s = shard_of(store, hash);

	pthread_mutex_lock(&s->lock);
	if (s->added == added)
		*absent_slot(s, hash) = hash;
	pthread_mutex_unlock(&s->lock);
}

int
memory_visit(struct store *store, struct hash hash, struct bytes key,
    uint64_t id, int (*visit)(void *arg, struct object *o), void *arg)
{
	struct shard *s = shard_of(store, hash);
	int err, result = LARDER_ABSENT;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	err = shard_load(store, s, hash, key, &e);
	for (unsigned i = 0; !err && i < e->image->count; i++) {
		struct object *o = e->image->objects[i];

		if (o->info.id == id)
			result = visit(arg, o);
	}
	/* One that is kept already, and takes what it took, is only hot. */
	if (!err && !e->dirty) {
		if (!e->image->count)
			shard_remove(store, s, e);
		else if (list_empty(&e->node) || cost_of(e) != e->cost)
			shard_keep(store, s, e);
	}
	pthread_mutex_unlock(&s->lock);
	return err ? err : result;
}

int
memory_image(
    struct store *store, struct hash hash, struct bytes key, struct image **out)
{
	struct shard *s = shard_of(store, hash);
	struct entry *e;
	int err;

	pthread_mutex_lock(&s->lock);
	err = shard_load(store, s, hash, key, &e);
	if (!err) {
		*out = image_ref(e->image);
		if (!e->dirty && list_empty(&e->node))
			shard_remove(store, s, e);
		if (!(*out)->count) {
			image_unref(out);
			err = LARDER_ABSENT;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* ---- size ---------------------------------------------------------------- */

void
memory_resize(struct store *store, uint64_t size)
{
	store->memory.size = size;
	for (unsigned i = 0; i < MEMORY_SHARDS; i++) {
		struct shard *s = &store->memory.shards[i];

		pthread_mutex_lock(&s->lock);
		shrink(store, s, size);
		pthread_mutex_unlock(&s->lock);
	}
}

void
memory_release(struct store *store)
{
	for (unsigned i = 0; i < MEMORY_SHARDS; i++) {
		struct shard *s = &store->memory.shards[i];

		for (size_t slot = 0; s->slots && slot < s->size; slot++)
			while (s->slots[slot]) {
				s->slots[slot]->dirty = false;
				shard_remove(store, s, s->slots[slot]);
			}
		free(s->slots);
		pthread_mutex_destroy(&s->lock);
	}
}
