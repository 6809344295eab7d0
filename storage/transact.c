/*
 * One group, second part: the transaction.
 *
 * What always holds
 *   - It is told the difference between the value that it finds and the one
 *     that it writes: which containers the key left or entered, and how many
 *     live bytes that is. So it does not matter through which steps a key got
 *     where it is.
 *   - Files that nothing names after it go to tmp/ before it. If it fails they
 *     come back.
 */
#include <fcntl.h>
#include <stdlib.h>

#include "commit.h"

static bool
same_place(const struct place *a, const struct place *b)
{
	return a->kind == b->kind && a->container == b->container &&
	       a->offset == b->offset;
}

static bool
has_place(const struct object_value *v, const struct place *p)
{
	for (unsigned i = 0; i < v->count; i++)
		if (same_place(&v->infos[i].head, p) ||
		    same_place(&v->infos[i].body, p))
			return true;
	return false;
}

static bool
has_id(const struct object_value *v, uint64_t id)
{
	for (unsigned i = 0; i < v->count; i++)
		if (v->infos[i].id == id)
			return true;
	return false;
}

/* A place of object `id` that stands in `a` only: sign says whether it came or
 * went. */
static int
only_in(struct commit *c, const struct entry *e, uint64_t id,
    const struct place *p, const struct object_value *other, int sign,
    bool body)
{
	struct touched *t;

	if (p->kind == PLACE_NONE || has_place(other, p))
		return 0;
	t = commit_touch(c, p->container, p->kind);
	t->live += sign * (int64_t)object_place_size(p);
	if (sign < 0 && p->kind == PLACE_PACK) {
		c->regions = commit_grow(c->regions, c->region_count,
		    &c->region_room, sizeof(*c->regions));
		c->regions[c->region_count++] =
		    (struct region){p->container, p->offset,
			object_place_size(p), 0, body || !has_id(other, id)};
	}
	return catalog_put_member(
	    c->store->catalog, p, e->hash, e->key, sign > 0);
}

static int
differ(struct commit *c, const struct entry *e, const struct object_value *a,
    const struct object_value *b, int sign)
{
	struct catalog_totals *t = &c->store->writer.totals;
	int err = 0;

	for (unsigned i = 0; i < a->count && !err; i++) {
		const struct object_info *info = &a->infos[i];

		t->objects += (uint64_t)sign;
		t->body_bytes += (uint64_t)sign * info->body_size;
		t->stored_bytes += (uint64_t)sign * object_disk_size(info);
		err = only_in(c, e, info->id, &info->head, b, sign, false);
		if (!err)
			err =
			    only_in(c, e, info->id, &info->body, b, sign, true);
	}
	return err;
}

static int
write_item(struct commit *c, const struct item *item)
{
	struct catalog *catalog = c->store->catalog;
	const struct entry *e = item->entry;
	struct object_value old, now = {.key = e->key};
	struct bytes value = {NULL, 0};
	char *buf = NULL;
	int err = LARDER_ABSENT;

	if (!e->absent)
		err = catalog_old(catalog, e->hash, e->key, &value);
	/* A value that cannot be read is replaced; what it named is found to
	 * be nobody's when its containers go. */
	if (err || object_value_decode(value, e->key, &old) != 0)
		old.count = 0;
	if (err < 0 && err != LARDER_DAMAGED)
		return err;
	now.count = item->image->count;
	for (unsigned i = 0; i < now.count; i++) {
		now.infos[i] = item->image->objects[i]->info;
		now.infos[i].head = item->places[2 * i];
		now.infos[i].body = item->places[2 * i + 1];
	}
	if (!now.count && !old.count)
		return 0;
	value = (struct bytes){NULL, 0};
	if (now.count) {
		buf = malloc(object_value_bound(&now));
		if (!buf)
			return LARDER_NOMEM;
		value = bytes_of(buf, object_value_encode(&now, buf));
	}
	/* What was decoded lies in LMDB's pages: they are not to be looked at
	 * once something is put, but for places, which are copies. */
	err = catalog_put(catalog, e->hash, e->key, value);
	free(buf);
	if (!err)
		err = differ(c, e, &now, &old, 1);
	if (!err)
		err = differ(c, e, &old, &now, -1);
	return err;
}

static int
by_offset(const void *pa, const void *pb)
{
	const struct region *a = pa, *b = pb;

	if (a->container != b->container)
		return a->container < b->container ? -1 : 1;
	return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/*
 * Of what is no object any more every byte is to read as zero, so that who
 * looks through the pack does not take it for one: that costs a read where its
 * ends are no blocks' ends. So is it with a body that moved on alone, for it
 * may be purged where it lies then, and be an object here again. Of a head that
 * is old the newest record tells, and what is evicted takes the whole pack with
 * it: there the blocks are enough.
 */
static void
trim(const struct commit *c, struct region *r)
{
	uint64_t from = disk_round(r->offset);
	uint64_t to = (r->offset + r->n) / DISK_BLOCK * DISK_BLOCK;

	r->whole = to > from ? to - from : 0;
	if (r->gone && !(c->extra && c->extra->leave == r->container))
		return;
	r->offset = from;
	r->n = r->whole;
}

/* Neighbours become one. */
static void
merge_regions(struct commit *c)
{
	unsigned n = 0;

	if (c->region_count)
		qsort(c->regions, c->region_count, sizeof(*c->regions),
		    by_offset);
	for (unsigned i = 0; i < c->region_count; i++) {
		struct region *last = n ? &c->regions[n - 1] : NULL;
		const struct region *r = &c->regions[i];

		if (last && last->container == r->container &&
		    last->offset + last->n == r->offset) {
			last->n += r->n;
			last->gone |= r->gone;
		} else {
			c->regions[n++] = *r;
		}
	}
	c->region_count = n;
	for (unsigned i = 0; i < n; i++)
		trim(c, &c->regions[i]);
}

static uint64_t
punched(const struct commit *c, uint64_t container)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < c->region_count; i++)
		if (c->regions[i].container == container)
			n += c->regions[i].whole;
	return n;
}

static uint64_t
position(struct writer *w, enum policy_queue queue)
{
	return w->totals.next_queue++ |
	       (queue == POLICY_MAIN ? WRITER_MAIN : 0);
}

static bool
stays(const struct commit_extra *x, uint64_t id)
{
	for (unsigned i = 0; x && i < x->stays; i++)
		if (x->stay[i] == id)
			return true;
	return false;
}

/* A new one stands at the end, but a body that was only pressed gets no longer
 * life by that. */
static uint64_t
queue_for(struct commit *c, const struct touched *t)
{
	for (unsigned i = 0; t->heir && i < c->touched_count; i++)
		if (c->touched[i].id == t->heir && c->touched[i].there &&
		    c->touched[i].doomed)
			return c->touched[i].old.queue;
	return position(&c->store->writer, t->queue);
}

/* Packs, once they are closed, are judged as a whole; here one that has lost
 * much of what was in it is noted. */
static void
note_sparse(struct commit *c, const struct touched *t)
{
	if (t->kind == PLACE_PACK && t->there && !t->doomed &&
	    !pack_is_open(c->store, t->id))
		merge_note(c->store, t->id, &t->now);
}

/* One that a lost catalog knew: it is as large as its file. */
static void
adopt(struct commit *c, struct touched *t)
{
	uint64_t size, allocated;
	char name[FILE_NAME];
	int fd;

	file_name(t->id, t->kind, false, name);
	if (disk_open(c->store->dir, name, O_RDONLY, &fd) != 0)
		return;
	if (disk_size(fd, &size, &allocated) == 0) {
		t->now.size = allocated;
		t->now.end = t->kind == PLACE_PACK ? size : 0;
	}
	disk_close(fd);
}

static void
update_container(struct commit *c, struct touched *t)
{
	struct writer *w = &c->store->writer;
	uint64_t holes = punched(c, t->id);
	const struct commit_extra *x = c->extra;
	bool current = pack_is_open(c->store, t->id);

	t->now = t->old;
	t->now.kind = t->kind;
	if (!t->there)
		t->now.queue = queue_for(c, t);
	if (stays(x, t->id))
		t->now.queue = position(w, POLICY_MAIN);
	t->now.live = (uint64_t)((int64_t)t->old.live + t->live);
	if (t->end > t->old.end) {
		t->now.size += disk_round(t->end) - disk_round(t->old.end);
		t->now.end = t->end;
	}
	if (!t->there && t->kind == PLACE_BLOB)
		t->now.size = t->size;
	if (!t->there && !t->end && !t->size)
		adopt(c, t);
	t->doomed = !current && (t->now.live == 0 || t->now.live > INT64_MAX);
	if (x && x->remove == t->id)
		t->doomed = true;
	if (!t->doomed)
		t->now.size -= holes < t->now.size ? holes : t->now.size;
	t->unholed = t->now.size;
	if (x && x->hole_count && x->holed == t->id && x->left < t->now.size)
		t->now.size = x->left;
}

static uint64_t
in_small(const struct object_container *c)
{
	return c->queue < WRITER_MAIN ? c->size : 0;
}

static int
read_containers(struct commit *c)
{
	for (unsigned i = 0; i < c->touched_count; i++) {
		struct touched *t = &c->touched[i];
		int err =
		    catalog_old_container(c->store->catalog, t->id, &t->old);

		t->there = !err;
		if (t->there)
			t->kind = t->old.kind;
		if (err == LARDER_ABSENT)
			memset(&t->old, 0, sizeof(t->old));
		if (err < 0)
			return err;
	}
	return 0;
}

static int
write_containers(struct commit *c)
{
	struct catalog *catalog = c->store->catalog;
	struct writer *w = &c->store->writer;
	int err = read_containers(c);

	/* Those that are there first: a new one may take a place in the queue
	 * that one of them leaves. */
	for (unsigned i = 0; i < 2 * c->touched_count && !err; i++) {
		struct touched *t = &c->touched[i % c->touched_count];

		if (t->there != (i < c->touched_count))
			continue;
		update_container(c, t);
		err = catalog_put_container(catalog, t->id,
		    t->there ? &t->old : NULL, t->doomed ? NULL : &t->now);
		w->totals.disk -= t->old.size;
		w->totals.disk += t->doomed ? 0 : t->now.size;
		w->totals.small -= in_small(&t->old);
		w->totals.small += t->doomed ? 0 : in_small(&t->now);
		note_sparse(c, t);
	}
	return err;
}

static int
write_states(struct store *store)
{
	int err = 0;

	list_each (node, &store->writer.states_taken) {
		struct writer_state *s =
		    container_of(node, struct writer_state, node);

		if (!err)
			err = catalog_put_state(
			    store->catalog, s->name, bytes_of(s->value, s->n));
	}
	return err;
}

static size_t
put_hole(char *to, uint64_t container, uint64_t offset, uint64_t n)
{
	object_put64(to, container);
	object_put64(to + 8, offset);
	object_put64(to + 16, n);
	return HOLE_SIZE;
}

/* They count as given back by this transaction, but are punched after it: the
 * next start does it for who is killed in between. A pack is never written
 * twice in one place, so that to punch again does no harm. What the list had
 * before is forgotten with this, and so must be durable. */
static int
write_holes(struct commit *c)
{
	const struct commit_extra *x = c->extra;
	unsigned blocks = x ? x->hole_count : 0;
	size_t n = 0;
	char *buf;
	int err;

	if (!c->region_count && !blocks)
		return 0;
	err = commit_sync_holes(c->store);
	if (err)
		return err;
	buf = malloc((c->region_count + blocks) * HOLE_SIZE);
	if (!buf)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < c->region_count; i++) {
		const struct region *r = &c->regions[i];

		if (r->n)
			n += put_hole(buf + n, r->container, r->offset, r->n);
	}
	for (unsigned i = 0; i < blocks; i++)
		n += put_hole(
		    buf + n, x->holed, x->holes[2 * i], x->holes[2 * i + 1]);
	err = catalog_put_holes(c->store->catalog, bytes_of(buf, n));
	free(buf);
	return err;
}

/* Into tmp/ before the commit, or back when it failed. */
static void
condemn(struct commit *c, bool back)
{
	struct files *files = &c->store->files;

	for (unsigned i = 0; i < c->touched_count; i++) {
		struct touched *t = &c->touched[i];

		if (!t->doomed || !t->there)
			continue;
		if (back && !t->stuck)
			file_settle(files, t->id, t->kind);
		else if (!back)
			t->stuck = file_condemn(files, t->id, t->kind) < 0;
	}
}

int
commit_transact(struct commit *c)
{
	struct store *store = c->store;
	struct writer *w = &store->writer;
	int err = catalog_begin(store->catalog);

	if (err)
		return err;
	if (c->extra && c->extra->remove)
		commit_touch(c, c->extra->remove, PLACE_BLOB);
	for (unsigned i = 0; c->extra && i < c->extra->stays; i++)
		commit_touch(c, c->extra->stay[i], PLACE_BLOB);
	for (unsigned i = 0; i < c->count && !err; i++) {
		writer_pause(c->store);
		err = write_item(c, &c->items[i]);
	}
	merge_regions(c);
	if (!err)
		err = write_containers(c);
	if (!err)
		err = write_states(store);
	w->totals.next_id = atomic_load(&store->next_id);
	if (!err)
		err = write_holes(c);
	if (!err)
		err = catalog_put_totals(store->catalog, &w->totals);
	if (err) {
		catalog_abort(store->catalog);
		return err;
	}
	condemn(c, false);
	writer_pause(store);
	/* A file made since the last time has a name that lasts, and what is
	 * condemned does not come back under its old one. */
	err = disk_sync_folder(store->dir, "tmp");
	writer_pause(store);
	if (err)
		catalog_abort(store->catalog);
	else
		err = catalog_commit(store->catalog);
	writer_pause(store);
	if (err)
		condemn(c, true);
	return err;
}
