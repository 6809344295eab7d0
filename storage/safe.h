/*
 * LMDB's calls with a fence around each (see fence.h): for catalog*.c and
 * tree.c alone. What comes back from a fault is MDB_CORRUPTED, and the
 * environment's context (mdb_env_set_userctx()) says so.
 */
#ifndef STORAGE_SAFE_H
#define STORAGE_SAFE_H

#include <lmdb.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fence.h"

struct safe_signs {
	_Atomic bool damaged; /* LMDB fell over it: it is not asked any more */
	_Atomic bool rotten;  /* what it holds is not all what was put there */
};

#define SAFE(rc, call)                                 \
	do {                                           \
		if (sigsetjmp(*fence_enter(), 0) == 0) \
			(rc) = (call);                 \
		else                                   \
			(rc) = MDB_CORRUPTED;          \
		fence_leave();                         \
	} while (0)

static inline int
safe_note(MDB_env *env, int rc)
{
	struct safe_signs *signs = mdb_env_get_userctx(env);

	/* A page that is there in no sound tree; a tree that is too deep. */
	if (rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND ||
	    rc == MDB_CURSOR_FULL || rc == MDB_INCOMPATIBLE)
		signs->damaged = true;
	return rc;
}

static inline int
safe_txn_begin(MDB_env *env, unsigned flags, MDB_txn **txn)
{
	int rc;

	SAFE(rc, mdb_txn_begin(env, NULL, flags, txn));
	return safe_note(env, rc);
}

static inline int
safe_txn_renew(MDB_txn *txn)
{
	int rc;

	SAFE(rc, mdb_txn_renew(txn));
	return rc;
}

static inline int
safe_txn_commit(MDB_txn *txn)
{
	MDB_env *env = mdb_txn_env(txn);
	int rc;

	SAFE(rc, mdb_txn_commit(txn));
	return safe_note(env, rc);
}

static inline void
safe_txn_abort(MDB_txn *txn)
{
	MDB_env *env = mdb_txn_env(txn);
	int rc = 0;

	SAFE(rc, (mdb_txn_abort(txn), 0));
	safe_note(env, rc);
}

static inline int
safe_touch(const MDB_val *v)
{
	const volatile char *p = v->mv_data;

	for (size_t i = 0; i < v->mv_size; i += 4096)
		(void)p[i];
	if (v->mv_size)
		(void)p[v->mv_size - 1];
	return 0;
}

/* Also touches all of the value, so that a page that cannot be read shows
 * here. */
static inline int
safe_get(MDB_txn *txn, MDB_dbi dbi, MDB_val *k, MDB_val *v)
{
	int rc;

	SAFE(rc, mdb_get(txn, dbi, k, v));
	if (!rc)
		SAFE(rc, safe_touch(v));
	return safe_note(mdb_txn_env(txn), rc);
}

static inline int
safe_put(MDB_txn *txn, MDB_dbi dbi, MDB_val *k, MDB_val *v, unsigned flags)
{
	int rc;

	SAFE(rc, mdb_put(txn, dbi, k, v, flags));
	return safe_note(mdb_txn_env(txn), rc);
}

static inline int
safe_del(MDB_txn *txn, MDB_dbi dbi, MDB_val *k, MDB_val *v)
{
	int rc;

	SAFE(rc, mdb_del(txn, dbi, k, v));
	return safe_note(mdb_txn_env(txn), rc);
}

/* It may look a tree's root up: mdb_stat() does so first, which has nothing in
 * its hands that a fault would leak. */
static inline int
safe_cursor_open(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor)
{
	MDB_stat stat;
	int rc;

	SAFE(rc, mdb_stat(txn, dbi, &stat));
	if (!rc)
		SAFE(rc, mdb_cursor_open(txn, dbi, cursor));
	return safe_note(mdb_txn_env(txn), rc);
}

static inline int
safe_stat(MDB_txn *txn, MDB_dbi dbi, MDB_stat *stat)
{
	int rc;

	SAFE(rc, mdb_stat(txn, dbi, stat));
	return safe_note(mdb_txn_env(txn), rc);
}

static inline int
safe_cursor_renew(MDB_txn *txn, MDB_cursor *cursor)
{
	int rc;

	SAFE(rc, mdb_cursor_renew(txn, cursor));
	return safe_note(mdb_txn_env(txn), rc);
}

/* A sum did not fit. */
static inline int
safe_rotten(MDB_cursor *cursor)
{
	struct safe_signs *signs =
	    mdb_env_get_userctx(mdb_txn_env(mdb_cursor_txn(cursor)));

	signs->rotten = true;
	return MDB_CORRUPTED;
}

/* Touches the value, too. */
static inline int
safe_cursor_get(MDB_cursor *cursor, MDB_val *k, MDB_val *v, MDB_cursor_op op)
{
	MDB_env *env = mdb_txn_env(mdb_cursor_txn(cursor));
	int rc;

	SAFE(rc, mdb_cursor_get(cursor, k, v, op));
	if (!rc)
		SAFE(rc, safe_touch(v));
	return safe_note(env, rc);
}

#endif
