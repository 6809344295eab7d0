/*
 * The catalog's ordered index: trees of keys and short values in blocks, of
 * which LMDB holds one a node. For catalog.c alone.
 */
#ifndef STORAGE_TREE_H
#define STORAGE_TREE_H

#include <lmdb.h>

#include "block.h"

/* What tells the trees in the one database apart: the first byte of a node's
 * key. Behind it: the shortest that is greater than all keys before the block
 * and not greater than any in it. */
#define TREE_URLS    'u'
#define TREE_MEMBERS 'm'

/* Room for the writer's: what it makes before LMDB is given it. */
struct tree_room {
	char edited[BLOCK_ROOM];
	/* Keys of one host, and places in one pack, come one after another. */
	struct block_hint urls, members;
	char beside[BLOCK_MAX];
	char made[5][BLOCK_MAX];
};

/* All return what LMDB would (MDB_NOTFOUND, MDB_CORRUPTED for damage, an
 * errno), and take a cursor on the database in the transaction asked. */
int tree_get(
    MDB_cursor *cursor, char tree, struct bytes key, struct bytes *value);
/* MDB_NOTFOUND: there was nothing to remove (value.p NULL). */
int tree_put(MDB_txn *txn, MDB_dbi dbi, struct tree_room *room, char tree,
    struct bytes key, struct bytes value);

/* In order, from the first key not less than `from` on: calls visit until that
 * returns other than 0, which is then returned, or there are no more:
 * MDB_NOTFOUND. */
typedef int tree_visit_fn(void *arg, struct bytes key, struct bytes value);
int tree_walk(MDB_cursor *cursor, char tree, struct bytes from,
    tree_visit_fn *visit, void *arg);

#endif
