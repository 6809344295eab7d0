/*
 * Eviction: policy.c says what goes, here it is done. The container at the head
 * of one of the two queues is judged with all that is in it, until there is
 * room.
 *
 * What always holds: runs in the writer's thread; space comes back as it goes;
 * and it comes to an end, for the policy lets less stay each time round, and
 * what moves whatever the policy says moves once.
 */
#include "internal.h"
#include "larder/clock.h"
#include "members.h"

struct eviction {
	struct store *store;
	uint64_t need;
	unsigned stalled;   /* who waits for room beside that */
	uint64_t disk;	    /* bytes of all containers, when it began */
	uint64_t stayed;    /* of those that went to the queue's end */
	unsigned refused;   /* steps for which there was no room */
	uint64_t first_new; /* the next id, when it began */
};

/* What lies with something that waits to be written may find no room for that;
 * what is behind it can go all the same. On a disk that is full there is none
 * for any. */
#define REFUSED_MAX   64u
/* So many containers of each queue are looked at before the first one is
 * judged, or as many as have so many members. */
#define LOOKS	      16u
#define LOOKS_MEMBERS 4096u

static bool
done(const struct eviction *e)
{
	return budget_usable(&e->store->budget) >=
	       e->need + (uint64_t)e->stalled * BLOB_STEP;
}

static enum policy_way
judge(struct eviction *e, struct members *m)
{
	struct policy_container c = {
	    .blob = m->record.kind == PLACE_BLOB,
	    .size = m->record.size,
	    .room = budget_free(&e->store->budget),
	    .round = (unsigned)(e->stayed / (e->disk + 1)),
	};

	return policy_judge(&e->store->writer.policy, &c, m->says, m->count);
}

/* ---- queues -------------------------------------------------------------- */

static bool
head_of(struct store *store, enum policy_queue queue, uint64_t *id)
{
	struct writer *w = &store->writer;
	int err = catalog_oldest(w->reader, &w->scan[queue], id);

	catalog_reader_rest(w->reader);
	return !err && (queue == POLICY_MAIN || w->scan[queue] < WRITER_MAIN);
}

/* What is to be judged next; false: nothing that can go is left. */
static bool
next(struct store *store, enum policy_queue *queue, uint64_t *id)
{
	const struct catalog_totals *t = &store->writer.totals;

	*queue = policy_turn(t->small, t->disk - t->small);
	if (head_of(store, *queue, id))
		return true;
	*queue = *queue == POLICY_SMALL ? POLICY_MAIN : POLICY_SMALL;
	return head_of(store, *queue, id);
}

/* Is it where it was, and as it was? It is passed by then. */
static void
pass_by(struct store *store, enum policy_queue queue, uint64_t id,
    const struct object_container *was)
{
	struct catalog_reader *r = store->writer.reader;
	struct object_container now;
	int err = catalog_get_container(r, id, &now);

	catalog_reader_rest(r);
	if (!err && now.queue == was->queue && now.live >= was->live)
		store->writer.scan[queue] = was->queue + 1;
}

static size_t
look_at(struct store *store, uint64_t id)
{
	struct members m;
	size_t n;

	if (members_load(store, id, &m) != 0)
		return 1;
	policy_look(&store->writer.policy, m.says, m.count);
	n = m.count;
	members_release(&m);
	return n;
}

/* The first to be judged since the start would be compared with itself: some
 * from all over its queue say what the cache is worth. The newest first,
 * wherever it ends: the oldest are judged soon. */
static void
look_around(struct store *store, enum policy_queue queue)
{
	struct writer *w = &store->writer;
	uint64_t main = queue == POLICY_MAIN ? WRITER_MAIN : 0;
	uint64_t last = 0, id, first, n;
	size_t seen = 0;

	if (!head_of(store, queue, &id))
		return;
	first = w->scan[queue];
	n = (w->totals.next_queue | main) - first;
	for (unsigned i = LOOKS; i-- > 0 && seen < LOOKS_MEMBERS;) {
		w->scan[queue] = first + n * i / LOOKS;
		if (w->closing)
			break;
		if (!head_of(store, queue, &id) || id == last)
			continue;
		last = id;
		seen += look_at(store, id);
	}
	w->scan[queue] = first;
}

/* ---- packs --------------------------------------------------------------- */

static int
evict_pack(struct eviction *e, enum policy_queue queue, struct members *m)
{
	struct store *store = e->store;
	int err;

	if (judge(e, m) == POLICY_STAY) {
		e->stayed += m->record.size;
		err = members_stay(store, m);
	} else {
		err = members_leave(store, m);
	}
	pass_by(store, queue, m->container, &m->record);
	return err;
}

/* ---- blobs --------------------------------------------------------------- */

struct blobs {
	struct list batch;
	uint64_t stay[64];
	unsigned stays, limit, count;
	uint64_t freed;
};

static void
evict_blob(struct eviction *e, struct blobs *b, struct members *m)
{
	if (judge(e, m) == POLICY_STAY) {
		e->stayed += m->record.size;
		b->stay[b->stays++] = m->container;
		return;
	}
	b->freed += m->record.size;
	for (size_t i = 0; i < m->count; i++)
		members_drop(e->store, m, i, &b->batch);
}

/* As many in one transaction as are needed, and next to each other. */
static int
evict_blobs(struct eviction *e, enum policy_queue queue, struct members *m)
{
	struct store *store = e->store;
	struct writer *w = &store->writer;
	struct commit_extra x = {0};
	struct blobs b = {.limit = commit_limit(store)};
	uint64_t lack =
	    budget_lack(&store->budget, e->need + (e->stalled ? BLOB_STEP : 0));
	int err = 0;

	list_init(&b.batch);
	b.limit = b.limit < 64 ? b.limit : 64;
	while (!err && m->record.kind == PLACE_BLOB) {
		if (m->count)
			evict_blob(e, &b, m);
		else
			x.remove = m->container;
		w->scan[queue] = m->record.queue + 1;
		if (x.remove || ++b.count == b.limit || b.freed >= lack)
			break;
		members_release(m);
		err = catalog_oldest(w->reader, &w->scan[queue], &m->container);
		if (!err && queue == POLICY_SMALL &&
		    w->scan[queue] >= WRITER_MAIN)
			err = LARDER_ABSENT;
		if (!err)
			err = members_load(store, m->container, m);
	}
	x.stay = b.stay;
	x.stays = b.stays;
	w->evicting = true;
	err = commit_batch(store, &b.batch, &x);
	w->evicting = false;
	writer_requeue(store, &b.batch);
	return err;
}

/* ---- until there is room ------------------------------------------------- */

/* Heads alone, whose bodies lie elsewhere and had their turn: they would only
 * be written once more. */
static bool
is_settled(const struct eviction *e, const struct members *m)
{
	if (m->container < e->first_new || !m->count)
		return false;
	for (size_t i = 0; i < m->count; i++)
		if (!m->says[i].bound)
			return false;
	return true;
}

/* One container, or some small steps more; false: there is none that can. */
static bool
step(struct eviction *e)
{
	struct store *store = e->store;
	struct members m;
	enum policy_queue queue;
	uint64_t id;
	int err;

	if (!next(store, &queue, &id))
		return false;
	store->evicted_at = clock_mono_ms();
	if (pack_is_open(store, id)) {
		/* All that is older has gone. */
		if (pack_flush(store) != 0)
			return false;
		pack_retire(store, queue);
	}
	err = members_load(store, id, &m);
	if (err) {
		store->writer.scan[queue]++;
		return err != LARDER_NOMEM;
	}
	if (is_settled(e, &m))
		store->writer.scan[queue]++;
	else
		err = m.record.kind == PLACE_BLOB ? evict_blobs(e, queue, &m)
						  : evict_pack(e, queue, &m);
	members_release(&m);
	if (err)
		store->writer.scan[queue]++;
	return err != LARDER_NOSPACE || ++e->refused < REFUSED_MAX;
}

/* A client may wait for it: as soon as there is room, not when all is done. */
static void
resume(struct eviction *e)
{
	uint64_t n = budget_usable(&e->store->budget) / BLOB_STEP;

	if (n > e->stalled)
		n = e->stalled;
	if (n > 0)
		e->stalled -= writer_resume(e->store, (unsigned)n, false);
}

bool
evict_room(struct store *store, uint64_t need, unsigned *stalled)
{
	struct eviction e = {.store = store,
	    .need = need,
	    .stalled = *stalled,
	    .disk = store->writer.totals.disk,
	    .first_new = store->next_id};

	store->writer.scan[POLICY_SMALL] = 0;
	store->writer.scan[POLICY_MAIN] = WRITER_MAIN;
	policy_resize(&store->writer.policy, store->budget.size);
	if (!done(&e) && policy_is_blind(&store->writer.policy))
		for (unsigned q = 0; q < POLICY_QUEUES; q++)
			look_around(store, q);
	while (!done(&e) && e.stayed / 8 <= e.disk && step(&e))
		resume(&e);
	*stalled = e.stalled;
	return done(&e);
}
