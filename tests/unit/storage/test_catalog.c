/*
 * The catalog: what was put is found by its whole key and by no other, walks
 * are in order, and neither damage nor a copy of the file changes an answer.
 */
#include "util.h"

#include <errno.h>
#include <fcntl.h>

#include "block.h"
#include "catalog.h"
#include "disk.h"
#include "file.h"
#include "larder/check.h"

#define MIB  (1024u * 1024)
#define KEYS 3000u

struct place_of_tests {
	char folder[256], path[300];
	int dir;
	struct catalog *c;
	struct catalog_reader *r;
};

static void
reopen(struct place_of_tests *p)
{
	catalog_reader_close(&p->r);
	catalog_close(&p->c);
	assert_int_equal(catalog_open(&p->c, p->path, 1ull << 32), 0);
	assert_int_equal(catalog_reader_open(p->c, &p->r), 0);
}

static void
begin(struct place_of_tests *p)
{
	memset(p, 0, sizeof(*p));
	strcpy(p->folder, "/tmp/larder-test.XXXXXX");
	assert_non_null(mkdtemp(p->folder));
	snprintf(p->path, sizeof(p->path), "%s/" CATALOG_FILE, p->folder);
	assert_int_equal(disk_open_folder(p->folder, false, &p->dir), 0);
	reopen(p);
}

static void
end(struct place_of_tests *p)
{
	catalog_reader_close(&p->r);
	catalog_close(&p->c);
	disk_close(p->dir);
	nftw(p->folder, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- a model ------------------------------------------------------------- */

struct row {
	char *key;
	size_t n;
	struct hash hash;
	char value[2000];
	size_t size; /* 0: it is not there */
};

/* Of all lengths, most of them with much in common. */
static void
make_key(struct row *row, unsigned i)
{
	static char room[STORE_KEY_MAX];
	size_t n = (size_t)snprintf(room, sizeof(room),
	    "http://%c.example/%u/%u", 'a' + i % 5, i * 7919 % 50, i);

	if (i % 50 == 7) {
		/* These differ behind the cut only. */
		n = CATALOG_CUT - 10 + i % 20 + i;
		memset(room, 'l', n);
		snprintf(room + n - 8, 9, "%08u", i);
	}
	if (i == 57)
		n = STORE_KEY_MAX;
	if (i == 0)
		n = 0;
	row->key = malloc(n + 1);
	assert_non_null(row->key);
	memcpy(row->key, room, n);
	row->n = n;
	row->hash = (struct hash){i * 0x9e3779b97f4a7c15u, i % 3};
}

static void
put_row(struct catalog *c, struct row *row, size_t size)
{
	struct bytes value = {NULL, 0};

	row->size = size;
	for (size_t i = 0; i < size; i++)
		row->value[i] = (char)(1 + random() % 32);
	if (size)
		value = bytes_of(row->value, size);
	assert_int_equal(
	    catalog_put(c, row->hash, bytes_of(row->key, row->n), value), 0);
}

static void
check_row(struct catalog_reader *r, const struct row *row)
{
	struct bytes key = {row->key, row->n}, value;
	int err = catalog_get(r, row->hash, key, &value);

	assert_int_equal(err, row->size ? 0 : LARDER_ABSENT);
	if (!err) {
		assert_int_equal(value.n, row->size);
		assert_memory_equal(value.p, row->value, value.n);
	}
	/* The same hash is no key. */
	if (row->n) {
		row->key[row->n - 1] ^= 0x40;
		assert_int_equal(
		    catalog_get(r, row->hash, key, &value), LARDER_ABSENT);
		row->key[row->n - 1] ^= 0x40;
	}
}

static int
compare_rows(const void *pa, const void *pb)
{
	const struct row *a = *(struct row *const *)pa;
	const struct row *b = *(struct row *const *)pb;
	int order = memcmp(a->key, b->key, a->n < b->n ? a->n : b->n);

	return order ? order : a->n < b->n ? -1 : a->n > b->n;
}

/* Each key once, and short ones in order; the others somewhere among those
 * that begin like them. */
static void
check_walk(struct catalog_reader *r, struct row **sorted, const char *prefix)
{
	struct bytes start = bytes_str(prefix);
	struct catalog_walk walk = {.count = 1};
	unsigned seen = 0, expected = 0, at = 0;

	for (unsigned i = 0; i < KEYS; i++)
		expected +=
		    sorted[i]->size &&
		    bytes_starts(bytes_of(sorted[i]->key, sorted[i]->n), start);
	while (walk.count) {
		assert_int_equal(catalog_urls(r, start, &walk), 0);
		for (unsigned i = 0; i < walk.count; i++) {
			struct bytes key = walk.keys[i];

			seen++;
			assert_true(bytes_starts(key, start));
			if (key.n > CATALOG_CUT)
				continue;
			while (
			    !sorted[at]->size ||
			    !bytes_eq(
				bytes_of(sorted[at]->key, sorted[at]->n), key))
				assert_in_range(++at, 0, KEYS - 1);
		}
		catalog_reader_rest(r);
	}
	assert_int_equal(seen, expected);
	catalog_walk_release(&walk);
}

static void
test_model(void **state)
{
	static struct row rows[KEYS];
	struct row *sorted[KEYS];
	struct place_of_tests p;

	(void)state;
	srandom(7);
	begin(&p);
	for (unsigned i = 0; i < KEYS; i++) {
		make_key(&rows[i], i);
		sorted[i] = &rows[i];
	}
	qsort(sorted, KEYS, sizeof(*sorted), compare_rows);
	for (unsigned round = 0; round < 12; round++) {
		assert_int_equal(catalog_begin(p.c), 0);
		for (unsigned k = 0; k < 2000; k++) {
			struct row *row = &rows[(size_t)random() % KEYS];
			bool large = random() % 40 == 0;
			size_t size = (size_t)random() % (large ? 2000 : 150);

			/* It grows, then it shrinks, to nothing. */
			if (random() % 12 < (long)round)
				size = 0;
			put_row(p.c, row, size);
		}
		for (unsigned i = 0; i < KEYS && round == 11; i++)
			put_row(p.c, &rows[i], 0);
		assert_int_equal(catalog_commit(p.c), 0);
		if (round % 4 == 2)
			reopen(&p);
		if (round % 4 == 3)
			assert_int_equal(catalog_compact(p.c, p.dir), 0);
		for (unsigned i = 0; i < KEYS; i++)
			check_row(p.r, &rows[i]);
		check_walk(p.r, sorted, "");
		check_walk(p.r, sorted, "http://c.example/1");
		check_walk(p.r, sorted, "lllll");
		check_walk(p.r, sorted, "z");
		catalog_reader_rest(p.r);
	}
	/* Empty, it has a page or two a database. */
	assert_in_range(catalog_used(p.c), 1, 16 * 4096);
	for (unsigned i = 0; i < KEYS; i++)
		free(rows[i].key);
	end(&p);
}

/* ---- blocks -------------------------------------------------------------- */

/* What the edit before says makes no difference to what comes of one: in order,
 * at random, with removals, and when the block is another one. */
static void
test_hint(void **state)
{
	char with[BLOCK_ROOM], without[BLOCK_ROOM], other[BLOCK_ROOM];
	struct block_hint hint = {.at = 0};
	struct bytes block = {other, 0};
	unsigned n = 1, skipped = 0;

	(void)state;
	for (unsigned i = 0; i < 4000; i++) {
		struct block_edited a = {.buf = with}, b = {.buf = without};
		struct block_hint none = {.at = 0};
		struct bytes value = BYTES("value");
		char key[32];
		int err;

		n = i % 8 ? n + 1 : n * 1103515245u + 12345;
		snprintf(key, sizeof(key), "%u/%u", n / 65536 % 300, i % 8);
		if (i % 5 == 4)
			value = bytes_of(NULL, 0);
		skipped += block.n && hint.at && hint.at < block.n;
		err = block_edit(block, bytes_str(key), value, &none, &b);
		assert_int_equal(
		    block_edit(block, bytes_str(key), value, &hint, &a), err);
		if (err)
			continue;
		assert_int_equal(a.n, b.n);
		assert_memory_equal(with, without, a.n);
		assert_int_equal(a.appended, b.appended);
		assert_int_equal(a.shared, b.shared);
		/* Now and then it is not the next one's. */
		if (i % 13 == 0 || a.n > BLOCK_MAX)
			continue;
		memcpy(other, with, a.n);
		block.n = a.n;
	}
	assert_in_range(skipped, 1000, 4000);
}

static void
test_block(void **state)
{
	char buf[BLOCK_ROOM], again[BLOCK_ROOM];
	struct block_edited e = {.buf = buf};
	struct block_hint hint = {.at = 0};
	struct bytes value, block = {again, 0};
	struct block_cursor c;
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		char key[32];

		snprintf(key, sizeof(key), "key/%u", i * 37 % 100);
		assert_int_equal(block_edit(block, bytes_str(key),
				     bytes_str(key + 4), &hint, &e),
		    0);
		memcpy(again, buf, e.n);
		block.n = e.n;
	}
	assert_int_equal(block_check(block), 0);
	/* Nothing is left of what they share but that it is so. */
	assert_in_range(block.n, 100, 700);
	block_begin(&c, block);
	while (block_next(&c))
		n++;
	assert_int_equal(n, 100);
	assert_int_equal(block_find(block, BYTES("key/42"), &value), 0);
	assert_true(bytes_eq(value, BYTES("42")));
	assert_int_equal(
	    block_find(block, BYTES("key/420"), &value), LARDER_ABSENT);
	assert_int_equal(
	    block_find(block, BYTES("key"), &value), LARDER_ABSENT);
	assert_int_equal(block_find(block, BYTES("z"), &value), LARDER_ABSENT);
	assert_int_equal(
	    block_edit(block, BYTES("key"), bytes_of(NULL, 0), &hint, &e),
	    LARDER_ABSENT);
	/* Any bit of it. */
	for (size_t i = 0; i < block.n; i++) {
		again[i] ^= (char)(1 << i % 8);
		assert_int_equal(block_check(block), LARDER_DAMAGED);
		/* And without its sum it is read within its bounds. */
		block_find(block, BYTES("key/7"), &value);
		block_begin(&c, block);
		while (block_next(&c))
			;
		again[i] ^= (char)(1 << i % 8);
	}
}

/* ---- how much it takes --------------------------------------------------- */

static void
test_density(void **state)
{
	struct place_of_tests p;
	char key[100], value[80];
	unsigned n = 20000;

	(void)state;
	begin(&p);
	memset(value, 1, sizeof(value));
	for (unsigned i = 0; i < n; i++) {
		uint64_t r = i * 0x9e3779b97f4a7c15u;
		struct place at = {
		    .kind = PLACE_PACK, .container = 5, .offset = i * 2300};
		struct bytes k;

		if (i % 500 == 0)
			assert_int_equal(catalog_begin(p.c), 0);
		snprintf(key, sizeof(key),
		    "http://mirror.example.org/debian/pool/main/l/larder/"
		    "larder_1.2-%016llx.deb",
		    (unsigned long long)r);
		k = bytes_str(key);
		assert_int_equal(catalog_put(p.c, (struct hash){r, r}, k,
				     bytes_of(value, sizeof(value))),
		    0);
		assert_int_equal(
		    catalog_put_member(p.c, &at, (struct hash){r, r}, k, true),
		    0);
		if (i % 500 == 499)
			assert_int_equal(catalog_commit(p.c), 0);
	}
	/* 80 of value, some 16 of key, 6 of member, at four fifths. */
	assert_in_range(catalog_used(p.c) / n, 80, 140);
	end(&p);
}

/* ---- members ------------------------------------------------------------- */

static unsigned
count_members(struct place_of_tests *p, uint64_t container)
{
	struct catalog_walk walk = {.count = 1};
	unsigned n = 0;

	while (walk.count) {
		assert_int_equal(catalog_members(p->r, container, &walk), 0);
		n += walk.count;
	}
	catalog_walk_release(&walk);
	return n;
}

static void
test_members(void **state)
{
	struct object_container c = {.kind = PLACE_PACK, .queue = 1};
	struct hash hash = {1, 2};
	struct bytes key = BYTES("http://a.example/");
	struct place_of_tests p;
	struct catalog_walk walk = {.count = 0};
	uint64_t offset;

	(void)state;
	begin(&p);
	assert_int_equal(catalog_begin(p.c), 0);
	for (unsigned i = 0; i < 1000; i++) {
		struct place at = {.kind = PLACE_PACK,
		    .container = 1 + i % 2,
		    .offset = i * 100};

		assert_int_equal(
		    catalog_put_member(p.c, &at, hash, key, true), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct place at = {.kind = PLACE_BLOB, .container = 3};

		assert_int_equal(
		    catalog_put_member(p.c, &at, hash, key, true), 0);
	}
	assert_int_equal(catalog_commit(p.c), 0);
	assert_int_equal(count_members(&p, 1), 500);
	assert_int_equal(count_members(&p, 2), 500);
	assert_int_equal(count_members(&p, 4), 0);
	assert_int_equal(catalog_members(p.r, 3, &walk), 0);
	assert_int_equal(walk.count, 1);
	assert_true(bytes_eq(walk.keys[0], key));
	assert_int_equal(catalog_offset(walk.keys[0], &offset), LARDER_DAMAGED);
	catalog_walk_release(&walk);
	assert_int_equal(catalog_members(p.r, 2, &walk), 0);
	assert_int_equal(catalog_offset(walk.keys[1], &offset), 0);
	assert_int_equal(offset, 300);
	catalog_walk_release(&walk);
	catalog_reader_rest(p.r);
	/* With the container go its members. */
	assert_int_equal(catalog_begin(p.c), 0);
	assert_int_equal(catalog_put_container(p.c, 2, &c, NULL), 0);
	assert_int_equal(catalog_commit(p.c), 0);
	assert_int_equal(count_members(&p, 1), 500);
	assert_int_equal(count_members(&p, 2), 0);
	assert_int_equal(count_members(&p, 3), 1);
	end(&p);
}

/* ---- damage -------------------------------------------------------------- */

/* One that rots in a block is not found, and no other value is. */
static void
test_rot(void **state)
{
	struct hash hash = {1, 2};
	struct place_of_tests p;
	struct bytes value;
	char key[32], buf[4096];
	unsigned wrong = 0;
	int fd;

	(void)state;
	begin(&p);
	assert_int_equal(catalog_begin(p.c), 0);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "rot/%u", i);
		assert_int_equal(
		    catalog_put(p.c, hash, bytes_str(key), bytes_str(key)), 0);
	}
	assert_int_equal(catalog_commit(p.c), 0);
	catalog_reader_close(&p.r);
	catalog_close(&p.c);
	fd = open(p.path, O_RDWR);
	assert_true(fd >= 0);
	for (off_t at = 0; pread(fd, buf, sizeof(buf), at) == sizeof(buf);
	     at += (off_t)sizeof(buf)) {
		char *hit = memmem(buf + 100, 3000, "rot/5", 5);

		if (hit) {
			hit[2] ^= 4;
			assert_int_equal(
			    pwrite(fd, buf, sizeof(buf), at), sizeof(buf));
		}
	}
	close(fd);
	assert_int_equal(catalog_open(&p.c, p.path, 1ull << 32), 0);
	assert_int_equal(catalog_reader_open(p.c, &p.r), 0);
	for (unsigned i = 0; i < 1000; i++) {
		int err;

		snprintf(key, sizeof(key), "rot/%u", i);
		err = catalog_get(p.r, hash, bytes_str(key), &value);
		if (err == LARDER_DAMAGED)
			wrong++;
		else
			assert_true(
			    err == 0 && bytes_eq(value, bytes_str(key)));
	}
	assert_in_range(wrong, 1, 1000);
	end(&p);
}

/* ---- the copy ------------------------------------------------------------ */

static enum disk_op failing = DISK_OPS;

static int
on_fault(enum disk_op op)
{
	return op == failing ? EIO : 0;
}

static uint64_t
file_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void
test_copy(void **state)
{
	static const enum disk_op ops[] = {DISK_OPEN, DISK_SYNC, DISK_RENAME};
	struct hash hash = {1, 2};
	struct place_of_tests p;
	struct bytes value;
	struct catalog_reader *other;
	char key[32], name[400];
	uint64_t before;

	(void)state;
	begin(&p);
	for (unsigned i = 0; i < 20000; i++) {
		if (i % 1000 == 0)
			assert_int_equal(catalog_begin(p.c), 0);
		snprintf(key, sizeof(key), "copy/%u", i);
		assert_int_equal(
		    catalog_put(p.c, hash, bytes_str(key),
			i < 19990 ? bytes_of(p.folder, 200) : bytes_str(key)),
		    0);
		if (i % 1000 == 999)
			assert_int_equal(catalog_commit(p.c), 0);
	}
	assert_int_equal(catalog_begin(p.c), 0);
	for (unsigned i = 0; i < 19990; i++) {
		snprintf(key, sizeof(key), "copy/%u", i);
		assert_int_equal(
		    catalog_put(p.c, hash, bytes_str(key), bytes_of(NULL, 0)),
		    0);
	}
	assert_int_equal(catalog_commit(p.c), 0);
	before = file_size(p.path);
	assert_in_range(before, 2 * MIB, 200 * MIB);
	assert_in_range(catalog_used(p.c), 1, MIB);
	/* What fails changes nothing, and leaves nothing. */
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
		failing = ops[i];
		disk_fault(on_fault);
		assert_int_equal(catalog_compact(p.c, p.dir), LARDER_IO);
		disk_fault(NULL);
		assert_int_equal(file_size(p.path), before);
		snprintf(name, sizeof(name), "%s/catalog.new", p.folder);
		assert_int_equal(access(name, F_OK), -1);
		assert_int_equal(
		    catalog_get(p.r, hash, BYTES("copy/19999"), &value), 0);
	}
	/* Both readers go over, one of them in the middle of a snapshot. */
	assert_int_equal(catalog_reader_open(p.c, &other), 0);
	assert_int_equal(catalog_compact(p.c, p.dir), 0);
	assert_in_range(file_size(p.path), 1, MIB);
	assert_int_equal(catalog_begin(p.c), 0);
	assert_int_equal(
	    catalog_put(p.c, hash, BYTES("new"), BYTES("value")), 0);
	assert_int_equal(catalog_commit(p.c), 0);
	assert_int_equal(catalog_get(p.r, hash, BYTES("new"), &value), 0);
	assert_int_equal(catalog_get(other, hash, BYTES("new"), &value), 0);
	assert_int_equal(
	    catalog_get(other, hash, BYTES("copy/19999"), &value), 0);
	assert_true(bytes_eq(value, BYTES("copy/19999")));
	catalog_reader_close(&other);
	/* Killed while it copied. */
	snprintf(name, sizeof(name), "%s/catalog.new", p.folder);
	assert_int_equal(close(open(name, O_CREAT | O_WRONLY, 0600)), 0);
	catalog_forget_copy(p.dir);
	assert_int_equal(access(name, F_OK), -1);
	reopen(&p);
	assert_int_equal(catalog_get(p.r, hash, BYTES("new"), &value), 0);
	end(&p);
}

/* gc of a store that is in use. */
static void
test_gc(void **state)
{
	struct fixture *f = fixture_new(256 * MIB, 0);
	struct store_removed removed;
	char key[64], path[300];
	uint64_t before;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "http://gc.example/%u", i);
		put(f, key, "", i, 100, true);
		if (i % 2000 == 1999)
			assert_int_equal(store_flush(f->store), 0);
	}
	snprintf(path, sizeof(path), "%s/" CATALOG_FILE, f->path);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "http://gc.example/%u", i);
		if (i % 100)
			assert_int_equal(
			    store_remove(f->store, bytes_str(key), 0), 0);
	}
	assert_int_equal(store_flush(f->store), 0);
	before = file_size(path);
	assert_in_range(before, MIB, 100 * MIB);
	/* The view has a snapshot of the file that goes. */
	assert_int_equal(get(f, "http://gc.example/100", "", 100, 100), 0);
	assert_int_equal(store_gc(f->store, &removed), 0);
	assert_int_equal(removed.objects, 0);
	assert_in_range(file_size(path), 1, before / 2);
	for (unsigned i = 0; i < 20000; i += 50) {
		snprintf(key, sizeof(key), "http://gc.example/%u", i);
		assert_int_equal(
		    get(f, key, "", i, 100), i % 100 ? LARDER_ABSENT : 0);
	}
	put(f, "http://gc.example/new", "", 3, 100, true);
	fixture_reopen(f);
	assert_int_equal(get(f, "http://gc.example/new", "", 3, 100), 0);
	assert_int_equal(get(f, "http://gc.example/100", "", 100, 100), 0);
	fixture_free(f);
}

struct counted {
	unsigned seen;
	char last; /* of the key */
};

static int
on_item(void *arg, const struct store_item *item)
{
	struct counted *c = arg;

	c->seen++;
	c->last = item->record.key.p[item->record.key.n - 1];
	return 1;
}

/* Keys that the index has cut: told apart, found by prefixes longer than the
 * cut, and removed. */
static void
test_long_keys(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_removed removed;
	struct counted c = {0};
	char key[600];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		memset(key, 'k', sizeof(key));
		snprintf(key + 550, 50, "/%c", 'a' + (int)i);
		put(f, key, "", i, i % 2 ? 300000 : 1000, true);
	}
	fixture_reopen(f);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key + 550, 50, "/%c", 'a' + (int)i);
		assert_int_equal(get(f, key, "", i, i % 2 ? 300000 : 1000), 0);
	}
	snprintf(key + 550, 50, "/d");
	assert_int_equal(store_remove_matching(f->store, bytes_str(key),
			     on_item, &c, false, &removed),
	    0);
	assert_int_equal(c.seen, 1);
	assert_int_equal(c.last, 'd');
	assert_int_equal(removed.objects, 1);
	fixture_reopen(f);
	assert_int_equal(get(f, key, "", 3, 300000), LARDER_ABSENT);
	snprintf(key + 550, 50, "/e");
	assert_int_equal(get(f, key, "", 4, 1000), 0);
	fixture_free(f);
}

/* Two records of the catalog cannot make two things of one open file. */
static void
test_file_fits(void **state)
{
	char folder[] = "/tmp/larder-test.XXXXXX";
	struct place place = {.kind = PLACE_BLOB, .container = 9};
	struct budget budget = {.size = MIB};
	struct files files;
	struct file *file, *again;
	bool made;
	int dir;

	(void)state;
	assert_non_null(mkdtemp(folder));
	assert_int_equal(disk_open_folder(folder, false, &dir), 0);
	assert_int_equal(disk_mkdir(dir, "tmp", &made), 0);
	files_init(&files, dir, &budget);
	assert_int_equal(file_create(&files, 9, PLACE_PACK, &file), 0);
	assert_int_equal(file_open(&files, &place, 1, &again), LARDER_DAMAGED);
	assert_null(again);
	place.kind = PLACE_PACK;
	assert_int_equal(file_open(&files, &place, 1, &again), 0);
	assert_true(file == again);
	file_unref(&files, &again);
	/* A blob's that says of itself how long it is. */
	file->kind = PLACE_BLOB;
	file->raw = file->stored = 5000;
	file->table = calloc(1, 16);
	place = (struct place){
	    .kind = PLACE_BLOB, .container = 9, .raw = 5000, .stored = 5000};
	assert_int_equal(file_open(&files, &place, 1, &again), 0);
	file_unref(&files, &again);
	place.raw = place.stored = 1 << 30;
	assert_int_equal(file_open(&files, &place, 1, &again), LARDER_DAMAGED);
	file_unref(&files, &file);
	files_release(&files);
	disk_close(dir);
	nftw(folder, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_block),
	    cmocka_unit_test(test_hint),
	    cmocka_unit_test(test_model),
	    cmocka_unit_test(test_density),
	    cmocka_unit_test(test_members),
	    cmocka_unit_test(test_rot),
	    cmocka_unit_test(test_copy),
	    cmocka_unit_test(test_gc),
	    cmocka_unit_test(test_long_keys),
	    cmocka_unit_test(test_file_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
