/*
 * Whose bytes lie in a container: what eviction asks.
 *
 * The catalog has no more of it than where a pack's records begin: to have
 * every key there once more would take a fifth of the catalog. The record
 * itself says whose it is, and when a pack's turn has come, most of it is read
 * anyway.
 *
 * What always holds: what a record says is believed only where the catalog, by
 * that key, says the same of the place. One that was damaged is passed by: its
 * key's turn comes when it is asked for and not found.
 */
#include "owners.h"

#include <stdlib.h>

#include "internal.h"
#include "record.h"

static bool
is_at(const struct place *p, uint64_t container, uint64_t offset)
{
	return p->kind == PLACE_PACK && p->container == container &&
	       p->offset == offset;
}

/* Does the catalog know something of this key there? */
static int
confirm(struct store *store, struct catalog_reader *r, struct bytes key,
    uint64_t container, uint64_t offset)
{
	struct object_value value;
	struct bytes bytes;
	int err = catalog_get(r, store_hash(store, key), key, &bytes);

	if (!err)
		err = object_value_decode(bytes, key, &value);
	for (unsigned i = 0; !err && i < value.count; i++)
		if (is_at(&value.infos[i].head, container, offset) ||
		    is_at(&value.infos[i].body, container, offset))
			return 0;
	return err ? err : LARDER_ABSENT;
}

/* Room for n bytes behind what there is; the keys are told by where they begin
 * until the batch is whole. */
static bool
make_room(struct owners *o, size_t n)
{
	size_t size = o->size ? o->size : 64u * 1024;
	char *room;

	while (size < o->filled + n)
		size *= 2;
	if (size == o->size)
		return true;
	room = realloc(o->room, size);
	if (!room)
		return false;
	o->room = room;
	o->size = size;
	return true;
}

/* The key in a record's front, behind what is filled. */
static int
read_key(
    struct owners *o, struct file *file, uint64_t offset, struct bytes *key)
{
	uint64_t front, stored;
	struct record r;
	char *at;
	int err;

	if (!make_room(o, RECORD_MIN))
		return LARDER_NOMEM;
	err = disk_read(file->fd, o->room + o->filled, RECORD_MIN, offset);
	if (!err)
		err = record_peek(
		    bytes_of(o->room + o->filled, RECORD_MIN), &front, &stored);
	if (err)
		return err;
	if (!make_room(o, front))
		return LARDER_NOMEM;
	at = o->room + o->filled;
	err = disk_read(file->fd, at, front, offset);
	if (!err)
		err = record_decode_front(&o->coder, bytes_of(at, front), &r);
	if (!err)
		*key = r.plain.key;
	return err;
}

static int
add_record(struct store *store, struct catalog_reader *r, struct owners *o,
    struct file *file, struct bytes member)
{
	struct bytes key;
	uint64_t offset;
	int err = catalog_offset(member, &offset);

	if (!err)
		err = read_key(o, file, offset, &key);
	if (!err)
		err = confirm(store, r, key, file->id, offset);
	if (err)
		return err;
	/* It is longer than the front that it was pressed in, perhaps. */
	if (!make_room(o, key.n))
		return LARDER_NOMEM;
	memmove(o->room + o->filled, key.p, key.n);
	o->keys[o->count++] = bytes_of(NULL, key.n);
	o->filled += key.n;
	return 0;
}

static int
of_pack(struct store *store, struct catalog_reader *r, uint64_t container,
    struct owners *o)
{
	const struct place place = {.kind = PLACE_PACK, .container = container};
	struct file *file;
	const char *at;
	int err = file_open(&store->files, &place, 0, &file);

	if (err)
		/* All that it had is lost. */
		return err == LARDER_ABSENT ? 0 : err;
	for (unsigned i = 0; i < o->walk.count && !err; i++) {
		writer_pause(store);
		err = add_record(store, r, o, file, o->walk.keys[i]);
		if (err == LARDER_ABSENT || err == LARDER_DAMAGED)
			err = 0;
	}
	file_unref(&store->files, &file);
	at = o->room;
	for (unsigned i = 0; i < o->count; i++) {
		o->keys[i].p = at;
		at += o->keys[i].n;
	}
	return err;
}

int
owners_next(struct store *store, struct catalog_reader *r, uint64_t container,
    struct owners *o)
{
	struct object_container c;
	int err = catalog_get_container(r, container, &c);

	o->count = 0;
	o->filled = 0;
	while (!err && !o->count) {
		err = catalog_members(r, container, &o->walk);
		if (err || !o->walk.count)
			break;
		if (c.kind == PLACE_PACK) {
			err = of_pack(store, r, container, o);
			continue;
		}
		o->count = o->walk.count;
		memcpy(o->keys, o->walk.keys, sizeof(o->keys));
	}
	return err == LARDER_ABSENT ? 0 : err;
}

void
owners_release(struct owners *o)
{
	catalog_walk_release(&o->walk);
	free(o->room);
	frame_release(&o->coder);
	memset(o, 0, sizeof(*o));
}
