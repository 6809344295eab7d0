/*
 * The part of pressing that takes time: reading, compressing and writing, in a
 * thread at idle priority.
 *
 * What always holds
 *   - Every block is checked before it is pressed.
 *   - Room is reserved before it is written, out of what is free just then.
 *   - The thread takes no lock: whoever waited for it would wait until the
 *     machine is idle. What it works on is handed to it and back by semaphores.
 */
#include "squeeze.h"

#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"
#include "larder/thread.h"

#define SAMPLES	 4u
#define PAUSE_MS 20
#define STEP	 (1024u * 1024)
/* So much may wait to be written before the presser lets others go first. */
#define LOADED	 (4u * 1024 * 1024)

struct squeezer {
	struct store *store;
	pthread_t thread;
	_Atomic bool ending;
	sem_t go, done;
	/* Between the two semaphores the thread's; NULL: it ends. */
	void (*work)(struct squeezer *q, struct press_task *t);
	struct press_task *task;
	/* The thread's own. */
	struct frame_coder coder;
	char *raw, *pressed;
};

/* Lets those go first who write what clients wait for. False: it is ending. */
static bool
breathe(struct squeezer *q)
{
	while (q->store->pending > LOADED && !q->ending)
		poll(NULL, 0, PAUSE_MS);
	return !q->ending;
}

static void
sample(struct squeezer *q, struct press_task *t)
{
	struct file *f = t->from;
	uint64_t n = f->blocks < SAMPLES ? f->blocks : SAMPLES;
	uint64_t raw = 0, pressed = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t block = n > 1 ? i * (f->blocks - 1) / (n - 1) : 0;
		uint64_t size = file_block_size(f, block), put;

		if (!breathe(q)) {
			t->err = LARDER_CLOSED;
			return;
		}
		t->err = file_check_block(f, block, t->object->info.id, q->raw);
		if (t->err)
			return;
		put = frame_wrap(&q->coder, q->pressed,
		    frame_bound(OBJECT_BLOCK_BIG), q->raw, size);
		raw += size;
		pressed += put ? put : size;
	}
	t->gains = frame_worth(pressed, raw);
	/* The samples may have been better than the rest. */
	t->expected = (uint64_t)((double)f->raw * (double)pressed /
				 (double)(raw ? raw : 1)) +
		      STEP / 4;
}

/* What a file of so many bytes takes; see spill.c. */
static uint64_t
need(const struct press_task *t, uint64_t stored)
{
	uint64_t table = t->from->blocks * object_entry_size(t->encoding);

	return disk_round(stored + table + OBJECT_TRAILER + stored / 1024) +
	       DISK_BLOCK;
}

int
squeeze_reserve(struct store *store, struct press_task *t, uint64_t stored)
{
	uint64_t wanted = need(t, stored), more;

	if (wanted <= t->reserved)
		return 0;
	more = wanted - t->reserved;
	/* What was expected, and if that was too little, step by step. */
	if (t->reserved && more < STEP / 4)
		more = STEP / 4;
	if (!budget_take(&store->budget, more))
		return LARDER_NOSPACE;
	t->reserved += more;
	return 0;
}

static int
press_block(struct squeezer *q, struct press_task *t, uint64_t block)
{
	struct object_trailer *trailer = &t->trailer;
	uint64_t size = file_block_size(t->from, block), id = trailer->id;
	int err = file_check_block(t->from, block, id, q->raw);
	struct iovec iov = {q->pressed, 0};

	if (err)
		return err;
	iov.iov_len = frame_wrap(
	    &q->coder, q->pressed, frame_bound(OBJECT_BLOCK_BIG), q->raw, size);
	if (!iov.iov_len)
		return LARDER_NOMEM;
	object_frame_encode(
	    t->table + block * object_entry_size(ENCODING_FRAMES),
	    (uint32_t)iov.iov_len, object_sum(q->pressed, iov.iov_len, id));
	err = squeeze_reserve(q->store, t, trailer->stored + iov.iov_len);
	if (!err) {
		uint64_t n = iov.iov_len;

		err = disk_write(t->to->fd, &iov, 1, trailer->stored);
		trailer->stored += n;
	}
	return err;
}

/* Its end, and what it really takes. */
static int
seal(struct store *store, struct press_task *t)
{
	struct object_trailer *trailer = &t->trailer;
	size_t n = trailer->blocks * object_entry_size(t->encoding);
	char end[OBJECT_TRAILER];
	struct iovec iov[2] = {{t->table, n}, {end, sizeof(end)}};
	uint64_t size, allocated;
	int err;

	trailer->table_sum = object_sum(t->table, n, trailer->id);
	object_trailer_encode(trailer, end);
	err = disk_write(t->to->fd, iov, 2, trailer->stored);
	if (!err)
		err = disk_sync(t->to->fd);
	if (!err)
		err = disk_size(t->to->fd, &size, &allocated);
	if (err)
		return err;
	allocated = disk_round(allocated > size ? allocated : size);
	if (allocated < t->reserved)
		budget_give(&store->budget, t->reserved - allocated);
	else
		budget_force(&store->budget, allocated - t->reserved);
	t->reserved = allocated;
	t->place = (struct place){PLACE_BLOB, t->encoding, t->to->id, 0,
	    trailer->stored, trailer->raw, object_get64(end + 56)};
	return 0;
}

static int
undo_block(struct squeezer *q, struct press_task *t, uint64_t block)
{
	struct object_trailer *trailer = &t->trailer;
	struct file *f = t->from;
	uint64_t size = file_block_size(f, block), id = trailer->id;
	size_t n = file_frame_size(f, block);
	struct iovec iov = {q->raw, size};
	int err = n <= frame_bound(OBJECT_BLOCK_BIG) ? 0 : LARDER_DAMAGED;

	if (!err)
		err = file_check_frame(f, block, id, q->pressed);
	if (!err)
		err = frame_unpress(&q->coder, q->raw, size, q->pressed, n);
	if (err)
		return err;
	object_put64(t->table + block * object_entry_size(ENCODING_RAW),
	    object_sum(q->raw, size, id));
	err = disk_write(t->to->fd, &iov, 1, trailer->stored);
	trailer->stored += size;
	return err;
}

/* All blocks, one by one. */
static void
each_block(struct squeezer *q, struct press_task *t,
    int (*one)(struct squeezer *q, struct press_task *t, uint64_t block))
{
	struct file *f = t->from;

	t->trailer = (struct object_trailer){
	    t->encoding, f->block, t->object->info.id, f->raw, 0, f->blocks, 0};
	for (uint64_t i = 0; i < f->blocks && !t->err; i++) {
		if (!breathe(q)) {
			t->err = LARDER_CLOSED;
			return;
		}
		t->err = one(q, t, i);
		if (i % 32 == 31)
			disk_sync_start(t->to->fd, 0, t->trailer.stored);
	}
}

static void
press(struct squeezer *q, struct press_task *t)
{
	each_block(q, t, press_block);
	t->gains = frame_worth(t->trailer.stored, t->from->raw);
	if (!t->err && t->gains)
		t->err = seal(q->store, t);
}

static void
undo(struct squeezer *q, struct press_task *t)
{
	each_block(q, t, undo_block);
	t->gains = true;
	if (!t->err)
		t->err = seal(q->store, t);
}

/* Only when nothing else wants the processor, and the disk. */
static void *
run_idle(void *arg)
{
	struct squeezer *q = arg;
	struct sched_param none = {0};

	/* Where one of these is refused it is only less polite. */
	(void)pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
	/* IOPRIO_WHO_PROCESS, this thread; IOPRIO_CLASS_IDLE. */
	(void)syscall(SYS_ioprio_set, 1, 0, 3 << 13);
	for (;;) {
		while (sem_wait(&q->go) != 0)
			;
		if (!q->work)
			break;
		q->work(q, q->task);
		sem_post(&q->done);
	}
	frame_release(&q->coder);
	return NULL;
}

static void
at_idle(struct squeezer *q,
    void (*work)(struct squeezer *q, struct press_task *t),
    struct press_task *t)
{
	q->work = work;
	q->task = t;
	sem_post(&q->go);
	while (sem_wait(&q->done) != 0)
		;
}

void
squeeze_sample(struct squeezer *q, struct press_task *t)
{
	at_idle(q, sample, t);
}

void
squeeze_press(struct squeezer *q, struct press_task *t)
{
	at_idle(q, press, t);
}

void
squeeze_undo(struct squeezer *q, struct press_task *t)
{
	at_idle(q, undo, t);
}

/* ---- life ---------------------------------------------------------------- */

static void
release(struct squeezer *q)
{
	sem_destroy(&q->go);
	sem_destroy(&q->done);
	free(q->raw);
	free(q->pressed);
	free(q);
}

struct squeezer *
squeeze_start(struct store *store)
{
	struct squeezer *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->store = store;
	sem_init(&q->go, 0, 0);
	sem_init(&q->done, 0, 0);
	q->raw = malloc(OBJECT_BLOCK_BIG);
	q->pressed = malloc(frame_bound(OBJECT_BLOCK_BIG));
	if (q->raw && q->pressed &&
	    thread_start(&q->thread, "squeezer", run_idle, q) == 0)
		return q;
	release(q);
	return NULL;
}

void
squeeze_hurry(struct squeezer *q)
{
	q->ending = true;
}

void
squeeze_stop(struct squeezer **p)
{
	struct squeezer *q = *p;

	*p = NULL;
	if (!q)
		return;
	q->work = NULL;
	sem_post(&q->go);
	pthread_join(q->thread, NULL);
	release(q);
}
