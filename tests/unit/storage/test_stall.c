/*
 * Growing blobs for which there is no room on disk until the writer has made
 * some: who waits for one gets its bytes, and nobody loses any for that.
 */
#include <sys/prctl.h>

#include "disk.h"
#include "util.h"

#define MIB  (1024u * 1024)
#define SIZE (48u * MIB)

/* The writer stands still when it is to make room. */
static _Atomic bool stands;

static int
on_eviction(enum disk_op op)
{
	char name[16] = "";

	if (op != DISK_RENAME && op != DISK_UNLINK)
		return 0;
	prctl(PR_GET_NAME, name, 0, 0, 0);
	while (stands && strcmp(name, "writer") == 0)
		poll(NULL, 0, 1);
	return 0;
}

/* Full, and from now on the writer stands still. */
static struct fixture *
full(void)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	char key[32];

	for (unsigned i = 0; i < 80; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		put(f, key, "", i, MIB, true);
	}
	assert_int_equal(store_flush(f->store), 0);
	stands = true;
	disk_fault(on_eviction);
	return f;
}

static void
go_on(void)
{
	stands = false;
}

/* Waits for room as a producer does, but not for room on disk. */
static bool
append_or_pass(struct blob *blob, const char *p, size_t n)
{
	bool passed = false;

	for (int i = 0; n && i < 20000; i++) {
		size_t took = blob_append(blob, p, n);

		p += took;
		n -= took;
		if (took)
			i = 0;
		else if (blob_is_stalled(blob))
			passed |= blob_pass(blob);
		else
			poll(NULL, 0, 1);
	}
	assert_int_equal(n, 0);
	return passed;
}

static void
test_passes(void **state)
{
	struct fixture *f = full();
	struct store_stats stats;
	pthread_t thread;
	char *body = malloc(SIZE);
	struct blob *blob = create(f, "big", "", "h", SIZE);
	struct follower w = {f, blob, 42, 0, false, 1};

	(void)state;
	fill(body, SIZE, 42, 0);
	pthread_create(&thread, NULL, follow, &w);
	while (!w.there)
		poll(NULL, 0, 1);
	assert_true(append_or_pass(blob, body, SIZE));
	assert_false(blob_is_stalled(blob));
	assert_false(blob_pass(blob));
	assert_true(blob_is_window(blob));
	assert_int_equal(blob_commit(blob), 0);
	pthread_join(thread, NULL);
	assert_int_equal(w.err, 0);
	assert_int_equal(w.got, SIZE);
	go_on();
	blob_unref(&blob);
	assert_int_equal(store_flush(f->store), 0);
	disk_fault(NULL);
	store_stats(f->store, &stats);
	assert_int_equal(stats.no_room, 1);
	assert_int_equal(get(f, "big", "", 42, SIZE), LARDER_ABSENT);
	/* Where nobody waits for it, it waits for room. */
	blob = create(f, "big", "", "h", SIZE);
	assert_false(blob_pass(blob));
	append_all(blob, body, SIZE);
	assert_int_equal(blob_commit(blob), 0);
	blob_unref(&blob);
	assert_int_equal(get(f, "big", "", 42, SIZE), 0);
	free(body);
	fixture_free(f);
}

/* Until nothing of it is taken for a while: what is left. */
static size_t
append_until_stalled(
    struct blob *blob, const char **p, size_t n, struct blob_reader *fast)
{
	struct blob_slice s;

	for (int idle = 0; n && idle < 300; idle++) {
		size_t took = blob_append(blob, *p, n);

		*p += took;
		n -= took;
		while (fast && blob_reader_peek(fast, MIB, &s) == 0)
			blob_reader_advance(fast, s.n);
		if (took)
			idle = 0;
		else
			poll(NULL, 0, 1);
	}
	return n;
}

/* Who is far behind reads it from the file: nobody is cut off for one who is
 * at the end of it. */
static void
test_who_is_behind_is_waited_for(void **state)
{
	struct fixture *f = full();
	char *body = malloc(SIZE);
	const char *p = body;
	struct blob *blob = create(f, "big", "", "h", SIZE);
	struct blob_reader fast, slow;
	struct bell bell = {0};
	struct blob_slice s;
	uint64_t got = 0;
	size_t left;
	int err;

	(void)state;
	fill(body, SIZE, 42, 0);
	assert_int_equal(blob_reader_open(&fast, f->view, blob, 0,
			     STORE_UNKNOWN, on_wake, &bell),
	    0);
	assert_int_equal(blob_reader_open(&slow, f->view, blob, 0,
			     STORE_UNKNOWN, on_wake, &bell),
	    0);
	left = append_until_stalled(blob, &p, SIZE, &fast);
	assert_true(left > 0);
	assert_false(blob_is_stalled(blob));
	assert_false(blob_pass(blob));
	assert_false(blob_is_window(blob));
	go_on();
	blob_reader_close(&fast);
	append_all(blob, p, left);
	assert_int_equal(blob_commit(blob), 0);
	while ((err = blob_reader_peek(&slow, MIB, &s)) != LARDER_ABSENT) {
		if (err == LARDER_AGAIN) {
			bell_wait(&bell);
			continue;
		}
		assert_int_equal(err, 0);
		got += s.n;
		blob_reader_advance(&slow, s.n);
	}
	assert_int_equal(got, SIZE);
	blob_reader_close(&slow);
	blob_unref(&blob);
	assert_int_equal(get(f, "big", "", 42, SIZE), 0);
	disk_fault(NULL);
	free(body);
	fixture_free(f);
}

static void *
go_on_later(void *arg)
{
	(void)arg;
	poll(NULL, 0, 300);
	go_on();
	return NULL;
}

/* The store is closed while the writer still makes room for one that nobody
 * wants any more. */
static void
test_closed(void **state)
{
	struct fixture *f = full();
	char *body = malloc(SIZE);
	const char *p = body;
	struct blob *blob = create(f, "big", "", "h", SIZE);
	pthread_t thread;

	(void)state;
	fill(body, SIZE, 42, 0);
	assert_true(append_until_stalled(blob, &p, SIZE, NULL) > 0);
	blob_abort(blob, LARDER_CLOSED);
	blob_unref(&blob);
	pthread_create(&thread, NULL, go_on_later, NULL);
	fixture_shut(f);
	pthread_join(thread, NULL);
	disk_fault(NULL);
	fixture_open(f);
	assert_int_equal(get(f, "big", "", 42, SIZE), LARDER_ABSENT);
	assert_true(du(f->path) <= 64 * MIB);
	free(body);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_passes),
	    cmocka_unit_test(test_who_is_behind_is_waited_for),
	    cmocka_unit_test(test_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
