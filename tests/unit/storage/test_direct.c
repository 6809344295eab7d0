/*
 * Packs that are written past the page cache, and what is kept in memory of
 * much that comes at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>

#include "disk.h"
#include "internal.h"
#include "util.h"

#define MIB   (1024u * 1024)
#define COUNT 900u

/* ---- past the page cache ---------------------------------------------------
 */

enum how { DIRECTLY, NOT_OPENED, NOT_WRITTEN, NOT_SYNCED };

static enum how how;
static _Atomic bool held, released;
static _Atomic unsigned asked;

static bool
is_writer(void)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name, 0, 0, 0);
	return strcmp(name, "writer") == 0;
}

/* The writer's first sync waits until much waits for it. */
static int
on_disk(enum disk_op op)
{
	if (!is_writer())
		return 0;
	if (op == DISK_OPEN_DIRECT)
		return how == NOT_OPENED ? EINVAL : 0;
	if (op == DISK_WRITE_DIRECT) {
		asked++;
		return how == NOT_WRITTEN ? EINVAL : 0;
	}
	if (op != DISK_SYNC)
		return 0;
	if (released)
		return how == NOT_SYNCED ? EIO : 0;
	held = true;
	while (!released)
		poll(NULL, 0, 1);
	return 0;
}

static size_t
size_of(unsigned i)
{
	return (i * 7919u) % 17000u;
}

static void
put_much(struct fixture *f, unsigned round)
{
	char key[24];

	held = released = false;
	asked = 0;
	disk_fault(on_disk);
	snprintf(key, sizeof(key), "first%u", round);
	put(f, key, "", round, 100, true);
	for (int i = 0; i < 10000 && !held; i++)
		poll(NULL, 0, 1);
	assert_true(held);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(key, sizeof(key), "%u-%u", round, i);
		put(f, key, "", round * COUNT + i, size_of(i), true);
	}
	released = true;
}

static void
compare_all(struct fixture *f, unsigned rounds)
{
	char key[24];

	for (unsigned round = 0; round < rounds; round++)
		for (unsigned i = 0; i < COUNT; i++) {
			snprintf(key, sizeof(key), "%u-%u", round, i);
			assert_int_equal(
			    get(f, key, "", round * COUNT + i, size_of(i)), 0);
		}
}

/* Some file systems have no such thing. */
static bool
can_be(const struct fixture *f)
{
	int dir = open(f->path, O_RDONLY | O_DIRECTORY), fd;

	fd = disk_open_direct(dir, "lock");
	close(dir);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Each round begins where the one before it has ended, in the middle of a
 * block; the second one also where something was written already. */
static void
past_the_page_cache(enum how first)
{
	struct fixture *f = fixture_new(256 * MIB, 8 * MIB);
	unsigned wrote = 0;

	for (unsigned round = 0; round < 3; round++) {
		how = first;
		put_much(f, round);
		if (how == NOT_SYNCED) {
			assert_int_not_equal(store_flush(f->store), 0);
			how = DIRECTLY;
			put_much(f, round);
		}
		assert_int_equal(store_flush(f->store), 0);
		disk_fault(NULL);
		wrote += asked;
		if (round != 1)
			fixture_reopen(f);
		compare_all(f, round + 1);
	}
	if (how == NOT_OPENED)
		assert_int_equal(wrote, 0);
	else if (how == NOT_WRITTEN && can_be(f))
		assert_in_range(wrote, 2, 20); /* once for each pack */
	else if (can_be(f))
		assert_in_range(wrote, 30, 200);
	if (du(f->path) > 3 * COUNT * 8500 * 11 / 10 + MIB)
		fail_msg("%llu bytes", (unsigned long long)du(f->path));
	fixture_free(f);
}

static void
test_past_the_page_cache(void **state)
{
	(void)state;
	past_the_page_cache(DIRECTLY);
}

static void
test_cannot_be_opened_so(void **state)
{
	(void)state;
	past_the_page_cache(NOT_OPENED);
}

static void
test_cannot_be_written_so(void **state)
{
	(void)state;
	past_the_page_cache(NOT_WRITTEN);
}

static void
test_group_that_fails(void **state)
{
	(void)state;
	past_the_page_cache(NOT_SYNCED);
}

/* And nothing of its pack is in the one that comes in its place. */
static void
test_catalog_that_goes_then(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 8 * MIB);

	(void)state;
	how = NOT_SYNCED;
	put_much(f, 0);
	assert_int_not_equal(store_flush(f->store), 0);
	disk_fault(NULL);
	catalog_condemn(f->store->catalog);
	assert_int_equal(store_state_set(f->store, "a", BYTES("1")), 0);
	assert_int_equal(store_flush(f->store), 0);
	put(f, "after", "", 7, 5000, true);
	fixture_reopen(f);
	assert_int_equal(get(f, "after", "", 7, 5000), 0);
	fixture_free(f);
}

/* Where there is no tier in memory the page cache is all there is. */
static void
test_no_tier(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);

	(void)state;
	how = DIRECTLY;
	put_much(f, 0);
	assert_int_equal(store_flush(f->store), 0);
	disk_fault(NULL);
	assert_int_equal(asked, 0);
	compare_all(f, 1);
	fixture_free(f);
}

/* ---- what stays in memory
 * ---------------------------------------------------- */

static uint64_t
from_memory(struct fixture *f, const char *key, uint64_t seed, size_t size)
{
	struct store_stats stats;
	uint64_t before;

	store_stats(f->store, &stats);
	before = stats.memory_hits;
	assert_int_equal(get(f, key, "", seed, size), 0);
	store_stats(f->store, &stats);
	return stats.memory_hits - before;
}

/* What is asked for once pushes nothing out that was asked for again; to be
 * looked at does not count. */
static void
test_scan(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 16 * MIB);
	unsigned hot = 0, looked = 0, late = 0;
	struct store_found found;
	char key[24];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "hot%u", i);
		put(f, key, "", i, 20000, true);
		snprintf(key, sizeof(key), "looked%u", i);
		put(f, key, "", i, 20000, true);
	}
	assert_int_equal(store_flush(f->store), 0);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "hot%u", i);
		assert_int_equal(get(f, key, "", i, 20000), 0);
		snprintf(key, sizeof(key), "looked%u", i);
		assert_int_equal(
		    store_look(f->view, bytes_str(key), &f->arena, &found), 0);
	}
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "once%u", i);
		put(f, key, "", i, 10000, true);
		if (i % 100 == 99)
			assert_int_equal(store_flush(f->store), 0);
	}
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "hot%u", i);
		hot += from_memory(f, key, i, 20000) > 0;
		snprintf(key, sizeof(key), "once%u", 4999 - i);
		late += from_memory(f, key, 4999 - i, 10000) > 0;
		snprintf(key, sizeof(key), "looked%u", i);
		looked += from_memory(f, key, i, 20000) > 0;
	}
	assert_int_equal(hot, 20);
	assert_int_equal(looked, 0);
	assert_int_equal(late, 20);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_past_the_page_cache),
	    cmocka_unit_test(test_cannot_be_opened_so),
	    cmocka_unit_test(test_cannot_be_written_so),
	    cmocka_unit_test(test_group_that_fails),
	    cmocka_unit_test(test_catalog_that_goes_then),
	    cmocka_unit_test(test_no_tier),
	    cmocka_unit_test(test_scan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
