/*
 * The catalog in LMDB: six databases in one file.
 *
 *   objects     hash (16 bytes)          -> value: a key and its variants
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
#include <lmdb.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "larder/check.h"

#define READERS 1024u
#define KEY_CUT 495u
#define HASH	16u

enum db { OBJECTS, URLS, MEMBERS, CONTAINERS, QUEUE, STATE, DBS };

struct catalog {
	MDB_env *env;
	MDB_dbi dbs[DBS];
	MDB_txn *write;
	_Atomic uint64_t commits;
};

struct catalog_reader {
	struct catalog *catalog;
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

/* ---- opening ------------------------------------------------------------ */

static int
open_databases(struct catalog *c)
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
	int rc = mdb_txn_begin(c->env, NULL, 0, &txn);

	if (rc)
		return rc;
	for (unsigned i = 0; i < DBS && !rc; i++)
		rc = mdb_dbi_open(
		    txn, all[i].name, all[i].flags | MDB_CREATE, &c->dbs[i]);
	if (!rc)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

int
catalog_open(struct catalog **out, const char *path, uint64_t map)
{
	struct catalog *c = calloc(1, sizeof(*c));
	int rc, dead;

	if (!c)
		return LARDER_NOMEM;
	rc = mdb_env_create(&c->env);
	if (!rc)
		rc = mdb_env_set_maxdbs(c->env, DBS);
	if (!rc)
		rc = mdb_env_set_maxreaders(c->env, READERS);
	if (!rc)
		rc = mdb_env_set_mapsize(c->env, map / 4096 * 4096);
	/* No read-ahead: look-ups are random, and what it would read in
	 * pushes bodies out of the page cache. */
	if (!rc)
		rc = mdb_env_open(c->env, path,
		    MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0640);
	/* Slots of processes that were killed would keep pages from use. */
	if (!rc)
		rc = mdb_reader_check(c->env, &dead);
	if (!rc)
		rc = open_databases(c);
	*out = c;
	if (rc)
		catalog_close(out);
	return mapped(rc);
}

void
catalog_close(struct catalog **c)
{
	if (!*c)
		return;
	if ((*c)->env)
		mdb_env_close((*c)->env);
	free(*c);
	*c = NULL;
}

uint64_t
catalog_size(struct catalog *c)
{
	MDB_envinfo info;

	mdb_env_info(c->env, &info);
	return ((uint64_t)info.me_last_pgno + 1) * 4096;
}

/* ---- reading ------------------------------------------------------------ */

int
catalog_reader_open(struct catalog *c, struct catalog_reader **out)
{
	struct catalog_reader *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return LARDER_NOMEM;
	r->catalog = c;
	rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &r->txn);
	if (rc) {
		free(r);
		return mapped(rc);
	}
	mdb_txn_reset(r->txn);
	*out = r;
	return 0;
}

void
catalog_reader_rest(struct catalog_reader *r)
{
	if (r->live)
		mdb_txn_reset(r->txn);
	r->live = false;
}

void
catalog_reader_close(struct catalog_reader **r)
{
	if (!*r)
		return;
	mdb_txn_abort((*r)->txn);
	free(*r);
	*r = NULL;
}

static int
refresh(struct catalog_reader *r)
{
	uint64_t now =
	    atomic_load_explicit(&r->catalog->commits, memory_order_acquire);
	int rc;

	if (r->live && r->seen == now)
		return 0;
	catalog_reader_rest(r);
	rc = mdb_txn_renew(r->txn);
	if (rc)
		return mapped(rc);
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
	rc = mdb_get(txn, dbi, &k, &v);
	if (!rc)
		*out = bytes_of(v.mv_data, v.mv_size);
	return mapped(rc);
}

static int
ask(struct catalog_reader *r, enum db db, const void *key, size_t n,
    struct bytes *out)
{
	int err = refresh(r);

	return err ? err : get(r->txn, r->catalog->dbs[db], key, n, out);
}

int
catalog_get(struct catalog_reader *r, struct hash hash, struct bytes *out)
{
	char key[HASH];

	hash_put(hash, key);
	return ask(r, OBJECTS, key, sizeof(key), out);
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

/* Before there were two queues the last two were missing. */
#define TOTALS	   9u
#define TOTALS_OLD 7u

int
catalog_get_totals(struct catalog_reader *r, struct catalog_totals *out)
{
	uint64_t v[TOTALS] = {0};
	struct bytes value = {NULL, 0};
	int err = ask(r, STATE, "totals", 6, &value);

	if (err)
		return err;
	if ((value.n != 8 + 8 * TOTALS && value.n != 8 + 8 * TOTALS_OLD) ||
	    object_get64(value.p) !=
		object_sum(value.p + 8, value.n - 8, OBJECT_FORMAT))
		return LARDER_DAMAGED;
	for (unsigned i = 0; i < value.n / 8 - 1; i++)
		v[i] = object_get64(value.p + 8 + 8 * i);
	/* All of it stood in one queue then. */
	if (value.n == 8 + 8 * TOTALS_OLD)
		v[8] = v[6];
	*out = (struct catalog_totals){.next_id = v[0],
	    .next_queue = v[1],
	    .pack = v[2],
	    .main_pack = v[7],
	    .objects = v[3],
	    .body_bytes = v[4],
	    .stored_bytes = v[5],
	    .disk = v[6],
	    .small = v[8]};
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
	err =
	    mapped(mdb_cursor_open(r->txn, r->catalog->dbs[MEMBERS], &cursor));
	if (err)
		return err;
	err = mapped(mdb_cursor_get(cursor, &k, &v, MDB_GET_BOTH_RANGE));
	while (!err && *count < CATALOG_BATCH) {
		err = hash_get(v, &out[*count]);
		if (err)
			break;
		++*count;
		err = mapped(mdb_cursor_get(cursor, &k, &v, MDB_NEXT_DUP));
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
	err = mapped(mdb_cursor_open(r->txn, r->catalog->dbs[db], &cursor));
	if (err)
		return err;
	err = mapped(mdb_cursor_get(cursor, &k, v, MDB_SET_RANGE));
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
		    mdb_cursor_open(r->txn, r->catalog->dbs[URLS], &cursor));
	if (err)
		return err;
	if (!*n && cut.n) {
		memcpy(after, cut.p, cut.n);
		k.mv_size = cut.n;
	}
	err = mapped(mdb_cursor_get(
	    cursor, &k, &v, k.mv_size ? MDB_SET_RANGE : MDB_FIRST));
	if (!err && *n && k.mv_size == *n && !memcmp(k.mv_data, after, *n))
		err = mapped(mdb_cursor_get(cursor, &k, &v, MDB_NEXT));
	while (!err && *count < CATALOG_BATCH &&
	       bytes_starts(bytes_of(k.mv_data, k.mv_size), cut)) {
		err = hash_get(v, &out[*count]);
		if (err)
			break;
		++*count;
		*n = k.mv_size;
		memcpy(after, k.mv_data, *n);
		err = mapped(mdb_cursor_get(cursor, &k, &v, MDB_NEXT));
	}
	mdb_cursor_close(cursor);
	return err == LARDER_ABSENT ? 0 : err;
}

/* ---- writing ------------------------------------------------------------ */

int
catalog_begin(struct catalog *c)
{
	return mapped(mdb_txn_begin(c->env, NULL, 0, &c->write));
}

void
catalog_abort(struct catalog *c)
{
	mdb_txn_abort(c->write);
	c->write = NULL;
}

int
catalog_commit(struct catalog *c)
{
	/* Durable when it returns: LMDB syncs the pages, then the meta page
	 * that names them. It also ends the transaction where it fails. */
	int rc = mdb_txn_commit(c->write);

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
	rc = mdb_put(c->write, c->dbs[db], &k, &v, flags);
	return rc == MDB_KEYEXIST ? 0 : mapped(rc);
}

static int
del(struct catalog *c, enum db db, const char *key, size_t n, MDB_val *v)
{
	char copy[CATALOG_URL_MAX];
	MDB_val k = {n, copy};
	int rc;

	memcpy(copy, key, n);
	rc = mdb_del(c->write, c->dbs[db], &k, v);
	return rc == MDB_NOTFOUND ? 0 : mapped(rc);
}

int
catalog_old(struct catalog *c, struct hash hash, struct bytes *out)
{
	char key[HASH];

	hash_put(hash, key);
	return get(c->write, c->dbs[OBJECTS], key, sizeof(key), out);
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
	err = put(c, OBJECTS, h, sizeof(h), value, 0);
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
	err = get(c->write, c->dbs[CONTAINERS], key, sizeof(key), &value);
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
	    t->objects, t->body_bytes, t->stored_bytes, t->disk, t->main_pack,
	    t->small};
	char buf[8 + 8 * TOTALS];

	for (unsigned i = 0; i < TOTALS; i++)
		object_put64(buf + 8 + 8 * i, v[i]);
	object_put64(buf, object_sum(buf + 8, 8 * TOTALS, OBJECT_FORMAT));
	return put(c, STATE, "totals", 6, bytes_of(buf, sizeof(buf)), 0);
}
