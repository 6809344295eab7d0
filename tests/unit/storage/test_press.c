/*
 * The presser: what rests becomes smaller and stays what it was, to everybody
 * who reads it, whatever happens to it meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/wait.h>

#include "rests.h"

static void
test_gains(void **state)
{
	struct fixture *f = resting(128 * MIB);
	struct store_stats before, after;
	char head[64];
	struct store_found found;
	struct blob *blob;

	(void)state;
	put(f, "text", "", 1 | TEXT, 9 * MIB + 777, true);
	put(f, "noise", "", 2, 3 * MIB, false);
	store_flush(f->store);
	store_stats(f->store, &before);
	wait_pressed(f, "text");
	store_stats(f->store, &after);
	assert_int_equal(after.objects, 2);
	assert_int_equal(after.body_bytes, 12 * MIB + 777);
	assert_true(after.stored_bytes < 5 * MIB);
	assert_true(after.stored_bytes > 3 * MIB);
	for (unsigned round = 0; round < 3; round++) {
		check_ranges(f, "text", 1 | TEXT, 9 * MIB + 777);
		check_ranges(f, "noise", 2, 3 * MIB);
		assert_true(lies_as(f, "text", "zstd frames"));
		assert_true(lies_as(f, "noise", "raw"));
		store_stats(f->store, &after);
		assert_true(after.disk_used >= du(f->path));
		assert_true(du(f->path) < 6 * MIB);
		fixture_reopen(f);
	}
	arena_reset(&f->arena);
	store_find(f->view, BYTES("text"), &f->arena, &found);
	assert_true(found.records[0].disk_size < 2 * MIB);
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	assert_int_equal(head_of(f->view, blob, head, sizeof(head)), 0);
	assert_string_equal(head, "text");
	blob_unref(&blob);
	fixture_free(f);
}

/* Who reads the raw file reads on, and its bytes are back when it is done. */
static void
test_reader_goes_on(void **state)
{
	struct fixture *f = resting(128 * MIB);
	struct store_stats during, after;
	struct bell bell = {0};
	struct blob *blob;
	struct blob_reader r;
	char *body;
	struct blob_slice s;
	uint64_t got;
	int err;

	(void)state;
	/* It reads before there is anything to be pressed. */
	blob = create(f, "k", "", "k", 8 * MIB);
	assert_int_equal(blob_reader_open(&r, f->view, blob, 3 * MIB + 5,
			     STORE_UNKNOWN, on_wake, &bell),
	    0);
	body = malloc(8 * MIB);
	fill(body, 8 * MIB, 1 | TEXT, 0);
	append_all(blob, body, 8 * MIB);
	free(body);
	assert_int_equal(blob_commit(blob), 0);
	store_flush(f->store);
	while ((err = blob_reader_peek(&r, 1000, &s)) == LARDER_AGAIN)
		bell_wait(&bell);
	assert_int_equal(err, 0);
	assert_true(s.fd >= 0);
	poll(NULL, 0, 200);
	assert_true(lies_as(f, "k", "raw"));
	assert_int_equal(
	    read_blob(f, f->view, blob, 1 | TEXT, MIB, 7 * MIB, &got), 0);
	assert_int_equal(got, 6 * MIB);
	store_stats(f->store, &during);
	blob_reader_close(&r);
	blob_unref(&blob);
	wait_pressed(f, "k");
	store_stats(f->store, &after);
	assert_true(after.disk_used + 6 * MIB < during.disk_used ||
		    during.disk_used < 8 * MIB);
	assert_int_equal(get(f, "k", "", 1 | TEXT, 8 * MIB), 0);
	fixture_free(f);
}

struct crowd {
	struct fixture *f;
	uint64_t from;
	int err;
	uint64_t got;
};

static void *
read_as_one(void *arg)
{
	struct crowd *c = arg;
	struct arena arena;
	struct store_view *view;
	struct store_found found;
	struct blob *blob;

	arena_init(&arena, MIB);
	if (store_view_open(c->f->store, &view))
		return NULL;
	c->err = store_find(view, BYTES("k"), &arena, &found);
	if (!c->err)
		c->err = store_open_blob(view, &found.records[0], &blob);
	if (!c->err) {
		c->err = read_blob(c->f, view, blob, 3 | TEXT, c->from,
		    STORE_UNKNOWN, &c->got);
		blob_unref(&blob);
	}
	store_view_close(&view);
	arena_release(&arena);
	return NULL;
}

static void
run_crowd(struct fixture *f, uint64_t size)
{
	struct crowd c[6];
	pthread_t threads[6];

	for (unsigned i = 0; i < 6; i++) {
		c[i] = (struct crowd){f, i / 2 * 1111111, 1, 0};
		pthread_create(&threads[i], NULL, read_as_one, &c[i]);
	}
	for (unsigned i = 0; i < 6; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(c[i].err, 0);
		assert_int_equal(c[i].got, size - c[i].from);
	}
}

/* Many readers on one body: before, while and after it is pressed. */
static void
test_crowd(void **state)
{
	struct fixture *f = resting(128 * MIB);

	(void)state;
	put(f, "k", "", 3 | TEXT, 5 * MIB + 1, false);
	for (unsigned i = 0; i < 4; i++) {
		run_crowd(f, 5 * MIB + 1);
		poll(NULL, 0, 100);
	}
	wait_pressed(f, "k");
	run_crowd(f, 5 * MIB + 1);
	fixture_free(f);
}

/* A reader holds a frame or two, not the body. */
static void
test_memory(void **state)
{
	struct fixture *f = resting(256 * MIB);
	struct store_found found;
	struct bell bell = {0};
	struct blob *blob;
	struct blob_reader r;
	struct blob_slice s;
	size_t before, most = 0;
	uint64_t n = 0;
	int err;

	(void)state;
	put(f, "k", "", 4 | TEXT, 64 * MIB, true);
	wait_pressed(f, "k");
	fixture_reopen(f);
	store_find(f->view, BYTES("k"), &f->arena, &found);
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	assert_int_equal(store_open_blob(f->view, &found.records[0], &blob), 0);
	assert_int_equal(blob_reader_open(&r, f->view, blob, 0, STORE_UNKNOWN,
			     on_wake, &bell),
	    0);
	while ((err = blob_reader_peek(&r, 64 * MIB, &s)) != LARDER_ABSENT) {
		size_t now = mallinfo2().uordblks + mallinfo2().hblkhd;

		most = now > before + most ? now - before : most;
		if (err == LARDER_AGAIN) {
			bell_wait(&bell);
			continue;
		}
		assert_int_equal(err, 0);
		assert_non_null(s.mem);
		assert_true(s.n <= OBJECT_BLOCK);
		assert_int_equal(s.mem[0], byte_at(4 | TEXT, n));
		n += s.n;
		blob_reader_advance(&r, s.n);
	}
	assert_int_equal(n, 64 * MIB);
	print_message("%zu bytes while it is read\n", most);
	assert_true(most < 4 * OBJECT_BLOCK);
	blob_reader_close(&r);
	blob_unref(&blob);
	fixture_free(f);
}

/* ---- damage -------------------------------------------------------------- */

static uint64_t flip_at;
static unsigned flipped;

static int
flip_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	off_t at = (off_t)flip_at;
	char byte;
	int fd;

	(void)ftw;
	if (flag != FTW_F || !strstr(path, "/blobs/"))
		return 0;
	/* From the end, when it is behind it. */
	at = at < st->st_size ? at : st->st_size - 1 - at % 100;
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x04;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
	flipped++;
	return 0;
}

static void
test_damage(void **state)
{
	/* In the first frame, in others, in the table, in the trailer. */
	static const uint64_t at[] = {0, 5, 10000, 60000, UINT32_MAX,
	    UINT32_MAX - 10, UINT32_MAX - 50, UINT32_MAX - 63, UINT32_MAX - 80};
	struct fixture *f = resting(64 * MIB);
	char key[16];

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(at); i++) {
		/* One that is stored often is asked for often: others. */
		snprintf(key, sizeof(key), "k%u", i);
		put(f, key, "", 5 | TEXT, 2 * MIB, true);
		wait_pressed(f, key);
		fixture_shut(f);
		flip_at = at[i];
		flipped = 0;
		nftw(f->path, flip_one, 16, FTW_PHYS);
		assert_int_equal(flipped, 1);
		fixture_open(f);
		assert_int_equal(
		    get(f, key, "", 5 | TEXT, 2 * MIB), LARDER_DAMAGED);
		assert_int_equal(
		    get(f, key, "", 5 | TEXT, 2 * MIB), LARDER_ABSENT);
		store_flush(f->store);
		assert_true(du(f->path) < 2 * MIB);
	}
	fixture_free(f);
}

/* A damaged block of the raw file is not pressed into a sound frame. */
static void
test_raw_damage(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);

	(void)state;
	put(f, "k", "", 6 | TEXT, 4 * MIB, true);
	fixture_shut(f);
	flip_at = 1300000;
	nftw(f->path, flip_one, 16, FTW_PHYS);
	f->options.rest = -1;
	fixture_open(f);
	for (int i = 0; i < 20000 && id_of(f, "k"); i++)
		poll(NULL, 0, 1);
	assert_int_equal(id_of(f, "k"), 0);
	store_flush(f->store);
	assert_true(du(f->path) < 2 * MIB);
	fixture_free(f);
}

/* A file of frames with sound sums that contradicts itself. */
struct lie {
	const char *what;
	int moved;	 /* bytes that the first frame has less, by the table */
	int longer;	 /* and all of them more */
	uint32_t raw;	 /* bytes in each frame */
	uint64_t blocks; /* that the trailer says */
	uint64_t body;	 /* raw size that it says */
	int result;
};

static const struct lie lies[] = {
    {"none", 0, 0, OBJECT_BLOCK, 2, 2 * OBJECT_BLOCK, 0},
    {"lengths exchanged", 9, 0, OBJECT_BLOCK, 2, 2 * OBJECT_BLOCK,
	LARDER_DAMAGED},
    {"lengths add up to more", 0, 10, OBJECT_BLOCK, 2, 2 * OBJECT_BLOCK,
	LARDER_DAMAGED},
    {"a frame longer than can be", INT32_MIN, 0, OBJECT_BLOCK, 2,
	2 * OBJECT_BLOCK, LARDER_DAMAGED},
    {"frames of more", 0, 0, OBJECT_BLOCK + 1, 2, 2 * OBJECT_BLOCK,
	LARDER_DAMAGED},
    {"frames of less", 0, 0, OBJECT_BLOCK - 1, 2, 2 * OBJECT_BLOCK,
	LARDER_DAMAGED},
    {"more blocks", 0, 0, OBJECT_BLOCK, 3, 2 * OBJECT_BLOCK, LARDER_DAMAGED},
    {"less blocks", 0, 0, OBJECT_BLOCK, 1, 2 * OBJECT_BLOCK, LARDER_DAMAGED},
    {"a longer body", 0, 0, OBJECT_BLOCK, 2, 2 * OBJECT_BLOCK + 1,
	LARDER_DAMAGED},
    {"a huge body", 0, 0, OBJECT_BLOCK, INT64_MAX / 8 / OBJECT_BLOCK,
	INT64_MAX / 8 / OBJECT_BLOCK *OBJECT_BLOCK, LARDER_DAMAGED},
};

static void
write_lie(
    struct fixture *f, const struct lie *lie, uint64_t id, struct place *place)
{
	static char raw[OBJECT_BLOCK + 1], frame[2 * OBJECT_BLOCK], table[24];
	struct frame_coder coder = {0};
	struct object_trailer t = {
	    ENCODING_FRAMES, OBJECT_BLOCK, 77, lie->body, 0, lie->blocks, 0};
	char path[512], end[OBJECT_TRAILER];
	uint32_t n;
	uint64_t sum;
	FILE *file;

	fill(raw, sizeof(raw), 7 | TEXT, 0);
	n = (uint32_t)frame_wrap(&coder, frame, sizeof(frame), raw, lie->raw);
	frame_release(&coder);
	sum = object_sum(frame, n, 77);
	t.stored = 2 * n;
	object_frame_encode(
	    table, n - (uint32_t)lie->moved + (uint32_t)lie->longer, sum);
	object_frame_encode(table + 12, n + (uint32_t)lie->moved, sum);
	t.table_sum = object_sum(table, sizeof(table), 77);
	object_trailer_encode(&t, end);
	snprintf(path, sizeof(path), "%s/tmp/%016llx", f->path,
	    (unsigned long long)id);
	file = fopen(path, "w");
	assert_non_null(file);
	fwrite(frame, 1, n, file);
	fwrite(frame, 1, n, file);
	fwrite(table, 1, sizeof(table), file);
	fwrite(end, 1, sizeof(end), file);
	fclose(file);
	*place = (struct place){PLACE_BLOB, ENCODING_FRAMES, id, 0, t.stored,
	    t.raw, object_get64(end + 56)};
}

static void
test_lies(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct frame_coder coder = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		struct object_info info = {.id = 77};
		uint64_t n;
		int err;

		write_lie(f, &lies[i], 1000 + i, &info.body);
		err = load_verify(f->store, &info, &coder, &n);
		if (err != lies[i].result)
			fail_msg("%s: %d", lies[i].what, err);
	}
	frame_release(&coder);
	fixture_free(f);
}

/* ---- while it is pressed ------------------------------------------------- */

static void
update(struct fixture *f, const char *key, const char *head)
{
	store_update(f->view, bytes_str(key), id_of(f, key), bytes_str("meta"),
	    bytes_str(head), 1000);
}

/* Updates, removals, replacements, evictions at any moment of it. */
static void
test_meanwhile(void **state)
{
	struct fixture *f = resting(48 * MIB);
	uint64_t seeds[8] = {0};
	struct store_stats stats;
	uint64_t most = 0, random = 1;
	unsigned frames = 0;
	char key[16];

	(void)state;
	for (unsigned i = 0; i < 160; i++) {
		unsigned k = (unsigned)((random = mixed(random, i)) % 8);
		uint64_t now;

		snprintf(key, sizeof(key), "k%u", k);
		/* On a busy machine an idle thread has little time. */
		for (unsigned j = 0; j < 20 && frames * 12 < i &&
				     !lies_as(f, key, "zstd frames");
		     j++)
			poll(NULL, 0, 10);
		frames += lies_as(f, key, "zstd frames");
		switch (random >> 8 & 7) {
		case 0:
			store_remove(f->store, bytes_str(key), 0);
			seeds[k] = 0;
			break;
		case 1:
		case 2:
		case 3:
			update(f, key, "again");
			break;
		case 4:
			put(f, "filler", "", i, 7 * MIB, true);
			break;
		default:
			seeds[k] = (i + 1) | TEXT;
			put(f, key, "", seeds[k], 3 * MIB, i % 2);
		}
		poll(NULL, 0, (int)(random >> 16 & 31));
		now = du(f->path);
		most = now > most ? now : most;
		if (seeds[k])
			assert_in_set(get(f, key, "", seeds[k], 3 * MIB),
			    ((const uint64_t[]){0, LARDER_ABSENT}), 2);
		else
			assert_int_equal(get(f, key, "", 0, 0), LARDER_ABSENT);
	}
	assert_true(frames > 10);
	assert_true(most <= 48 * MIB);
	fixture_reopen(f);
	for (unsigned k = 0; k < 8; k++) {
		snprintf(key, sizeof(key), "k%u", k);
		if (seeds[k])
			assert_in_set(get(f, key, "", seeds[k], 3 * MIB),
			    ((const uint64_t[]){0, LARDER_ABSENT}), 2);
	}
	store_stats(f->store, &stats);
	assert_int_equal(stats.damaged, 0);
	assert_true(stats.disk_used >= du(f->path));
	assert_true(stats.disk_used <= du(f->path) + 2 * MIB);
	fixture_free(f);
}

/* An update in the moment between the new file and its commit. */
static void
test_update(void **state)
{
	struct fixture *f = resting(64 * MIB);
	struct store_found found;
	struct blob *blob;
	char head[32], want[32];
	char key[16];

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		/* One that is stored often is asked for often: others. */
		snprintf(key, sizeof(key), "k%u", i);
		put(f, key, "", 8 | TEXT, MIB, true);
		for (unsigned n = 0; n < 3 + i; n++) {
			snprintf(want, sizeof(want), "head %u.%u", i, n);
			update(f, key, want);
			poll(NULL, 0, (int)i);
		}
		wait_pressed(f, key);
		for (unsigned round = 0; round < 2; round++) {
			arena_reset(&f->arena);
			assert_int_equal(store_find(f->view, bytes_str(key),
					     &f->arena, &found),
			    0);
			assert_int_equal(
			    store_open_blob(f->view, &found.records[0], &blob),
			    0);
			assert_int_equal(
			    head_of(f->view, blob, head, sizeof(head)), 0);
			assert_string_equal(head, want);
			blob_unref(&blob);
			assert_int_equal(get(f, key, "", 8 | TEXT, MIB), 0);
			fixture_reopen(f);
		}
	}
	assert_true(du(f->path) < 2 * MIB);
	fixture_free(f);
}

/* ---- faults -------------------------------------------------------------- */

static _Atomic int calls_left;
static _Atomic int fails_with;

static int
on_fault(enum disk_op op)
{
	if (op == DISK_READ)
		return 0;
	return calls_left-- == 0 ? fails_with : 0;
}

/* Each call fails once: it is pressed later, and nothing else happens. */
static void
test_faults(void **state)
{
	static const int errors[] = {ENOSPC, EIO};
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_stats stats;

	(void)state;
	for (int at = 0; at < 30; at++) {
		f->options.rest = 3600;
		fixture_shut(f);
		forget_uses(f);
		fixture_open(f);
		put(f, "k", "", 9 | TEXT, 3 * MIB, true);
		fixture_shut(f);
		f->options.rest = -1;
		fixture_open(f);
		fails_with = errors[at % 2];
		calls_left = at;
		disk_fault(on_fault);
		wait_pressed(f, "k");
		disk_fault(NULL);
		assert_int_equal(get(f, "k", "", 9 | TEXT, 3 * MIB), 0);
	}
	fixture_reopen(f);
	assert_int_equal(get(f, "k", "", 9 | TEXT, 3 * MIB), 0);
	store_stats(f->store, &stats);
	assert_int_equal(stats.damaged, 0);
	assert_true(du(f->path) < 2 * MIB);
	fixture_free(f);
}

static int
on_kill(enum disk_op op)
{
	if (op != DISK_READ && calls_left-- == 0)
		kill(getpid(), SIGKILL);
	return 0;
}

/* Presses, and is killed at the nth call to the disk. True: it got through. */
static bool
press_and_die(struct fixture *f, int at)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		calls_left = at;
		f->options.rest = -1;
		disk_fault(on_kill);
		fixture_open(f);
		wait_pressed(f, "k");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0
				      : WTERMSIG(status) == SIGKILL);
	return WIFEXITED(status);
}

/* Killed between any two steps: one of the two files is there, and it alone. */
static void
test_killed(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, 0);
	struct store_stats stats;
	unsigned raw = 0, frames = 0;
	bool through = false;

	(void)state;
	fixture_shut(f);
	f->options.rest = 3600;
	for (int at = 0; !through; at++) {
		assert_true(at < 200);
		forget_uses(f);
		fixture_open(f);
		put(f, "k", "", 11 | TEXT, 3 * MIB, true);
		fixture_shut(f);
		through = press_and_die(f, at);
		fixture_open(f);
		assert_int_equal(get(f, "k", "", 11 | TEXT, 3 * MIB), 0);
		raw += lies_as(f, "k", "raw");
		frames += lies_as(f, "k", "zstd frames");
		assert_true(
		    du(f->path) < (lies_as(f, "k", "raw") ? 4 : 1) * MIB);
		store_stats(f->store, &stats);
		assert_int_equal(stats.damaged, 0);
		assert_int_equal(stats.objects, 1);
		fixture_shut(f);
	}
	print_message("left raw %u times, pressed %u times\n", raw, frames);
	assert_true(raw > 10 && frames > 1);
	fixture_open(f);
	fixture_free(f);
}

/* No room beside the raw file: it stays. */
static void
test_no_room(void **state)
{
	struct fixture *f = resting(16 * MIB);
	struct store_stats stats;

	(void)state;
	put(f, "k", "", 10 | TEXT, 13 * MIB, true);
	store_flush(f->store);
	poll(NULL, 0, 1500);
	store_stats(f->store, &stats);
	assert_int_equal(stats.evicted, 0);
	assert_true(lies_as(f, "k", "raw"));
	assert_true(du(f->path) <= 16 * MIB);
	assert_int_equal(get(f, "k", "", 10 | TEXT, 13 * MIB), 0);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_gains),
	    cmocka_unit_test(test_reader_goes_on),
	    cmocka_unit_test(test_crowd),
	    cmocka_unit_test(test_memory),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_raw_damage),
	    cmocka_unit_test(test_lies),
	    cmocka_unit_test(test_meanwhile),
	    cmocka_unit_test(test_update),
	    cmocka_unit_test(test_faults),
	    cmocka_unit_test(test_killed),
	    cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
