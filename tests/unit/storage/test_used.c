/*
 * When keys were last used, with a clock of the test's own.
 */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "disk.h"
#include "larder/check.h"
#include "used.h"

#define DAY 86400
#define T0  (INT64_C(20000) * DAY + 1000)

static struct budget budget;
static struct used used;
static char folder[] = "/tmp/larder-used-XXXXXX";
static int dir = -1;

static void
open_at(int64_t now)
{
	used = (struct used){.dir = -1};
	assert_int_equal(used_open(&used, dir, &budget, now), 0);
}

static void
reopen_at(int64_t now)
{
	used_release(&used);
	open_at(now);
}

static int
set_up(void **state)
{
	(void)state;
	strcpy(strrchr(folder, '-'), "-XXXXXX");
	if (mkdtemp(folder) == NULL ||
	    disk_open_folder(folder, false, &dir) != 0)
		return -1;
	budget = (struct budget){.size = 64u << 20};
	open_at(T0);
	return 0;
}

static int
tear_down(void **state)
{
	char command[64];

	(void)state;
	used_release(&used);
	disk_close(dir);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct hash
key(uint64_t n)
{
	uint64_t x = n * 0x9e3779b97f4a7c15u;

	return (struct hash){x ^ x >> 31, x * 0xbf58476d1ce4e5b9u ^ x >> 29};
}

static void
the_day_of_the_last_use(void **state)
{
	int64_t at = T0 + 3 * DAY;

	(void)state;
	/* Never, but somebody may have used it before we were told. */
	assert_int_equal(used_last(&used, key(1), 0), T0);
	/* Storing is a use. */
	assert_int_equal(used_last(&used, key(1), T0 + 5), T0 + 5);
	used_tick(&used, at);
	used_touch(&used, key(1));
	assert_true(used_last(&used, key(1), T0) >= at);
	assert_true(used_last(&used, key(1), T0) < at + DAY);
	assert_int_equal(used_last(&used, key(2), T0 + 5), T0 + 5);
	used_tick(&used, at + 10 * DAY);
	assert_true(used_last(&used, key(1), T0) < at + DAY);
	used_touch(&used, key(1));
	assert_true(used_last(&used, key(1), T0) >= at + 10 * DAY);
}

static void
it_survives_a_restart(void **state)
{
	int64_t last;

	(void)state;
	used_tick(&used, T0 + DAY);
	used_touch(&used, key(1));
	last = used_last(&used, key(1), 0);
	assert_int_equal(used_save(&used, T0 + DAY, true), 0);
	reopen_at(T0 + 9 * DAY);
	assert_int_equal(used_last(&used, key(1), 0), last);
	assert_int_equal(used_last(&used, key(2), 0), T0);
	/* Nothing new: nothing is written. */
	assert_int_equal(unlinkat(dir, "used", 0), 0);
	assert_int_equal(used_save(&used, T0 + 9 * DAY, true), 0);
	assert_int_equal(faccessat(dir, "used", F_OK, 0), -1);
	/* Nothing to be read: all may have been used until now. */
	reopen_at(T0 + 9 * DAY);
	assert_int_equal(used_last(&used, key(1), 0), T0 + 9 * DAY);
}

static void
an_hour_between_two_saves(void **state)
{
	(void)state;
	used_touch(&used, key(1));
	assert_int_equal(used_save(&used, T0 + 3599, false), 0);
	assert_true(used.dirty);
	assert_int_equal(used_save(&used, T0 + 3600, false), 0);
	assert_false(used.dirty);
	/* What is as it was is nothing new. */
	used_touch(&used, key(1));
	assert_false(used.dirty);
}

static void
months_go_by(void **state)
{
	(void)state;
	/* A year, and another: what was used in the last 120 days is known. */
	for (int64_t day = 0; day < 800; day += 7) {
		int64_t now = T0 + day * DAY;

		used_tick(&used, now);
		used_touch(&used, key(1));
		used_touch(&used, key((uint64_t)(100 + day)));
		for (int64_t back = 0; back <= 120 && back <= day; back += 7) {
			int64_t last = used_last(
			    &used, key((uint64_t)(100 + day - back)), 0);

			assert_true(last >= now - back * DAY);
			assert_true(last < now - back * DAY + DAY);
		}
		/* What nobody used is known not to be for as long. */
		if (day > 130)
			assert_true(
			    used_last(&used, key(7), T0) < now - 120 * DAY);
	}
	/* Years without us. */
	used_tick(&used, T0 + 5000 * (int64_t)DAY);
	assert_true(used_last(&used, key(1), 0) <= T0 + 5000 * (int64_t)DAY);
	used_touch(&used, key(1));
	assert_true(used_last(&used, key(1), 0) >= T0 + 5000 * (int64_t)DAY);
}

static void
a_clock_that_jumps_only_keeps(void **state)
{
	(void)state;
	used_tick(&used, T0 + 20 * DAY);
	used_touch(&used, key(1));
	/* Back by some days: what was used is not taken for older. */
	used_tick(&used, T0 + 10 * DAY);
	used_touch(&used, key(2));
	assert_true(used_last(&used, key(1), 0) >= T0 + 20 * DAY);
	assert_true(used_last(&used, key(2), 0) >= T0 + 10 * DAY);
	/* Back before all that is known. */
	used_tick(&used, T0 - 50 * DAY);
	assert_int_equal(used_last(&used, key(1), 0), T0 - 50 * DAY);
	used_touch(&used, key(1));
	assert_true(used_last(&used, key(1), 0) >= T0 - 50 * DAY);
	/* No clock has these. */
	used_tick(&used, -1);
	used_tick(&used, INT64_MAX);
	assert_true(used_last(&used, key(1), 0) < T0);
	/* A file of the future. */
	used_tick(&used, T0 + 900 * (int64_t)DAY);
	used_touch(&used, key(1));
	assert_int_equal(used_save(&used, T0 + 900 * (int64_t)DAY, true), 0);
	reopen_at(T0);
	assert_int_equal(used_last(&used, key(1), 0), T0);
}

static void
another_budget_folds_it(void **state)
{
	static const uint64_t sizes[] = {
	    16u << 20, 256u << 20, UINT64_C(1) << 40, 64u << 20};

	(void)state;
	used_tick(&used, T0 + 5 * DAY);
	for (uint64_t i = 0; i < 100; i++)
		used_touch(&used, key(i));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned wrong = 0;

		used.dirty = true;
		assert_int_equal(used_save(&used, T0 + 5 * DAY, true), 0);
		budget.size = sizes[i];
		budget.taken = 0;
		reopen_at(T0 + 6 * DAY);
		for (uint64_t k = 0; k < 100; k++)
			assert_true(
			    used_last(&used, key(k), 0) >= T0 + 5 * DAY);
		for (uint64_t k = 1000; k < 2000; k++)
			wrong += used_last(&used, key(k), 0) >= T0 + DAY;
		assert_true(wrong < 5);
	}
	assert_true(used.count <= UINT64_C(1) << 22);
}

static void
the_budget_has_its_part(void **state)
{
	uint64_t size = disk_round(48 + used.count);

	(void)state;
	used_touch(&used, key(1));
	assert_int_equal(budget.taken, 0);
	assert_int_equal(used_save(&used, T0, true), 0);
	assert_int_equal(budget.taken, size);
	used.dirty = true;
	assert_int_equal(used_save(&used, T0, true), 0);
	assert_int_equal(budget.taken, size);
	/* No room for a second one: the first stays, and it is told. */
	used.dirty = true;
	budget.taken = budget.size - size / 2;
	assert_int_equal(used_save(&used, T0, true), LARDER_NOSPACE);
	assert_true(used.dirty);
	budget.taken = 0;
	reopen_at(T0);
	assert_int_equal(budget.taken, size);
	assert_true(used_last(&used, key(1), 0) > T0);
}

static enum disk_op failing;

static int
fail_once(enum disk_op op)
{
	return op == failing ? EIO : 0;
}

static void
a_disk_that_fails(void **state)
{
	static const enum disk_op ops[] = {
	    DISK_OPEN, DISK_WRITE, DISK_SYNC, DISK_RENAME};

	(void)state;
	used_touch(&used, key(1));
	assert_int_equal(used_save(&used, T0, true), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		uint64_t taken = budget.taken;

		used_touch(&used, key(10 + i));
		failing = ops[i];
		disk_fault(fail_once);
		assert_int_equal(used_save(&used, T0, true), LARDER_IO);
		disk_fault(NULL);
		assert_int_equal(budget.taken, taken);
		assert_true(used.dirty);
		assert_int_equal(faccessat(dir, "used.new", F_OK, 0), -1);
	}
	assert_int_equal(used_save(&used, T0, true), 0);
	budget.taken = 0;
	reopen_at(T0);
	assert_true(used_last(&used, key(13), 0) > T0);
}

static void
a_damaged_file_is_none(void **state)
{
	int fd;

	(void)state;
	used_touch(&used, key(1));
	assert_int_equal(used_save(&used, T0, true), 0);
	/* Any byte of it, and its end. */
	for (off_t at = 0; at < 20000; at = at < 60 ? at + 1 : at * 2) {
		char byte;

		fd = openat(dir, "used", O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		reopen_at(T0 + 2 * DAY);
		assert_int_equal(used_last(&used, key(1), 0), T0 + 2 * DAY);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
	}
	reopen_at(T0 + 2 * DAY);
	assert_true(used_last(&used, key(1), 0) < T0 + DAY);
	fd = openat(dir, "used", O_RDWR);
	assert_int_equal(ftruncate(fd, 47), 0);
	close(fd);
	reopen_at(T0 + 2 * DAY);
	assert_int_equal(used_last(&used, key(1), 0), T0 + 2 * DAY);
}

/* As the top of used.c has it. */
static void
what_is_kept_by_mistake(void **state)
{
	unsigned wrong = 0;

	(void)state;
	budget.size = UINT64_C(20) << 30;
	reopen_at(T0);
	assert_int_equal(used.count, UINT64_C(1) << 22);
	used_tick(&used, T0 + 2 * DAY);
	for (uint64_t i = 0; i < 300000; i++)
		used_touch(&used, key(i));
	for (uint64_t i = 0; i < 100000; i++)
		wrong += used_last(&used, key((1u << 30) + i), 0) > T0 + DAY;
	assert_in_range(wrong, 300, 460);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(the_day_of_the_last_use),
	    TEST(it_survives_a_restart),
	    TEST(an_hour_between_two_saves),
	    TEST(months_go_by),
	    TEST(a_clock_that_jumps_only_keeps),
	    TEST(another_budget_folds_it),
	    TEST(the_budget_has_its_part),
	    TEST(a_disk_that_fails),
	    TEST(a_damaged_file_is_none),
	    TEST(what_is_kept_by_mistake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
