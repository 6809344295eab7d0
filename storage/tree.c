/*
 * Trees in blocks.
 *
 * One node of LMDB an object would cost its header, its whole key, and a third
 * of each page that random inserts leave empty. A block of some thirty entries
 * that share their beginnings is one node, as long as a page of LMDB's overflow
 * has room for, and what is in the block is ours to fill: one that is full
 * shares with its neighbour, and only two full ones become three (a B*-tree's
 * rule), so that they are some five sixths full on the average.
 *
 *   one too long ─┬─ a neighbour has room ──> both, half full each of what
 *                 │                           they have
 *                 └─ it has none ──> three
 *   one left short ── fits into its neighbour ──> one
 *
 * What always holds
 *   - A key is in the last block whose node's key is not greater than it. A
 *     block's node keeps its key for as long as it begins where it did.
 *   - A block was checked (its sum) before anything in it is believed.
 *   - LMDB's pages are not looked at once something was put: what is edited
 *     lies in the writer's room.
 */
#include "tree.h"

#include "larder/check.h"

/* A separator has no more than a key. */
#define NODE_MAX (1u + BLOCK_KEY_MAX)
/* A block shorter than that looks for company, and finds it where both leave
 * room for what comes. */
#define SHORT	 (BLOCK_MAX / 3)
#define COMPANY	 (BLOCK_MAX * 4 / 5)
/* Of what two blocks hold: more is better off in three. */
#define TWO_FULL (2 * BLOCK_MAX * 15 / 16)

static MDB_val
val_of(struct bytes b)
{
	MDB_val v = {b.n, NULL};

	/* LMDB takes pointers to what is not const, and only reads. */
	memcpy(&v.mv_data, &b.p, sizeof(v.mv_data));
	return v;
}

static struct bytes
bytes_in(MDB_val v)
{
	return bytes_of(v.mv_data, v.mv_size);
}

static struct bytes
node_key(char buf[NODE_MAX], char tree, struct bytes key)
{
	check(key.n < NODE_MAX);
	buf[0] = tree;
	if (key.n)
		memcpy(buf + 1, key.p, key.n);
	return bytes_of(buf, key.n + 1);
}

static bool
is_of(MDB_val k, char tree)
{
	return k.mv_size >= 1 && k.mv_size <= NODE_MAX &&
	       *(const char *)k.mv_data == tree;
}

/* The block where the key is or would be; the cursor stands on it. */
static int
locate(MDB_cursor *cursor, char tree, struct bytes key, MDB_val *k, MDB_val *v)
{
	char buf[NODE_MAX];
	struct bytes node = node_key(buf, tree, key);
	int rc;

	*k = val_of(node);
	rc = mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
	if (rc == 0 && bytes_eq(bytes_in(*k), node))
		return block_check(bytes_in(*v)) ? MDB_CORRUPTED : 0;
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	rc = mdb_cursor_get(cursor, k, v, rc ? MDB_LAST : MDB_PREV);
	if (rc)
		return rc;
	if (!is_of(*k, tree))
		return MDB_NOTFOUND;
	return block_check(bytes_in(*v)) ? MDB_CORRUPTED : 0;
}

static int
mapped(int err)
{
	return err == 0		      ? 0
	       : err == LARDER_ABSENT ? MDB_NOTFOUND
				      : MDB_CORRUPTED;
}

int
tree_get(MDB_cursor *cursor, char tree, struct bytes key, struct bytes *value)
{
	MDB_val k, v;
	int rc = locate(cursor, tree, key, &k, &v);

	return rc ? rc : mapped(block_find(bytes_in(v), key, value));
}

/* The blocks behind the cursor's, of the same tree. */
static int
step(MDB_cursor *cursor, char tree, MDB_val *k, MDB_val *v, MDB_cursor_op op)
{
	int rc = mdb_cursor_get(cursor, k, v, op);

	if (rc)
		return rc;
	if (!is_of(*k, tree))
		return MDB_NOTFOUND;
	return block_check(bytes_in(*v)) ? MDB_CORRUPTED : 0;
}

static int
compare(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;

	return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

int
tree_walk(MDB_cursor *cursor, char tree, struct bytes from,
    tree_visit_fn *visit, void *arg)
{
	struct block_cursor c;
	char buf[NODE_MAX];
	MDB_val k, v;
	int rc = locate(cursor, tree, from, &k, &v);

	/* Nothing before it: the first there is. */
	if (rc == MDB_NOTFOUND) {
		k = val_of(node_key(buf, tree, from));
		rc = step(cursor, tree, &k, &v, MDB_SET_RANGE);
	}
	while (!rc) {
		block_begin(&c, bytes_in(v));
		while (!rc && block_next(&c))
			if (compare(bytes_of(c.key, c.n), from) >= 0)
				rc = visit(arg, bytes_of(c.key, c.n), c.value);
		if (!rc && c.bad)
			rc = MDB_CORRUPTED;
		if (!rc)
			rc = step(cursor, tree, &k, &v, MDB_NEXT);
	}
	return rc;
}

/* ---- writing ------------------------------------------------------------- */

struct writing {
	MDB_txn *txn;
	MDB_dbi dbi;
	struct tree_room *room;
	char tree;
};

static int
put(struct writing *w, struct bytes node, struct bytes block)
{
	MDB_val k = val_of(node), v = val_of(block);

	return mdb_put(w->txn, w->dbi, &k, &v, 0);
}

static int
del(struct writing *w, struct bytes node)
{
	MDB_val k = val_of(node);

	return mdb_del(w->txn, w->dbi, &k, NULL);
}

/* What two blocks hold, spread over as many as `made` has room for. */
struct spread {
	struct writing *writing;
	struct bytes node; /* the first one's */
	size_t target;	   /* bytes each is to have */
	struct block_builder builder;
	unsigned count;
	struct bytes nodes[5], blocks[5];
	char keys[5][NODE_MAX];
};

static void
spread_begin(struct spread *s)
{
	check(s->count < ARRAY_SIZE(s->nodes));
	block_start(&s->builder, s->writing->room->made[s->count]);
}

static void
spread_end(struct spread *s)
{
	s->blocks[s->count] =
	    bytes_of(s->builder.buf, block_seal(&s->builder));
	s->count++;
}

static void
spread_add(struct spread *s, struct bytes key, struct bytes value)
{
	struct block_builder *b = &s->builder;
	size_t n = block_size_with(b, key, value);

	/* The entry that passes the target goes where more of it lies. */
	if (b->count && (n > BLOCK_MAX || (n > s->target &&
					      n - s->target > s->target - b->n))) {
		struct bytes last = bytes_of(b->last, b->last_n);
		struct bytes node =
		    bytes_of(key.p, block_shared(last, key) + 1);

		spread_end(s);
		s->nodes[s->count] =
		    node_key(s->keys[s->count], s->writing->tree, node);
		spread_begin(s);
	}
	block_add(b, key, value);
}

static int
spread_all(struct spread *s, struct bytes left, struct bytes right)
{
	const struct bytes parts[] = {left, right};
	struct block_cursor c;

	s->count = 0;
	s->nodes[0] = s->node;
	spread_begin(s);
	for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
		block_begin(&c, parts[i]);
		while (block_next(&c))
			spread_add(s, bytes_of(c.key, c.n), c.value);
		if (c.bad)
			return MDB_CORRUPTED;
	}
	spread_end(s);
	return 0;
}

/* The two blocks are to be `n`; right.n 0: there is only the left one, whose
 * node it is. */
static int
rewrite(struct writing *w, struct bytes node, struct bytes left,
    struct bytes right_node, struct bytes right, unsigned n)
{
	struct spread s = {.writing = w, .node = node};
	int rc;

	s.target = BLOCK_EMPTY + (left.n + right.n) / n;
	rc = spread_all(&s, left, right);
	if (!rc && right.n)
		rc = del(w, right_node);
	for (unsigned i = 0; i < s.count && !rc; i++)
		rc = put(w, s.nodes[i], s.blocks[i]);
	return rc;
}

/* Where the cursor's block has no neighbour in the tree, *beside is empty. */
static int
neighbour(struct writing *w, MDB_cursor *cursor, MDB_cursor_op op,
    char buf[NODE_MAX], struct bytes *node, struct bytes *beside)
{
	MDB_val k, v;
	int rc = step(cursor, w->tree, &k, &v, op);

	*beside = bytes_of(w->room->beside, 0);
	if (rc)
		return rc == MDB_NOTFOUND ? 0 : rc;
	memcpy(buf, k.mv_data, k.mv_size);
	*node = bytes_of(buf, k.mv_size);
	memcpy(w->room->beside, v.mv_data, v.mv_size);
	beside->n = v.mv_size;
	return 0;
}

/* With the one behind it, or where there is none, the one before it. */
static int
share(struct writing *w, MDB_cursor *cursor, struct bytes node,
    struct bytes block)
{
	char buf[NODE_MAX];
	struct bytes other = node, beside;
	int rc = neighbour(w, cursor, MDB_NEXT, buf, &other, &beside);
	bool before = false;
	size_t n;

	if (!rc && !beside.n) {
		/* The cursor passed the end, or stands in another tree. */
		MDB_val k = val_of(node), v;

		rc = mdb_cursor_get(cursor, &k, &v, MDB_SET);
		if (!rc)
			rc = neighbour(
			    w, cursor, MDB_PREV, buf, &other, &beside);
		before = !rc && beside.n;
	}
	if (rc)
		return rc;
	n = block.n + beside.n;
	if (block.n <= SHORT) {
		/* One that is not too long need not share. */
		if (!beside.n || n > COMPANY)
			return put(w, node, block);
		n = 1;
	} else {
		n = beside.n && n > TWO_FULL ? 3 : 2;
	}
	return before ? rewrite(w, other, beside, node, block, (unsigned)n)
		      : rewrite(w, node, block, other, beside, (unsigned)n);
}

int
tree_put(MDB_txn *txn, MDB_dbi dbi, struct tree_room *room, char tree,
    struct bytes key, struct bytes value)
{
	struct writing w = {txn, dbi, room, tree};
	struct bytes old = {room->edited, 0}, node;
	char buf[NODE_MAX];
	MDB_cursor *cursor;
	MDB_val k, v;
	size_t n;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc)
		return rc;
	rc = locate(cursor, tree, key, &k, &v);
	if (rc == 0) {
		memcpy(buf, k.mv_data, k.mv_size);
		node = bytes_of(buf, k.mv_size);
		old = bytes_in(v);
	} else if (rc == MDB_NOTFOUND && value.p) {
		node = node_key(buf, tree, bytes_of(NULL, 0));
		rc = 0;
	}
	if (!rc)
		rc = mapped(block_edit(old, key, value, room->edited, &n));
	if (!rc && n == BLOCK_EMPTY)
		rc = del(&w, node);
	else if (!rc && (n > BLOCK_MAX || (!value.p && n < SHORT)))
		rc = share(&w, cursor, node, bytes_of(room->edited, n));
	else if (!rc)
		rc = put(&w, node, bytes_of(room->edited, n));
	mdb_cursor_close(cursor);
	return rc;
}
