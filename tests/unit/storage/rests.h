/*
 * What the tests of the presser share.
 */
#ifndef TESTS_STORAGE_RESTS_H
#define TESTS_STORAGE_RESTS_H

#include "internal.h"
#include "util.h"

#define MIB (1024u * 1024)

static inline struct fixture *
resting(uint64_t size)
{
	struct fixture *f = fixture_new(size, 0);

	f->options.rest = -1;
	fixture_reopen(f);
	return f;
}

/* What is stored often counts as asked for often: here it does not. The store
 * is shut. */
static inline void
forget_uses(const struct fixture *f)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/sketch", f->path);
	unlink(path);
}

static inline bool
lies_as(struct fixture *f, const char *key, const char *what)
{
	char where[128] = "";

	store_where(
	    f->store, bytes_str(key), id_of(f, key), where, sizeof(where));
	return strstr(where, what);
}

static inline void
wait_pressed(struct fixture *f, const char *key)
{
	for (int i = 0; i < 60000; i++) {
		if (lies_as(f, key, "zstd frames")) {
			store_flush(f->store);
			return;
		}
		poll(NULL, 0, 1);
	}
	fail_msg("%s was not pressed", key);
}

static inline void
check_ranges(struct fixture *f, const char *key, uint64_t seed, uint64_t size)
{
	const uint64_t at[][2] = {{0, 1}, {0, STORE_UNKNOWN}, {262143, 262145},
	    {262144, 262145}, {300000, 1000000}, {size - 1, STORE_UNKNOWN},
	    {size / 2 + 7, size / 2 + 700000}, {size, STORE_UNKNOWN}};
	struct store_found found;
	struct blob *blob;

	arena_reset(&f->arena);
	assert_int_equal(
	    store_find(f->view, bytes_str(key), &f->arena, &found), 0);
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		uint64_t end = at[i][1] > size ? size : at[i][1], got;

		assert_int_equal(
		    read_blob(f, f->view, blob, seed, at[i][0], at[i][1], &got),
		    0);
		assert_int_equal(got, end > at[i][0] ? end - at[i][0] : 0);
	}
	blob_unref(&blob);
}

#endif
