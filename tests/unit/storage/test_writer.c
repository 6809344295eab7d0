/*
 * The writer and those who wait for it.
 */
#include <errno.h>
#include <sys/prctl.h>

#include "disk.h"
#include "internal.h"
#include "util.h"

#define MIB (1024u * 1024)

static bool
is_writer(void)
{
	char name[16] = "";

	prctl(PR_GET_NAME, name, 0, 0, 0);
	return strcmp(name, "writer") == 0;
}

/* ---- whether it gives way ------------------------------------------------ */

static struct store *store;
/* At its last sync: -1 where there was none. */
static _Atomic int gave_way;

static int
on_sync(enum disk_op op)
{
	if (op == DISK_SYNC && is_writer())
		gave_way = writer_turn(store) > 0;
	return 0;
}

static void
test_gives_way(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);

	(void)state;
	store = f->store;
	gave_way = -1;
	disk_fault(on_sync);
	put(f, "a", "", 1, 1000, true);
	for (int i = 0; i < 10000 && gave_way < 0; i++)
		poll(NULL, 0, 1);
	assert_int_equal(gave_way, true);
	/* But not where somebody waits for it. */
	put(f, "b", "", 2, 1000, true);
	assert_int_equal(store_flush(f->store), 0);
	assert_int_equal(gave_way, false);
	/* When he has gone it does again. */
	gave_way = -1;
	put(f, "c", "", 3, 1000, true);
	for (int i = 0; i < 10000 && gave_way < 0; i++)
		poll(NULL, 0, 1);
	disk_fault(NULL);
	assert_int_equal(gave_way, true);
	fixture_free(f);
}

/* ---- what is tried again ------------------------------------------------- */

static _Atomic unsigned syncs;
static _Atomic bool held, released;

/* The first commit fails; the next one stands still, and then fails. */
static int
on_second_sync(enum disk_op op)
{
	if (op != DISK_SYNC || !is_writer() || ++syncs > 2)
		return 0;
	held = syncs == 2;
	while (held && !released)
		poll(NULL, 0, 1);
	return EIO;
}

static void *
release_later(void *arg)
{
	(void)arg;
	poll(NULL, 0, 200);
	released = true;
	return NULL;
}

static void *
flush(void *arg)
{
	struct fixture *f = arg;

	assert_int_equal(store_flush(f->store), 0);
	return NULL;
}

/* Nobody is told that they are durable before they are. */
static void
test_states_that_are_tried_again(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);
	pthread_t one, other;

	(void)state;
	syncs = 0;
	held = released = false;
	disk_fault(on_second_sync);
	assert_int_equal(store_state_set(f->store, "hits", BYTES("1")), 0);
	pthread_create(&one, NULL, flush, f);
	for (int i = 0; i < 10000 && !held; i++)
		poll(NULL, 0, 1);
	assert_true(held);
	pthread_create(&other, NULL, release_later, NULL);
	assert_int_equal(store_flush(f->store), 0);
	assert_true(released);
	pthread_join(one, NULL);
	pthread_join(other, NULL);
	disk_fault(NULL);
	fixture_free(f);
}

/* ---- what a group that fails has written --------------------------------- */

static int
on_any_sync(enum disk_op op)
{
	return op == DISK_SYNC && is_writer() ? EIO : 0;
}

/* It does not stay in the pack. */
static void
test_group_that_fails(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 8 * MIB);
	char key[16];

	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		disk_fault(round < 3 ? on_any_sync : NULL);
		for (unsigned i = 0; i < 100; i++) {
			snprintf(key, sizeof(key), "k%u", i);
			put(f, key, "", i, 20000, true);
		}
		assert_true((store_flush(f->store) == 0) == (round == 3));
	}
	/* 2,000,000 of theirs. */
	if (du(f->path) > 5 * MIB / 2)
		fail_msg("%llu bytes", (unsigned long long)du(f->path));
	fixture_reopen(f);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		assert_int_equal(get(f, key, "", i, 20000), 0);
	}
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_gives_way),
	    cmocka_unit_test(test_states_that_are_tried_again),
	    cmocka_unit_test(test_group_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
