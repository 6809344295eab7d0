/*
 * What is stored, on its way back into memory: in the caller where it is in
 * the page cache and small, else in a thread that may wait for the disk.
 *
 * What always holds: nothing is handed on before its checksum was compared. A
 * place may be old: the object was moved, or removed and its bytes given back,
 * after somebody looked it up. So bytes that do not fit are damage only if the
 * object still stands where they were read; else the new place is tried.
 */
#include <stdlib.h>

#include "internal.h"
#include "record.h"

/* What is decoded at once by whoever wants it. */
#define INLINE_MAX (64u * 1024)
#define TRIES	   3

struct loaded {
	struct chunk *head, *flat;
	struct file *file;
};

struct load_job {
	struct job job;
	struct blob *blob; /* one reference */
	struct file *file; /* one reference; NULL: all of a cold one */
	uint64_t block, n; /* n: bytes that it covers */
	size_t size;	   /* bytes of a whole one */
	bool table;	   /* the file is whole */
};

/* ---- places -------------------------------------------------------------- */

/* All of a pack's record. */
static int
read_record(struct store *store, const struct place *place, uint64_t id,
    bool warm, char *to)
{
	struct file *file = NULL;
	int err = 0;

	if (!warm)
		err = file_open(&store->files, place, id, &file);
	else if (!(file = file_known(&store->files, place->container)) ||
		 !file_fits(file, place))
		err = LARDER_AGAIN;
	if (!err)
		err = warm ? disk_read_warm(
				 file->fd, to, place->stored, place->offset)
			   : disk_read(
				 file->fd, to, place->stored, place->offset);
	file_unref(&store->files, &file);
	return err;
}

/* What is in one: of a head and a body those that are asked for. */
static int
take_out(struct frame_coder *coder, const struct object_info *info,
    struct bytes record, struct chunk **stored, struct chunk **head,
    struct chunk **body)
{
	struct record r;
	int err = record_decode(coder, record, &r);

	if (!err && !record_holds(&r, info, head != NULL, body != NULL))
		err = LARDER_DAMAGED;
	if (!err && head && !(*head = chunk_copy(r.plain.head)))
		err = LARDER_NOMEM;
	if (err || !body)
		return err;
	/* Where it is as it was it stays where it was read to. */
	if (r.plain.info.body.encoding == ENCODING_RAW && *stored) {
		*body = *stored;
		*stored = NULL;
		return 0;
	}
	*body = chunk_new(info->body_size);
	if (!*body)
		return LARDER_NOMEM;
	if (r.plain.info.body.encoding != ENCODING_RAW)
		return record_body(coder, &r, (*body)->data);
	if (r.payload.n)
		memcpy((*body)->data, r.payload.p, r.payload.n);
	return 0;
}

/* NULL: it is not wanted. */
static int
read_place(struct store *store, const struct place *place,
    const struct object_info *info, struct frame_coder *coder, bool warm,
    struct chunk **head, struct chunk **body)
{
	struct chunk *stored = NULL;
	char *to = NULL;
	int err;

	/* What will be decoded, or thrown away, lies in the coder's room. */
	if (body && info->body.encoding == ENCODING_RAW)
		stored = chunk_new(place->stored);
	else if (frame_reserve(&coder->stored, place->stored))
		to = coder->stored.p;
	to = stored ? stored->data : to;
	err = to ? read_record(store, place, info->id, warm, to) : LARDER_NOMEM;
	if (!err)
		err = take_out(coder, info, bytes_of(to, place->stored),
		    &stored, head, body);
	chunk_unref(&stored);
	return err;
}

static void
release(struct store *store, struct loaded *l)
{
	chunk_unref(&l->head);
	chunk_unref(&l->flat);
	file_unref(&store->files, &l->file);
}

/* All that a cold blob lacks. */
static int
fetch(struct blob *b, const struct place *head, const struct place *body,
    struct frame_coder *coder, bool warm, struct loaded *l)
{
	struct store *store = b->store;
	const struct object_info *info = &b->object->info;
	bool whole = head->kind == PLACE_NONE && !b->head;
	int err = 0;

	if (body->kind == PLACE_PACK)
		err = read_place(store, body, info, coder, warm,
		    whole ? &l->head : NULL, &l->flat);
	else if (!warm)
		err = file_open(&store->files, body, info->id, &l->file);
	else if (!(l->file = file_known(&store->files, body->container)) ||
		 !file_fits(l->file, body))
		err = LARDER_AGAIN;
	if (err || b->head || head->kind != PLACE_PACK)
		return err;
	return read_place(store, head, info, coder, warm, &l->head, NULL);
}

/* The lock is held. */
static void
install(struct blob *b, struct loaded *l)
{
	if (!b->head) {
		b->head = l->head;
		l->head = NULL;
	}
	if (l->flat) {
		b->decoded = b->place.encoding != ENCODING_RAW;
		b->flat = l->flat;
		b->flat_from = l->flat->size - b->size;
		l->flat = NULL;
	} else {
		b->file = l->file;
		b->written = b->size;
		l->file = NULL;
	}
	b->state = BLOB_WHOLE;
	if (b->flat)
		atomic_store_explicit(&b->ready, true, memory_order_release);
}

/* ---- in a thread --------------------------------------------------------- */

struct moved {
	struct blob *blob;
	struct place head, body;
	bool moved;    /* it lies elsewhere now */
	bool detached; /* the object let go of the blob */
};

/* Where the object lies now; a broken blob is not offered to anybody else. */
static int
on_where(void *arg, struct object *o)
{
	struct moved *m = arg;

	m->moved = o->info.body.kind != m->body.kind ||
		   o->info.body.container != m->body.container ||
		   o->info.body.offset != m->body.offset ||
		   o->info.head.container != m->head.container ||
		   o->info.head.offset != m->head.offset;
	m->body = o->info.body;
	m->head = o->info.head;
	return 0;
}

static int
on_detach(void *arg, struct object *o)
{
	struct moved *m = arg;

	if (o->blob != m->blob)
		return 0;
	o->blob = NULL;
	m->detached = true;
	return 0;
}

static int
fetch_cold(struct blob *b, struct frame_coder *coder, struct loaded *l)
{
	const struct object *o = b->object;
	struct moved m = {b, b->head_place, b->place, false, false};
	int err = LARDER_DAMAGED, found;

	for (unsigned i = 0; i < TRIES; i++) {
		err = fetch(b, &m.head, &m.body, coder, false, l);
		if (err != LARDER_DAMAGED && err != LARDER_ABSENT)
			return err;
		release(b->store, l);
		found = memory_visit(
		    b->store, b->hash, o->key, o->info.id, on_where, &m);
		if (found || m.body.kind == PLACE_NONE)
			return LARDER_DAMAGED;
		if (!m.moved) {
			store_drop_damaged(b->store, b->hash, o);
			return LARDER_DAMAGED;
		}
	}
	return LARDER_DAMAGED;
}

static void
run_cold(struct blob *b, struct frame_coder *coder)
{
	const struct object *o = b->object;
	struct moved m = {b, b->head_place, b->place, false, false};
	struct loaded l = {NULL, NULL, NULL};
	struct blob *detached = b;
	int err = fetch_cold(b, coder, &l);

	if (err)
		memory_visit(
		    b->store, b->hash, o->key, o->info.id, on_detach, &m);
	if (m.detached)
		blob_unref(&detached);
	pthread_mutex_lock(&b->lock);
	b->busy = false;
	if (err) {
		b->state = BLOB_ABORTED;
		b->broken = err;
	} else {
		install(b, &l);
	}
	blob_wake_readers(b);
	pthread_mutex_unlock(&b->lock);
	release(b->store, &l);
}

/* Bytes of a file that are not under a table yet: only to have them read. */
static int
warm_up(struct load_job *j, struct chunk *to)
{
	return disk_read(j->file->fd, to->data, j->n, j->block * to->size);
}

static int
read_frame(struct file *f, uint64_t block, uint64_t id,
    struct frame_coder *coder, struct chunk *to)
{
	size_t n = file_frame_size(f, block);
	struct chunk *stored;
	int err;

	/* A frame that gained nothing would have been left out. */
	if (n > frame_bound(f->block))
		return LARDER_DAMAGED;
	stored = chunk_new(n);
	if (!stored)
		return LARDER_NOMEM;
	err = file_check_frame(f, block, id, stored->data);
	if (!err)
		err = frame_unpress(coder, to->data, file_block_size(f, block),
		    stored->data, n);
	chunk_unref(&stored);
	return err;
}

static void
hand_over(struct blob *b, uint64_t block, struct chunk *frame)
{
	list_each (node, &b->readers) {
		struct blob_reader *r =
		    container_of(node, struct blob_reader, node);
		struct chunk *old = r->held;

		if (r->want != block + 1)
			continue;
		r->want = 0;
		r->given = block + 1;
		/* Nothing else is taken for the block's bytes. */
		chunk_unref(&old);
		r->held = frame ? chunk_ref(frame) : NULL;
	}
}

static void
run_block(struct load_job *j, struct frame_coder *coder)
{
	struct blob *b = j->blob;
	bool frames = j->table && j->file->encoding == ENCODING_FRAMES;
	struct chunk *to = chunk_new(j->size);
	int err = LARDER_NOMEM;

	if (to && frames)
		err = read_frame(
		    j->file, j->block, b->object->info.id, coder, to);
	else if (to && j->table)
		err = file_check_block(
		    j->file, j->block, b->object->info.id, to->data);
	else if (to)
		err = warm_up(j, to);
	if (err == LARDER_DAMAGED)
		store_drop_damaged(b->store, b->hash, b->object);
	if (!err && frames)
		resting_note(b->store, b->hash, j->file->id);
	pthread_mutex_lock(&b->lock);
	if (err)
		b->broken = err;
	if (!err)
		hand_over(b, j->block, j->table ? to : NULL);
	blob_wake_readers(b);
	pthread_mutex_unlock(&b->lock);
	chunk_unref(&to);
}

static void
on_job(struct job *job, struct frame_coder *coder)
{
	struct load_job *j = container_of(job, struct load_job, job);
	struct store *store = j->blob->store;

	if (j->file)
		run_block(j, coder);
	else
		run_cold(j->blob, coder);
	file_unref(&store->files, &j->file);
	blob_unref(&j->blob);
	free(j);
}

/* NULL: all of a cold one. The lock is held. */
static int
queue(struct blob *b, struct file *file, uint64_t block, uint64_t n)
{
	struct load_job *j = calloc(1, sizeof(*j));

	if (!j)
		return LARDER_NOMEM;
	j->job.run = on_job;
	list_init(&j->job.node);
	j->blob = blob_ref(b);
	if (file) {
		j->file = file_ref(&b->store->files, file);
		j->table = file->table != NULL;
		j->size = j->table ? file->block : b->block;
	}
	j->block = block;
	j->n = n;
	pool_add(&b->store->readers, &j->job);
	return LARDER_AGAIN;
}

/* ---- for reader.c -------------------------------------------------------- */

int
load_cold(struct blob *b, struct frame_coder *coder)
{
	struct loaded l = {NULL, NULL, NULL};
	int err = LARDER_AGAIN;

	if (b->busy)
		return LARDER_AGAIN;
	if (b->place.kind == PLACE_BLOB || b->place.raw <= INLINE_MAX)
		err = fetch(b, &b->head_place, &b->place, coder, true, &l);
	if (!err) {
		install(b, &l);
		blob_wake_readers(b);
	} else if (queue(b, NULL, 0, 0) == LARDER_AGAIN) {
		/* Whatever was wrong: the thread looks closer. */
		b->busy = true;
		err = LARDER_AGAIN;
	}
	release(b->store, &l);
	return err;
}

int
load_block(struct blob_reader *r, uint64_t block)
{
	struct blob *b = r->blob;
	uint64_t size = b->file->table ? b->file->block : b->block;
	uint64_t n = b->written - block * size;
	bool under_way = false;
	int err = LARDER_AGAIN;

	list_each (node, &b->readers)
		under_way |=
		    container_of(node, struct blob_reader, node)->want ==
		    block + 1;
	if (!under_way)
		err = queue(b, b->file, block, n < size ? n : size);
	if (err == LARDER_AGAIN)
		r->want = block + 1;
	return err;
}

/* ---- for scrub.c --------------------------------------------------------- */

static int
verify_blob(struct store *store, const struct object_info *info,
    struct frame_coder *coder)
{
	struct chunk *to = NULL;
	struct file *file;
	int err = file_open(&store->files, &info->body, info->id, &file);

	if (!err && !(to = chunk_new(file->block)))
		err = LARDER_NOMEM;
	for (uint64_t i = 0; !err && i < file->blocks; i++)
		err = file->encoding == ENCODING_FRAMES
			  ? read_frame(file, i, info->id, coder, to)
			  : file_check_block(file, i, info->id, to->data);
	chunk_unref(&to);
	file_unref(&store->files, &file);
	return err;
}

int
load_verify(struct store *store, const struct object_info *info,
    struct frame_coder *coder, uint64_t *n)
{
	const struct place *places[] = {&info->head, &info->body};
	bool whole = info->head.kind == PLACE_NONE;
	int err = 0;

	*n = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(places) && !err; i++) {
		struct chunk *head = NULL, *body = NULL;

		*n += object_place_size(places[i]);
		if (places[i]->kind == PLACE_PACK)
			err = read_place(store, places[i], info, coder, false,
			    i == 0 || whole ? &head : NULL,
			    i == 1 ? &body : NULL);
		else if (places[i]->kind == PLACE_BLOB)
			err = verify_blob(store, info, coder);
		chunk_unref(&head);
		chunk_unref(&body);
	}
	return err;
}
