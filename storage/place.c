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

	c->stored += size;
	return policy_enter(&c->store->writer.policy, sketch_buried(s, hash.lo),
	    policy_value(sketch_count(s, hash.lo), size, hash.lo));
}

static int
append(struct commit *c, enum policy_queue queue, struct object *o,
    const struct place *head, const struct place *body, struct place *self,
    const char *payload)
{
	struct object_value value = {o->key, 1, {o->info}};
	struct touched *t;
	int err;

	value.infos[0].head = *head;
	value.infos[0].body = *body;
	err = pack_append(c->store, queue, &value, self, payload);
	if (err)
		return err;
	t = commit_touch(c, self->container, PLACE_PACK);
	t->end = self->offset + self->front + self->stored;
	t->queue = queue;
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

/* One of an object's two payloads as it is, out of its old place. */
static int
carry(struct commit *c, struct object *o, struct place *head,
    struct place *body, struct place *place)
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
	err = append(c, POLICY_MAIN, o, place == head ? &self : head,
	    place == body ? &self : body, &self, raw);
	if (err)
		return err;
	c->rewritten += o->move ? object_place_size(&self) : 0;
	*place = self;
	return 0;
}

static int
put_whole(struct commit *c, struct hash hash, struct object *o,
    struct place *head, struct place *body)
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
	err = append(
	    c, enter(c, hash, self.stored), o, &none, &self, &self, payload);
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
	/* Of what is stored already, or lies in a file of its own: it has no
	 * worth apart from that. */
	err = append(c, POLICY_MAIN, o, &self, body, &self, payload);
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
