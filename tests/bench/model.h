/*
 * The store as its policy sees it: packs, blobs, blocks and holes, without a
 * disk. It calls the same policy and the same sketch as the store does.
 */
#ifndef BENCH_MODEL_H
#define BENCH_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct model_options {
	uint64_t budget; /* bytes */
	double overhead; /* of the budget that bodies cannot have */
	uint64_t record; /* bytes that an object takes beside its body */
	double text;	 /* share of objects that can be compressed */
	double ratio;	 /* bytes of those for a byte on disk */
};

struct model_stats {
	uint64_t objects;
	uint64_t used, most; /* bytes on disk, now and ever */
	uint64_t stored, rewritten;
};

struct model;

struct model *model_new(const struct model_options *options);
/* Was it a hit? */
bool model_ask(struct model *m, uint64_t key, uint64_t size);
void model_stats(const struct model *m, struct model_stats *out);
void model_free(struct model *m);

#endif
