/*
 * The presser and what is asked for often: it stays raw, and turns raw again,
 * but not where something would have to go for it.
 */
#include <errno.h>
#include <sys/prctl.h>

#include "disk.h"
#include "larder/clock.h"
#include "rests.h"

/* What is young, or asked for often, stays as it is. */
static void
test_not_yet(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	struct store_found found;

	(void)state;
	put(f, "young", "", 1 | TEXT, 2 * MIB, true);
	store_flush(f->store);
	poll(NULL, 0, 300);
	assert_true(lies_as(f, "young", "raw"));
	f->options.rest = 1;
	fixture_reopen(f);
	put(f, "hot", "", 2 | TEXT, 2 * MIB, true);
	store_find(f->view, BYTES("hot"), &f->arena, &found);
	for (unsigned i = 0; i < 10; i++)
		store_touch(f->view, &found.records[0]);
	wait_pressed(f, "young");
	poll(NULL, 0, 2500);
	assert_true(lies_as(f, "hot", "raw"));
	/* How often it was asked for is known after a restart as well. */
	fixture_reopen(f);
	poll(NULL, 0, 1500);
	assert_true(lies_as(f, "hot", "raw"));
	/* But not for ever. */
	for (unsigned i = 0; i < 100000; i++) {
		found.records[0].key = i % 2 ? BYTES("a") : BYTES("b");
		store_touch(f->view, &found.records[0]);
	}
	wait_pressed(f, "hot");
	fixture_free(f);
}

static void
read_often(struct fixture *f, const char *key, uint64_t seed, uint64_t size)
{
	struct store_found found;
	struct blob *blob;
	uint64_t got;

	arena_reset(&f->arena);
	assert_int_equal(
	    store_find(f->view, bytes_str(key), &f->arena, &found), 0);
	for (unsigned i = 0; i < 12; i++)
		store_touch(f->view, &found.records[0]);
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	assert_int_equal(read_blob(f, f->view, blob, seed, 0, size, &got), 0);
	assert_int_equal(got, size);
	blob_unref(&blob);
}

/* What turns hot again is raw again, where there is room for it. */
static void
test_hot_again(void **state)
{
	struct fixture *f = resting(64 * MIB);
	uint64_t size = 5 * MIB + 4711;
	struct store_stats stats;
	int i;

	(void)state;
	put(f, "text", "", 1 | TEXT, size, true);
	put(f, "rests", "", 2 | TEXT, size, true);
	put(f, "huge", "", 3 | TEXT, 40 * MIB, true);
	store_flush(f->store);
	wait_pressed(f, "text");
	wait_pressed(f, "rests");
	wait_pressed(f, "huge");
	read_often(f, "text", 1 | TEXT, size);
	read_often(f, "huge", 3 | TEXT, 40 * MIB);
	for (i = 0; i < 20000 && !lies_as(f, "text", "raw"); i++)
		poll(NULL, 0, 1);
	assert_true(lies_as(f, "text", "raw"));
	store_flush(f->store);
	for (unsigned round = 0; round < 2; round++) {
		check_ranges(f, "text", 1 | TEXT, size);
		assert_true(lies_as(f, "rests", "zstd frames"));
		store_stats(f->store, &stats);
		assert_true(stats.disk_used >= du(f->path));
		assert_int_equal(stats.damaged, 0);
		fixture_reopen(f);
	}
	/* And cool again, it is pressed again. */
	fixture_shut(f);
	forget_uses(f);
	fixture_open(f);
	wait_pressed(f, "text");
	check_ranges(f, "text", 1 | TEXT, size);
	fixture_free(f);
}

/* Where something would have to go for it, it stays. */
static void
test_hot_without_room(void **state)
{
	struct fixture *f = resting(48 * MIB);

	(void)state;
	put(f, "huge", "", 3 | TEXT, 40 * MIB, true);
	store_flush(f->store);
	wait_pressed(f, "huge");
	put(f, "noise", "", 4, 16 * MIB, true);
	store_flush(f->store);
	read_often(f, "huge", 3 | TEXT, 40 * MIB);
	poll(NULL, 0, 500);
	assert_true(lies_as(f, "huge", "zstd frames"));
	assert_int_equal(get(f, "noise", "", 4, 16 * MIB), 0);
	fixture_free(f);
}

/* A store that is full presses what a roomy one would not; that has made room
 * is no reason to undo it. */
static void
test_hot_in_a_full_store(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);
	uint64_t size = 4 * MIB, before = 0;
	struct store_found found;
	unsigned changes = 0;

	(void)state;
	f->options.rest = 1;
	fixture_reopen(f);
	put(f, "text", "", 5 | TEXT, size, true);
	store_flush(f->store);
	store_find(f->view, BYTES("text"), &f->arena, &found);
	for (unsigned i = 0; i < 10; i++)
		store_touch(f->view, &found.records[0]);
	f->store->evicted_at = clock_mono_ms();
	wait_pressed(f, "text");
	for (unsigned i = 0; i < 30; i++) {
		arena_reset(&f->arena);
		store_view_turn(f->view);
		assert_int_equal(
		    store_find(f->view, BYTES("text"), &f->arena, &found), 0);
		changes += before && found.records[0].disk_size != before;
		before = found.records[0].disk_size;
		assert_int_equal(get(f, "text", "", 5 | TEXT, size), 0);
		poll(NULL, 0, 100);
	}
	assert_int_equal(changes, 0);
	fixture_free(f);
}

/* So often that it counts as decoded all the time, though counts are halved now
 * and then. */
static void
decode_often(struct fixture *f, const char *key, uint64_t seed, uint64_t size)
{
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(get(f, key, "", seed, size), 0);
}

#define SMALL 20000u

static const char *
numbered(unsigned i)
{
	static char key[32];

	snprintf(key, sizeof(key), "k%u", i);
	return key;
}

static void
check_small(struct fixture *f, unsigned from, unsigned to, const char *how)
{
	for (unsigned i = from; i < to; i++) {
		assert_true(lies_as(f, numbered(i), how));
		assert_int_equal(get(f, numbered(i), "", i | TEXT, SMALL), 0);
	}
}

/* Small ones lie in packs, and are laid out raw by moving on. */
static void
test_small(void **state)
{
	const unsigned hot = 600, all = 700;
	struct fixture *f = fixture_new(256 * MIB, 0);
	struct store_removed removed;
	struct store_stats stats;

	(void)state;
	for (unsigned i = 0; i < all; i++)
		put(f, numbered(i), "", i | TEXT, SMALL, true);
	put(f, "noise", "", 7, SMALL, true);
	store_flush(f->store);
	assert_true(lies_as(f, "noise", "raw"));
	check_small(f, 0, all, "zstd");
	for (unsigned i = 0; i < hot; i++)
		decode_often(f, numbered(i), i | TEXT, SMALL);
	store_flush(f->store);
	for (unsigned round = 0; round < 2; round++) {
		check_small(f, 0, hot, "raw");
		check_small(f, hot, all, "zstd");
		store_stats(f->store, &stats);
		assert_int_equal(stats.objects, all + 1);
		assert_int_equal(stats.damaged, 0);
		assert_true(stats.disk_used >= du(f->path));
		fixture_reopen(f);
	}
	/* Most of what they lie among goes: the others move on, and are pressed
	 * again, but for those in the pack that is not full yet. */
	for (unsigned i = 0; i < hot; i++)
		if (i % 16)
			store_remove(f->store, bytes_str(numbered(i)), 0);
	store_flush(f->store);
	for (int i = 0; i < 5000 && !lies_as(f, "k0", "zstd"); i++) {
		store_gc(f->store, &removed);
		poll(NULL, 0, 1);
	}
	check_small(f, 0, 1, "zstd");
	check_small(f, 16, 17, "zstd");
	for (unsigned i = 0; i < hot; i += 16)
		assert_int_equal(get(f, numbered(i), "", i | TEXT, SMALL), 0);
	fixture_free(f);
}

/* Not where something would have to go for them, nor where the tier in memory
 * decodes them once. */
static void
test_small_stays(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);

	(void)state;
	put(f, "k", "", 1 | TEXT, 20000, true);
	store_flush(f->store);
	f->store->evicted_at = clock_mono_ms();
	decode_often(f, "k", 1 | TEXT, 20000);
	store_flush(f->store);
	assert_true(lies_as(f, "k", "zstd"));
	fixture_free(f);
	f = fixture_new(256 * MIB, MIB);
	put(f, "k", "", 1 | TEXT, 20000, true);
	fixture_reopen(f);
	decode_often(f, "k", 1 | TEXT, 20000);
	store_flush(f->store);
	assert_true(lies_as(f, "k", "zstd"));
	fixture_free(f);
}

/* The store is shut. */
static void
lose_catalog(struct fixture *f)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/catalog.mdb", f->path);
	assert_int_equal(unlink(path), 0);
}

static void
wait_rebuilt(struct fixture *f)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/catalog.rebuild", f->path);
	for (unsigned i = 0; i < 20000 && access(path, F_OK) == 0; i++)
		poll(NULL, 0, 1);
	store_flush(f->store);
}

/* What moved on and was purged then is not found where it lay before. */
static void
test_purged(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		put(f, numbered(i), "", i | TEXT, 3001, true);
	store_flush(f->store);
	decode_often(f, "k7", 7 | TEXT, 3001);
	store_flush(f->store);
	assert_true(lies_as(f, "k7", "raw"));
	assert_int_equal(store_remove(f->store, BYTES("k7"), 0), 0);
	fixture_shut(f);
	lose_catalog(f);
	fixture_open(f);
	wait_rebuilt(f);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(get(f, numbered(i), "", i | TEXT, 3001),
		    i == 7 ? LARDER_ABSENT : 0);
	fixture_free(f);
}

static pthread_t writer;

static int
on_writers_read(enum disk_op op)
{
	return op == DISK_READ && pthread_equal(pthread_self(), writer) ? EIO
									: 0;
}

/* Nobody else fails for what could stay where it is. */
static void
test_unreadable(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);

	(void)state;
	put(f, "k", "", 1 | TEXT, SMALL, true);
	store_flush(f->store);
	writer = f->store->writer.thread;
	disk_fault(on_writers_read);
	decode_often(f, "k", 1 | TEXT, SMALL);
	put(f, "new", "", 3 | TEXT, SMALL, true);
	assert_int_equal(store_flush(f->store), 0);
	disk_fault(NULL);
	assert_true(lies_as(f, "k", "zstd"));
	assert_int_equal(get(f, "k", "", 1 | TEXT, SMALL), 0);
	assert_int_equal(get(f, "new", "", 3 | TEXT, SMALL), 0);
	fixture_free(f);
}

static _Atomic unsigned reads;
static _Atomic bool reads_on;

static int
on_salvage(enum disk_op op)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name, 0, 0, 0);
	if (op == DISK_READ && strstr(name, "salvage") && ++reads == 4)
		while (!reads_on)
			poll(NULL, 0, 1);
	return 0;
}

/* While a lost catalog is made anew nothing moves: a newer head may come. */
static void
test_rebuilding(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);
	struct store_found found;

	(void)state;
	put(f, "k", "", 1 | TEXT, SMALL, true);
	put(f, "l", "", 2 | TEXT, SMALL, true);
	store_flush(f->store);
	assert_int_equal(store_update(f->view, BYTES("k"), id_of(f, "k"),
			     BYTES("new meta"), BYTES("new head"), 77),
	    0);
	fixture_shut(f);
	lose_catalog(f);
	reads = 0;
	reads_on = false;
	disk_fault(on_salvage);
	fixture_open(f);
	for (unsigned i = 0; i < 5000 && !id_of(f, "k"); i++)
		poll(NULL, 0, 1);
	for (unsigned i = 0; i < 30; i++) {
		assert_int_equal(get(f, "k", "", 1 | TEXT, SMALL), 0);
		store_flush(f->store);
	}
	reads_on = true;
	wait_rebuilt(f);
	disk_fault(NULL);
	store_flush(f->store);
	arena_reset(&f->arena);
	assert_int_equal(store_find(f->view, BYTES("k"), &f->arena, &found), 0);
	assert_true(bytes_eq(found.records[0].meta, BYTES("new meta")));
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_not_yet),
	    cmocka_unit_test(test_hot_again),
	    cmocka_unit_test(test_hot_without_room),
	    cmocka_unit_test(test_hot_in_a_full_store),
	    cmocka_unit_test(test_small),
	    cmocka_unit_test(test_small_stays),
	    cmocka_unit_test(test_purged),
	    cmocka_unit_test(test_unreadable),
	    cmocka_unit_test(test_rebuilding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
