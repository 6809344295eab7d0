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

#include <stdlib.h>
#include <time.h>

#include "internal.h"
#include "larder/thread.h"

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
	return s->packs.count > s->newcomers &&
	       salvage_lists(s->packs.ids + s->newcomers,
		   s->packs.count - s->newcomers, pack);
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
	pack_leave(store);
	w->sparse_count = 0;
	salvage_count(store, CATALOG_ASIDE);
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
