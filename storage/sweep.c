/*
 * Space that neither the catalog nor a list of holes knows: files that no
 * container is, and blocks of packs that should have been punched.
 *
 * Whatever has a name in packs/ or blobs/ was committed before it got that name
 * (file.c), so that what a newer snapshot does not know was removed, and the
 * rest of it was lost in a crash. The packs that are appended to have more
 * blocks than the catalog says, and are left alone: one that no snapshot since
 * has as such is none any more.
 *
 * What always holds: goes slowly, a folder and a container at a time, and pins
 * no snapshot in between.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "record.h"
#include "salvage.h"

/* Names, and packs, between two pauses. */
#define BATCH	 256u
#define PAUSE_MS 1
/* A pack's blocks for its own upkeep are not worth a look. */
#define SLACK	 (64u * 1024)

struct taken {
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
	struct catalog_walk walk = {.count = 0};
	bool result;

	if (store_borrow(store, &r) != 0)
		return false;
	result = catalog_get_container(r, id, &c) == LARDER_ABSENT &&
		 catalog_members(r, id, &walk) == 0 && !walk.count;
	store_return(store, &r);
	catalog_walk_release(&walk);
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

struct uses {
	struct taken *list;
	size_t count, room;
};

static int
add_use(struct uses *u, uint64_t from, uint64_t to)
{
	if (u->count == u->room) {
		size_t room = u->room ? u->room * 2 : 256;
		struct taken *list = realloc(u->list, room * sizeof(*list));

		if (!list)
			return LARDER_NOMEM;
		u->list = list;
		u->room = room;
	}
	u->list[u->count++] = (struct taken){from, to};
	return 0;
}

/* Where the record there ends; 0: it cannot be told. */
static uint64_t
record_end(struct file *file, uint64_t offset, struct frame_coder *coder)
{
	uint64_t front, stored, end = 0;
	char fixed[RECORD_MIN], *buf = NULL;
	struct record r;

	if (disk_read(file->fd, fixed, sizeof(fixed), offset) == 0 &&
	    record_peek(bytes_of(fixed, sizeof(fixed)), &front, &stored) == 0 &&
	    (buf = malloc(front)) &&
	    disk_read(file->fd, buf, front, offset) == 0 &&
	    record_decode_front(coder, bytes_of(buf, front), &r) == 0)
		end = offset + front + stored;
	free(buf);
	return end;
}

/* All that the catalog has in the pack, in order: the members, each as far as
 * its record says, or else up to the next one. Nothing comes into one that is
 * not appended to, so that several snapshots do as well as one. */
static int
list_uses(
    struct catalog_reader *r, uint64_t id, struct file *file, struct uses *u)
{
	struct catalog_walk walk = {.count = 1};
	struct frame_coder coder = {0};
	int err = 0;

	while (!err && walk.count) {
		err = catalog_members(r, id, &walk);
		catalog_reader_rest(r);
		for (unsigned i = 0; i < walk.count && !err; i++) {
			uint64_t offset, end;

			err = catalog_offset(walk.keys[i], &offset);
			if (err)
				break;
			end = record_end(file, offset, &coder);
			if (u->count && !u->list[u->count - 1].to)
				u->list[u->count - 1].to = offset;
			err = add_use(u, offset, end);
		}
	}
	catalog_walk_release(&walk);
	frame_release(&coder);
	if (u->count && !u->list[u->count - 1].to)
		u->list[u->count - 1].to = UINT64_MAX;
	return err;
}

static void
punch_between(struct file *file, const struct uses *u, uint64_t end)
{
	uint64_t at = 0;

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
		if (list_uses(r, id, file, &u) == 0) {
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
	struct catalog_totals t;
	struct catalog_reader *r;
	int err = store_borrow(store, &r);

	if (err)
		return 0;
	err = catalog_get_container(r, id, &c);
	if (!err)
		err = catalog_get_totals(r, &t);
	store_return(store, &r);
	if (err || id == t.pack || id == t.main_pack)
		return 0;
	return sweep_pack(store, id, &c);
}

static uint64_t
sweep_packs(struct store *store)
{
	struct salvage *s = store->salvage;
	struct salvage_ids packs;
	uint64_t freed = 0;

	if (salvage_list(store, "packs", &packs) != 0)
		return 0;
	for (size_t i = 0; i < packs.count && salvage_hold(s); i++) {
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
