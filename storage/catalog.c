/*
 * The catalog in LMDB: five databases in one file.
 *
 *   index       'u' key, cut            -> value: what stands under the key
 *               'm' container (u64 BE), then of a pack: offset (u64 BE) of a
 *                   record, of a blob: key, cut -> nothing: a member
 *               both in blocks: tree.c, block.c
 *   large       hash (16 bytes)         -> sum, key and value of those that
 *                                          do not fit into a block
 *   containers  container (u64 BE)      -> object_container
 *   queue       position (u64 BE)       -> container (u64 BE)
 *   state       "+name", "totals", "holes" -> bytes
 *
 * A key is compared whole (the index holds all of it, or `large` does); its
 * hash finds only what is large. A key longer than CATALOG_CUT is cut there in
 * the index and followed by its hash, so that long ones with one beginning stay
 * apart (ordered by hash among each other, and told from short ones by length).
 *
 * LMDB's traps, and what is done about them
 *   - Readers of processes that were killed keep pages from being used again:
 *     their slots are cleaned when it is opened.
 *   - The map cannot grow while a reader is alive. So it never does: it is
 *     reserved once, larger than any catalog gets. Address space costs nothing;
 *     the file grows as pages are used.
 *   - A snapshot keeps all pages that were freed after it from being used
 *     again. Nobody holds one for long: read transactions are MDB_NOTLS, reset
 *     when they rest (a loop's turn, a walk's batch), renewed on the next
 *     question.
 *   - Pages freed by a transaction are used again by the one after the next at
 *     the earliest; so a file is as long as what it holds and what two groups
 *     touch. The budget counts the file, not what it holds.
 *   - The file never gets shorter: catalog_copy.c, on `gc`.
 *
 * What always holds
 *   - `commits` goes up after a commit and before anybody is told of it: a
 *     reader whose snapshot is from an older count renews it first.
 *   - LMDB looks at its file within a fence (safe.h). What it falls over once
 *     is not asked again: see salvage.c.
 */
#include "catalog_env.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "larder/check.h"
#include "pages.h"

#define READERS	  1024u
/* Bytes of the map; no store makes do with less. */
#define MAP_LEAST (1u << 30)

int
catalog_error(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return LARDER_ABSENT;
	case MDB_MAP_FULL:
	case ENOSPC:
	case EDQUOT:
		return LARDER_NOSPACE;
	case EACCES:
	case EPERM:
	case EROFS:
		return LARDER_ACCESS;
	case ENOMEM:
	case MDB_READERS_FULL:
		return LARDER_NOMEM;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
	case MDB_CURSOR_FULL:
		return LARDER_DAMAGED;
	default:
		return LARDER_IO;
	}
}

/* ---- opening ------------------------------------------------------------ */

static int
open_databases(struct env *e)
{
	static const char *const names[DBS] = {[INDEX] = "index",
	    [LARGE] = "large",
	    [CONTAINERS] = "containers",
	    [QUEUE] = "queue",
	    [STATE] = "state"};
	MDB_txn *txn;
	int rc = safe_txn_begin(e->env, 0, &txn);

	if (rc)
		return rc;
	for (unsigned i = 0; i < DBS && !rc; i++)
		SAFE(rc, mdb_dbi_open(txn, names[i], MDB_CREATE, &e->dbs[i]));
	if (!rc)
		return safe_txn_commit(txn);
	safe_txn_abort(txn);
	return rc;
}

static void
on_assert(MDB_env *env, const char *message)
{
	(void)env;
	(void)message;
	fence_trip();
}

/* 0 or LMDB's error. */
static int
open_with(struct env **out, const char *path, size_t map)
{
	struct env *e = calloc(1, sizeof(*e));
	int rc, dead;

	if (!e)
		return ENOMEM;
	e->refs = 1;
	rc = mdb_env_create(&e->env);
	if (!rc)
		rc = mdb_env_set_userctx(e->env, &e->signs);
	if (!rc)
		rc = mdb_env_set_assert(e->env, on_assert);
	if (!rc)
		rc = mdb_env_set_maxdbs(e->env, DBS);
	if (!rc)
		rc = mdb_env_set_maxreaders(e->env, READERS);
	if (!rc)
		rc = mdb_env_set_mapsize(e->env, map);
	/* No read-ahead: look-ups are random, and what it would read in
	 * pushes bodies out of the page cache. */
	if (!rc)
		SAFE(rc, mdb_env_open(e->env, path,
			     MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0640));
	/* Slots of processes that were killed would keep pages from use. */
	if (!rc)
		rc = mdb_reader_check(e->env, &dead);
	if (!rc)
		rc = open_databases(e);
	*out = e;
	if (rc)
		env_unref(out);
	return rc;
}

int
env_open(struct env **out, const char *path, uint64_t map)
{
	int rc;

	map = map < SIZE_MAX / 2 ? map : SIZE_MAX / 2;
	/* Addresses cost nothing, but there may be a limit on them: of the
	 * processor, of the process, of a tool that it runs under. */
	while ((rc = open_with(out, path, map / 4096 * 4096)) != 0 &&
	       (rc == EINVAL || rc == ENOMEM) && map > MAP_LEAST)
		map /= 2;
	return catalog_error(rc);
}

void
env_unref(struct env **env)
{
	struct env *e = *env;
	int rc = 0;

	*env = NULL;
	if (!e || atomic_fetch_sub(&e->refs, 1) > 1)
		return;
	if (e->env)
		SAFE(rc, (mdb_env_close(e->env), 0));
	(void)rc;
	free(e);
}

int
catalog_open(struct catalog **out, const char *path, uint64_t map)
{
	struct catalog *c = calloc(1, sizeof(*c));
	int err = LARDER_NOMEM;

	if (!c)
		return err;
	fence_install();
	pthread_mutex_init(&c->lock, NULL);
	c->map = map;
	c->path = strdup(path);
	if (c->path)
		err = env_open(&c->env, path, map);
	*out = c;
	if (err)
		catalog_close(out);
	return err;
}

struct env *
catalog_replace(struct catalog *c, struct env *env)
{
	struct env *old = c->env;

	pthread_mutex_lock(&c->lock);
	c->env = env;
	c->generation++;
	pthread_mutex_unlock(&c->lock);
	return old;
}

int
catalog_renew(struct catalog *c)
{
	struct env *env, *old;
	char lock[4096];
	int err;

	/* A table of readers of its own: LMDB knows none of one in the same
	 * process that was opened twice. */
	snprintf(lock, sizeof(lock), "%s-lock", c->path);
	unlink(lock);
	err = env_open(&env, c->path, c->map);
	if (err)
		return err;
	old = catalog_replace(c, env);
	/* It stays until the end: a transaction that fell over holds its lock,
	 * which must not go while the thread lives. */
	old->older = c->older;
	c->older = old;
	/* From its table nobody learns what those before read. */
	for (unsigned i = 0; old->live && i < 2000; i++)
		poll(NULL, 0, 1);
	atomic_fetch_add_explicit(&c->commits, 1, memory_order_release);
	return 0;
}

bool
catalog_damaged(struct catalog *c)
{
	bool damaged;

	pthread_mutex_lock(&c->lock);
	damaged = c->env->signs.damaged || c->env->signs.rotten;
	pthread_mutex_unlock(&c->lock);
	return damaged;
}

void
catalog_condemn(struct catalog *c)
{
	pthread_mutex_lock(&c->lock);
	c->env->signs.rotten = true;
	pthread_mutex_unlock(&c->lock);
}

int
catalog_check(struct catalog *c, const _Atomic bool *stop)
{
	struct catalog_reader *r;
	struct catalog_totals totals;
	int fd, err = catalog_reader_open(c, &r);

	if (err)
		return err;
	do {
		catalog_reader_rest(r);
		err = catalog_get_totals(r, &totals);
		if (err == LARDER_ABSENT)
			err = 0;
		if (!err)
			err = catalog_error(mdb_env_get_fd(r->env->env, &fd));
		if (!err)
			err =
			    pages_check_snapshot(fd, mdb_txn_id(r->txn), stop);
	} while (err == LARDER_AGAIN);
	catalog_reader_close(&r);
	return err;
}

void
catalog_close(struct catalog **c)
{
	struct env *env, *older;

	if (!*c)
		return;
	env_unref(&(*c)->env);
	for (env = (*c)->older; env; env = older) {
		older = env->older;
		env_unref(&env);
	}
	pthread_mutex_destroy(&(*c)->lock);
	free((*c)->path);
	free(*c);
	*c = NULL;
}

uint64_t
catalog_size(struct catalog *c)
{
	MDB_envinfo info = {.me_last_pgno = 0};
	int rc;

	SAFE(rc, mdb_env_info(c->env->env, &info));
	(void)rc;
	return ((uint64_t)info.me_last_pgno + 1) * 4096;
}

uint64_t
env_used(struct env *env, MDB_txn *txn)
{
	/* The free list and the table of databases come first, by number. */
	MDB_dbi all[2 + DBS] = {0, 1};
	uint64_t pages = 2;

	memcpy(all + 2, env->dbs, sizeof(env->dbs));
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
		MDB_stat st;

		if (safe_stat(txn, all[i], &st) == 0)
			pages += st.ms_branch_pages + st.ms_leaf_pages +
				 st.ms_overflow_pages;
	}
	return pages * 4096;
}

uint64_t
catalog_used(struct catalog *c)
{
	uint64_t used = catalog_size(c);
	MDB_txn *txn;

	if (safe_txn_begin(c->env->env, MDB_RDONLY, &txn) != 0)
		return used;
	used = env_used(c->env, txn);
	safe_txn_abort(txn);
	return used;
}

/* ---- writing ------------------------------------------------------------ */

int
catalog_begin(struct catalog *c)
{
	int rc = MDB_CORRUPTED, err;

	if (!c->env->signs.damaged)
		rc = safe_txn_begin(c->env->env, 0, &c->write);
	if (rc != MDB_PANIC)
		return catalog_error(rc);
	/* Its meta page could not be written, and LMDB wants to be opened anew
	 * before it writes again. */
	err = catalog_renew(c);
	return err ? err
		   : catalog_error(safe_txn_begin(c->env->env, 0, &c->write));
}

void
catalog_abort(struct catalog *c)
{
	if (!c->env->signs.damaged)
		safe_txn_abort(c->write);
	c->write = NULL;
}

int
catalog_commit(struct catalog *c)
{
	int rc = MDB_CORRUPTED;

	/* Durable when it returns: LMDB syncs the pages, then the meta page
	 * that names them. It also ends the transaction where it fails. */
	if (!c->env->signs.damaged)
		rc = safe_txn_commit(c->write);
	c->write = NULL;
	if (!rc)
		atomic_fetch_add_explicit(&c->commits, 1, memory_order_release);
	return catalog_error(rc);
}

int
catalog_store(struct catalog *c, enum db db, const char *key, size_t n,
    struct bytes value)
{
	char copy[CATALOG_KEY_MAX];
	MDB_val k = {n, copy}, v = {value.n, NULL};

	check(n <= sizeof(copy));
	memcpy(copy, key, n);
	/* LMDB takes both by pointers to what is not const, and only reads. */
	memcpy(&v.mv_data, &value.p, sizeof(v.mv_data));
	if (c->env->signs.damaged)
		return LARDER_DAMAGED;
	return catalog_error(safe_put(c->write, c->env->dbs[db], &k, &v, 0));
}

int
catalog_remove(struct catalog *c, enum db db, const char *key, size_t n)
{
	char copy[CATALOG_KEY_MAX];
	MDB_val k = {n, copy};
	int rc;

	check(n <= sizeof(copy));
	memcpy(copy, key, n);
	if (c->env->signs.damaged)
		return LARDER_DAMAGED;
	rc = safe_del(c->write, c->env->dbs[db], &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : catalog_error(rc);
}
