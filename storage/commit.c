/*
 * One group: what changed under some keys becomes durable by one transaction.
 *
 *   gather ──> place ──> sync the pack ──> transaction ──> settle, drop, punch
 *     └ not sealed yet: stays in the batch        └ failed: all stays
 *
 * What always holds
 *   - Data is durable before the transaction that names it.
 *   - Files that nothing names after it are unlinked, and regions punched,
 *     after it; whoever is killed in between does so at the next start.
 */
#include "commit.h"

#include <stdlib.h>

/* Pages that one key may dirty: a leaf in each of three trees, and its share
 * of what is above. */
#define PAGES_A_KEY (24u * 1024)
/* What a copy of the catalog may take beside what is in use. */
#define COPY_SLACK  (1024u * 1024)

unsigned
commit_limit(const struct store *store)
{
	uint64_t n = budget_ahead(&store->budget) / PAGES_A_KEY;

	return (unsigned)n;
}

/* ---- after it ------------------------------------------------------------ */

static void
keep_blobs(const struct item *item)
{
	for (unsigned i = 0; i < item->image->count; i++) {
		struct object *o = item->image->objects[i];
		struct blob *b;

		if (o->pressed)
			o->pressed->kept = true;
		if (o->info.body.kind != PLACE_NONE)
			continue;
		b = blob_base(o->blob);
		pthread_mutex_lock(&b->lock);
		b->kept = b->large;
		pthread_mutex_unlock(&b->lock);
	}
}

void
commit_punch_again(struct store *store)
{
	struct catalog_reader *r = store->writer.reader;
	struct bytes holes;
	struct file *file;

	if (catalog_get_holes(r, &holes) != 0)
		holes.n = 0;
	for (; holes.n >= HOLE_SIZE; holes = bytes_skip(holes, HOLE_SIZE)) {
		struct place place = {
		    .kind = PLACE_PACK, .container = object_get64(holes.p)};

		if (file_open(&store->files, &place, 0, &file) != 0)
			continue;
		disk_punch(file->fd, object_get64(holes.p + 8),
		    object_get64(holes.p + 16));
		file_unref(&store->files, &file);
	}
	catalog_reader_rest(r);
}

int
commit_sync_holes(struct store *store)
{
	struct writer *w = &store->writer;
	int err = 0;

	/* More than could be noted: all of them. */
	if (w->punched_count > WRITER_PUNCHED) {
		err = disk_sync_all(store->dir);
		if (!err)
			w->punched_count = 0;
		return err;
	}
	for (unsigned i = 0; i < w->punched_count && !err; i++) {
		struct place place = {
		    .kind = PLACE_PACK, .container = w->punched[i]};
		struct file *file;

		if (file_open(&store->files, &place, 0, &file) != 0)
			continue;
		err = disk_sync(file->fd);
		file_unref(&store->files, &file);
	}
	if (!err)
		w->punched_count = 0;
	return err;
}

static void
note_punched(struct writer *w, uint64_t container)
{
	if (w->punched_count > WRITER_PUNCHED)
		return;
	for (unsigned i = 0; i < w->punched_count; i++)
		if (w->punched[i] == container)
			return;
	if (w->punched_count < WRITER_PUNCHED)
		w->punched[w->punched_count] = container;
	w->punched_count++;
}

static void
punch(struct commit *c, const struct region *r)
{
	struct store *store = c->store;
	struct place place = {.kind = PLACE_PACK, .container = r->container};
	struct file *file;

	if (!r->n || commit_touch(c, r->container, PLACE_PACK)->doomed ||
	    file_open(&store->files, &place, 0, &file) != 0)
		return;
	/* What could not be given back stays counted until the next start. */
	if (disk_punch(file->fd, r->offset, r->n) == 0)
		budget_give(&store->budget, r->whole);
	file_unref(&store->files, &file);
	note_punched(&store->writer, r->container);
}

/* Blocks that several records shared, of which none is there any more: what
 * was punched of each left them in use. */
static void
punch_blocks(struct commit *c)
{
	struct store *store = c->store;
	const struct commit_extra *x = c->extra;
	struct place place = {.kind = PLACE_PACK};
	const struct touched *t;
	struct file *file;
	int err = 0;

	if (!x || !x->hole_count)
		return;
	t = commit_touch(c, x->holed, PLACE_PACK);
	place.container = x->holed;
	if (t->doomed || file_open(&store->files, &place, 0, &file) != 0)
		return;
	for (unsigned i = 0; i < x->hole_count && !err; i++)
		err =
		    disk_punch(file->fd, x->holes[2 * i], x->holes[2 * i + 1]);
	if (!err && t->unholed > t->now.size)
		budget_give(&store->budget, t->unholed - t->now.size);
	file_unref(&store->files, &file);
	note_punched(&store->writer, x->holed);
}

void
commit_account_catalog(struct store *store)
{
	struct writer *w = &store->writer;
	uint64_t now =
	    catalog_size(store->catalog) + budget_ahead(&store->budget);

	if (now > w->catalog_taken)
		budget_force(&store->budget, now - w->catalog_taken);
	else
		budget_give(&store->budget, w->catalog_taken - now);
	w->catalog_taken = now;
}

/* Not for less than a quarter, nor than a MiB: it will be needed again. */
void
commit_compact_catalog(struct store *store)
{
	uint64_t size = catalog_size(store->catalog);
	uint64_t used = catalog_used(store->catalog);
	uint64_t room = used + COPY_SLACK;
	int err;

	if (size - used < size / 4 || size - used < COPY_SLACK)
		return;
	/* Both files are there for a while. */
	if (!budget_take_last(&store->budget, room))
		return;
	err = catalog_compact(store->catalog, store->dir);
	if (err)
		store_report(store, "cannot make the catalog shorter: %s",
		    larder_strerror(err));
	commit_account_catalog(store);
	budget_give(&store->budget, room);
}

static void
after(struct commit *c, struct list *batch)
{
	struct store *store = c->store;

	commit_account_catalog(store);
	store->stored_bytes = store->writer.totals.stored_bytes;
	store_count(&store->commits, 1);
	store_count(&store->written, c->stored);
	store_count(&store->rewritten, c->rewritten);
	policy_stored(&store->writer.policy, c->stored);
	policy_rewrote(&store->writer.policy, c->rewritten);
	sketch_remember(store->sketch, store->objects);
	for (unsigned i = 0; i < c->count; i++) {
		writer_pause(store);
		keep_blobs(&c->items[i]);
	}
	/* From now on nobody is sent to where what moved was; so who reads
	 * there and finds that it is gone looks again. */
	for (unsigned i = 0; i < c->count; i++) {
		writer_pause(store);
		memory_clean(store, c->items[i].entry, c->items[i].version,
		    c->items[i].image, c->items[i].places, batch);
	}
	for (unsigned i = 0; i < c->touched_count; i++) {
		struct touched *t = &c->touched[i];

		writer_pause(store);
		if (t->stuck)
			file_drop_settled(
			    &store->files, t->id, t->kind, t->now.size, store);
		else if (t->doomed && (t->there || t->kind == PLACE_BLOB))
			file_drop(&store->files, t->id, t->now.size, store);
		else if (!t->there)
			file_settle(&store->files, t->id, t->kind);
	}
	for (unsigned i = 0; i < c->region_count; i++) {
		writer_pause(store);
		punch(c, &c->regions[i]);
	}
	punch_blocks(c);
}

static void
release(struct commit *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		writer_pause(c->store);
		image_unref(&c->items[i].image);
	}
	free(c->items);
	free(c->touched);
	free(c->regions);
}

/* Takes what is ready out of the batch into the items. */
static int
take_items(struct commit *c, struct list *batch)
{
	unsigned n = 0;

	list_each (node, batch)
		n++;
	c->items = calloc(n + 1, sizeof(*c->items));
	if (!c->items)
		return LARDER_NOMEM;
	list_each_safe (node, batch) {
		struct item *item = &c->items[c->count];

		writer_pause(c->store);
		item->entry = container_of(node, struct entry, node);
		item->image =
		    memory_snapshot(c->store, item->entry, &item->version);
		if (!commit_ready(item)) {
			image_unref(&item->image);
			continue;
		}
		list_remove(node);
		c->count++;
	}
	return 0;
}

int
commit_batch(
    struct store *store, struct list *batch, const struct commit_extra *extra)
{
	struct commit c = {.store = store, .extra = extra};
	struct commit_extra whole;
	struct writer *w = &store->writer;
	int err = take_items(&c, batch);

	/* What is not ready is still where it was. */
	if (extra && extra->hole_count && !list_empty(batch)) {
		whole = *extra;
		whole.holed = 0;
		whole.hole_count = 0;
		c.extra = &whole;
	}
	c.before = w->totals;
	for (unsigned i = 0; i < c.count && !err; i++)
		err = commit_place(&c, &c.items[i]);
	if (!err)
		err = pack_flush(store);
	if (!err) {
		pack_keep(store);
		err = commit_transact(&c);
	}
	if (err) {
		c.before.pack = w->totals.pack;
		c.before.main_pack = w->totals.main_pack;
		w->totals = c.before;
		pack_forget(store);
		/* What failed may be there for all that: the next one looks. */
		for (unsigned i = 0; i < c.count; i++) {
			c.items[i].entry->absent = false;
			list_append(batch, &c.items[i].entry->node);
		}
	} else {
		after(&c, batch);
	}
	release(&c);
	return err;
}
