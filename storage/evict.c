/*
 * Eviction: containers leave in the order they came, and what was asked for
 * again gets a second chance: it is written anew, or its file goes to the end
 * of the queue.
 *
 * What always holds: runs in the writer's thread; a container leaves by
 * batches that are small enough for one transaction, so that space comes
 * back as it goes; what stays is written only where there is room for it.
 */
#include "internal.h"
#include "owners.h"

/* After so many second chances in one go nobody gets another. */
#define CHANCES 256u

struct judge {
	struct store *store;
	struct hash hash;
	uint64_t container;
	uint64_t room; /* for what stays */
	bool may_stay; /* of a blob: it can be put at the end of the queue */
	bool stays;    /* that is what was decided */
	bool holds;    /* a head stays here, for it cannot move now */
};

static struct object *
moved(const struct object *o, uint64_t container)
{
	struct object *copy = object_copy(o);

	if (copy)
		copy->move = container;
	return copy;
}

static bool
is_old(void *arg, const struct object *o)
{
	return o == arg;
}

/* What becomes of one object of the container: NULL, it goes. */
static struct object *
judge_object(struct judge *j, struct object *o)
{
	const struct object_info *info = &o->info;
	bool body = info->body.container == j->container;
	unsigned uses = sketch_count(j->store->sketch, j->hash.lo);
	uint64_t size = object_disk_size(info);
	/* Where the body is elsewhere only the head moves. */
	uint64_t moves = body ? size : object_place_size(&info->head);

	if (!body || evict_keep(uses, moves, j->room)) {
		struct object *copy = moved(o, j->container);

		if (copy) {
			j->room -= moves;
			return copy;
		}
	}
	store_count(&j->store->evicted, 1);
	store_count(&j->store->evicted_bytes, size);
	return NULL;
}

/* The head of a body that lies elsewhere has no room to move to, as after a cut
 * of the budget: the body goes when its own turn comes, or the head moves once
 * there is room. */
static bool
must_hold(const struct judge *j, const struct object_info *info)
{
	return info->body.container != j->container &&
	       object_place_size(&info->head) > j->room;
}

static bool
concerns(const struct judge *j, const struct object_info *info)
{
	return (info->body.kind != PLACE_NONE &&
		   info->body.container == j->container) ||
	       (info->head.kind != PLACE_NONE &&
		   info->head.container == j->container);
}

static int
on_judge(void *arg, const struct image *old, struct image **out)
{
	struct judge *j = arg;
	struct image *image = image_with(old, NULL, NULL, NULL);
	bool changed = false;

	for (unsigned i = 0; image && i < image->count; i++) {
		struct object *o = image->objects[i], *now;
		struct image *next;

		if (!concerns(j, &o->info))
			continue;
		if (j->may_stay && o->info.body.container == j->container &&
		    sketch_count(j->store->sketch, j->hash.lo)) {
			j->stays = true;
			image_unref(&image);
			return 0;
		}
		if (must_hold(j, &o->info)) {
			j->holds = true;
			continue;
		}
		changed = true;
		now = judge_object(j, o);
		if (now) {
			object_unref(&image->objects[i]);
			image->objects[i] = now;
			continue;
		}
		next = image_with(image, NULL, is_old, o);
		image_unref(&image);
		image = next;
		i--;
	}
	if (image && j->holds && !changed) {
		image_unref(&image);
		return 0;
	}
	*out = image;
	return image ? 1 : LARDER_NOMEM;
}

/* Judges what is in the container, up to a batch of changes; returns how many
 * keys it has seen. */
static unsigned
judge_members(struct judge *j, struct list *batch)
{
	struct store *store = j->store;
	struct writer *w = &store->writer;
	struct owners owners = {.count = 0};
	unsigned seen = 0, n, limit = commit_limit(store);

	do {
		int err = owners_next(store, w->reader, j->container, &owners);

		catalog_reader_rest(w->reader);
		if (err)
			break;
		n = owners.count < limit ? owners.count : limit;
		for (unsigned i = 0; i < n && !j->stays; i++) {
			struct bytes key = owners.keys[i];

			j->hash = store_hash(store, key);
			j->holds = false;
			memory_change(store, j->hash, key, on_judge, j, batch);
			if (!j->holds)
				sketch_spend(store->sketch, j->hash.lo);
		}
		seen += n;
		/* Where all that it saw holds, something behind it may go. */
	} while (n && list_empty(batch) && !j->stays);
	owners_release(&owners);
	return seen;
}

/* More blobs, in the same transaction, as far as they are needed. */
static void
leave_more(struct judge *j, struct list *batch, uint64_t need)
{
	struct store *store = j->store;
	struct catalog_reader *r = store->writer.reader;
	unsigned limit = commit_limit(store);
	uint64_t queue = store->writer.scan, id = j->container, freed = 0;
	struct object_container c;

	for (unsigned n = 0; n < limit; n++) {
		int err = catalog_get_container(r, id, &c);

		freed += err ? 0 : c.size;
		queue++;
		if (budget_usable(&store->budget) + freed >= need)
			err = LARDER_ABSENT;
		if (!err)
			err = catalog_oldest(r, &queue, &id);
		if (!err)
			err = catalog_get_container(r, id, &c);
		catalog_reader_rest(r);
		if (err || c.kind != PLACE_BLOB)
			return;
		j->container = id;
		/* Its own turn comes, where there is more to it. */
		if (!judge_members(j, batch) || j->stays)
			return;
	}
}

/* A batch of what is in the container, and where it is a blob, more of them.
 */
static int
leave(struct store *store, uint64_t id, enum place_kind kind, uint64_t need,
    bool chances, bool *stays)
{
	struct writer *w = &store->writer;
	struct commit_extra extra = {.remove = 0};
	struct judge j = {.store = store, .container = id};
	struct list batch;
	int err;

	list_init(&batch);
	j.room = chances ? budget_free(&store->budget) / 2 : 0;
	j.may_stay = chances && kind == PLACE_BLOB;
	if (!judge_members(&j, &batch))
		extra.remove = id;
	*stays = j.stays;
	if (*stays)
		extra = (struct commit_extra){.requeue = id};
	else if (kind == PLACE_BLOB && !list_empty(&batch))
		leave_more(&j, &batch, need);
	if (list_empty(&batch) && !extra.remove && !extra.requeue)
		return 0;
	w->evicting = true;
	err = commit_batch(store, &batch, &extra);
	w->evicting = false;
	writer_requeue(store, &batch);
	return err;
}

/* Is anything of it left, and is it less? */
static bool
smaller(struct store *store, uint64_t id, uint64_t live)
{
	struct object_container c;
	int err = catalog_get_container(store->writer.reader, id, &c);

	catalog_reader_rest(store->writer.reader);
	return err || c.live < live;
}

/* One batch of the oldest container that can go; false: there is none. */
static bool
step(struct store *store, uint64_t need, unsigned *chances)
{
	struct writer *w = &store->writer;
	struct object_container c;
	bool stays = false;
	uint64_t id;
	int err = catalog_oldest(w->reader, &w->scan, &id);

	if (!err)
		err = catalog_get_container(w->reader, id, &c);
	catalog_reader_rest(w->reader);
	if (err)
		return false;
	if (w->pack && w->pack->id == id) {
		/* All that is older has gone. */
		if (pack_flush(store) != 0)
			return false;
		pack_retire(store);
	}
	err = leave(store, id, c.kind, need, *chances > 0, &stays);
	if (stays)
		*chances -= *chances > 0;
	/* Held up by a change that cannot be committed yet: pass by. */
	else if (err || !smaller(store, id, c.live))
		w->scan++;
	return err != LARDER_NOSPACE;
}

bool
evict_room(struct store *store, uint64_t need)
{
	unsigned chances = CHANCES;

	store->writer.scan = 0;
	while (budget_usable(&store->budget) < need)
		if (!step(store, need, &chances))
			return false;
	return true;
}
