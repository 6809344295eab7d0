/*
 * A lost catalog, and what happens behind everybody's back after opening.
 *
 *   damaged ──> set aside, CATALOG_REBUILD made ──> a new one, empty
 *     ──> files counted ──> (open) ──> packs, oldest first ──> all durable
 *     ──> CATALOG_REBUILD unlinked ──> what nothing names is swept
 *
 * What always holds
 *   - While CATALOG_REBUILD is there the catalog may not know all that is in
 *     packs and blobs: who is killed in between begins again, and what is known
 *     already stays.
 *   - Files that the catalog does not know yet are in the budget all the same.
 *   - Nothing is swept before the catalog is filled.
 */
#include "salvage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "larder/thread.h"
#include "record.h"

/* Keys that are remembered; of more, some may come back. */
#define REMOVED_MAX (1u << 21)

/* After a start, which is busy enough, before it is swept. */
#define REST_MS 3000

struct salvage {
	struct store *store;
	pthread_t thread;
	bool running;
	_Atomic bool ending;
	/* The catalog got lost (again): what is under way begins anew. */
	_Atomic bool lost;
	/* Held while something is swept by what the catalog says, and while
	 * that is replaced. Taken before `lock`. */
	pthread_mutex_t sweeping;
	pthread_mutex_t lock; /* a leaf; for what follows */
	pthread_cond_t changed;
	bool busy; /* the catalog is being filled */
	/* The packs that it is filled from: those of newcomers come first. */
	struct salvage_ids packs;
	size_t newcomers;
	uint64_t first_new; /* the thread's: the next id when that began */
	/* Keys that were removed meanwhile, in a table of twice the size. */
	struct hash *removed;
	size_t removed_count, removed_room;
};

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

static void
count_file(struct store *store, const char *name)
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
			count_file(stock->store, name);
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

	count_file(store, CATALOG_ASIDE);
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

/* ---- keys that were removed meanwhile ------------------------------------ */

bool
salvage_ending(const struct salvage *s)
{
	return s->ending || s->lost;
}

uint64_t
salvage_first_new(const struct salvage *s)
{
	return s->first_new;
}

bool
salvage_hold(struct salvage *s)
{
	pthread_mutex_lock(&s->sweeping);
	if (!s->lost && !catalog_damaged(s->store->catalog))
		return true;
	pthread_mutex_unlock(&s->sweeping);
	return false;
}

void
salvage_let_go(struct salvage *s)
{
	pthread_mutex_unlock(&s->sweeping);
}

/* Where it is, or would be; a slot with zeros is empty. */
static struct hash *
slot_of(struct hash *table, size_t room, struct hash hash)
{
	size_t i = hash.lo & (room - 1);

	while ((table[i].lo || table[i].hi) &&
	       (table[i].lo != hash.lo || table[i].hi != hash.hi))
		i = (i + 1) & (room - 1);
	return &table[i];
}

/* Room for one more; the lock is held. */
static bool
grow(struct salvage *s)
{
	size_t room = s->removed_room ? s->removed_room * 2 : 64;
	struct hash *table;

	if (s->removed_count < s->removed_room / 2)
		return true;
	if (room > REMOVED_MAX || !(table = calloc(room, sizeof(*table))))
		return false;
	for (size_t i = 0; i < s->removed_room; i++)
		if (s->removed[i].lo || s->removed[i].hi)
			*slot_of(table, room, s->removed[i]) = s->removed[i];
	free(s->removed);
	s->removed = table;
	s->removed_room = room;
	return true;
}

void
salvage_removed(struct store *store, struct hash hash)
{
	struct salvage *s = store->salvage;
	struct hash *slot;

	pthread_mutex_lock(&s->lock);
	if (s->busy && grow(s)) {
		slot = slot_of(s->removed, s->removed_room, hash);
		s->removed_count += !slot->lo && !slot->hi;
		*slot = hash;
	}
	pthread_mutex_unlock(&s->lock);
}

bool
salvage_was_removed(struct salvage *s, struct hash hash)
{
	const struct hash *slot;
	bool was = false;

	pthread_mutex_lock(&s->lock);
	if (s->removed_count) {
		slot = slot_of(s->removed, s->removed_room, hash);
		was = slot->lo || slot->hi;
	}
	pthread_mutex_unlock(&s->lock);
	return was;
}

/* ---- the thread ---------------------------------------------------------- */

/* False: there is something else to do. */
static bool
pause_ms(struct salvage *s, long ms)
{
	struct timespec t;
	int rc = 0;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_mutex_lock(&s->lock);
	while (!rc && !salvage_ending(s))
		rc = pthread_cond_timedwait(&s->changed, &s->lock, &t);
	pthread_mutex_unlock(&s->lock);
	return !salvage_ending(s);
}

static int
flush(struct salvage *s)
{
	int err;

	while ((err = writer_flush(s->store)) != 0)
		if (!pause_ms(s, 500))
			break;
	return err;
}

static bool
any_removed(struct salvage *s)
{
	bool any;

	pthread_mutex_lock(&s->lock);
	any = s->removed_count > 0;
	pthread_mutex_unlock(&s->lock);
	return any;
}

/* Twice, where a key was removed meanwhile: between the two all that was found
 * is committed, so that what is removed from then on is zeroed by that. */
static int
fill_from(struct salvage *s, uint64_t *objects)
{
	const struct salvage_ids *packs = &s->packs;
	uint64_t again = 0;
	int err = 0;

	for (size_t i = 0; i < packs->count && !err; i++)
		err = rescue_pack(s->store, s, packs->ids[i], objects);
	if (!err)
		err = flush(s);
	for (size_t i = 0; i < packs->count && !err && any_removed(s); i++)
		err = rescue_pack(s->store, s, packs->ids[i], &again);
	return err ? err : flush(s);
}

bool
salvage_is_main(const struct salvage *s, uint64_t pack)
{
	const uint64_t *from = s->packs.ids + s->newcomers;

	return s->packs.count > s->newcomers &&
	       bsearch(&pack, from, s->packs.count - s->newcomers,
		   sizeof(*from), by_number) != NULL;
}

/* All packs, those of newcomers first, each kind by number. */
static int
list_packs(struct salvage *s)
{
	struct salvage_ids all, *packs = &s->packs;
	int err = salvage_list(s->store, "packs", &all);
	size_t n = 0;

	packs->count = s->newcomers = 0;
	packs->ids = calloc(all.count + 1, sizeof(*packs->ids));
	if (!err && !packs->ids)
		err = LARDER_NOMEM;
	for (size_t i = 0; i < all.count && !err; i++) {
		if (rescue_is_main(s->store, all.ids[i]))
			all.ids[n++] = all.ids[i];
		else
			packs->ids[s->newcomers++] = all.ids[i];
	}
	for (size_t i = 0; i < n; i++)
		packs->ids[s->newcomers + i] = all.ids[i];
	packs->count = s->newcomers + n;
	free(all.ids);
	return err;
}

static int
fill(struct salvage *s)
{
	struct store *store = s->store;
	uint64_t objects = 0;
	int err = list_packs(s);

	s->first_new = store->next_id;
	if (!err)
		err = fill_from(s, &objects);
	free(s->packs.ids);
	memset(&s->packs, 0, sizeof(s->packs));
	s->newcomers = 0;
	if (err)
		return err;
	store_report(store, "the catalog is made anew: %llu objects",
	    (unsigned long long)objects);
	err = disk_unlink(store->dir, CATALOG_REBUILD);
	return err ? err : disk_sync_folder(store->dir, ".");
}

/* Once after a start, and once after the catalog was lost. */
static void
work(struct salvage *s)
{
	struct store *store = s->store;
	bool lost = atomic_exchange(&s->lost, false);
	uint64_t freed;

	if (lost && fill(s) != 0)
		return;
	pthread_mutex_lock(&s->lock);
	s->busy = s->lost;
	s->removed_count = s->removed_room = 0;
	free(s->removed);
	s->removed = NULL;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	if (store->offline || !pause_ms(s, REST_MS))
		return;
	freed = sweep_run(store, lost);
	if (freed)
		store_report(store,
		    "%llu bytes on the disk that nothing named were given "
		    "back",
		    (unsigned long long)freed);
}

static void *
run(void *arg)
{
	struct salvage *s = arg;

	for (;;) {
		if (!s->ending)
			work(s);
		pthread_mutex_lock(&s->lock);
		while (!s->ending && !s->lost)
			pthread_cond_wait(&s->changed, &s->lock);
		pthread_mutex_unlock(&s->lock);
		if (s->ending)
			return NULL;
	}
}

bool
salvage_busy(struct store *store)
{
	struct salvage *s = store->salvage;
	bool busy;

	pthread_mutex_lock(&s->lock);
	busy = s->busy;
	pthread_mutex_unlock(&s->lock);
	return busy;
}

void
salvage_wait(struct store *store)
{
	struct salvage *s = store->salvage;

	pthread_mutex_lock(&s->lock);
	while (s->busy && !s->ending)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

int
salvage_prepare(struct store *store)
{
	struct salvage *s = calloc(1, sizeof(*s));

	if (!s)
		return LARDER_NOMEM;
	s->store = store;
	pthread_mutex_init(&s->sweeping, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	store->salvage = s;
	return 0;
}

int
salvage_start(struct store *store, bool lost)
{
	struct salvage *s = store->salvage;
	int err;

	s->lost = s->busy = lost;
	err = thread_start(&s->thread, "salvage", run, s);
	s->running = !err;
	return err;
}

void
salvage_stop(struct store *store)
{
	struct salvage *s = store->salvage;

	if (!s || !s->running)
		return;
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	s->running = false;
}

void
salvage_release(struct store *store)
{
	struct salvage *s = store->salvage;

	store->salvage = NULL;
	if (!s)
		return;
	pthread_mutex_destroy(&s->sweeping);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s->removed);
	free(s);
}

/* ---- while it is used ---------------------------------------------------- */

static int
replace(struct store *store)
{
	struct writer *w = &store->writer;
	uint64_t next = store->next_id;
	int err = salvage_aside(store);

	if (!err)
		err = catalog_renew(store->catalog);
	if (err)
		return err;
	pack_forget(store);
	for (unsigned i = 0; i < POLICY_QUEUES; i++)
		file_unref(&store->files, &w->packs[i].file);
	w->sparse_count = 0;
	count_file(store, CATALOG_ASIDE);
	budget_give(&store->budget, w->catalog_taken);
	w->catalog_taken = 0;
	w->totals = (struct catalog_totals){.next_id = next, .next_queue = 1};
	commit_account_catalog(store);
	memory_all_dirty(store);
	return 0;
}

int
salvage_replace(struct store *store)
{
	struct salvage *s = store->salvage;
	int err;

	pthread_mutex_lock(&s->sweeping);
	err = replace(store);
	pthread_mutex_lock(&s->lock);
	if (!err) {
		store_count(&store->remakes, 1);
		s->lost = s->busy = true;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	pthread_mutex_unlock(&s->sweeping);
	return err;
}
