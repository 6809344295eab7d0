/*
 * What the storage tests share: a temporary folder that goes, and short ways
 * to store, find and read.
 */
#ifndef TESTS_STORAGE_UTIL_H
#define TESTS_STORAGE_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <cmocka.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "larder/store.h"

struct fixture {
	char path[256];
	struct store *store;
	struct store_view *view;
	struct arena arena;
	struct store_options options;
	char reports[4096];
	pthread_mutex_t lock;
};

static inline int
rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* What du() has seen. A file that is renamed under the walk shows twice. */
struct du {
	uint64_t sum;
	size_t count;
	ino_t inodes[4096];
};

static inline struct du *
du_state(void)
{
	static struct du state;

	return &state;
}

static inline int
du_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	struct du *du = du_state();

	(void)path;
	(void)flag;
	(void)ftw;
	for (size_t i = 0; i < du->count; i++)
		if (du->inodes[i] == st->st_ino)
			return 0;
	assert_true(du->count < sizeof(du->inodes) / sizeof(du->inodes[0]));
	du->inodes[du->count++] = st->st_ino;
	du->sum += (uint64_t)st->st_blocks * 512;
	return 0;
}

static inline uint64_t
du(const char *path)
{
	du_state()->sum = du_state()->count = 0;
	nftw(path, du_one, 16, FTW_PHYS);
	return du_state()->sum;
}

static inline void
on_report(void *arg, const char *line)
{
	struct fixture *f = arg;

	pthread_mutex_lock(&f->lock);
	snprintf(f->reports, sizeof(f->reports), "%s", line);
	pthread_mutex_unlock(&f->lock);
}

static inline void
fixture_open(struct fixture *f)
{
	char why[256] = "";
	int err = store_open(&f->store, &f->options, why, sizeof(why));

	if (err)
		fail_msg("store_open: %s", why);
	assert_int_equal(store_view_open(f->store, &f->view), 0);
}

static inline void
fixture_shut(struct fixture *f)
{
	store_view_close(&f->view);
	store_close(&f->store);
}

static inline void
fixture_reopen(struct fixture *f)
{
	fixture_shut(f);
	fixture_open(f);
}

static inline struct fixture *
fixture_new(uint64_t size, uint64_t memory)
{
	const char *tmp = getenv("TMPDIR");
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->path, sizeof(f->path), "%s/larder-store-XXXXXX",
	    tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(f->path));
	pthread_mutex_init(&f->lock, NULL);
	arena_init(&f->arena, 64 << 20);
	f->options = (struct store_options){
	    f->path, size, memory, 1ull << 40, false, 0, on_report, f};
	fixture_open(f);
	return f;
}

static inline void
fixture_free(struct fixture *f)
{
	if (f->store)
		fixture_shut(f);
	arena_release(&f->arena);
	nftw(f->path, rm_one, 16, FTW_DEPTH | FTW_PHYS);
	free(f);
}

/* A seed with this bit is of a body that can be compressed. */
#define TEXT (1ull << 63)

static inline uint64_t
mixed(uint64_t seed, uint64_t i)
{
	uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u + seed;

	x ^= x >> 31;
	x *= 0xbf58476d1ce4e5b9u;
	return x ^ x >> 29;
}

/* Bytes that say where they are and to what they belong; of a text: 64 words
 * of 16 bytes in any order. */
static inline char
byte_at(uint64_t seed, uint64_t i)
{
	if (seed & TEXT)
		i = mixed(seed, i / 16) % 64 * 16 + i % 16;
	return (char)(mixed(seed & ~TEXT, i / 8) >> 8 * (i % 8));
}

static inline void
fill(char *p, size_t n, uint64_t seed, uint64_t from)
{
	for (size_t i = 0; i < n; i++)
		p[i] = byte_at(seed, from + i);
}

/* A wake that a test can wait for. */
struct bell {
	_Atomic int rung;
};

static inline void
on_wake(void *arg)
{
	((struct bell *)arg)->rung++;
}

static inline void
bell_wait(struct bell *b)
{
	for (int i = 0; i < 20000; i++) {
		if (atomic_exchange(&b->rung, 0))
			return;
		poll(NULL, 0, 1);
	}
	fail_msg("no wake came");
}

/* All of it, waiting for room as a producer does. */
static inline void
append_all(struct blob *blob, const char *p, size_t n)
{
	struct bell bell = {0};

	blob_set_producer(blob, on_wake, &bell);
	while (n) {
		size_t took = blob_append(blob, p, n);

		p += took;
		n -= took;
		if (n)
			bell_wait(&bell);
	}
	blob_set_producer(blob, NULL, NULL);
}

static inline struct blob *
create(struct fixture *f, const char *key, const char *variant,
    const char *head, uint64_t size)
{
	struct store_new new = {bytes_str(key), bytes_str(variant),
	    BYTES("meta"), bytes_str(head), 1000, size, true};
	struct blob *blob;

	assert_int_equal(store_create(f->store, &new, &blob), 0);
	return blob;
}

static inline void
put(struct fixture *f, const char *key, const char *variant, uint64_t seed,
    size_t n, bool announce)
{
	struct blob *blob =
	    create(f, key, variant, key, announce ? n : STORE_UNKNOWN);
	char *body = malloc(n + 1);

	fill(body, n, seed, 0);
	append_all(blob, body, n);
	assert_int_equal(blob_commit(blob), 0);
	blob_unref(&blob);
	free(body);
}

/* Reads [from, to) and compares; 0 or the reader's error. */
static inline int
read_blob(struct fixture *f, struct store_view *view, struct blob *blob,
    uint64_t seed, uint64_t from, uint64_t to, uint64_t *got)
{
	struct bell bell = {0};
	struct blob_reader r;
	struct blob_slice s;
	int err = blob_reader_open(&r, view, blob, from, to, on_wake, &bell);

	(void)f;
	*got = 0;
	while (!err) {
		char buf[4096];

		err = blob_reader_peek(&r, 100000, &s);
		if (err == LARDER_AGAIN) {
			bell_wait(&bell);
			err = 0;
			continue;
		}
		if (err)
			break;
		for (size_t at = 0; at < s.n; at += sizeof(buf)) {
			size_t n =
			    s.n - at < sizeof(buf) ? s.n - at : sizeof(buf);
			char want[sizeof(buf)];

			if (s.mem)
				memcpy(buf, s.mem + at, n);
			else
				assert_int_equal(
				    pread(s.fd, buf, n, s.offset + (off_t)at),
				    n);
			fill(want, n, seed, from + *got + at);
			assert_memory_equal(buf, want, n);
		}
		*got += s.n;
		blob_reader_advance(&r, s.n);
	}
	blob_reader_close(&r);
	return err == LARDER_ABSENT ? 0 : err;
}

static inline int
head_of(struct store_view *view, struct blob *blob, char *out, size_t n)
{
	struct bell bell = {0};
	struct blob_reader r;
	struct bytes head;
	int err =
	    blob_reader_open(&r, view, blob, 0, STORE_UNKNOWN, on_wake, &bell);

	if (err)
		return err;
	while ((err = blob_reader_head(&r, &head)) == LARDER_AGAIN)
		bell_wait(&bell);
	if (!err)
		snprintf(out, n, "%.*s", BYTES_FMT(head));
	blob_reader_close(&r);
	return err;
}

/* Finds it and reads all of it: 0, LARDER_ABSENT, or an error. */
static inline int
get(struct fixture *f, const char *key, const char *variant, uint64_t seed,
    uint64_t size)
{
	struct store_found found;
	struct blob *blob;
	uint64_t got;
	int err;

	arena_reset(&f->arena);
	err = store_find(f->view, bytes_str(key), &f->arena, &found);
	if (err)
		return err;
	for (unsigned i = 0; i < found.count; i++) {
		if (!bytes_eq(found.records[i].variant, bytes_str(variant)))
			continue;
		assert_int_equal(found.records[i].body_size, size);
		err = store_open_blob(f->view, &found.records[i], &blob);
		if (err)
			return err;
		err = read_blob(f, f->view, blob, seed, 0, STORE_UNKNOWN, &got);
		if (!err)
			assert_int_equal(got, size);
		blob_unref(&blob);
		store_view_turn(f->view);
		return err;
	}
	return LARDER_ABSENT;
}

/* A thread that reads one from its start. */
struct follower {
	struct fixture *f;
	struct blob *blob;
	uint64_t seed, got;
	_Atomic bool there;
	int err;
};

static inline void *
follow(void *arg)
{
	struct follower *w = arg;
	struct store_view *view;

	int err = store_view_open(w->f->store, &view);

	w->there = true;
	if (err)
		return NULL;
	w->err =
	    read_blob(w->f, view, w->blob, w->seed, 0, STORE_UNKNOWN, &w->got);
	store_view_close(&view);
	return NULL;
}

static inline uint64_t
id_of(struct fixture *f, const char *key)
{
	struct store_found found;

	arena_reset(&f->arena);
	if (store_find(f->view, bytes_str(key), &f->arena, &found))
		return 0;
	return found.records[0].id;
}

/* Nothing of it may be answered from memory any more. */
static inline void
forget(struct fixture *f)
{
	store_flush(f->store);
	store_resize(f->store, f->options.size, 0, f->options.max_object);
	store_resize(f->store, f->options.size, f->options.memory,
	    f->options.max_object);
}

#endif
