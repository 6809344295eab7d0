/*
 * System calls on files, and nothing else.
 *
 * What always holds: EINTR and short transfers are handled here and nowhere
 * else; errno is that of the call that failed; each failure is counted once.
 */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic uint64_t errors;
static disk_fault_fn *_Atomic fault;

void
disk_fault(disk_fault_fn *fn)
{
	atomic_store(&fault, fn);
}

uint64_t
disk_errors(void)
{
	return atomic_load_explicit(&errors, memory_order_relaxed);
}

static int
failed(int error)
{
	atomic_fetch_add_explicit(&errors, 1, memory_order_relaxed);
	errno = error;
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return LARDER_NOSPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return LARDER_ACCESS;
	default:
		return LARDER_IO;
	}
}

/* What a test wants to happen instead of the call. */
static int
faulty(enum disk_op op)
{
	disk_fault_fn *fn = atomic_load_explicit(&fault, memory_order_acquire);

	return fn ? fn(op) : 0;
}

int
disk_open(int dir, const char *name, int flags, int *fd)
{
	int error = faulty(DISK_OPEN);

	*fd = -1;
	while (!error && *fd < 0) {
		*fd = openat(dir, name, flags | O_CLOEXEC, 0640);
		if (*fd < 0 && errno != EINTR)
			error = errno;
	}
	if (error == ENOENT)
		return LARDER_ABSENT;
	return error ? failed(error) : 0;
}

void
disk_close(int fd)
{
	if (fd >= 0)
		close(fd);
}

int
disk_open_folder(const char *path, bool make, int *dir)
{
	*dir = -1;
	if (make && mkdir(path, 0750) != 0 && errno != EEXIST)
		return failed(errno);
	*dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0 && errno == ENOENT)
		return LARDER_ABSENT;
	return *dir < 0 ? failed(errno) : 0;
}

int
disk_mkdir(int dir, const char *name, bool *made)
{
	int error = faulty(DISK_MKDIR);

	*made = false;
	if (error)
		return failed(error);
	if (mkdirat(dir, name, 0750) == 0)
		*made = true;
	else if (errno != EEXIST)
		return failed(errno);
	return 0;
}

/*
 * flock() goes with the open file: unlike fcntl()'s classic locks it is not
 * lost when some other descriptor of the file is closed.
 */
int
disk_lock(int dir, const char *name, int *fd)
{
	int err = disk_open(dir, name, O_RDWR | O_CREAT, fd);

	if (err)
		return err;
	if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	err = errno == EWOULDBLOCK ? LARDER_LOCKED : failed(errno);
	close(*fd);
	*fd = -1;
	return err;
}

int
disk_read(int fd, void *buf, size_t n, uint64_t offset)
{
	char *p = buf;
	int error = faulty(DISK_READ);

	if (error)
		return failed(error);
	while (n) {
		ssize_t got = pread(fd, p, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return failed(errno);
		if (got == 0)
			return LARDER_DAMAGED;
		p += got;
		n -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

int
disk_read_warm(int fd, void *buf, size_t n, uint64_t offset)
{
	struct iovec iov = {buf, n};
	ssize_t got;

	if (faulty(DISK_READ))
		return LARDER_AGAIN;
	got = preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT);
	/* EAGAIN: cold. EOPNOTSUPP: this file system cannot tell. A short
	 * count: partly cold, or damaged: whoever reads it in will see. */
	return got >= 0 && (size_t)got == n ? 0 : LARDER_AGAIN;
}

bool
disk_is_warm(int fd, uint64_t offset, size_t n)
{
	char byte;

	return disk_read_warm(fd, &byte, 1, offset) == 0 &&
	       (n < 2 || disk_read_warm(fd, &byte, 1, offset + n - 1) == 0);
}

void
disk_will_need(int fd, uint64_t offset, uint64_t n)
{
	(void)posix_fadvise(fd, (off_t)offset, (off_t)n, POSIX_FADV_WILLNEED);
}

void *
disk_map(int fd, uint64_t n)
{
	void *map;

	/* mincore() answers by the page, whatever its size. */
	if (sysconf(_SC_PAGESIZE) != DISK_BLOCK)
		return NULL;
	map = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
	return map == MAP_FAILED ? NULL : map;
}

void
disk_unmap(void *map, uint64_t n)
{
	(void)munmap(map, n);
}

uint64_t
disk_warm(void *map, uint64_t offset, uint64_t n)
{
	unsigned char in[256];
	uint64_t at = offset / DISK_BLOCK * DISK_BLOCK, end = offset + n;

	while (at < end) {
		uint64_t pages = (disk_round(end) - at) / DISK_BLOCK;

		pages = pages > sizeof(in) ? sizeof(in) : pages;
		/* It says so only of what has been read, not of what is on
		 * its way. */
		if (mincore((char *)map + at, pages * DISK_BLOCK, in) != 0)
			break;
		for (uint64_t i = 0; i < pages; i++, at += DISK_BLOCK)
			if (!(in[i] & 1))
				return at > offset ? at - offset : 0;
	}
	return at > end ? n : at > offset ? at - offset : 0;
}

int
disk_write(int fd, struct iovec *iov, int count, uint64_t offset)
{
	int error = faulty(DISK_WRITE);

	if (error)
		return failed(error);
	while (count) {
		ssize_t put = pwritev(fd, iov, count, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return failed(errno);
		offset += (uint64_t)put;
		while (count && (size_t)put >= iov->iov_len) {
			put -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count) {
			iov->iov_base = (char *)iov->iov_base + put;
			iov->iov_len -= (size_t)put;
		}
	}
	return 0;
}

int
disk_open_direct(int dir, const char *name)
{
	int fd;

	if (faulty(DISK_OPEN_DIRECT))
		return -1;
	do
		fd = openat(dir, name, O_WRONLY | O_DIRECT | O_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	return fd;
}

/* And not of how it is written: EINVAL for most, but not for all. */
static bool
is_of_the_disk(int error)
{
	return error == EIO || error == ENOSPC || error == EDQUOT ||
	       error == EFBIG;
}

int
disk_write_direct(int fd, const char *from, size_t n, uint64_t offset)
{
	int error = faulty(DISK_WRITE);

	if (error)
		return failed(error);
	if (faulty(DISK_WRITE_DIRECT))
		return LARDER_INVALID;
	while (n) {
		ssize_t put = pwrite(fd, from, n, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && is_of_the_disk(errno))
			return failed(errno);
		if (put < 0)
			return LARDER_INVALID;
		from += put;
		n -= (size_t)put;
		offset += (uint64_t)put;
	}
	return 0;
}

int
disk_sync(int fd)
{
	int error = faulty(DISK_SYNC);

	if (!error && fdatasync(fd) != 0)
		error = errno;
	return error ? failed(error) : 0;
}

void
disk_sync_start(int fd, uint64_t offset, uint64_t n)
{
	/* A hint: disk_sync() is what counts. */
	(void)sync_file_range(
	    fd, (off_t)offset, (off_t)n, SYNC_FILE_RANGE_WRITE);
}

void
disk_forget(int fd, uint64_t offset, uint64_t n)
{
	if (faulty(DISK_FORGET) == 0)
		(void)posix_fadvise(
		    fd, (off_t)offset, (off_t)n, POSIX_FADV_DONTNEED);
}

int
disk_sync_folder(int dir, const char *name)
{
	int fd, err, error;

	err = disk_open(dir, name, O_RDONLY | O_DIRECTORY, &fd);
	if (err)
		return err < 0 ? err : failed(ENOENT);
	error = faulty(DISK_SYNC);
	if (!error && fsync(fd) != 0)
		error = errno;
	close(fd);
	return error ? failed(error) : 0;
}

int
disk_sync_all(int dir)
{
	int error = faulty(DISK_SYNC);

	if (!error && syncfs(dir) != 0)
		error = errno;
	return error ? failed(error) : 0;
}

int
disk_rename(int dir, const char *from, const char *to)
{
	int error = faulty(DISK_RENAME);

	if (!error && renameat(dir, from, dir, to) != 0)
		error = errno;
	if (error == ENOENT)
		return LARDER_ABSENT;
	return error ? failed(error) : 0;
}

int
disk_unlink(int dir, const char *name)
{
	int error = faulty(DISK_UNLINK);

	if (!error && unlinkat(dir, name, 0) != 0)
		error = errno;
	return error && error != ENOENT ? failed(error) : 0;
}

int
disk_punch(int fd, uint64_t offset, uint64_t n)
{
	int error = faulty(DISK_PUNCH);

	if (!error && fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)offset, (off_t)n) != 0)
		error = errno;
	return error ? failed(error) : 0;
}

int
disk_truncate(int fd, uint64_t size)
{
	int error = faulty(DISK_TRUNCATE);

	if (!error && ftruncate(fd, (off_t)size) != 0)
		error = errno;
	return error ? failed(error) : 0;
}

int
disk_size(int fd, uint64_t *size, uint64_t *allocated)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return failed(errno);
	*size = (uint64_t)st.st_size;
	*allocated = (uint64_t)st.st_blocks * 512;
	return 0;
}

int
disk_list(int dir, const char *name, void (*visit)(void *arg, const char *name),
    void *arg)
{
	struct dirent *entry;
	DIR *folder;
	int fd, err;

	err = disk_open(dir, name, O_RDONLY | O_DIRECTORY, &fd);
	if (err)
		return err;
	folder = fdopendir(fd);
	if (!folder) {
		close(fd);
		return failed(errno);
	}
	while ((entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			visit(arg, entry->d_name);
	closedir(folder);
	return 0;
}

int
disk_random(void *buf, size_t n)
{
	return getrandom(buf, n, 0) == (ssize_t)n ? 0 : failed(errno);
}
