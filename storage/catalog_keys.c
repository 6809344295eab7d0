/*
 * The catalog's keys: what stands under each, and what lies in a container.
 *
 * What always holds: a value is never given for a key that is not, byte for
 * byte, the one that was asked for.
 */
#include <stdlib.h>

#include "catalog_env.h"
#include "larder/check.h"
#include "varint.h"

#define HASH	    16u
/* In a block, instead of a value, which begins with a count: it is large. */
#define IS_LARGE    0
/* Bytes of keys that a batch has room for, the longest one apart. */
#define BATCH_BYTES (64u * 1024)

/* The key in the index. */
static struct bytes
index_key(char buf[CATALOG_KEY_MAX], struct hash hash, struct bytes key)
{
	if (key.n <= CATALOG_CUT)
		return key;
	memcpy(buf, key.p, CATALOG_CUT);
	object_put64_be(buf + CATALOG_CUT, hash.hi);
	object_put64_be(buf + CATALOG_CUT + 8, hash.lo);
	return bytes_of(buf, CATALOG_CUT + HASH);
}

static struct bytes
member_key(char buf[CATALOG_KEY_MAX], uint64_t container, struct bytes key)
{
	check(key.n <= CATALOG_KEY_MAX - 8);
	object_put64_be(buf, container);
	if (key.n)
		memcpy(buf + 8, key.p, key.n);
	return bytes_of(buf, 8 + key.n);
}

static void
hash_put(struct hash hash, char buf[HASH])
{
	object_put64_be(buf, hash.hi);
	object_put64_be(buf + 8, hash.lo);
}

/* ---- large ones ---------------------------------------------------------- */

/* u64 sum | varint, key | value. */
static int
large_decode(struct bytes in, struct bytes *key, struct bytes *value)
{
	struct in cursor;

	if (in.n < 8 ||
	    object_get64(in.p) != object_sum(in.p + 8, in.n - 8, OBJECT_FORMAT))
		return LARDER_DAMAGED;
	cursor = (struct in){in.p + 8, in.p + in.n, false};
	*key = in_bytes(&cursor, STORE_KEY_MAX);
	*value = bytes_of(cursor.p, (size_t)(cursor.end - cursor.p));
	return cursor.bad ? LARDER_DAMAGED : 0;
}

static int
large_get(MDB_txn *txn, const struct env *env, const char hash[HASH],
    struct bytes *key, struct bytes *value)
{
	struct bytes in;
	int err = catalog_fetch(txn, env->dbs[LARGE], hash, HASH, &in);

	/* The index says that it is there. */
	if (err)
		return err == LARDER_ABSENT ? LARDER_DAMAGED : err;
	return large_decode(in, key, value);
}

static int
large_put(
    struct catalog *c, struct hash hash, struct bytes key, struct bytes value)
{
	char name[HASH], *buf = malloc(8 + VARINT_MAX + key.n + value.n), *p;
	int err;

	if (!buf)
		return LARDER_NOMEM;
	hash_put(hash, name);
	p = out_bytes(buf + 8, key);
	memcpy(p, value.p, value.n);
	p += value.n;
	object_put64(
	    buf, object_sum(buf + 8, (size_t)(p - buf) - 8, OBJECT_FORMAT));
	err = catalog_store(
	    c, LARGE, name, HASH, bytes_of(buf, (size_t)(p - buf)));
	free(buf);
	return err;
}

/* ---- one key ------------------------------------------------------------- */

static int
get(MDB_txn *txn, const struct env *env, MDB_cursor *cursor, struct hash hash,
    struct bytes key, struct bytes *value)
{
	char buf[CATALOG_KEY_MAX], name[HASH];
	struct bytes whole, cut = index_key(buf, hash, key);
	int err = catalog_error(tree_get(cursor, TREE_URLS, cut, value));

	if (err)
		return err;
	if (value->n != 1 || *value->p != IS_LARGE)
		return key.n <= CATALOG_CUT ? 0 : LARDER_DAMAGED;
	hash_put(hash, name);
	err = large_get(txn, env, name, &whole, value);
	if (!err && !bytes_eq(whole, key))
		err = LARDER_ABSENT;
	return err;
}

int
catalog_get(struct catalog_reader *r, struct hash hash, struct bytes key,
    struct bytes *value)
{
	int err = catalog_refresh(r);

	return err ? err : get(r->txn, r->env, r->cursor, hash, key, value);
}

int
catalog_old(
    struct catalog *c, struct hash hash, struct bytes key, struct bytes *value)
{
	MDB_cursor *cursor;
	int err;

	if (c->env->signs.damaged)
		return LARDER_DAMAGED;
	err = catalog_error(
	    safe_cursor_open(c->write, c->env->dbs[INDEX], &cursor));
	if (err)
		return err;
	err = get(c->write, c->env, cursor, hash, key, value);
	mdb_cursor_close(cursor);
	return err;
}

static int
index_put(struct catalog *c, char tree, struct bytes key, struct bytes value)
{
	int rc;

	if (c->env->signs.damaged)
		return LARDER_DAMAGED;
	rc = tree_put(c->write, c->env->dbs[INDEX], &c->room, tree, key, value);
	return rc == MDB_NOTFOUND ? 0 : catalog_error(rc);
}

int
catalog_put(
    struct catalog *c, struct hash hash, struct bytes key, struct bytes value)
{
	static const char is_large[1] = {IS_LARGE};
	bool large =
	    value.p && (key.n > CATALOG_CUT || value.n > BLOCK_VALUE_MAX);
	char buf[CATALOG_KEY_MAX], name[HASH];
	int err;

	hash_put(hash, name);
	if (large) {
		err = large_put(c, hash, key, value);
		value = bytes_of(is_large, sizeof(is_large));
	} else {
		err = catalog_remove(c, LARGE, name, HASH);
	}
	if (err)
		return err;
	return index_put(c, TREE_URLS, index_key(buf, hash, key), value);
}

int
catalog_put_member(struct catalog *c, const struct place *place,
    struct hash hash, struct bytes key, bool there)
{
	char buf[CATALOG_KEY_MAX], cut[CATALOG_KEY_MAX];
	struct bytes nothing = {there ? "" : NULL, 0};

	if (place->kind == PLACE_PACK) {
		object_put64_be(cut, place->offset);
		key = bytes_of(cut, 8);
	} else {
		key = index_key(cut, hash, key);
	}
	return index_put(
	    c, TREE_MEMBERS, member_key(buf, place->container, key), nothing);
}

struct first {
	struct bytes prefix;
	char key[CATALOG_KEY_MAX];
	size_t n;
};

static int
on_first(void *arg, struct bytes key, struct bytes value)
{
	struct first *first = arg;

	(void)value;
	if (!bytes_starts(key, first->prefix) || key.n > CATALOG_KEY_MAX)
		return MDB_NOTFOUND;
	memcpy(first->key, key.p, key.n);
	first->n = key.n;
	return MDB_KEYEXIST;
}

int
catalog_drop_members(struct catalog *c, uint64_t container)
{
	MDB_dbi index = c->env->dbs[INDEX];
	struct first first;
	char prefix[8];
	int rc;

	object_put64_be(prefix, container);
	first.prefix = bytes_of(prefix, sizeof(prefix));
	for (;;) {
		MDB_cursor *cursor;

		if (c->env->signs.damaged)
			return LARDER_DAMAGED;
		rc = safe_cursor_open(c->write, index, &cursor);
		if (rc)
			return catalog_error(rc);
		rc = tree_walk(
		    cursor, TREE_MEMBERS, first.prefix, on_first, &first);
		mdb_cursor_close(cursor);
		if (rc != MDB_KEYEXIST)
			return rc == MDB_NOTFOUND ? 0 : catalog_error(rc);
		rc = tree_put(c->write, index, &c->room, TREE_MEMBERS,
		    bytes_of(first.key, first.n), bytes_of(NULL, 0));
		if (rc)
			return catalog_error(rc);
	}
}

/* ---- walks --------------------------------------------------------------- */

struct walking {
	struct catalog_walk *walk;
	struct catalog_reader *reader;
	struct bytes prefix; /* of the index's keys */
	size_t skip;	     /* bytes before the key itself */
	int err;
};

void
catalog_walk_release(struct catalog_walk *walk)
{
	free(walk->room);
	memset(walk, 0, sizeof(*walk));
}

/* The whole key, where the index has it cut. */
static int
whole_key(struct walking *w, struct bytes cut, struct bytes *key)
{
	struct bytes value;

	*key = cut;
	if (cut.n <= CATALOG_CUT)
		return 0;
	if (cut.n != CATALOG_CUT + HASH)
		return LARDER_DAMAGED;
	return large_get(
	    w->reader->txn, w->reader->env, cut.p + CATALOG_CUT, key, &value);
}

static int
on_key(void *arg, struct bytes key, struct bytes value)
{
	struct walking *w = arg;
	struct catalog_walk *walk = w->walk;
	struct bytes cut = bytes_skip(key, w->skip), whole;
	struct bytes after = {walk->after, walk->n};
	int err;

	(void)value;
	if (!bytes_starts(key, w->prefix))
		return MDB_NOTFOUND;
	if (walk->begun && bytes_eq(cut, after))
		return 0;
	if (walk->count == CATALOG_BATCH || walk->filled >= BATCH_BYTES)
		return MDB_NOTFOUND;
	/* One that is damaged is passed by: there are others behind it. */
	err = whole_key(w, cut, &whole);
	if (err && err != LARDER_DAMAGED) {
		w->err = err;
		return MDB_NOTFOUND;
	}
	if (!err) {
		char *to = walk->room + walk->filled;

		if (whole.n)
			memcpy(to, whole.p, whole.n);
		walk->keys[walk->count++] = bytes_of(to, whole.n);
		walk->filled += whole.n;
	}
	if (cut.n)
		memcpy(walk->after, cut.p, cut.n);
	walk->n = cut.n;
	walk->begun = true;
	return 0;
}

static int
walk_on(struct walking *w, char tree)
{
	struct catalog_walk *walk = w->walk;
	char buf[CATALOG_KEY_MAX];
	struct bytes from = w->prefix;
	int rc, err = catalog_refresh(w->reader);

	walk->count = 0;
	walk->filled = 0;
	if (err)
		return err;
	if (!walk->room && !(walk->room = malloc(BATCH_BYTES + STORE_KEY_MAX)))
		return LARDER_NOMEM;
	if (walk->begun) {
		if (w->skip)
			memcpy(buf, w->prefix.p, w->skip);
		memcpy(buf + w->skip, walk->after, walk->n);
		from = bytes_of(buf, w->skip + walk->n);
	}
	rc = tree_walk(w->reader->cursor, tree, from, on_key, w);
	return w->err ? w->err : rc == MDB_NOTFOUND ? 0 : catalog_error(rc);
}

int
catalog_urls(
    struct catalog_reader *r, struct bytes prefix, struct catalog_walk *walk)
{
	struct walking w = {.walk = walk, .reader = r, .prefix = prefix};

	if (w.prefix.n > CATALOG_CUT)
		w.prefix.n = CATALOG_CUT;
	return walk_on(&w, TREE_URLS);
}

int
catalog_offset(struct bytes member, uint64_t *offset)
{
	if (member.n != 8)
		return LARDER_DAMAGED;
	*offset = object_get64_be(member.p);
	return 0;
}

int
catalog_members(
    struct catalog_reader *r, uint64_t container, struct catalog_walk *walk)
{
	char id[8];
	struct walking w = {.walk = walk,
	    .reader = r,
	    .prefix = {id, sizeof(id)},
	    .skip = sizeof(id)};

	object_put64_be(id, container);
	return walk_on(&w, TREE_MEMBERS);
}
