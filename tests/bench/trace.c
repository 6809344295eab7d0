/*
 * Reading traces and making them.
 *
 * What always holds: a made one depends on its shape alone, not on the
 * library's random numbers or on the order in which it is used.
 */
#include "trace.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"

/* libCacheSim's: u32 time, u64 object, u32 size, i64 next access. */
#define ORACLE 24u

uint64_t
trace_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

void
trace_add(struct trace *t, uint64_t key, uint64_t size)
{
	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : 4096;
		t->requests =
		    realloc(t->requests, t->room * sizeof(*t->requests));
		check(t->requests != NULL);
	}
	t->requests[t->count++] = (struct request){key, size};
}

void
trace_release(struct trace *t)
{
	free(t->requests);
	memset(t, 0, sizeof(*t));
}

static int
by_key(const void *pa, const void *pb)
{
	const struct request *a = pa, *b = pb;

	return a->key < b->key ? -1 : a->key > b->key;
}

uint64_t
trace_footprint(const struct trace *t)
{
	struct request *all = malloc(t->count * sizeof(*all) + 1);
	uint64_t n = 0;

	check(all != NULL);
	if (t->count)
		memcpy(all, t->requests, t->count * sizeof(*all));
	qsort(all, t->count, sizeof(*all), by_key);
	for (size_t i = 0; i < t->count; i++)
		if (i == 0 || all[i].key != all[i - 1].key)
			n += all[i].size;
	free(all);
	return n;
}

/* ---- reading ------------------------------------------------------------- */

static uint64_t
key_of(const char *word)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *word; word++)
		h = (h ^ (unsigned char)*word) * 0x100000001b3u;
	return trace_mix(h);
}

static int
read_lines(struct trace *t, FILE *f, const char **why)
{
	char line[8192], word[8192];
	unsigned long long size;

	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (sscanf(line, "%8191s %llu", word, &size) != 2) {
			*why = "a line is not \"key size\"";
			return -1;
		}
		trace_add(t, key_of(word), size);
	}
	return 0;
}

static int
read_oracle(struct trace *t, FILE *f)
{
	unsigned char r[ORACLE];

	while (fread(r, sizeof(r), 1, f) == 1) {
		uint64_t key;
		uint32_t size;

		memcpy(&key, r + 4, sizeof(key));
		memcpy(&size, r + 12, sizeof(size));
		trace_add(t, trace_mix(key), size);
	}
	return 0;
}

int
trace_read(struct trace *t, const char *path, const char **why)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	unsigned char start[256];
	size_t n;
	bool text = true;
	int err;

	*why = "it cannot be read";
	if (!f)
		return -1;
	if (f == stdin)
		return read_lines(t, f, why);
	n = fread(start, 1, sizeof(start), f);
	for (size_t i = 0; i < n; i++)
		text = text && (start[i] >= ' ' || start[i] == '\t' ||
				   start[i] == '\n' || start[i] == '\r');
	rewind(f);
	err = text ? read_lines(t, f, why) : read_oracle(t, f);
	if (!err && !t->count) {
		*why = "there is nothing in it";
		err = -1;
	}
	fclose(f);
	return err;
}

/* ---- making -------------------------------------------------------------- */

struct maker {
	struct trace *trace;
	const struct trace_shape *shape;
	uint64_t random;
	double *sums; /* of popularity, by rank */
	uint64_t fresh;
};

static uint64_t
next_random(struct maker *m)
{
	return trace_mix(m->random += 0x9e3779b97f4a7c15u);
}

static double
unit(uint64_t x)
{
	return ((double)(x >> 11) + 0.5) / (double)(1ull << 53);
}

/* Of an object, the same whenever it is asked for. */
static uint64_t
size_of(const struct trace_shape *s, uint64_t key)
{
	double a = unit(trace_mix(key * 2 + s->seed));
	double b = unit(trace_mix(key * 2 + 1 + s->seed));
	double normal = sqrt(-2 * log(a)) * cos(2 * 3.14159265358979 * b);
	double size = (double)s->median * exp(s->spread * normal);

	if (size > (double)s->cap)
		size = (double)s->cap;
	return size < 64 ? 64 : (uint64_t)size;
}

static void
ask(struct maker *m, uint64_t object)
{
	uint64_t key = trace_mix(object + 1);

	trace_add(m->trace, key, size_of(m->shape, key));
}

/* The rank of one request, 0 the most popular. */
static uint64_t
rank(struct maker *m)
{
	uint64_t n = m->shape->objects, low = 0, high = n - 1;
	double at = unit(next_random(m)) * m->sums[n - 1];

	while (low < high) {
		uint64_t mid = (low + high) / 2;

		if (m->sums[mid] < at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
sum_up(struct maker *m)
{
	uint64_t n = m->shape->objects;
	double sum = 0;

	m->sums = malloc(n * sizeof(*m->sums));
	check(m->sums != NULL);
	for (uint64_t i = 0; i < n; i++) {
		sum += pow((double)(i + 1), -m->shape->skew);
		m->sums[i] = sum;
	}
}

static void
make_one(struct maker *m, uint64_t i)
{
	const struct trace_shape *s = m->shape;

	if (!strcmp(s->name, "loop"))
		ask(m, i % s->objects);
	else if (!strcmp(s->name, "scan") && i > s->requests / 3 && i % 2)
		ask(m, 2 * s->objects + m->fresh++);
	else if (!strcmp(s->name, "shift") && i > s->requests / 2)
		ask(m, s->objects + rank(m));
	else
		ask(m, rank(m));
}

int
trace_make(struct trace *t, const struct trace_shape *shape)
{
	static const char *const names[] = {"zipf", "scan", "loop", "shift"};
	struct trace_shape s = *shape;
	struct maker m = {t, &s, s.seed, NULL, 0};
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		known = known || !strcmp(names[i], s.name);
	if (!known)
		return -1;
	s.objects = s.objects ? s.objects : 50000;
	s.requests = s.requests ? s.requests : 120000;
	s.skew = s.skew > 0 ? s.skew : 0.9;
	s.spread = s.spread > 0 ? s.spread : 2;
	s.median = s.median ? s.median : 8192;
	s.cap = s.cap ? s.cap : 5u << 20;
	sum_up(&m);
	for (uint64_t i = 0; i < s.requests; i++)
		make_one(&m, i);
	free(m.sums);
	return 0;
}
