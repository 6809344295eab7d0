/*
 * The catalog's readers: one a thread, with a snapshot that is renewed when it
 * is asked and gone when it rests.
 *
 * What always holds: a snapshot is never older than the last commit that
 * anybody was told of, nor of a file that another has taken the place of.
 */
#include <stdlib.h>

#include "catalog_env.h"
#include "larder/check.h"

/* A transaction on the present file; resets it. */
static int
attach(struct catalog_reader *r)
{
	struct catalog *c = r->catalog;
	int rc = MDB_CORRUPTED;

	pthread_mutex_lock(&c->lock);
	r->env = c->env;
	atomic_fetch_add(&r->env->refs, 1);
	r->generation = c->generation;
	pthread_mutex_unlock(&c->lock);
	if (!r->env->signs.damaged)
		rc = safe_txn_begin(r->env->env, MDB_RDONLY, &r->txn);
	if (!rc)
		rc = safe_cursor_open(r->txn, r->env->dbs[INDEX], &r->cursor);
	if (!rc)
		mdb_txn_reset(r->txn);
	return catalog_error(rc);
}

static void
detach(struct catalog_reader *r)
{
	catalog_reader_rest(r);
	if (r->cursor)
		mdb_cursor_close(r->cursor);
	if (r->txn)
		safe_txn_abort(r->txn);
	r->cursor = NULL;
	r->txn = NULL;
	env_unref(&r->env);
}

int
catalog_reader_open(struct catalog *c, struct catalog_reader **out)
{
	struct catalog_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return LARDER_NOMEM;
	r->catalog = c;
	/* One that cannot be had now is asked for again with each question. */
	if (attach(r) != 0)
		detach(r);
	*out = r;
	return 0;
}

void
catalog_reader_rest(struct catalog_reader *r)
{
	if (!r->live)
		return;
	mdb_txn_reset(r->txn);
	r->live = false;
	r->env->live--;
}

void
catalog_reader_close(struct catalog_reader **r)
{
	if (!*r)
		return;
	detach(*r);
	free(*r);
	*r = NULL;
}

/* The present file is the reader's, and counted as looked at: before it pins
 * anything, or catalog_renew() would miss it. */
static int
enter(struct catalog_reader *r)
{
	int err;

	for (;;) {
		if (!r->txn || r->generation != r->catalog->generation) {
			detach(r);
			err = attach(r);
			if (err) {
				detach(r);
				return err;
			}
		}
		r->env->live++;
		if (r->generation == r->catalog->generation)
			return 0;
		r->env->live--;
	}
}

int
catalog_refresh(struct catalog_reader *r)
{
	uint64_t now =
	    atomic_load_explicit(&r->catalog->commits, memory_order_acquire);
	int rc, err;

	if (r->env && r->env->signs.damaged &&
	    r->generation == r->catalog->generation)
		return LARDER_DAMAGED;
	if (r->live && r->seen == now &&
	    r->generation == r->catalog->generation)
		return 0;
	catalog_reader_rest(r);
	err = enter(r);
	if (err)
		return err;
	rc = safe_txn_renew(r->txn);
	if (rc) {
		r->env->live--;
		return catalog_error(rc);
	}
	r->live = true;
	r->seen = now;
	return catalog_error(safe_cursor_renew(r->txn, r->cursor));
}

int
catalog_fetch(
    MDB_txn *txn, MDB_dbi dbi, const void *key, size_t n, struct bytes *out)
{
	char copy[CATALOG_KEY_MAX];
	MDB_val k = {n, copy}, v;
	int rc;

	check(n <= sizeof(copy));
	memcpy(copy, key, n);
	rc = safe_get(txn, dbi, &k, &v);
	if (!rc)
		*out = bytes_of(v.mv_data, v.mv_size);
	return catalog_error(rc);
}

int
catalog_ask(struct catalog_reader *r, enum db db, const void *key, size_t n,
    struct bytes *out)
{
	int err = catalog_refresh(r);

	return err ? err : catalog_fetch(r->txn, r->env->dbs[db], key, n, out);
}
