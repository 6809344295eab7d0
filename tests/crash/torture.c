/*
 * Stores, updates and removes objects that describe themselves, until somebody
 * kills it; and checks what a killed one left. Links storage/ and base/ alone.
 *
 *   torture run PATH SIZE SEED [STEPS]
 *                                 works; a line of what it did on its output
 *   torture check PATH SIZE LOG MS
 *                                 opens, and holds what is there against LOG
 *   torture script PATH SIZE      a few of everything, while shim.c lets calls
 *                                 fail; then all has to be well again
 *
 * Objects. Key "key/K"; version V is in the head, the meta and, as the seed of
 * its bytes, in the body: "K V LENGTH". The log: "MS put K V LENGTH",
 * "MS update K V", "MS remove K", "MS flush" (all before is durable), written
 * before the next step begins, with the time at which it was done. What was
 * done more than MS before the last line must be there, or have been evicted
 * whole; what is there must be some version that the log knows, byte for byte.
 */
#include <ftw.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/clock.h"
#include "larder/store.h"
#include "../../storage/sketch.h"

#define KEYS 400u
#define MIB  (1024u * 1024)

/* shim.c's, where it is loaded. */
extern long shim_calls(void) __attribute__((weak));
extern long shim_failed(void) __attribute__((weak));
extern long shim_unread(void) __attribute__((weak));
extern void shim_pardon(void) __attribute__((weak));

struct torture {
	const char *path;
	uint64_t aside; /* bytes counted for what is written when it ends */
	struct store *store;
	struct store_view *view;
	struct arena arena;
	_Atomic int rung;
};

static uint64_t random_state;

static uint64_t
next_random(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static void
fill(char *p, size_t n, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < n; i++) {
		/* Every third body can be compressed. */
		if (seed % 3 == 0) {
			p[i] = "abcdefgh"[(i / 7 + seed) % 8];
			continue;
		}
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (char)x;
	}
}

/* In one call, so that it stands in shim.c's log where it happened. */
static void
say(const char *verb, unsigned k, uint64_t v, size_t n)
{
	char line[128];
	int size =
	    snprintf(line, sizeof(line), "%" PRId64 " %s %u %" PRIu64 " %zu\n",
		clock_wall_ms(), verb, k, v, n);

	check(write(STDOUT_FILENO, line, (size_t)size) == size);
}

static void
on_wake(void *arg)
{
	((struct torture *)arg)->rung = 1;
}

static void
wait_wake(struct torture *t)
{
	while (!atomic_exchange(&t->rung, 0))
		poll(NULL, 0, 1);
}

static void
on_report(void *arg, const char *line)
{
	(void)arg;
	fprintf(stderr, "store: %s\n", line);
}

static int
open_store(struct torture *t, const char *path, uint64_t size)
{
	struct store_options o = {
	    path, size, 2 * MIB, 1ull << 40, false, -1, on_report, NULL};
	char why[256] = "";
	int64_t from = clock_mono_ms();
	struct sketch *sketch = sketch_new(size);

	check(sketch != NULL);
	t->aside = 2 * sketch_size(sketch);
	sketch_free(sketch);
	if (store_open(&t->store, &o, why, sizeof(why))) {
		printf("%s cannot open: %s\n",
		    shim_failed && shim_failed() ? "NOTE" : "FAIL", why);
		return 1;
	}
	if (clock_mono_ms() - from > 1000)
		printf("FAIL slow to open: %" PRId64 " ms\n",
		    clock_mono_ms() - from);
	arena_init(&t->arena, 4 * MIB);
	return store_view_open(t->store, &t->view);
}

/* ---- work ---------------------------------------------------------------- */

static size_t
a_size(void)
{
	uint64_t r = next_random();

	switch (r % 20) {
	case 0:
	case 3:
		return r >> 8 & 0x1fffff; /* up to 2 MiB */
	case 1:
	case 2:
		return 200000 + (r >> 8) % 200000;
	default:
		return (r >> 8) % 12000;
	}
}

static void
do_put(struct torture *t, unsigned k, uint64_t v)
{
	size_t n = a_size(), at = 0;
	char key[32], head[64], *body = malloc(n + 1);
	struct store_new new = {.body_size = v % 2 ? n : STORE_UNKNOWN,
	    .storable = true,
	    .expires = (int64_t)v};
	struct blob *blob;

	snprintf(key, sizeof(key), "key/%u", k);
	snprintf(head, sizeof(head), "%u %" PRIu64 " %zu", k, v, n);
	new.key = bytes_str(key);
	new.head = new.meta = bytes_str(head);
	fill(body, n, v);
	check(store_create(t->store, &new, &blob) == 0);
	blob_set_producer(blob, on_wake, t);
	while (at < n) {
		at += blob_append(blob, body + at, n - at);
		if (at < n)
			wait_wake(t);
	}
	blob_set_producer(blob, NULL, NULL);
	check(blob_commit(blob) == 0);
	if (!blob_is_window(blob))
		say("put", k, v, n);
	blob_unref(&blob);
	free(body);
}

static void
do_update(struct torture *t, unsigned k)
{
	struct store_found found;
	char key[32], head[64];
	uint64_t v, n;
	unsigned was;
	int err;

	snprintf(key, sizeof(key), "key/%u", k);
	arena_reset(&t->arena);
	err = store_find(t->view, bytes_str(key), &t->arena, &found);
	if (err)
		return;
	snprintf(head, sizeof(head), "%.*s", BYTES_FMT(found.records[0].meta));
	check(sscanf(head, "%u %" SCNu64 " %" SCNu64, &was, &v, &n) == 3);
	/* The same body under a head that says it was looked at again. */
	snprintf(
	    head, sizeof(head), "%u %" PRIu64 " %" PRIu64 " again", k, v, n);
	store_touch(t->view, &found.records[0]);
	store_update(t->view, bytes_str(key), found.records[0].id,
	    bytes_str(head), bytes_str(head), 5);
}

static void
do_remove(struct torture *t, unsigned k)
{
	char key[32];

	snprintf(key, sizeof(key), "key/%u", k);
	if (store_remove(t->store, bytes_str(key), 0) == 0)
		say("remove", k, 0, 0);
}

static _Noreturn void
run(struct torture *t, uint64_t seed, uint64_t steps)
{
	uint64_t version = seed << 32;

	random_state = seed;
	say("open", 0, 0, 0);
	for (uint64_t i = 0; !steps || i < steps; i++) {
		unsigned k = (unsigned)(next_random() % KEYS);

		switch (next_random() % 8) {
		case 0:
			do_remove(t, k);
			break;
		case 1:
		case 2:
			do_update(t, k);
			break;
		default:
			do_put(t, k, ++version);
		}
		store_view_turn(t->view);
		if (next_random() % 16 == 0)
			poll(NULL, 0, 1);
		if (next_random() % 24 == 0) {
			store_flush(t->store);
			say("flush", 0, 0, 0);
		}
	}
	_exit(0);
}

/* ---- checks -------------------------------------------------------------- */

struct known {
	/* What must hold: the last that was done long enough before the end of
	 * its session, or what came after that. 0: removed. */
	uint64_t sure, later[64];
	unsigned later_count;
	unsigned older; /* of these, of sessions that were killed */
	int64_t ago;	/* ms that it was done before that end */
	bool has_sure;
};

static struct known known[KEYS];
static unsigned failures;

static void
fail(const char *what, unsigned k)
{
	printf("FAIL %s: key/%u\n", what, k);
	failures++;
}

static void
flushed(struct known *w, int64_t ago)
{
	if (w->later_count == w->older)
		return;
	w->sure = w->later[(w->later_count - 1) % 64];
	w->has_sure = true;
	w->later_count = w->older = 0;
	w->ago = ago;
}

/* One line of the log; sessions begin with "open". */
static void
note(const char *verb, unsigned k, uint64_t v, int64_t ms, int64_t end,
    int64_t grace)
{
	struct known *w = &known[k];

	if (k >= KEYS)
		return;
	if (!strcmp(verb, "open")) {
		/* What a kill may have lost no flush makes durable. */
		for (k = 0; k < KEYS; k++)
			known[k].older = known[k].later_count;
		return;
	}
	if (!strcmp(verb, "flush")) {
		for (k = 0; k < KEYS; k++)
			flushed(&known[k], end - ms);
		return;
	}
	if (ms < end - grace) {
		w->sure = v;
		w->has_sure = true;
		w->later_count = w->older = 0;
		w->ago = end - ms;
	} else {
		w->later[w->later_count++ % 64] = v;
	}
}

static void
read_log(const char *path, int64_t grace)
{
	static int64_t ends[4096];
	FILE *log = fopen(path, "r");
	char line[256], verb[16];
	int64_t ms;

	check(log != NULL);
	for (int pass = 0; pass < 2; pass++) {
		unsigned session = 0;

		rewind(log);
		while (fgets(line, sizeof(line), log)) {
			unsigned k = 0;
			uint64_t v = 0;

			if (!strchr(line, '\n') ||
			    sscanf(line, "%" SCNd64 " %15s %u %" SCNu64, &ms,
				verb, &k, &v) < 2)
				continue;
			session += !strcmp(verb, "open");
			check(session < ARRAY_SIZE(ends));
			if (!pass)
				ends[session] = ms;
			else
				note(verb, k, v, ms, ends[session], grace);
		}
	}
	fclose(log);
}

static bool
allowed(const struct known *w, uint64_t v)
{
	for (unsigned i = 0; i < w->later_count && i < 64; i++)
		if (w->later[i] == v)
			return true;
	return w->later_count > 64 || (w->has_sure && w->sure == v);
}

static int
read_body(struct torture *t, struct blob *blob, char *to, size_t n)
{
	struct blob_reader r;
	struct blob_slice s;
	size_t at = 0;
	int err =
	    blob_reader_open(&r, t->view, blob, 0, STORE_UNKNOWN, on_wake, t);

	while (!err) {
		err = blob_reader_peek(&r, MIB, &s);
		if (err == LARDER_AGAIN) {
			wait_wake(t);
			err = 0;
			continue;
		}
		if (err || at + s.n > n)
			break;
		err = blob_slice_copy(&s, to + at);
		if (err)
			break;
		at += s.n;
		blob_reader_advance(&r, s.n);
	}
	blob_reader_close(&r);
	return err == LARDER_ABSENT && at == n ? 0 : -1;
}

static void
check_one(struct torture *t, const struct store_record *r, unsigned k)
{
	size_t n = r->body_size;
	char meta[128], *got = malloc(n + 1), *want = malloc(n + 1);
	struct blob *blob;
	uint64_t v = 0, length = 0;
	unsigned key = KEYS;

	snprintf(meta, sizeof(meta), "%.*s", BYTES_FMT(r->meta));
	if (sscanf(meta, "%u %" SCNu64 " %" SCNu64, &key, &v, &length) != 3 ||
	    key != k || length != n) {
		fail("meta and record differ", k);
	} else if (store_open_blob(t->view, r, &blob)) {
		fail("found, but does not open", k);
	} else {
		fill(want, n, v);
		if (read_body(t, blob, got, n))
			fail("found, but does not read", k);
		else if (memcmp(got, want, n) != 0)
			fail("WRONG BYTES", k);
		blob_unref(&blob);
		/* A log that lost its last line in the kill: the next
		 * version may be there. */
		if (!allowed(&known[k], v) && known[k].sure > v) {
			fail("an older version than the one committed", k);
			printf("there %" PRIu64 ", sure %" PRIu64 ", %" PRId64
			       " ms before the end, %u later\n",
			    v, known[k].sure, known[k].ago,
			    known[k].later_count);
		}
	}
	free(got);
	free(want);
}

static bool
is_pressed(struct torture *t, const struct store_record *r)
{
	char where[128] = "";

	store_where(t->store, r->key, r->id, where, sizeof(where));
	return strstr(where, "zstd frames") != NULL;
}

/* What is found is what was stored; false: it is not found. An error of the
 * disk is one of the disk. */
static bool
look(struct torture *t, unsigned k, bool disk_is_well)
{
	struct store_found found;
	struct blob *blob;
	char key[32], meta[128], *got, *want;
	uint64_t v = 0, n = 0;
	unsigned was = 0;
	int err;

	snprintf(key, sizeof(key), "key/%u", k);
	arena_reset(&t->arena);
	err = store_find(t->view, bytes_str(key), &t->arena, &found);
	store_view_turn(t->view);
	if (err && disk_is_well && err != LARDER_ABSENT)
		fail("look-up failed", k);
	if (err || store_open_blob(t->view, &found.records[0], &blob) != 0)
		return false;
	snprintf(meta, sizeof(meta), "%.*s", BYTES_FMT(found.records[0].meta));
	if (sscanf(meta, "%u %" SCNu64 " %" SCNu64, &was, &v, &n) != 3 ||
	    was != k || n != found.records[0].body_size) {
		fail("meta and record differ", k);
		printf("%s, %" PRIu64 "\n", meta, found.records[0].body_size);
	}
	got = malloc(n + 1);
	want = malloc(n + 1);
	fill(want, n, v);
	err = read_body(t, blob, got, n);
	if (err && disk_is_well)
		fail("found, but does not read", k);
	if (!err && memcmp(got, want, n) != 0)
		fail("WRONG BYTES", k);
	blob_unref(&blob);
	free(got);
	free(want);
	return !err;
}

/* A catalog that was lost is made anew; nothing wrong is found meanwhile. */
static void
wait_filled(struct torture *t)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/catalog.rebuild", t->path);
	for (unsigned i = 0; i < 6000 && access(path, F_OK) == 0; i++) {
		for (unsigned k = 0; k < KEYS; k++)
			look(t, k, true);
		poll(NULL, 0, 10);
	}
	if (access(path, F_OK) == 0)
		fail("the catalog was not filled", 0);
}

static uint64_t taken;

static int
on_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)flag;
	(void)ftw;
	taken += (uint64_t)st->st_blocks * 512;
	return 0;
}

static uint64_t
du(const char *path)
{
	taken = 0;
	nftw(path, on_file, 16, FTW_PHYS);
	return taken;
}

/* Nothing on the disk that is not counted, and what nothing names is found;
 * nothing counted that is not there. */
static void
check_space(struct torture *t)
{
	struct store_removed removed;
	struct store_stats stats;

	check(store_gc(t->store, &removed) == 0);
	/* The presser may have room reserved for what it writes. */
	for (unsigned i = 0; i < 200; i++) {
		store_stats(t->store, &stats);
		taken = du(t->path);
		if (taken <= stats.disk_used &&
		    stats.disk_used <= taken + t->aside + 2 * MIB)
			break;
		poll(NULL, 0, 20);
	}
	if (taken > stats.disk_used ||
	    stats.disk_used > taken + t->aside + 2 * MIB) {
		fail("leaked space", 0);
		printf("du %" PRIu64 ", counted %" PRIu64 "\n", taken,
		    stats.disk_used);
	}
}

static int
check_all(struct torture *t, const char *log, int64_t grace)
{
	struct store_damage damage;
	struct store_stats stats;
	unsigned there = 0, missing = 0, pressed = 0;

	/* What a crash left over has gone. */
	printf("opened with %" PRIu64 "\n", du(t->path));
	read_log(log, grace);
	wait_filled(t);
	for (unsigned k = 0; k < KEYS; k++) {
		struct store_found found;
		char key[32];
		int err;

		snprintf(key, sizeof(key), "key/%u", k);
		arena_reset(&t->arena);
		err = store_find(t->view, bytes_str(key), &t->arena, &found);
		store_view_turn(t->view);
		if (!err) {
			there++;
			pressed += is_pressed(t, &found.records[0]);
			check_one(t, &found.records[0], k);
			if (known[k].has_sure && !known[k].sure &&
			    !known[k].later_count)
				fail("removed, and there again", k);
		} else if (err != LARDER_ABSENT) {
			fail("look-up failed", k);
		} else if (known[k].has_sure && known[k].sure &&
			   !known[k].later_count) {
			missing++;
			printf("missing key/%u, done %" PRId64
			       " ms before the end\n",
			    k, known[k].ago);
		}
	}
	store_stats(t->store, &stats);
	check(store_verify(t->store, NULL, NULL, &damage) == 0);
	if (damage.damaged || stats.damaged)
		fail("damage", 0);
	if (stats.objects != there)
		fail("the count of objects is wrong", 0);
	check_space(t);
	printf("there %u missing %u used %" PRIu64 " pressed %u\n", there,
	    missing, stats.disk_used, pressed);
	return failures != 0;
}

/* ---- a script, for faults ------------------------------------------------ */

/* Takes what there is, as a client does that reads what is being fetched. */
static int
drink(struct torture *t, struct blob_reader *r, const char *want, size_t *at,
    bool all)
{
	struct blob_slice s;
	int err;

	for (;;) {
		char buf[65536];

		err = blob_reader_peek(r, sizeof(buf), &s);
		if (err == LARDER_AGAIN && !all)
			return 0;
		if (err == LARDER_AGAIN) {
			wait_wake(t);
			continue;
		}
		if (!err)
			err = blob_slice_copy(&s, buf);
		if (err)
			return err;
		if (memcmp(buf, want + *at, s.n) != 0) {
			fail("WRONG BYTES while it is fetched", 0);
			return LARDER_IO;
		}
		*at += s.n;
		blob_reader_advance(r, s.n);
	}
}

/* A fetch with a client: that one gets every byte, whatever the disk does. */
static void
fetch(struct torture *t, unsigned k, uint64_t v, size_t n, bool known_size)
{
	char key[32], head[64], *body = malloc(n + 1);
	struct store_new new = {
	    .body_size = known_size ? n : STORE_UNKNOWN, .storable = true};
	struct blob_reader r;
	size_t at = 0, got = 0;
	struct blob *blob;
	int err = 0;

	snprintf(key, sizeof(key), "key/%u", k);
	snprintf(head, sizeof(head), "%u %" PRIu64 " %zu", k, v, n);
	new.key = bytes_str(key);
	new.head = new.meta = bytes_str(head);
	fill(body, n, v);
	check(store_create(t->store, &new, &blob) == 0);
	check(blob_reader_open(
		  &r, t->view, blob, 0, STORE_UNKNOWN, on_wake, t) == 0);
	blob_set_producer(blob, on_wake, t);
	while (at < n) {
		size_t took = blob_append(blob, body + at, n - at);

		at += took;
		if (!err)
			err = drink(t, &r, body, &got, false);
		/* One that cannot read on leaves; what passes by without any
		 * reader is not fetched on. */
		if (err)
			blob_reader_close(&r);
		if (err && blob_is_window(blob))
			break;
		if (!took)
			wait_wake(t);
	}
	blob_set_producer(blob, NULL, NULL);
	if (at < n)
		blob_abort(blob, LARDER_CLOSED);
	else if (blob_commit(blob) != 0)
		fail("a fetch could not be ended", k);
	if (!err)
		err = drink(t, &r, body, &got, true);
	/* What was written, and is not in memory any more, may be unreadable;
	 * nothing else is a reason. */
	if ((got != n || (err && err != LARDER_ABSENT)) &&
	    !(err == LARDER_IO && shim_unread && shim_unread())) {
		fail("a client did not get what was fetched", k);
		printf("%zu of %zu bytes, error %d\n", got, n, err);
	}
	blob_reader_close(&r);
	blob_unref(&blob);
	free(body);
}

static void
a_few_of_everything(struct torture *t)
{
	for (unsigned k = 0; k < 12; k++)
		fetch(t, k, k + 1,
		    k % 3 == 0	 ? 700000 + k
		    : k % 3 == 1 ? 300000 + k
				 : 3000 + k,
		    k % 2);
	store_flush(t->store);
	for (unsigned k = 0; k < 12; k += 4)
		do_update(t, k);
	for (unsigned k = 1; k < 12; k += 5)
		store_remove(t->store, bytes_of("key/1", 5), 0);
	store_flush(t->store);
	for (unsigned k = 0; k < 12; k++)
		look(t, k, false);
	/* More than fits. */
	for (unsigned k = 12; k < 26; k++)
		fetch(t, k, k + 1, 900000 + k, true);
	store_flush(t->store);
}

/* Space is back: it stores again, and after a restart all is as it was. */
static void
well_again(struct torture *t, uint64_t size)
{
	struct store_damage damage;
	unsigned tries = 0;

	do {
		fetch(t, 30, 77 + tries, 5000, true);
		fetch(t, 31, 177 + tries, 600000, true);
		store_flush(t->store);
	} while (!(look(t, 30, true) && look(t, 31, true)) && ++tries < 20 &&
		 poll(NULL, 0, 50) == 0);
	if (tries == 20)
		fail("it does not store again", 30);
	store_view_close(&t->view);
	store_close(&t->store);
	arena_release(&t->arena);
	if (open_store(t, t->path, size))
		exit(1);
	for (unsigned k = 0; k < 32; k++)
		look(t, k, true);
	if (!look(t, 30, true) || !look(t, 31, true))
		fail("what was stored is gone", 30);
	check(store_verify(t->store, NULL, NULL, &damage) == 0);
	if (damage.damaged)
		fail("damage", 0);
	check_space(t);
}

static int
script(struct torture *t, uint64_t size)
{
	struct store_stats stats = {0};
	long calls = shim_calls ? shim_calls() : 0;
	bool opened = open_store(t, t->path, size) == 0;

	/* A disk that fails while it opens: it says so, and lives. */
	failures = 0;
	if (opened) {
		a_few_of_everything(t);
		store_stats(t->store, &stats);
	}
	calls = shim_calls ? shim_calls() - calls : 0;
	if (shim_pardon)
		shim_pardon();
	if (!opened && open_store(t, t->path, size))
		return 1;
	well_again(t, size);
	store_view_close(&t->view);
	store_close(&t->store);
	arena_release(&t->arena);
	printf("calls %ld failed %ld counted %" PRIu64 "\n", calls,
	    shim_failed ? shim_failed() : 0, stats.io_errors);
	return failures != 0;
}

int
main(int argc, char **argv)
{
	struct torture t = {.path = argc > 2 ? argv[2] : NULL};
	int result;

	if (argc == 4 && !strcmp(argv[1], "script"))
		return script(&t, strtoull(argv[3], NULL, 10));
	if (argc < 5 || (!strcmp(argv[1], "check") && argc < 6)) {
		fprintf(stderr,
		    "usage: %s run PATH SIZE SEED [STEPS] | "
		    "check PATH SIZE LOG MS | script PATH SIZE\n",
		    argv[0]);
		return 2;
	}
	if (open_store(&t, argv[2], strtoull(argv[3], NULL, 10)))
		return 1;
	if (!strcmp(argv[1], "run"))
		run(&t, strtoull(argv[4], NULL, 10),
		    argc > 5 ? strtoull(argv[5], NULL, 10) : 0);
	result = check_all(&t, argv[4], atoll(argv[5]));
	store_view_close(&t.view);
	store_close(&t.store);
	arena_release(&t.arena);
	return result;
}
