/*
 * The budget and eviction: what du says stays within, whatever is stored, and
 * what was asked for again outlives what was not.
 */
#include <dirent.h>

#include "budget.h"
#include "larder/clock.h"
#include "util.h"

#define MIB (1024u * 1024)

struct watch {
	const char *path;
	_Atomic bool stop;
	uint64_t most;
};

static void *
watch_du(void *arg)
{
	struct watch *w = arg;

	while (!w->stop) {
		uint64_t now = du(w->path);

		w->most = now > w->most ? now : w->most;
		poll(NULL, 0, 5);
	}
	return NULL;
}

static void
store_load(struct fixture *f, unsigned from, unsigned to)
{
	char key[64];

	for (unsigned i = from; i < to; i++) {
		size_t n = i % 50 == 0	 ? 3 * MIB
			   : i % 10 == 0 ? 400000
			   : i % 3 == 0	 ? 60000
					 : 2000;

		snprintf(key, sizeof(key), "http://a.example/%u", i);
		put(f, key, "", i, n, i % 2);
	}
}

static void
test_hard(void **state)
{
	struct fixture *f = fixture_new(40 * MIB, MIB);
	struct watch w = {f->path, false, 0};
	struct store_stats stats;
	pthread_t thread;

	(void)state;
	pthread_create(&thread, NULL, watch_du, &w);
	store_load(f, 0, 1500);
	store_flush(f->store);
	w.stop = true;
	pthread_join(thread, NULL);
	assert_true(w.most <= 40 * MIB);
	assert_true(w.most > 25 * MIB);
	store_stats(f->store, &stats);
	/* The large ones, in the first place. */
	assert_true(stats.evicted > 30);
	assert_true(stats.evicted_bytes > 80ull * MIB);
	assert_true(stats.disk_used <= 40 * MIB);
	assert_int_equal(stats.no_room, 0);
	/* The newest are there. */
	assert_int_equal(get(f, "http://a.example/1499", "", 1499, 2000), 0);
	/* A smaller one is reached in the background. */
	store_resize(f->store, 20 * MIB, MIB, MIB);
	for (unsigned i = 0; i < 2000 && du(f->path) > 20 * MIB; i++)
		poll(NULL, 0, 10);
	store_stats(f->store, &stats);
	if (du(f->path) > 20 * MIB)
		fail_msg("du %llu, counted %llu: %s",
		    (unsigned long long)du(f->path),
		    (unsigned long long)stats.disk_used, f->reports);
	assert_int_equal(get(f, "http://a.example/1499", "", 1499, 2000), 0);
	/* What is counted is what is there. */
	f->options.size = 20 * MIB;
	fixture_reopen(f);
	store_flush(f->store);
	store_stats(f->store, &stats);
	assert_true(stats.disk_used >= du(f->path));
	assert_true(stats.disk_used <= du(f->path) + 2 * MIB);
	fixture_free(f);
}

static void
touch(struct fixture *f, const char *key)
{
	struct store_found found;

	arena_reset(&f->arena);
	if (store_find(f->view, bytes_str(key), &f->arena, &found) == 0)
		store_touch(f->view, &found.records[0]);
}

static void
test_second_chance(void **state)
{
	struct fixture *f = fixture_new(32 * MIB, 0);
	unsigned hot = 0, cold = 0;
	struct store_stats stats;
	char key[64];

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "old/%u", i);
		put(f, key, "", i, i % 10 ? 10000 : 400000, true);
	}
	for (unsigned i = 0; i < 1500; i++) {
		snprintf(key, sizeof(key), "new/%u", i);
		put(f, key, "", i, 20000, true);
		if (i % 50 == 0)
			store_flush(f->store);
		/* Every fourth old one is asked for all the time. */
		if (i % 10 == 0)
			for (unsigned k = 0; k < 200; k += 4) {
				snprintf(key, sizeof(key), "old/%u", k);
				touch(f, key);
			}
	}
	store_flush(f->store);
	for (unsigned i = 0; i < 200; i++) {
		bool there;

		snprintf(key, sizeof(key), "old/%u", i);
		there = get(f, key, "", i, i % 10 ? 10000 : 400000) == 0;
		hot += there && i % 4 == 0;
		cold += there && i % 4 != 0;
	}
	print_message("hot %u of 50, cold %u of 150\n", hot, cold);
	store_stats(f->store, &stats);
	/* Survivors are written again, but that costs less than storing. */
	assert_true(stats.written > 25ull * MIB);
	assert_true(stats.rewritten * 10 < stats.written * 3);
	assert_true(hot >= 48);
	/* Those are worth a little more than what is new, and twice as
	 * large; all of it cannot stay. */
	assert_true(cold < 110);
	fixture_free(f);
}

/* What is judged first is compared with what is stored, not with itself. */
static void
test_first_look(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_stats stats;
	unsigned there = 0;
	char key[64];

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "hot/%u", i);
		put(f, key, "", i, 8192, true);
		for (unsigned k = 0; k < 12; k++)
			touch(f, key);
	}
	store_flush(f->store);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "new/%u", i);
		put(f, key, "", i, MIB, true);
		if (i % 10 == 0)
			store_flush(f->store);
	}
	store_flush(f->store);
	store_stats(f->store, &stats);
	assert_true(stats.evicted > 20);
	for (unsigned i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "hot/%u", i);
		there += get(f, key, "", i, 8192) == 0;
	}
	assert_int_equal(there, 400);
	fixture_free(f);
}

/* Bodies that wait to be indexed when the bound comes down are all that there
 * is: they are indexed, so that they can go. */
static void
test_cut_before_the_index(void **state)
{
	char key[32];

	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		struct fixture *f = fixture_new(96 * MIB, 0);
		struct store_stats stats;
		int64_t until;

		/* Some are in the catalog, the last ones are not. */
		for (unsigned i = 0; i < 60; i++) {
			if (i == 15 * round)
				store_flush(f->store);
			snprintf(key, sizeof(key), "k%u", i);
			put(f, key, "", i, MIB, true);
		}
		store_resize(f->store, 16 * MIB, 0, 1ull << 40);
		until = clock_mono_ms() + 10000;
		do {
			usleep(20000);
			store_stats(f->store, &stats);
		} while (stats.disk_used > 15 * MIB && clock_mono_ms() < until);
		assert_true(du(f->path) <= 16 * MIB);
		/* And it goes on. */
		put(f, "new", "", 99, MIB, true);
		assert_int_equal(store_flush(f->store), 0);
		assert_int_equal(get(f, "new", "", 99, MIB), 0);
		fixture_free(f);
	}
}

/* Holes: small ones beside each other that go together give space back. */
static void
test_holes(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	uint64_t full;
	char key[32];

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		snprintf(key, sizeof(key), "k%03u", i);
		put(f, key, "", i, 5000, true);
	}
	store_flush(f->store);
	full = du(f->path);
	for (unsigned i = 100; i < 300; i++) {
		snprintf(key, sizeof(key), "k%03u", i);
		assert_int_equal(store_remove(f->store, bytes_str(key), 0), 0);
	}
	store_flush(f->store);
	assert_true(du(f->path) + 800000 < full);
	assert_int_equal(get(f, "k099", "", 99, 5000), 0);
	assert_int_equal(get(f, "k300", "", 300, 5000), 0);
	fixture_free(f);
}

static unsigned
count_packs(const struct fixture *f)
{
	char path[512];
	struct dirent *entry;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/packs", f->path);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

/* Small ones that go here and there leave blocks that nothing can be punched
 * out of: what is left of their packs is merged, and nothing of it is lost. */
static void
test_merge(void **state)
{
	struct fixture *f = fixture_new(128 * MIB, 0);
	struct store_stats stats;
	uint64_t full, before;
	unsigned packs;
	char key[32];

	(void)state;
	for (unsigned i = 0; i < 6000; i++) {
		snprintf(key, sizeof(key), "k%04u", i);
		put(f, key, "", i, 2000, true);
		if (i % 500 == 0)
			store_flush(f->store);
	}
	store_flush(f->store);
	full = du(f->path);
	packs = count_packs(f);
	assert_true(packs > 5);
	store_stats(f->store, &stats);
	before = stats.disk_used;
	for (unsigned i = 0; i < 6000; i++) {
		if (i % 4 == 0)
			continue;
		snprintf(key, sizeof(key), "k%04u", i);
		assert_int_equal(store_remove(f->store, bytes_str(key), 0), 0);
	}
	store_flush(f->store);
	for (unsigned i = 0; i < 5000 && count_packs(f) > packs / 2; i++)
		poll(NULL, 0, 2);
	store_flush(f->store);
	print_message("%u packs, then %u\n", packs, count_packs(f));
	assert_true(count_packs(f) <= packs / 2);
	/* Of 12 MB 9 went; the last pack, which was appended to, has holes. */
	assert_true(du(f->path) + 6 * MIB < full);
	store_stats(f->store, &stats);
	assert_true(stats.disk_used + 6 * MIB < before);
	assert_true(stats.disk_used >= du(f->path));
	assert_int_equal(stats.evicted, 0);
	assert_int_equal(stats.objects, 1500);
	assert_true(stats.rewritten > MIB);
	assert_true(stats.rewritten < 4 * MIB);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 6000; i++) {
			snprintf(key, sizeof(key), "k%04u", i);
			assert_int_equal(get(f, key, "", i, 2000),
			    i % 4 ? LARDER_ABSENT : 0);
		}
		fixture_reopen(f);
	}
	fixture_free(f);
}

static int
on_uses(void *arg, const struct store_item *item)
{
	*(uint64_t *)arg = item->uses;
	return 0;
}

/* What was asked for is known after a restart, though no hit wrote anything. */
static void
test_uses(void **state)
{
	struct fixture *f = fixture_new(32 * MIB, 0);
	struct store_stats before, after;
	uint64_t uses = 0;

	(void)state;
	put(f, "k", "", 1, 1000, true);
	store_flush(f->store);
	store_stats(f->store, &before);
	for (unsigned i = 0; i < 6; i++)
		touch(f, "k");
	store_flush(f->store);
	store_stats(f->store, &after);
	assert_int_equal(after.commits, before.commits);
	fixture_reopen(f);
	store_walk(f->store, BYTES(""), on_uses, &uses);
	assert_int_equal(uses, 7);
	store_stats(f->store, &after);
	assert_true(after.disk_used >= du(f->path));
	fixture_free(f);
}

/* What goes is counted, each object and its bytes, also when large ones go; and
 * a budget that was cut is reached at once, by no more than has to go. */
static void
test_cut(void **state)
{
	struct fixture *f = fixture_new(320 * MIB, 0);
	struct store_stats before, after;
	struct store_removed removed;
	uint64_t was, gone, left = 0;
	int64_t from, took;
	char key[32];

	(void)state;
	for (unsigned i = 0; i < 220; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		put(f, key, "", i, MIB, true);
	}
	for (unsigned round = 0; round < 2; round++) {
		uint64_t size = round ? 48 * MIB : 160 * MIB;

		store_flush(f->store);
		store_stats(f->store, &before);
		was = du(f->path);
		from = clock_mono_ms();
		f->options.size = size;
		f->options.offline = round;
		if (round)
			fixture_reopen(f);
		else
			store_resize(f->store, size, 0, 1ull << 40);
		assert_int_equal(store_gc(f->store, &removed), 0);
		took = clock_mono_ms() - from;
		store_stats(f->store, &after);
		gone = before.objects - after.objects;
		print_message("%llu went in %lld ms\n",
		    (unsigned long long)gone, (long long)took);
		assert_true(took < 5000);
		assert_true(du(f->path) <= size);
		assert_true(gone <= (was - size) / MIB + size / MIB / 8);
		assert_int_equal(after.evicted, gone);
		assert_true(after.evicted_bytes >= gone * MIB);
		assert_true(after.evicted_bytes < gone * (MIB + 8192));
		if (!round)
			continue;
		assert_int_equal(removed.objects, gone);
		assert_true(removed.bytes <= was - du(f->path) + MIB);
		assert_true(removed.bytes + MIB >= was - du(f->path));
	}
	/* They are worth the same, each: those that are left are whole. */
	for (unsigned i = 0; i < 220; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		left += get(f, key, "", i, MIB) == 0;
	}
	assert_int_equal(left, after.objects);
	assert_true(left > 20);
	fixture_free(f);
}

/* ---- everything at once -------------------------------------------------- */

#define STORERS 6u
#define CROWD	(40ull * MIB)

struct storer {
	struct fixture *f;
	pthread_t thread;
	_Atomic bool *stop, *lull;
	unsigned number, stored;
};

/* What there is no room for passes by, and has nobody here to read it. */
static bool
put_if_room(
    struct fixture *f, const char *key, uint64_t seed, size_t n, bool announce)
{
	struct blob *blob =
	    create(f, key, "", key, announce ? n : STORE_UNKNOWN);
	char *body = malloc(n);
	struct bell bell = {0};
	bool passes = false;
	size_t at = 0;

	fill(body, n, seed, 0);
	blob_set_producer(blob, on_wake, &bell);
	while (at < n && !passes) {
		at += blob_append(blob, body + at, n - at);
		passes = blob_is_window(blob);
		if (at < n && !passes)
			bell_wait(&bell);
	}
	blob_set_producer(blob, NULL, NULL);
	if (passes)
		blob_abort(blob, LARDER_CLOSED);
	else
		assert_int_equal(blob_commit(blob), 0);
	blob_unref(&blob);
	free(body);
	return !passes;
}

/* Large ones, of a length that is known or not; half of them can be pressed. */
static void *
store_on(void *arg)
{
	struct storer *s = arg;
	static const unsigned sizes[] = {300, 700, 3000, 1500, 40, 6000};
	char key[64];

	for (unsigned i = 0; !*s->stop; i++) {
		uint64_t seed = s->number * 1000 + i;
		size_t n = sizes[(i + s->number) % ARRAY_SIZE(sizes)] * 1024;

		while (*s->lull && !*s->stop)
			poll(NULL, 0, 10);
		snprintf(key, sizeof(key), "%u/%u", s->number, i);
		s->stored += put_if_room(
		    s->f, key, i % 2 ? seed | TEXT : seed, n, i % 3);
	}
	return NULL;
}

static int
every_third(void *arg, const struct store_item *item)
{
	unsigned *seen = arg;

	(void)item;
	return ++*seen % 3 == 0;
}

static unsigned
count_pressed(struct fixture *f)
{
	unsigned n = 0;
	char key[64], where[128];

	for (unsigned s = 0; s < STORERS; s++)
		for (unsigned i = 0; i < 2000; i++) {
			struct store_found found;

			snprintf(key, sizeof(key), "%u/%u", s, i);
			arena_reset(&f->arena);
			if (store_find(f->view, bytes_str(key), &f->arena,
				&found) == 0 &&
			    store_where(f->store, bytes_str(key),
				found.records[0].id, where, sizeof(where)) == 0)
				n += strstr(where, "frames") != NULL;
			store_view_turn(f->view);
		}
	return n;
}

/* Many large ones in flight while it presses, purges and evicts. */
static void
test_crowd(void **state)
{
	struct fixture *f = fixture_new(CROWD, MIB);
	struct watch w = {f->path, false, 0};
	struct storer storers[STORERS];
	struct store_removed removed;
	struct store_stats stats;
	_Atomic bool stop = false, lull = false;
	unsigned stored = 0, seen = 0, pressed = 0;
	int64_t until;
	pthread_t thread;

	(void)state;
	fixture_shut(f);
	f->options.rest = -1;
	fixture_open(f);
	pthread_create(&thread, NULL, watch_du, &w);
	for (unsigned i = 0; i < STORERS; i++) {
		storers[i] = (struct storer){f, 0, &stop, &lull, i, 0};
		pthread_create(&storers[i].thread, NULL, store_on, &storers[i]);
	}
	for (unsigned round = 0; round < 3; round++) {
		struct bytes all = {NULL, 0};

		poll(NULL, 0, 1000);
		store_remove_matching(
		    f->store, all, every_third, &seen, false, &removed);
		/* The presser lets others go first, and begins at idle. */
		lull = true;
		until = clock_mono_ms() + 20000;
		while (!count_pressed(f) && clock_mono_ms() < until)
			poll(NULL, 0, 50);
		pressed += count_pressed(f);
		lull = false;
	}
	stop = true;
	for (unsigned i = 0; i < STORERS; i++) {
		pthread_join(storers[i].thread, NULL);
		stored += storers[i].stored;
	}
	store_flush(f->store);
	w.stop = true;
	pthread_join(thread, NULL);
	store_stats(f->store, &stats);
	print_message("%u stored, %llu evicted, %llu removed, %u seen pressed; "
		      "at most %llu of %llu bytes\n",
	    stored, (unsigned long long)stats.evicted,
	    (unsigned long long)stats.removed, pressed,
	    (unsigned long long)w.most, CROWD);
	assert_true(w.most <= CROWD);
	assert_true(w.most > CROWD / 2);
	assert_true(stats.evicted > 0 && stats.removed > 0 && pressed > 0);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hard),
	    cmocka_unit_test(test_crowd),
	    cmocka_unit_test(test_second_chance),
	    cmocka_unit_test(test_first_look),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_cut_before_the_index),
	    cmocka_unit_test(test_holes),
	    cmocka_unit_test(test_merge),
	    cmocka_unit_test(test_uses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
