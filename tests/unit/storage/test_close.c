/*
 * Files that nothing names any more: their room comes back once nobody reads
 * them, and whoever is the last to leave does not wait for the disk.
 */
#include "disk.h"
#include "larder/clock.h"
#include "util.h"

#define MIB (1024u * 1024)

/* What a thread that must not wait for the disk does with it. */
static pthread_t hasty;
static _Atomic unsigned by_hasty, unlinked, forgotten;

static int
on_disk(enum disk_op op)
{
	by_hasty += pthread_equal(pthread_self(), hasty) != 0;
	unlinked += op == DISK_UNLINK;
	forgotten += op == DISK_FORGET;
	return 0;
}

static void
watch_disk(void)
{
	hasty = pthread_self();
	by_hasty = unlinked = forgotten = 0;
	disk_fault(on_disk);
}

/* Until no more than that is used. */
static bool
shrinks_to(struct fixture *f, uint64_t most)
{
	int64_t until = clock_mono_ms() + 10000;
	struct store_stats stats;

	do {
		poll(NULL, 0, 1);
		store_stats(f->store, &stats);
	} while (stats.disk_used > most && clock_mono_ms() < until);
	return stats.disk_used <= most;
}

/* A reader keeps what it reads, though the store has dropped it. */
static void
test_pinned(void **state)
{
	struct fixture *f = fixture_new(32 * MIB, 0);
	struct store_found found;
	struct store_stats before, after;
	struct blob *blob;
	struct blob_reader r;
	struct blob_slice s;
	struct bell bell = {0};
	uint64_t got;

	(void)state;
	put(f, "big", "", 7, 8 * MIB, true);
	store_flush(f->store);
	assert_int_equal(
	    store_find(f->view, BYTES("big"), &f->arena, &found), 0);
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	assert_int_equal(
	    blob_reader_open(&r, f->view, blob, 0, 10, on_wake, &bell), 0);
	while (blob_reader_peek(&r, 1, &s) == LARDER_AGAIN)
		bell_wait(&bell);
	store_stats(f->store, &before);
	assert_int_equal(store_remove(f->store, BYTES("big"), 0), 0);
	store_flush(f->store);
	store_stats(f->store, &after);
	/* Its blocks are taken until it is closed. */
	assert_true(after.disk_used + MIB > before.disk_used);
	assert_int_equal(
	    read_blob(f, f->view, blob, 7, 0, STORE_UNKNOWN, &got), 0);
	assert_int_equal(got, 8 * MIB);
	/* It is not the reader, who may be a worker, that closes it. */
	watch_disk();
	blob_reader_close(&r);
	blob_unref(&blob);
	assert_true(shrinks_to(f, before.disk_used - 7 * MIB));
	disk_fault(NULL);
	assert_int_equal(by_hasty, 0);
	assert_true(forgotten > 0);
	fixture_free(f);
}

/* Nor does who gives up what it was storing unlink it. */
static void
test_given_up(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	size_t n = 12 * MIB;
	struct blob *blob = create(f, "big", "", "h", n + 1);
	char *body = malloc(n);
	struct bell bell = {0};
	struct store_stats before, with;

	(void)state;
	store_stats(f->store, &before);
	fill(body, n, 7, 0);
	blob_set_producer(blob, on_wake, &bell);
	for (size_t at = 0; at < n;) {
		at += blob_append(blob, body + at, n - at);
		if (at < n)
			bell_wait(&bell);
	}
	blob_set_producer(blob, NULL, NULL);
	store_stats(f->store, &with);
	assert_true(with.disk_used >= before.disk_used + n);
	watch_disk();
	blob_abort(blob, LARDER_CLOSED);
	blob_unref(&blob);
	assert_true(shrinks_to(f, before.disk_used + DISK_BLOCK));
	disk_fault(NULL);
	assert_int_equal(by_hasty, 0);
	assert_int_equal(unlinked, 1);
	assert_true(du(f->path) <= before.disk_used + MIB);
	free(body);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_pinned),
	    cmocka_unit_test(test_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
