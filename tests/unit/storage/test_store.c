/*
 * The store as a whole: what is stored is found, at once and after a restart,
 * and what is removed or replaced is not.
 */
#include "util.h"

#define MIB (1024u * 1024)

static const size_t sizes[] = {
    0, 1, 2000, 100000, 262144, 262145, 300000, 3 * MIB + 17};

static void
test_round_trip(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 16 * MIB);

	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
			char key[64];

			snprintf(key, sizeof(key), "http://a.example/%u", i);
			if (round == 0)
				put(f, key, "", i, sizes[i], i % 2);
			assert_int_equal(get(f, key, "", i, sizes[i]), 0);
		}
		assert_int_equal(
		    get(f, "http://a.example/none", "", 0, 0), LARDER_ABSENT);
		if (round == 1)
			forget(f);
		if (round == 2)
			fixture_reopen(f);
	}
	fixture_free(f);
}

/* That a key was not there is remembered no longer than it is so: with what is
 * stored in memory or not, and whoever looked last. */
static void
test_absent(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_found found;
	char key[64];

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 300; i++) {
			snprintf(key, sizeof(key), "http://a.example/%u", i);
			for (unsigned k = 0; k < 2; k++)
				assert_int_equal(
				    get(f, key, "", 0, 0), LARDER_ABSENT);
			put(f, key, "", i + round, 900 + i, true);
			assert_int_equal(
			    get(f, key, "", i + round, 900 + i), 0);
		}
		forget(f);
		for (unsigned i = 0; i < 300; i++) {
			snprintf(key, sizeof(key), "http://a.example/%u", i);
			assert_int_equal(
			    get(f, key, "", i + round, 900 + i), 0);
			arena_reset(&f->arena);
			assert_int_equal(store_find(f->view, bytes_str(key),
					     &f->arena, &found),
			    0);
			assert_int_equal(found.count, 1);
			assert_int_equal(store_remove(f->store, bytes_str(key),
					     found.records[0].id),
			    0);
			assert_int_equal(get(f, key, "", 0, 0), LARDER_ABSENT);
		}
		if (round == 1)
			forget(f);
	}
	fixture_free(f);
}

static void
test_compression(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct blob *blob = create(f, "k", "", "head", STORE_UNKNOWN);
	struct store_found found;
	struct blob_reader r;
	struct blob_slice s;
	struct bell bell = {0};
	char text[60000], where[128];
	size_t got = 0;
	int err;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = "the same words again and again "[i % 31];
	append_all(blob, text, sizeof(text));
	assert_int_equal(blob_commit(blob), 0);
	blob_unref(&blob);
	assert_int_equal(store_flush(f->store), 0);
	assert_int_equal(store_find(f->view, BYTES("k"), &f->arena, &found), 0);
	assert_true(found.records[0].disk_size < 3000);
	assert_int_equal(store_where(f->store, BYTES("k"), found.records[0].id,
			     where, sizeof(where)),
	    0);
	assert_non_null(strstr(where, "packs/"));
	assert_non_null(strstr(where, " zstd"));
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	assert_int_equal(
	    blob_reader_open(&r, f->view, blob, 100, 50000, on_wake, &bell), 0);
	while ((err = blob_reader_peek(&r, 7000, &s)) != LARDER_ABSENT) {
		if (err == LARDER_AGAIN) {
			bell_wait(&bell);
			continue;
		}
		assert_int_equal(err, 0);
		assert_memory_equal(s.mem, text + 100 + got, s.n);
		got += s.n;
		blob_reader_advance(&r, s.n);
	}
	assert_int_equal(got, 49900);
	blob_reader_close(&r);
	blob_unref(&blob);
	fixture_free(f);
}

static void
test_variants(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);
	struct store_found found;
	char variant[16];

	(void)state;
	for (unsigned i = 0; i < STORE_VARIANTS_MAX + 3; i++) {
		snprintf(variant, sizeof(variant), "v%u", i);
		put(f, "key", variant, i, 1000 + i, true);
	}
	for (unsigned round = 0; round < 2; round++) {
		arena_reset(&f->arena);
		assert_int_equal(
		    store_find(f->view, BYTES("key"), &f->arena, &found), 0);
		assert_int_equal(found.count, STORE_VARIANTS_MAX);
		assert_true(bytes_eq(found.records[0].variant, BYTES("v34")));
		assert_int_equal(get(f, "key", "v2", 2, 1002), LARDER_ABSENT);
		assert_int_equal(get(f, "key", "v3", 3, 1003), 0);
		fixture_reopen(f);
	}
	put(f, "key", "v7", 99, 500, false);
	assert_int_equal(get(f, "key", "v7", 99, 500), 0);
	forget(f);
	assert_int_equal(get(f, "key", "v7", 99, 500), 0);
	assert_int_equal(get(f, "key", "v8", 8, 1008), 0);
	fixture_free(f);
}

static void
check_head(struct fixture *f, const char *key, const char *want)
{
	struct store_found found;
	struct blob *blob;
	char head[64];

	arena_reset(&f->arena);
	assert_int_equal(
	    store_find(f->view, bytes_str(key), &f->arena, &found), 0);
	assert_true(bytes_eq(found.records[0].meta, bytes_str(want)));
	assert_int_equal(found.records[0].expires, 7777);
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	assert_int_equal(head_of(f->view, blob, head, sizeof(head)), 0);
	assert_string_equal(head, want);
	blob_unref(&blob);
}

static void
test_update(void **state)
{
	static const size_t some[] = {3000, 200000, 700000};
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(some) * 2; i++) {
		size_t n = some[i / 2];
		char key[16];
		uint64_t id;

		snprintf(key, sizeof(key), "k%u", i);
		put(f, key, "", i, n, true);
		/* Before it is on disk, and after. */
		if (i % 2)
			forget(f);
		id = id_of(f, key);
		for (unsigned round = 0; round < 4; round++) {
			char head[32];

			snprintf(head, sizeof(head), "new head %u", round);
			assert_int_equal(
			    store_update(f->view, bytes_str(key), id,
				bytes_str(head), bytes_str(head), 7777),
			    0);
			check_head(f, key, head);
			assert_int_equal(get(f, key, "", i, n), 0);
			if (round == 1)
				forget(f);
			if (round == 2)
				fixture_reopen(f);
			check_head(f, key, head);
			assert_int_equal(get(f, key, "", i, n), 0);
			assert_int_equal(id_of(f, key), id);
		}
		assert_int_equal(store_update(f->view, bytes_str(key),
				     id + 1000, BYTES("x"), BYTES("y"), 0),
		    LARDER_ABSENT);
	}
	fixture_free(f);
}

/* The id of what is stored as that variant, or 0. */
static uint64_t
id_of_variant(struct fixture *f, const char *key, const char *variant)
{
	struct store_found found;
	struct arena arena;
	uint64_t id = 0;

	arena_init(&arena, 1 << 20);
	if (store_find(f->view, bytes_str(key), &arena, &found) == 0)
		for (unsigned i = 0; i < found.count; i++)
			if (bytes_eq(
				found.records[i].variant, bytes_str(variant)))
				id = found.records[i].id;
	arena_release(&arena);
	return id;
}

static void
test_move(void **state)
{
	static const size_t some[] = {3000, 700000};
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(some) * 2; i++) {
		size_t n = some[i / 2];
		char key[16];
		uint64_t id;

		snprintf(key, sizeof(key), "k%u", i);
		put(f, key, "a", i, n, true);
		put(f, key, "b", i + 50, n, true);
		put(f, key, "c", i + 90, n, true);
		/* Before it is on disk, and after. */
		if (i % 2)
			forget(f);
		id = id_of_variant(f, key, "a");
		assert_int_equal(
		    store_move(f->view, bytes_str(key), id, BYTES("b"),
			BYTES("meta"), BYTES("head"), 7777),
		    0);
		for (unsigned round = 0; round < 2; round++) {
			assert_int_equal(id_of_variant(f, key, "a"), 0);
			assert_int_equal(id_of_variant(f, key, "b"), id);
			assert_int_equal(get(f, key, "b", i, n), 0);
			assert_int_equal(get(f, key, "c", i + 90, n), 0);
			fixture_reopen(f);
		}
		assert_int_equal(store_move(f->view, bytes_str(key), id + 1000,
				     BYTES("b"), BYTES("x"), BYTES("y"), 0),
		    LARDER_ABSENT);
	}
	fixture_free(f);
}

static void
test_remove(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);
	struct store_stats stats;
	uint64_t before, id;

	(void)state;
	store_flush(f->store);
	before = du(f->path);
	put(f, "small", "a", 1, 1000, true);
	put(f, "small", "b", 2, 1000, true);
	put(f, "big", "", 3, 5 * MIB, true);
	id = id_of(f, "small");
	assert_int_equal(store_remove(f->store, BYTES("small"), id), 0);
	assert_int_equal(
	    store_remove(f->store, BYTES("small"), id), LARDER_ABSENT);
	assert_int_equal(get(f, "small", "a", 1, 1000), 0);
	assert_int_equal(get(f, "small", "b", 2, 1000), LARDER_ABSENT);
	assert_int_equal(get(f, "big", "", 3, 5 * MIB), 0);
	assert_int_equal(store_remove(f->store, BYTES("big"), 0), 0);
	assert_int_equal(get(f, "big", "", 3, 5 * MIB), LARDER_ABSENT);
	store_flush(f->store);
	assert_true(du(f->path) < before + MIB);
	put(f, "big", "", 4, 5 * MIB, false);
	store_flush(f->store);
	assert_true(du(f->path) > before + 5 * MIB);
	assert_int_equal(store_remove(f->store, BYTES("big"), 0), 0);
	store_flush(f->store);
	assert_true(du(f->path) < before + MIB);
	fixture_reopen(f);
	assert_int_equal(get(f, "small", "a", 1, 1000), 0);
	assert_int_equal(get(f, "big", "", 4, 5 * MIB), LARDER_ABSENT);
	store_stats(f->store, &stats);
	assert_int_equal(stats.objects, 1);
	assert_int_equal(stats.body_bytes, 1000);
	fixture_free(f);
}

struct walked {
	char keys[64][32];
	unsigned count;
	int result;
};

static int
on_item(void *arg, const struct store_item *item)
{
	struct walked *w = arg;

	snprintf(
	    w->keys[w->count++ % 64], 32, "%.*s", BYTES_FMT(item->record.key));
	return w->result;
}

static void
test_walk(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);
	struct store_removed removed;
	struct walked w = {.count = 0};
	char key[32];

	(void)state;
	for (unsigned i = 0; i < 700; i++) {
		snprintf(key, sizeof(key), "%c/%03u", "bac"[i % 3], i);
		put(f, key, "", i, 100, true);
	}
	assert_int_equal(store_walk(f->store, BYTES("a/"), on_item, &w), 0);
	assert_int_equal(w.count, 233);
	assert_string_equal(w.keys[0], "a/577");
	memset(&w, 0, sizeof(w));
	assert_int_equal(store_walk(f->store, BYTES(""), on_item, &w), 0);
	assert_int_equal(w.count, 700);
	memset(&w, 0, sizeof(w));
	w.result = 5;
	assert_int_equal(store_walk(f->store, BYTES("b/"), on_item, &w), 5);
	assert_int_equal(w.count, 1);
	assert_string_equal(w.keys[0], "b/000");
	memset(&w, 0, sizeof(w));
	w.result = 1;
	assert_int_equal(store_remove_matching(f->store, BYTES("a/"), on_item,
			     &w, true, &removed),
	    0);
	assert_int_equal(removed.objects, 233);
	assert_int_equal(get(f, "a/001", "", 1, 100), 0);
	assert_int_equal(store_remove_matching(f->store, BYTES("a/"), on_item,
			     &w, false, &removed),
	    0);
	assert_int_equal(removed.objects, 233);
	assert_int_equal(get(f, "a/001", "", 1, 100), LARDER_ABSENT);
	assert_int_equal(get(f, "b/000", "", 0, 100), 0);
	memset(&w, 0, sizeof(w));
	fixture_reopen(f);
	assert_int_equal(store_walk(f->store, BYTES(""), on_item, &w), 0);
	assert_int_equal(w.count, 467);
	fixture_free(f);
}

static void
test_long_keys(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);
	struct walked w = {.count = 0};
	char key[3][2001];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		memset(key[i], 'x', 2000);
		key[i][2000] = '\0';
		key[i][1999] = "abc"[i];
		put(f, key[i], "", i, 1000 + i, true);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(get(f, key[i], "", i, 1000 + i), 0);
	assert_int_equal(
	    store_walk(f->store, bytes_of(key[0], 600), on_item, &w), 0);
	assert_int_equal(w.count, 3);
	assert_int_equal(
	    store_walk(f->store, bytes_of(key[1], 2000), on_item, &w), 0);
	assert_int_equal(w.count, 4);
	assert_int_equal(store_remove(f->store, bytes_str(key[1]), 0), 0);
	fixture_reopen(f);
	assert_int_equal(get(f, key[0], "", 0, 1000), 0);
	assert_int_equal(get(f, key[1], "", 1, 1001), LARDER_ABSENT);
	assert_int_equal(get(f, key[2], "", 2, 1002), 0);
	fixture_free(f);
}

static void
test_states(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 4 * MIB);
	struct bytes v;

	(void)state;
	assert_int_equal(
	    store_state_get(f->store, "hits", &f->arena, &v), LARDER_ABSENT);
	assert_int_equal(store_state_set(f->store, "hits", BYTES("12")), 0);
	assert_int_equal(store_state_set(f->store, "hits", BYTES("123")), 0);
	assert_int_equal(store_state_get(f->store, "hits", &f->arena, &v), 0);
	assert_true(bytes_eq(v, BYTES("123")));
	fixture_reopen(f);
	assert_int_equal(store_state_get(f->store, "hits", &f->arena, &v), 0);
	assert_true(bytes_eq(v, BYTES("123")));
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_absent),
	    cmocka_unit_test(test_compression),
	    cmocka_unit_test(test_variants),
	    cmocka_unit_test(test_update),
	    cmocka_unit_test(test_move),
	    cmocka_unit_test(test_remove),
	    cmocka_unit_test(test_walk),
	    cmocka_unit_test(test_long_keys),
	    cmocka_unit_test(test_states),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
