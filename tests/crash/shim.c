/*
 * Stands between a program and the disk (LD_PRELOAD), for everything below one
 * folder: what storage/disk.c calls, and what LMDB does.
 *
 *   SHIM_ROOT=FOLDER   what it looks at; absolute, without links
 *   SHIM_LOG=FILE      records what changes there, for powercut.py
 *   SHIM_FAIL=K:ERROR:N  the K-th call (from 1) and the N-1 behind it fail; by
 *                      ERROR (a number), or "short": writes come to half
 *   SHIM_SLOW=MS       each sync takes so much longer
 *
 * The program may ask it (weak symbols): shim_calls(), how many there were;
 * shim_pardon(), nothing fails any more; shim_failed(), how many did;
 * shim_unread(), and how many of these were to read. Want of space is no reason
 * for that.
 *
 * A record: u8 what | u8 zero | u16 zero | u32 fd | u64 a | u64 b | u64 ms
 * | u32 size | bytes. It is written when the call has returned, so that what is
 * not in the log yet may have happened or not; a sync has one before it as
 * well: what was recorded before that one it made durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 4096

enum what {
	OPEN = 1,   /* fd, a: flags, b: 1 if it is new; bytes: its path */
	CLOSE,	    /* fd */
	WRITE,	    /* fd, a: offset; bytes: what */
	TRUNCATE,   /* fd, a: size */
	PUNCH,	    /* fd, a: offset, b: length */
	RENAME,	    /* bytes: from, NUL, to */
	UNLINK,	    /* bytes: path */
	MKDIR,	    /* bytes: path */
	SYNC_BEGIN, /* fd; b: 1 for all of the file system */
	SYNC_END,   /* the same */
	SAID,	    /* bytes: what the program wrote to its output */
};

long shim_calls(void);
long shim_failed(void);
long shim_unread(void);
void shim_pardon(void);

static const char *root;
static size_t root_size;
static int log_fd = -1;
static long fail_from, fail_count, fail_error, slow_ms;
static _Atomic long calls, failures, unread;
static _Atomic bool pardoned;
static _Atomic bool ours[FDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void
start(void)
{
	const char *log = getenv("SHIM_LOG"), *fail = getenv("SHIM_FAIL");
	const char *slow = getenv("SHIM_SLOW");
	char error[16] = "";

	root = getenv("SHIM_ROOT");
	root_size = root ? strlen(root) : 0;
	slow_ms = slow ? atol(slow) : 0;
	if (log)
		log_fd = (int)syscall(SYS_openat, AT_FDCWD, log,
		    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fail && sscanf(fail, "%ld:%15[^:]:%ld", &fail_from, error,
			&fail_count) == 3)
		fail_error = strcmp(error, "short") ? atol(error) : -1;
}

long
shim_calls(void)
{
	return calls;
}

long
shim_failed(void)
{
	return failures;
}

long
shim_unread(void)
{
	return unread;
}

void
shim_pardon(void)
{
	pardoned = true;
}

/* What is to happen instead: 0 nothing, -1 a short write, or an errno. */
static long
fate(bool reads)
{
	long n = ++calls;

	if (pardoned || !fail_from || n < fail_from ||
	    n >= fail_from + fail_count)
		return 0;
	if (reads && (fail_error == ENOSPC || fail_error == EDQUOT))
		return 0;
	failures++;
	unread += reads;
	return fail_error;
}

static void
record(enum what what, int fd, uint64_t a, uint64_t b, const struct iovec *iov,
    int count)
{
	struct {
		uint8_t what, zero;
		uint16_t zeros;
		uint32_t fd;
		uint64_t a, b, ms;
		uint32_t size;
	} __attribute__((packed)) head = {what, 0, 0, (uint32_t)fd, a, b, 0, 0};
	struct iovec all[66] = {{&head, sizeof(head)}};
	struct timespec now;
	size_t size = 0;

	if (log_fd < 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	head.ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
	for (int i = 0; i < count && i < 65; i++) {
		all[i + 1] = iov[i];
		size += iov[i].iov_len;
	}
	head.size = (uint32_t)size;
	pthread_mutex_lock(&lock);
	if (syscall(SYS_writev, log_fd, all, count + 1) !=
	    (long)(sizeof(head) + size))
		abort();
	pthread_mutex_unlock(&lock);
}

static void
record_text(
    enum what what, int fd, uint64_t a, uint64_t b, const char *text, size_t n)
{
	struct iovec iov = {(void *)(uintptr_t)text, n};

	record(what, fd, a, b, &iov, 1);
}

static bool
below(const char *path)
{
	return root && strncmp(path, root, root_size) == 0 &&
	       (path[root_size] == '/' || !path[root_size]);
}

/* A number that closedir() gave back may be a socket's by now. */
static bool
is_ours(int fd)
{
	struct stat st;

	return fd >= 0 && fd < FDS && ours[fd] && fstat(fd, &st) == 0 &&
	       (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

/* An absolute path of what `name` means at `dir`. */
static bool
absolute(int dir, const char *name, char out[PATH_MAX])
{
	char link[64], base[PATH_MAX];
	ssize_t n;

	if (*name == '/') {
		snprintf(out, PATH_MAX, "%s", name);
		return below(out);
	}
	snprintf(link, sizeof(link),
	    dir == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir);
	n = readlink(link, base, sizeof(base) - 1);
	if (n < 0)
		return false;
	base[n] = '\0';
	if (strcmp(name, ".") == 0)
		snprintf(out, PATH_MAX, "%s", base);
	else if (snprintf(out, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
		return false;
	return below(out);
}

static int
fails(long error)
{
	errno = (int)(error < 0 ? EIO : error);
	return -1;
}

/* ---- opening ------------------------------------------------------------- */

static int
opened(int dir, const char *name, int flags, mode_t mode)
{
	char path[PATH_MAX];
	bool is_new;
	long error;
	int fd;

	if (!absolute(dir, name, path)) {
		fd = (int)syscall(SYS_openat, dir, name, flags, mode);
		if (fd >= 0 && fd < FDS)
			ours[fd] = false;
		return fd;
	}
	error = fate(!(flags & (O_CREAT | O_WRONLY | O_RDWR)));
	if (error > 0)
		return fails(error);
	is_new = (flags & O_CREAT) && access(path, F_OK) != 0;
	fd = (int)syscall(SYS_openat, dir, name, flags, mode);
	if (fd < 0 || fd >= FDS)
		return fd;
	ours[fd] = true;
	record_text(OPEN, fd, (uint64_t)flags, is_new, path, strlen(path));
	return fd;
}

#define OPENS(name)                                         \
	int name(const char *path, int flags, ...)          \
	{                                                   \
		va_list ap;                                 \
		mode_t mode;                                \
                                                            \
		va_start(ap, flags);                        \
		mode = va_arg(ap, mode_t);                  \
		va_end(ap);                                 \
		return opened(AT_FDCWD, path, flags, mode); \
	}
#define OPENATS(name)                                       \
	int name(int dir, const char *path, int flags, ...) \
	{                                                   \
		va_list ap;                                 \
		mode_t mode;                                \
                                                            \
		va_start(ap, flags);                        \
		mode = va_arg(ap, mode_t);                  \
		va_end(ap);                                 \
		return opened(dir, path, flags, mode);      \
	}
OPENS(open)
OPENS(open64)
OPENATS(openat)
OPENATS(openat64)

int
close(int fd)
{
	if (is_ours(fd)) {
		ours[fd] = false;
		record(CLOSE, fd, 0, 0, NULL, 0);
	}
	return (int)syscall(SYS_close, fd);
}

/* ---- writing ------------------------------------------------------------- */

static ssize_t
writes(int fd, const struct iovec *iov, int count, int64_t at)
{
	struct iovec half[64];
	size_t n = 0, left;
	ssize_t put;
	long error;
	int used = 0;

	if (!is_ours(fd))
		return syscall(SYS_pwritev, fd, iov, count, at, at >> 32);
	error = fate(false);
	if (error > 0)
		return fails(error);
	for (int i = 0; i < count; i++)
		n += iov[i].iov_len;
	left = error < 0 && n > 1 ? n / 2 : n;
	for (int i = 0; i < count && left && i < 64; i++) {
		half[i] = iov[i];
		if (half[i].iov_len > left)
			half[i].iov_len = left;
		left -= half[i].iov_len;
		used = i + 1;
	}
	put = syscall(SYS_pwritev, fd, half, used, at, 0);
	if (put > 0) {
		left = (size_t)put;
		for (int i = 0; i < used; i++) {
			if (half[i].iov_len > left)
				half[i].iov_len = left;
			left -= half[i].iov_len;
		}
		record(WRITE, fd, (uint64_t)at, 0, half, used);
	}
	return put;
}

#define PWRITES(name)                                               \
	ssize_t name(int fd, const void *p, size_t n, off_t at)     \
	{                                                           \
		struct iovec iov = {(void *)(uintptr_t)p, n};       \
                                                                    \
		if (!is_ours(fd))                                   \
			return syscall(SYS_pwrite64, fd, p, n, at); \
		return writes(fd, &iov, 1, at);                     \
	}
#define PWRITEVS(name)                                                     \
	ssize_t name(int fd, const struct iovec *iov, int count, off_t at) \
	{                                                                  \
		return writes(fd, iov, count, at);                         \
	}
PWRITES(pwrite)
PWRITES(pwrite64)
PWRITEVS(pwritev)
PWRITEVS(pwritev64)

/* LMDB seeks, and writes from there. */
ssize_t
writev(int fd, const struct iovec *iov, int count)
{
	off_t at;
	ssize_t put;

	if (!is_ours(fd))
		return syscall(SYS_writev, fd, iov, count);
	at = lseek(fd, 0, SEEK_CUR);
	put = writes(fd, iov, count, at);
	if (put > 0)
		lseek(fd, at + put, SEEK_SET);
	return put;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	struct iovec iov = {(void *)(uintptr_t)p, n};

	if (fd == 1)
		record_text(SAID, fd, 0, 0, p, n);
	if (is_ours(fd))
		return writev(fd, &iov, 1);
	return syscall(SYS_write, fd, p, n);
}

#define TRUNCATES(name)                                                   \
	int name(int fd, off_t size)                                      \
	{                                                                 \
		long error = is_ours(fd) ? fate(false) : 0;               \
		int rc;                                                   \
                                                                          \
		if (error)                                                \
			return fails(error);                              \
		rc = (int)syscall(SYS_ftruncate, fd, size);               \
		if (rc == 0 && is_ours(fd))                               \
			record(TRUNCATE, fd, (uint64_t)size, 0, NULL, 0); \
		return rc;                                                \
	}
TRUNCATES(ftruncate)
TRUNCATES(ftruncate64)

#define FALLOCATES(name)                                                       \
	int name(int fd, int mode, off_t at, off_t n)                          \
	{                                                                      \
		long error = is_ours(fd) ? fate(false) : 0;                    \
		int rc;                                                        \
                                                                               \
		if (error)                                                     \
			return fails(error);                                   \
		rc = (int)syscall(SYS_fallocate, fd, mode, at, n);             \
		if (rc == 0 && is_ours(fd) && mode)                            \
			record(PUNCH, fd, (uint64_t)at, (uint64_t)n, NULL, 0); \
		return rc;                                                     \
	}
FALLOCATES(fallocate)
FALLOCATES(fallocate64)

/* ---- names --------------------------------------------------------------- */

int
renameat(int a, const char *from, int b, const char *to)
{
	char paths[2 * PATH_MAX], second[PATH_MAX];
	bool known = absolute(a, from, paths) && absolute(b, to, second);
	long error = known ? fate(false) : 0;
	int rc;

	if (error)
		return fails(error);
	rc = (int)syscall(SYS_renameat, a, from, b, to);
	if (rc == 0 && known) {
		size_t n = strlen(paths) + 1;

		strcpy(paths + n, second);
		record_text(RENAME, 0, 0, 0, paths, n + strlen(second));
	}
	return rc;
}

int
unlinkat(int dir, const char *name, int flags)
{
	char path[PATH_MAX];
	bool known = absolute(dir, name, path);
	long error = known ? fate(false) : 0;
	int rc;

	if (error)
		return fails(error);
	rc = (int)syscall(SYS_unlinkat, dir, name, flags);
	if (rc == 0 && known)
		record_text(UNLINK, 0, 0, 0, path, strlen(path));
	return rc;
}

int
unlink(const char *name)
{
	return unlinkat(AT_FDCWD, name, 0);
}

int
mkdirat(int dir, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	bool known = absolute(dir, name, path);
	long error = known ? fate(false) : 0;
	int rc;

	if (error)
		return fails(error);
	rc = (int)syscall(SYS_mkdirat, dir, name, mode);
	if (rc == 0 && known)
		record_text(MKDIR, 0, 0, 0, path, strlen(path));
	return rc;
}

int
mkdir(const char *name, mode_t mode)
{
	return mkdirat(AT_FDCWD, name, mode);
}

/* ---- durable ------------------------------------------------------------- */

static int
syncs(int fd, long call, bool all)
{
	long error = is_ours(fd) ? fate(false) : 0;
	int rc;

	if (error)
		return fails(error);
	if (is_ours(fd))
		record(SYNC_BEGIN, fd, 0, all, NULL, 0);
	rc = (int)syscall(call, fd);
	if (is_ours(fd) && slow_ms)
		poll(NULL, 0, (int)slow_ms);
	if (rc == 0 && is_ours(fd))
		record(SYNC_END, fd, 0, all, NULL, 0);
	return rc;
}

int
fsync(int fd)
{
	return syncs(fd, SYS_fsync, false);
}

int
fdatasync(int fd)
{
	return syncs(fd, SYS_fdatasync, false);
}

int
syncfs(int fd)
{
	return syncs(fd, SYS_syncfs, true);
}

/* ---- reading ------------------------------------------------------------- */

#define PREADS(name)                                       \
	ssize_t name(int fd, void *p, size_t n, off_t at)  \
	{                                                  \
		long error = is_ours(fd) ? fate(true) : 0; \
                                                           \
		if (error > 0)                             \
			return fails(error);               \
		if (error < 0 && n > 1)                    \
			n /= 2;                            \
		return syscall(SYS_pread64, fd, p, n, at); \
	}
PREADS(pread)
PREADS(pread64)

ssize_t __pread_chk(int fd, void *p, size_t n, off_t at, size_t room);

ssize_t
__pread_chk(int fd, void *p, size_t n, off_t at, size_t room)
{
	if (n > room)
		abort();
	return pread(fd, p, n, at);
}
