/*
 * One group, first part: what is ready goes to where it will lie. Small bodies
 * and heads are appended to the pack; large bodies are in files already.
 *
 * What always holds: nothing is placed twice but what failed to be committed;
 * what is to move and cannot be read is dropped, and holds nobody else up.
 */
#include <stdlib.h>

#include "commit.h"
#include "larder/clock.h"
#include "record.h"

/* How long a large body may keep others of its key waiting. */
#define PATIENCE_MS 800

void *
commit_grow(void *array, unsigned count, unsigned *room, size_t size)
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

struct touched *
commit_touch(struct commit *c, uint64_t id, enum place_kind kind)
{
	struct touched *t;

	for (unsigned i = c->touched_count; i-- > 0;)
		if (c->touched[i].id == id)
			return &c->touched[i];
	c->touched = commit_grow(
	    c->touched, c->touched_count, &c->touched_room, sizeof(*t));
	t = &c->touched[c->touched_count++];
	memset(t, 0, sizeof(*t));
	t->id = id;
	t->kind = kind;
	return t;
}

/* Which queue a new object goes to, that takes so many bytes. */
static enum policy_queue
enter(struct commit *c, struct hash hash, uint64_t size)
{
	const struct sketch *s = c->store->sketch;

	return policy_enter(&c->store->writer.policy, sketch_buried(s, hash.lo),
	    policy_value(sketch_count(s, hash.lo), size, hash.lo));
}

/* One of it that says where the other part of it lies. */
static struct record
record_of(
    const struct object *o, const struct place *head, const struct place *body)
{
	struct record r = {.plain = {.key = o->key, .info = o->info}};

	r.dictionary = DICTIONARY_NEWEST;
	r.plain.info.head = *head;
	r.plain.info.body = *body;
	return r;
}

static int
append(struct commit *c, enum policy_queue queue, struct record *r,
    const struct record *was, struct place *self)
{
	struct touched *t;
	int err = pack_append(c->store, queue, r, was, self);

	if (err)
		return err;
	t = commit_touch(c, self->container, PLACE_PACK);
	t->end = self->offset + self->stored;
	t->queue = queue;
	return 0;
}

/* One of an object's two records, into w->raw. */
static int
read_old(struct commit *c, const struct object *o, const struct place *place,
    struct record *old)
{
	struct store *store = c->store;
	struct writer *w = &store->writer;
	struct file *file;
	int err = file_open(&store->files, place, o->info.id, &file);

	if (err)
		return err == LARDER_ABSENT ? LARDER_DAMAGED : err;
	err = place->stored > RECORD_MAX
		  ? LARDER_DAMAGED
		  : disk_read(file->fd, w->raw, place->stored, place->offset);
	file_unref(&store->files, &file);
	return err ? err
		   : record_decode(
			 &w->coder, bytes_of(w->raw, place->stored), old);
}

/* How a body lies is decided anew where it moves: what is asked for all the
 * time is laid out raw, and pressed as soon as it moves for another reason.
 * Into the room for a pressed one, which holds a raw one, too. */
static int
lay_out(struct commit *c, const struct object *o, const struct record *old,
    struct record *r)
{
	struct writer *w = &c->store->writer;
	enum encoding encoding = old->plain.info.body.encoding;
	int err;

	r->plain.info.body.encoding = encoding;
	if (encoding == ENCODING_RAW) {
		r->dictionary = DICTIONARY_NEWEST;
		record_press_body(&w->coder, r, old->payload, w->pressed);
		if (r->plain.info.body.encoding == ENCODING_RAW)
			r->dictionary = old->dictionary;
		return 0;
	}
	if (!o->unpress)
		return 0;
	err = record_body(&w->coder, old, w->pressed);
	r->payload = bytes_of(w->pressed, o->info.body_size);
	r->plain.info.body.encoding = ENCODING_RAW;
	r->folded = false;
	return err;
}

/* One of them out of its old place. What is pressed before a body goes as it
 * is, unless that says something else now. */
static int
carry(struct commit *c, struct object *o, struct place *head,
    struct place *body, struct place *place)
{
	bool has_body = place == body;
	bool has_head = !has_body || head->kind == PLACE_NONE;
	struct place self = {.kind = PLACE_SELF, .raw = place->raw};
	struct record old, r;
	int err = read_old(c, o, place, &old);

	if (!err && !record_holds(&old, &o->info, has_head, has_body))
		err = LARDER_DAMAGED;
	/* It could stay: nobody else is to fail for it. */
	if (err && err != LARDER_DAMAGED && o->unpress)
		return 0;
	if (err)
		return err;
	r = record_of(o, has_body ? head : &self, has_body ? &self : body);
	r.dictionary = old.dictionary;
	if (has_head)
		r.plain.head = old.plain.head;
	r.payload = old.payload;
	r.folded = old.folded;
	if (has_body) {
		err = lay_out(c, o, &old, &r);
		self.encoding = r.plain.info.body.encoding;
	}
	if (err == LARDER_NOMEM && o->unpress)
		return 0;
	if (!err)
		err = append(c, POLICY_MAIN, &r, &old, &self);
	if (err)
		return err;
	if (o->move && !o->unpress)
		c->rewritten += object_place_size(&self);
	*place = self;
	return 0;
}

static int
put_whole(struct commit *c, struct hash hash, struct object *o,
    struct place *head, struct place *body)
{
	struct writer *w = &c->store->writer;
	struct blob *b = blob_base(o->blob);
	struct place none = {.kind = PLACE_NONE};
	struct place self = {.kind = PLACE_SELF, .raw = b->size};
	struct record r = record_of(o, &none, &self);
	struct bytes bytes = {NULL, b->size};
	int err;

	if (b->size)
		bytes.p = b->flat->data + b->flat_from;
	r.plain.head = bytes_of(o->head->data, o->head->size);
	record_press_body(&w->coder, &r, bytes, w->pressed);
	self.encoding = r.plain.info.body.encoding;
	err = append(
	    c, enter(c, hash, r.plain.head.n + r.payload.n), &r, NULL, &self);
	if (!err) {
		c->stored += object_place_size(&self);
		*head = none;
		*body = self;
	}
	return err;
}

static int
put_head(struct commit *c, struct object *o, struct place *head,
    const struct place *body)
{
	struct place self = {.kind = PLACE_SELF};
	struct record r = record_of(o, &self, body);
	int err;

	r.plain.head = bytes_of(o->head->data, o->head->size);
	/* Of what is stored already, or lies in a file of its own: it has no
	 * worth apart from that. */
	err = append(c, POLICY_MAIN, &r, NULL, &self);
	if (!err)
		*head = self;
	return err;
}

static int
place_object(
    struct commit *c, struct hash hash, struct object *o, struct place *places)
{
	struct place *head = &places[0], *body = &places[1];
	struct touched *t;
	int err = 0;

	*head = o->info.head;
	*body = o->info.body;
	if (body->kind == PLACE_NONE) {
		struct blob *b = blob_base(o->blob);

		if (!b->large)
			return put_whole(c, hash, o, head, body);
		*body = b->place;
		t = commit_touch(c, body->container, PLACE_BLOB);
		t->size = b->reserved;
		c->stored += b->reserved;
		t->queue = enter(c, hash, b->reserved);
		return put_head(c, o, head, body);
	}
	if (o->pressed) {
		t = commit_touch(c, body->container, PLACE_BLOB);
		t->size = o->pressed->size;
		t->heir = o->pressed->from;
	}
	/* Before the body moves: its record says where this one lies. */
	if (o->head)
		err = put_head(c, o, head, body);
	if (!err && o->move && body->kind == PLACE_PACK &&
	    body->container == o->move)
		err = carry(c, o, head, body, body);
	if (err || o->head)
		return err;
	/* The newest record of an object says where all of it lies, so that
	 * a lost catalog can be made anew. */
	if (o->pressed)
		return carry(c, o, head, body, head);
	if (o->move && head->kind == PLACE_PACK && head->container == o->move)
		err = carry(c, o, head, body, head);
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
bool
commit_ready(struct item *item)
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

int
commit_place(struct commit *c, struct item *item)
{
	int err = 0;

	for (unsigned i = 0; i < item->image->count && !err; i++) {
		struct object *o = item->image->objects[i];

		writer_pause(c->store);
		err =
		    place_object(c, item->entry->hash, o, &item->places[2 * i]);
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
