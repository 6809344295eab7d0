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
#include "members.h"

#include <stdlib.h>

#include "internal.h"

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
make_room(struct members *m, size_t n)
{
	size_t size = m->size ? m->size : 64u * 1024;
	char *room;

	while (size < m->filled + n)
		size *= 2;
	if (size == m->size)
		return true;
	room = realloc(m->room, size);
	if (!room)
		return false;
	m->room = room;
	m->size = size;
	return true;
}

/* The key in a record's front, behind what is filled. */
static int
read_key(
    struct members *m, struct file *file, uint64_t offset, struct bytes *key)
{
	struct object_value value;
	uint64_t front, stored;
	struct place self;
	char *at;
	int err;

	if (!make_room(m, OBJECT_FRONT_MIN))
		return LARDER_NOMEM;
	err =
	    disk_read(file->fd, m->room + m->filled, OBJECT_FRONT_MIN, offset);
	if (!err)
		err = object_front_peek(
		    bytes_of(m->room + m->filled, OBJECT_FRONT_MIN), &front,
		    &stored);
	if (err)
		return err;
	if (!make_room(m, front))
		return LARDER_NOMEM;
	at = m->room + m->filled;
	err = disk_read(file->fd, at, front, offset);
	if (!err)
		err = object_front_decode(bytes_of(at, front), &value, &self);
	if (!err)
		*key = value.key;
	return err;
}

static int
add_record(struct store *store, struct catalog_reader *r, struct members *m,
    struct file *file, struct bytes member)
{
	struct bytes key;
	uint64_t offset;
	int err = catalog_offset(member, &offset);

	if (!err)
		err = read_key(m, file, offset, &key);
	if (!err)
		err = confirm(store, r, key, file->id, offset);
	if (err)
		return err;
	memmove(m->room + m->filled, key.p, key.n);
	m->keys[m->count++] = bytes_of(NULL, key.n);
	m->filled += key.n;
	return 0;
}

static int
of_pack(struct store *store, struct catalog_reader *r, uint64_t container,
    struct members *m)
{
	const struct place place = {.kind = PLACE_PACK, .container = container};
	struct file *file;
	const char *at;
	int err = file_open(&store->files, &place, 0, &file);

	if (err)
		/* All that it had is lost. */
		return err == LARDER_ABSENT ? 0 : err;
	for (unsigned i = 0; i < m->walk.count && !err; i++) {
		err = add_record(store, r, m, file, m->walk.keys[i]);
		if (err == LARDER_ABSENT || err == LARDER_DAMAGED)
			err = 0;
	}
	file_unref(&store->files, &file);
	at = m->room;
	for (unsigned i = 0; i < m->count; i++) {
		m->keys[i].p = at;
		at += m->keys[i].n;
	}
	return err;
}

int
members_next(struct store *store, struct catalog_reader *r, uint64_t container,
    struct members *m)
{
	struct object_container c;
	int err = catalog_get_container(r, container, &c);

	m->count = 0;
	m->filled = 0;
	while (!err && !m->count) {
		err = catalog_members(r, container, &m->walk);
		if (err || !m->walk.count)
			break;
		if (c.kind == PLACE_PACK) {
			err = of_pack(store, r, container, m);
			continue;
		}
		m->count = m->walk.count;
		memcpy(m->keys, m->walk.keys, sizeof(m->keys));
	}
	return err == LARDER_ABSENT ? 0 : err;
}

void
members_release(struct members *m)
{
	catalog_walk_release(&m->walk);
	free(m->room);
	memset(m, 0, sizeof(*m));
}
