/*
 * Opening a store, closing it, and its bounds.
 *
 *   folder ──> lock ──> superblock ──> catalog ──> stock ──> threads
 *
 * What always holds: the folder is locked before anything in it is looked at,
 * and nothing in it is changed before its superblock was understood.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"
#include "larder/clock.h"
#include "pages.h"

#define SUPERBLOCK   "larder.store"
#define TITLE	     "larder store, format "
#define TITLE_SIZE   32u
#define SUPER_SIZE   (TITLE_SIZE + STORE_SECRET + 8)
/* A catalog up to this size is looked through at every start, which takes some
 * tens of milliseconds; of a larger one only its first pages are,
 * and the writer does the rest before it writes. */
#define CATALOG_LOOK (16u * 1024 * 1024)
/* The least budget that holds a pack, a catalog and room to turn. */
#define SIZE_MIN     (8u * 1024 * 1024)
/* Address space for the catalog: of some 10^9 objects. */
#define MAP_MIN	     (256ull << 30)
#define SKETCH	     "sketch"
/* One of so many bytes is read in a millisecond or two; a larger one by the
 * writer, later. */
#define SKETCH_QUICK (1024u * 1024)

/* Says why, in a sentence. */
static int
refuse(char *why, size_t n, int err, const char *path, const char *advice)
{
	const char *what = larder_strerror(err);

	if ((err == LARDER_IO || err == LARDER_ACCESS) && errno)
		what = strerror(errno);
	snprintf(why, n, "%s: %s%s%s", path, what, *advice ? "; " : "", advice);
	return err;
}

/* Title, secret and sum, twice: without the secret no key is found again. */
static int
write_superblock(struct store *store)
{
	char buf[2 * SUPER_SIZE] = {0};
	struct iovec iov = {buf, sizeof(buf)};
	int fd, err;

	snprintf(buf, TITLE_SIZE, TITLE "%u\n", OBJECT_FORMAT);
	memcpy(buf + TITLE_SIZE, store->secret, STORE_SECRET);
	object_put64(buf + TITLE_SIZE + STORE_SECRET,
	    object_sum(buf, TITLE_SIZE + STORE_SECRET, 0));
	memcpy(buf + SUPER_SIZE, buf, SUPER_SIZE);
	err = disk_open(
	    store->dir, SUPERBLOCK ".new", O_RDWR | O_CREAT | O_TRUNC, &fd);
	if (err)
		return err;
	err = disk_write(fd, &iov, 1, 0);
	if (!err)
		err = disk_sync(fd);
	disk_close(fd);
	if (!err)
		err = disk_rename(store->dir, SUPERBLOCK ".new", SUPERBLOCK);
	return err ? err : disk_sync_folder(store->dir, ".");
}

static int
make_superblock(struct store *store)
{
	int err = disk_random(store->secret, STORE_SECRET);

	return err ? err : write_superblock(store);
}

/* 0, LARDER_FORMAT, or LARDER_DAMAGED. */
static int
take_superblock(struct store *store, const char *buf, uint64_t size)
{
	if (size <= sizeof(TITLE) || memcmp(buf, TITLE, sizeof(TITLE) - 1) != 0)
		return LARDER_DAMAGED;
	if (buf[sizeof(TITLE) - 1] != '0' + OBJECT_FORMAT ||
	    buf[sizeof(TITLE)] != '\n')
		return LARDER_FORMAT;
	if (size < SUPER_SIZE || object_get64(buf + SUPER_SIZE - 8) !=
				     object_sum(buf, SUPER_SIZE - 8, 0))
		return LARDER_DAMAGED;
	memcpy(store->secret, buf + TITLE_SIZE, STORE_SECRET);
	return 0;
}

static int
read_superblock(struct store *store)
{
	char buf[2 * SUPER_SIZE] = {0};
	uint64_t size, allocated;
	int fd, first, err = disk_open(store->dir, SUPERBLOCK, O_RDONLY, &fd);

	if (err)
		return err;
	err = disk_size(fd, &size, &allocated);
	size = size < sizeof(buf) ? size : sizeof(buf);
	if (!err)
		err = disk_read(fd, buf, size, 0);
	disk_close(fd);
	if (err)
		return err;
	first = take_superblock(store, buf, size);
	err = size == sizeof(buf)
		  ? take_superblock(store, buf + SUPER_SIZE, SUPER_SIZE)
		  : LARDER_DAMAGED;
	if (first && err)
		return first == LARDER_FORMAT ? first : err;
	/* One that rotted is written anew, from the other. */
	if (first || err)
		(void)write_superblock(store);
	return 0;
}

static int
open_folder(
    struct store *store, const struct store_options *o, char *why, size_t n)
{
	int err = disk_open_folder(o->path, !o->offline, &store->dir);

	if (err == LARDER_ABSENT)
		return refuse(why, n, o->offline ? err : LARDER_IO, o->path,
		    o->offline ? "there is no cache here yet"
			       : "the folder above it must exist");
	if (err)
		return refuse(why, n, err, o->path,
		    "the user that larderd runs as must own this folder");
	/* No store, no lock file: nothing is left behind by a look. */
	if (o->offline && faccessat(store->dir, SUPERBLOCK, F_OK, 0) != 0)
		return refuse(why, n, LARDER_ABSENT, o->path,
		    "there is no cache here yet");
	err = disk_lock(store->dir, "lock", &store->lock);
	if (err == LARDER_LOCKED)
		return refuse(why, n, err, o->path,
		    "another larderd, or a larderctl, is using this cache");
	if (err)
		return refuse(why, n, err, o->path,
		    "the user that larderd runs as must own this folder");
	return 0;
}

static int
open_superblock(
    struct store *store, const struct store_options *o, char *why, size_t n)
{
	static const char *const folders[] = {"packs", "blobs", "tmp"};
	int err = read_superblock(store);
	bool made, any = false;

	if (err == LARDER_FORMAT)
		return refuse(why, n, err, o->path,
		    "this larder reads format 2: run the version that wrote "
		    "it, "
		    "or move the folder away to start with an empty cache");
	if (err == LARDER_DAMAGED)
		return refuse(why, n, err, o->path,
		    "its file " SUPERBLOCK
		    " is not one of larder's: if nothing "
		    "else is in the folder, move it away");
	if (err == LARDER_ABSENT) {
		err = make_superblock(store);
		store->is_new = true;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(folders) && !err; i++)
		if (!(err = disk_mkdir(store->dir, folders[i], &made)))
			any |= made;
	/* Or a power cut might take all that is in them. */
	if (!err && any)
		err = disk_sync_folder(store->dir, ".");
	return err ? refuse(why, n, err, o->path, "") : 0;
}

/* Opens it, or what can be seen of it says that it is damaged. */
static int
try_catalog(struct store *store, const char *path, uint64_t map)
{
	uint64_t size = 0, allocated;
	int fd, err = disk_open(store->dir, CATALOG_FILE, O_RDONLY, &fd);

	if (!err)
		err = disk_size(fd, &size, &allocated);
	if (!err)
		err = pages_check(fd, CATALOG_LOOK);
	/* Of a store that was there before: it knew what is in it. */
	else if (err == LARDER_ABSENT && store->is_new)
		err = 0;
	disk_close(fd);
	if (err)
		return err == LARDER_ABSENT ? LARDER_DAMAGED : err;
	store->is_unseen = size > CATALOG_LOOK;
	err = catalog_open(&store->catalog, path, map);
	/* One that is new has a name that lasts. */
	if (!err && store->is_new)
		err = disk_sync_folder(store->dir, ".");
	if (!err)
		err = writer_init(store);
	if (err && store->catalog) {
		writer_reset(store);
		catalog_close(&store->catalog);
	}
	return err;
}

static int
open_catalog(
    struct store *store, const struct store_options *o, char *why, size_t n)
{
	/* See catalog.c: it cannot grow later, and the budget can. */
	uint64_t map = o->size > MAP_MIN ? o->size : MAP_MIN;
	char path[4096];
	int err;

	/* LMDB has no openat(). */
	snprintf(path, sizeof(path), "%s/" CATALOG_FILE, o->path);
	catalog_forget_copy(store->dir);
	errno = 0;
	err = try_catalog(store, path, map);
	if (err == LARDER_DAMAGED) {
		err = salvage_aside(store);
		store->is_new = true;
		if (!err)
			err = try_catalog(store, path, map);
	}
	return err ? refuse(why, n, err, path, "") : 0;
}

/* What a crash left in tmp/: the catalog knows what is to become of it. */
static void
on_leftover(void *arg, const char *name)
{
	struct store *store = arg;
	struct object_container c;
	char again[17];
	unsigned long long id = strtoull(name, NULL, 16);
	int err;

	snprintf(again, sizeof(again), "%016llx", id);
	if (strcmp(again, name) != 0)
		return;
	err = catalog_get_container(store->writer.reader, id, &c);
	catalog_reader_rest(store->writer.reader);
	if (!err)
		file_settle(&store->files, id, c.kind);
	else if (err == LARDER_ABSENT)
		file_drop(&store->files, id, 0, NULL);
}

static void
on_folder(void *arg, const char *name)
{
	struct store *store = arg;
	unsigned long n = strtoul(name, NULL, 16);

	if (strlen(name) != 2 || n > 255)
		return;
	store->files.folders[n / 64] |= 1ull << n % 64;
	budget_force(&store->budget, DISK_BLOCK);
}

/* How often what was asked for is only worth something as long as the process
 * lives, and the next one: so it is written when it ends. What cannot be read,
 * or is of another budget, is counted anew. */
void
store_load_sketch(struct store *store)
{
	size_t n = sketch_size(store->sketch);
	char *buf = malloc(n);
	uint64_t size, allocated;
	int fd = -1, err = buf ? disk_open(store->dir, SKETCH, O_RDONLY, &fd)
			       : LARDER_NOMEM;

	if (!err)
		err = disk_size(fd, &size, &allocated);
	if (!err && size == n && disk_read(fd, buf, n, 0) == 0)
		sketch_load(store->sketch, bytes_of(buf, n));
	disk_close(fd);
	free(buf);
	store->sketch_is_read = true;
}

static void
save_sketch(struct store *store)
{
	size_t n = sketch_size(store->sketch);
	char *buf = malloc(n);
	struct iovec iov = {buf, n};
	int fd = -1, err = LARDER_NOMEM;

	if (buf) {
		sketch_save(store->sketch, buf);
		err = disk_open(
		    store->dir, SKETCH ".new", O_RDWR | O_CREAT | O_TRUNC, &fd);
	}
	if (!err)
		err = disk_write(fd, &iov, 1, 0);
	disk_close(fd);
	/* Not synced: what a power cut leaves of it, its sum tells. */
	if (!err)
		disk_rename(store->dir, SKETCH ".new", SKETCH);
	else
		disk_unlink(store->dir, SKETCH ".new");
	free(buf);
}

/* Counts what is there already: by what the catalog says, not by a walk. */
static void
take_stock(struct store *store)
{
	const struct catalog_totals *t = &store->writer.totals;

	/* The folder, four in it, the superblock, the lock, LMDB's lock. */
	budget_force(&store->budget, 8 * DISK_BLOCK + 128 * 1024);
	budget_force(&store->budget, t->disk);
	/* The sketch, and the one that takes its place. */
	budget_force(
	    &store->budget, 2 * disk_round(sketch_size(store->sketch)));
	commit_account_catalog(store);
	disk_list(store->dir, "blobs", on_folder, store);
	store->next_id = t->next_id;
	store->objects = t->objects;
	store->body_bytes = t->body_bytes;
	store->stored_bytes = t->stored_bytes;
	store->is_lost = salvage_stock(store);
	disk_list(store->dir, "tmp", on_leftover, store);
	commit_punch_again(store);
}

static unsigned
rest_time(const struct store_options *o)
{
	return o->rest == 0 ? STORE_REST : o->rest < 0 ? 0 : (unsigned)o->rest;
}

static int
start_threads(
    struct store *store, const struct store_options *o, char *why, size_t n)
{
	int err = pool_start(&store->readers, 4, "reader");

	if (!err)
		err = pool_start(&store->spillers, POOL_MAX, "spiller");
	/* So that one that is large does not hold all others up. */
	if (!err)
		err = pool_start(&store->closers, 2, "closer");
	if (!err) {
		store->files.closers = &store->closers;
		err = writer_start(store);
	}
	if (!err)
		err = salvage_start(store, store->is_lost);
	if (!err && !o->offline)
		err = press_start(store, rest_time(o));
	return err ? refuse(why, n, err, o->path, "no threads to be had") : 0;
}

static void
release(struct store *store)
{
	press_stop(store);
	salvage_stop(store);
	pool_stop(&store->readers);
	/* It gives jobs to the spillers until its end; they to nobody then. */
	writer_stop(store);
	pool_stop(&store->spillers);
	pool_stop(&store->closers);
	store->files.closers = NULL;
	writer_release(store);
	salvage_release(store);
	memory_release(store);
	files_release(&store->files);
	while (store->spare_count)
		catalog_reader_close(&store->spares[--store->spare_count]);
	catalog_close(&store->catalog);
	pthread_mutex_destroy(&store->spare_lock);
	disk_close(store->lock);
	disk_close(store->dir);
	sketch_free(store->sketch);
	used_release(&store->used);
	free(store);
}

static int
open_all(
    struct store *store, const struct store_options *o, char *why, size_t n)
{
	int err;

	err = open_folder(store, o, why, n);
	if (!err)
		err = open_superblock(store, o, why, n);
	if (err)
		return err;
	store->files.dir = store->dir;
	err = open_catalog(store, o, why, n);
	if (err)
		return err;
	if (sketch_size(store->sketch) <= SKETCH_QUICK)
		store_load_sketch(store);
	take_stock(store);
	err = used_open(
	    &store->used, store->dir, &store->budget, clock_wall_ms() / 1000);
	if (err)
		return refuse(why, n, err, o->path, "");
	return start_threads(store, o, why, n);
}

static uint64_t
pending_max(uint64_t memory)
{
	uint64_t half = memory / 2;

	if (half < STORE_PENDING_LEAST)
		return STORE_PENDING_LEAST;
	return half < STORE_PENDING_MOST ? half : STORE_PENDING_MOST;
}

int
store_open(
    struct store **out, const struct store_options *o, char *why, size_t n)
{
	struct store *store = calloc(1, sizeof(*store));
	int err;

	if (!store)
		return refuse(why, n, LARDER_NOMEM, o->path, "");
	store->report = o->report;
	store->report_arg = o->report_arg;
	store->offline = o->offline;
	store->dir = store->lock = -1;
	store->budget.size = o->size < SIZE_MIN ? SIZE_MIN : o->size;
	store->max_object = o->max_object;
	store->pending_max = pending_max(o->memory);
	store->errors_before = disk_errors();
	pthread_mutex_init(&store->spare_lock, NULL);
	files_init(&store->files, -1, &store->budget);
	pool_init(&store->readers);
	pool_init(&store->spillers);
	pool_init(&store->closers);
	writer_prepare(store);
	store->sketch = sketch_new(store->budget.size);
	err = memory_init(&store->memory, o->memory);
	if (!err)
		err = salvage_prepare(store);
	if (err || !store->sketch)
		err = refuse(why, n, LARDER_NOMEM, o->path, "");
	if (!err)
		err = open_all(store, o, why, n);
	if (err)
		release(store);
	else
		*out = store;
	return err;
}

void
store_close(struct store **p)
{
	struct store *store = *p;

	*p = NULL;
	if (!store)
		return;
	store->writer.closing = true;
	/* Large ones that are still being sealed come first. */
	writer_flush(store);
	if (!store->offline && store->sketch_is_read)
		save_sketch(store);
	release(store);
}

void
store_resize(
    struct store *store, uint64_t size, uint64_t memory, uint64_t max_object)
{
	store->budget.size = size < SIZE_MIN ? SIZE_MIN : size;
	store->max_object = max_object;
	store->pending_max = pending_max(memory);
	memory_resize(store, memory);
	writer_nudge(store);
}
