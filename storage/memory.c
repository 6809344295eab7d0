/*
 * The table of what is known in memory, in shards.
 *
 * What always holds
 *   - An entry is the whole truth about its key: every variant stands in it.
 *   - A key without an entry is as the catalog says in any snapshot at least
 *     as new as the last commit: an entry goes clean after the commit count
 *     went up, and leaves only when it is clean; and whoever finds no entry
 *     then asks the catalog with a snapshot not older than that count.
 *   - Images and objects are constant, but for places, blob and head, which
 *     are the shard's.
 * Locks: a shard's, then a blob's or the writer's or a leaf. Loading a value
 * from the catalog happens under the shard's lock.
 */
#include "memory.h"

#include <stdlib.h>

#include "blob.h"
#include "internal.h"

/* ---- objects and images ------------------------------------------------- */

static struct bytes
place_bytes(char **at, struct bytes b)
{
	struct bytes copy = {*at, b.n};

	if (b.n)
		memcpy(*at, b.p, b.n);
	*at += b.n;
	return copy;
}

struct object *
object_new(struct bytes key, const struct object_info *info)
{
	size_t n =
	    sizeof(struct object) + key.n + info->variant.n + info->meta.n;
	struct object *o = malloc(n);
	char *at;

	if (!o)
		return NULL;
	memset(o, 0, sizeof(*o));
	o->refs = 1;
	o->info = *info;
	o->cost = n;
	at = o->data;
	o->key = place_bytes(&at, key);
	o->info.variant = place_bytes(&at, info->variant);
	o->info.meta = place_bytes(&at, info->meta);
	return o;
}

struct object *
object_copy(const struct object *o)
{
	struct object *copy = object_new(o->key, &o->info);

	if (!copy)
		return NULL;
	copy->move = o->move;
	copy->blob = o->blob ? blob_ref(o->blob) : NULL;
	copy->head = o->head ? chunk_ref(o->head) : NULL;
	copy->pressed = o->pressed ? pressed_ref(o->pressed) : NULL;
	return copy;
}

struct object *
object_ref(struct object *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void
object_unref(struct object **p)
{
	struct object *o = *p;

	*p = NULL;
	if (!o ||
	    atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
		return;
	blob_unref(&o->blob);
	chunk_unref(&o->head);
	pressed_unref(&o->pressed);
	free(o);
}

static struct image *
image_new(void)
{
	struct image *image = calloc(1, sizeof(*image));

	if (image)
		image->refs = 1;
	return image;
}

struct image *
image_ref(struct image *image)
{
	atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
	return image;
}

void
image_unref(struct image **p)
{
	struct image *image = *p;

	*p = NULL;
	if (!image || atomic_fetch_sub_explicit(
			  &image->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (unsigned i = 0; i < image->count; i++)
		object_unref(&image->objects[i]);
	free(image);
}

struct image *
image_with(const struct image *old, struct object *with,
    bool (*drop)(void *arg, const struct object *o), void *arg)
{
	struct image *image = image_new();

	if (!image)
		return NULL;
	if (with)
		image->objects[image->count++] = object_ref(with);
	for (unsigned i = 0; i < old->count; i++) {
		struct object *o = old->objects[i];

		if (with && bytes_eq(o->info.variant, with->info.variant))
			continue;
		if (drop && drop(arg, o))
			continue;
		/* The oldest goes for the newest. */
		if (image->count < STORE_VARIANTS_MAX)
			image->objects[image->count++] = object_ref(o);
	}
	return image;
}

static int
image_decode(struct bytes in, struct image **out)
{
	struct object_value value;
	struct image *image;
	int err = object_value_decode(in, &value);

	if (err)
		return err;
	image = image_new();
	if (!image)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < value.count; i++) {
		struct object *o = object_new(value.key, &value.infos[i]);

		if (!o) {
			image_unref(&image);
			return LARDER_NOMEM;
		}
		image->objects[image->count++] = o;
	}
	*out = image;
	return 0;
}

/* ---- entries and shards -------------------------------------------------- */

int
memory_init(struct memory *m, uint64_t size)
{
	m->size = size;
	for (unsigned i = 0; i < MEMORY_SHARDS; i++) {
		struct shard *s = &m->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		list_init(&s->clock);
		s->size = 64;
		s->slots = calloc(s->size, sizeof(*s->slots));
		if (!s->slots)
			return LARDER_NOMEM;
	}
	return 0;
}

static struct shard *
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

/* Takes the image. NULL: out of memory. */
static struct entry *
add_entry(struct shard *s, struct hash hash, struct image **image)
{
	struct entry *e = calloc(1, sizeof(*e)), **at;

	if (!e) {
		image_unref(image);
		return NULL;
	}
	grow(s);
	e->hash = hash;
	e->image = *image;
	*image = NULL;
	list_init(&e->node);
	at = slot_of(s, hash);
	e->next = *at;
	*at = e;
	s->count++;
	return e;
}

static void
account(struct store *store, struct entry *e, size_t cost)
{
	store->memory.used += cost - e->cost;
	e->cost = cost;
}

static void
remove_entry(struct store *store, struct shard *s, struct entry *e)
{
	struct entry **at = slot_of(s, e->hash);

	check(*at == e && !e->dirty);
	*at = e->next;
	s->count--;
	list_remove(&e->node);
	account(store, e, 0);
	image_unref(&e->image);
	free(e);
}

static size_t
cost_of(const struct entry *e)
{
	size_t cost = sizeof(*e) + sizeof(*e->image);

	for (unsigned i = 0; i < e->image->count; i++) {
		const struct object *o = e->image->objects[i];

		cost += o->cost;
		if (o->blob)
			cost += blob_cost(o->blob);
	}
	return cost;
}

/* A second chance for what was asked for, then the longest unused goes. */
static void
shrink(struct store *store, struct shard *s)
{
	while (
	    store->memory.used > store->memory.size && !list_empty(&s->clock)) {
		struct entry *e =
		    container_of(s->clock.next, struct entry, node);

		if (atomic_exchange_explicit(
			&e->hot, false, memory_order_relaxed) &&
		    store->memory.size) {
			list_remove(&e->node);
			list_append(&s->clock, &e->node);
		} else {
			remove_entry(store, s, e);
		}
	}
}

/* It is clean: the tier may keep it. */
static void
keep(struct store *store, struct shard *s, struct entry *e)
{
	list_remove(&e->node);
	list_append(&s->clock, &e->node);
	account(store, e, cost_of(e));
	shrink(store, s);
}

/* The entry, out of the catalog if there is none: with no objects if it has
 * nothing, either. Not in the clock then. */
static int
load(struct store *store, struct shard *s, struct hash hash, struct entry **out)
{
	struct image *image = NULL;
	struct catalog_reader *r;
	struct bytes value;
	int err;

	*out = *slot_of(s, hash);
	if (*out)
		return 0;
	err = store_borrow(store, &r);
	if (err)
		return err;
	err = catalog_get(r, hash, &value);
	if (!err)
		err = image_decode(value, &image);
	store_return(store, &r);
	if (err == LARDER_DAMAGED)
		store_count(&store->damaged, 1);
	if (err == LARDER_ABSENT || err == LARDER_DAMAGED) {
		image = image_new();
		err = image ? 0 : LARDER_NOMEM;
	}
	if (err)
		return err;
	*out = add_entry(s, hash, &image);
	return *out ? 0 : LARDER_NOMEM;
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
	r->key = place_bytes(&at, o->key);
	r->variant = place_bytes(&at, info->variant);
	r->meta = place_bytes(&at, info->meta);
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
fill_found(struct arena *arena, const struct image *image, struct bytes key,
    struct store_found *out)
{
	int err = 0;

	if (!image->count || !bytes_eq(image->objects[0]->key, key))
		return LARDER_ABSENT;
	out->count = image->count;
	out->records = arena_alloc(arena, image->count * sizeof(*out->records));
	if (!out->records)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < image->count && !err; i++)
		err = fill_record(arena, image->objects[i], &out->records[i]);
	return err;
}

int
memory_find(struct store *store, struct hash hash, struct bytes key,
    struct arena *arena, struct store_found *out)
{
	struct shard *s = shard_of(store, hash);
	int err = LARDER_AGAIN;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	e = *slot_of(s, hash);
	if (e) {
		atomic_store_explicit(&e->hot, true, memory_order_relaxed);
		err = fill_found(arena, e->image, key, out);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

int
memory_visit(struct store *store, struct hash hash, struct bytes key,
    uint64_t id, int (*visit)(void *arg, struct object *o), void *arg)
{
	struct shard *s = shard_of(store, hash);
	int err, result = LARDER_ABSENT;
	struct entry *e;

	pthread_mutex_lock(&s->lock);
	err = load(store, s, hash, &e);
	for (unsigned i = 0; !err && i < e->image->count; i++) {
		struct object *o = e->image->objects[i];

		if (o->info.id == id && bytes_eq(o->key, key))
			result = visit(arg, o);
	}
	if (!err && !e->dirty) {
		if (e->image->count)
			keep(store, s, e);
		else
			remove_entry(store, s, e);
	}
	pthread_mutex_unlock(&s->lock);
	return err ? err : result;
}

int
memory_image(struct store *store, struct hash hash, struct image **out)
{
	struct shard *s = shard_of(store, hash);
	struct entry *e;
	int err;

	pthread_mutex_lock(&s->lock);
	e = *slot_of(s, hash);
	err = e ? 0 : load(store, s, hash, &e);
	if (!err) {
		*out = image_ref(e->image);
		if (!e->dirty && list_empty(&e->node))
			remove_entry(store, s, e);
		if (!(*out)->count) {
			image_unref(out);
			err = LARDER_ABSENT;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* ---- changing ------------------------------------------------------------ */

static void
count_change(struct store *store, const struct image *image, bool in)
{
	for (unsigned i = 0; i < image->count; i++) {
		const struct object_info *info = &image->objects[i]->info;

		store->objects += in ? 1 : -(uint64_t)1;
		store->body_bytes += in ? info->body_size : -info->body_size;
	}
}

/* Bytes that the writer must append for it. */
static uint64_t
unplaced(const struct image *image)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < image->count; i++) {
		const struct object *o = image->objects[i];
		bool body = o->info.body.kind == PLACE_NONE &&
			    o->info.body_size <= STORE_SMALL;

		if (body || o->move)
			n += o->info.body_size +
			     object_place_size(&o->info.body);
		if (body || o->head)
			n += o->info.head_size + o->cost;
	}
	return n;
}

/* The entry, or for another key of the same hash: nothing of it. */
static const struct image *
old_image(const struct entry *e, struct bytes key)
{
	static const struct image none;

	if (key.p && e->image->count &&
	    !bytes_eq(e->image->objects[0]->key, key))
		return &none;
	return e->image;
}

int
memory_change(struct store *store, struct hash hash, struct bytes key,
    memory_change_fn *change, void *arg, struct list *batch)
{
	struct shard *s = shard_of(store, hash);
	struct image *image = NULL;
	struct entry *e;
	int result;

	pthread_mutex_lock(&s->lock);
	result = load(store, s, hash, &e);
	if (result) {
		pthread_mutex_unlock(&s->lock);
		return result;
	}
	result = change(arg, old_image(e, key), &image);
	if (result == 1) {
		count_change(store, e->image, false);
		count_change(store, image, true);
		image_unref(&e->image);
		e->image = image;
		e->version++;
		e->bytes = unplaced(image);
		if (!e->dirty) {
			list_remove(&e->node);
			account(store, e, 0);
			e->dirty = true;
		}
		writer_queue(store, e, batch);
	} else if (!e->dirty && !e->image->count) {
		remove_entry(store, s, e);
	} else if (!e->dirty && list_empty(&e->node)) {
		keep(store, s, e);
	}
	pthread_mutex_unlock(&s->lock);
	return result == 1 ? 0 : result == 0 ? LARDER_ABSENT : result;
}

struct image *
memory_snapshot(struct store *store, struct entry *e, uint64_t *version)
{
	struct shard *s = shard_of(store, e->hash);
	struct image *image;

	pthread_mutex_lock(&s->lock);
	image = image_ref(e->image);
	*version = e->version;
	pthread_mutex_unlock(&s->lock);
	return image;
}

/* It is on disk: what the tier does not want is let go. */
static void
placed(struct store *store, struct object *o, const struct place *places,
    struct blob **let_go)
{
	o->info.head = places[0];
	o->info.body = places[1];
	o->move = 0;
	chunk_unref(&o->head);
	pressed_unref(&o->pressed);
	*let_go = NULL;
	if (!o->blob)
		return;
	blob_uncharge(o->blob);
	if (places[1].kind != PLACE_PACK || !store->memory.size) {
		*let_go = o->blob;
		o->blob = NULL;
	}
}

/* An object that was made out of `o` while o was being written, by an update,
 * lies where o lies now: where it lay when it was copied may be gone. The head
 * that it has itself stays pending, and so does a body that was pressed. */
static void
inherit(struct object *o, const struct image *from, const struct place *places)
{
	for (unsigned i = 0; i < from->count; i++) {
		if (from->objects[i] == o ||
		    from->objects[i]->info.id != o->info.id)
			continue;
		if (!o->pressed)
			o->info.body = places[2 * i + 1];
		if (!o->head)
			o->info.head = places[2 * i];
		o->move = 0;
	}
}

void
memory_clean(struct store *store, struct entry *e, uint64_t version,
    struct image *image, const struct place *places, struct list *again)
{
	struct shard *s = shard_of(store, e->hash);
	struct blob *let_go[STORE_VARIANTS_MAX] = {NULL};

	pthread_mutex_lock(&s->lock);
	for (unsigned i = 0; i < image->count; i++)
		placed(store, image->objects[i], places + 2 * i, &let_go[i]);
	e->batched = false;
	if (e->version != version) {
		for (unsigned i = 0; i < e->image->count; i++)
			inherit(e->image->objects[i], image, places);
		list_append(again, &e->node);
	} else {
		e->dirty = false;
		if (e->image->count)
			keep(store, s, e);
		else
			remove_entry(store, s, e);
	}
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < STORE_VARIANTS_MAX; i++)
		blob_unref(&let_go[i]);
}

/* ---- size ---------------------------------------------------------------- */

void
memory_resize(struct store *store, uint64_t size)
{
	store->memory.size = size;
	for (unsigned i = 0; i < MEMORY_SHARDS; i++) {
		struct shard *s = &store->memory.shards[i];

		pthread_mutex_lock(&s->lock);
		shrink(store, s);
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
				remove_entry(store, s, s->slots[slot]);
			}
		free(s->slots);
		pthread_mutex_destroy(&s->lock);
	}
}
