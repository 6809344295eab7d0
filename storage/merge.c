/*
 * Packs that are half empty: what is left of them is written to the pack that
 * survivors go to, and the file goes.
 *
 * A purge leaves holes, and where objects are smaller than a block, blocks
 * that are taken for a few bytes. A commit that makes a pack half empty notes
 * it, and the writer merges it in a round of its own; what was noted when the
 * process ended is found by merge_all(), or by eviction in its turn.
 *
 * What always holds: nothing is evicted for it; a pack that is appended to is
 * left alone, and so are all while a lost catalog is made anew: they have more
 * than it knows.
 */
#include "internal.h"
#include "members.h"

/* Of the blocks that a pack takes half are for nothing, or it is an eighth of
 * what it was: a small file, and in many pieces. */
static bool
is_sparse(const struct object_container *c)
{
	return c->kind == PLACE_PACK && c->live > 0 &&
	       (c->live < c->size / 2 || c->live < c->end / 8);
}

void
merge_note(struct store *store, uint64_t id, const struct object_container *c)
{
	struct writer *w = &store->writer;

	if (!is_sparse(c) || w->sparse_count == WRITER_SPARSE ||
	    salvage_busy(store))
		return;
	for (unsigned i = 0; i < w->sparse_count; i++)
		if (w->sparse[i] == id)
			return;
	w->sparse[w->sparse_count++] = id;
}

static void
merge(struct store *store, uint64_t id)
{
	struct members m;

	if (pack_is_open(store, id) || members_load(store, id, &m) != 0)
		return;
	/* Eviction keeps so much free. */
	if (is_sparse(&m.record) &&
	    m.record.live + disk_round(m.record.live) / 8 + DISK_BLOCK <
		budget_free(&store->budget) / 2) {
		for (size_t i = 0; i < m.count; i++)
			m.says[i].stays = true;
		members_leave(store, &m);
	}
	members_release(&m);
}

bool
merge_one(struct store *store)
{
	struct writer *w = &store->writer;

	if (!w->sparse_count)
		return false;
	merge(store, w->sparse[--w->sparse_count]);
	return true;
}

void
merge_all(struct store *store)
{
	struct catalog_reader *r = store->writer.reader;
	struct object_container c;
	uint64_t id = 0;
	int err = 0;

	if (salvage_busy(store))
		return;
	while (!err && catalog_next_container(r, &id) == 0) {
		store->gc_at = id;
		err = catalog_get_container(r, id, &c);
		catalog_reader_rest(r);
		if (!err && is_sparse(&c))
			merge(store, id);
		id++;
	}
	catalog_reader_rest(r);
}
