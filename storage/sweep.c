/*
 * Space that neither the catalog nor a list of holes knows: files that no
 * container is, and blocks of packs that should have been punched.
 *
 * Whatever has a name in packs/ or blobs/ was committed before it got that name
 * (file.c), so that what a newer snapshot does not know was removed, and the
 * rest of it was lost in a crash. The pack that is appended to has more blocks
 * than the catalog says, and is left alone.
 *
 * What always holds: goes slowly, a folder and a container at a time, and pins
 * no snapshot in between.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "salvage.h"

/* Names, and packs, between two pauses. */
#define BATCH	 256u
#define PAUSE_MS 1
/* A pack's blocks for its own upkeep are not worth a look. */
#define SLACK	 (64u * 1024)

struct used {
	uint64_t from, to;
};

/* ---- files --------------------------------------------------------------- */

/* A container that is in one of its trees only is a sign of damage, and no
 * reason to throw away what it has. */
static bool
unknown(struct store *store, uint64_t id)
{
	struct object_container c;
	struct catalog_reader *r;
	struct hash hashes[CATALOG_BATCH];
	unsigned count = 0;
	bool result;

	if (store_borrow(store, &r) != 0)
		return false;
	result = catalog_get_container(r, id, &c) == LARDER_ABSENT &&
		 catalog_members(r, id, NULL, hashes, &count) == 0 && !count;
	store_return(store, &r);
	return result;
}

static uint64_t
drop_unknown(struct store *store, const char *folder, uint64_t id, bool counted)
{
	uint64_t size, allocated = 0;
	char name[FILE_NAME];
	int fd;

	if (!unknown(store, id))
		return 0;
	snprintf(
	    name, sizeof(name), "%s/%016llx", folder, (unsigned long long)id);
	if (disk_open(store->dir, name, O_RDONLY, &fd) != 0)
		return 0;
	if (disk_size(fd, &size, &allocated) != 0)
		allocated = 0;
	disk_close(fd);
	if (disk_unlink(store->dir, name) != 0)
		return 0;
	if (counted)
		budget_give(&store->budget, allocated);
	return allocated;
}

static uint64_t
sweep_folder(struct store *store, const char *folder, bool counted)
{
	struct salvage *s = store->salvage;
	struct salvage_ids list;
	uint64_t freed = 0;

	if (salvage_list(store, folder, &list) != 0)
		return 0;
	for (size_t i = 0; i < list.count && salvage_hold(s); i++) {
		freed += drop_unknown(store, folder, list.ids[i], counted);
		salvage_let_go(s);
		if (salvage_ending(s))
			break;
		if (i % BATCH == BATCH - 1)
			poll(NULL, 0, PAUSE_MS);
	}
	free(list.ids);
	return freed;
}

/* ---- blocks of packs ----------------------------------------------------- */

static int
by_from(const void *pa, const void *pb)
{
	const struct used *a = pa, *b = pb;

	return a->from < b->from ? -1 : a->from > b->from;
}

struct uses {
	struct used *list;
	size_t count, room;
};

static int
add_use(struct uses *u, const struct place *p, uint64_t container)
{
	if (p->kind != PLACE_PACK || p->container != container)
		return 0;
	if (u->count == u->room) {
		size_t room = u->room ? u->room * 2 : 256;
		struct used *list = realloc(u->list, room * sizeof(*list));

		if (!list)
			return LARDER_NOMEM;
		u->list = list;
		u->room = room;
	}
	u->list[u->count++] =
	    (struct used){p->offset, p->offset + object_place_size(p)};
	return 0;
}

/* All that the catalog has in the pack. Nothing comes into one that is not
 * appended to, so that several snapshots do as well as one. */
static int
list_uses(struct catalog_reader *r, uint64_t id, struct uses *u)
{
	struct hash hashes[CATALOG_BATCH], from, *at = NULL;
	struct object_value *value = malloc(sizeof(*value));
	unsigned n = 1;
	int err = value ? 0 : LARDER_NOMEM;

	while (!err && n) {
		err = catalog_members(r, id, at, hashes, &n);
		for (unsigned i = 0; i < n && !err; i++) {
			struct bytes bytes;

			err = catalog_get(r, hashes[i], &bytes);
			if (!err)
				err = object_value_decode(bytes, value);
			if (err == LARDER_ABSENT) {
				err = 0;
				continue;
			}
			for (unsigned k = 0; k < value->count && !err; k++) {
				err = add_use(u, &value->infos[k].head, id);
				if (!err)
					err = add_use(
					    u, &value->infos[k].body, id);
			}
		}
		catalog_reader_rest(r);
		if (!n)
			break;
		from = hashes[n - 1];
		from.hi += ++from.lo == 0;
		at = &from;
	}
	free(value);
	return err;
}

static void
punch_between(struct file *file, struct uses *u, uint64_t end)
{
	uint64_t at = 0;

	if (u->count)
		qsort(u->list, u->count, sizeof(*u->list), by_from);
	for (size_t i = 0; i <= u->count; i++) {
		uint64_t to = i < u->count ? u->list[i].from : end;

		if (to > at)
			disk_punch(file->fd, at, to - at);
		if (i < u->count && u->list[i].to > at)
			at = u->list[i].to;
	}
}

static uint64_t
sweep_pack(struct store *store, uint64_t id, const struct object_container *c)
{
	struct place place = {.kind = PLACE_PACK, .container = id};
	struct catalog_reader *r;
	struct file *file;
	struct uses u = {NULL, 0, 0};
	uint64_t size, before = 0, after = 0;

	if (file_open(&store->files, &place, 0, &file) != 0)
		return 0;
	if (disk_size(file->fd, &size, &before) == 0 &&
	    before > c->size + SLACK && store_borrow(store, &r) == 0) {
		if (list_uses(r, id, &u) == 0) {
			punch_between(file, &u, c->end);
			disk_sync(file->fd);
			if (disk_size(file->fd, &size, &after) != 0)
				after = before;
		} else {
			after = before;
		}
		store_return(store, &r);
	} else {
		after = before;
	}
	free(u.list);
	file_unref(&store->files, &file);
	return before > after ? before - after : 0;
}

static uint64_t
look_at_pack(struct store *store, uint64_t id)
{
	struct object_container c;
	struct catalog_reader *r;
	int err = store_borrow(store, &r);

	if (err)
		return 0;
	err = catalog_get_container(r, id, &c);
	store_return(store, &r);
	return err ? 0 : sweep_pack(store, id, &c);
}

static uint64_t
sweep_packs(struct store *store)
{
	struct salvage *s = store->salvage;
	struct salvage_ids packs;
	uint64_t freed = 0;

	if (salvage_list(store, "packs", &packs) != 0)
		return 0;
	/* The newest may be appended to. */
	for (size_t i = 0; i + 1 < packs.count && salvage_hold(s); i++) {
		freed += look_at_pack(store, packs.ids[i]);
		salvage_let_go(s);
		if (salvage_ending(s))
			break;
		if (i % BATCH == BATCH - 1)
			poll(NULL, 0, PAUSE_MS);
	}
	free(packs.ids);
	return freed;
}

uint64_t
sweep_run(struct store *store, bool counted)
{
	uint64_t freed = sweep_folder(store, "packs", counted);
	char name[FILE_NAME];

	for (unsigned i = 0; i < 256; i++) {
		if (!file_has_folder(&store->files, i))
			continue;
		snprintf(name, sizeof(name), "blobs/%02x", i);
		freed += sweep_folder(store, name, counted);
	}
	return freed + sweep_packs(store);
}
