/*
 * Parts of representations (RFC 9111 3.3, 3.4). A 206 is stored as a part: an
 * object of its own with the head of the 200 it stands for; parts of one
 * representation are joined when they are read. Pure.
 *
 * What always holds: bytes are joined only where the selecting fields, a
 * strong validator and the complete length are the same.
 */
#ifndef CACHE_PARTS_H
#define CACHE_PARTS_H

#include "cache/meta.h"
#include "cache/request.h"

/* Objects that may stand under one key. */
#define CACHE_CANDIDATES_MAX 32
#define CACHE_PIECES_MAX     (2 * CACHE_CANDIDATES_MAX + 1)
/* With more gaps than these everything between the first and the last is
 * asked for at once. */
#define CACHE_GAPS_MAX	     4u
/* Of one representation; the oldest goes for the next. */
#define CACHE_PARTS_MAX	     8u

/* One candidate: as in the store, decoded. */
struct cache_stored {
	struct cache_meta meta;
	struct bytes variant; /* the selecting fields: cache_variant() */
	uint64_t body_size;   /* of the whole representation */
};

/* From a store's record. variant may be a part's: cache_part_variant().
 * LARDER_DAMAGED, and then it is as old as can be. */
int cache_stored_decode(struct bytes meta, struct bytes variant,
    uint64_t body_size, struct cache_stored *out);

/* What keeps a part apart from the others, and from the whole, under the same
 * key. p == NULL: no memory. */
struct bytes cache_part_variant(
    const struct cache_meta *meta, struct bytes variant, struct arena *arena);
/* The selecting fields of a stored variant, of a part or not. */
struct bytes cache_selecting(struct bytes variant);

/* A strong entity tag; or, without any tag, a Last-Modified that is strong by
 * RFC 9110 8.8.2.2. */
bool cache_is_strong(const struct cache_meta *meta);

/* May their bytes be joined? Lengths are those of the wholes. */
bool cache_same_representation(const struct cache_meta *a, uint64_t a_size,
    const struct cache_meta *b, uint64_t b_size);

/*
 * What a 206 to a request for one range holds: its Content-Range, if there is
 * one, valid, with a length, consistent with Content-Length, and exactly what
 * was asked for. LARDER_INVALID otherwise.
 */
int cache_part_extent(const struct http_range_spec *asked,
    const struct http_head *response, struct cache_extent *out);

/* The head of the 200 that a 206 is a part of (3.4). LARDER_NOMEM. */
int cache_part_head(const struct http_head *response, struct arena *arena,
    struct http_head *out);

/* [from, to) of the representation: in candidate `at`, or missing (-1). */
struct cache_piece {
	uint64_t from, to;
	int at;
};

struct cache_cover {
	unsigned count, gaps;
	struct cache_piece pieces[CACHE_PIECES_MAX]; /* in order, seamless */
};

/* How [from, to) of the representation that `chosen` is of is there. At most
 * CACHE_CANDIDATES_MAX candidates are looked at. */
void cache_cover(const struct cache_stored *stored, unsigned count, int chosen,
    uint64_t from, uint64_t to, struct cache_cover *out);

/*
 * Is stored[at], a part, to be made one with others that overlap it or touch
 * it? Those no larger than twice what they join, so that what is copied stays a
 * small multiple of what was stored. *out: what they are together.
 */
bool cache_neighbours(const struct cache_stored *stored, unsigned count, int at,
    struct http_range *out);

/*
 * The cover of what this request wants of a stored part's representation: a
 * range, or all of it. False: it cannot be had by completing (several ranges,
 * not all there; or there is no strong validator to complete by), and is not
 * there either. count 0: nothing is wanted (304, 416, HEAD).
 */
bool cache_wanted_cover(const struct cache_request *request,
    const struct cache_stored *stored, unsigned count, int chosen, int64_t now,
    struct cache_cover *out);

#endif
