/*
 * Packs: small objects, one behind the other.
 *
 * What always holds
 *   - Only the writer appends: newcomers to one pack, what moved out of
 *     another to a second. Records gather in its buffer and go out in few
 *     writes; the group's commit comes after they are durable.
 *   - What goes past the page cache is whole blocks behind the end of the file,
 *     which nobody has read: so the cache has none of them.
 *   - What lies behind the end that the catalog knows is nothing: it is
 *     written over, or cut off when the store is opened.
 *   - A pack is made in tmp/, and settled after the commit that names it.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "record.h"

/* What was summed a moment ago the kernel copies out of the processor's cache;
 * out of memory that takes several times as long. */
#define WRITE	    (256u * 1024)
#define BUFFER	    (DISK_BLOCK + WRITE + 8 * STORE_SMALL)
/* Where so much waits to be written newcomers go past the page cache: that
 * costs more than all else that the writer does, for what the tier in memory
 * has anyway. Else it is a second tier that costs nothing; and for what stays
 * when its pack goes, or where there is no tier, the only one. */
#define DIRECT_FROM (2u * 1024 * 1024)

static uint64_t *
total_of(struct writer *w, enum policy_queue queue)
{
	return queue == POLICY_MAIN ? &w->totals.main_pack : &w->totals.pack;
}

static int
start(struct store *store, enum policy_queue queue)
{
	struct writer *w = &store->writer;
	struct pack *p = &w->packs[queue];
	uint64_t id = atomic_fetch_add(&store->next_id, 1);
	int err = file_create(&store->files, id, PLACE_PACK, &p->file);

	if (err)
		return err;
	p->end = p->sure = 0;
	p->taken = 0;
	*total_of(w, queue) = id;
	return 0;
}

int
pack_resume(struct store *store, enum policy_queue queue)
{
	struct writer *w = &store->writer;
	struct pack *p = &w->packs[queue];
	uint64_t *id = total_of(w, queue);
	struct place place = {.kind = PLACE_PACK, .container = *id};
	struct object_container c;
	int err;

	if (!*id)
		return 0;
	err = catalog_get_container(w->reader, *id, &c);
	catalog_reader_rest(w->reader);
	if (!err)
		err = file_open(&store->files, &place, 0, &p->file);
	/* What lies behind is of a group that was not committed. */
	if (!err)
		err = disk_truncate(p->file->fd, c.end);
	if (err) {
		/* Without it a new one is begun. */
		file_unref(&store->files, &p->file);
		*id = 0;
		return err == LARDER_ABSENT || err == LARDER_DAMAGED ? 0 : err;
	}
	p->end = p->sure = c.end;
	p->taken = disk_round(c.end);
	return 0;
}

static int
put(struct pack *p, const char *from, size_t n, uint64_t offset)
{
	struct iovec iov = {(void *)(uintptr_t)from, n};

	p->dirty = true;
	return disk_write(p->file->fd, &iov, 1, offset);
}

/* Without a descriptor of its own from now on. */
static void
no_direct(struct pack *p)
{
	if (p->direct_asked)
		disk_close(p->direct);
	p->direct = -1;
}

static int
put_direct(struct store *store, struct pack *p, const char *from, size_t n,
    uint64_t offset)
{
	int err;

	if (!p->direct_asked)
		p->direct = file_open_direct(&store->files, p->file);
	p->direct_asked = true;
	if (p->direct < 0)
		return put(p, from, n, offset);
	p->dirty = true;
	err = disk_write_direct(p->direct, from, n, offset);
	if (err != LARDER_INVALID)
		return err;
	no_direct(p);
	return put(p, from, n, offset);
}

/* The whole blocks of what is gathered; what is behind them waits for more. */
static int
write_blocks(struct store *store, struct pack *p)
{
	const char *from = p->buffer + p->filled - p->gathered;
	uint64_t at = p->end - p->gathered;
	size_t begun = (size_t)(disk_round(at) - at);
	size_t rest = p->end % DISK_BLOCK;
	int err = begun ? put(p, from, begun, at) : 0;

	if (!err)
		err = put_direct(store, p, from + begun,
		    p->gathered - begun - rest, at + begun);
	if (err)
		return err;
	memmove(p->buffer, p->buffer + p->filled - rest, rest);
	p->filled = p->gathered = rest;
	return 0;
}

static int
write_all(struct pack *p)
{
	int err = put(p, p->buffer + p->filled - p->gathered, p->gathered,
	    p->end - p->gathered);

	if (!err)
		p->gathered = 0;
	return err;
}

/* last: there is nothing that what is left could wait for. */
static int
write_out(struct store *store, struct pack *p, bool last)
{
	struct writer *w = &store->writer;
	uint64_t wanted = disk_round(p->end);
	bool direct;

	if (!p->gathered)
		return 0;
	if (wanted > p->taken) {
		uint64_t n = wanted - p->taken;
		uint64_t granted = n < w->grant ? n : w->grant;

		/* Eviction has no part in what the group was granted. */
		granted = w->evicting ? 0 : granted;
		n -= granted;
		if (!(w->evicting ? budget_take_last(&store->budget, n)
				  : budget_take(&store->budget, n)))
			return LARDER_NOSPACE;
		w->grant -= granted;
		p->taken = wanted;
	}
	direct = p == &w->packs[POLICY_SMALL] && store->memory.size &&
		 writer_waiting(store) >= DIRECT_FROM;
	return direct && !last ? write_blocks(store, p) : write_all(p);
}

static int
flush(struct store *store, struct pack *p)
{
	int err = write_out(store, p, true);

	if (!err && p->dirty) {
		writer_pause(store);
		err = disk_sync(p->file->fd);
		p->dirty = err != 0;
	}
	return err;
}

int
pack_flush(struct store *store)
{
	struct pack *packs = store->writer.packs;
	int err = flush(store, &packs[POLICY_SMALL]);

	return err ? err : flush(store, &packs[POLICY_MAIN]);
}

void
pack_forget(struct store *store)
{
	for (unsigned i = 0; i < POLICY_QUEUES; i++) {
		struct pack *p = &store->writer.packs[i];
		uint64_t taken = disk_round(p->sure);

		p->end = p->sure;
		p->gathered = 0;
		/* Also where a write was made in part. */
		if (!p->file || p->taken == taken ||
		    disk_truncate(p->file->fd, p->sure) != 0)
			continue;
		budget_give(&store->budget, p->taken - taken);
		p->taken = taken;
	}
}

void
pack_keep(struct store *store)
{
	for (unsigned i = 0; i < POLICY_QUEUES; i++)
		store->writer.packs[i].sure = store->writer.packs[i].end;
}

static void
leave(struct store *store, struct pack *p)
{
	no_direct(p);
	p->direct_asked = p->dirty = false;
	file_unref(&store->files, &p->file);
}

void
pack_leave(struct store *store)
{
	for (unsigned i = 0; i < POLICY_QUEUES; i++)
		leave(store, &store->writer.packs[i]);
}

void
pack_retire(struct store *store, enum policy_queue queue)
{
	struct pack *p = &store->writer.packs[queue];

	check(!p->gathered);
	leave(store, p);
	*total_of(&store->writer, queue) = 0;
}

bool
pack_is_open(const struct store *store, uint64_t id)
{
	for (unsigned i = 0; i < POLICY_QUEUES; i++) {
		const struct pack *p = &store->writer.packs[i];

		if (p->file && p->file->id == id)
			return true;
	}
	return false;
}

void
pack_release(struct store *store)
{
	for (unsigned i = 0; i < POLICY_QUEUES; i++) {
		struct pack *p = &store->writer.packs[i];

		leave(store, p);
		free(p->buffer);
		memset(p, 0, sizeof(*p));
	}
}

/* Where the next record of n bytes goes. */
static int
make_room(struct store *store, enum policy_queue queue, size_t n)
{
	struct pack *p = &store->writer.packs[queue];
	int err = 0;

	if (!p->buffer && !(p->buffer = aligned_alloc(DISK_BLOCK, BUFFER)))
		return LARDER_NOMEM;
	if (p->file && p->end + n > budget_pack(&store->budget) && p->end) {
		err = flush(store, p);
		if (!err)
			pack_retire(store, queue);
	}
	if (!err && !p->file)
		err = start(store, queue);
	if (!p->gathered)
		p->filled = p->end % DISK_BLOCK;
	check(p->filled + n <= BUFFER);
	return err;
}

int
pack_append(struct store *store, enum policy_queue queue, struct record *r,
    const struct record *was, struct place *place)
{
	struct pack *p = &store->writer.packs[queue];
	int err = make_room(store, queue, record_bound(r));
	size_t n;
	char *to;

	if (err)
		return err;
	to = p->buffer + p->filled;
	r->moved = queue == POLICY_MAIN;
	n = record_encode_front(&store->writer.coder, r, was, to);
	if (!n)
		return LARDER_NOMEM;
	if (r->payload.n)
		memcpy(to + n, r->payload.p, r->payload.n);
	n += r->payload.n;
	place->kind = PLACE_PACK;
	place->container = p->file->id;
	place->offset = p->end;
	place->stored = n;
	p->filled += n;
	p->gathered += n;
	p->end += n;
	return p->gathered < WRITE ? 0 : write_out(store, p, false);
}
