/*
 * The store: looking up, and what concerns one key. Opening is in open.c, what
 * goes over all of it in scrub.c, what concerns one body in blob.c.
 */
#include "larder/store.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "internal.h"
#include "larder/clock.h"

/* ---- small things -------------------------------------------------------- */

void
store_report(struct store *store, const char *format, ...)
{
	char line[512];
	va_list ap;

	if (!store->report)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	store->report(store->report_arg, line);
}

struct hash
store_hash(const struct store *store, struct bytes key)
{
	XXH128_hash_t h =
	    XXH3_128bits_withSecret(key.p, key.n, store->secret, STORE_SECRET);

	return (struct hash){h.low64, h.high64};
}

int
store_borrow(struct store *store, struct catalog_reader **r)
{
	*r = NULL;
	pthread_mutex_lock(&store->spare_lock);
	if (store->spare_count)
		*r = store->spares[--store->spare_count];
	pthread_mutex_unlock(&store->spare_lock);
	return *r ? 0 : catalog_reader_open(store->catalog, r);
}

void
store_return(struct store *store, struct catalog_reader **r)
{
	catalog_reader_rest(*r);
	pthread_mutex_lock(&store->spare_lock);
	if (store->spare_count < STORE_SPARES) {
		store->spares[store->spare_count++] = *r;
		*r = NULL;
	}
	pthread_mutex_unlock(&store->spare_lock);
	catalog_reader_close(r);
}

/* ---- views and looking up ------------------------------------------------ */

int
store_view_open(struct store *store, struct store_view **out)
{
	struct store_view *v = calloc(1, sizeof(*v));
	int err;

	if (!v)
		return LARDER_NOMEM;
	v->store = store;
	err = catalog_reader_open(store->catalog, &v->reader);
	if (err)
		free(v);
	else
		*out = v;
	return err;
}

void
store_view_close(struct store_view **v)
{
	if (!*v)
		return;
	catalog_reader_close(&(*v)->reader);
	frame_release(&(*v)->coder);
	free(*v);
	*v = NULL;
}

void
store_view_turn(struct store_view *v)
{
	catalog_reader_rest(v->reader);
}

static int
copy_bytes(struct arena *arena, struct bytes *b)
{
	*b = arena_copy(arena, *b);
	return b->p ? 0 : LARDER_NOMEM;
}

static int
copy_found(struct arena *arena, const struct object_value *value,
    struct store_found *out)
{
	struct bytes key = value->key;

	out->count = value->count;
	out->records = arena_alloc(arena, value->count * sizeof(*out->records));
	if (!out->records || copy_bytes(arena, &key))
		return LARDER_NOMEM;
	for (unsigned i = 0; i < value->count; i++) {
		const struct object_info *info = &value->infos[i];

		out->records[i] = (struct store_record){key, info->variant,
		    info->meta, info->id, info->stored_at, info->expires,
		    info->head_size, info->body_size, object_disk_size(info)};
		if (copy_bytes(arena, &out->records[i].variant) ||
		    copy_bytes(arena, &out->records[i].meta))
			return LARDER_NOMEM;
	}
	return 0;
}

static int
look(struct store_view *v, struct bytes key, bool asked, struct arena *arena,
    struct store_found *out)
{
	struct hash hash = store_hash(v->store, key);
	struct object_value value;
	struct bytes bytes;
	uint64_t added;
	int err;

	/* A hit counts it at the end, when this has come. */
	sketch_prefetch(v->store->sketch, hash.lo);
	used_prefetch(&v->store->used, hash);
	err = memory_find(v->store, hash, key, asked, arena, out, &added);
	if (err != LARDER_AGAIN)
		return err;
	err = catalog_get(v->reader, hash, key, &bytes);
	if (!err)
		err = object_value_decode(bytes, key, &value);
	if (err == LARDER_ABSENT)
		memory_note_absent(v->store, hash, added);
	if (err == LARDER_DAMAGED)
		store_count(&v->store->damaged, 1);
	return err ? err : copy_found(arena, &value, out);
}

int
store_find(struct store_view *v, struct bytes key, struct arena *arena,
    struct store_found *out)
{
	return look(v, key, true, arena, out);
}

int
store_look(struct store_view *v, struct bytes key, struct arena *arena,
    struct store_found *out)
{
	return look(v, key, false, arena, out);
}

void
store_touch(struct store_view *v, const struct store_record *record)
{
	struct hash hash = store_hash(v->store, record->key);

	sketch_add(v->store->sketch, hash.lo);
	used_touch(&v->store->used, hash);
}

struct opening {
	struct store *store;
	struct hash hash;
	struct blob *blob;
};

static int
on_open(void *arg, struct object *o)
{
	struct opening *open = arg;
	struct store *store = open->store;

	if (o->blob) {
		open->blob = blob_ref(o->blob);
		if (atomic_load_explicit(
			&blob_base(o->blob)->ready, memory_order_acquire))
			store_count(&store->memory.hits, 1);
		return 0;
	}
	open->blob = blob_cold(store, open->hash, o);
	if (!open->blob)
		return LARDER_NOMEM;
	/* A small one becomes the tier's. */
	if (o->info.body.kind == PLACE_PACK && store->memory.size)
		o->blob = blob_ref(open->blob);
	return 0;
}

int
store_open_blob(
    struct store_view *v, const struct store_record *record, struct blob **out)
{
	struct opening open = {
	    v->store, store_hash(v->store, record->key), NULL};
	int err = memory_visit(
	    v->store, open.hash, record->key, record->id, on_open, &open);

	*out = open.blob;
	return err;
}

/* ---- changing ------------------------------------------------------------ */

static bool
has_id(void *arg, const struct object *o)
{
	const uint64_t *id = arg;

	return !*id || o->info.id == *id;
}

struct updating {
	struct store *store;
	uint64_t id;
	struct bytes variant; /* p == NULL: as it was */
	struct bytes meta, head;
	int64_t expires;
};

/* The body may be in memory only: it goes on under the new head. */
static int
share_body(const struct object *old, struct object *now)
{
	bool needed = old->info.body.kind == PLACE_NONE;

	if (!old->blob)
		return 0;
	if (!needed && !atomic_load_explicit(
			   &blob_base(old->blob)->ready, memory_order_acquire))
		return 0;
	now->blob = blob_derive(old->blob, now->head);
	return now->blob ? 0 : LARDER_NOMEM;
}

static int
on_update(void *arg, const struct image *old, struct image **out)
{
	struct updating *u = arg;
	struct object *now, *was = NULL;
	struct object_info info;
	int err;

	for (unsigned i = 0; i < old->count; i++)
		if (old->objects[i]->info.id == u->id)
			was = old->objects[i];
	if (!was)
		return 0;
	info = was->info;
	if (u->variant.p)
		info.variant = u->variant;
	info.meta = u->meta;
	info.expires = u->expires;
	info.head_size = u->head.n;
	info.stored_at = clock_wall_ms() / 1000;
	now = object_new(was->key, &info);
	if (!now)
		return LARDER_NOMEM;
	now->move = was->move;
	now->unpress = was->unpress;
	now->pressed = was->pressed ? pressed_ref(was->pressed) : NULL;
	now->head = chunk_copy(u->head);
	err = now->head ? share_body(was, now) : LARDER_NOMEM;
	if (!err && !(*out = image_with(old, now, has_id, &u->id)))
		err = LARDER_NOMEM;
	object_unref(&now);
	return err ? err : 1;
}

int
store_move(struct store_view *v, struct bytes key, uint64_t id,
    struct bytes variant, struct bytes meta, struct bytes head, int64_t expires)
{
	struct updating u = {v->store, id, variant, meta, head, expires};

	if (variant.n > OBJECT_META_MAX || meta.n > OBJECT_META_MAX ||
	    head.n > STORE_SMALL)
		return LARDER_TOOBIG;
	return memory_change(
	    v->store, store_hash(v->store, key), key, on_update, &u, NULL);
}

int
store_update(struct store_view *v, struct bytes key, uint64_t id,
    struct bytes meta, struct bytes head, int64_t expires)
{
	return store_move(v, key, id, bytes_of(NULL, 0), meta, head, expires);
}

static int
on_remove(void *arg, const struct image *old, struct image **out)
{
	*out = image_with(old, NULL, has_id, arg);
	if (!*out)
		return LARDER_NOMEM;
	if ((*out)->count < old->count)
		return 1;
	image_unref(out);
	return 0;
}

int
store_remove(struct store *store, struct bytes key, uint64_t id)
{
	struct hash hash = store_hash(store, key);
	int err;

	if (!id)
		salvage_removed(store, hash);
	err = memory_change(store, hash, key, on_remove, &id, NULL);
	if (!err)
		store_count(&store->removed, 1);
	return err;
}

void
store_drop_damaged(
    struct store *store, struct hash hash, const struct object *o)
{
	uint64_t id = o->info.id;

	if (memory_change(store, hash, o->key, on_remove, &id, NULL) != 0)
		return;
	store_count(&store->damaged, 1);
	store_report(store,
	    "damaged bytes on disk: dropped %.*s, it will be fetched anew",
	    (int)(o->key.n > 200 ? 200 : o->key.n), o->key.p);
}

/* ---- the rest ------------------------------------------------------------ */

int
store_flush(struct store *store)
{
	return writer_flush(store);
}

void
store_stats(struct store *store, struct store_stats *out)
{
	uint64_t taken = store->budget.taken;
	uint64_t ahead = budget_ahead(&store->budget);

	*out = (struct store_stats){
	    .objects = store->objects,
	    .disk_used = taken > ahead ? taken - ahead : 0,
	    .disk_budget = store->budget.size,
	    .memory_used = store->memory.used,
	    .memory_budget = memory_limit(&store->memory),
	    .body_bytes = store->body_bytes,
	    .stored_bytes = store->stored_bytes,
	    .memory_hits = store->memory.hits,
	    .evicted = store->evicted,
	    .evicted_bytes = store->evicted_bytes,
	    .written = store->written,
	    .rewritten = store->rewritten,
	    .removed = store->removed,
	    .damaged = store->damaged,
	    .no_room = store->no_room,
	    .io_errors = disk_errors() - store->errors_before,
	    .commits = store->commits,
	    .verified = store->verified,
	    .gc_done = store->gc_at,
	    .gc_of = store->next_id,
	};
}

int
store_state_set(struct store *store, const char *name, struct bytes value)
{
	struct writer *w = &store->writer;
	struct writer_state *s;

	if (!*name || strlen(name) > 32 || value.n > 64 * 1024)
		return LARDER_TOOBIG;
	s = malloc(sizeof(*s) + value.n);
	if (!s)
		return LARDER_NOMEM;
	list_init(&s->node);
	strcpy(s->name, name);
	s->n = value.n;
	if (value.n)
		memcpy(s->value, value.p, value.n);
	pthread_mutex_lock(&w->lock);
	list_append(&w->states, &s->node);
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return 0;
}

int
store_state_get(struct store *store, const char *name, struct arena *arena,
    struct bytes *out)
{
	struct catalog_reader *r;
	struct bytes value;
	int err;

	/* What was set a moment ago is read as well. */
	writer_flush(store);
	err = store_borrow(store, &r);
	if (err)
		return err;
	err = catalog_get_state(r, name, &value);
	if (!err) {
		*out = arena_copy(arena, value);
		err = out->p ? 0 : LARDER_NOMEM;
	}
	store_return(store, &r);
	return err;
}
