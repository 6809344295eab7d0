/*
 * One group: what changed under some keys becomes durable by one transaction.
 *
 *   gather ──> place ──> sync the pack ──> transaction ──> settle, drop, punch
 *     └ not sealed yet: stays in the batch        └ failed: all stays
 *
 * What always holds
 *   - Data is durable before the transaction that names it.
 *   - The transaction is told the difference between the value that it finds
 *     and the one that it writes: which containers the key left or entered, and
 *     how many live bytes that is. So it does not matter through which steps a
 *     key got where it is.
 *   - Files that nothing names after it go to tmp/ before it, and are
 *     unlinked after it. If it fails they come back.
 */
#include <errno.h>
#include <stdlib.h>

#include "internal.h"
#include "larder/clock.h"

/* Pages that one key may dirty: a leaf in each of three trees, and its share
 * of what is above. */
#define PAGES_A_KEY (24u * 1024)

#define HOLE_SIZE   24u
#define PATIENCE_MS 800

struct item {
	struct entry *entry;
	struct image *image;
	uint64_t version;
	struct place places[2 * STORE_VARIANTS_MAX]; /* head, body, head, … */
};

struct touched {
	uint64_t id;
	bool there;    /* in the catalog before */
	bool doomed;   /* and not any more */
	bool stuck;    /* but it could not be condemned */
	int64_t live;  /* bytes that came or went */
	uint64_t end;  /* of a pack that was appended to */
	uint64_t size; /* of a blob that is new */
	uint64_t heir; /* the container whose place in the queue it takes */
	enum place_kind kind;
	struct object_container old, now;
};

struct region {
	uint64_t container, offset, n;
};

struct commit {
	struct store *store;
	const struct commit_extra *extra;
	struct item *items;
	unsigned count;
	struct touched *touched;
	unsigned touched_count, touched_room;
	struct region *regions;
	unsigned region_count, region_room;
	struct catalog_totals before;
};

unsigned
commit_limit(const struct store *store)
{
	uint64_t n = budget_ahead(&store->budget) / PAGES_A_KEY;

	return (unsigned)n;
}

/* ---- where things go ----------------------------------------------------- */

static void *
more(void *array, unsigned count, unsigned *room, size_t size)
{
	unsigned wanted = *room ? *room * 2 : 64;

	if (count < *room)
		return array;
	array = realloc(array, wanted * size);
	/* A group is small; without memory for it nothing can go on. */
	check(array != NULL);
	*room = wanted;
	return array;
}

static struct touched *
touch(struct commit *c, uint64_t id, enum place_kind kind)
{
	struct touched *t;

	for (unsigned i = c->touched_count; i-- > 0;)
		if (c->touched[i].id == id)
			return &c->touched[i];
	c->touched =
	    more(c->touched, c->touched_count, &c->touched_room, sizeof(*t));
	t = &c->touched[c->touched_count++];
	memset(t, 0, sizeof(*t));
	t->id = id;
	t->kind = kind;
	return t;
}

static int
append(struct commit *c, struct object *o, const struct place *head,
    const struct place *body, struct place *self, const char *payload)
{
	struct object_value value = {o->key, 1, {o->info}};
	struct touched *t;
	int err;

	value.infos[0].head = *head;
	value.infos[0].body = *body;
	err = pack_append(c->store, &value, self, payload);
	if (err)
		return err;
	t = touch(c, self->container, PLACE_PACK);
	t->end = self->offset + self->front + self->stored;
	return 0;
}

/* Presses n bytes in w->raw if that gains. */
static const char *
press(struct writer *w, size_t n, struct place *self)
{
	size_t pressed = frame_press(
	    &w->coder, w->pressed, frame_bound(2 * STORE_SMALL), w->raw, n);

	*self = (struct place){.kind = PLACE_SELF, .raw = n};
	self->encoding = pressed ? ENCODING_ZSTD : ENCODING_RAW;
	self->stored = pressed ? pressed : n;
	return pressed ? w->pressed : w->raw;
}

/* A payload as it is, out of its old place. */
static int
carry(struct commit *c, struct object *o, struct place *place, bool head)
{
	struct store *store = c->store;
	struct place self = *place;
	struct file *file;
	char *raw = store->writer.raw;
	int err = file_open(&store->files, place, o->info.id, &file);

	if (err)
		return err == LARDER_ABSENT ? LARDER_DAMAGED : err;
	err = place->stored > 2 * STORE_SMALL
		  ? LARDER_DAMAGED
		  : disk_read(file->fd, raw, place->stored,
			place->offset + place->front);
	file_unref(&store->files, &file);
	if (!err && object_sum(raw, place->stored, o->info.id) != place->sum)
		err = LARDER_DAMAGED;
	if (err)
		return err;
	self.kind = PLACE_SELF;
	err = append(c, o, head ? &self : &o->info.head,
	    head ? &o->info.body : &self, &self, raw);
	if (!err)
		*place = self;
	return err;
}

static int
put_whole(
    struct commit *c, struct object *o, struct place *head, struct place *body)
{
	struct writer *w = &c->store->writer;
	struct blob *b = blob_base(o->blob);
	size_t n = o->head->size;
	struct place self, none = {.kind = PLACE_NONE};
	const char *payload;
	int err;

	if (n)
		memcpy(w->raw, o->head->data, n);
	if (b->size)
		memcpy(w->raw + n, b->flat->data + b->flat_from, b->size);
	payload = press(w, n + b->size, &self);
	err = append(c, o, &none, &self, &self, payload);
	if (!err) {
		*head = none;
		*body = self;
	}
	return err;
}

static int
put_head(struct commit *c, struct object *o, struct place *head,
    const struct place *body)
{
	struct writer *w = &c->store->writer;
	struct place self;
	const char *payload;
	int err;

	if (o->head->size)
		memcpy(w->raw, o->head->data, o->head->size);
	payload = press(w, o->head->size, &self);
	err = append(c, o, &self, body, &self, payload);
	if (!err)
		*head = self;
	return err;
}

static int
place_object(struct commit *c, struct object *o, struct place *places)
{
	struct place *head = &places[0], *body = &places[1];
	int err = 0;

	*head = o->info.head;
	*body = o->info.body;
	if (body->kind == PLACE_NONE) {
		struct blob *b = blob_base(o->blob);

		if (!b->large)
			return put_whole(c, o, head, body);
		*body = b->place;
		touch(c, body->container, PLACE_BLOB)->size = b->reserved;
		return put_head(c, o, head, body);
	}
	if (o->move && body->kind == PLACE_PACK && body->container == o->move)
		err = carry(c, o, body, false);
	if (err)
		return err;
	if (o->pressed) {
		struct touched *t = touch(c, body->container, PLACE_BLOB);

		t->size = o->pressed->size;
		t->heir = o->pressed->from;
	}
	if (o->head)
		return put_head(c, o, head, body);
	if (o->move && head->kind == PLACE_PACK && head->container == o->move)
		err = carry(c, o, head, true);
	return err;
}

/* Is it not yet, or never to be, where it can be named? */
static bool
is_unready(void *arg, const struct object *o)
{
	struct blob *b;
	bool ready;

	(void)arg;
	if (o->info.body.kind != PLACE_NONE)
		return false;
	b = blob_base(o->blob);
	pthread_mutex_lock(&b->lock);
	ready = !b->lost && (!b->large || b->sealed);
	pthread_mutex_unlock(&b->lock);
	return !ready;
}

/* A large body may take its time to be durable. What else changed under its
 * key waits for it, but not for ever: then all but that body is committed, and
 * the entry stays dirty. */
static bool
make_ready(struct item *item)
{
	int64_t now = clock_mono_ms();
	struct image *rest;
	bool ready = true;

	for (unsigned i = 0; i < item->image->count; i++)
		ready = ready && !is_unready(NULL, item->image->objects[i]);
	if (ready)
		return true;
	if (now - item->entry->since < PATIENCE_MS)
		return false;
	rest = image_with(item->image, NULL, is_unready, NULL);
	if (!rest)
		return false;
	image_unref(&item->image);
	item->image = rest;
	/* No version that there is: memory_clean() leaves it dirty. */
	item->version = UINT64_MAX;
	item->entry->since = now;
	return true;
}

static int
place_item(struct commit *c, struct item *item)
{
	int err = 0;

	for (unsigned i = 0; i < item->image->count && !err; i++) {
		struct object *o = item->image->objects[i];

		err = place_object(c, o, &item->places[2 * i]);
		if (err != LARDER_DAMAGED)
			continue;
		/* It cannot move: it stays in this transaction, and the next
		 * one is without it. */
		store_drop_damaged(c->store, item->entry->hash, o);
		item->places[2 * i] = o->info.head;
		item->places[2 * i + 1] = o->info.body;
		err = 0;
	}
	return err;
}

/* ---- the transaction ----------------------------------------------------- */

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
has_container(const struct object_value *v, uint64_t id)
{
	for (unsigned i = 0; i < v->count; i++) {
		const struct object_info *info = &v->infos[i];

		if ((info->head.kind != PLACE_NONE &&
			info->head.container == id) ||
		    info->body.container == id)
			return true;
	}
	return false;
}

/* A place that stands in `a` only: sign says whether it came or went. */
static int
only_in(struct commit *c, struct hash hash, const struct place *p,
    const struct object_value *other, int sign)
{
	struct touched *t;

	if (p->kind == PLACE_NONE || has_place(other, p))
		return 0;
	t = touch(c, p->container, p->kind);
	t->live += sign * (int64_t)object_place_size(p);
	if (sign < 0 && p->kind == PLACE_PACK) {
		c->regions = more(c->regions, c->region_count, &c->region_room,
		    sizeof(*c->regions));
		c->regions[c->region_count++] = (struct region){
		    p->container, p->offset, object_place_size(p)};
	}
	if (has_container(other, p->container))
		return 0;
	return catalog_put_member(
	    c->store->catalog, p->container, hash, sign > 0);
}

static int
differ(struct commit *c, struct hash hash, const struct object_value *a,
    const struct object_value *b, int sign)
{
	struct catalog_totals *t = &c->store->writer.totals;
	int err = 0;

	for (unsigned i = 0; i < a->count && !err; i++) {
		const struct object_info *info = &a->infos[i];

		t->objects += (uint64_t)sign;
		t->body_bytes += (uint64_t)sign * info->body_size;
		t->stored_bytes += (uint64_t)sign * object_disk_size(info);
		err = only_in(c, hash, &info->head, b, sign);
		if (!err)
			err = only_in(c, hash, &info->body, b, sign);
	}
	return err;
}

static int
write_item(struct commit *c, const struct item *item)
{
	struct catalog *catalog = c->store->catalog;
	struct hash hash = item->entry->hash;
	struct object_value old, now;
	struct bytes key = {NULL, 0}, value = {NULL, 0};
	char *buf = NULL;
	int err = catalog_old(catalog, hash, &value);

	/* A value that cannot be read is replaced; what it named is found to
	 * be nobody's when its containers go. */
	if (err || object_value_decode(value, &old) != 0)
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
	key = now.count ? item->image->objects[0]->key : old.key;
	now.key = key;
	value = (struct bytes){NULL, 0};
	if (now.count) {
		buf = malloc(object_value_bound(&now));
		if (!buf)
			return LARDER_NOMEM;
		value = bytes_of(buf, object_value_encode(&now, buf));
	}
	/* What was decoded lies in LMDB's pages: they are not to be looked at
	 * once something is put, but for places, which are copies. */
	err = catalog_put(catalog, hash, key, value);
	free(buf);
	if (!err)
		err = differ(c, hash, &now, &old, 1);
	if (!err)
		err = differ(c, hash, &old, &now, -1);
	if (!err && c->extra && c->extra->leave &&
	    !has_container(&now, c->extra->leave))
		err = catalog_put_member(catalog, c->extra->leave, hash, false);
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

/* Neighbours become one, and each is cut to the blocks that lie in it. */
static void
merge_regions(struct commit *c)
{
	unsigned n = 0;

	if (c->region_count)
		qsort(c->regions, c->region_count, sizeof(*c->regions),
		    by_offset);
	for (unsigned i = 0; i < c->region_count; i++) {
		struct region *last = n ? &c->regions[n - 1] : NULL;

		if (last && last->container == c->regions[i].container &&
		    last->offset + last->n == c->regions[i].offset)
			last->n += c->regions[i].n;
		else
			c->regions[n++] = c->regions[i];
	}
	c->region_count = n;
	for (unsigned i = 0; i < n; i++) {
		struct region *r = &c->regions[i];
		uint64_t from = disk_round(r->offset);
		uint64_t to = (r->offset + r->n) / DISK_BLOCK * DISK_BLOCK;

		r->offset = from;
		r->n = to > from ? to - from : 0;
	}
}

static uint64_t
punched(const struct commit *c, uint64_t container)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < c->region_count; i++)
		if (c->regions[i].container == container)
			n += c->regions[i].n;
	return n;
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
	return c->store->writer.totals.next_queue++;
}

static void
update_container(struct commit *c, struct touched *t)
{
	struct writer *w = &c->store->writer;
	uint64_t holes = punched(c, t->id);
	bool current = w->pack && w->pack->id == t->id;

	t->now = t->old;
	t->now.kind = t->kind;
	if (!t->there)
		t->now.queue = queue_for(c, t);
	if (c->extra && c->extra->requeue == t->id)
		t->now.queue = w->totals.next_queue++;
	t->now.live = (uint64_t)((int64_t)t->old.live + t->live);
	if (t->end > t->old.end) {
		t->now.size += disk_round(t->end) - disk_round(t->old.end);
		t->now.end = t->end;
	}
	if (!t->there && t->kind == PLACE_BLOB)
		t->now.size = t->size;
	t->doomed = !current && (t->now.live == 0 || t->now.live > INT64_MAX);
	if (c->extra && c->extra->remove == t->id)
		t->doomed = true;
	if (!t->doomed)
		t->now.size -= holes < t->now.size ? holes : t->now.size;
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

/* They count as given back by this transaction, but are punched after it: the
 * next start does it for who is killed in between. A pack is never written
 * twice in one place, so that to punch again does no harm. */
static int
write_holes(struct commit *c)
{
	size_t n = 0;
	char *buf;
	int err;

	if (!c->region_count)
		return 0;
	buf = malloc(c->region_count * HOLE_SIZE);
	if (!buf)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < c->region_count; i++) {
		const struct region *r = &c->regions[i];

		if (!r->n)
			continue;
		object_put64(buf + n, r->container);
		object_put64(buf + n + 8, r->offset);
		object_put64(buf + n + 16, r->n);
		n += HOLE_SIZE;
	}
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

static int
transact(struct commit *c)
{
	struct store *store = c->store;
	struct writer *w = &store->writer;
	int err = catalog_begin(store->catalog);

	if (err)
		return err;
	if (c->extra && c->extra->remove)
		touch(c, c->extra->remove, PLACE_BLOB);
	if (c->extra && c->extra->requeue)
		touch(c, c->extra->requeue, PLACE_BLOB);
	for (unsigned i = 0; i < c->count && !err; i++)
		err = write_item(c, &c->items[i]);
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
	if (!err)
		/* A file made since the last time has a name that lasts. */
		err = disk_sync_folder(store->dir, "tmp");
	if (err) {
		catalog_abort(store->catalog);
		return err;
	}
	condemn(c, false);
	err = catalog_commit(store->catalog);
	if (err)
		condemn(c, true);
	return err;
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

static void
punch(struct commit *c, const struct region *r)
{
	struct store *store = c->store;
	struct place place = {.kind = PLACE_PACK, .container = r->container};
	struct file *file;

	if (!r->n || touch(c, r->container, PLACE_PACK)->doomed ||
	    file_open(&store->files, &place, 0, &file) != 0)
		return;
	/* What could not be given back stays counted until the next start. */
	if (disk_punch(file->fd, r->offset, r->n) == 0)
		budget_give(&store->budget, r->n);
	file_unref(&store->files, &file);
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

static void
after(struct commit *c, struct list *batch)
{
	struct store *store = c->store;

	commit_account_catalog(store);
	store->stored_bytes = store->writer.totals.stored_bytes;
	store_count(&store->commits, 1);
	for (unsigned i = 0; i < c->count; i++)
		keep_blobs(&c->items[i]);
	for (unsigned i = 0; i < c->touched_count; i++) {
		struct touched *t = &c->touched[i];

		if (t->stuck)
			file_drop_settled(
			    &store->files, t->id, t->kind, t->now.size);
		else if (t->doomed && t->there)
			file_drop(&store->files, t->id, t->now.size);
		else if (t->doomed && t->kind == PLACE_BLOB)
			file_drop(&store->files, t->id, t->now.size);
		else if (!t->there)
			file_settle(&store->files, t->id, t->kind);
	}
	for (unsigned i = 0; i < c->region_count; i++)
		punch(c, &c->regions[i]);
	for (unsigned i = 0; i < c->count; i++)
		memory_clean(store, c->items[i].entry, c->items[i].version,
		    c->items[i].image, c->items[i].places, batch);
}

static void
release(struct commit *c)
{
	for (unsigned i = 0; i < c->count; i++)
		image_unref(&c->items[i].image);
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

		item->entry = container_of(node, struct entry, node);
		item->image =
		    memory_snapshot(c->store, item->entry, &item->version);
		if (!make_ready(item)) {
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
	struct writer *w = &store->writer;
	int err = take_items(&c, batch);

	c.before = w->totals;
	for (unsigned i = 0; i < c.count && !err; i++)
		err = place_item(&c, &c.items[i]);
	if (!err)
		err = pack_flush(store);
	if (!err)
		err = transact(&c);
	if (err) {
		c.before.pack = w->totals.pack;
		w->totals = c.before;
		pack_forget(store);
		for (unsigned i = 0; i < c.count; i++)
			list_append(batch, &c.items[i].entry->node);
	} else {
		after(&c, batch);
	}
	release(&c);
	return err;
}
