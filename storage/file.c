/*
 * The files behind containers.
 *
 *   file_create() ──> in tmp/ ── file_settle() ──> in its folder
 *                       │  ^                          │
 *        file_drop() <──┘  └────── file_condemn() ────┘
 *     file_abandon()
 *
 * What always holds
 *   - A file is settled after the commit that first names it, and condemned
 *     before the commit that names it no more. So whatever a crash leaves in
 *     tmp/ is settled if the catalog names it, and unlinked if not; nothing
 *     else has to be looked at.
 *   - A container's file is open at most once.
 *   - The blocks of an unlinked file are free when it is closed, and so the
 *     budget has them back by whoever closes it last.
 *   - That takes a quarter of a second for each GiB, so it is a thread of the
 *     closers that does it, or the writer.
 */
#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "larder/check.h"
#include "warm.h"
#include "writer.h"

/* Without a map its two ends stand for so many bytes. */
#define LOOK (64u * 1024)
/* Of what is gone so much is dropped at a time: a quarter of a millisecond in
 * which the kernel gives the processor to nobody else. */
#define STEP (4u << 20)

void
files_init(struct files *f, int dir, struct budget *budget)
{
	struct rlimit limit;

	pthread_mutex_init(&f->lock, NULL);
	for (unsigned i = 0; i < FILE_BUCKETS; i++)
		list_init(&f->buckets[i]);
	list_init(&f->idle);
	f->idle_count = 0;
	f->idle_max = FILE_IDLE;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	    limit.rlim_cur / 8 < FILE_IDLE)
		f->idle_max = (unsigned)(limit.rlim_cur / 8);
	f->dir = dir;
	f->budget = budget;
	f->closers = NULL;
}

/* It is not made shorter: what was sent without a copy may still be on its way
 * out of these pages, and the kernel zeroes what it cuts off. */
static void
forget(int fd, const struct store *writer)
{
	uint64_t size, allocated;

	if (disk_size(fd, &size, &allocated) != 0)
		return;
	for (uint64_t at = 0; at < size; at += STEP) {
		disk_forget(fd, at, STEP);
		if (writer)
			writer_pause(writer);
		else
			pool_yield();
	}
}

static void
close_file(struct files *f, struct file *file, const struct store *writer)
{
	bool is_free = file->gone;

	warm_free(file->warm);
	if (file->linked) {
		char name[FILE_NAME];

		/* Where it stays for an error it is found at the next start;
		 * until then its bytes are counted. */
		file_name(file->id, file->kind, true, name);
		is_free = disk_unlink(f->dir, name) == 0;
	}
	/* Of one that was never whole the kernel would write what is dirty. */
	if (file->gone && !file->linked)
		forget(file->fd, writer);
	disk_close(file->fd);
	if (is_free)
		budget_give(f->budget, file->give);
	free(file->table);
	free(file->offsets);
	free(file->bits);
	free(file);
}

void
files_release(struct files *f)
{
	struct list *node;

	while ((node = list_shift(&f->idle))) {
		struct file *file = container_of(node, struct file, idle);

		list_remove(&file->node);
		close_file(f, file, NULL);
	}
	for (unsigned i = 0; i < FILE_BUCKETS; i++)
		check(list_empty(&f->buckets[i]));
	pthread_mutex_destroy(&f->lock);
}

void
file_name(uint64_t id, enum place_kind kind, bool tmp, char name[FILE_NAME])
{
	unsigned long long n = id;

	if (tmp)
		snprintf(name, FILE_NAME, "tmp/%016llx", n);
	else if (kind == PLACE_PACK)
		snprintf(name, FILE_NAME, "packs/%016llx", n);
	else
		snprintf(name, FILE_NAME, "blobs/%02llx/%016llx", n & 0xff, n);
}

/* ---- the open ones ------------------------------------------------------ */

static struct list *
bucket(struct files *f, uint64_t id)
{
	return &f->buckets[id % FILE_BUCKETS];
}

static struct file *
find_locked(struct files *f, uint64_t id)
{
	list_each (node, bucket(f, id)) {
		struct file *file = container_of(node, struct file, node);

		if (file->id != id)
			continue;
		if (file->refs++ == 0) {
			list_remove(&file->idle);
			f->idle_count--;
		}
		return file;
	}
	return NULL;
}

struct file *
file_known(struct files *f, uint64_t id)
{
	struct file *file;

	pthread_mutex_lock(&f->lock);
	file = find_locked(f, id);
	pthread_mutex_unlock(&f->lock);
	return file;
}

struct file *
file_ref(struct files *f, struct file *file)
{
	pthread_mutex_lock(&f->lock);
	file->refs++;
	pthread_mutex_unlock(&f->lock);
	return file;
}

static void
on_closing(struct job *job, struct frame_coder *coder)
{
	struct file *file = container_of(job, struct file, closing);

	(void)coder;
	close_file(file->files, file, NULL);
}

/* One reference less; NULL, or who is to be closed now. */
static struct file *
leave(struct files *f, struct file *file)
{
	struct file *last = NULL;

	pthread_mutex_lock(&f->lock);
	if (--file->refs == 0) {
		if (file->gone) {
			list_remove(&file->node);
			last = file;
		} else {
			list_append(&f->idle, &file->idle);
			f->idle_count++;
		}
	}
	if (!last && f->idle_count > f->idle_max) {
		last = container_of(list_shift(&f->idle), struct file, idle);
		list_remove(&last->node);
		f->idle_count--;
	}
	pthread_mutex_unlock(&f->lock);
	return last;
}

void
file_unref(struct files *f, struct file **p)
{
	struct file *last = *p ? leave(f, *p) : NULL;

	*p = NULL;
	if (last && last->gone && f->closers)
		pool_add(f->closers, &last->closing);
	else if (last)
		close_file(f, last, NULL);
}

bool
file_shared(struct files *f, const struct file *file)
{
	bool shared;

	pthread_mutex_lock(&f->lock);
	shared = file->refs > 1;
	pthread_mutex_unlock(&f->lock);
	return shared;
}

static struct file *
new_file(struct files *f, uint64_t id, enum place_kind kind)
{
	struct file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	list_init(&file->node);
	list_init(&file->idle);
	file->id = id;
	file->kind = kind;
	file->fd = -1;
	file->refs = 1;
	file->closing.run = on_closing;
	file->files = f;
	return file;
}

int
file_create(
    struct files *f, uint64_t id, enum place_kind kind, struct file **out)
{
	struct file *file = new_file(f, id, kind);
	char name[FILE_NAME];
	int err;

	if (!file)
		return LARDER_NOMEM;
	file_name(id, kind, true, name);
	err = disk_open(f->dir, name, O_RDWR | O_CREAT | O_EXCL, &file->fd);
	if (err) {
		free(file);
		return err == LARDER_ABSENT ? LARDER_IO : err;
	}
	pthread_mutex_lock(&f->lock);
	list_append(bucket(f, id), &file->node);
	pthread_mutex_unlock(&f->lock);
	*out = file;
	return 0;
}

int
file_open_direct(const struct files *f, const struct file *file)
{
	char name[FILE_NAME];
	int fd;

	file_name(file->id, file->kind, true, name);
	fd = disk_open_direct(f->dir, name);
	if (fd >= 0)
		return fd;
	file_name(file->id, file->kind, false, name);
	return disk_open_direct(f->dir, name);
}

/* What the catalog says of it, and what is read by that, must not contradict
 * what its own trailer said when it was opened. */
bool
file_fits(const struct file *file, const struct place *place)
{
	if (file->kind != place->kind)
		return false;
	return file->kind != PLACE_BLOB ||
	       (file->table && file->raw == place->raw &&
		   file->stored == place->stored &&
		   file->encoding == place->encoding);
}

/* It may move between tmp/ and its folder while we look. */
static int
open_either(struct files *f, struct file *file)
{
	char name[FILE_NAME];
	int err = LARDER_ABSENT;

	for (unsigned i = 0; i < 3 && err == LARDER_ABSENT; i++) {
		file_name(file->id, file->kind, i == 1, name);
		err = disk_open(f->dir, name, O_RDWR, &file->fd);
	}
	return err;
}

static int
read_table(struct file *file, const struct place *place, uint64_t object)
{
	char buf[OBJECT_TRAILER], *table;
	struct object_trailer t;
	uint64_t size, allocated, n;
	int err = disk_size(file->fd, &size, &allocated);

	if (err)
		return err;
	if (size < place->stored + OBJECT_TRAILER)
		return LARDER_DAMAGED;
	err = disk_read(file->fd, buf, sizeof(buf), size - sizeof(buf));
	if (!err)
		err = object_trailer_decode(
		    bytes_of(buf, sizeof(buf)), object, place, &t);
	if (err)
		return err;
	n = t.blocks * object_entry_size(t.encoding);
	if (size - OBJECT_TRAILER - place->stored != n)
		return LARDER_DAMAGED;
	table = malloc(n + 1);
	if (!table)
		return LARDER_NOMEM;
	err = disk_read(file->fd, table, n, place->stored);
	if (!err && object_sum(table, n, object) != t.table_sum)
		err = LARDER_DAMAGED;
	if (!err)
		err = file_adopt_table(file, &t, &table, false);
	free(table);
	return err;
}

int
file_open(struct files *f, const struct place *place, uint64_t object,
    struct file **out)
{
	struct file *file = file_known(f, place->container), *other;
	int err;

	*out = file;
	if (file && file_fits(file, place))
		return 0;
	if (file) {
		file_unref(f, out);
		return LARDER_DAMAGED;
	}
	file = new_file(f, place->container, place->kind);
	if (!file)
		return LARDER_NOMEM;
	err = open_either(f, file);
	if (!err && file->kind == PLACE_BLOB)
		err = read_table(file, place, object);
	if (err) {
		close_file(f, file, NULL);
		*out = NULL;
		return err;
	}
	pthread_mutex_lock(&f->lock);
	other = find_locked(f, file->id);
	if (!other)
		list_append(bucket(f, file->id), &file->node);
	pthread_mutex_unlock(&f->lock);
	if (other)
		close_file(f, file, NULL);
	*out = other ? other : file;
	return 0;
}

/* ---- where they lie ----------------------------------------------------- */

/* A folder of blobs/ takes a block, too. */
static int
make_folder(struct files *f, uint64_t id)
{
	unsigned n = (unsigned)(id & 0xff);
	uint64_t bit = 1ull << n % 64;
	char name[FILE_NAME];
	bool made;
	int err;

	if (atomic_load(&f->folders[n / 64]) & bit)
		return 0;
	snprintf(name, sizeof(name), "blobs/%02x", n);
	err = disk_mkdir(f->dir, name, &made);
	if (!err && !(atomic_fetch_or(&f->folders[n / 64], bit) & bit))
		budget_force(f->budget, DISK_BLOCK);
	return err;
}

bool
file_has_folder(const struct files *f, unsigned n)
{
	return atomic_load(&f->folders[n / 64]) & 1ull << n % 64;
}

int
file_settle(struct files *f, uint64_t id, enum place_kind kind)
{
	char from[FILE_NAME], to[FILE_NAME];
	int err = kind == PLACE_BLOB ? make_folder(f, id) : 0;

	if (err)
		return err;
	file_name(id, kind, true, from);
	file_name(id, kind, false, to);
	return disk_rename(f->dir, from, to);
}

int
file_condemn(struct files *f, uint64_t id, enum place_kind kind)
{
	char from[FILE_NAME], to[FILE_NAME];

	file_name(id, kind, false, from);
	file_name(id, kind, true, to);
	return disk_rename(f->dir, from, to);
}

static void
drop(struct files *f, const char *name, uint64_t id, uint64_t bytes,
    const struct store *writer)
{
	struct file *file;
	int fd = -1;

	/* Or the kernel drops all of its pages at once. */
	if (bytes > STEP)
		(void)disk_open(f->dir, name, O_RDONLY, &fd);
	/* Where it stays for an error it is found at the next start; until
	 * then its bytes are counted. */
	if (disk_unlink(f->dir, name) != 0) {
		disk_close(fd);
		return;
	}
	pthread_mutex_lock(&f->lock);
	file = find_locked(f, id);
	if (file) {
		file->gone = true;
		file->give = bytes;
	}
	pthread_mutex_unlock(&f->lock);
	if (!file && fd >= 0)
		forget(fd, writer);
	disk_close(fd);
	if (!file)
		budget_give(f->budget, bytes);
	else if ((file = leave(f, file)))
		close_file(f, file, writer);
}

void
file_drop(
    struct files *f, uint64_t id, uint64_t bytes, const struct store *writer)
{
	char name[FILE_NAME];

	file_name(id, PLACE_NONE, true, name);
	drop(f, name, id, bytes, writer);
}

void
file_drop_settled(struct files *f, uint64_t id, enum place_kind kind,
    uint64_t bytes, const struct store *writer)
{
	char name[FILE_NAME];

	file_name(id, kind, false, name);
	drop(f, name, id, bytes, writer);
}

void
file_abandon(struct files *f, struct file *file, uint64_t bytes)
{
	pthread_mutex_lock(&f->lock);
	file->gone = file->linked = true;
	file->give = bytes;
	pthread_mutex_unlock(&f->lock);
}

/* ---- blocks ------------------------------------------------------------- */

static int
sum_offsets(struct file *file)
{
	file->offsets = calloc(file->blocks + 1, sizeof(*file->offsets));
	if (!file->offsets)
		return LARDER_NOMEM;
	return object_table_offsets(
	    file->table, file->blocks, file->stored, file->offsets);
}

int
file_adopt_table(struct file *file, const struct object_trailer *t,
    char **table, bool verified)
{
	size_t bits = t->blocks / 8 + 1;
	void *map = malloc(bits);

	if (!map)
		return LARDER_NOMEM;
	memset(map, verified ? 0xff : 0, bits);
	file->encoding = t->encoding;
	file->block = t->block;
	file->raw = t->raw;
	file->stored = t->stored;
	file->blocks = t->blocks;
	file->table = *table;
	file->bits = file->verified = map;
	*table = NULL;
	return t->encoding == ENCODING_FRAMES ? sum_offsets(file) : 0;
}

bool
file_verified(const struct file *file, uint64_t block)
{
	return atomic_load_explicit(
		   &file->verified[block / 8], memory_order_acquire) &
	       1u << block % 8;
}

void
file_set_verified(struct file *file, uint64_t block)
{
	atomic_fetch_or_explicit(&file->verified[block / 8],
	    (uint8_t)(1u << block % 8), memory_order_release);
}

uint64_t
file_block_size(const struct file *file, uint64_t block)
{
	uint64_t from = block * file->block;

	return file->raw - from < file->block ? file->raw - from : file->block;
}

uint64_t
file_warm(struct file *file, uint64_t offset, uint64_t n)
{
	struct warm *known = file->warm, *none = NULL;
	uint64_t warm = 0;

	if (!known && file->table &&
	    (known = warm_new(file->fd, file->raw)) != NULL &&
	    !atomic_compare_exchange_strong(&file->warm, &none, known)) {
		warm_free(known);
		known = none;
	}
	if (known && offset + n <= file->raw)
		return warm_run(known, offset, n);
	while (warm < n) {
		uint64_t some = n - warm < LOOK ? n - warm : LOOK;

		if (!disk_is_warm(file->fd, offset + warm, some))
			break;
		warm += some;
	}
	return warm;
}

int
file_check_block(struct file *file, uint64_t block, uint64_t object, char *buf)
{
	size_t n = file_block_size(file, block);
	int err = disk_read(file->fd, buf, n, block * file->block);

	if (err)
		return err;
	if (object_sum(buf, n, object) != object_get64(file->table + 8 * block))
		return LARDER_DAMAGED;
	file_set_verified(file, block);
	return 0;
}

size_t
file_frame_size(const struct file *file, uint64_t block)
{
	return file->offsets[block + 1] - file->offsets[block];
}

int
file_check_frame(struct file *file, uint64_t block, uint64_t object, char *buf)
{
	size_t n = file_frame_size(file, block);
	const char *entry =
	    file->table + object_entry_size(ENCODING_FRAMES) * block;
	int err = disk_read(file->fd, buf, n, file->offsets[block]);

	if (err)
		return err;
	return object_sum(buf, n, object) == object_get64(entry + 4)
		   ? 0
		   : LARDER_DAMAGED;
}
