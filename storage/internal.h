/*
 * The store as its parts see it.
 */
#ifndef STORAGE_INTERNAL_H
#define STORAGE_INTERNAL_H

#include "blob.h"
#include "budget.h"
#include "catalog.h"
#include "file.h"
#include "memory.h"
#include "pool.h"
#include "press.h"
#include "resting.h"
#include "salvage.h"
#include "sketch.h"
#include "used.h"
#include "writer.h"

#define STORE_SECRET	    192u
#define STORE_SPARES	    16u
/* Memory that waits to be written: beyond it new blobs become windows. Half of
 * what the tier in memory may have, since that is how much memory there is to
 * spend; but so much at least that bursts are stored on a slow disk, and no
 * more than a disk is worth waiting for. */
#define STORE_PENDING_LEAST (16u * 1024 * 1024)
#define STORE_PENDING_MOST  (64u * 1024 * 1024)

struct store {
	void (*report)(void *arg, const char *line);
	void *report_arg;
	bool offline;
	bool is_new;  /* opening: there was no store here */
	bool is_lost; /* opening: the catalog does not know all that is there */
	bool
	    is_unseen; /* the catalog was too large to be looked through then */
	int dir, lock;
	char secret[STORE_SECRET];
	struct budget budget;
	struct catalog *catalog;
	struct files files;
	struct memory memory;
	struct pool readers;  /* threads that read, and decode */
	struct pool spillers; /* threads that write large blobs */
	struct pool closers;  /* threads that close files that are gone */
	struct writer writer;
	struct presser *presser; /* NULL: there is none */
	struct salvage *salvage;
	/* Pressed bodies that are asked for often; see resting_note(). */
	_Atomic uint64_t hot[RESTING_HOT];
	/* Bytes that the presser needs free, to give back more. */
	_Atomic uint64_t press_wants;
	_Atomic int64_t evicted_at; /* when something had to go, monotonic ms */
	struct sketch *sketch;
	_Atomic bool sketch_is_read; /* what was saved of it */
	struct used used;
	_Atomic uint64_t max_object;
	_Atomic uint64_t next_id;
	_Atomic uint64_t pending, pending_max;
	/* As of what is found, committed or not. */
	_Atomic uint64_t objects, body_bytes, stored_bytes;
	_Atomic uint64_t evicted, evicted_bytes, removed, damaged, no_room;
	_Atomic uint64_t written, rewritten; /* bytes: new, of survivors */
	_Atomic uint64_t commits;
	_Atomic uint64_t verified;    /* by the verification that runs */
	_Atomic uint64_t gc_at;	      /* the container that gc looks at */
	_Atomic uint64_t unreadable;  /* records of the catalog: a wrong sum */
	_Atomic uint64_t remakes;     /* of the catalog, since it was opened */
	_Atomic int64_t no_room_said; /* clock_mono_ms(): once a while */
	uint64_t errors_before;
	/* Catalog readers for threads without a view. */
	pthread_mutex_t spare_lock;
	struct catalog_reader *spares[STORE_SPARES];
	unsigned spare_count;
};

struct store_view {
	struct store *store;
	struct catalog_reader *reader;
	struct frame_coder coder;
};

/* One line for the admin. */
void store_report(struct store *store, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct hash store_hash(const struct store *store, struct bytes key);
/* A reader that nobody else uses; 0 or an error. */
int store_borrow(struct store *store, struct catalog_reader **r);
void store_return(struct store *store, struct catalog_reader **r);
/* What an earlier process counted; may block. Once. */
void store_load_sketch(struct store *store);
/* An object's bytes on disk are not what they should be: it goes. */
void store_drop_damaged(
    struct store *store, struct hash hash, const struct object *object);

static inline void
store_count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
