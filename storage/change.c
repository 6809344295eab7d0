/*
 * Changes to what stands under a key, and what the writer does with them.
 *
 *   memory_change() ──> DIRTY ── memory_snapshot(), a commit, memory_clean()
 *         ^                                   │
 *         └── it changed again meanwhile ─────┴──> CLEAN, or not there
 *
 * What always holds: an image is never changed but replaced, and the version
 * goes up with it; so who commits one knows whether it is still the truth.
 */
#include "internal.h"
#include "shard.h"

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
		if (body || o->head || o->pressed)
			n += o->info.head_size + o->cost;
	}
	return n;
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
	result = shard_load(store, s, hash, key, &e);
	if (result) {
		pthread_mutex_unlock(&s->lock);
		return result;
	}
	result = change(arg, e->image, &image);
	if (result == 1) {
		count_change(store, e->image, false);
		count_change(store, image, true);
		image_unref(&e->image);
		e->image = image;
		e->version++;
		e->bytes = unplaced(image);
		if (!e->dirty) {
			list_remove(&e->node);
			shard_account(store, e, 0);
			e->dirty = true;
		}
		writer_queue(store, e, batch);
	} else if (!e->dirty && !e->image->count) {
		shard_remove(store, s, e);
	} else if (!e->dirty && list_empty(&e->node)) {
		shard_keep(store, s, e);
	}
	pthread_mutex_unlock(&s->lock);
	return result == 1 ? 0 : result == 0 ? LARDER_ABSENT : result;
}

static void
make_dirty(struct store *store, struct entry *e)
{
	count_change(store, e->image, true);
	if (e->dirty || !e->image->count)
		return;
	list_remove(&e->node);
	shard_account(store, e, 0);
	e->dirty = true;
	e->version++;
	e->bytes = unplaced(e->image);
	writer_queue(store, e, NULL);
}

void
memory_all_dirty(struct store *store)
{
	store->objects = store->body_bytes = 0;
	for (unsigned i = 0; i < MEMORY_SHARDS; i++) {
		struct shard *s = &store->memory.shards[i];

		pthread_mutex_lock(&s->lock);
		for (size_t slot = 0; slot < s->size; slot++)
			for (struct entry *e = s->slots[slot]; e; e = e->next)
				make_dirty(store, e);
		pthread_mutex_unlock(&s->lock);
	}
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
	o->unpress = false;
	o->told = false;
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
		if (from->objects[i] == o || o->told ||
		    from->objects[i]->info.id != o->info.id)
			continue;
		if (!o->pressed)
			o->info.body = places[2 * i + 1];
		if (!o->head)
			o->info.head = places[2 * i];
		o->move = 0;
		o->unpress = false;
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
	e->absent = false;
	if (e->version != version) {
		for (unsigned i = 0; i < e->image->count; i++)
			inherit(e->image->objects[i], image, places);
		list_append(again, &e->node);
	} else {
		e->dirty = false;
		if (e->image->count)
			shard_keep(store, s, e);
		else
			shard_remove(store, s, e);
	}
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < STORE_VARIANTS_MAX; i++)
		blob_unref(&let_go[i]);
}
