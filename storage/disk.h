/*
 * Every system call that storage/ makes on files. What fails is counted, and
 * a test can make any of it fail.
 */
#ifndef STORAGE_DISK_H
#define STORAGE_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "larder/err.h"

/* What files take on disk is counted in these. */
#define DISK_BLOCK 4096u

enum disk_op {
	DISK_OPEN,
	DISK_READ,
	DISK_WRITE,
	DISK_OPEN_DIRECT,  /* any errno: it cannot be */
	DISK_WRITE_DIRECT, /* likewise */
	DISK_SYNC,
	DISK_RENAME,
	DISK_UNLINK,
	DISK_PUNCH,
	DISK_MKDIR,
	DISK_TRUNCATE,
	DISK_FORGET,
	DISK_OPS
};

/* Returns an errno to fail with, or 0 to let the call happen. Any thread. */
typedef int disk_fault_fn(enum disk_op op);
/* For tests; NULL: no faults. */
void disk_fault(disk_fault_fn *fn);
/* System calls that failed since the program started. */
uint64_t disk_errors(void);

static inline uint64_t
disk_round(uint64_t n)
{
	return (n + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

/*
 * All of these: 0, or LARDER_IO, LARDER_NOSPACE (ENOSPC, EDQUOT),
 * LARDER_ACCESS (EACCES, EPERM, EROFS), and where it says so more. All of them
 * may block but disk_read_warm(). Names are relative to the folder `dir`.
 */

/* Also LARDER_ABSENT. flags as of open(2). */
int disk_open(int dir, const char *name, int flags, int *fd);
void disk_close(int fd);
/* The folder itself; made (with its parents not) where `make` says so. */
int disk_open_folder(const char *path, bool make, int *dir);
/* An existing folder is no error; *made says whether it is new. */
int disk_mkdir(int dir, const char *name, bool *made);
/* LARDER_LOCKED when another process has it. */
int disk_lock(int dir, const char *name, int *fd);

/* Exactly n bytes; LARDER_DAMAGED where the file ends before. */
int disk_read(int fd, void *buf, size_t n, uint64_t offset);
/* The same without waiting: LARDER_AGAIN when it is not in the page cache. */
int disk_read_warm(int fd, void *buf, size_t n, uint64_t offset);
/* Whether both ends of [offset, offset + n) are in the page cache. */
bool disk_is_warm(int fd, uint64_t offset, size_t n);
/* Addresses of the first n bytes of a file, which are never looked at: they are
 * what disk_warm() is asked by. NULL: they cannot be had. */
void *disk_map(int fd, uint64_t n);
void disk_unmap(void *map, uint64_t n);
/* How many of the n bytes from offset on are in the page cache, up to the first
 * that is not. One system call a MiB. */
uint64_t disk_warm(void *map, uint64_t offset, uint64_t n);
/* It is to be read soon: a hint. */
void disk_will_need(int fd, uint64_t offset, uint64_t n);
/* All of it; iov is used up. */
int disk_write(int fd, struct iovec *iov, int count, uint64_t offset);
/* One that is there, for disk_write_direct(). -1: this file system has no such
 * thing, or it cannot be opened: no error. */
int disk_open_direct(int dir, const char *name);
/* Past the page cache: from, n and offset are multiples of DISK_BLOCK. Also
 * LARDER_INVALID: it cannot be written so, or not such a part of it; written
 * may be any. */
int disk_write_direct(int fd, const char *from, size_t n, uint64_t offset);
int disk_sync(int fd);
/* Starts writing back what is dirty, so that a later disk_sync() is short. */
void disk_sync_start(int fd, uint64_t offset, uint64_t n);
/* Drops what is cached of these bytes and is durable: a hint. */
void disk_forget(int fd, uint64_t offset, uint64_t n);
int disk_sync_folder(int dir, const char *name);
/* The whole file system that dir is on. */
int disk_sync_all(int dir);
/* Also LARDER_ABSENT. */
int disk_rename(int dir, const char *from, const char *to);
/* A file that is not there is no error. */
int disk_unlink(int dir, const char *name);
/* Gives blocks back; the bytes read as zeros. */
int disk_punch(int fd, uint64_t offset, uint64_t n);
int disk_truncate(int fd, uint64_t size);
int disk_size(int fd, uint64_t *size, uint64_t *allocated);
/* Calls visit for every name in the folder but "." and "..". */
int disk_list(int dir, const char *name,
    void (*visit)(void *arg, const char *name), void *arg);
/* Random bytes of the kernel. */
int disk_random(void *buf, size_t n);

#endif
