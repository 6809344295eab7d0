/*
 * Readers of a blob: at their own pace, from wherever its bytes are.
 *
 * What always holds: a slice is valid until its reader advances, for the chunk
 * that it points into is held; a wake is owed for each time that one was told
 * to come again, and no more.
 */
#include "blob.h"

#include "internal.h"

/* Behind what a growing blob has written last, bytes. */
#define FRESH (1024u * 1024)

int
blob_reader_open(struct blob_reader *r, struct store_view *view,
    struct blob *blob, uint64_t from, uint64_t to, store_wake_fn *wake,
    void *arg)
{
	struct blob *b = blob_base(blob);
	int err = 0;

	memset(r, 0, sizeof(*r));
	list_init(&r->node);
	r->view = view;
	r->pos = from;
	r->end = to;
	r->wake = wake;
	r->wake_arg = arg;
	if (blob->base || blob_ready(b))
		r->head = chunk_ref(blob->head);
	if (!blob_ready(b)) {
		pthread_mutex_lock(&b->lock);
		if (!r->head && b->head)
			r->head = chunk_ref(b->head);
		if (b->window && !b->flat && from < b->tail_start)
			err = LARDER_ABSENT;
		else
			list_append(&b->readers, &r->node);
		r->listed = !err;
		b->reader_count += r->listed;
		pthread_mutex_unlock(&b->lock);
	}
	if (err) {
		struct chunk *head = r->head;

		chunk_unref(&head);
		r->head = NULL;
		return err;
	}
	r->blob = blob_ref(b);
	return 0;
}

static void
let_go(void **held)
{
	struct chunk *c = *held;

	chunk_unref(&c);
	*held = NULL;
}

void
blob_reader_range(struct blob_reader *r, uint64_t from, uint64_t to)
{
	struct blob *b = r->blob;

	pthread_mutex_lock(&b->lock);
	r->pos = from;
	r->end = to;
	r->given = r->want = 0;
	let_go(&r->held);
	if (b->window)
		blob_trim(b);
	pthread_mutex_unlock(&b->lock);
}

void
blob_reader_close(struct blob_reader *r)
{
	struct blob *b = r->blob;
	bool crowded;

	if (!b)
		return;
	if (r->listed) {
		pthread_mutex_lock(&b->lock);
		list_remove(&r->node);
		crowded = blob_has_crowd(b);
		b->reader_count--;
		if (crowded && !blob_has_crowd(b))
			blob_wake_readers(b);
		if (b->window)
			blob_trim(b);
		pthread_mutex_unlock(&b->lock);
	}
	let_go(&r->held);
	let_go(&r->head);
	if (atomic_load_explicit(&b->decoded, memory_order_relaxed) &&
	    atomic_exchange(&b->decoded, false))
		resting_decoded(b->store, b->hash, b->object);
	blob_unref(&r->blob);
}

int
blob_reader_head(struct blob_reader *r, struct bytes *out)
{
	struct blob *b = r->blob;
	struct chunk *head;
	int err = 0;

	if (!r->head) {
		pthread_mutex_lock(&b->lock);
		if (b->state == BLOB_COLD)
			err = load_cold(b, &r->view->coder);
		if (err == LARDER_AGAIN)
			r->waiting = true;
		else if (!err && b->head)
			r->head = chunk_ref(b->head);
		else if (!err)
			err = b->broken ? b->broken : LARDER_IO;
		pthread_mutex_unlock(&b->lock);
	}
	if (err)
		return err;
	head = r->head;
	*out = bytes_of(head->data, head->size);
	return 0;
}

static bool
is_checked(const struct blob *b, uint64_t block)
{
	return !b->file->table || file_verified(b->file, block);
}

/* How many bytes from there on can be sent as they are: whole blocks, as long
 * as they were checked and are in the page cache, for fewer and longer calls.
 * 0: not even the first one, of which n are wanted. */
static uint64_t
sendable(const struct blob *b, uint64_t pos, uint64_t n, uint64_t max)
{
	uint32_t size = b->file->table ? b->file->block : b->block;
	uint64_t end = b->written - pos < max ? b->written : pos + max;
	uint64_t to = pos + n, warm;

	while (to < end && is_checked(b, to / size))
		to = end - to < size ? end : to + size;
	warm = file_warm(b->file, pos, to - pos);
	if (warm < n)
		return 0;
	return pos + warm == to ? warm : n + (warm - n) / size * size;
}

/* Just written by this process, and so in the page cache: nobody need ask. */
static bool
is_fresh(const struct blob *b, uint64_t pos)
{
	return !b->file->table && b->state == BLOB_GROWING &&
	       b->written - pos <= FRESH;
}

/* In the file: checked, and in the page cache, or a thread sees to it. */
static int
peek_file(
    struct blob *b, struct blob_reader *r, size_t max, struct blob_slice *out)
{
	uint32_t size = b->file->table ? b->file->block : b->block;
	uint64_t block = r->pos / size, left = size - r->pos % size;
	struct chunk *frame = r->held;

	if (left > b->written - r->pos)
		left = b->written - r->pos;
	out->n = left < max ? left : max;
	/* Read in for this reader: out of memory, for in the page cache it may
	 * be cold again by now, and who sends it would wait for the disk. */
	if (frame && r->given == block + 1) {
		out->mem = frame->data + r->pos % size;
		return 0;
	}
	if (b->file->encoding == ENCODING_FRAMES || !is_checked(b, block))
		return load_block(r, block);
	/* One that is not whole was read in, and is not held. */
	if (is_fresh(b, r->pos))
		out->n = b->written - r->pos < max ? b->written - r->pos : max;
	else if (r->given != block + 1)
		out->n = sendable(b, r->pos, out->n, max);
	if (!out->n)
		return load_block(r, block);
	out->mem = NULL;
	out->fd = b->file->fd;
	out->offset = (int64_t)r->pos;
	return 0;
}

/* Of a body that grows it is not all there is that is there for its readers. */
static uint64_t
available(struct blob *b)
{
	if (!blob_has_crowd(b))
		return b->size;
	if (b->size > b->written)
		blob_kick(b);
	return b->written;
}

static int
peek_locked(
    struct blob *b, struct blob_reader *r, size_t max, struct blob_slice *out)
{
	uint64_t end, at;
	int err = b->state == BLOB_COLD ? load_cold(b, &r->view->coder) : 0;

	if (!err)
		err = r->cut ? LARDER_TIMEOUT : b->broken;
	if (err)
		return err;
	end = available(b);
	end = r->end < end ? r->end : end;
	if (r->pos >= end) {
		if (r->pos >= r->end)
			return LARDER_ABSENT;
		if (b->state == BLOB_WHOLE)
			return b->cut ? LARDER_CLOSED : LARDER_ABSENT;
		return b->state == BLOB_ABORTED ? b->error : LARDER_AGAIN;
	}
	out->n = end - r->pos < max ? end - r->pos : max;
	if (b->flat) {
		out->mem = b->flat->data + b->flat_from + r->pos;
		return 0;
	}
	if (b->file && r->pos < b->written)
		return peek_file(b, r, out->n, out);
	check(r->pos >= b->tail_start);
	at = r->pos - b->tail_start;
	let_go(&r->held);
	r->given = 0;
	r->held = chunk_ref(b->tail[at / BLOB_CHUNK]);
	out->mem = b->tail[at / BLOB_CHUNK]->data + at % BLOB_CHUNK;
	if (out->n > BLOB_CHUNK - at % BLOB_CHUNK)
		out->n = BLOB_CHUNK - at % BLOB_CHUNK;
	return 0;
}

int
blob_reader_peek(struct blob_reader *r, size_t max, struct blob_slice *out)
{
	struct blob *b = r->blob;
	int err;

	*out = (struct blob_slice){NULL, -1, 0, 0};
	if (blob_ready(b)) {
		uint64_t end = r->end < b->size ? r->end : b->size;

		if (r->pos >= end)
			return r->pos < r->end && b->cut ? LARDER_CLOSED
							 : LARDER_ABSENT;
		out->n = end - r->pos < max ? end - r->pos : max;
		out->mem = b->flat->data + b->flat_from + r->pos;
		return 0;
	}
	pthread_mutex_lock(&b->lock);
	err = peek_locked(b, r, max, out);
	if (err == LARDER_AGAIN)
		r->waiting = true;
	pthread_mutex_unlock(&b->lock);
	return err;
}

int
blob_slice_copy(const struct blob_slice *slice, char *to)
{
	if (!slice->mem)
		return disk_read(
		    slice->fd, to, slice->n, (uint64_t)slice->offset);
	memcpy(to, slice->mem, slice->n);
	return 0;
}

/* Is what it holds the block that it reads on in? */
static bool
holds_block(const struct blob_reader *r)
{
	const struct blob *b = r->blob;

	return b->file && b->file->table &&
	       r->pos / b->file->block + 1 == r->given;
}

void
blob_reader_advance(struct blob_reader *r, size_t n)
{
	struct blob *b = r->blob;

	if (!r->listed) {
		r->pos += n;
		return;
	}
	pthread_mutex_lock(&b->lock);
	r->pos += n;
	if (!holds_block(r))
		let_go(&r->held);
	if (b->window)
		blob_trim(b);
	pthread_mutex_unlock(&b->lock);
}
