/*
 * The files behind containers: packs, and one a blob. Whoever reads or writes
 * one holds a reference; a few that nobody uses stay open.
 */
#ifndef STORAGE_FILE_H
#define STORAGE_FILE_H

#include <pthread.h>
#include <stdatomic.h>

#include "budget.h"
#include "disk.h"
#include "larder/list.h"
#include "object.h"
#include "pool.h"

struct warm;

#define FILE_BUCKETS 1024u
/* Files kept open that nobody reads; less, where the process may have few. */
#define FILE_IDLE    256u
#define FILE_NAME    32u

struct file {
	struct list node; /* in its bucket */
	struct list idle; /* in files->idle while refs is 0 */
	unsigned refs;	  /* under files->lock, like the lists and `gone` */
	bool gone;	  /* nothing names it: who is last has it closed */
	bool linked;	  /* and unlinked from tmp/ before */
	uint64_t give;	  /* bytes of the budget that come back then */
	struct job closing;
	struct files *files;
	uint64_t id;
	enum place_kind kind;
	int fd;
	/* Of a blob's, once it is whole; constant but for the bits. */
	enum encoding encoding;
	uint32_t block;
	uint64_t raw, stored, blocks;
	char *table;		   /* entries as on disk */
	void *bits;		   /* what `verified` lies in */
	_Atomic uint8_t *verified; /* a bit a block: read and checked */
	uint64_t *offsets;	   /* FRAMES: where each begins, and the end */
	_Atomic(struct warm *) warm; /* once it was asked for */
};

struct files {
	pthread_mutex_t lock; /* a leaf: nothing else is taken under it */
	struct list buckets[FILE_BUCKETS];
	struct list idle; /* longest unused first */
	unsigned idle_count, idle_max;
	int dir;
	struct budget *budget;
	/* Who closes what is gone; NULL: the last of those who had it. Not
	 * changed while there are other threads. */
	struct pool *closers;
	_Atomic uint64_t folders[4]; /* which of blobs/xx exist, a bit each */
};

void files_init(struct files *f, int dir, struct budget *budget);
/* Closes all; nobody may hold one. */
void files_release(struct files *f);

/* "packs/…", "blobs/xx/…"; with tmp: "tmp/…". */
void file_name(
    uint64_t id, enum place_kind kind, bool tmp, char name[FILE_NAME]);

/* Is there a folder of blobs/ of that number, below 256? */
bool file_has_folder(const struct files *f, unsigned n);

/* A new empty file in tmp/. May block. As disk_open(). */
int file_create(
    struct files *f, uint64_t id, enum place_kind kind, struct file **out);
/* An existing one; place says what a blob's trailer must be. May block. 0,
 * LARDER_ABSENT, LARDER_DAMAGED, LARDER_NOMEM, LARDER_IO. */
int file_open(struct files *f, const struct place *place, uint64_t object,
    struct file **out);
/* As disk_open_direct(), wherever it is; the caller closes it. May block. */
int file_open_direct(const struct files *f, const struct file *file);
/* The one that is open already, or NULL. Never blocks. It is what the place
 * says only where file_fits(). */
struct file *file_known(struct files *f, uint64_t id);
bool file_fits(const struct file *file, const struct place *place);
struct file *file_ref(struct files *f, struct file *file);
/* Never blocks where there are closers. */
void file_unref(struct files *f, struct file **file);

/* Has anybody else a reference? */
bool file_shared(struct files *f, const struct file *file);

/* Out of tmp/ to where it belongs, and back. 0, LARDER_ABSENT, or as
 * disk_rename(). May block. */
int file_settle(struct files *f, uint64_t id, enum place_kind kind);
int file_condemn(struct files *f, uint64_t id, enum place_kind kind);
/* Of one in tmp/ that was never named: when nobody has a reference any more it
 * is unlinked, and bytes are given back. Never blocks. */
void file_abandon(struct files *f, struct file *file, uint64_t bytes);
/* Unlinks it from tmp/, now; bytes are given back once nobody reads it any
 * more. May block, for some time where it is large. writer: whose store's it
 * is; NULL: another thread does it. */
void file_drop(
    struct files *f, uint64_t id, uint64_t bytes, const struct store *writer);
/* The same for one that could not be condemned. */
void file_drop_settled(struct files *f, uint64_t id, enum place_kind kind,
    uint64_t bytes, const struct store *writer);

/* The table of a blob that was just written: all of it counts as read. */
int file_adopt_table(struct file *file, const struct object_trailer *t,
    char **table, bool verified);
bool file_verified(const struct file *file, uint64_t block);
void file_set_verified(struct file *file, uint64_t block);
/* Reads one block of a raw blob into buf (at least `block` bytes) and checks
 * it. May block. 0, LARDER_DAMAGED, LARDER_IO. */
int file_check_block(
    struct file *file, uint64_t block, uint64_t object, char *buf);
/* The same for the stored frame of one: into buf, file_frame_size() bytes. */
int file_check_frame(
    struct file *file, uint64_t block, uint64_t object, char *buf);
size_t file_frame_size(const struct file *file, uint64_t block);
/* How many of the n bytes from offset on of a raw one can be had without
 * waiting for the disk, up to the first that cannot. As warm_run(). */
uint64_t file_warm(struct file *file, uint64_t offset, uint64_t n);
/* What a block covers of the body. */
uint64_t file_block_size(const struct file *file, uint64_t block);

#endif
