/*
 * What of a file is in the page cache.
 */
#include <fcntl.h>
#include <time.h>

#include "disk.h"
#include "util.h"
#include "warm.h"

#define MIB (1024u * 1024)

/* All of a file without a name that is in the page cache. */
static int
warm_file(uint64_t size)
{
	char path[] = "/tmp/larder-warm-XXXXXX", *body = calloc(1, size);
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_non_null(body);
	unlink(path);
	assert_int_equal(write(fd, body, size), size);
	free(body);
	assert_int_equal(fdatasync(fd), 0);
	return fd;
}

/* What lies between two ends that are in the page cache may not be. */
static void
test_warm(void **state)
{
	const uint64_t size = MIB, from = 256 * 1024, to = 512 * 1024;
	int fd = warm_file(size);
	void *map;

	(void)state;
	map = disk_map(fd, size);
	if (map) {
		assert_int_equal(disk_warm(map, 0, size), size);
		assert_int_equal(disk_warm(map, 4097, 5), 5);
		assert_int_equal(posix_fadvise(fd, (off_t)from,
				     (off_t)(to - from), POSIX_FADV_DONTNEED),
		    0);
		/* A file system in memory forgets nothing. */
		if (!disk_is_warm(fd, from, 1)) {
			assert_true(disk_is_warm(fd, 0, size));
			assert_int_equal(disk_warm(map, 0, size), from);
			assert_int_equal(disk_warm(map, 77, from), from - 77);
			assert_int_equal(disk_warm(map, from + 10, 10), 0);
			assert_int_equal(
			    disk_warm(map, to, size - to), size - to);
		}
		disk_unmap(map, size);
	}
	close(fd);
}

/* What is believed is believed for a moment, and of its own part only. */
static void
test_warm_for_a_moment(void **state)
{
	const uint64_t size = 3 * MIB + 77, from = MIB + 65536;
	const uint64_t to = from + 262144;
	const struct timespec moment = {0, (WARM_MS + 20) * 1000000L};
	int fd = warm_file(size);
	struct warm *w;

	(void)state;
	w = warm_new(fd, size);
	if (w) {
		assert_int_equal(warm_run(w, 0, size), size);
		assert_int_equal(warm_run(w, 5, size - 5), size - 5);
		assert_int_equal(warm_run(w, size - 1, 1), 1);
		assert_int_equal(warm_run(w, 300000, 9), 9);
		assert_int_equal(posix_fadvise(fd, (off_t)from,
				     (off_t)(to - from), POSIX_FADV_DONTNEED),
		    0);
		nanosleep(&moment, NULL);
		if (!disk_is_warm(fd, from, 1)) {
			assert_int_equal(warm_run(w, 0, size), from);
			assert_int_equal(warm_run(w, 77, size - 77), from - 77);
			assert_int_equal(warm_run(w, from, 10), 0);
			assert_int_equal(warm_run(w, from - 4096, MIB), 4096);
			assert_int_equal(warm_run(w, to - 1, 1), 0);
			assert_int_equal(
			    warm_run(w, 2 * MIB, size - 2 * MIB), MIB + 77);
			/* Of the grain that is cold in part. */
			assert_int_equal(warm_run(w, to, 9), 9);
		}
	}
	warm_free(w);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_warm),
	    cmocka_unit_test(test_warm_for_a_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
