/*
 * What the catalog's files share: LMDB itself, which nobody else sees.
 */
#ifndef STORAGE_CATALOG_ENV_H
#define STORAGE_CATALOG_ENV_H

#include <pthread.h>
#include <stdatomic.h>

#include "catalog.h"
#include "safe.h"
#include "tree.h"

enum db { INDEX, LARGE, CONTAINERS, QUEUE, STATE, DBS };

/* One opened file. */
struct env {
	MDB_env *env;
	MDB_dbi dbs[DBS];
	_Atomic unsigned refs; /* the catalog's, and each reader's */
	struct safe_signs signs;
	_Atomic unsigned live; /* readers that pin a snapshot of it */
	struct env *older;     /* of the catalog's list */
};

struct catalog {
	pthread_mutex_t lock; /* a leaf; of `env` */
	struct env *env;
	struct env *older; /* those it went over damage with: till the end */
	/* Goes up with each file that takes the place of another. */
	_Atomic uint64_t generation;
	_Atomic uint64_t commits;
	char *path;
	uint64_t map;
	/* The writer's. */
	MDB_txn *write;
	struct tree_room room;
};

struct catalog_reader {
	struct catalog *catalog;
	struct env *env; /* one reference */
	uint64_t generation;
	MDB_txn *txn;
	MDB_cursor *cursor; /* on INDEX */
	uint64_t seen;	    /* commits when the snapshot was taken */
	bool live;	    /* it pins a snapshot */
};

/* What LMDB returns, as an error of ours. */
int catalog_error(int rc);
int env_open(struct env **out, const char *path, uint64_t map);
void env_unref(struct env **env);
/* A snapshot that is new enough; 0 or an error. */
int catalog_refresh(struct catalog_reader *r);
/* The catalog's reference goes to env, in place of the one returned. The
 * writer's. */
struct env *catalog_replace(struct catalog *c, struct env *env);
/* Bytes in it that hold something now; what it takes is more. */
uint64_t env_used(struct env *env, MDB_txn *txn);

/* key: at most CATALOG_KEY_MAX bytes. The view is LMDB's. */
int catalog_ask(struct catalog_reader *r, enum db db, const void *key, size_t n,
    struct bytes *out);
int catalog_fetch(
    MDB_txn *txn, MDB_dbi dbi, const void *key, size_t n, struct bytes *out);
/* Of the writer's transaction. That there is nothing to remove is no error. */
int catalog_store(struct catalog *c, enum db db, const char *key, size_t n,
    struct bytes value);
int catalog_remove(struct catalog *c, enum db db, const char *key, size_t n);

/* What is left of them, as after damage. */
int catalog_drop_members(struct catalog *c, uint64_t container);

#endif
