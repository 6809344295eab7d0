/*
 * A catalog that is lost or damaged: it is made anew out of what is stored, and
 * whatever is flipped in the store's files, no wrong byte comes out of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>

#include "pages.h"
#include "util.h"

#define MIB	(1024u * 1024)
#define CATALOG "catalog.mdb"

static char *
path_of(struct fixture *f, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	return path;
}

static bool
there(struct fixture *f, const char *name)
{
	return access(path_of(f, name), F_OK) == 0;
}

/* Small ones, large ones, variants, updated ones, removed ones. */
static void
stock(struct fixture *f)
{
	struct store_found found;
	char key[32];

	for (unsigned i = 0; i < 60; i++) {
		snprintf(key, sizeof(key), "http://a.example/%u", i);
		put(f, key, "", i, i % 10 ? 3000 + i : 300000 + i, i % 2);
		if (i % 7 == 0)
			put(f, key, "gzip", i + 1000, 500, true);
	}
	store_flush(f->store);
	for (unsigned i = 0; i < 60; i += 6) {
		snprintf(key, sizeof(key), "http://a.example/%u", i);
		arena_reset(&f->arena);
		assert_int_equal(
		    store_find(f->view, bytes_str(key), &f->arena, &found), 0);
		assert_int_equal(
		    store_update(f->view, bytes_str(key), found.records[0].id,
			BYTES("new meta"), BYTES("new head"), 77),
		    0);
		store_view_turn(f->view);
	}
	for (unsigned i = 5; i < 60; i += 10) {
		snprintf(key, sizeof(key), "http://a.example/%u", i);
		assert_int_equal(store_remove(f->store, bytes_str(key), 0), 0);
	}
	store_flush(f->store);
	/* Replaced: the old one must not come back. */
	put(f, "http://a.example/1", "", 4321, 2500, true);
	store_flush(f->store);
}

static unsigned
check_stock(struct fixture *f, bool all)
{
	struct store_found found;
	unsigned have = 0;
	char key[32];

	for (unsigned i = 0; i < 60; i++) {
		uint64_t n = i % 10 ? 3000 + i : 300000 + i, seed = i;
		int err;

		snprintf(key, sizeof(key), "http://a.example/%u", i);
		if (i == 1) {
			n = 2500;
			seed = 4321;
		}
		err = get(f, key, "", seed, n);
		store_view_turn(f->view);
		if (i % 10 == 5) {
			assert_int_equal(err, LARDER_ABSENT);
			continue;
		}
		if (all)
			assert_int_equal(err, 0);
		have += !err;
		if (err)
			continue;
		if (i % 7 == 0 && all)
			assert_int_equal(get(f, key, "gzip", i + 1000, 500), 0);
		arena_reset(&f->arena);
		if (store_find(f->view, bytes_str(key), &f->arena, &found))
			continue;
		if (i % 6 == 0 && i % 7 && all) {
			assert_true(
			    bytes_eq(found.records[0].meta, BYTES("new meta")));
			assert_int_equal(found.records[0].expires, 77);
		}
		store_view_turn(f->view);
	}
	return have;
}

static void
wait_filled(struct fixture *f)
{
	for (unsigned i = 0; i < 2000 && there(f, "catalog.rebuild"); i++)
		poll(NULL, 0, 10);
	assert_false(there(f, "catalog.rebuild"));
	store_flush(f->store);
}

/* The same objects, counted alike, on a disk that is counted alike. */
static void
same_as(struct fixture *f, const struct store_stats *before)
{
	struct store_stats now;
	struct store_damage damage;

	wait_filled(f);
	store_stats(f->store, &now);
	assert_int_equal(now.objects, before->objects);
	assert_int_equal(now.body_bytes, before->body_bytes);
	/* What was moved meanwhile is told of in a little more or less. */
	assert_in_range(now.stored_bytes, before->stored_bytes * 99 / 100,
	    before->stored_bytes * 101 / 100);
	assert_true(now.disk_used >= du(f->path));
	assert_true(now.disk_used <= du(f->path) + 2 * MIB);
	check_stock(f, true);
	assert_int_equal(store_verify(f->store, NULL, NULL, &damage), 0);
	assert_int_equal(damage.damaged, 0);
}

static void
test_lost(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_stats stats;

	(void)state;
	stock(f);
	store_stats(f->store, &stats);
	fixture_shut(f);
	assert_int_equal(unlink(path_of(f, CATALOG)), 0);
	fixture_open(f);
	same_as(f, &stats);
	/* And it goes on, as a store that was never hurt. */
	put(f, "new", "", 5, 400000, true);
	fixture_reopen(f);
	assert_int_equal(get(f, "new", "", 5, 400000), 0);
	assert_int_equal(store_remove(f->store, BYTES("new"), 0), 0);
	store_flush(f->store);
	same_as(f, &stats);
	fixture_free(f);
}

static void
write_at(const char *path, off_t at, const char *bytes, size_t n, bool cut)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	if (cut)
		assert_int_equal(ftruncate(fd, at), 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

static off_t
size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

/* Each is set aside under its other name, said once, and made anew. */
static void
test_damaged(void **state)
{
	static char zeros[65536], text[] = "This is somebody's diary.\n";
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_stats stats;

	(void)state;
	stock(f);
	store_stats(f->store, &stats);
	for (unsigned how = 0; how < 6; how++) {
		char *path = path_of(f, CATALOG);
		off_t size;

		fixture_shut(f);
		size = size_of(path);
		switch (how) {
		case 0: /* foreign */
			write_at(path, 0, text, sizeof(text), true);
			break;
		case 1: /* cut short */
			write_at(path, size / 2, "", 0, true);
			break;
		case 2: /* its meta pages gone */
			write_at(path, 0, zeros, 8192, false);
			break;
		case 3: /* all but its meta pages */
			for (off_t at = 8192; at < size; at += 4096)
				write_at(path, at, zeros, 4096, false);
			break;
		case 4: /* one page, of whatever */
			write_at(path, size / 8192 * 4096, zeros, 4096, false);
			break;
		case 5: /* empty */
			write_at(path, 0, "", 0, true);
			unlink(path);
			break;
		}
		f->reports[0] = '\0';
		fixture_open(f);
		wait_filled(f);
		/* A page that nothing used may be anything. */
		if (how != 4)
			assert_non_null(strstr(f->reports, "made anew"));
		same_as(f, &stats);
		assert_true(there(f, "catalog.damaged"));
	}
	fixture_free(f);
}

/* Found while it is used, by what LMDB falls over. */
static void
test_under_way(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_stats stats;

	(void)state;
	stock(f);
	store_stats(f->store, &stats);
	fixture_reopen(f);
	/* Its pages are gone: SIGBUS for who looks at them. */
	assert_int_equal(truncate(path_of(f, CATALOG), 8192), 0);
	put(f, "fresh", "", 9, 1000, true);
	(void)get(f, "http://a.example/3", "", 3, 3003);
	for (unsigned i = 0; i < 1000 && !there(f, "catalog.damaged"); i++)
		poll(NULL, 0, 10);
	assert_true(there(f, "catalog.damaged"));
	wait_filled(f);
	assert_int_equal(get(f, "fresh", "", 9, 1000), 0);
	assert_int_equal(store_remove(f->store, BYTES("fresh"), 0), 0);
	store_flush(f->store);
	same_as(f, &stats);
	fixture_reopen(f);
	same_as(f, &stats);
	fixture_free(f);
}

/* Killed while it fills: it begins again. What is removed meanwhile is. */
static void
test_interrupted(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_stats stats;

	(void)state;
	stock(f);
	put(f, "secret", "", 1, 100, true);
	store_flush(f->store);
	fixture_shut(f);
	unlink(path_of(f, CATALOG));
	fixture_open(f);
	(void)store_remove(f->store, BYTES("secret"), 0);
	wait_filled(f);
	assert_int_equal(get(f, "secret", "", 1, 100), LARDER_ABSENT);
	store_stats(f->store, &stats);
	fixture_shut(f);
	fclose(fopen(path_of(f, "catalog.rebuild"), "w"));
	fixture_open(f);
	same_as(f, &stats);
	fixture_free(f);
}

static int
on_damage(void *arg, const struct store_item *item)
{
	snprintf(arg, 64, "%.*s", BYTES_FMT(item->record.key));
	return 0;
}

/* What a look-up would only have missed is found by who verifies, and mended:
 * the object is in its pack. */
static void
test_verified(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_stats stats;
	struct store_damage damage;
	char buf[65536], word[64] = "", *path = path_of(f, CATALOG), *hit;
	_Atomic bool stop = true;
	unsigned hits = 0;
	int fd;

	(void)state;
	stock(f);
	store_stats(f->store, &stats);
	fixture_reopen(f);
	/* A byte of a key that stands in a value, and so far in no page's
	 * order. */
	fd = open(path, O_RDWR);
	for (off_t at = 8192;; at += sizeof(buf) - 64) {
		ssize_t n = pread(fd, buf, sizeof(buf), at);

		if (n < 64)
			break;
		for (hit = memmem(buf, (size_t)n, "new meta", 8); hit;
		     hit = memmem(
			 hit + 1, (size_t)(buf + n - hit - 1), "new meta", 8)) {
			assert_int_equal(
			    pwrite(fd, "old", 3, at + (hit - buf)), 3);
			hits++;
		}
	}
	assert_true(hits > 0);
	close(fd);
	assert_int_equal(
	    store_verify_until(f->store, on_damage, word, &stop, &damage),
	    LARDER_CLOSED);
	assert_int_equal(store_verify(f->store, on_damage, word, &damage), 0);
	assert_true(damage.damaged >= 1);
	assert_string_equal(word, "the catalog, made anew");
	same_as(f, &stats);
	fixture_free(f);
}

/* Whatever stands in the file, looking through it ends, and well. */
static void
test_garbage(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	char *sound, *bad;
	unsigned found = 0;
	ssize_t n;
	int fd;

	(void)state;
	stock(f);
	fixture_shut(f);
	fd = open(path_of(f, CATALOG), O_RDWR);
	n = size_of(path_of(f, CATALOG));
	sound = malloc((size_t)n);
	bad = malloc((size_t)n);
	assert_int_equal(pread(fd, sound, (size_t)n, 0), n);
	assert_int_equal(pages_check(fd, UINT64_MAX), 0);
	for (uint64_t i = 0; i < 400; i++) {
		uint64_t flips = 1 + mixed(3, i) % 64;

		memcpy(bad, sound, (size_t)n);
		for (uint64_t k = 0; k < flips; k++) {
			uint64_t at = mixed(i, k) % (uint64_t)n;

			/* Most of them where the pages' own fields are. */
			if (k % 4)
				at = at / 4096 * 4096 + at % 48;
			bad[at] = (char)mixed(k, i);
		}
		assert_int_equal(pwrite(fd, bad, (size_t)n, 0), n);
		found += pages_check(fd, UINT64_MAX) == LARDER_DAMAGED;
	}
	assert_true(found > 300);
	assert_int_equal(pwrite(fd, sound, (size_t)n, 0), n);
	close(fd);
	free(sound);
	free(bad);
	fixture_open(f);
	check_stock(f, true);
	fixture_free(f);
}

/* ---- one that is too large to be looked through at the start ----------------
 */

#define LARGE_COUNT 9000u
#define LARGE_META  1500u

static void
put_large(struct fixture *f, unsigned i)
{
	char key[32], meta[LARGE_META];
	struct store_new new = {.storable = true, .body_size = 4};
	struct blob *blob;

	snprintf(key, sizeof(key), "http://large.example/%u", i);
	fill(meta, sizeof(meta), i, 0);
	new.key = bytes_str(key);
	new.meta = (struct bytes){meta, sizeof(meta)};
	assert_int_equal(store_create(f->store, &new, &blob), 0);
	assert_false(blob_is_window(blob));
	assert_int_equal(blob_append(blob, "body", 4), 4);
	assert_int_equal(blob_commit(blob), 0);
	blob_unref(&blob);
}

/* Of pages that nobody reads, how far their offsets reach. */
static unsigned
rot_deep(const char *path)
{
	unsigned char head[16], far[2] = {0xff, 0xff};
	uint64_t end = size_of(path);
	int fd = open(path, O_RDWR);
	unsigned n = 0;

	assert_true(end > 17 * MIB);
	for (uint64_t at = end / 16384 * 4096; at < end; at += 4096) {
		assert_int_equal(pread(fd, head, 16, (off_t)at), 16);
		if (head[10] == 2 && head[11] == 0 && n++ % 16 == 0)
			assert_int_equal(pwrite(fd, far, 2, (off_t)at + 12), 2);
	}
	close(fd);
	return n;
}

static void
test_deep(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, MIB);
	struct store_found found;
	struct store_stats stats;
	char key[32];

	(void)state;
	for (unsigned i = 0; i < LARGE_COUNT; i++) {
		put_large(f, i);
		if (i % 1000 == 0)
			assert_int_equal(store_flush(f->store), 0);
	}
	fixture_reopen(f);
	store_stats(f->store, &stats);
	assert_int_equal(stats.objects, LARGE_COUNT);
	fixture_shut(f);
	assert_true(rot_deep(path_of(f, CATALOG)) > 0);
	fixture_open(f);
	/* It is found before anything is written. */
	put_large(f, LARGE_COUNT);
	assert_int_equal(store_flush(f->store), 0);
	assert_true(there(f, "catalog.damaged"));
	wait_filled(f);
	for (unsigned i = 0; i <= LARGE_COUNT; i++) {
		snprintf(key, sizeof(key), "http://large.example/%u", i);
		arena_reset(&f->arena);
		assert_int_equal(
		    store_find(f->view, bytes_str(key), &f->arena, &found), 0);
		assert_int_equal(found.records[0].meta.n, LARGE_META);
		store_view_turn(f->view);
	}
	fixture_free(f);
}

/* ---- space that nothing knows ---------------------------------------------
 */

static void
test_swept(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	static char junk[300000];
	struct store_stats stats;
	struct store_removed removed;
	uint64_t before;

	(void)state;
	stock(f);
	fixture_shut(f);
	before = du(f->path);
	memset(junk, 'x', sizeof(junk));
	write_at(
	    path_of(f, "packs/00000000000fffff"), 0, junk, sizeof(junk), true);
	mkdir(path_of(f, "blobs/fe"), 0700);
	write_at(path_of(f, "blobs/fe/00000000000ffffe"), 0, junk, sizeof(junk),
	    true);
	/* Not ours. */
	write_at(path_of(f, "packs/readme"), 0, junk, 10, true);
	fixture_open(f);
	store_stats(f->store, &stats);
	assert_int_equal(store_gc(f->store, &removed), 0);
	assert_false(there(f, "packs/00000000000fffff"));
	assert_false(there(f, "blobs/fe/00000000000ffffe"));
	assert_true(there(f, "packs/readme"));
	assert_true(du(f->path) <= before + 16384);
	check_stock(f, true);
	assert_int_equal(removed.objects, 0);
	assert_true(removed.bytes >= 600000);
	fixture_free(f);
}

/* ---- rot ------------------------------------------------------------------
 */

struct found_files {
	char names[512][300];
	off_t sizes[512];
	unsigned count;
};

static struct found_files files;

static int
on_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)ftw;
	if (flag != FTW_F || !st->st_size || strstr(path, "catalog.damaged"))
		return 0;
	snprintf(files.names[files.count], 300, "%s", path);
	files.sizes[files.count++] = st->st_size;
	return files.count == 512;
}

static void
flip_at(const char *path, off_t at, unsigned bit)
{
	char byte;
	int fd = open(path, O_RDWR);

	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= (char)(1u << bit);
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
}

/* Any bit of any file: get() compares each byte, and each head is asked for by
 * what it says. */
static void
test_any_bit(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	const char *rounds = getenv("LARDER_TEST_FLIPS");
	unsigned n = rounds ? (unsigned)atoi(rounds) : 30, least = 60;
	uint64_t seed = rounds ? (uint64_t)getpid() : 7;

	(void)state;
	stock(f);
	/* Nothing behind its back: to open and shut it takes no time then. */
	f->options.offline = true;
	for (unsigned i = 0; i < n; i++) {
		unsigned have;
		uint64_t at, which;

		fixture_shut(f);
		files.count = 0;
		nftw(f->path, on_file, 16, FTW_PHYS);
		which = mixed(seed, 3 * i) % files.count;
		at = mixed(seed, 3 * i + 1) % (uint64_t)files.sizes[which];
		flip_at(files.names[which], (off_t)at,
		    (unsigned)(mixed(seed, 3 * i + 2) % 8));
		fixture_open(f);
		put(f, "written", "", i, 2000, true);
		have = check_stock(f, false);
		wait_filled(f);
		have = check_stock(f, false);
		least = have < least ? have : least;
		/* What went is fetched anew. */
		if (have < 54) {
			fixture_shut(f);
			fixture_open(f);
			stock(f);
		}
	}
	/* One bit is one object, a pack's front or a blob's; no more. */
	print_message("%u flips, at least %u of 54 left\n", n, least);
	assert_true(least >= 52);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lost),
	    cmocka_unit_test(test_damaged),
	    cmocka_unit_test(test_under_way),
	    cmocka_unit_test(test_interrupted),
	    cmocka_unit_test(test_verified),
	    cmocka_unit_test(test_garbage),
	    cmocka_unit_test(test_deep),
	    cmocka_unit_test(test_swept),
	    cmocka_unit_test(test_any_bit),
	};

	/* A store is made hundreds of times: not on a disk that syncs. */
	if (access("/dev/shm", W_OK) == 0)
		setenv("TMPDIR", "/dev/shm", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
