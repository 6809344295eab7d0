/*
 * The heaviest of any number of names, in fixed memory (space-saving, Metwally
 * et al. 2005): who finds it full takes the place of the lightest, and begins
 * with its weight as a possible error. A name that is heavier than 1/HEAVY_MAX
 * of all is always there. Pure.
 */
#ifndef ADMIN_HEAVY_H
#define ADMIN_HEAVY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"
#include "proxy/tally.h"

#define HEAVY_MAX 256u

struct heavy_item {
	char name[TALLY_TEXT];
	uint16_t size;		    /* of name */
	struct tally_counts counts; /* since it is here: a lower bound */
	uint64_t error;		    /* weight that may be another's, in bytes */
};

struct heavy {
	unsigned count;
	uint64_t weight[HEAVY_MAX]; /* of counts, and error */
	uint64_t hash[HEAVY_MAX];
	struct heavy_item items[HEAVY_MAX];
};

/* An empty one is all zero. */
void heavy_clear(struct heavy *heavy);
/* error: 0, or what another says of it. */
void heavy_add(struct heavy *heavy, struct bytes name,
    const struct tally_counts *counts, uint64_t error);

/* Indices of the n heaviest, the heaviest first; how many there are. */
unsigned heavy_top(const struct heavy *heavy, unsigned *out, unsigned n);

/* {"name": text, "requests": n, "hits": n, "sent_bytes": n, ...} */
json_t *heavy_json(const struct heavy_item *item);
/* Counts alone. */
json_t *heavy_counts_json(const struct tally_counts *counts);

/* The n heaviest as text that heavy_read() adds to another; the caller frees
 * it. NULL: no memory. */
char *heavy_write(const struct heavy *heavy, unsigned n);
/* What makes no sense in it is left out. */
void heavy_read(struct heavy *heavy, struct bytes text);

#endif
