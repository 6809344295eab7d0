/*
 * A trace: what is asked for, one after another. Read from a file, or made
 * from a seed; the same seed makes the same trace everywhere.
 */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

struct request {
	uint64_t key;
	uint64_t size; /* bytes */
};

struct trace {
	struct request *requests;
	size_t count, room;
};

/* What trace_make() is told; zeros are the walk of README's table. */
struct trace_shape {
	const char *name; /* zipf, scan, loop, shift */
	uint64_t seed;
	uint64_t objects, requests;
	double skew;	 /* zipf's exponent */
	double spread;	 /* of the sizes: sigma of their logarithm */
	uint64_t median; /* bytes */
	uint64_t cap;	 /* bytes */
};

void trace_add(struct trace *t, uint64_t key, uint64_t size);
void trace_release(struct trace *t);

/* "key size" a line (keys may be any words), or libCacheSim's oracleGeneral;
 * which, the file says. 0, or -1 and *why says what is wrong. */
int trace_read(struct trace *t, const char *path, const char **why);

/*
 * zipf   objects by their popularity, sizes lognormal
 * scan   the same, and from a third on every second request is for something
 *        that is never asked for again
 * loop   objects one after another, round and round; skew is not used
 * shift  the same as zipf, but at the half others are the popular ones
 * 0, or -1: no such name.
 */
int trace_make(struct trace *t, const struct trace_shape *shape);

/* Bytes of all objects that are asked for, each once. */
uint64_t trace_footprint(const struct trace *t);

/* Good bits out of any. */
uint64_t trace_mix(uint64_t x);

#endif
