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
#include "salvage.h"

/* What is read at once: a record and a half at least. */
#define WINDOW	  (4u * 1024 * 1024)
#define FRONT_MAX (1u << 20)
#define DIRTY_MAX 8192u
#define PAUSE_MS  200

struct scan {
	struct store *store;
	struct file *file;
	uint64_t size, at;
	char *buf;
	uint64_t from; /* that buf[0] is of */
	size_t filled;
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
	while (s->at + OBJECT_FRONT_MIN <= s->size) {
		const char *p = look(s, OBJECT_FRONT_MIN);
		size_t left;
		const char *found;

		if (!p) {
			/* A block that cannot be read. */
			s->at = disk_round(s->at + 1);
			continue;
		}
		left = s->filled - (size_t)(p - s->buf);
		found = object_front_find(bytes_of(p, left));
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
pack_has(struct store *store, const struct place *place, uint64_t id)
{
	struct object_value *value = malloc(sizeof(*value));
	char *front = NULL;
	struct file *file = NULL;
	struct place self;
	bool has = false;

	if (value && place->front >= OBJECT_FRONT_MIN &&
	    place->front <= FRONT_MAX && (front = malloc(place->front)) &&
	    file_open(&store->files, place, id, &file) == 0 &&
	    disk_read(file->fd, front, place->front, place->offset) == 0 &&
	    object_front_decode(bytes_of(front, place->front), value, &self) ==
		0)
		has = value->infos[0].id == id && self.sum == place->sum &&
		      self.stored == place->stored;
	file_unref(&store->files, &file);
	free(front);
	free(value);
	return has;
}

/* Is the other part of an object there? */
static bool
resolves(struct store *store, const struct place *place, uint64_t id)
{
	struct file *file;

	switch (place->kind) {
	case PLACE_NONE:
		return true;
	case PLACE_PACK:
		return pack_has(store, place, id);
	case PLACE_BLOB:
		if (file_open(&store->files, place, id, &file) != 0)
			return false;
		file_unref(&store->files, &file);
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
forget(struct store *store, struct salvage *s, struct file *file,
    const struct object_value *value, const struct place *self)
{
	uint64_t id = value->infos[0].id;

	if (id >= salvage_first_new(s))
		return;
	memory_change(store, store_hash(store, value->key), value->key,
	    on_forget, &id, NULL);
	disk_punch(file->fd, self->offset, self->front + self->stored);
}

static int
take(struct store *store, struct salvage *s, struct file *file,
    const struct object_value *value, const struct place *self,
    uint64_t *objects)
{
	struct object_info info = value->infos[0];
	struct finding f = {s, value->key, &info, self, false};
	struct hash hash = store_hash(store, value->key);
	bool head = info.head.kind == PLACE_SELF;
	uint64_t next = atomic_load(&store->next_id);
	int err;

	if (head)
		info.head = *self;
	else
		info.body = *self;
	if (salvage_was_removed(s, hash)) {
		forget(store, s, file, value, self);
		return 0;
	}
	if (!object_sound(&info) ||
	    !resolves(store, head ? &info.body : &info.head, info.id))
		return 0;
	while (next <= info.id && !atomic_compare_exchange_weak(
				      &store->next_id, &next, info.id + 1))
		;
	err = memory_change(store, hash, value->key, on_find, &f, NULL);
	if (!err)
		*objects += f.is_new;
	return err == LARDER_ABSENT ? 0 : err;
}

/* The record at s->at, if it is one. */
static int
take_record(struct scan *s, struct salvage *salvage, struct object_value *value,
    uint64_t *objects)
{
	uint64_t front, stored;
	const char *p = look(s, OBJECT_FRONT_MIN);
	struct place self;
	int err;

	if (!p ||
	    object_front_peek(bytes_of(p, OBJECT_FRONT_MIN), &front, &stored) !=
		0 ||
	    !(p = look(s, front + stored)) ||
	    object_front_decode(bytes_of(p, front), value, &self) != 0 ||
	    object_sum(p + front, stored, value->infos[0].id) != self.sum) {
		s->at++;
		return 0;
	}
	self.container = s->file->id;
	self.offset = s->at;
	s->at += front + stored;
	err = take(s->store, salvage, s->file, value, &self, objects);
	return err;
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
	struct object_value *value = malloc(sizeof(*value));
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
	if (!value || !s.buf)
		err = LARDER_NOMEM;
	while (!err && seek_record(&s)) {
		err = take_record(&s, salvage, value, objects);
		if (!err && salvage_ending(salvage))
			err = LARDER_CLOSED;
		/* Where it cannot be written there is time. */
		while (!err && many_dirty(store) && !salvage_ending(salvage))
			if (writer_flush(store) != 0)
				poll(NULL, 0, PAUSE_MS);
	}
	file_unref(&store->files, &s.file);
	free(s.buf);
	free(value);
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
			const char *p = look(&s, OBJECT_FRONT_MIN);
			struct bytes front = {p, p ? OBJECT_FRONT_MIN : 0};
			uint64_t n, stored;

			if (object_front_peek(front, &n, &stored) == 0) {
				moved = object_front_moved(front);
				break;
			}
			s.at++;
		}
	file_unref(&store->files, &s.file);
	free(s.buf);
	return moved;
}
