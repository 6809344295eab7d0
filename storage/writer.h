/*
 * The one writer thread: it alone changes the catalog and appends to packs.
 */
#ifndef STORAGE_WRITER_H
#define STORAGE_WRITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#include "catalog.h"
#include "frame.h"
#include "larder/list.h"
#include "memory.h"
#include "policy.h"

/* A change waits at most so long for others to share a commit with. */
#define WRITER_WINDOW_MS    500
/* And no longer once so much waits with it. */
#define WRITER_WINDOW_BYTES (4u * 1024 * 1024)

/* Packs that are synced one by one; where there are more, everything is. */
#define WRITER_PUNCHED 8u

struct blob;
struct file;
struct record;
struct store;

/* Positions in the queue of containers from here on are the main queue's. */
#define WRITER_MAIN (1ull << 63)

/* What records are appended to: one a queue. */
struct pack {
	struct file *file; /* or NULL */
	uint64_t end;	   /* where the next record goes */
	uint64_t sure;	   /* up to there the catalog may name it */
	uint64_t taken;	   /* of the budget, for its file */
	bool dirty;	   /* written, not durable */
	/* What is before `end` and not written yet: the last bytes of what is
	 * filled of the buffer, which begins where a block of the file does. */
	size_t gathered, filled;
	char *buffer;
	/* For disk_write_direct(), once it was asked for; -1: in vain. */
	int direct;
	bool direct_asked;
};

/* Packs to be merged that are known; a look at all of them finds others. */
#define WRITER_SPARSE 64u

struct writer {
	pthread_t thread;
	bool running;
	/* Everything up to the next comment is under it. Taken after a shard's
	 * and after a blob's. */
	pthread_mutex_t lock;
	pthread_cond_t wake; /* for the writer */
	pthread_cond_t done; /* for those who wait for it */
	struct list dirty;   /* entries, by ticket */
	uint64_t tickets;    /* given */
	uint64_t dirty_count;
	struct list stalled; /* blobs that wait for room */
	struct list states;  /* values to be stored */
	uint64_t rounds;     /* of the thread's loop, finished */
	uint64_t failed;     /* commits that were not made */
	int error;	     /* the last of these */
	unsigned gc_wanted;
	unsigned flushing; /* who waits for all to be durable */
	bool ending, ended;
	bool stating; /* values of `states` are being committed */
	uint64_t
	    busy_since; /* ticket of the oldest change in the batch, or 0 */
	_Atomic uint64_t dirty_bytes; /* read without it, too */
	int64_t not_before; /* monotonic ms: what was left waits until then */
	/* Read without it. */
	_Atomic bool closing;  /* the store is; the writer goes on */
	_Atomic bool awaited;  /* somebody waits for the present round */
	_Atomic bool is_short; /* of room: somebody is stalled */
	_Atomic uint64_t batch_bytes;

	/* The thread's own. */
	struct frame_coder coder;
	struct catalog_reader *reader;
	struct catalog_totals totals;
	struct pack packs[POLICY_QUEUES];
	struct policy policy;
	char *raw, *pressed;	/* room for a record; for a body, pressed */
	uint64_t catalog_taken; /* of the budget, for the catalog's file */
	uint64_t grant;		/* of the budget, taken for the group */
	bool evicting;		/* may take the last of the budget */
	/* Packs with holes that may not last yet; one more than there is room
	 * for: too many to say which. */
	uint64_t punched[WRITER_PUNCHED];
	unsigned punched_count;
	uint64_t scan[POLICY_QUEUES];	/* where in them eviction goes on */
	uint64_t sparse[WRITER_SPARSE]; /* packs that are half empty */
	unsigned sparse_count;
	int64_t complained; /* when, monotonic ms */
	uint64_t burst;	    /* most that was pending, since memory was */
	int64_t burst_at;   /* given back; and when it last was much of it */
	int64_t gives_at;   /* not again before, monotonic ms */
	int64_t commit_ms;  /* what the last group took */
	struct list states_taken; /* of `states`, in the commit now */
};

/* So that writer_stop() may be called, whatever happens next. */
void writer_prepare(struct store *store);
/* Opening: the totals, and the pack goes on where the catalog says. */
int writer_init(struct store *store);
/* What writer_init() did is undone. */
void writer_reset(struct store *store);
int writer_start(struct store *store);
/* Writes all there is and ends; who needs room from then on has none. */
void writer_stop(struct store *store);
void writer_release(struct store *store);

/* memory.c's: a changed entry, under its shard's lock. */
void writer_queue(struct store *store, struct entry *entry, struct list *batch);
/* Something that it waits for may have happened. */
void writer_nudge(struct store *store);
/* A blob that needs room; takes over the reference of its job. */
void writer_stall(struct store *store, struct blob *blob);
/* Returns when all changes before are durable: 0; or an error, once that has
 * failed some times. */
int writer_flush(struct store *store);
/* For how many microseconds the writer has the processor before others have it;
 * 0: until it is done. */
unsigned writer_turn(const struct store *store);
/* Bytes that are to be written, with those that are being. From any thread. */
uint64_t writer_waiting(const struct store *store);
/* Between two steps of what takes longer: gives it away once that is over. */
void writer_pause(const struct store *store);
/* Returns when the loop has been around with eviction asked for. */
void writer_gc(struct store *store);

/* What else a transaction is to do, for eviction. */
struct commit_extra {
	uint64_t leave;	 /* a pack that goes with all that is in it, or 0 */
	uint64_t remove; /* a container with nothing in it, or 0 */
	/* Those that go to the end of the main queue. */
	const uint64_t *stay;
	unsigned stays;
	/* Of one pack: blocks in which nothing is once the batch is committed
	 * (pairs of offset and length), and what is taken by all others. */
	uint64_t holed;
	const uint64_t *holes;
	unsigned hole_count;
	uint64_t left;
};

/* commit.c: makes what is in the batch durable, by one transaction, and leaves
 * in it what has to be done again. 0 or an error: then all is left in it. */
int commit_batch(
    struct store *store, struct list *batch, const struct commit_extra *extra);
/* The most entries in one. */
unsigned commit_limit(const struct store *store);
/* Puts back what is left in the batch. */
void writer_requeue(struct store *store, struct list *batch);
/* The budget's share of the catalog as it is now. */
void commit_account_catalog(struct store *store);
/* Makes its file short, where that gives much back and there is room for the
 * copy: the writer's, between groups. */
void commit_compact_catalog(struct store *store);
/* Opening: what was to be punched when it ended. */
void commit_punch_again(struct store *store);
/* pack.c: appends a record to a queue's pack, as record_encode() does; place
 * says where it will be. 0 or an error. */
int pack_append(struct store *store, enum policy_queue queue, struct record *r,
    const struct record *was, struct place *place);
/* Opening: it goes on where the catalog says. 0 or an error. */
int pack_resume(struct store *store, enum policy_queue queue);
/* Writes the buffers out and makes them durable. */
int pack_flush(struct store *store);
/* No more is appended to the present one. */
void pack_retire(struct store *store, enum policy_queue queue);
/* Nor to any, and no catalog knows them: after pack_forget(). */
void pack_leave(struct store *store);
/* The catalog may name what was flushed from now on. */
void pack_keep(struct store *store);
/* What was appended since then is forgotten, and given back. */
void pack_forget(struct store *store);
/* Is it one that is appended to? */
bool pack_is_open(const struct store *store, uint64_t id);
void pack_release(struct store *store);
/* evict.c: makes at least `need` bytes free, and room for those who are
 * stalled; false if it cannot. *stalled: how many they are; then, how many
 * still are. */
bool evict_room(struct store *store, uint64_t need, unsigned *stalled);
/* At most so many of those go on, longest first, with room or refused. How many
 * they are. */
unsigned writer_resume(struct store *store, unsigned most, bool refused);
/* merge.c: notes a pack that has become half empty. */
void merge_note(
    struct store *store, uint64_t id, const struct object_container *c);
/* Merges one of those noted, if there is room to; false: there was none. */
bool merge_one(struct store *store);
/* Looks at all packs, and merges those that are half empty. */
void merge_all(struct store *store);

/* A value to be stored with the next commit. */
struct writer_state {
	struct list node;
	char name[33];
	size_t n;
	char value[];
};

#endif
