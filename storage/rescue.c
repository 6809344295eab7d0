/*
 * Objects out of a pack, without a catalog.
 *
 * Every record of a pack has its key, variant and meta with it, and where the
 * other part of its object lies (place.c). So the newest record of an object
 * that is left is the truth about it. An object's first record is in a pack of
 * newcomers, or in one of the main queue; all others are in those. So the
 * newcomers' packs are read first, then the others, each kind oldest first, and
 * each pack from its start: the newest is the last one seen. What was removed
 * reads as zeros.
 *
 * What always holds: nothing is taken whose sums do not fit, or whose other
 * part is not where the record says.
 */
#include <poll.h>
#include <stdlib.h>

#include "internal.h"
#include "record.h"
#include "salvage.h"

/* What is read at once: a record and a half at least. */
#define WINDOW	  (4u * 1024 * 1024)
#define DIRTY_MAX 8192u
#define PAUSE_MS  200

struct scan {
	struct store *store;
	struct file *file;
	uint64_t size, at;
	char *buf;
	uint64_t from; /* that buf[0] is of */
	size_t filled;
	struct frame_coder coder,
	    other; /* for records, and their other parts */
};

/* n bytes from at on, or NULL: there are not so many, or they cannot be
 * read. */
static const char *
look(struct scan *s, size_t n)
{
	size_t want;

	if (s->at + n > s->size || n > WINDOW)
		return NULL;
	if (s->at >= s->from && s->at + n <= s->from + s->filled)
		return s->buf + (s->at - s->from);
	want = s->size - s->at < WINDOW ? s->size - s->at : WINDOW;
	s->from = s->at;
	s->filled = 0;
	if (disk_read(s->file->fd, s->buf, want, s->at) != 0)
		return NULL;
	s->filled = want;
	return s->buf;
}

/* On to what may be a record: false, there is none any more. */
static bool
seek_record(struct scan *s)
{
	while (s->at + RECORD_MIN <= s->size) {
		const char *p = look(s, RECORD_MIN);
		size_t left;
		const char *found;

		if (!p) {
			/* A block that cannot be read. */
			s->at = disk_round(s->at + 1);
			continue;
		}
		left = s->filled - (size_t)(p - s->buf);
		found = record_find(bytes_of(p, left));
		if (found) {
			s->at += (uint64_t)(found - p);
			return true;
		}
		s->at += left - 3;
	}
	return false;
}

/* ---- places -------------------------------------------------------------- */

static bool
pack_has(struct scan *s, const struct place *place,
    const struct object_info *info, bool head)
{
	struct file *file = NULL;
	struct record r;
	char *buf = malloc(place->stored);
	bool has =
	    buf && file_open(&s->store->files, place, info->id, &file) == 0 &&
	    disk_read(file->fd, buf, place->stored, place->offset) == 0 &&
	    record_decode(&s->other, bytes_of(buf, place->stored), &r) == 0 &&
	    record_holds(&r, info, head, !head);

	file_unref(&s->store->files, &file);
	free(buf);
	return has;
}

/* Is the other part of an object there? */
static bool
resolves(struct scan *s, const struct object_info *info, bool head)
{
	const struct place *place = head ? &info->head : &info->body;
	struct file *file;

	switch (place->kind) {
	case PLACE_NONE:
		return true;
	case PLACE_PACK:
		return pack_has(s, place, info, head);
	case PLACE_BLOB:
		if (file_open(&s->store->files, place, info->id, &file) != 0)
			return false;
		file_unref(&s->store->files, &file);
		return true;
	case PLACE_SELF:
		break;
	}
	return false;
}

/* ---- objects ------------------------------------------------------------- */

struct finding {
	const struct salvage *salvage;
	struct bytes key;
	const struct object_info *info;
	const struct place *self;
	bool is_new;
};

static bool
is_behind(const struct salvage *s, const struct place *a, const struct place *b)
{
	bool moved = salvage_is_main(s, b->container);

	if (a->kind != PLACE_PACK)
		return false;
	/* It came while this went on. */
	if (a->container >= salvage_first_new(s))
		return true;
	if (salvage_is_main(s, a->container) != moved)
		return !moved;
	return a->container != b->container ? a->container > b->container
					    : a->offset >= b->offset;
}

static bool
has_id(void *arg, const struct object *o)
{
	const uint64_t *id = arg;

	return o->info.id == *id;
}

static int
on_forget(void *arg, const struct image *old, struct image **out)
{
	*out = image_with(old, NULL, has_id, arg);
	if (!*out)
		return LARDER_NOMEM;
	if ((*out)->count < old->count)
		return 1;
	image_unref(out);
	return 0;
}

static int
on_find(void *arg, const struct image *old, struct image **out)
{
	struct finding *f = arg;
	uint64_t id = f->info->id;
	struct object *now;

	f->is_new = true;
	for (unsigned i = 0; i < old->count; i++) {
		const struct object_info *info = &old->objects[i]->info;

		if (info->id == id) {
			f->is_new = false;
			/* Known by this record, or by a newer one. */
			if (info->body.kind == PLACE_NONE ||
			    is_behind(f->salvage, &info->head, f->self) ||
			    is_behind(f->salvage, &info->body, f->self))
				return 0;
		} else if (info->id > id &&
			   bytes_eq(info->variant, f->info->variant)) {
			return 0;
		}
	}
	now = object_new(f->key, f->info);
	if (now)
		now->told = true;
	*out = now ? image_with(old, now, has_id, &id) : NULL;
	object_unref(&now);
	return *out ? 1 : LARDER_NOMEM;
}

/* Somebody removed the key meanwhile: what it had before is neither known, nor
 * found by the next salvage. */
static void
forget(struct scan *s, struct salvage *salvage, const struct record *r,
    const struct place *self)
{
	uint64_t id = r->plain.info.id;

	if (id >= salvage_first_new(salvage))
		return;
	memory_change(s->store, store_hash(s->store, r->plain.key),
	    r->plain.key, on_forget, &id, NULL);
	disk_punch(s->file->fd, self->offset, self->stored);
}

static int
take(struct scan *s, struct salvage *salvage, const struct record *r,
    struct place *self, uint64_t *objects)
{
	struct store *store = s->store;
	struct object_info info = r->plain.info;
	struct bytes key = r->plain.key;
	struct finding f = {salvage, key, &info, self, false};
	struct hash hash = store_hash(store, key);
	bool head = info.head.kind == PLACE_SELF;
	uint64_t next = atomic_load(&store->next_id);
	int err;

	if (salvage_was_removed(salvage, hash)) {
		forget(s, salvage, r, self);
		return 0;
	}
	if (head) {
		info.head = *self;
	} else {
		self->encoding = info.body.encoding;
		self->raw = info.body_size;
		info.body = *self;
	}
	if (!object_sound(&info) || !resolves(s, &info, !head))
		return 0;
	while (next <= info.id && !atomic_compare_exchange_weak(
				      &store->next_id, &next, info.id + 1))
		;
	err = memory_change(store, hash, key, on_find, &f, NULL);
	if (!err)
		*objects += f.is_new;
	return err == LARDER_ABSENT ? 0 : err;
}

/* The record at s->at, if it is one. */
static int
take_record(struct scan *s, struct salvage *salvage, uint64_t *objects)
{
	struct place self = {.kind = PLACE_PACK, .container = s->file->id};
	uint64_t front, stored;
	const char *p = look(s, RECORD_MIN);
	struct record r;
	int err = LARDER_DAMAGED;

	if (p && record_peek(bytes_of(p, RECORD_MIN), &front, &stored) == 0 &&
	    (p = look(s, front + stored)) != NULL)
		err = record_decode(&s->coder, bytes_of(p, front + stored), &r);
	if (err) {
		s->at++;
		return err == LARDER_DAMAGED ? 0 : err;
	}
	self.offset = s->at;
	self.stored = front + stored;
	s->at += self.stored;
	return take(s, salvage, &r, &self, objects);
}

static bool
many_dirty(struct store *store)
{
	struct writer *w = &store->writer;
	bool many;

	pthread_mutex_lock(&w->lock);
	many = w->dirty_count > DIRTY_MAX;
	pthread_mutex_unlock(&w->lock);
	return many;
}

int
rescue_pack(struct store *store, struct salvage *salvage, uint64_t id,
    uint64_t *objects)
{
	struct place place = {.kind = PLACE_PACK, .container = id};
	struct scan s = {.store = store};
	uint64_t allocated;
	int err = file_open(&store->files, &place, 0, &s.file);

	if (!err)
		err = disk_size(s.file->fd, &s.size, &allocated);
	if (err) {
		/* Gone meanwhile, or it cannot be read. */
		s.size = 0;
		err = 0;
	}
	s.buf = malloc(WINDOW);
	if (!s.buf)
		err = LARDER_NOMEM;
	while (!err && seek_record(&s)) {
		err = take_record(&s, salvage, objects);
		if (!err && salvage_ending(salvage))
			err = LARDER_CLOSED;
		/* Where it cannot be written there is time. */
		while (!err && many_dirty(store) && !salvage_ending(salvage))
			if (writer_flush(store) != 0)
				poll(NULL, 0, PAUSE_MS);
	}
	file_unref(&store->files, &s.file);
	free(s.buf);
	frame_release(&s.coder);
	frame_release(&s.other);
	return err;
}

bool
rescue_is_main(struct store *store, uint64_t id)
{
	struct place place = {.kind = PLACE_PACK, .container = id};
	struct scan s = {.store = store, .buf = malloc(WINDOW)};
	uint64_t allocated;
	bool moved = false;

	if (s.buf && file_open(&store->files, &place, 0, &s.file) == 0 &&
	    disk_size(s.file->fd, &s.size, &allocated) == 0)
		while (seek_record(&s)) {
			const char *p = look(&s, RECORD_MIN);
			struct bytes front = {p, p ? RECORD_MIN : 0};
			uint64_t n, stored;

			if (record_peek(front, &n, &stored) == 0) {
				moved = record_is_moved(front);
				break;
			}
			s.at++;
		}
	file_unref(&store->files, &s.file);
	free(s.buf);
	return moved;
}
