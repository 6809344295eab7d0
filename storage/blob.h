/*
 * Blobs: see include/larder/store.h for what they are to their users, and the
 * top of blob.c for how their bytes travel.
 */
#ifndef STORAGE_BLOB_H
#define STORAGE_BLOB_H

#include <pthread.h>
#include <stdatomic.h>

#include "file.h"
#include "memory.h"
#include "pool.h"

#define BLOB_MAGIC 0xb10bb10bu
#define BLOB_CHUNK (16u * 1024)
/* What the tail holds at most: a window, and a chunk that is not full. */
#define BLOB_TAIL  (STORE_WINDOW / BLOB_CHUNK + 2)
/* Of the budget, on its way to disk: what it takes at a time, if it can. */
#define BLOB_STEP  (1024u * 1024)

/* Memory that a slice points into. */
struct chunk {
	_Atomic unsigned refs;
	uint32_t size;
	char data[];
};

struct chunk *chunk_new(size_t size);
struct chunk *chunk_copy(struct bytes b);
struct chunk *chunk_ref(struct chunk *c);
void chunk_unref(struct chunk **c);

enum blob_state {
	BLOB_COLD,    /* stored; nothing read yet */
	BLOB_GROWING, /* has a producer */
	BLOB_WHOLE,
	BLOB_ABORTED,
};

/* What is written while a large one grows; its io thread's own. */
struct blob_table {
	struct XXH3_state_s *state;
	char *entries;
	uint64_t count, room;
	uint32_t filled; /* raw bytes in the block that is open */
};

struct blob {
	uint32_t magic;
	_Atomic unsigned refs;
	struct store *store;
	/* Another head on the body of this one (one reference), or NULL. */
	struct blob *base;
	/* Set last: `flat` and `head` are there and nothing changes again. */
	_Atomic bool ready;

	/* Everything below is under it but where it says otherwise. Taken
	 * after a shard's lock. */
	pthread_mutex_t lock;
	enum blob_state state;
	int error;     /* what it was aborted with */
	int broken;    /* what is on disk cannot be read */
	bool cut;      /* it is less than its first readers were promised */
	bool storable; /* was asked to be stored */
	bool window;   /* is not, or not any more */
	bool large;    /* has a file, or will */
	bool overrun;  /* got more than was announced */
	bool busy;     /* a job of its own is queued or runs */
	bool stalled;  /* that job waits for room */
	bool refused;  /* and could not have any */
	bool sealed;   /* its file is durable: place says where */
	bool lost;     /* it was found, but could not be written */
	bool kept;     /* the catalog names its file */
	/* It came out of a pack, and was pressed there; until that is told. */
	_Atomic bool decoded;
	/* What it is, or will be, stored as: for its key and id; constant once
	 * it is committed. Its own, for the one that is found owns the blob. */
	struct object *object;
	struct hash hash;   /* constant */
	uint64_t announced; /* constant, unless it is cut */
	uint32_t block;	    /* constant: what an entry of its table covers */
	uint64_t size;	    /* body bytes known so far */
	uint64_t charged;   /* of store->pending */

	struct chunk *head;
	struct chunk *flat; /* the whole body, or room for it, from flat_from */
	uint64_t flat_from;
	struct chunk
	    *tail[BLOB_TAIL]; /* [tail_start, size), full but the last */
	unsigned tail_count;
	uint64_t tail_start;

	struct file *file; /* covers [0, written) */
	uint64_t written;
	uint64_t reserved; /* of the budget, for the file */
	struct blob_table table;

	struct place head_place, place; /* constant once cold or sealed */
	uint64_t head_size;

	struct list readers;
	unsigned reader_count;
	store_wake_fn *wake; /* the producer's */
	void *wake_arg;
	bool starved; /* the producer waits for it */

	struct job job;	   /* writing, or loading */
	struct list stall; /* in the writer's list of those that need room */
};

/* A cold one: the object's lock of its shard is held. NULL: out of memory. */
struct blob *blob_cold(
    struct store *store, struct hash hash, struct object *object);
/* The same body under another head. */
struct blob *blob_derive(struct blob *body, struct chunk *head);
/* The one that has the bytes. */
struct blob *blob_base(struct blob *blob);
/* Nothing of it changes any more: no lock is needed to read it. */
static inline bool
blob_ready(struct blob *blob)
{
	return atomic_load_explicit(&blob->ready, memory_order_acquire);
}
/* Memory that it holds, for the tier's account. */
size_t blob_cost(const struct blob *blob);
/* Memory that waits to be written; the lock is held, or nobody has it yet. */
void blob_charge(struct blob *blob, uint64_t n);
/* It is in a pack, or lost: its memory is not pending any more. */
void blob_uncharge(struct blob *blob);
/* Goes on with what it was stalled for; refused: there will be no room. */
void blob_resume(struct blob *blob, bool refused);

/* producer.c's, for the others; the lock is held. */
void blob_wake_readers(struct blob *blob);
void blob_trim(struct blob *blob);
void blob_to_window(struct blob *blob);
/* So many read it while it grows that each piece is written before they are
 * woken for it: it goes out by sendfile(), and need not be copied for each.
 * What there is beyond `written` is not there for them. */
bool blob_has_crowd(const struct blob *blob);
/* How far the slowest reader got; what it has ended with it does not hold. */
uint64_t blob_slowest(const struct blob *blob);
/* A reader has got to where it ends so far. */
bool blob_is_awaited(const struct blob *blob);
/* Its job; blob keeps a reference while busy. */
void blob_kick(struct blob *blob);
void spill_run(struct job *job, struct frame_coder *coder);
void spill_release(struct blob *blob);

/* load.c: what is on disk, into memory. Tries without waiting for the disk;
 * LARDER_AGAIN: a thread does it, a wake follows. The lock is held. */
int load_cold(struct blob *blob, struct frame_coder *coder);
/* Reads and checks all of an object that is on disk. May block. 0,
 * LARDER_DAMAGED, LARDER_ABSENT (its files are gone), LARDER_IO,
 * LARDER_NOMEM. *n: bytes read. */
int load_verify(struct store *store, const struct object_info *info,
    struct frame_coder *coder, uint64_t *n);
/* A block of a stored large one, for r. */
int load_block(struct blob_reader *r, uint64_t block);

#endif
