/*
 * What goes over the whole store: walks, removal by what a visitor says,
 * verification, collection.
 *
 * What always holds: the catalog is asked for a batch at a time and let go of
 * in between, so that a walk of hours pins nothing; a batch goes on behind the
 * key where the last one ended.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "larder/clock.h"

/* Removals that may wait in memory before a walk waits for them. */
#define DIRTY_MAX 16384u

/* Bytes a second that a daemon reads to verify. */
#define VERIFY_RATE (64u * 1024 * 1024)
/* What cannot be written so long does not become a catalog. */
#define REMAKE_MS   30000

typedef int object_visit_fn(void *arg, struct hash hash, struct object *o);

static int
visit_image(
    struct store *store, struct bytes key, object_visit_fn *visit, void *arg)
{
	struct hash hash = store_hash(store, key);
	struct image *image;
	int err = memory_image(store, hash, key, &image), result = 0;

	if (err)
		return err == LARDER_ABSENT ? 0 : err;
	for (unsigned i = 0; i < image->count && !result; i++)
		result = visit(arg, hash, image->objects[i]);
	image_unref(&image);
	return result;
}

/* A damaged catalog is replaced, and filled again, before who walks it goes on.
 * stop: may be NULL. */
static int
await_catalog(struct store *store, const _Atomic bool *stop)
{
	int64_t until = clock_mono_ms() + REMAKE_MS;

	writer_nudge(store);
	while (catalog_damaged(store->catalog)) {
		if (stop && *stop)
			return LARDER_CLOSED;
		if (clock_mono_ms() > until)
			return LARDER_DAMAGED;
		poll(NULL, 0, 10);
	}
	salvage_wait(store);
	return 0;
}

static int
walk(
    struct store *store, struct bytes prefix, object_visit_fn *visit, void *arg)
{
	uint64_t remakes = store->remakes;
	struct catalog_walk walk = {.count = 1};
	struct catalog_reader *r;
	int result = 0;

	salvage_wait(store);
	/* What could not be written is not seen; the rest is. */
	(void)writer_flush(store);
	while (walk.count && !result) {
		result = store_borrow(store, &r);
		if (result)
			break;
		result = catalog_urls(r, prefix, &walk);
		store_return(store, &r);
		if (result == LARDER_DAMAGED && store->remakes < remakes + 2) {
			walk.count = 1;
			result = await_catalog(store, NULL);
			continue;
		}
		for (unsigned i = 0; i < walk.count && !result; i++)
			/* The index may have cut a long prefix. */
			if (bytes_starts(walk.keys[i], prefix))
				result = visit_image(
				    store, walk.keys[i], visit, arg);
	}
	catalog_walk_release(&walk);
	return result;
}

/* ---- walks --------------------------------------------------------------- */

struct walker {
	struct store *store;
	store_visit_fn *visit;
	void *arg;
	bool dry_run;
	struct store_removed removed;
	struct store_damage damage;
	struct frame_coder coder;
	const _Atomic bool *stop;
	int64_t since; /* monotonic ms: when verifying began */
};

/* Another thread may be placing the object: its shard's lock is what the
 * places are under. */
static int
on_info(void *arg, struct object *o)
{
	*(struct object_info *)arg = o->info;
	return 0;
}

static struct object_info
info_of(struct store *store, struct hash hash, struct object *o)
{
	struct object_info info = {.body.kind = PLACE_NONE};

	/* variant and meta are views into o, or into its successor. */
	memory_visit(store, hash, o->key, o->info.id, on_info, &info);
	info.variant = o->info.variant;
	info.meta = o->info.meta;
	return info;
}

static struct store_item
item_of(struct store *store, struct hash hash, struct object *o)
{
	struct object_info info = info_of(store, hash, o);
	struct store_item item;

	item.record = (struct store_record){o->key, o->info.variant,
	    o->info.meta, o->info.id, o->info.stored_at, o->info.expires,
	    o->info.head_size, o->info.body_size,
	    info.body.kind == PLACE_NONE ? o->info.head_size + o->info.body_size
					 : object_disk_size(&info)};
	item.uses = sketch_count(store->sketch, hash.lo);
	item.last_use = used_last(&store->used, hash, o->info.stored_at);
	return item;
}

static int
on_walk(void *arg, struct hash hash, struct object *o)
{
	struct walker *w = arg;
	struct store_item item = item_of(w->store, hash, o);

	return w->visit(w->arg, &item);
}

int
store_walk(
    struct store *store, struct bytes prefix, store_visit_fn *visit, void *arg)
{
	struct walker w = {.store = store, .visit = visit, .arg = arg};

	return walk(store, prefix, on_walk, &w);
}

static bool
many_dirty(struct store *store)
{
	struct writer *w = &store->writer;
	bool many;

	pthread_mutex_lock(&w->lock);
	many = w->dirty_count > DIRTY_MAX;
	pthread_mutex_unlock(&w->lock);
	return many;
}

static int
on_match(void *arg, struct hash hash, struct object *o)
{
	struct walker *w = arg;
	struct store_item item = item_of(w->store, hash, o);
	int result = w->visit(w->arg, &item);

	if (result != 1)
		return result;
	w->removed.objects++;
	w->removed.bytes += item.record.disk_size;
	if (w->dry_run)
		return 0;
	result = store_remove(w->store, o->key, o->info.id);
	if (!result && many_dirty(w->store))
		result = writer_flush(w->store);
	return result < 0 ? result : 0;
}

int
store_remove_matching(struct store *store, struct bytes prefix,
    store_visit_fn *visit, void *arg, bool dry_run, struct store_removed *out)
{
	struct walker w = {
	    .store = store, .visit = visit, .arg = arg, .dry_run = dry_run};
	int result = walk(store, prefix, on_match, &w);

	writer_flush(store);
	*out = w.removed;
	return result;
}

/* ---- where --------------------------------------------------------------- */

static const char *
encoding_name(enum encoding encoding)
{
	static const char *const names[] = {"raw", "zstd", "zstd frames"};

	return names[encoding];
}

int
store_where(
    struct store *store, struct bytes key, uint64_t id, char *out, size_t n)
{
	struct object_info info;
	char name[FILE_NAME];
	int err = memory_visit(
	    store, store_hash(store, key), key, id, on_info, &info);

	if (err)
		return err;
	if (info.body.kind == PLACE_NONE) {
		snprintf(out, n, "in memory, not on disk yet");
		return 0;
	}
	file_name(info.body.container, info.body.kind, false, name);
	snprintf(out, n, "%s @ %llu, %llu bytes %s", name,
	    (unsigned long long)info.body.offset,
	    (unsigned long long)info.body.stored,
	    encoding_name(info.body.encoding));
	return 0;
}

/* ---- collection and verification ----------------------------------------- */

int
store_gc(struct store *store, struct store_removed *out)
{
	uint64_t objects = store->evicted, bytes = store->evicted_bytes;
	int err;

	/* Offline, what opening it with this budget has begun is part of it. */
	if (store->offline)
		objects = bytes = 0;
	salvage_wait(store);
	err = writer_flush(store);
	store->gc_at = 0;
	writer_gc(store);
	out->objects = store->evicted - objects;
	out->bytes = store->evicted_bytes - bytes;
	out->bytes += sweep_run(store, false);
	out->bytes += salvage_tidy(store);
	return err;
}

/* A daemon has others to serve. False: it is to stop. */
static bool
pace(struct walker *w)
{
	int64_t due;

	if (!w->store->offline)
		for (;;) {
			due = w->since + (int64_t)(w->damage.bytes_read /
						   (VERIFY_RATE / 1000));
			due -= clock_mono_ms();
			if (due <= 0 || (w->stop && *w->stop))
				break;
			poll(NULL, 0, due < 100 ? (int)due : 100);
		}
	return !w->stop || !*w->stop;
}

static int
on_verify(void *arg, struct hash hash, struct object *o)
{
	struct walker *w = arg;
	struct store_item item;
	uint64_t n = 0;
	int err = LARDER_ABSENT;

	if (!pace(w))
		return LARDER_CLOSED;
	/* What moved meanwhile is looked for again. */
	for (unsigned i = 0; i < 3 && err; i++) {
		struct object_info info = info_of(w->store, hash, o);

		if (info.body.kind == PLACE_NONE)
			return 0;
		err = load_verify(w->store, &info, &w->coder, &n);
		if (err == LARDER_IO || err == LARDER_NOMEM)
			return err;
	}
	w->damage.objects_read++;
	store_count(&w->store->verified, 1);
	w->damage.bytes_read += n;
	if (!err)
		return 0;
	item = item_of(w->store, hash, o);
	store_drop_damaged(w->store, hash, o);
	w->damage.damaged++;
	return w->visit ? w->visit(w->arg, &item) : 0;
}

int
store_verify_until(struct store *store, store_visit_fn *visit, void *arg,
    const _Atomic bool *stop, struct store_damage *out)
{
	struct walker w = {.store = store,
	    .visit = visit,
	    .arg = arg,
	    .stop = stop,
	    .since = clock_mono_ms()};
	struct store_item item = {
	    .record.key = BYTES("the catalog, made anew")};
	struct bytes all = {NULL, 0};
	uint64_t unreadable, remakes;
	int result;

	store->verified = 0;
	salvage_wait(store);
	unreadable = store->unreadable;
	remakes = store->remakes;
	result = catalog_check(store->catalog, stop);
	if (result == LARDER_DAMAGED) {
		catalog_condemn(store->catalog);
		result = await_catalog(store, stop);
	}
	if (!result)
		result =
		    pace(&w) ? walk(store, all, on_verify, &w) : LARDER_CLOSED;
	/* Records of the catalog whose sums were wrong: what they said is in
	 * the packs as well. */
	if (!result && store->unreadable != unreadable &&
	    store->remakes == remakes) {
		catalog_condemn(store->catalog);
		result = await_catalog(store, stop);
	}
	if (store->remakes != remakes) {
		w.damage.damaged++;
		if (!result && visit)
			result = visit(arg, &item);
	}
	writer_flush(store);
	frame_release(&w.coder);
	*out = w.damage;
	return result;
}

int
store_verify(struct store *store, store_visit_fn *visit, void *arg,
    struct store_damage *out)
{
	return store_verify_until(store, visit, arg, NULL, out);
}
