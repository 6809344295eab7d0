/*
 * What is known in memory of keys: changes that are not committed yet, and
 * the tier of objects that are ready to be sent. Both in one table, so that
 * there is one truth about a key.
 */
#ifndef STORAGE_MEMORY_H
#define STORAGE_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>

#include "catalog.h"
#include "larder/arena.h"

#define MEMORY_SHARDS 64u

struct blob;
struct chunk;
struct pressed;

/* One stored object. Constant, but for what its shard's lock guards. */
struct object {
	_Atomic unsigned refs;
	struct bytes key;
	/* The places are written by the writer, under the shard's lock. */
	struct object_info info;
	/* Under the shard's lock: in memory, until it is placed or as part of
	 * the tier; one reference. */
	struct blob *blob;
	/* The head, until it is placed; one reference. */
	struct chunk *head;
	/* Its body's new file, until the catalog names it; one reference. */
	struct pressed *pressed;
	/* Its payload is to be copied out of this container, or 0. */
	uint64_t move;
	bool unpress; /* it moves to be laid out raw, and could stay */
	/* Its places are what a record told rescue.c, until they are
	 * committed: a commit of what was told before knows no better. */
	bool told;
	size_t cost; /* bytes of memory, but for the blob */
	char data[];
};

/* All that stands under one key, newest first; constant. */
struct image {
	_Atomic unsigned refs;
	unsigned count;
	struct object *objects[STORE_VARIANTS_MAX];
};

/*
 *   (not there) ── memory_change(), a load ──> CLEAN ── memory_change() ──>
 *   DIRTY ── memory_clean(), after the commit ──> CLEAN, or not there
 * A clean one goes when the tier is full. A dirty one is what the key's truth
 * is, whatever the catalog says.
 */
struct entry {
	struct entry *next; /* in its slot of the shard */
	struct hash hash;
	struct bytes key;    /* behind the entry */
	struct image *image; /* one reference */
	/* Clean: in one of the shard's lists. Dirty: in the writer's list or
	 * batch. */
	struct list node;
	uint64_t version;	/* goes up with each change */
	uint64_t ticket;	/* the writer's, of the oldest change in it */
	int64_t since;		/* when that was, monotonic ms */
	_Atomic uint64_t bytes; /* that must be written for it */
	uint64_t queued;	/* of these, in writer->dirty_bytes; its lock */
	size_t cost;
	bool dirty;
	bool batched;	  /* the writer is at it */
	bool absent;	  /* the catalog has nothing under its key */
	bool proven;	  /* asked for more than once: not `fresh` any more */
	_Atomic bool hot; /* asked for since it was last looked at to go */
};

/* Keys of a shard that were looked for in the catalog and are not there. */
#define MEMORY_ABSENT 64u

struct shard {
	/* Taken before a blob's lock and before the writer's. */
	pthread_mutex_t lock;
	struct entry **slots;
	size_t size, count;
	/* Clean entries, the next to go first. */
	struct list fresh, proven;
	/* By their hash. What is stored is asked for before, and looked for
	 * again before it is fetched and when it has come: once is enough. */
	struct hash absent[MEMORY_ABSENT];
	uint64_t added; /* entries, ever */
};

struct memory {
	struct shard shards[MEMORY_SHARDS];
	_Atomic uint64_t used, size; /* bytes: the tier */
	_Atomic uint64_t fresh;	     /* of these, what is not proven */
	_Atomic uint64_t hits;
};

/* What is known of keys is kept where there is no tier for bodies, too. */
#define MEMORY_LEAST (1024u * 1024)

static inline uint64_t
memory_limit(const struct memory *m)
{
	return m->size > MEMORY_LEAST ? m->size : MEMORY_LEAST;
}

struct store;

/* The catalog has been replaced by one that knows none of it: what is known
 * here is to be committed again. The writer's thread. */
void memory_all_dirty(struct store *store);

int memory_init(struct memory *m, uint64_t size);
void memory_release(struct store *store);
void memory_resize(struct store *store, uint64_t size);

/* Takes nothing; key, variant and meta are copied. NULL: out of memory. */
struct object *object_new(struct bytes key, const struct object_info *info);
/* With all that it has in memory, and where it is to move. */
struct object *object_copy(const struct object *o);
void object_unref(struct object **object);
struct object *object_ref(struct object *object);
/* An empty one, and one out of a value of the catalog. */
struct image *image_new(void);
int image_decode(struct bytes in, struct bytes key, struct image **out);
/* Copies b to *at, moves that on, and returns the copy. */
struct bytes image_put_bytes(char **at, struct bytes b);
struct image *image_ref(struct image *image);
void image_unref(struct image **image);

/* 0 or LARDER_ABSENT, LARDER_NOMEM; LARDER_AGAIN: the catalog must be asked. If
 * it has nothing memory_note_absent() is told, with what *added says. asked: it
 * is wanted, and so worth to be kept. */
int memory_find(struct store *store, struct hash hash, struct bytes key,
    bool asked, struct arena *arena, struct store_found *out, uint64_t *added);
void memory_note_absent(struct store *store, struct hash hash, uint64_t added);

/*
 * Changes what stands under a key, at once for all. change is called under
 * the shard's lock with the old image (never NULL, count may be 0) and returns
 * 1 with a new one in *out, 0 for no change, or an error. batch: where the
 * writer collects entries for the commit it is about to make; NULL for all
 * others. Returns 0, LARDER_ABSENT (no change, or another key of the same hash
 * is there), or an error.
 */
typedef int memory_change_fn(
    void *arg, const struct image *old, struct image **out);
int memory_change(struct store *store, struct hash hash, struct bytes key,
    memory_change_fn *change, void *arg, struct list *batch);

/* A change by putting `with` in the place of the object of the same variant
 * (or NULL: nothing), and leaving out those that drop() picks. */
struct image *image_with(const struct image *old, struct object *with,
    bool (*drop)(void *arg, const struct object *o), void *arg);

/* A change by putting `now` in the place of the i-th object. Takes it; NULL:
 * there was no memory for it. 1, or LARDER_NOMEM: as memory_change_fn. */
int image_replace(const struct image *old, unsigned i, struct object *now,
    struct image **out);

/* Calls visit with the object of this id, under the shard's lock, if it is
 * still there; ABSENT if not. What visit returns is returned. */
int memory_visit(struct store *store, struct hash hash, struct bytes key,
    uint64_t id, int (*visit)(void *arg, struct object *o), void *arg);

/* The whole image, by the catalog if need be: one reference. 0, ABSENT, … */
int memory_image(struct store *store, struct hash hash, struct bytes key,
    struct image **out);

/* The writer's: the image to commit and its version. */
struct image *memory_snapshot(
    struct store *store, struct entry *entry, uint64_t *version);
/* The writer's, after the commit: places (two an object) become known. */
void memory_clean(struct store *store, struct entry *entry, uint64_t version,
    struct image *image, const struct place *places, struct list *again);

#endif
