/*
 * The only door into storage/: a persistent store of opaque objects. An object
 * is a head and a body under a key; several variants may stand side by side
 * under one key. The store knows nothing of HTTP.
 *
 * What always holds
 *   1. What was committed is found at once by every thread, and survives a
 *      crash two seconds later at the latest. What is removed is gone at once.
 *   2. Everything in the store's folder together, index and temporary files
 *      counted, stays within the budget at every moment.
 *   3. No byte leaves the store that its checksum does not cover.
 *   4. A look-up or a read writes nothing.
 *   5. Nothing here waits for a disk but where it says "May block".
 *
 * A blob is one head and one body: stored whole, growing while it is fetched,
 * or a window of a passing transfer that is not stored. Readers do not see the
 * difference:
 *
 *   store_create() ──> GROWING ── blob_commit() ──> WHOLE (found by key)
 *                        │  │
 *                        │  └─ no room / not storable ──> WINDOW ──
 * blob_commit() │                                  │        ──> ENDED └──
 * blob_abort() ──> ABORTED <─────┘ store_open_blob() ──> WHOLE
 *
 * The body's bytes that are not on disk yet are held in memory; at most
 * STORE_WINDOW bytes a blob. A blob that stays below STORE_SMALL is held whole
 * until it is in a pack. A window drops what its slowest reader has passed.
 *
 * Threads: every function may be called from any thread but where a view or a
 * reader is an argument: these belong to the thread that made them. A blob has
 * one producer at a time, and any number of readers on any threads.
 */
#ifndef LARDER_STORE_H
#define LARDER_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "larder/arena.h"
#include "larder/bytes.h"
#include "larder/err.h"
#include "larder/list.h"

/* Head and body together up to this many bytes go into packs. */
#define STORE_SMALL	   (256u * 1024)
/* What a growing or passing blob holds in memory at most, in bytes: with its
 * connections' buffers a transfer stays below 256 KiB. */
#define STORE_WINDOW	   (192u * 1024)
/* Longer keys are refused with LARDER_TOOBIG. */
#define STORE_KEY_MAX	   (64u * 1024)
/* Variants under one key; the oldest goes for the next. */
#define STORE_VARIANTS_MAX 32u
/* How long large bodies rest before they are compressed, in seconds. */
#define STORE_REST	   60
/* A body length that is not known yet. */
#define STORE_UNKNOWN	   UINT64_MAX

struct store;
struct store_view;
struct blob;

/* ---- opening ---------------------------------------------------------- */

struct store_options {
	const char *path;    /* the store's folder; made if it is missing */
	uint64_t size;	     /* the budget on disk, in bytes */
	uint64_t memory;     /* the tier in memory, in bytes; 0: no bodies */
	uint64_t max_object; /* longer bodies are not stored, in bytes */
	/* No background work beyond what is asked for: for larderctl on a
	 * store whose daemon is down. The folder must exist. */
	bool offline;
	/* Seconds that a large body rests before it is compressed in the
	 * background; 0: STORE_REST, negative: none. */
	int rest;
	/* What an admin should know (damage dropped, disk full, space back),
	 * as one line; from any thread, must not block. May be NULL. */
	void (*report)(void *arg, const char *line);
	void *report_arg;
};

/*
 * Milliseconds, whatever is in it; scans nothing. On failure *why (at least
 * 256 bytes) says in a sentence what is wrong and what helps:
 * LARDER_FORMAT (another format's version), LARDER_LOCKED (another process
 * holds it), LARDER_ACCESS, LARDER_ABSENT (offline and no store there),
 * LARDER_NOSPACE, LARDER_DAMAGED, LARDER_IO, LARDER_NOMEM. Deletes nothing
 * that is not a temporary file of its own.
 */
int store_open(struct store **out, const struct store_options *options,
    char *why, size_t why_size);

/* Makes everything durable, ends the threads. All views, readers and blobs
 * must be gone. May block. */
void store_close(struct store **store);

/* New bounds from now on; a smaller size is reached in the background. */
void store_resize(
    struct store *store, uint64_t size, uint64_t memory, uint64_t max_object);

/* ---- looking up ------------------------------------------------------- */

/* One stored response, copied out: the views live in the caller's arena. */
struct store_record {
	struct bytes key;     /* the full key, compared by store_find() */
	struct bytes variant; /* opaque: tells it from others under the key */
	struct bytes meta;    /* opaque */
	uint64_t id;	      /* of this object; never given twice */
	int64_t stored_at;    /* wall clock, seconds */
	int64_t expires;      /* as given by who stored it, seconds */
	uint64_t head_size;   /* bytes */
	uint64_t body_size;   /* bytes, as read */
	uint64_t disk_size;   /* bytes that it takes on disk */
};

struct store_found {
	unsigned count;
	struct store_record *records; /* newest first */
};

/* A thread's window on the store. wake is called, from any thread and perhaps
 * under a lock, with the arg of the reader that waited: it must only post. */
typedef void store_wake_fn(void *arg);
int store_view_open(struct store *store, struct store_view **out);
void store_view_close(struct store_view **view);
/* To be called once a loop turn: lets go of the read transaction. */
void store_view_turn(struct store_view *view);

/* All that is stored under key. 0, LARDER_ABSENT, LARDER_NOMEM (the arena),
 * LARDER_IO, LARDER_DAMAGED (counted; treat as absent). */
int store_find(struct store_view *view, struct bytes key, struct arena *arena,
    struct store_found *out);
/* The same for who only wants to know: what nobody asked for is kept in memory
 * no longer for it. */
int store_look(struct store_view *view, struct bytes key, struct arena *arena,
    struct store_found *out);

/* Counts one use of it, in memory only. */
void store_touch(struct store_view *view, const struct store_record *record);

/* The stored object behind a record; the caller owns one reference. Does not
 * read: head and body come by a reader. 0, LARDER_ABSENT (gone meanwhile),
 * LARDER_NOMEM, LARDER_IO. */
int store_open_blob(struct store_view *view, const struct store_record *record,
    struct blob **out);

/* ---- storing ---------------------------------------------------------- */

struct store_new {
	struct bytes key;
	struct bytes variant;
	struct bytes meta;
	struct bytes head;
	int64_t expires;    /* wall clock, seconds */
	uint64_t body_size; /* announced, or STORE_UNKNOWN */
	/* false: a window only, nothing is stored; key, variant, meta and
	 * head may be empty. */
	bool storable;
};

/*
 * A new growing blob; copies what it is given. Never fails for want of disk:
 * it is then a window, see blob_is_window(). Nothing can be found under the
 * key before blob_commit(). LARDER_NOMEM, LARDER_TOOBIG.
 */
int store_create(
    struct store *store, const struct store_new *new, struct blob **out);

/* Whom to wake when there is room again after blob_append() took less than it
 * was given, or blob_room() said 0. NULL: nobody, from now on. */
void blob_set_producer(struct blob *blob, store_wake_fn *wake, void *arg);

/* Takes up to n bytes and returns how many. Fewer: the window is full, and the
 * producer is woken when there is room. Never blocks. */
size_t blob_append(struct blob *blob, const void *data, size_t n);

/* How many bytes blob_append() will take now, at least. 0: the producer is
 * woken when there is room. */
size_t blob_room(struct blob *blob);

/* Of a window without room: do some readers wait for what others keep them
 * from, who have not read what is there? */
bool blob_is_held_up(struct blob *blob);

/* Those others get LARDER_TIMEOUT, and there is room again. How many they are.
 */
unsigned blob_cut_off(struct blob *blob);

/* Of one that is to be stored: does it wait for room on disk, and a reader for
 * what it will be? */
bool blob_is_stalled(struct blob *blob);

/* Then it waits no longer, and goes on as a window: no room could be had in
 * time. False: it is not so, or not any more. */
bool blob_pass(struct blob *blob);

/* The body is whole. Readers get to its end; a storable blob is found from now
 * on, in place of the one with the same key and variant, and is made durable
 * in the background. If body_size was announced and differs, it is aborted
 * instead: LARDER_INVALID. A window just ends. */
int blob_commit(struct blob *blob);

/*
 * There will be no more of it, and what there is is worth having as something
 * else: it is found from now on as if it had been made with this variant and
 * meta and announced as long as it is. Readers that were not told an end before
 * that get LARDER_CLOSED behind the last byte, as by blob_abort().
 * LARDER_INVALID, and nothing has changed: it is a window, or empty.
 */
int blob_commit_as(struct blob *blob, struct bytes variant, struct bytes meta);

/* It will never be whole: readers get `why` (negative) behind the last byte
 * there is, and nothing is stored. */
void blob_abort(struct blob *blob, int why);

/* It is not to be stored after all (what it holds has been overtaken): readers
 * go on as if it were, and blob_commit() only ends it. */
void blob_forgo(struct blob *blob);

/* It is not stored (any more): asked for so, or there was no room. A reader
 * that is not there yet cannot start at 0 then. */
bool blob_is_window(struct blob *blob);

/* New meta and head for what is stored as id under key; the body stays. Found
 * at once. LARDER_ABSENT when it is gone. */
int store_update(struct store_view *view, struct bytes key, uint64_t id,
    struct bytes meta, struct bytes head, int64_t expires);

/* Likewise, and it is another variant from now on; one that was stored as that
 * goes. */
int store_move(struct store_view *view, struct bytes key, uint64_t id,
    struct bytes variant, struct bytes meta, struct bytes head,
    int64_t expires);

/* Removes what is under key: the one with this id, or all with id 0. */
int store_remove(struct store *store, struct bytes key, uint64_t id);

/* Is all of it in the tier in memory, so that reading it asks no disk? */
bool blob_in_memory(struct blob *blob);

/* ---- reading a blob --------------------------------------------------- */

struct blob *blob_ref(struct blob *blob);
/* Takes the reference and nulls it. */
void blob_unref(struct blob **blob);

/* Body bytes known so far, and whether that is all there will be. */
uint64_t blob_size(struct blob *blob, bool *whole);

/* One reader's position. Fields are storage's own; it lies in the caller's
 * struct so that reading allocates nothing. */
struct blob_reader {
	struct list node;  /* in the blob's readers, under its lock */
	struct blob *blob; /* one reference; NULL: closed */
	struct store_view *view;
	uint64_t pos, end; /* [pos, end) is still to be read */
	void *held;	   /* a buffer that the last slice points into */
	void *head;	   /* the head, once it is known; one reference */
	store_wake_fn *wake;
	void *wake_arg;
	bool listed;	/* it is in the blob's readers */
	bool waiting;	/* a wake is owed; under the blob's lock */
	bool cut;	/* by blob_cut_off(); ditto */
	uint64_t want;	/* block + 1 that a thread reads for it; ditto */
	uint64_t given; /* block + 1 that was read for it; ditto */
};

/* What can be sent now, at the reader's position. */
struct blob_slice {
	const char *mem; /* in memory, until blob_advance(); or NULL: */
	int fd;		 /* in this file, verified, and in the page cache */
	int64_t offset;
	size_t n; /* > 0 */
};

/*
 * Opens a reader on [from, to) of the body (to: STORE_UNKNOWN for its end);
 * takes a reference of its own. LARDER_ABSENT when those bytes have passed
 * (a window).
 */
int blob_reader_open(struct blob_reader *r, struct store_view *view,
    struct blob *blob, uint64_t from, uint64_t to, store_wake_fn *wake,
    void *arg);

/* Moves it: only before its first slice, or on a blob that is WHOLE; in a
 * window forwards alone. */
void blob_reader_range(struct blob_reader *r, uint64_t from, uint64_t to);

/* The head, living as long as the reader. LARDER_AGAIN (a wake follows),
 * LARDER_DAMAGED (the store has dropped it), LARDER_IO. */
int blob_reader_head(struct blob_reader *r, struct bytes *out);

/* The next bytes, at most max. LARDER_ABSENT at the end of the body (or of the
 * range), LARDER_AGAIN (a wake follows, once), or negative: the error the blob
 * was aborted with, LARDER_DAMAGED, LARDER_IO; then the transfer cannot end
 * well. Never blocks. */
int blob_reader_peek(struct blob_reader *r, size_t max, struct blob_slice *out);

/* Its n bytes, from memory or from the file; as little of a wait as sending
 * them would be. LARDER_DAMAGED, LARDER_IO. */
int blob_slice_copy(const struct blob_slice *slice, char *to);

/* n bytes of the slice are done with; the slice is void. */
void blob_reader_advance(struct blob_reader *r, size_t n);

/* After it returns, wake is not called again. Idempotent. */
void blob_reader_close(struct blob_reader *r);

/* ---- the whole of it -------------------------------------------------- */

struct store_item {
	struct store_record record;
	uint64_t uses; /* estimated, since a while; the first one stored it */
	/* Wall clock, seconds: it has not been used later than that. To a day,
	 * and too late rather than too early; known for some 120 days. */
	int64_t last_use;
};

/* Non-zero ends the walk and is returned by it. */
typedef int store_visit_fn(void *arg, const struct store_item *item);

/* Visits, ordered by key, every object whose key starts with prefix; what
 * comes or goes meanwhile may be seen or not. May block. */
int store_walk(
    struct store *store, struct bytes prefix, store_visit_fn *visit, void *arg);

struct store_removed {
	uint64_t objects;
	uint64_t bytes; /* given back on disk */
};

/* Removes each object for which visit returns 1 (0 keeps it, negative ends);
 * with dry_run only counts. Returns when it is durable. May block. */
int store_remove_matching(struct store *store, struct bytes prefix,
    store_visit_fn *visit, void *arg, bool dry_run, struct store_removed *out);

/* Where it lies, for people: "packs/00000007.pack @ 4096, 812 bytes zstd".
 * 0, LARDER_ABSENT, LARDER_IO. */
int store_where(struct store *store, struct bytes key, uint64_t id, char *out,
    size_t out_size);

/* Brings it within its budget and gives back what is free. May block. */
int store_gc(struct store *store, struct store_removed *out);

struct store_damage {
	uint64_t objects_read, bytes_read;
	uint64_t damaged; /* objects dropped */
};

/* Looks through the catalog and reads every stored byte; drops what is damaged,
 * and makes a damaged catalog anew. visit (may be NULL) is told of each of
 * these, of a catalog by a key that says so. In a daemon at a bounded rate. May
 * block, for as long as the disk takes. */
int store_verify(struct store *store, store_visit_fn *visit, void *arg,
    struct store_damage *out);

/* The same until *stop, which another thread sets: LARDER_CLOSED. */
int store_verify_until(struct store *store, store_visit_fn *visit, void *arg,
    const _Atomic bool *stop, struct store_damage *out);

/* Returns when all that was committed or removed before is durable: 0, or when
 * that has failed for a second or two: LARDER_NOSPACE, LARDER_IO. */
int store_flush(struct store *store);

struct store_stats {
	uint64_t objects;
	uint64_t disk_used, disk_budget;     /* bytes */
	uint64_t memory_used, memory_budget; /* bytes: the tier */
	uint64_t body_bytes, stored_bytes;   /* of all bodies: raw, on disk */
	uint64_t memory_hits;		     /* blobs opened from the tier */
	uint64_t evicted, evicted_bytes;
	uint64_t written;   /* bytes on disk of what was stored, and of */
	uint64_t rewritten; /* survivors written again to evict others */
	uint64_t removed;
	uint64_t damaged;   /* objects dropped for a checksum */
	uint64_t no_room;   /* responses not stored for want of space */
	uint64_t io_errors; /* system calls failed */
	uint64_t commits;
	uint64_t
	    verified; /* objects that the present store_verify() has read */
	/* Containers that the present store_gc() has looked at, of so many. */
	uint64_t gc_done, gc_of;
};

void store_stats(struct store *store, struct store_stats *out);

/* A few named opaque values (counters to keep over a restart), made durable
 * with the next commit. Names up to 32 bytes, values up to 64 KiB. */
int store_state_set(struct store *store, const char *name, struct bytes value);
/* 0, LARDER_ABSENT, LARDER_NOMEM. */
int store_state_get(struct store *store, const char *name, struct arena *arena,
    struct bytes *out);

#endif
