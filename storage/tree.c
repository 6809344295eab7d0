/*
 * Trees in blocks.
 *
 * One node of LMDB an object would cost its header, its whole key, and a third
 * of each page that random inserts leave empty. A block of some thirty entries
 * that share their beginnings is one node, as long as a page of LMDB's overflow
 * has room for, and what is in the block is ours to fill: one that is full
 * shares with a neighbour, and only two full ones become three (a B*-tree's
 * rule), so that they are some five sixths full on the average.
 *
 *   one too long ─┬─ a neighbour has room ──> both, as full as each other
 *                 ├─ none has any ──> three of it and one of them
 *                 └─ by a key behind all there are ──> it, and a new one
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
#include "safe.h"

/* A separator has no more than a key. */
#define NODE_MAX (1u + BLOCK_KEY_MAX)
/* A block shorter than that looks for company, and finds it where both leave
 * room for what comes. */
#define SHORT	 (BLOCK_MAX / 3)
#define COMPANY	 (BLOCK_MAX * 4 / 5)
/* Of what two blocks hold: more is better off in three. */
#define TWO_FULL (2 * BLOCK_MAX * 31 / 32)

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

static int
checked(MDB_cursor *cursor, const MDB_val *v)
{
	return block_check(bytes_in(*v)) ? safe_rotten(cursor) : 0;
}

/* The block where the key is or would be; the cursor stands on it. */
static int
locate(MDB_cursor *cursor, char tree, struct bytes key, MDB_val *k, MDB_val *v)
{
	char buf[NODE_MAX];
	struct bytes node = node_key(buf, tree, key);
	int rc;

	*k = val_of(node);
	rc = safe_cursor_get(cursor, k, v, MDB_SET_RANGE);
	if (rc == 0 && bytes_eq(bytes_in(*k), node))
		return checked(cursor, v);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	rc = safe_cursor_get(cursor, k, v, rc ? MDB_LAST : MDB_PREV);
	if (rc)
		return rc;
	if (!is_of(*k, tree))
		return MDB_NOTFOUND;
	return checked(cursor, v);
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
	int rc = safe_cursor_get(cursor, k, v, op);

	if (rc)
		return rc;
	if (!is_of(*k, tree))
		return MDB_NOTFOUND;
	return checked(cursor, v);
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

	return safe_put(w->txn, w->dbi, &k, &v, 0);
}

static int
del(struct writing *w, struct bytes node)
{
	MDB_val k = val_of(node);

	return safe_del(w->txn, w->dbi, &k, NULL);
}

/* What two blocks hold, spread over as many as `made` has room for. */
struct spread {
	struct writing *writing;
	struct bytes node; /* the first one's */
	unsigned wanted;   /* blocks, if they hold it */
	size_t target;	   /* bytes each is to have then */
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
	s->blocks[s->count] = bytes_of(s->builder.buf, block_seal(&s->builder));
	s->count++;
}

static void
spread_add(struct spread *s, struct bytes key, struct bytes value)
{
	struct block_builder *b = &s->builder;
	size_t n = block_size_with(b, key, value);
	/* The entry that passes the target goes where more of it lies. */
	bool enough = s->count + 1 < s->wanted && b->n + n > 2 * s->target;

	if (b->count && (n > BLOCK_MAX || enough)) {
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
	struct spread s = {.writing = w, .node = node, .wanted = n};
	int rc;

	s.target = BLOCK_EMPTY + (left.n + right.n) / n;
	rc = spread_all(&s, left, right);
	if (!rc && right.n)
		rc = del(w, right_node);
	for (unsigned i = 0; i < s.count && !rc; i++)
		rc = put(w, s.nodes[i], s.blocks[i]);
	return rc;
}

/* The block next to this one in a direction; there.n 0: there is none. */
static int
neighbour(struct writing *w, MDB_cursor *cursor, struct bytes node,
    MDB_cursor_op op, MDB_val *k, struct bytes *there)
{
	MDB_val v;
	int rc;

	there->n = 0;
	*k = val_of(node);
	rc = safe_cursor_get(cursor, k, &v, MDB_SET);
	if (!rc)
		rc = step(cursor, w->tree, k, &v, op);
	if (!rc)
		*there = bytes_in(v);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The neighbour that has more room, copied to where LMDB does not move it. */
static int
choose(struct writing *w, MDB_cursor *cursor, struct bytes node,
    char buf[NODE_MAX], struct bytes *other, struct bytes *beside, bool *before)
{
	struct bytes next, last;
	MDB_val k_next, k_last, k;
	int rc = neighbour(w, cursor, node, MDB_NEXT, &k_next, &next);

	if (!rc)
		rc = neighbour(w, cursor, node, MDB_PREV, &k_last, &last);
	if (rc)
		return rc;
	*before = !next.n || (last.n && last.n < next.n);
	k = *before ? k_last : k_next;
	*beside = *before ? last : next;
	if (beside->n) {
		memcpy(w->room->beside, beside->p, beside->n);
		memcpy(buf, k.mv_data, k.mv_size);
	}
	beside->p = w->room->beside;
	*other = bytes_of(buf, beside->n ? k.mv_size : 0);
	return 0;
}

/* What is too long, or short. */
static int
share(struct writing *w, MDB_cursor *cursor, struct bytes node,
    struct bytes block)
{
	struct bytes other, beside;
	char buf[NODE_MAX];
	bool before;
	size_t all;
	unsigned n;
	int rc = choose(w, cursor, node, buf, &other, &beside, &before);

	if (rc)
		return rc;
	all = block.n + beside.n;
	n = beside.n && all > TWO_FULL ? 3 : 2;
	if (block.n <= SHORT) {
		/* One that is not too long need not share. */
		if (!beside.n || all > COMPANY)
			return put(w, node, block);
		n = 1;
	}
	return before && beside.n ? rewrite(w, other, beside, node, block, n)
				  : rewrite(w, node, block, other, beside, n);
}

/* At the end of the tree, where more will come: what is full stays so. */
static int
append(struct writing *w, struct bytes key, struct bytes value, size_t shared)
{
	struct block_builder b;
	char buf[NODE_MAX];

	block_start(&b, w->room->made[0]);
	block_add(&b, key, value);
	return put(w, node_key(buf, w->tree, bytes_of(key.p, shared + 1)),
	    bytes_of(b.buf, block_seal(&b)));
}

/* The edited block takes the old one's place; the cursor stands there. */
static int
replace(struct writing *w, MDB_cursor *cursor, struct bytes node,
    struct bytes key, struct bytes value, const struct block_edited *e)
{
	struct bytes block = {e->buf, e->n}, next;
	MDB_val k;
	int rc;

	if (e->n == BLOCK_EMPTY)
		return del(w, node);
	if (e->n <= BLOCK_MAX && (value.p || e->n >= SHORT))
		return put(w, node, block);
	if (e->appended) {
		rc = neighbour(w, cursor, node, MDB_NEXT, &k, &next);
		if (rc || !next.n)
			return rc ? rc : append(w, key, value, e->shared);
	}
	return share(w, cursor, node, block);
}

int
tree_put(MDB_txn *txn, MDB_dbi dbi, struct tree_room *room, char tree,
    struct bytes key, struct bytes value)
{
	struct writing w = {txn, dbi, room, tree};
	struct block_edited edited = {.buf = room->edited};
	struct block_hint *hint =
	    tree == TREE_URLS ? &room->urls : &room->members;
	struct bytes old = {room->edited, 0}, node = {NULL, 0};
	char buf[NODE_MAX];
	MDB_cursor *cursor;
	MDB_val k, v;
	int rc = safe_cursor_open(txn, dbi, &cursor);

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
		rc = mapped(block_edit(old, key, value, hint, &edited));
	if (!rc)
		rc = replace(&w, cursor, node, key, value, &edited);
	mdb_cursor_close(cursor);
	return rc;
}
