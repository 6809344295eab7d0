/*
 * What is done behind everybody's back once a store is open: a lost catalog is
 * made anew out of packs and blobs (stock.c, salvage.c, rescue.c), and space
 * that nothing knows is given back (sweep.c).
 */
#ifndef STORAGE_SALVAGE_H
#define STORAGE_SALVAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "catalog.h"
#include "object.h"

struct store;
struct salvage;

/* Names in the store's folder: where a damaged catalog is put, and what says
 * that the present one does not know all that there is. */
#define CATALOG_ASIDE	"catalog.damaged"
#define CATALOG_REBUILD "catalog.rebuild"

/* Opening: the catalog of that name goes aside, and a new one will have to be
 * filled. Says so. 0, or an error of the disk. */
int salvage_aside(struct store *store);
/* Opening, with the catalog open: is it to be filled? Counts the files that it
 * does not know yet. */
bool salvage_stock(struct store *store);
/* So that the others may be called. 0 or LARDER_NOMEM. */
int salvage_prepare(struct store *store);
/* Begins, in the background. 0 or LARDER_NOMEM. */
int salvage_start(struct store *store, bool lost);
/* Its thread ends; idempotent. */
void salvage_stop(struct store *store);
void salvage_release(struct store *store);
/* Returns when the catalog is filled; at once where it is. */
void salvage_wait(struct store *store);
/* Is it being filled, so that packs have more than it knows? */
bool salvage_busy(struct store *store);
/* A damaged catalog that was set aside goes: the bytes that it took. */
uint64_t salvage_tidy(struct store *store);
/* A key is removed, whatever lies in packs that were not looked at yet. */
void salvage_removed(struct store *store, struct hash hash);
/* The writer's thread: the catalog was found damaged while it was used. 0, or
 * an error: then nothing can be committed for now. */
int salvage_replace(struct store *store);

/* For rescue.c and sweep.c: is it ending; was this key removed meanwhile? */
bool salvage_ending(const struct salvage *s);
bool salvage_was_removed(struct salvage *s, struct hash hash);
/* Objects from this id on were stored since it began. */
uint64_t salvage_first_new(const struct salvage *s);

/* Is the pack, one of those that are read, one of the main queue? */
bool salvage_is_main(const struct salvage *s, uint64_t pack);

/* rescue.c: what the first record of a pack that can be found says. */
bool rescue_is_main(struct store *store, uint64_t id);
/* rescue.c: all objects of one pack become the catalog's. 0, LARDER_CLOSED
 * (ending), LARDER_NOMEM. *objects goes up by those that were not there. */
int rescue_pack(
    struct store *store, struct salvage *s, uint64_t id, uint64_t *objects);

/* For sweep.c: until it is let go of, the catalog is not replaced. False: it
 * does not know all that there is. */
bool salvage_hold(struct salvage *s);
void salvage_let_go(struct salvage *s);

/* sweep.c: files that the catalog does not name go, and so do blocks of packs.
 * Returns the bytes that were given back. counted: the budget has such files.
 * May block. */
uint64_t sweep_run(struct store *store, bool counted);

/* Numbers that files in a folder are named by, sorted. */
struct salvage_ids {
	uint64_t *ids;
	size_t count, room;
};
/* 0 or LARDER_NOMEM; a folder that cannot be read has none. */
int salvage_list(
    struct store *store, const char *folder, struct salvage_ids *out);
/* Is it one of these, which are sorted? */
bool salvage_lists(const uint64_t *ids, size_t count, uint64_t id);
/* What a file takes that the budget does not have yet, if it is there. */
void salvage_count(struct store *store, const char *name);

#endif
