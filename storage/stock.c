/*
 * What lies in the store's folders, as their files say it: to be counted, and
 * put where it belongs, before a catalog is that does not know it.
 */
#include "salvage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"
#include "record.h"

/* ---- names --------------------------------------------------------------- */

static void
on_id(void *arg, const char *name)
{
	struct salvage_ids *list = arg;
	char again[17];
	unsigned long long id = strtoull(name, NULL, 16);

	snprintf(again, sizeof(again), "%016llx", id);
	if (strcmp(again, name) != 0)
		return;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 64;
		uint64_t *ids = realloc(list->ids, room * sizeof(*ids));

		if (!ids)
			return;
		list->ids = ids;
		list->room = room;
	}
	list->ids[list->count++] = id;
}

static int
by_number(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return *a < *b ? -1 : *a > *b;
}

int
salvage_list(struct store *store, const char *folder, struct salvage_ids *out)
{
	memset(out, 0, sizeof(*out));
	disk_list(store->dir, folder, on_id, out);
	if (out->count)
		qsort(out->ids, out->count, sizeof(*out->ids), by_number);
	return 0;
}

bool
salvage_lists(const uint64_t *ids, size_t count, uint64_t id)
{
	return count &&
	       bsearch(&id, ids, count, sizeof(*ids), by_number) != NULL;
}

/* ---- before it is open --------------------------------------------------- */

static int
touch(struct store *store, const char *name)
{
	int fd, err = disk_open(store->dir, name, O_RDWR | O_CREAT, &fd);

	disk_close(fd);
	return err ? err : disk_sync_folder(store->dir, ".");
}

int
salvage_aside(struct store *store)
{
	int err = touch(store, CATALOG_REBUILD);

	if (!err)
		err = disk_rename(store->dir, CATALOG_FILE, CATALOG_ASIDE);
	if (err && err != LARDER_ABSENT)
		return err;
	disk_unlink(store->dir, CATALOG_FILE "-lock");
	store_report(store,
	    "the catalog of the cache was %s: a new one is made from what is "
	    "stored",
	    err ? "lost"
		: "damaged, and is set aside as " CATALOG_ASIDE
		  " (which larder does not need)");
	return 0;
}

struct stock {
	struct store *store;
	uint64_t highest;
};

/* What it takes on the disk. */
static uint64_t
taken_by(struct store *store, const char *name)
{
	uint64_t size, allocated;
	int fd;

	if (disk_open(store->dir, name, O_RDONLY, &fd) != 0)
		return 0;
	if (disk_size(fd, &size, &allocated) != 0)
		allocated = 0;
	disk_close(fd);
	return allocated;
}

void
salvage_count(struct store *store, const char *name)
{
	budget_force(&store->budget, taken_by(store, name));
}

uint64_t
salvage_tidy(struct store *store)
{
	uint64_t n = taken_by(store, CATALOG_ASIDE);

	if (!n || disk_unlink(store->dir, CATALOG_ASIDE) != 0)
		return 0;
	budget_give(&store->budget, n);
	return n;
}

static void
count_folder(struct stock *stock, const char *folder)
{
	struct salvage_ids list;
	char name[FILE_NAME];

	if (salvage_list(stock->store, folder, &list) != 0)
		return;
	for (size_t i = 0; i < list.count; i++) {
		struct object_container c;

		snprintf(name, sizeof(name), "%s/%016llx", folder,
		    (unsigned long long)list.ids[i]);
		if (list.ids[i] > stock->highest)
			stock->highest = list.ids[i];
		/* A salvage before this one knows some of them. */
		if (catalog_get_container(
			stock->store->writer.reader, list.ids[i], &c) != 0)
			salvage_count(stock->store, name);
	}
	catalog_reader_rest(stock->store->writer.reader);
	free(list.ids);
}

/* What was on its way into a folder, or out of one, when the catalog got lost:
 * it is settled, and what names it decides. */
static void
settle(struct store *store, uint64_t id)
{
	char name[FILE_NAME], buf[OBJECT_TRAILER];
	struct object_trailer t;
	uint64_t size = 0, allocated;
	int fd, err;

	file_name(id, PLACE_NONE, true, name);
	if (disk_open(store->dir, name, O_RDONLY, &fd) != 0)
		return;
	err = disk_size(fd, &size, &allocated);
	if (!err && size >= RECORD_MIN)
		err = disk_read(fd, buf, RECORD_MIN, 0);
	if (!err && size >= RECORD_MIN &&
	    record_find(bytes_of(buf, RECORD_MIN)) == buf) {
		err = file_settle(&store->files, id, PLACE_PACK);
	} else {
		if (!err && size >= sizeof(buf))
			err =
			    disk_read(fd, buf, sizeof(buf), size - sizeof(buf));
		if (!err && size >= sizeof(buf) &&
		    object_trailer_read(bytes_of(buf, sizeof(buf)), &t) == 0)
			err = file_settle(&store->files, id, PLACE_BLOB);
		else
			disk_unlink(store->dir, name);
	}
	disk_close(fd);
}

bool
salvage_stock(struct store *store)
{
	struct stock stock = {store, 0};
	struct salvage_ids tmp;
	char name[FILE_NAME];

	salvage_count(store, CATALOG_ASIDE);
	if (faccessat(store->dir, CATALOG_REBUILD, F_OK, 0) != 0)
		return false;
	salvage_list(store, "tmp", &tmp);
	for (size_t i = 0; i < tmp.count; i++)
		settle(store, tmp.ids[i]);
	free(tmp.ids);
	count_folder(&stock, "packs");
	for (unsigned i = 0; i < 256; i++) {
		if (!file_has_folder(&store->files, i))
			continue;
		snprintf(name, sizeof(name), "blobs/%02x", i);
		count_folder(&stock, name);
	}
	/* Ids of small objects are in no name. */
	if (store->next_id <= stock.highest)
		store->next_id = (stock.highest | UINT32_MAX) + 1;
	/* The old one is worth less than what is stored. */
	if (store->budget.taken > store->budget.size)
		salvage_tidy(store);
	return true;
}
