/*
 * Growing blobs: in every mode, and while the mode changes, each reader gets
 * each byte, and memory stays within the window.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "disk.h"
#include "util.h"

#define MIB	(1024u * 1024)
#define READERS 4u

static struct blob *
window(struct fixture *f)
{
	struct store_new new = {.body_size = STORE_UNKNOWN};
	struct blob *blob;

	assert_int_equal(store_create(f->store, &new, &blob), 0);
	return blob;
}

static void
test_window(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	struct blob *blob = window(f);
	struct blob_reader a, b, late;
	struct bell bell = {0}, room = {0};
	struct blob_slice s;
	char *body = malloc(MIB);
	size_t took, at = 0;

	(void)state;
	fill(body, MIB, 1, 0);
	assert_true(blob_is_window(blob));
	assert_int_equal(blob_reader_open(&a, f->view, blob, 0, STORE_UNKNOWN,
			     on_wake, &bell),
	    0);
	assert_int_equal(blob_reader_open(&b, f->view, blob, 0, STORE_UNKNOWN,
			     on_wake, &bell),
	    0);
	assert_int_equal(blob_reader_peek(&a, 100, &s), LARDER_AGAIN);
	blob_set_producer(blob, on_wake, &room);
	took = blob_append(blob, body, MIB);
	assert_int_equal(took, STORE_WINDOW);
	assert_int_equal(bell.rung, 1);
	assert_int_equal(blob_room(blob), 0);
	/* One reader passes; the other holds what it has not read. */
	for (; at < 100000; at += s.n) {
		assert_int_equal(blob_reader_peek(&a, 1000, &s), 0);
		assert_memory_equal(s.mem, body + at, s.n);
		blob_reader_advance(&a, s.n);
	}
	assert_int_equal(room.rung, 0);
	assert_int_equal(blob_reader_peek(&b, STORE_WINDOW, &s), 0);
	blob_reader_advance(&b, s.n);
	assert_int_equal(room.rung, 1);
	assert_true(blob_room(blob) > 0);
	assert_int_equal(blob_reader_open(&late, f->view, blob, 0,
			     STORE_UNKNOWN, on_wake, &bell),
	    LARDER_ABSENT);
	blob_reader_close(&b);
	assert_true(blob_room(blob) > 80000);
	blob_abort(blob, LARDER_TIMEOUT);
	for (; at < took; at += s.n) {
		assert_int_equal(blob_reader_peek(&a, 100000, &s), 0);
		assert_memory_equal(s.mem, body + at, s.n);
		blob_reader_advance(&a, s.n);
	}
	assert_int_equal(blob_reader_peek(&a, 1, &s), LARDER_TIMEOUT);
	blob_reader_close(&a);
	blob_reader_close(&a);
	blob_unref(&blob);
	free(body);
	fixture_free(f);
}

static void
test_lengths(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	struct blob *blob;
	char buf[100] = {0};

	(void)state;
	/* Too little, and too much. */
	blob = create(f, "k", "", "h", 100);
	blob_append(blob, buf, 99);
	assert_int_equal(blob_commit(blob), LARDER_INVALID);
	blob_unref(&blob);
	blob = create(f, "k", "", "h", 50);
	assert_int_equal(blob_append(blob, buf, 100), 100);
	assert_int_equal(blob_commit(blob), LARDER_INVALID);
	blob_unref(&blob);
	assert_int_equal(get(f, "k", "", 0, 100), LARDER_ABSENT);
	/* Longer than what may be stored. */
	store_resize(f->store, 64 * MIB, MIB, 1000);
	blob = create(f, "k", "", "h", 1001);
	assert_true(blob_is_window(blob));
	blob_unref(&blob);
	blob = create(f, "k", "", "h", STORE_UNKNOWN);
	assert_false(blob_is_window(blob));
	for (unsigned i = 0; i < 11; i++)
		blob_append(blob, buf, 100);
	assert_true(blob_is_window(blob));
	assert_int_equal(blob_commit(blob), 0);
	blob_unref(&blob);
	assert_int_equal(get(f, "k", "", 0, 1100), LARDER_ABSENT);
	fixture_free(f);
}

static void
run_followers(struct fixture *f, struct blob *blob, size_t n, int outcome)
{
	struct follower w[READERS];
	pthread_t threads[READERS];
	char *body = malloc(n);

	fill(body, n, 42, 0);
	for (unsigned i = 0; i < READERS; i++) {
		w[i] = (struct follower){f, blob, 42, 0, false, 1};
		pthread_create(&threads[i], NULL, follow, &w[i]);
	}
	/* All must be there before a window may move on. */
	for (unsigned i = 0; i < READERS; i++)
		while (!w[i].there)
			poll(NULL, 0, 1);
	poll(NULL, 0, getenv("LARDER_TEST_SLOW") ? 200 : 50);
	append_all(blob, body, n);
	if (outcome)
		blob_abort(blob, outcome);
	else
		assert_int_equal(blob_commit(blob), 0);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(w[i].err, outcome);
		assert_int_equal(w[i].got, n);
	}
	free(body);
}

static void
test_followers(void **state)
{
	static const size_t some[] = {20000, 300000, 9 * MIB + 5};
	struct fixture *f = fixture_new(128 * MIB, MIB);

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		size_t n = some[i % 3];
		struct blob *blob =
		    i < 6   ? create(f, "k", "", "h", i < 3 ? n : STORE_UNKNOWN)
		    : i < 9 ? create(f, "k", "", "h", STORE_UNKNOWN)
			    : window(f);

		run_followers(f, blob, n, i < 6 || i > 8 ? 0 : LARDER_CLOSED);
		blob_unref(&blob);
		if (i < 6)
			assert_int_equal(get(f, "k", "", 42, n), 0);
	}
	fixture_free(f);
}

/* ---- a crowd ----------------------------------------------------------------
 */

#define CROWD 24u

/* One of many that read what grows; some leave early. */
struct reader {
	struct fixture *f;
	struct blob *blob;
	struct bell bell;
	_Atomic uint64_t got;
	_Atomic bool there, leaves;
};

static void *
read_along(void *arg)
{
	struct reader *w = arg;
	struct store_view *view;
	struct blob_reader r;
	int err = 0;

	assert_int_equal(store_view_open(w->f->store, &view), 0);
	assert_int_equal(blob_reader_open(&r, view, w->blob, 0, STORE_UNKNOWN,
			     on_wake, &w->bell),
	    0);
	w->there = true;
	while (err != LARDER_ABSENT && !w->leaves) {
		char got[4096], want[4096];
		struct blob_slice s;

		err = blob_reader_peek(&r, sizeof(got), &s);
		if (err == LARDER_AGAIN)
			bell_wait(&w->bell);
		if (err)
			continue;
		assert_int_equal(blob_slice_copy(&s, got), 0);
		fill(want, s.n, 42, w->got);
		assert_memory_equal(got, want, s.n);
		blob_reader_advance(&r, s.n);
		w->got += s.n;
	}
	blob_reader_close(&r);
	store_view_close(&view);
	return NULL;
}

/* They have all there is, though nothing more comes. */
static void
await_all(struct reader *w, uint64_t at)
{
	for (unsigned i = 0, ms = 0; i < CROWD;) {
		if (w[i].got == at || w[i].leaves) {
			i++;
			continue;
		}
		poll(NULL, 0, 1);
		assert_true(ms++ < 20000);
	}
}

/* The others are no crowd any more, and wait for what has come last. */
static void
leave(struct reader *w)
{
	for (unsigned i = 1; i < CROWD; i += 2) {
		w[i].leaves = true;
		w[i].bell.rung++;
	}
}

static void
run_crowd(struct fixture *f, unsigned turn)
{
	const size_t n = 2 * MIB + 77;
	char *body = malloc(n), key[32];
	struct reader w[CROWD];
	pthread_t threads[CROWD];
	struct blob *blob;

	snprintf(key, sizeof(key), "crowd%u", turn);
	fill(body, n, 42, 0);
	blob = create(f, key, "", "h", turn % 2 ? n : STORE_UNKNOWN);
	for (unsigned i = 0; i < CROWD; i++) {
		w[i] = (struct reader){.f = f, .blob = blob};
		pthread_create(&threads[i], NULL, read_along, &w[i]);
		while (!w[i].there)
			poll(NULL, 0, 1);
	}
	for (size_t at = 0; at < n;) {
		size_t some = 1 + mixed(turn, at) % 100000;

		some = some < n - at ? some : n - at;
		append_all(blob, body + at, some);
		at += some;
		if (turn % 3 == 2 && at > n / 2)
			leave(w);
		if (turn % 3 == 1 && at > n / 2)
			blob_forgo(blob);
		if (some % 2 == 0)
			await_all(w, at);
	}
	await_all(w, n);
	assert_int_equal(blob_commit(blob), 0);
	for (unsigned i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	blob_unref(&blob);
	assert_int_equal(
	    get(f, key, "", 42, n), turn % 3 == 1 ? LARDER_ABSENT : 0);
	free(body);
}

static void
test_crowd(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);

	(void)state;
	for (unsigned turn = 0; turn < 6; turn++)
		run_crowd(f, turn);
	fixture_free(f);
}

/* ---- faults -----------------------------------------------------------------
 */

/* The disk fills up, or breaks, after so many writes. */
static _Atomic int writes_left;
static _Atomic int fails_with;

static int
on_fault(enum disk_op op)
{
	if (op != DISK_WRITE && op != DISK_SYNC)
		return 0;
	return writes_left-- > 0 ? 0 : fails_with;
}

static void
test_faults(void **state)
{
	static const int errors[] = {ENOSPC, EIO, EDQUOT};
	struct fixture *f = fixture_new(128 * MIB, MIB);
	struct store_stats stats;

	(void)state;
	for (int at = 0; at < 12; at++) {
		struct blob *blob =
		    create(f, "big", "", "h", at % 2 ? STORE_UNKNOWN : 4 * MIB);

		fails_with = errors[at % 3];
		writes_left = at;
		disk_fault(on_fault);
		run_followers(f, blob, 4 * MIB, 0);
		store_flush(f->store);
		disk_fault(NULL);
		blob_unref(&blob);
		/* Stored whole or not at all. */
		if (get(f, "big", "", 42, 4 * MIB) == 0)
			assert_int_equal(
			    store_remove(f->store, BYTES("big"), 0), 0);
	}
	store_stats(f->store, &stats);
	assert_true(stats.io_errors > 0);
	assert_true(stats.no_room > 0);
	put(f, "big", "", 5, 4 * MIB, true);
	put(f, "small", "", 6, 4000, true);
	fixture_reopen(f);
	assert_int_equal(get(f, "big", "", 5, 4 * MIB), 0);
	assert_int_equal(get(f, "small", "", 6, 4000), 0);
	assert_true(du(f->path) < 10 * MIB);
	fixture_free(f);
}

static void
test_small_faults(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	char key[32];

	(void)state;
	put(f, "before", "", 1, 2000, true);
	store_flush(f->store);
	fails_with = ENOSPC;
	writes_left = 0;
	disk_fault(on_fault);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		put(f, key, "", i, 3000, true);
	}
	/* Removing works on a full disk. */
	assert_int_equal(store_remove(f->store, BYTES("before"), 0), 0);
	poll(NULL, 0, 1500);
	pthread_mutex_lock(&f->lock);
	assert_non_null(strstr(f->reports, "cannot write"));
	pthread_mutex_unlock(&f->lock);
	disk_fault(NULL);
	put(f, "after", "", 2, 2000, true);
	assert_int_equal(store_flush(f->store), 0);
	fixture_reopen(f);
	assert_int_equal(get(f, "before", "", 1, 2000), LARDER_ABSENT);
	assert_int_equal(get(f, "after", "", 2, 2000), 0);
	assert_int_equal(get(f, "k1", "", 1, 3000), LARDER_ABSENT);
	fixture_free(f);
}

static void
test_ranges(void **state)
{
	static const uint64_t at[][2] = {{0, 1}, {262143, 262145},
	    {1000000, 2000000}, {3 * MIB, STORE_UNKNOWN}, {3 * MIB + 9, 10},
	    {5 * MIB, STORE_UNKNOWN}};
	struct fixture *f = fixture_new(64 * MIB, MIB);
	struct store_found found;
	struct blob *blob;
	uint64_t got;

	(void)state;
	put(f, "k", "", 9, 3 * MIB + 10, true);
	fixture_reopen(f);
	assert_int_equal(store_find(f->view, BYTES("k"), &f->arena, &found), 0);
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		uint64_t end =
		    at[i][1] > 3 * MIB + 10 ? 3 * MIB + 10 : at[i][1];

		assert_int_equal(
		    read_blob(f, f->view, blob, 9, at[i][0], at[i][1], &got),
		    0);
		assert_int_equal(got, end > at[i][0] ? end - at[i][0] : 0);
	}
	blob_unref(&blob);
	fixture_free(f);
}

/* What ends short is found as what it is, and never ends well for who was
 * promised more. */
static void
test_commit_as(void **state)
{
	static const struct {
		uint64_t announced;
		size_t n;
	} rows[] = {{9 * MIB, 3 * MIB + 5}, {9 * MIB, 70000}, {200000, 70000},
	    {STORE_UNKNOWN, 70000}, {STORE_UNKNOWN, 3 * MIB}};
	struct fixture *f = fixture_new(64 * MIB, MIB);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct blob *blob =
		    create(f, "k", "whole", "h", rows[i].announced);
		struct follower w = {f, blob, 7, 0, false, 1};
		struct store_found found;
		size_t n = rows[i].n;
		char *body = malloc(n);
		pthread_t thread;
		uint64_t got;

		pthread_create(&thread, NULL, follow, &w);
		fill(body, n, 7, 0);
		append_all(blob, body, n);
		assert_int_equal(
		    blob_commit_as(blob, BYTES("part"), BYTES("less")), 0);
		pthread_join(thread, NULL);
		assert_int_equal(w.err, LARDER_CLOSED);
		assert_int_equal(w.got, n);
		assert_int_equal(read_blob(f, f->view, blob, 7, 5, n, &got), 0);
		assert_int_equal(got, n - 5);
		assert_int_equal(blob_commit(blob), LARDER_CLOSED);
		blob_unref(&blob);
		fixture_reopen(f);
		assert_int_equal(get(f, "k", "part", 7, n), 0);
		assert_int_equal(get(f, "k", "whole", 7, n), LARDER_ABSENT);
		arena_reset(&f->arena);
		assert_int_equal(
		    store_find(f->view, BYTES("k"), &f->arena, &found), 0);
		assert_true(bytes_eq(found.records[0].meta, BYTES("less")));
		free(body);
	}
	fixture_free(f);
}

static void
test_commit_as_refused(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	struct blob *blob = create(f, "k", "", "h", 100);

	(void)state;
	assert_int_equal(
	    blob_commit_as(blob, BYTES("v"), BYTES("m")), LARDER_INVALID);
	blob_append(blob, "abc", 3);
	blob_forgo(blob);
	assert_int_equal(
	    blob_commit_as(blob, BYTES("v"), BYTES("m")), LARDER_INVALID);
	blob_abort(blob, LARDER_CLOSED);
	assert_int_equal(
	    blob_commit_as(blob, BYTES("v"), BYTES("m")), LARDER_INVALID);
	blob_unref(&blob);
	assert_int_equal(get(f, "k", "v", 0, 3), LARDER_ABSENT);
	fixture_free(f);
}

static int
forget_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	int fd = flag == FTW_F ? open(path, O_RDONLY) : -1;

	(void)st;
	(void)ftw;
	if (fd < 0)
		return 0;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	return 0;
}

/* A page cache that forgets all the time: what was read in for a reader is sent
 * out of memory, and nobody goes round and round. */
static void
test_cold(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	uint64_t size = 5 * MIB + 77, pos = 0;
	struct store_found found;
	struct bell bell = {0};
	struct blob *blob;
	struct blob_reader r;
	struct blob_slice s;
	int err = 0;

	(void)state;
	put(f, "k", "", 5, size, true);
	store_flush(f->store);
	fixture_reopen(f);
	assert_int_equal(store_find(f->view, BYTES("k"), &f->arena, &found), 0);
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	assert_int_equal(blob_reader_open(&r, f->view, blob, 0, STORE_UNKNOWN,
			     on_wake, &bell),
	    0);
	while (!err) {
		char buf[4096];
		size_t n;

		nftw(f->path, forget_one, 16, FTW_PHYS);
		err = blob_reader_peek(&r, 100000, &s);
		/* Its head, and its block. */
		for (unsigned i = 0; i < 2 && err == LARDER_AGAIN; i++) {
			bell_wait(&bell);
			nftw(f->path, forget_one, 16, FTW_PHYS);
			err = blob_reader_peek(&r, 100000, &s);
			if (!err)
				assert_non_null(s.mem);
		}
		if (err)
			break;
		n = s.n < sizeof(buf) ? s.n : sizeof(buf);
		s.n = n;
		assert_int_equal(blob_slice_copy(&s, buf), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf[i], byte_at(5, pos + i));
		blob_reader_advance(&r, n);
		pos += n;
	}
	assert_int_equal(err, LARDER_ABSENT);
	assert_int_equal(pos, size);
	blob_reader_close(&r);
	blob_unref(&blob);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_window),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_followers),
	    cmocka_unit_test(test_crowd),
	    cmocka_unit_test(test_faults),
	    cmocka_unit_test(test_small_faults),
	    cmocka_unit_test(test_ranges),
	    cmocka_unit_test(test_commit_as),
	    cmocka_unit_test(test_commit_as_refused),
	    cmocka_unit_test(test_cold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
