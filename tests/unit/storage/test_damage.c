/*
 * What is wrong on disk: damaged bytes are never served, and a store that
 * cannot be opened says why.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "util.h"

#define MIB (1024u * 1024)

static struct {
	const char *in;
	unsigned files;
	int flip; /* how far into the file, in hundredths */
} walking;

static int
flip_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	off_t at = st->st_size * walking.flip / 100;
	char byte;
	int fd;

	(void)ftw;
	if (flag != FTW_F || !strstr(path, walking.in) || !st->st_size)
		return 0;
	at = at < st->st_size ? at : st->st_size - 1;
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 0x10;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	close(fd);
	walking.files++;
	return 0;
}

/* Flips a bit in every file whose path has `in` in it. */
static void
flip(struct fixture *f, const char *in, int percent)
{
	walking.in = in;
	walking.files = 0;
	walking.flip = percent;
	nftw(f->path, flip_one, 16, FTW_PHYS);
	assert_true(walking.files > 0);
}

static void
test_flipped_pack(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	struct store_stats stats;
	unsigned gone = 0;
	char key[32];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		put(f, key, "", i, 5000, true);
	}
	fixture_shut(f);
	flip(f, "/packs/", 53);
	fixture_open(f);
	for (unsigned i = 0; i < 20; i++) {
		int err;

		snprintf(key, sizeof(key), "k%u", i);
		err = get(f, key, "", i, 5000);
		if (!err)
			continue;
		assert_int_equal(err, LARDER_DAMAGED);
		assert_int_equal(get(f, key, "", i, 5000), LARDER_ABSENT);
		gone++;
	}
	assert_int_equal(gone, 1);
	store_stats(f->store, &stats);
	assert_int_equal(stats.damaged, 1);
	pthread_mutex_lock(&f->lock);
	assert_non_null(strstr(f->reports, "damaged bytes on disk"));
	pthread_mutex_unlock(&f->lock);
	fixture_free(f);
}

static void
test_flipped_blob(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);

	(void)state;
	/* In a block in the middle, in the first, in the table behind. */
	for (int percent = 0; percent <= 100; percent += 50) {
		put(f, "big", "", 3, 2 * MIB, true);
		fixture_shut(f);
		flip(f, "/blobs/", percent);
		fixture_open(f);
		assert_int_equal(get(f, "big", "", 3, 2 * MIB), LARDER_DAMAGED);
		assert_int_equal(get(f, "big", "", 3, 2 * MIB), LARDER_ABSENT);
		store_flush(f->store);
	}
	assert_true(du(f->path) < 4 * MIB);
	fixture_free(f);
}

static int
on_damaged(void *arg, const struct store_item *item)
{
	snprintf(arg, 64, "%.*s", BYTES_FMT(item->record.key));
	return 0;
}

static void
test_verify(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	struct store_damage damage;
	char name[64] = "";

	(void)state;
	put(f, "big", "", 3, 2 * MIB, true);
	put(f, "small", "", 4, 2000, true);
	assert_int_equal(store_verify(f->store, on_damaged, name, &damage), 0);
	assert_int_equal(damage.objects_read, 2);
	assert_true(damage.bytes_read > 2 * MIB);
	assert_int_equal(damage.damaged, 0);
	fixture_shut(f);
	flip(f, "/blobs/", 30);
	fixture_open(f);
	assert_int_equal(store_verify(f->store, on_damaged, name, &damage), 0);
	assert_int_equal(damage.damaged, 1);
	assert_string_equal(name, "big");
	assert_int_equal(get(f, "big", "", 3, 2 * MIB), LARDER_ABSENT);
	assert_int_equal(get(f, "small", "", 4, 2000), 0);
	fixture_free(f);
}

/* A table of what can be wrong, and the word that must be in the message. */
static void
refused(struct fixture *f, int err, const char *word)
{
	char why[256] = "";
	struct store *store = NULL;

	assert_int_equal(
	    store_open(&store, &f->options, why, sizeof(why)), err);
	assert_null(store);
	if (!strstr(why, word))
		fail_msg("\"%s\" is not in: %s", word, why);
}

static void
overwrite(struct fixture *f, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void
test_messages(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	char path[512], why[256];
	struct store *none;
	struct store_options absent;

	(void)state;
	put(f, "k", "", 1, 100, true);
	refused(f, LARDER_LOCKED, "another larderd");
	fixture_shut(f);
	overwrite(f, "larder.store", "larder store, format 4\n");
	refused(f, LARDER_FORMAT, "run the version that wrote it");
	overwrite(f, "larder.store", "something of somebody else's");
	refused(f, LARDER_DAMAGED, "larder.store");
	overwrite(f, "larder.store", "larder store, format 3\n");
	refused(f, LARDER_DAMAGED, "larder.store");
	snprintf(path, sizeof(path), "%s/catalog.mdb", f->path);
	assert_int_equal(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/none", f->path);
	absent = f->options;
	absent.offline = true;
	absent.path = path;
	assert_int_equal(
	    store_open(&none, &absent, why, sizeof(why)), LARDER_ABSENT);
	assert_int_not_equal(access(path, F_OK), 0);
	absent.path = f->path;
	snprintf(path, sizeof(path), "%s/larder.store", f->path);
	unlink(path);
	assert_int_equal(
	    store_open(&none, &absent, why, sizeof(why)), LARDER_ABSENT);
	fixture_free(f);
}

static void
test_permission(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	int status;
	pid_t pid;

	(void)state;
	fixture_shut(f);
	if (geteuid() != 0)
		assert_int_equal(chmod(f->path, 0), 0);
	pid = fork();
	if (pid == 0) {
		struct store *store;
		char why[256] = "";
		int err;

		if (geteuid() == 0 && seteuid(65534) != 0)
			_exit(3);
		err = store_open(&store, &f->options, why, sizeof(why));
		_exit(err != LARDER_ACCESS	      ? 1
		      : !strstr(why, "must own this") ? 2
						      : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	chmod(f->path, 0700);
	fixture_free(f);
}

/* What a crash leaves in tmp/ goes; what is not ours stays. */
static void
test_leftovers(void **state)
{
	struct fixture *f = fixture_new(64 * MIB, MIB);
	char ours[512], theirs[512];

	(void)state;
	fixture_shut(f);
	snprintf(ours, sizeof(ours), "%s/tmp/00000000000000ff", f->path);
	snprintf(theirs, sizeof(theirs), "%s/tmp/notes.txt", f->path);
	fclose(fopen(ours, "w"));
	fclose(fopen(theirs, "w"));
	fixture_open(f);
	assert_int_not_equal(access(ours, F_OK), 0);
	assert_int_equal(access(theirs, F_OK), 0);
	fixture_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_flipped_pack),
	    cmocka_unit_test(test_flipped_blob),
	    cmocka_unit_test(test_verify),
	    cmocka_unit_test(test_messages),
	    cmocka_unit_test(test_permission),
	    cmocka_unit_test(test_leftovers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
