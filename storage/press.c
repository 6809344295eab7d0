/*
 * Compression behind the clients' back.
 *
 * Large bodies are written raw, so that nobody waits. One that has rested is
 * sampled, and where that gains, written anew as independent zstd frames:
 *
 *   find ──> sample ──> reserve ──> frames ──> durable, in tmp/ ──> publish
 *     │         │          │           │                              │
 *   later     never      later    never, or dropped       gone meanwhile:
 * dropped
 *
 * publish() changes the object as any other change does: the writer commits
 * its new place, and with it the old file is condemned. So a crash leaves one
 * of the two files in tmp/, named or not, as with every other file.
 *
 * What always holds
 *   - Every block is checked before it is pressed.
 *   - Nothing is published but for the same object in the same place.
 *   - Room is reserved before it is written, out of what is free just then.
 *   - Readers of the raw file have it until they are done.
 *
 * Two threads: one looks and publishes; the other one reads, presses and
 * writes at idle priority. That one takes no lock, for whoever waited for it
 * would wait until the machine is idle.
 */
#include "press.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "larder/clock.h"

/* Containers that are looked at in one go, and the pause behind it. */
#define BATCH	 64u
#define PAUSE_MS 20
/* Between two walks. */
#define WALK_MAX 15000
/* More uses than that, and it stays raw: it goes out by sendfile(). */
#define USES	 3u
#define SAMPLES	 4u
/* So much may wait to be written before the presser lets others go first. */
#define LOADED	 (4u * 1024 * 1024)
#define STEP	 (1024u * 1024)
/* Bodies that are not worth a look any more: a bit an id, round and round. An
 * id that has an older one's bit only stays raw. */
#define MARKS	 (1u << 23)

struct task {
	struct hash hash;
	struct object *object; /* a copy: its key, id and place */
	struct file *from, *to;
	struct object_trailer trailer;
	struct place place; /* of the new file */
	char *table;
	uint64_t expected; /* bytes that the frames will take, by the sample */
	uint64_t reserved;
	bool gains;
	int err;
};

struct presser {
	struct store *store;
	unsigned after; /* seconds */
	pthread_t thread, idle;
	pthread_mutex_t lock; /* for `wake` alone */
	pthread_cond_t wake;
	_Atomic bool ending;
	/* The looking thread's. */
	uint64_t at; /* the container to look at next */
	uint8_t *marks;
	/* Handed from one to the other by the semaphores; NULL: it ends. */
	sem_t go, done;
	void (*work)(struct presser *p, struct task *t);
	struct task *task;
	/* The idle thread's. */
	struct frame_coder coder;
	char *raw, *pressed;
};

/* ---- new files, until they are committed --------------------------------- */

struct pressed *
pressed_ref(struct pressed *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void
pressed_unref(struct pressed **pp)
{
	struct pressed *p = *pp;

	*pp = NULL;
	if (!p ||
	    atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (!p->kept)
		file_drop(&p->store->files, p->id, p->size);
	file_unref(&p->store->files, &p->file);
	free(p);
}

/* ---- at idle priority ---------------------------------------------------- */

/* Lets those go first who write what clients wait for. False: it is ending. */
static bool
breathe(struct presser *p)
{
	while (p->store->pending > LOADED && !p->ending)
		poll(NULL, 0, PAUSE_MS);
	return !p->ending;
}

static void
sample(struct presser *p, struct task *t)
{
	struct file *f = t->from;
	uint64_t n = f->blocks < SAMPLES ? f->blocks : SAMPLES;
	uint64_t raw = 0, pressed = 0;

	for (uint64_t i = 0; i < n; i++) {
		uint64_t block = n > 1 ? i * (f->blocks - 1) / (n - 1) : 0;
		uint64_t size = file_block_size(f, block), put;

		if (!breathe(p)) {
			t->err = LARDER_CLOSED;
			return;
		}
		t->err = file_check_block(f, block, t->object->info.id, p->raw);
		if (t->err)
			return;
		put = frame_wrap(&p->coder, p->pressed,
		    frame_bound(OBJECT_BLOCK_BIG), p->raw, size);
		raw += size;
		pressed += put ? put : size;
	}
	t->gains = frame_worth(pressed, raw);
	/* The samples may have been better than the rest. */
	t->expected = (uint64_t)((double)f->raw * (double)pressed /
				 (double)(raw ? raw : 1)) +
		      STEP / 4;
}

/* What a file of so many bytes of frames takes; see spill.c. */
static uint64_t
need(const struct task *t, uint64_t stored)
{
	uint64_t table = t->from->blocks * object_entry_size(ENCODING_FRAMES);

	return disk_round(stored + table + OBJECT_TRAILER + stored / 1024) +
	       DISK_BLOCK;
}

static int
reserve(struct store *store, struct task *t, uint64_t stored)
{
	uint64_t wanted = need(t, stored), more;

	if (wanted <= t->reserved)
		return 0;
	more = wanted - t->reserved;
	more = more < STEP ? STEP : more;
	if (!budget_take(&store->budget, more))
		return LARDER_NOSPACE;
	t->reserved += more;
	return 0;
}

static int
press_block(struct presser *p, struct task *t, uint64_t block)
{
	struct object_trailer *trailer = &t->trailer;
	uint64_t size = file_block_size(t->from, block), id = trailer->id;
	int err = file_check_block(t->from, block, id, p->raw);
	struct iovec iov = {p->pressed, 0};

	if (err)
		return err;
	iov.iov_len = frame_wrap(
	    &p->coder, p->pressed, frame_bound(OBJECT_BLOCK_BIG), p->raw, size);
	if (!iov.iov_len)
		return LARDER_NOMEM;
	object_frame_encode(
	    t->table + block * object_entry_size(ENCODING_FRAMES),
	    (uint32_t)iov.iov_len, object_sum(p->pressed, iov.iov_len, id));
	err = reserve(p->store, t, trailer->stored + iov.iov_len);
	if (!err) {
		uint64_t n = iov.iov_len;

		err = disk_write(t->to->fd, &iov, 1, trailer->stored);
		trailer->stored += n;
	}
	return err;
}

/* Its end, and what it really takes. */
static int
seal(struct store *store, struct task *t)
{
	struct object_trailer *trailer = &t->trailer;
	size_t n = trailer->blocks * object_entry_size(ENCODING_FRAMES);
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
	t->place = (struct place){PLACE_BLOB, ENCODING_FRAMES, t->to->id, 0, 0,
	    trailer->stored, trailer->raw, object_get64(end + 56)};
	return 0;
}

static void
press(struct presser *p, struct task *t)
{
	struct file *f = t->from;

	t->trailer = (struct object_trailer){ENCODING_FRAMES, f->block,
	    t->object->info.id, f->raw, 0, f->blocks, 0};
	for (uint64_t i = 0; i < f->blocks && !t->err; i++) {
		if (!breathe(p)) {
			t->err = LARDER_CLOSED;
			return;
		}
		t->err = press_block(p, t, i);
		if (i % 32 == 31)
			disk_sync_start(t->to->fd, 0, t->trailer.stored);
	}
	t->gains = frame_worth(t->trailer.stored, f->raw);
	if (!t->err && t->gains)
		t->err = seal(p->store, t);
}

/* Only when nothing else wants the processor, and the disk. */
static void *
run_idle(void *arg)
{
	struct presser *p = arg;
	struct sched_param none = {0};

	/* Where one of these is refused it is only less polite. */
	(void)pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
	/* IOPRIO_WHO_PROCESS, this thread; IOPRIO_CLASS_IDLE. */
	(void)syscall(SYS_ioprio_set, 1, 0, 3 << 13);
	for (;;) {
		while (sem_wait(&p->go) != 0)
			;
		if (!p->work)
			break;
		p->work(p, p->task);
		sem_post(&p->done);
	}
	frame_release(&p->coder);
	return NULL;
}

static void
at_idle(struct presser *p, void (*work)(struct presser *p, struct task *t),
    struct task *t)
{
	p->work = work;
	p->task = t;
	sem_post(&p->go);
	while (sem_wait(&p->done) != 0)
		;
}

/* ---- one body ------------------------------------------------------------ */

static void
mark(struct presser *p, uint64_t id)
{
	p->marks[id % MARKS / 8] |= (uint8_t)(1u << id % 8);
}

static bool
marked(const struct presser *p, uint64_t id)
{
	return p->marks[id % MARKS / 8] & 1u << id % 8;
}

struct publishing {
	struct object *object; /* as it was found */
	struct place place;
	struct pressed *pressed;
};

static struct object *
replaced(const struct publishing *w, const struct object *o)
{
	struct object *copy = object_copy(o);

	if (!copy)
		return NULL;
	copy->info.body = w->place;
	copy->pressed = pressed_ref(w->pressed);
	return copy;
}

static int
on_pressed(void *arg, const struct image *old, struct image **out)
{
	const struct publishing *w = arg;
	const struct object_info *was = &w->object->info;

	for (unsigned i = 0; i < old->count; i++) {
		const struct object_info *info = &old->objects[i]->info;
		struct object *now;

		if (info->id != was->id || info->body.kind != PLACE_BLOB ||
		    info->body.container != was->body.container)
			continue;
		now = replaced(w, old->objects[i]);
		*out = now ? image_with(old, NULL, NULL, NULL) : NULL;
		if (!*out) {
			object_unref(&now);
			return LARDER_NOMEM;
		}
		object_unref(&(*out)->objects[i]);
		(*out)->objects[i] = now;
		return 1;
	}
	return 0;
}

/* Takes the new file and its room over. */
static void
publish(struct presser *p, struct task *t)
{
	struct store *store = p->store;
	struct pressed *made = calloc(1, sizeof(*made));
	struct publishing w = {t->object, t->place, made};

	if (!made)
		return;
	*made = (struct pressed){1, false, store, t->to, t->to->id, t->reserved,
	    t->object->info.body.container};
	t->to = NULL;
	t->reserved = 0;
	if (file_adopt_table(made->file, &t->trailer, &t->table, true) == 0)
		memory_change(
		    store, t->hash, t->object->key, on_pressed, &w, NULL);
	/* Where it was gone meanwhile this drops the file. */
	pressed_unref(&made);
}

/* Room for it, and its file. */
static int
begin(struct presser *p, struct task *t)
{
	struct store *store = p->store;
	uint64_t id;
	int err;

	t->table =
	    malloc(t->from->blocks * object_entry_size(ENCODING_FRAMES) + 1);
	if (!t->table)
		return LARDER_NOMEM;
	err = reserve(store, t, t->expected);
	if (err)
		return err;
	id = atomic_fetch_add(&store->next_id, 1);
	return file_create(&store->files, id, PLACE_BLOB, &t->to);
}

static void
clear(struct presser *p, struct task *t)
{
	struct store *store = p->store;

	if (t->to)
		file_drop(&store->files, t->to->id, t->reserved);
	else if (t->reserved)
		budget_give(&store->budget, t->reserved);
	file_unref(&store->files, &t->to);
	file_unref(&store->files, &t->from);
	object_unref(&t->object);
	free(t->table);
}

static void
press_one(struct presser *p, struct task *t)
{
	struct store *store = p->store;
	const struct place *body = &t->object->info.body;

	t->err = file_open(&store->files, body, t->object->info.id, &t->from);
	/* Who reads it now has an open file, and may come again. */
	if (!t->err && !file_shared(&store->files, t->from)) {
		at_idle(p, sample, t);
		if (!t->err && !t->gains)
			mark(p, body->container);
		if (!t->err && t->gains) {
			t->err = begin(p, t);
			if (!t->err)
				at_idle(p, press, t);
			if (!t->err && !t->gains)
				mark(p, body->container);
			if (!t->err && t->gains)
				publish(p, t);
		}
	}
	if (t->err == LARDER_DAMAGED)
		store_drop_damaged(store, t->hash, t->object);
	clear(p, t);
}

/* ---- looking for one ----------------------------------------------------- */

/* Is it time? Says also what need not be looked at again. */
static bool
rests(struct presser *p, struct hash hash, const struct object_info *info)
{
	int64_t now = clock_wall_ms() / 1000;

	if (info->body.encoding != ENCODING_RAW) {
		mark(p, info->body.container);
		return false;
	}
	/* Nor is it worth a sample where there would be no room. */
	return now - info->stored_at >= p->after &&
	       budget_usable(&p->store->budget) >= info->body.raw / 8 &&
	       sketch_count(p->store->sketch, hash.lo) <= USES;
}

static bool
take(struct presser *p, struct catalog_reader *r, struct hash hash, uint64_t id,
    struct task *t)
{
	struct object_value value;
	struct bytes bytes;

	if (catalog_get(r, hash, &bytes) != 0 ||
	    object_value_decode(bytes, &value) != 0)
		return false;
	for (unsigned i = 0; i < value.count; i++) {
		const struct object_info *info = &value.infos[i];

		if (info->body.kind != PLACE_BLOB ||
		    info->body.container != id || !rests(p, hash, info))
			continue;
		*t = (struct task){.hash = hash};
		t->object = object_new(value.key, info);
		return t->object != NULL;
	}
	return false;
}

enum found { FOUND, NOT_HERE, WALKED };

/* FOUND: in *t; NOT_HERE: go on; WALKED: that was the last one. */
static enum found
find(struct presser *p, struct catalog_reader *r, struct task *t)
{
	struct hash hashes[CATALOG_BATCH];
	struct object_container c;
	unsigned count;

	for (unsigned i = 0; i < BATCH; i++) {
		uint64_t id = p->at;

		if (catalog_next_container(r, &id) != 0)
			return WALKED;
		p->at = id + 1;
		if (marked(p, id) || catalog_get_container(r, id, &c) != 0)
			continue;
		if (c.kind != PLACE_BLOB) {
			mark(p, id);
			continue;
		}
		if (catalog_members(r, id, NULL, hashes, &count) != 0)
			continue;
		for (unsigned k = 0; k < count; k++)
			if (take(p, r, hashes[k], id, t))
				return FOUND;
	}
	return NOT_HERE;
}

static void
wait_ms(struct presser *p, int64_t ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ms % 1000 * 1000000;
	t.tv_sec += ms / 1000 + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	pthread_mutex_lock(&p->lock);
	while (
	    !p->ending && pthread_cond_timedwait(&p->wake, &p->lock, &t) == 0)
		;
	pthread_mutex_unlock(&p->lock);
}

static void *
run(void *arg)
{
	struct presser *p = arg;
	int64_t rest = p->after * 250ll + PAUSE_MS;

	rest = rest < WALK_MAX ? rest : WALK_MAX;
	while (!p->ending) {
		struct catalog_reader *r;
		struct task task;
		enum found found = WALKED;

		if (store_borrow(p->store, &r) == 0) {
			found = find(p, r, &task);
			store_return(p->store, &r);
		}
		if (found == FOUND) {
			press_one(p, &task);
		} else if (found == NOT_HERE) {
			wait_ms(p, PAUSE_MS);
		} else {
			p->at = 0;
			wait_ms(p, rest);
		}
	}
	return NULL;
}

/* ---- life ---------------------------------------------------------------- */

static void
release(struct presser *p)
{
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->wake);
	sem_destroy(&p->go);
	sem_destroy(&p->done);
	free(p->marks);
	free(p->raw);
	free(p->pressed);
	free(p);
}

static void
end_idle(struct presser *p)
{
	p->work = NULL;
	sem_post(&p->go);
	pthread_join(p->idle, NULL);
}

int
press_start(struct store *store, unsigned after)
{
	struct presser *p = calloc(1, sizeof(*p));
	pthread_condattr_t attr;

	if (!p)
		return LARDER_NOMEM;
	p->store = store;
	p->after = after;
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &attr);
	pthread_condattr_destroy(&attr);
	sem_init(&p->go, 0, 0);
	sem_init(&p->done, 0, 0);
	p->marks = calloc(1, MARKS / 8);
	p->raw = malloc(OBJECT_BLOCK_BIG);
	p->pressed = malloc(frame_bound(OBJECT_BLOCK_BIG));
	if (!p->marks || !p->raw || !p->pressed ||
	    pthread_create(&p->idle, NULL, run_idle, p) != 0) {
		release(p);
		return LARDER_NOMEM;
	}
	if (pthread_create(&p->thread, NULL, run, p) != 0) {
		end_idle(p);
		release(p);
		return LARDER_NOMEM;
	}
	store->presser = p;
	return 0;
}

void
press_stop(struct store *store)
{
	struct presser *p = store->presser;

	store->presser = NULL;
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	end_idle(p);
	release(p);
}
