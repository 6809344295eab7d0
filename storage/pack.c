/*
 * Packs: small objects, one behind the other.
 *
 * What always holds
 *   - Only the writer appends. Records gather in its buffer and go out in one
 *     write a group; the group's commit comes after they are durable.
 *   - What lies behind the end that the catalog knows is nothing: it is
 *     written over, or cut off when the store is opened.
 *   - A pack is made in tmp/, and settled after the commit that names it.
 */
#include <stdlib.h>

#include "internal.h"

#define BUFFER (1024u * 1024 + 8 * STORE_SMALL)

static int
start(struct store *store)
{
	struct writer *w = &store->writer;
	uint64_t id = atomic_fetch_add(&store->next_id, 1);
	int err = file_create(&store->files, id, PLACE_PACK, &w->pack);

	if (err)
		return err;
	w->pack_end = 0;
	w->pack_taken = 0;
	w->totals.pack = id;
	return 0;
}

static int
write_out(struct store *store)
{
	struct writer *w = &store->writer;
	struct iovec iov = {w->buffer, w->filled};
	uint64_t wanted = disk_round(w->pack_end);
	int err;

	if (!w->filled)
		return 0;
	if (wanted > w->pack_taken) {
		uint64_t n = wanted - w->pack_taken;
		uint64_t granted = n < w->grant ? n : w->grant;

		/* Eviction has no part in what the group was granted. */
		granted = w->evicting ? 0 : granted;
		n -= granted;
		if (!(w->evicting ? budget_take_last(&store->budget, n)
				  : budget_take(&store->budget, n)))
			return LARDER_NOSPACE;
		w->grant -= granted;
		w->pack_taken = wanted;
	}
	err = disk_write(w->pack->fd, &iov, 1, w->pack_end - w->filled);
	if (err)
		return err;
	w->filled = 0;
	w->pack_dirty = true;
	return 0;
}

int
pack_flush(struct store *store)
{
	struct writer *w = &store->writer;
	int err = write_out(store);

	if (!err && w->pack_dirty) {
		err = disk_sync(w->pack->fd);
		w->pack_dirty = err != 0;
	}
	return err;
}

void
pack_forget(struct store *store)
{
	struct writer *w = &store->writer;

	w->pack_end -= w->filled;
	w->filled = 0;
}

void
pack_retire(struct store *store)
{
	struct writer *w = &store->writer;

	check(!w->filled);
	file_unref(&store->files, &w->pack);
	w->totals.pack = 0;
}

/* Where the next record of n bytes goes. */
static int
make_room(struct store *store, size_t n)
{
	struct writer *w = &store->writer;
	int err = 0;

	if (!w->buffer && !(w->buffer = malloc(BUFFER)))
		return LARDER_NOMEM;
	check(n <= BUFFER);
	if (w->pack && w->pack_end + n > budget_pack(&store->budget) &&
	    w->pack_end) {
		err = pack_flush(store);
		if (!err)
			pack_retire(store);
	} else if (w->filled + n > BUFFER) {
		err = write_out(store);
	}
	if (!err && !w->pack)
		err = start(store);
	return err;
}

int
pack_append(struct store *store, struct object_value *value,
    struct place *place, const char *payload)
{
	struct writer *w = &store->writer;
	size_t bound = OBJECT_FRONT_MIN + object_value_bound(value);
	int err = make_room(store, bound + place->stored);
	char *to;

	if (err)
		return err;
	to = w->buffer + w->filled;
	place->kind = PLACE_PACK;
	place->container = w->pack->id;
	place->offset = w->pack_end;
	place->sum = object_sum(payload, place->stored, value->infos[0].id);
	place->front = object_front_encode(value, place, to);
	if (place->stored)
		memcpy(to + place->front, payload, place->stored);
	w->filled += place->front + place->stored;
	w->pack_end += place->front + place->stored;
	return 0;
}
