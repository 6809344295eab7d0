/*
 * For `purge --unused-for 30d`: which objects has nobody asked for?
 *
 * A hit writes nothing to the disk, and what is in memory must not grow with
 * the cache. So uses are kept as a Bloom filter is, but of bytes: a key has
 * four cells, and a use writes today's number into each. A key's last use is
 * at the latest the oldest of its cells. Others may have written them all: then
 * the object seems to be in use, and stays. It is never taken for older than it
 * is, but for what a crash loses (an hour at most, see below).
 *
 * A ring of Bloom filters, one a period, takes fewer bits for a short time, but
 * knows a period only; a number of the day in the catalog would be exact and a
 * write a hit; LMDB's pages of a sketch by key would grow with the cache.
 *
 * There is a cell for every 512 bytes of the budget, from 64 Ki to 4 Mi cells.
 * With 4 Mi and 300,000 keys used within the time that is asked about, 0.4 of a
 * percent of what is unused is kept by mistake; with a million, 14 percent.
 *
 * A day's number is 1 to 255: 0 is never. At 255 all of them are lowered, and
 * what is FORGET days old is never again; so at least that much is known.
 *
 * The file `used` is written anew (aside, then renamed) at the end and every
 * hour in which something was used. Of its size the budget has a part; while it
 * is being written, twice. A crash loses what was used since.
 *
 *   offset  size  meaning
 *        0    16  "larder used 1\n"
 *       16     8  how many cells
 *       24     8  the day that the number 1 stands for
 *       32     8  seconds: nothing is known of before
 *       40     8  XXH3 of the other 40 bytes and the cells
 *       48        the cells
 */
#include "used.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "object.h"

#define NAME	   "used"
#define TITLE	   "larder used 1\n"
#define TITLE_SIZE 16u
#define HEADER	   48u
#define CELLS_MIN  (UINT64_C(1) << 16)
#define CELLS_MAX  (UINT64_C(1) << 22)
#define CELLS_KEY  4u
#define CELL_BYTES 512u /* of the budget */
#define DAY	   86400
#define MARK_MAX   255
#define FORGET	   128
#define SAVE_EVERY 3600
#define TICK	   60
/* Beyond any clock. */
#define TIME_LIMIT (INT64_C(1) << 40)

static uint64_t
cells_for(const struct budget *budget)
{
	uint64_t wanted = budget->size / CELL_BYTES, n = CELLS_MIN;

	while (n < CELLS_MAX && n * 2 <= wanted)
		n *= 2;
	return n;
}

static uint64_t
file_size(uint64_t cells)
{
	return disk_round(HEADER + cells);
}

static _Atomic uint8_t *
cell(const struct used *u, struct hash hash, unsigned i)
{
	/* An odd stride visits different cells. */
	return &u->cells[(hash.lo + i * (hash.hi | 1)) & (u->count - 1)];
}

static int64_t
day_of(int64_t seconds)
{
	return seconds / DAY;
}

void
used_prefetch(const struct used *u, struct hash hash)
{
	for (unsigned i = 0; i < CELLS_KEY; i++)
		__builtin_prefetch(cell(u, hash, i));
}

void
used_touch(struct used *u, struct hash hash)
{
	uint8_t mark = atomic_load_explicit(&u->mark, memory_order_relaxed);
	bool news = false;

	for (unsigned i = 0; i < CELLS_KEY; i++) {
		_Atomic uint8_t *c = cell(u, hash, i);

		/* Most are as they should be: the line stays shared. */
		if (atomic_load_explicit(c, memory_order_relaxed) == mark)
			continue;
		atomic_store_explicit(c, mark, memory_order_relaxed);
		news = true;
	}
	if (news)
		atomic_store_explicit(&u->dirty, true, memory_order_relaxed);
}

int64_t
used_last(const struct used *u, struct hash hash, int64_t stored_at)
{
	int64_t base = u->base, known = base * DAY, last;
	uint8_t oldest = MARK_MAX;

	for (unsigned i = 0; i < CELLS_KEY; i++) {
		uint8_t v = atomic_load_explicit(
		    cell(u, hash, i), memory_order_relaxed);

		if (v < oldest)
			oldest = v;
	}
	if (known < u->since)
		known = u->since;
	/* A use at any time of that day. */
	last = oldest ? (base + oldest) * DAY - 1 : known;
	if (last < known)
		last = known;
	return last > stored_at ? last : stored_at;
}

/* ---- time ---------------------------------------------------------------- */

static void
begin(struct used *u, int64_t now)
{
	for (uint64_t i = 0; i < u->count; i++)
		atomic_store_explicit(&u->cells[i], 0, memory_order_relaxed);
	u->base = day_of(now);
	u->since = now;
	u->latest = now;
	u->mark = 1;
}

/* Numbers are days less. A use that is written meanwhile with the old number is
 * of the future then: it only keeps. */
static void
lower(struct used *u, int64_t days)
{
	for (uint64_t i = 0; i < u->count; i++) {
		uint8_t v =
		    atomic_load_explicit(&u->cells[i], memory_order_relaxed);

		if (v)
			atomic_store_explicit(&u->cells[i],
			    v > days ? (uint8_t)(v - days) : 0,
			    memory_order_relaxed);
	}
	u->base += days;
	u->dirty = true;
}

bool
used_wants_tick(const struct used *u, int64_t now)
{
	return now < u->ticked || now - u->ticked >= TICK;
}

void
used_tick(struct used *u, int64_t now)
{
	int64_t day = day_of(now);

	u->ticked = now;
	if (now < 0 || now > TIME_LIMIT)
		return;
	/* The clock was wrong before, or is now: nothing is known. */
	if (day < u->base) {
		begin(u, now);
		u->dirty = true;
		return;
	}
	/* Set back a little: what was written is not taken back. */
	if (now < u->latest)
		return;
	u->latest = now;
	if (day - u->base + 1 > MARK_MAX)
		lower(u, day - u->base + 1 - (MARK_MAX - FORGET));
	atomic_store_explicit(
	    &u->mark, (uint8_t)(day - u->base + 1), memory_order_relaxed);
}

/* ---- the file ------------------------------------------------------------ */

static void
put_header(const struct used *u, char *to, const char *cells)
{
	memset(to, 0, HEADER);
	memcpy(to, TITLE, sizeof(TITLE));
	object_put64(to + 16, u->count);
	object_put64(to + 24, (uint64_t)u->base);
	object_put64(to + 32, (uint64_t)u->since);
	object_put64(to + 40,
	    object_sum(cells, u->count, object_sum(to, HEADER - 8, 0)));
}

/* Fewer cells: the newer of those that become one. More: each is several. */
static void
take_cells(struct used *u, const char *from, uint64_t count)
{
	uint64_t most = count > u->count ? count : u->count;

	for (uint64_t i = 0; i < most; i++) {
		uint8_t v = (uint8_t)from[i & (count - 1)];
		_Atomic uint8_t *c = &u->cells[i & (u->count - 1)];

		if (v > atomic_load_explicit(c, memory_order_relaxed))
			atomic_store_explicit(c, v, memory_order_relaxed);
	}
}

/* False: it is none of ours, or not whole. */
static bool
take_file(struct used *u, const char *file, uint64_t size, int64_t now)
{
	uint64_t count = object_get64(file + 16);
	int64_t base = (int64_t)object_get64(file + 24);
	int64_t since = (int64_t)object_get64(file + 32);

	if (memcmp(file, TITLE, sizeof(TITLE)) != 0 || count < CELLS_MIN ||
	    count > CELLS_MAX || (count & (count - 1)) != 0 ||
	    size != HEADER + count ||
	    object_get64(file + 40) != object_sum(file + HEADER, count,
					   object_sum(file, HEADER - 8, 0)))
		return false;
	/* A clock that is behind the file's: see used_tick(). */
	if (base < 0 || base > day_of(now) || since < 0 || since > now)
		return false;
	take_cells(u, file + HEADER, count);
	u->base = base;
	u->since = since;
	return true;
}

static int
read_file(struct used *u, int fd, uint64_t size, int64_t now)
{
	char *file;
	int err;

	if (size < HEADER || size > HEADER + CELLS_MAX)
		return LARDER_DAMAGED;
	file = malloc(size);
	if (!file)
		return LARDER_NOMEM;
	err = disk_read(fd, file, size, 0);
	if (!err && !take_file(u, file, size, now))
		err = LARDER_DAMAGED;
	free(file);
	return err;
}

int
used_open(struct used *u, int dir, struct budget *budget, int64_t now)
{
	uint64_t size = 0, allocated = 0;
	int fd, err;

	if (now < 0 || now > TIME_LIMIT)
		now = 0;
	u->dir = dir;
	u->budget = budget;
	u->count = cells_for(budget);
	u->saved = now;
	u->room = calloc(u->count, 1);
	u->cells = u->room;
	if (!u->room)
		return LARDER_NOMEM;
	begin(u, now);
	disk_unlink(dir, NAME ".new");
	err = disk_open(dir, NAME, O_RDONLY, &fd);
	if (err)
		return 0;
	if (!disk_size(fd, &size, &allocated)) {
		u->on_disk = disk_round(size);
		budget_force(budget, u->on_disk);
		if (read_file(u, fd, size, now))
			begin(u, now);
	}
	disk_close(fd);
	used_tick(u, now);
	return 0;
}

void
used_release(struct used *u)
{
	free(u->room);
	u->room = NULL;
	u->cells = NULL;
}

static int
write_new(struct used *u, char *image)
{
	struct iovec iov = {image, HEADER + u->count};
	int fd, err;

	err = disk_open(u->dir, NAME ".new", O_RDWR | O_CREAT | O_TRUNC, &fd);
	if (err)
		return err < 0 ? err : LARDER_IO;
	err = disk_write(fd, &iov, 1, 0);
	if (!err)
		err = disk_sync(fd);
	disk_close(fd);
	if (!err)
		err = disk_rename(u->dir, NAME ".new", NAME);
	if (err)
		disk_unlink(u->dir, NAME ".new");
	return err > 0 ? LARDER_IO : err;
}

int
used_save(struct used *u, int64_t now, bool must)
{
	uint64_t size = file_size(u->count);
	char *image;
	int err;

	if (!u->dirty ||
	    (!must && now >= u->saved && now - u->saved < SAVE_EVERY))
		return 0;
	u->saved = now;
	image = malloc(HEADER + u->count);
	if (!image)
		return LARDER_NOMEM;
	if (!budget_take(u->budget, size)) {
		free(image);
		return LARDER_NOSPACE;
	}
	/* What is written from here on makes it dirty anew. */
	u->dirty = false;
	for (uint64_t i = 0; i < u->count; i++)
		image[HEADER + i] = (char)atomic_load_explicit(
		    &u->cells[i], memory_order_relaxed);
	put_header(u, image, image + HEADER);
	err = write_new(u, image);
	free(image);
	if (err) {
		u->dirty = true;
		budget_give(u->budget, size);
		return err;
	}
	/* The one before is gone. */
	budget_give(u->budget, u->on_disk);
	u->on_disk = size;
	return 0;
}
