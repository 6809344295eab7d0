/*
 * The policies that larder's is held against, each as its paper has it: whole
 * objects, no compression, no bytes lost to blocks or to an index.
 */
#ifndef BENCH_RIVALS_H
#define BENCH_RIVALS_H

#include <stdbool.h>
#include <stdint.h>

enum rival { FIFO, LRU, SIEVE, S3FIFO, GDSF, LFUDA, RIVALS };

extern const char *const rival_names[RIVALS];

struct cache;

struct cache *cache_new(enum rival policy, uint64_t budget);
/* Was it a hit? Now it is there, if it fits at all. */
bool cache_ask(struct cache *c, uint64_t key, uint64_t size);
void cache_free(struct cache *c);

#endif
