/*
 * The catalog in LMDB: six databases in one file.
 *
 *   objects     hash (16 bytes)          -> value: a key and its variants,
 *                                           and a sum of it (u64)
 *   urls        key, cut                 -> hash
 *   members     container (u64 BE)       -> hashes, sorted duplicates
 *   containers  container (u64 BE)       -> object_container
 *   queue       position (u64 BE)        -> container (u64 BE)
 *   state       "+name", "totals", "holes" -> bytes
 *
 * LMDB's keys have at most 511 bytes: a key longer than 495 is cut there and
 * followed by its hash, so that long ones with one beginning stay apart
 * (ordered by hash among each other, and told from short ones by length).
 *
 * What always holds
 *   - The map is as large as the budget from the start: address space costs
 *     nothing, the file grows only as pages are used, and so
 *     mdb_env_set_mapsize(), which no reader may be alive for, is never called.
 *   - Read transactions are MDB_NOTLS, reset when they rest, renewed on the
 *     next question: an old snapshot would keep LMDB from using pages again.
 *   - `commits` goes up after a commit and before anybody is told of it: a
 *     reader whose snapshot is from an older count renews it first.
 */
#include "catalog.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "larder/check.h"
#include "pages.h"
#include "safe.h"

#define READERS 1024u
#define KEY_CUT 495u
#define HASH	16u
#define SUM	8u

enum db { OBJECTS, URLS, MEMBERS, CONTAINERS, QUEUE, STATE, DBS };

/* One file, opened. */
struct lmdb {
	MDB_env *env;
	MDB_dbi dbs[DBS];
	_Atomic bool damaged;  /* LMDB fell over it, or said so */
	_Atomic unsigned live; /* readers that pin a snapshot of it */
	struct lmdb *older;    /* that it has replaced */
};

struct catalog {
	struct lmdb *_Atomic now;
	char *path;
	uint64_t map;
	MDB_txn *write;
	_Atomic uint64_t commits;
};

struct catalog_reader {
	struct catalog *catalog;
	struct lmdb *lmdb; /* that txn is of */
	MDB_txn *txn;
	uint64_t seen; /* commits when the snapshot was taken */
	bool live;     /* it pins a snapshot */
};

static int
mapped(int rc)
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

static void
hash_put(struct hash hash, char *buf)
{
	object_put64_be(buf, hash.hi);
	object_put64_be(buf + 8, hash.lo);
}

static int
hash_get(MDB_val v, struct hash *out)
{
	if (v.mv_size != HASH)
		return LARDER_DAMAGED;
	out->hi = object_get64_be(v.mv_data);
	out->lo = object_get64_be((const char *)v.mv_data + 8);
	return 0;
}

static struct lmdb *
lmdb_now(struct catalog *c)
{
	return c->now;
}

/* ---- opening ------------------------------------------------------------ */

static int
open_databases(struct lmdb *l)
{
	static const struct {
		const char *name;
		unsigned flags;
	} all[DBS] = {
	    [OBJECTS] = {"objects", 0},
	    [URLS] = {"urls", 0},
	    [MEMBERS] = {"members", MDB_DUPSORT | MDB_DUPFIXED},
	    [CONTAINERS] = {"containers", 0},
	    [QUEUE] = {"queue", 0},
	    [STATE] = {"state", 0},
	};
	MDB_txn *txn;
	int rc = safe_txn_begin(l->env, 0, &txn);

	if (rc)
		return rc;
	for (unsigned i = 0; i < DBS && !rc; i++)
		SAFE(rc, mdb_dbi_open(txn, all[i].name,
			     all[i].flags | MDB_CREATE, &l->dbs[i]));
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

static void
lmdb_close(struct lmdb *l)
{
	int rc = 0;

	if (l->env)
		SAFE(rc, (mdb_env_close(l->env), 0));
	(void)rc;
	free(l);
}

static int
lmdb_open(struct lmdb **out, const char *path, uint64_t map)
{
	struct lmdb *l = calloc(1, sizeof(*l));
	int rc, dead;

	if (!l)
		return ENOMEM;
	rc = mdb_env_create(&l->env);
	if (!rc)
		rc = mdb_env_set_userctx(l->env, &l->damaged);
	if (!rc)
		rc = mdb_env_set_assert(l->env, on_assert);
	if (!rc)
		rc = mdb_env_set_maxdbs(l->env, DBS);
	if (!rc)
		rc = mdb_env_set_maxreaders(l->env, READERS);
	if (!rc)
		rc = mdb_env_set_mapsize(l->env, map / 4096 * 4096);
	/* No read-ahead: look-ups are random, and what it would read in
	 * pushes bodies out of the page cache. */
	if (!rc)
		SAFE(rc, mdb_env_open(l->env, path,
			     MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0640));
	/* Slots of processes that were killed would keep pages from use. */
	if (!rc)
		rc = mdb_reader_check(l->env, &dead);
	if (!rc)
		rc = open_databases(l);
	if (rc)
		lmdb_close(l);
	else
		*out = l;
	return rc;
}

int
catalog_open(struct catalog **out, const char *path, uint64_t map)
{
	struct catalog *c = calloc(1, sizeof(*c));
	struct lmdb *l = NULL;
	int rc = ENOMEM;

	fence_install();
	if (c && (c->path = strdup(path)))
		rc = lmdb_open(&l, path, map);
	if (c) {
		c->map = map;
		c->now = l;
	}
	*out = c;
	if (rc)
		catalog_close(out);
	return mapped(rc);
}

int
catalog_renew(struct catalog *c)
{
	struct lmdb *l = NULL, *old = c->now;
	char lock[4096];
	int rc;

	/* A table of readers of its own: LMDB knows none of one in the same
	 * process that was opened twice. */
	snprintf(lock, sizeof(lock), "%s-lock", c->path);
	unlink(lock);
	rc = lmdb_open(&l, c->path, c->map);
	if (rc)
		return mapped(rc);
	l->older = old;
	atomic_store(&c->now, l);
	/* From its table nobody learns what those before read. */
	for (unsigned i = 0; old->live && i < 2000; i++)
		poll(NULL, 0, 1);
	atomic_fetch_add_explicit(&c->commits, 1, memory_order_release);
	return 0;
}

bool
catalog_damaged(struct catalog *c)
{
	struct lmdb *l = c->now;

	return l->damaged;
}

void
catalog_condemn(struct catalog *c)
{
	lmdb_now(c)->damaged = true;
}

int
catalog_check(struct catalog *c)
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
			err = mapped(mdb_env_get_fd(r->lmdb->env, &fd));
		if (!err)
			err = pages_check_snapshot(fd, mdb_txn_id(r->txn));
	} while (err == LARDER_AGAIN);
	catalog_reader_close(&r);
	return err;
}

void
catalog_close(struct catalog **c)
{
	struct lmdb *l, *older;

	if (!*c)
		return;
	for (l = (*c)->now; l; l = older) {
		older = l->older;
		lmdb_close(l);
	}
	free((*c)->path);
	free(*c);
	*c = NULL;
}

uint64_t
catalog_size(struct catalog *c)
{
	struct lmdb *l = c->now;
	MDB_envinfo info;

	mdb_env_info(l->env, &info);
	return ((uint64_t)info.me_last_pgno + 1) * 4096;
}

/* ---- reading ------------------------------------------------------------ */

static int
begin_reading(struct catalog_reader *r, struct lmdb *l)
{
	int rc;

	if (l->damaged)
		return MDB_CORRUPTED;
	rc = safe_txn_begin(l->env, MDB_RDONLY, &r->txn);
	if (rc)
		return rc;
	mdb_txn_reset(r->txn);
	r->lmdb = l;
	return 0;
}

int
catalog_reader_open(struct catalog *c, struct catalog_reader **out)
{
	struct catalog_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return LARDER_NOMEM;
	r->catalog = c;
	/* One that cannot be had now is asked for again with each question. */
	(void)begin_reading(r, c->now);
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
	r->lmdb->live--;
}

static void
end_reading(struct catalog_reader *r)
{
	catalog_reader_rest(r);
	if (r->lmdb)
		safe_txn_abort(r->txn);
	r->lmdb = NULL;
}

void
catalog_reader_close(struct catalog_reader **r)
{
	if (!*r)
		return;
	end_reading(*r);
	free(*r);
	*r = NULL;
}

static int
refresh(struct catalog_reader *r)
{
	uint64_t now =
	    atomic_load_explicit(&r->catalog->commits, memory_order_acquire);
	struct lmdb *l = r->catalog->now;
	int rc = 0;

	if (l->damaged)
		return LARDER_DAMAGED;
	if (r->live && r->seen == now && r->lmdb == l)
		return 0;
	catalog_reader_rest(r);
	if (r->lmdb != l) {
		end_reading(r);
		rc = begin_reading(r, l);
	}
	/* Counted before it pins anything, or catalog_renew() would miss it. */
	l->live++;
	if (!rc)
		rc = safe_txn_renew(r->txn);
	if (rc) {
		l->live--;
		return mapped(rc);
	}
	r->live = true;
	r->seen = now;
	return 0;
}

static int
get(MDB_txn *txn, MDB_dbi dbi, const void *key, size_t n, struct bytes *out)
{
	char copy[CATALOG_URL_MAX];
	MDB_val k = {n, copy}, v;
	int rc;

	check(n <= sizeof(copy));
	memcpy(copy, key, n);
	rc = safe_get(txn, dbi, &k, &v);
	if (!rc)
		*out = bytes_of(v.mv_data, v.mv_size);
	return mapped(rc);
}

static int
ask(struct catalog_reader *r, enum db db, const void *key, size_t n,
    struct bytes *out)
{
	int err = refresh(r);

	return err ? err : get(r->txn, r->lmdb->dbs[db], key, n, out);
}

/* A value of `objects` without its sum. */
static int
unsummed(struct hash hash, struct bytes *value)
{
	if (value->n < SUM)
		return LARDER_DAMAGED;
	value->n -= SUM;
	return object_get64(value->p + value->n) ==
		       object_sum(value->p, value->n, hash.lo)
		   ? 0
		   : LARDER_DAMAGED;
}

int
catalog_get(struct catalog_reader *r, struct hash hash, struct bytes *out)
{
	char key[HASH];

	int err;

	hash_put(hash, key);
	err = ask(r, OBJECTS, key, sizeof(key), out);
	return err ? err : unsummed(hash, out);
}

int
catalog_get_container(
    struct catalog_reader *r, uint64_t id, struct object_container *out)
{
	struct bytes value;
	char key[8];
	int err;

	object_put64_be(key, id);
	err = ask(r, CONTAINERS, key, sizeof(key), &value);
	return err ? err : object_container_decode(value, out);
}

/* Users' names start with a plus, so that none is mistaken for our own. */
static size_t
state_key(const char *name, char key[40])
{
	size_t n = strnlen(name, 32);

	key[0] = '+';
	memcpy(key + 1, name, n);
	return n + 1;
}

int
catalog_get_state(struct catalog_reader *r, const char *name, struct bytes *out)
{
	char key[40];
	size_t n = state_key(name, key);

	return ask(r, STATE, key, n, out);
}

int
catalog_get_holes(struct catalog_reader *r, struct bytes *out)
{
	return ask(r, STATE, "holes", 5, out);
}

#define TOTALS 7u

int
catalog_get_totals(struct catalog_reader *r, struct catalog_totals *out)
{
	uint64_t v[TOTALS];
	struct bytes value = {NULL, 0};
	int err = ask(r, STATE, "totals", 6, &value);

	if (err)
		return err;
	if (value.n != 8 + 8 * TOTALS ||
	    object_get64(value.p) !=
		object_sum(value.p + 8, 8 * TOTALS, OBJECT_FORMAT))
		return LARDER_DAMAGED;
	for (unsigned i = 0; i < TOTALS; i++)
		v[i] = object_get64(value.p + 8 + 8 * i);
	*out =
	    (struct catalog_totals){v[0], v[1], v[2], v[3], v[4], v[5], v[6]};
	return 0;
}

int
catalog_members(struct catalog_reader *r, uint64_t container,
    const struct hash *from, struct hash *out, unsigned *count)
{
	char id[8], first[HASH] = {0};
	MDB_val k = {sizeof(id), id}, v = {sizeof(first), first};
	MDB_cursor *cursor;
	int err = refresh(r);

	*count = 0;
	if (err)
		return err;
	object_put64_be(id, container);
	if (from)
		hash_put(*from, first);
	err = mapped(safe_cursor_open(r->txn, r->lmdb->dbs[MEMBERS], &cursor));
	if (err)
		return err;
	err = mapped(safe_cursor_get(cursor, &k, &v, MDB_GET_BOTH_RANGE));
	while (!err && *count < CATALOG_BATCH) {
		err = hash_get(v, &out[*count]);
		if (err)
			break;
		++*count;
		err = mapped(safe_cursor_get(cursor, &k, &v, MDB_NEXT_DUP));
	}
	mdb_cursor_close(cursor);
	return err == LARDER_ABSENT ? 0 : err;
}

/* The first at or behind *n in a database whose keys are numbers. */
static int
seek_number(struct catalog_reader *r, enum db db, uint64_t *n, MDB_val *v)
{
	char key[8];
	MDB_val k = {sizeof(key), key};
	MDB_cursor *cursor;
	int err = refresh(r);

	if (err)
		return err;
	object_put64_be(key, *n);
	err = mapped(safe_cursor_open(r->txn, r->lmdb->dbs[db], &cursor));
	if (err)
		return err;
	err = mapped(safe_cursor_get(cursor, &k, v, MDB_SET_RANGE));
	if (!err && k.mv_size != sizeof(key))
		err = LARDER_DAMAGED;
	if (!err)
		*n = object_get64_be(k.mv_data);
	mdb_cursor_close(cursor);
	return err;
}

int
catalog_oldest(struct catalog_reader *r, uint64_t *queue, uint64_t *id)
{
	MDB_val v;
	int err = seek_number(r, QUEUE, queue, &v);

	if (!err && v.mv_size != 8)
		err = LARDER_DAMAGED;
	if (!err)
		*id = object_get64_be(v.mv_data);
	return err;
}

int
catalog_next_container(struct catalog_reader *r, uint64_t *id)
{
	MDB_val v;

	return seek_number(r, CONTAINERS, id, &v);
}

static size_t
url_key(struct bytes key, struct hash hash, char *buf)
{
	if (key.n <= KEY_CUT) {
		memcpy(buf, key.p, key.n);
		return key.n;
	}
	memcpy(buf, key.p, KEY_CUT);
	hash_put(hash, buf + KEY_CUT);
	return KEY_CUT + HASH;
}

int
catalog_urls(struct catalog_reader *r, struct bytes prefix, char *after,
    size_t *n, struct hash *out, unsigned *count)
{
	struct bytes cut = {prefix.p, prefix.n > KEY_CUT ? KEY_CUT : prefix.n};
	MDB_val k = {*n, after}, v;
	MDB_cursor *cursor;
	int err = refresh(r);

	*count = 0;
	if (!err)
		err = mapped(
		    safe_cursor_open(r->txn, r->lmdb->dbs[URLS], &cursor));
	if (err)
		return err;
	if (!*n && cut.n) {
		memcpy(after, cut.p, cut.n);
		k.mv_size = cut.n;
	}
	err = mapped(safe_cursor_get(
	    cursor, &k, &v, k.mv_size ? MDB_SET_RANGE : MDB_FIRST));
	if (!err && *n && k.mv_size == *n && !memcmp(k.mv_data, after, *n))
		err = mapped(safe_cursor_get(cursor, &k, &v, MDB_NEXT));
	while (!err && *count < CATALOG_BATCH &&
	       bytes_starts(bytes_of(k.mv_data, k.mv_size), cut)) {
		err = hash_get(v, &out[*count]);
		if (err)
			break;
		++*count;
		*n = k.mv_size;
		memcpy(after, k.mv_data, *n);
		err = mapped(safe_cursor_get(cursor, &k, &v, MDB_NEXT));
	}
	mdb_cursor_close(cursor);
	return err == LARDER_ABSENT ? 0 : err;
}

/* ---- writing ------------------------------------------------------------ */

int
catalog_begin(struct catalog *c)
{
	struct lmdb *l = c->now;
	int rc = MDB_CORRUPTED, err;

	if (!l->damaged)
		rc = safe_txn_begin(l->env, 0, &c->write);
	if (rc != MDB_PANIC)
		return mapped(rc);
	/* Its meta page could not be written, and LMDB wants to be opened anew
	 * before it writes again. */
	err = catalog_renew(c);
	l = c->now;
	return err ? err : mapped(safe_txn_begin(l->env, 0, &c->write));
}

void
catalog_abort(struct catalog *c)
{
	if (!catalog_damaged(c))
		safe_txn_abort(c->write);
	c->write = NULL;
}

int
catalog_commit(struct catalog *c)
{
	int rc = MDB_CORRUPTED;

	/* Durable when it returns: LMDB syncs the pages, then the meta page
	 * that names them. It also ends the transaction where it fails. */
	if (!catalog_damaged(c))
		rc = safe_txn_commit(c->write);
	c->write = NULL;
	if (!rc)
		atomic_fetch_add_explicit(&c->commits, 1, memory_order_release);
	return mapped(rc);
}

static int
put(struct catalog *c, enum db db, const char *key, size_t n,
    struct bytes value, unsigned flags)
{
	char copy[CATALOG_URL_MAX];
	MDB_val k = {n, copy}, v = {value.n, NULL};
	int rc;

	memcpy(copy, key, n);
	/* LMDB takes both by pointers to what is not const, and only reads. */
	memcpy(&v.mv_data, &value.p, sizeof(v.mv_data));
	if (catalog_damaged(c))
		return LARDER_DAMAGED;
	rc = safe_put(c->write, lmdb_now(c)->dbs[db], &k, &v, flags);
	return rc == MDB_KEYEXIST ? 0 : mapped(rc);
}

static int
del(struct catalog *c, enum db db, const char *key, size_t n, MDB_val *v)
{
	char copy[CATALOG_URL_MAX];
	MDB_val k = {n, copy};
	int rc;

	memcpy(copy, key, n);
	if (catalog_damaged(c))
		return LARDER_DAMAGED;
	rc = safe_del(c->write, lmdb_now(c)->dbs[db], &k, v);
	return rc == MDB_NOTFOUND ? 0 : mapped(rc);
}

int
catalog_old(struct catalog *c, struct hash hash, struct bytes *out)
{
	char key[HASH];
	int err;

	hash_put(hash, key);
	if (catalog_damaged(c))
		return LARDER_DAMAGED;
	err = get(c->write, lmdb_now(c)->dbs[OBJECTS], key, sizeof(key), out);
	return err ? err : unsummed(hash, out);
}

static int
put_summed(
    struct catalog *c, const char *key, struct hash hash, struct bytes value)
{
	char *buf = malloc(value.n + SUM);
	int err;

	if (!buf)
		return LARDER_NOMEM;
	memcpy(buf, value.p, value.n);
	object_put64(buf + value.n, object_sum(value.p, value.n, hash.lo));
	err = put(c, OBJECTS, key, HASH, bytes_of(buf, value.n + SUM), 0);
	free(buf);
	return err;
}

int
catalog_put(
    struct catalog *c, struct hash hash, struct bytes key, struct bytes value)
{
	char h[HASH], url[CATALOG_URL_MAX];
	size_t n = url_key(key, hash, url);
	int err;

	hash_put(hash, h);
	if (!value.p) {
		err = del(c, OBJECTS, h, sizeof(h), NULL);
		return err ? err : del(c, URLS, url, n, NULL);
	}
	err = put_summed(c, h, hash, value);
	if (err)
		return err;
	return put(c, URLS, url, n, bytes_of(h, sizeof(h)), 0);
}

int
catalog_put_member(
    struct catalog *c, uint64_t container, struct hash hash, bool there)
{
	char id[8], h[HASH];
	MDB_val v = {sizeof(h), h};

	object_put64_be(id, container);
	hash_put(hash, h);
	if (!there)
		return del(c, MEMBERS, id, sizeof(id), &v);
	return put(
	    c, MEMBERS, id, sizeof(id), bytes_of(h, sizeof(h)), MDB_NODUPDATA);
}

int
catalog_old_container(
    struct catalog *c, uint64_t id, struct object_container *out)
{
	struct bytes value;
	char key[8];
	int err;

	object_put64_be(key, id);
	err = catalog_damaged(c) ? LARDER_DAMAGED
				 : get(c->write, lmdb_now(c)->dbs[CONTAINERS],
				       key, sizeof(key), &value);
	return err ? err : object_container_decode(value, out);
}

int
catalog_put_container(struct catalog *c, uint64_t id,
    const struct object_container *before, const struct object_container *after)
{
	char key[8], queue[8], value[OBJECT_CONTAINER];
	int err = 0;

	object_put64_be(key, id);
	if (before && (!after || after->queue != before->queue)) {
		object_put64_be(queue, before->queue);
		err = del(c, QUEUE, queue, sizeof(queue), NULL);
	}
	if (err)
		return err;
	if (!after)
		return del(c, CONTAINERS, key, sizeof(key), NULL);
	object_container_encode(after, value);
	err = put(
	    c, CONTAINERS, key, sizeof(key), bytes_of(value, sizeof(value)), 0);
	if (err || (before && after->queue == before->queue))
		return err;
	object_put64_be(queue, after->queue);
	return put(
	    c, QUEUE, queue, sizeof(queue), bytes_of(key, sizeof(key)), 0);
}

int
catalog_put_state(struct catalog *c, const char *name, struct bytes value)
{
	char key[40];
	size_t n = state_key(name, key);

	return put(c, STATE, key, n, value, 0);
}

int
catalog_put_holes(struct catalog *c, struct bytes holes)
{
	return put(c, STATE, "holes", 5, holes, 0);
}

int
catalog_put_totals(struct catalog *c, const struct catalog_totals *t)
{
	const uint64_t v[TOTALS] = {t->next_id, t->next_queue, t->pack,
	    t->objects, t->body_bytes, t->stored_bytes, t->disk};
	char buf[8 + 8 * TOTALS];

	for (unsigned i = 0; i < TOTALS; i++)
		object_put64(buf + 8 + 8 * i, v[i]);
	object_put64(buf, object_sum(buf + 8, 8 * TOTALS, OBJECT_FORMAT));
	return put(c, STATE, "totals", 6, bytes_of(buf, sizeof(buf)), 0);
}
