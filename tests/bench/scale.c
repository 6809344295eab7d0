/*
 * How the store scales: inserts objects of 2 KiB that do not compress, with
 * URLs of 80 bytes, into a new store, by storage/ alone, and says at each power
 * of ten what they cost.
 *
 *	scale [-n OBJECTS] [-d FOLDER] [-m META BYTES] [-c] [-k]
 *
 * -n  100000 unless given, at most 10^9; the folder takes some 2.5 KiB each
 * -c  the catalog alone: the same keys and values, and no bytes of objects
 * -d  where (a folder of its own is made below it, and removed; -k keeps it)
 *
 * The inserts are a process of their own. At each step it makes what it has
 * durable, looks up, tells, and goes on inserting until it is killed with
 * SIGKILL; another one is started then, and timed from its exec to its first
 * hit; and then `gc`. The columns:
 *
 *   catalog  bytes of catalog.mdb an object, all in it counted: as it was left
 *            by the kill, of these what is in use, and after gc
 *   find     ns of CPU for a store_find() of a random key, in the page cache
 *   insert   us from store_create() to durable, since the step before, with
 *            every sync waited for; and of CPU, in all threads
 *   memory   MiB of the process that inserts, without the catalog's pages: all
 *            resident (the tier's 16 MiB and what waits to be written are part
 *            of it), of these private and dirty; and resident after some
 *            seconds of rest
 *   disk     bytes that du finds, a byte of body
 *   start    ms from exec after the kill to the first hit
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "larder/clock.h"
#include "larder/store.h"
#include "scale.h"

#define MIB   (1024u * 1024)
#define TIER  (16u * MIB)
#define ARENA (256u * 1024)
#define REST  4 /* s */

/* What one step measured, from the process that inserted to its parent. */
struct report {
	double find_ns, insert_us, insert_cpu;
	double rss, dirty; /* while it inserts */
	double rest;	   /* resident, some seconds after */
	uint64_t stalls;
};

/* ---- inserting ----------------------------------------------------------- */

static void
insert(struct store *store, uint64_t i, uint64_t *stalls)
{
	char url[URL + 1], body[BODY], head[1024], meta[256];
	struct store_new new = {.storable = true,
	    .body_size = BODY,
	    .expires = clock_wall_ms() / 1000 + 86400 * (int64_t)(i % 30)};
	struct blob *blob;
	int err;

	url_of(i, url);
	body_of(i, body);
	new.key = bytes_of(url, URL);
	new.head = bytes_of(head, head_of(i, head, sizeof(head)));
	new.meta = bytes_of(meta, meta_of(i, meta));
	new.variant = bytes_of("", 0);
	for (;;) {
		err = store_create(store, &new, &blob);
		if (err)
			die("create", err);
		if (!blob_is_window(blob))
			break;
		/* More waits to be written than there is memory for. */
		blob_abort(blob, LARDER_CLOSED);
		blob_unref(&blob);
		++*stalls;
		if ((err = store_flush(store)) != 0)
			die("flush", err);
	}
	if (blob_append(blob, body, BODY) != BODY)
		die("append", LARDER_IO);
	if ((err = blob_commit(blob)) != 0)
		die("commit", err);
	blob_unref(&blob);
}

/* ---- reading ------------------------------------------------------------- */

static void
on_wake(void *arg)
{
	char c = 0;

	if (write(*(int *)arg, &c, 1) != 1)
		abort();
}

/* One hit: found, opened, read and compared. */
static void
hit(struct store_view *view, uint64_t i)
{
	char url[URL + 1], body[BODY], got[BODY], c;
	struct store_found found;
	struct blob_reader r;
	struct blob_slice s;
	struct arena arena;
	struct blob *blob;
	size_t n = 0;
	int pipes[2], err;

	if (pipe(pipes) != 0)
		die("pipe", 0);
	url_of(i, url);
	body_of(i, body);
	arena_init(&arena, ARENA);
	if ((err = store_find(view, bytes_of(url, URL), &arena, &found)) != 0)
		die("find", err);
	if ((err = store_open_blob(view, &found.records[0], &blob)) != 0)
		die("open", err);
	err = blob_reader_open(
	    &r, view, blob, 0, STORE_UNKNOWN, on_wake, &pipes[1]);
	while (
	    !err && (err = blob_reader_peek(&r, BODY, &s)) != LARDER_ABSENT) {
		if (err == LARDER_AGAIN) {
			store_view_turn(view);
			err = read(pipes[0], &c, 1) == 1 ? 0 : LARDER_IO;
			continue;
		}
		if (!err)
			err = blob_slice_copy(&s, got + n);
		n += s.n;
		blob_reader_advance(&r, s.n);
	}
	if (err != LARDER_ABSENT || n != BODY || memcmp(got, body, n) != 0)
		die("read", err ? err : LARDER_DAMAGED);
	blob_reader_close(&r);
	blob_unref(&blob);
	arena_release(&arena);
	close(pipes[0]);
	close(pipes[1]);
}

static double
find_cost(struct store_view *view, uint64_t count)
{
	struct store_found found;
	struct arena arena;
	double before = 0;

	/* The first half warms the catalog's pages up. */
	for (unsigned i = 0; i < 2 * FINDS; i++) {
		char url[URL + 1];
		int err;

		if (i == FINDS)
			before = cpu_us();
		url_of(mix(i) % count, url);
		arena_init(&arena, ARENA);
		err = store_find(view, bytes_of(url, URL), &arena, &found);
		if (err)
			die("find", err);
		arena_release(&arena);
		if (i % 64 == 0)
			store_view_turn(view);
	}
	store_view_turn(view);
	return (cpu_us() - before) * 1e3 / FINDS;
}

/* KiB of all mappings but the catalog's. */
static void
memory_of(double *rss, double *dirty)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	bool catalog = false;
	char line[512], path[256];
	unsigned long n;

	*rss = *dirty = 0;
	if (!f)
		die("/proc/self/smaps", 0);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Rss: %lu", &n) == 1 && !catalog)
			*rss += (double)n;
		else if (sscanf(line, "Private_Dirty: %lu", &n) == 1 &&
			 !catalog)
			*dirty += (double)n;
		else if (strchr(line, '-') && strchr(line, '-') < line + 17)
			catalog = sscanf(line, "%*s %*s %*s %*s %*s %255s",
				      path) == 1 &&
				  strstr(path, CATALOG_FILE) &&
				  !strstr(path, "-lock");
	}
	fclose(f);
}

/* ---- processes ----------------------------------------------------------- */

static struct store *
open_store(const char *path, uint64_t count, bool offline)
{
	struct store_options o = {.path = path,
	    .size = count * 4096 + (1ull << 30),
	    .memory = TIER,
	    .max_object = 1ull << 30,
	    .offline = offline};
	struct store *store;
	char why[256];

	if (store_open(&store, &o, why, sizeof(why)) != 0) {
		fprintf(stderr, "scale: %s\n", why);
		exit(1);
	}
	return store;
}

/* Goes on inserting behind what it reports of, until it is killed. */
static void
fill(const char *path, uint64_t from, uint64_t to, uint64_t all, int out)
{
	struct store *store = open_store(path, all, false);
	struct store_view *view;
	struct report report = {.stalls = 0};
	int64_t before = clock_mono_ms();
	double cpu = cpu_us(), rest_dirty;
	int err;

	for (uint64_t i = from; i < to; i++)
		insert(store, i, &report.stalls);
	memory_of(&report.rss, &report.dirty);
	if ((err = store_flush(store)) != 0)
		die("flush", err);
	report.insert_cpu = (cpu_us() - cpu) / (double)(to - from);
	report.insert_us =
	    (double)(clock_mono_ms() - before) * 1e3 / (double)(to - from);
	if ((err = store_view_open(store, &view)) != 0)
		die("view", err);
	report.find_ns = find_cost(view, to);
	sleep(REST);
	memory_of(&report.rest, &rest_dirty);
	if (write(out, &report, sizeof(report)) != sizeof(report))
		die("pipe", 0);
	for (uint64_t i = to;; i++)
		insert(store, i, &report.stalls);
}

static void
probe(const char *path, uint64_t i, uint64_t all, int out)
{
	struct store *store = open_store(path, all, false);
	struct store_view *view;
	int err;

	if ((err = store_view_open(store, &view)) != 0)
		die("view", err);
	hit(view, i);
	if (write(out, "", 1) != 1)
		die("pipe", 0);
	store_view_close(&view);
	store_close(&store);
}

static void
collect(const char *path, uint64_t all)
{
	struct store *store = open_store(path, all, false);
	struct store_removed removed;
	int err = store_gc(store, &removed);

	if (err)
		die("gc", err);
	store_close(&store);
}

/* This program again, as one of the above; its pipe's end, to be read. */
static pid_t
start(const char *role, const char *path, uint64_t a, uint64_t b, uint64_t all,
    int *out)
{
	int pipes[2];
	pid_t pid;

	if (pipe(pipes) != 0 || (pid = fork()) < 0)
		die("fork", 0);
	if (pid == 0) {
		char n[5][24];

		snprintf(n[0], sizeof(n[0]), "%llu", (unsigned long long)a);
		snprintf(n[1], sizeof(n[1]), "%llu", (unsigned long long)b);
		snprintf(n[2], sizeof(n[2]), "%llu", (unsigned long long)all);
		snprintf(n[3], sizeof(n[3]), "%d", pipes[1]);
		snprintf(n[4], sizeof(n[4]), "%u", meta_size);
		close(pipes[0]);
		execl("/proc/self/exe", "scale", role, path, n[0], n[1], n[2],
		    n[3], n[4], (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	*out = pipes[0];
	return pid;
}

static int
child(char **argv)
{
	uint64_t a = strtoull(argv[3], NULL, 10);
	uint64_t b = strtoull(argv[4], NULL, 10);
	uint64_t all = strtoull(argv[5], NULL, 10);
	int out = atoi(argv[6]);

	meta_size = (unsigned)atoi(argv[7]);
	if (strcmp(argv[1], ":fill") == 0)
		fill(argv[2], a, b, all, out);
	else if (strcmp(argv[1], ":probe") == 0)
		probe(argv[2], a, all, out);
	else
		collect(argv[2], all);
	return 0;
}

static void
finish(pid_t pid, const char *what)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status) != 0)
		die(what, LARDER_IO);
}

static uint64_t du_sum;

static int
on_du(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)path;
	(void)flag;
	(void)ftw;
	du_sum += (uint64_t)st->st_blocks * 512;
	return 0;
}

static int
on_remove(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

/* Bytes of the catalog, of these in use, and how many objects it knows: some
 * more were inserted until the kill. Nobody has the store open. */
static void
catalog_of(const char *path, uint64_t *size, uint64_t *used, double *objects)
{
	struct catalog_reader *r;
	struct catalog_totals totals;
	struct catalog *c;
	char name[512];
	int err;

	snprintf(name, sizeof(name), "%s/" CATALOG_FILE, path);
	err = catalog_open(&c, name, 1ull << 40);
	if (err)
		die(name, err);
	*size = catalog_size(c);
	*used = catalog_used(c);
	err = catalog_reader_open(c, &r);
	if (!err)
		err = catalog_get_totals(r, &totals);
	if (err)
		die(name, err);
	*objects = (double)totals.objects;
	catalog_reader_close(&r);
	catalog_close(&c);
}

static void
step(const char *path, uint64_t from, uint64_t to, uint64_t all)
{
	uint64_t size, used, gc_size, gc_used;
	double start_ms, n;
	struct report r;
	int64_t before;
	pid_t pid;
	char c;
	int in;

	pid = start(":fill", path, from, to, all, &in);
	if (read(in, &r, sizeof(r)) != sizeof(r))
		die("the process that inserts has ended", LARDER_IO);
	usleep(100000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(in);
	before = clock_mono_ms();
	pid = start(":probe", path, mix(to) % to, 0, all, &in);
	if (read(in, &c, 1) != 1)
		die("the process that looks up has ended", LARDER_IO);
	start_ms = (double)(clock_mono_ms() - before);
	finish(pid, "probe");
	close(in);
	catalog_of(path, &size, &used, &n);
	du_sum = 0;
	nftw(path, on_du, 16, FTW_PHYS);
	pid = start(":gc", path, 0, 0, all, &in);
	finish(pid, "gc");
	close(in);
	catalog_of(path, &gc_size, &gc_used, &n);
	printf("%10llu %8.1f %8.1f %8.1f %8.0f %8.1f %7.1f %8.1f %8.1f %8.1f "
	       "%7.3f %7.0f\n",
	    (unsigned long long)to, (double)size / n, (double)used / n,
	    (double)gc_size / n, r.find_ns, r.insert_us, r.insert_cpu,
	    r.rss / 1024, r.dirty / 1024, r.rest / 1024,
	    (double)du_sum / (n * BODY), start_ms);
	fflush(stdout);
}

static void
print_heads(void)
{
	printf("%10s %26s %8s %16s %26s %7s %7s\n", "", "catalog, bytes/object",
	    "find", "insert, us", "memory, MiB", "disk", "start");
	printf("%10s %8s %8s %8s %8s %8s %7s %8s %8s %8s %7s %7s\n", "objects",
	    "in file", "used", "gc'ed", "ns", "durable", "cpu", "rss", "dirty",
	    "at rest", "a byte", "ms");
}

int
main(int argc, char **argv)
{
	uint64_t count = 100000, from = 0, to = 10000;
	const char *folder = "/tmp";
	bool keep = false, alone = false;
	char path[256];
	int c;

	if (argc == 8 && argv[1][0] == ':')
		return child(argv);
	while ((c = getopt(argc, argv, "n:d:m:ck")) != -1) {
		if (c == 'n')
			count = strtoull(optarg, NULL, 10);
		else if (c == 'd')
			folder = optarg;
		else if (c == 'm')
			meta_size = (unsigned)atoi(optarg);
		else if (c == 'c')
			alone = true;
		else if (c == 'k')
			keep = true;
		else
			return 2;
	}
	if (!count || count > 1000000000 || meta_size > 200) {
		fprintf(stderr, "scale: -n 1 to 1000000000, -m 0 to 200\n");
		return 2;
	}
	snprintf(path, sizeof(path), "%s/larder-scale.XXXXXX", folder);
	if (!mkdtemp(path))
		die(path, 0);
	if (alone) {
		catalog_alone(path, count);
		from = count;
	} else {
		print_heads();
	}
	for (; from < count; from = to, to *= 10) {
		to = to < count ? to : count;
		step(path, from, to, count);
		if (to == count)
			break;
	}
	if (!keep)
		nftw(path, on_remove, 16, FTW_PHYS | FTW_DEPTH);
	else
		printf("kept: %s\n", path);
	return 0;
}
