/*
 * LMDB's file, read with suspicion. Its format (0.9, 64 bit, little-endian):
 *
 *   page     0 u64 number | 10 u16 flags | 12 u16 lower | 14 u16 upper
 *            | 16 u16 offsets of nodes, up to lower | nodes, from upper on
 *            (OVERFLOW: 12 u32 pages; LEAF2: 8 u16 key size, keys from 16 on)
 *   node     0 u16, 2 u16 low and high | 4 u16 flags | 6 u16 key size | key
 *            BRANCH: low, high and flags are the number of the page below
 *            LEAF: low and high are the size of the data behind the key
 *   meta     pages 0 and 1: 16 u32 magic | 20 u32 version | 40 free tree
 *            | 88 main tree | 136 u64 last page | 144 u64 transaction
 *   tree     0 u32 pad | 4 u16 flags | 6 u16 depth | 8, 16, 24 u64 pages:
 *            branch, leaf, overflow | 32 u64 entries | 40 u64 root
 *
 * What always holds: nothing is read outside of a page; no page is visited
 * twice, so that a loop ends; depth is bounded.
 */
#include "pages.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "larder/bytes.h"

#define PAGE	   4096u
#define HEADER	   16u
#define NODE	   8u
#define TREE	   48u
#define MAGIC	   0xbeefc0deu
#define VERSION	   1u
#define DEPTH	   32u
#define BEYOND	   4096u /* pages that the file may lack at its end */
#define KEY_MAX	   511u
#define NO_PAGE	   UINT64_MAX
#define AHEAD	   (8u * 1024 * 1024) /* what is asked of the disk at a time */
#define FOLDERLESS 0x4000u /* of the environment, kept with the free tree */
#define INTEGERS   0x08u   /* of a tree: keys are numbers of this machine */

enum { BRANCH = 1, LEAF = 2, OVERFLOW = 4, META = 8, LEAF2 = 32, SUBPAGE = 64 };
enum { BIG = 1, SUBTREE = 2, DUPLICATES = 4 };

struct tree {
	unsigned flags, depth;
	uint64_t pages[3]; /* branch, leaf, overflow */
	uint64_t root;
};

struct meta {
	struct tree free, main;
	uint64_t last, txn;
};

struct walk {
	int fd;
	uint64_t last;
	uint8_t *seen; /* a bit a page */
	uint64_t found[3];
	struct tree tree;	  /* that is walked */
	bool is_free;		  /* it is the one of free pages */
	bool nested;		  /* the tree of one key's duplicates */
	unsigned depth;		  /* trees that it is in */
	const _Atomic bool *stop; /* NULL: to the end */
};

static uint64_t
number(const unsigned char *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | p[n];
	return v;
}

static struct tree
tree_of(const unsigned char *p)
{
	return (struct tree){(unsigned)number(p + 4, 2),
	    (unsigned)number(p + 6, 2),
	    {number(p + 8, 8), number(p + 16, 8), number(p + 24, 8)},
	    number(p + 40, 8)};
}

/* False: it is used already, or is none of the file's. */
static bool
claim(struct walk *w, uint64_t page)
{
	if (page < 2 || page > w->last || w->seen[page / 8] & 1u << page % 8)
		return false;
	w->seen[page / 8] |= (uint8_t)(1u << page % 8);
	return true;
}

static int
read_page(struct walk *w, uint64_t page, unsigned char *buf)
{
	if (!claim(w, page))
		return LARDER_DAMAGED;
	if (w->stop && *w->stop)
		return LARDER_CLOSED;
	return disk_read(w->fd, buf, PAGE, page * PAGE);
}

/* ---- nodes --------------------------------------------------------------- */

struct node {
	struct bytes key;
	unsigned flags;
	uint64_t child; /* of a branch */
	const unsigned char *data;
	uint64_t size; /* of data; what is BIG says so, but lies elsewhere */
};

/* The i-th of a page of `room` bytes. */
static bool
node_of(const unsigned char *page, unsigned room, unsigned i, bool branch,
    struct node *out)
{
	unsigned upper = (unsigned)number(page + 14, 2);
	unsigned at = (unsigned)number(page + HEADER + 2 * i, 2);
	unsigned key, left;
	const unsigned char *p = page + at;

	if (at < upper || at + NODE > room)
		return false;
	left = room - at - NODE;
	key = (unsigned)number(p + 6, 2);
	if (key > left || key > KEY_MAX)
		return false;
	left -= key;
	out->key = bytes_of((const char *)p + NODE, key);
	out->flags = branch ? 0 : (unsigned)number(p + 4, 2);
	out->child = number(p, 6);
	out->size = number(p, 4);
	out->data = p + NODE + key;
	if (branch)
		return true;
	if (out->flags & ~(unsigned)(BIG | SUBTREE | DUPLICATES))
		return false;
	if (out->flags & BIG)
		return left >= 8 && out->flags == BIG;
	return out->size <= left;
}

/* How many nodes a page has; 0: it is none. */
static unsigned
count_of(const unsigned char *page, unsigned room)
{
	unsigned lower = (unsigned)number(page + 12, 2);
	unsigned upper = (unsigned)number(page + 14, 2);

	if (lower < HEADER || lower > upper || upper > room || lower % 2)
		return 0;
	return (lower - HEADER) / 2;
}

static int
order(const struct walk *w, struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c;

	if (w->is_free) {
		uint64_t x = number((const unsigned char *)a.p, 8);
		uint64_t y = number((const unsigned char *)b.p, 8);

		return x < y ? -1 : x > y;
	}
	c = n ? memcmp(a.p, b.p, n) : 0;
	return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

/* ---- data ---------------------------------------------------------------- */

static int walk_tree(struct walk *w, const struct tree *tree);

/* Free pages: a count and that many numbers, the highest first. */
static int
check_free(struct walk *w, const unsigned char *p, uint64_t n)
{
	uint64_t count = n >= 8 ? number(p, 8) : UINT64_MAX, before = NO_PAGE;

	if (count > n / 8 - 1)
		return LARDER_DAMAGED;
	for (uint64_t i = 1; i <= count; i++) {
		uint64_t page = number(p + 8 * i, 8);

		if (page >= before || !claim(w, page))
			return LARDER_DAMAGED;
		before = page;
	}
	return 0;
}

/* What is written again within a transaction keeps its pages, when it got
 * shorter, too. */
static int
check_big(struct walk *w, const struct node *node)
{
	uint64_t first = number(node->data, 8), n = node->size + HEADER, pages;
	unsigned char header[HEADER], *buf;
	int err;

	if (first > w->last || n > (w->last + 1 - first) * PAGE)
		return LARDER_DAMAGED;
	err = disk_read(w->fd, header, HEADER, first * PAGE);
	if (err)
		return err;
	pages = number(header + 12, 4);
	if (number(header, 8) != first || number(header + 10, 2) != OVERFLOW ||
	    n > pages * PAGE || pages > w->last + 1 - first)
		return LARDER_DAMAGED;
	for (uint64_t i = 0; i < pages; i++)
		if (!claim(w, first + i))
			return LARDER_DAMAGED;
	w->found[2] += pages;
	buf = malloc(n);
	if (!buf)
		return LARDER_NOMEM;
	err = disk_read(w->fd, buf, n, first * PAGE);
	if (!err && w->is_free)
		err = check_free(w, buf + HEADER, node->size);
	free(buf);
	return err;
}

/* Keys of one size, one behind the other. */
static int
check_flat(const unsigned char *page, unsigned room)
{
	unsigned size = (unsigned)number(page + 8, 2);
	unsigned n = count_of(page, room);

	if (!n || !size || size > KEY_MAX || n * size > room - HEADER)
		return LARDER_DAMAGED;
	for (unsigned i = 1; i < n; i++)
		if (memcmp(page + HEADER + (i - 1) * size,
			page + HEADER + i * size, size) >= 0)
			return LARDER_DAMAGED;
	return 0;
}

/* The page within a node that has a key's duplicates. */
static int
check_subpage(const struct node *node)
{
	unsigned flags;

	if (node->size < HEADER || node->size > PAGE)
		return LARDER_DAMAGED;
	flags = (unsigned)number(node->data + 10, 2);
	if ((flags & (SUBPAGE | LEAF | LEAF2)) != (SUBPAGE | LEAF | LEAF2))
		return LARDER_DAMAGED;
	return check_flat(node->data, (unsigned)node->size);
}

static int
check_subtree(struct walk *w, const struct node *node)
{
	struct walk inner = *w;
	struct tree tree;

	/* The main one, one of its databases, one of duplicates. */
	if (node->size != TREE || w->is_free || ++inner.depth > 2)
		return LARDER_DAMAGED;
	tree = tree_of(node->data);
	memset(inner.found, 0, sizeof(inner.found));
	inner.nested = node->flags & DUPLICATES;
	return walk_tree(&inner, &tree);
}

static int
check_data(struct walk *w, const struct node *node)
{
	if (node->flags & BIG)
		return check_big(w, node);
	if (node->flags & SUBTREE)
		return check_subtree(w, node);
	if (node->flags & DUPLICATES)
		return check_subpage(node);
	return w->is_free ? check_free(w, node->data, node->size) : 0;
}

/* ---- pages and trees ----------------------------------------------------- */

/* The keys below must lie in [low, high); NULL: no such bound. */
static int
walk_page(struct walk *w, uint64_t at, unsigned level, const struct bytes *low,
    const struct bytes *high)
{
	unsigned char page[PAGE];
	bool branch = level > 1;
	unsigned n, flags;
	int err = read_page(w, at, page);

	if (err)
		return err;
	n = count_of(page, PAGE);
	flags = (unsigned)number(page + 10, 2);
	w->found[branch ? 0 : 1]++;
	if (number(page, 8) != at || n < (branch ? 2u : 1u))
		return LARDER_DAMAGED;
	if (flags == (LEAF | LEAF2) && !branch && w->nested)
		return check_flat(page, PAGE);
	if (flags != (branch ? BRANCH : LEAF))
		return LARDER_DAMAGED;
	for (unsigned i = 0; i < n && !err; i++) {
		struct node node, next;
		bool last = i + 1 == n;
		/* A branch's first key stands for all that is lower. */
		const struct bytes *from = branch && !i ? low : &node.key;

		if (!node_of(page, PAGE, i, branch, &node) ||
		    (!last && !node_of(page, PAGE, i + 1, branch, &next)) ||
		    (w->is_free && !branch && node.key.n != 8))
			return LARDER_DAMAGED;
		if (w->is_free && !last && next.key.n != 8)
			return LARDER_DAMAGED;
		if ((!branch || i) &&
		    ((low && order(w, node.key, *low) < 0) ||
			(high && order(w, node.key, *high) >= 0)))
			return LARDER_DAMAGED;
		if (!last && (!branch || i) &&
		    order(w, node.key, next.key) >= 0)
			return LARDER_DAMAGED;
		err = branch ? walk_page(w, node.child, level - 1, from,
				   last ? high : &next.key)
			     : check_data(w, &node);
	}
	return err;
}

static int
walk_tree(struct walk *w, const struct tree *tree)
{
	struct tree outer = w->tree;
	int err = 0;

	if (tree->depth > DEPTH || (tree->root == NO_PAGE) != !tree->depth)
		return LARDER_DAMAGED;
	w->tree = *tree;
	if (tree->depth)
		err = walk_page(w, tree->root, tree->depth, NULL, NULL);
	if (!err)
		for (unsigned i = 0; i < 3; i++)
			if (w->found[i] != tree->pages[i])
				err = LARDER_DAMAGED;
	w->tree = outer;
	return err;
}

static int
walk_all(int fd, const struct meta *meta, const _Atomic bool *stop)
{
	struct walk w = {.fd = fd, .last = meta->last, .stop = stop};
	int err;

	w.seen = calloc(meta->last / 8 + 1, 1);
	if (!w.seen)
		return LARDER_NOMEM;
	err = walk_tree(&w, &meta->main);
	memset(w.found, 0, sizeof(w.found));
	w.is_free = true;
	if (!err)
		err = walk_tree(&w, &meta->free);
	free(w.seen);
	return err;
}

/* ---- meta pages ---------------------------------------------------------- */

static int
read_meta(int fd, unsigned i, uint64_t size, struct meta *out)
{
	unsigned char page[PAGE];
	int err = disk_read(fd, page, PAGE, i * PAGE);

	if (err)
		return err;
	*out = (struct meta){tree_of(page + 40), tree_of(page + 88),
	    number(page + 136, 8), number(page + 144, 8)};
	if (number(page, 8) != i || number(page + 10, 2) != META ||
	    number(page + 16, 4) != MAGIC || number(page + 20, 4) != VERSION ||
	    number(page + 40, 4) != PAGE ||
	    (out->free.flags & ~FOLDERLESS) != INTEGERS || out->main.flags != 0)
		return LARDER_DAMAGED;
	/* What was taken and let go again in one transaction may not have been
	 * written. */
	return out->last < 1 || out->last > size / PAGE + BEYOND
		   ? LARDER_DAMAGED
		   : 0;
}

static int
read_metas(int fd, struct meta metas[2], uint64_t *size)
{
	uint64_t allocated;
	int err = disk_size(fd, size, &allocated);

	if (!err && *size < 2 * PAGE)
		err = LARDER_DAMAGED;
	for (unsigned i = 0; i < 2 && !err; i++)
		err = read_meta(fd, i, *size, &metas[i]);
	return err;
}

int
pages_check(int fd, uint64_t most)
{
	uint64_t size = 0, allocated;
	struct meta metas[2];
	const struct meta *newest = metas;
	int err = disk_size(fd, &size, &allocated);

	if (!err && size)
		err = read_metas(fd, metas, &size);
	if (err || !size)
		return err;
	if (metas[1].txn > metas[0].txn)
		newest = &metas[1];
	/* They are written in turn, one transaction each. */
	if (newest->txn &&
	    (newest->txn % 2 != (newest == &metas[1]) ||
		metas[0].txn + metas[1].txn != 2 * newest->txn - 1))
		return LARDER_DAMAGED;
	return size > most ? 0 : walk_all(fd, newest, NULL);
}

int
pages_check_snapshot(int fd, uint64_t txn, const _Atomic bool *stop)
{
	struct meta metas[2];
	uint64_t size;
	int err = read_metas(fd, metas, &size);

	if (err)
		return err;
	/* Two commits later its meta page is another's. */
	if (metas[txn % 2].txn != txn)
		return LARDER_AGAIN;
	/* In order, where the walk goes back and forth. */
	for (uint64_t at = 0; at < size && !(stop && *stop); at += AHEAD)
		disk_will_need(fd, at, AHEAD);
	return walk_all(fd, &metas[txn % 2], stop);
}
