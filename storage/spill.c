/*
 * Large blobs on their way to disk, in a thread that may wait for it.
 *
 * What always holds: one job a blob at a time; it holds a reference. Room is
 * reserved before a byte is written. A file that the catalog has not named
 * when its blob goes is dropped with it.
 *
 *   blob_kick() ──> spill_run() ── more to write ──> spill_run()
 *                      │   └── no room ──> stalled ── blob_resume() ──┘
 *                      │                     └── refused, or blob_pass()
 *                      │                              ──> a window, or lost
 *                      └── committed, all written ──> sealed ──> the writer's
 */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <xxhash.h>

#include "internal.h"
#include "larder/clock.h"

/* What a crowd gets at a time, if it comes in so many ms. */
#define GATHER	   (64u * 1024)
#define GATHER_MS  6
#define SYNC_EVERY (8u * 1024 * 1024)
#define NO_ROOM_MS 60000 /* between two complaints */

/* One look at what there is to write. */
struct piece {
	struct chunk *chunks[BLOB_TAIL];
	struct iovec iov[BLOB_TAIL];
	int count;
	uint64_t from, n;
	bool last;    /* the body ends with it, and is committed */
	bool refused; /* there will be no more room */
};

/* ---- the table of blocks ------------------------------------------------- */

static int
end_block(struct blob *b)
{
	struct blob_table *t = &b->table;

	if (t->count == t->room) {
		uint64_t wanted = t->room ? t->room * 2 : 16;
		char *more = realloc(t->entries, wanted * 8);

		if (!more)
			return LARDER_NOMEM;
		t->entries = more;
		t->room = wanted;
	}
	object_put64(t->entries + 8 * t->count++, XXH3_64bits_digest(t->state));
	t->filled = 0;
	return 0;
}

static int
sum_bytes(struct blob *b, uint64_t id, const char *p, size_t n)
{
	struct blob_table *t = &b->table;
	int err = 0;

	if (!t->state && !(t->state = XXH3_createState()))
		return LARDER_NOMEM;
	while (n && !err) {
		size_t some = b->block - t->filled;

		some = some < n ? some : n;
		if (!t->filled)
			XXH3_64bits_reset_withSeed(t->state, id);
		XXH3_64bits_update(t->state, p, some);
		t->filled += (uint32_t)some;
		p += some;
		n -= some;
		if (t->filled == b->block)
			err = end_block(b);
	}
	return err;
}

/* ---- room ---------------------------------------------------------------- */

/* What a file this long takes: its blocks, its table, and what the file system
 * needs to find them. */
static uint64_t
need(const struct blob *b, uint64_t size)
{
	uint64_t table = (size / b->block + 1) * 8;

	return disk_round(size + table + OBJECT_TRAILER + size / 1024) +
	       DISK_BLOCK;
}

static int
reserve(struct blob *b, uint64_t size)
{
	struct budget *budget = &b->store->budget;
	uint64_t wanted = need(b, size), more;

	if (wanted <= b->reserved)
		return 0;
	more = wanted - b->reserved;
	if (more < BLOB_STEP && budget_take(budget, BLOB_STEP))
		more = BLOB_STEP;
	else if (!budget_take(budget, more))
		return LARDER_NOSPACE;
	b->reserved += more;
	return 0;
}

/* ---- writing ------------------------------------------------------------- */

/* False: nothing for this job to do any more. The lock is held. */
static bool
look(struct blob *b, struct piece *piece)
{
	memset(piece, 0, sizeof(*piece));
	piece->from = b->written;
	piece->n = b->size - b->written;
	piece->last = b->state == BLOB_WHOLE;
	piece->refused = b->refused;
	b->refused = false;
	if (b->window || b->lost || b->sealed || b->state == BLOB_ABORTED)
		return false;
	if (!piece->n && !piece->last)
		return false;
	for (uint64_t at = piece->from; at < b->size;) {
		uint64_t i = (at - b->tail_start) / BLOB_CHUNK;
		uint64_t skip = (at - b->tail_start) % BLOB_CHUNK;
		uint64_t n = BLOB_CHUNK - skip;

		n = n < b->size - at ? n : b->size - at;
		piece->chunks[piece->count] = chunk_ref(b->tail[i]);
		piece->iov[piece->count++] =
		    (struct iovec){b->tail[i]->data + skip, n};
		at += n;
	}
	return true;
}

static int
write_piece(struct blob *b, struct piece *piece, uint64_t id)
{
	struct file *file = b->file;
	uint64_t end = piece->from + piece->n;
	int err = 0;

	if (!file) {
		err = file_create(&b->store->files, id, PLACE_BLOB, &file);
		if (!err) {
			pthread_mutex_lock(&b->lock);
			b->file = file;
			pthread_mutex_unlock(&b->lock);
		}
	}
	for (int i = 0; i < piece->count && !err; i++)
		err = sum_bytes(
		    b, id, piece->iov[i].iov_base, piece->iov[i].iov_len);
	if (!err)
		err =
		    disk_write(file->fd, piece->iov, piece->count, piece->from);
	if (!err && piece->from / SYNC_EVERY != end / SYNC_EVERY)
		disk_sync_start(file->fd, 0, end);
	return err;
}

static int
seal(struct blob *b, uint64_t id)
{
	struct object_trailer t = {
	    ENCODING_RAW, b->block, id, b->size, b->size, 0, 0};
	uint64_t size, allocated;
	char end[OBJECT_TRAILER];
	struct iovec iov[2];
	int err = b->table.filled ? end_block(b) : 0;

	if (err)
		return err;
	t.blocks = b->table.count;
	t.table_sum = object_sum(b->table.entries, 8 * t.blocks, id);
	object_trailer_encode(&t, end);
	iov[0] = (struct iovec){b->table.entries, 8 * t.blocks};
	iov[1] = (struct iovec){end, sizeof(end)};
	err = disk_write(b->file->fd, iov, 2, b->size);
	if (!err)
		err = disk_sync(b->file->fd);
	if (!err)
		err = disk_size(b->file->fd, &size, &allocated);
	if (err)
		return err;
	/* All is allocated now: what was reserved too much goes back. */
	allocated = disk_round(allocated > size ? allocated : size);
	if (allocated < b->reserved)
		budget_give(&b->store->budget, b->reserved - allocated);
	else
		budget_force(&b->store->budget, allocated - b->reserved);
	pthread_mutex_lock(&b->lock);
	b->reserved = allocated;
	err = file_adopt_table(b->file, &t, &b->table.entries, true);
	b->place = (struct place){PLACE_BLOB, ENCODING_RAW, id, 0, b->size,
	    b->size, object_get64(end + 56)};
	b->sealed = !err;
	pthread_mutex_unlock(&b->lock);
	return err;
}

/* ---- where it ends ------------------------------------------------------- */

static bool
is_of(void *arg, const struct object *o)
{
	return o->blob && blob_base(o->blob) == arg;
}

static int
on_lost(void *arg, const struct image *old, struct image **out)
{
	*out = image_with(old, NULL, is_of, arg);
	return !*out			    ? LARDER_NOMEM
	       : (*out)->count < old->count ? 1
					    : (image_unref(out), 0);
}

/* A full disk is said once a while; stats count every time. */
static void
report_no_room(struct store *store)
{
	int64_t now = clock_mono_ms();
	int64_t said = atomic_load(&store->no_room_said);

	if ((said == 0 || now - said >= NO_ROOM_MS) &&
	    atomic_compare_exchange_strong(&store->no_room_said, &said, now))
		store_report(store,
		    "no room to store a large response: it passes uncached");
}

/* Readers go on: over the window, or with what memory and file have. */
static void
fail(struct blob *b, const struct object *o)
{
	bool found;

	pthread_mutex_lock(&b->lock);
	found = b->state == BLOB_WHOLE;
	if (found)
		b->lost = true;
	else if (b->state == BLOB_GROWING)
		blob_to_window(b);
	pthread_mutex_unlock(&b->lock);
	store_count(&b->store->no_room, 1);
	if (found && o)
		memory_change(b->store, b->hash, o->key, on_lost, b, NULL);
	report_no_room(b->store);
}

static void
finish(struct blob *b)
{
	uint64_t left;

	pthread_mutex_lock(&b->lock);
	b->busy = false;
	/* What came while we were ending. */
	left = b->size - b->written;
	if (!b->sealed && !b->lost &&
	    ((b->state == BLOB_GROWING &&
		 (left >= BLOB_STEP / 16 || (left && blob_has_crowd(b)))) ||
		(b->state == BLOB_WHOLE)))
		blob_kick(b);
	pthread_mutex_unlock(&b->lock);
	writer_nudge(b->store);
	blob_unref(&b);
}

/* One piece; 1: go on; AGAIN: it needs room first. */
static int
step(struct blob *b, const struct object *o, struct piece *piece)
{
	int err = reserve(b, piece->from + piece->n);

	/* The way back to a bound that was lowered is long: who reads does not
	 * wait for it. */
	if (err && !piece->refused && !budget_is_passed(&b->store->budget))
		err = LARDER_AGAIN;
	else if (!err)
		err = write_piece(b, piece, o->info.id);
	for (int i = 0; i < piece->count; i++)
		chunk_unref(&piece->chunks[i]);
	if (err)
		return err;
	pthread_mutex_lock(&b->lock);
	b->written = piece->from + piece->n;
	if (blob_has_crowd(b))
		blob_wake_readers(b);
	blob_trim(b);
	pthread_mutex_unlock(&b->lock);
	if (!piece->last)
		return 1;
	return seal(b, o->info.id);
}

/* The fewer pieces, the less a crowd costs. */
static void
gather(struct blob *b)
{
	bool wait;

	pthread_mutex_lock(&b->lock);
	wait = blob_has_crowd(b) && b->size > b->written &&
	       b->size - b->written < GATHER;
	pthread_mutex_unlock(&b->lock);
	if (wait)
		poll(NULL, 0, GATHER_MS);
}

void
spill_run(struct job *job, struct frame_coder *coder)
{
	struct blob *b = container_of(job, struct blob, job);
	const struct object *o = b->object;
	struct piece piece;
	bool more;
	int err = 1;

	(void)coder;
	while (err == 1) {
		gather(b);
		pthread_mutex_lock(&b->lock);
		more = look(b, &piece);
		pthread_mutex_unlock(&b->lock);
		err = more ? step(b, o, &piece) : 0;
	}
	if (err == LARDER_AGAIN) {
		pthread_mutex_lock(&b->lock);
		b->stalled = true;
		blob_wake_readers(b);
		pthread_mutex_unlock(&b->lock);
		writer_stall(b->store, b);
		return;
	}
	if (err)
		fail(b, o);
	finish(b);
}

void
blob_resume(struct blob *b, bool refused)
{
	pthread_mutex_lock(&b->lock);
	b->stalled = false;
	b->refused = refused;
	pthread_mutex_unlock(&b->lock);
	pool_add(&b->store->spillers, &b->job);
}

/* The lock is held. Where somebody reads what is in the file only it is not: a
 * window would have to wait for who is behind, or to cut it off. */
static bool
is_stalled(const struct blob *b)
{
	return b->stalled && !b->window && b->state == BLOB_GROWING &&
	       blob_is_awaited(b) && blob_slowest(b) >= b->tail_start;
}

bool
blob_is_stalled(struct blob *b)
{
	bool stalled;

	pthread_mutex_lock(&b->lock);
	stalled = is_stalled(b);
	pthread_mutex_unlock(&b->lock);
	return stalled;
}

bool
blob_pass(struct blob *b)
{
	bool passes;

	pthread_mutex_lock(&b->lock);
	passes = is_stalled(b);
	if (passes)
		blob_to_window(b);
	pthread_mutex_unlock(&b->lock);
	if (passes) {
		store_count(&b->store->no_room, 1);
		report_no_room(b->store);
	}
	return passes;
}

void
spill_release(struct blob *b)
{
	if (b->table.state)
		XXH3_freeState(b->table.state);
	free(b->table.entries);
	if (b->file && b->reserved && !b->kept)
		file_abandon(&b->store->files, b->file, b->reserved);
	else if (!b->file && b->reserved)
		budget_give(&b->store->budget, b->reserved);
	file_unref(&b->store->files, &b->file);
}
