/*
 * A count-min sketch of four-bit counters, four a key and all of them in one
 * cache line, and a table of the fingerprints of what went.
 *
 * What always holds
 *   - A count is too low only by ageing or by two threads at once, and seldom
 *     too high.
 *   - Ageing goes on in small steps, a few words with each use, so that
 *     nobody ever waits for a walk over the table.
 *
 * Saved: u32 magic, u32 counters' words, u32 fingerprints, u32 zero, u64 sum
 * of what follows, the words, the fingerprints; all little-endian.
 */
#include "sketch.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "object.h"

#define MAGIC	  0x314b534cu /* "LSK1" */
#define HEADER	  24u
#define ROWS	  4u
#define LINE	  8u /* words of a cache line */
#define WORDS_MIN (1u << 12)
#define WORDS_MAX (1u << 21)
#define GRAVE	  8u /* fingerprints that share a place */
/* A budget's objects, for the size of the tables: bytes of one. */
#define TYPICAL	  8192u
/* Uses of an object, on average, until what was counted is halved. */
#define WINDOW	  10u
#define STEPS_MAX 16u

struct sketch {
	_Atomic uint64_t added, hand;
	_Atomic uint64_t window; /* uses a round of the hand */
	uint64_t words, graves;	 /* powers of two */
	_Atomic uint64_t *counters;
	_Atomic uint32_t *prints;
};

static uint64_t
power_of_two(uint64_t n, uint64_t least, uint64_t most)
{
	uint64_t p = least;

	while (p < n && p < most)
		p *= 2;
	return p;
}

struct sketch *
sketch_new(uint64_t budget)
{
	struct sketch *s = calloc(1, sizeof(*s));
	uint64_t objects = budget / TYPICAL;

	if (!s)
		return NULL;
	s->words = power_of_two(objects / 2, WORDS_MIN, WORDS_MAX);
	s->graves = s->words / 2;
	s->counters = calloc(s->words, sizeof(*s->counters));
	s->prints = calloc(s->graves, sizeof(*s->prints));
	sketch_remember(s, 0);
	if (s->counters && s->prints)
		return s;
	sketch_free(s);
	return NULL;
}

void
sketch_free(struct sketch *s)
{
	if (!s)
		return;
	free(s->counters);
	free(s->prints);
	free(s);
}

void
sketch_remember(struct sketch *s, uint64_t objects)
{
	uint64_t least = s->words / STEPS_MAX;
	uint64_t n = objects > 1024 ? objects * WINDOW : 1024 * WINDOW;

	atomic_store_explicit(
	    &s->window, n > least ? n : least, memory_order_relaxed);
}

/* ---- counters ------------------------------------------------------------ */

static uint64_t
mix(uint64_t hash)
{
	hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

/* One counter a row: two words of the line are a row's. */
static _Atomic uint64_t *
counter(const struct sketch *s, uint64_t mixed, unsigned row, unsigned *shift)
{
	uint64_t line = (mixed >> 20) & (s->words / LINE - 1);
	unsigned pick = mixed >> (row * 5) & 31;

	*shift = (pick >> 1) * 4;
	return &s->counters[line * LINE + row * 2 + (pick & 1)];
}

/* Half of what is in some words is forgotten. */
static void
age(struct sketch *s)
{
	uint64_t window =
	    atomic_load_explicit(&s->window, memory_order_relaxed);
	uint64_t n =
	    atomic_fetch_add_explicit(&s->added, 1, memory_order_relaxed);
	/* The same share of the table for every share of the window. */
	uint64_t steps = n % window * s->words / window;
	uint64_t until = (n % window + 1) * s->words / window;

	for (; steps < until; steps++) {
		uint64_t at = atomic_fetch_add_explicit(
		    &s->hand, 1, memory_order_relaxed);
		_Atomic uint64_t *word = &s->counters[at & (s->words - 1)];
		uint64_t v = atomic_load_explicit(word, memory_order_relaxed);

		if (v)
			atomic_store_explicit(word,
			    v >> 1 & 0x7777777777777777u, memory_order_relaxed);
	}
}

void
sketch_prefetch(const struct sketch *s, uint64_t hash)
{
	unsigned shift;

	/* All of a key's counters are in one line. */
	__builtin_prefetch(counter(s, mix(hash), 0, &shift));
}

void
sketch_add(struct sketch *s, uint64_t hash)
{
	uint64_t mixed = mix(hash);

	for (unsigned row = 0; row < ROWS; row++) {
		unsigned shift;
		_Atomic uint64_t *word = counter(s, mixed, row, &shift);
		uint64_t v = atomic_load_explicit(word, memory_order_relaxed);

		if ((v >> shift & 15) < SKETCH_TOP)
			atomic_store_explicit(
			    word, v + (1ull << shift), memory_order_relaxed);
	}
	age(s);
}

unsigned
sketch_count(const struct sketch *s, uint64_t hash)
{
	uint64_t mixed = mix(hash);
	unsigned least = SKETCH_TOP;

	for (unsigned row = 0; row < ROWS; row++) {
		unsigned shift, n;
		_Atomic uint64_t *word = counter(s, mixed, row, &shift);

		n = atomic_load_explicit(word, memory_order_relaxed) >> shift &
		    15;
		least = n < least ? n : least;
	}
	return least;
}

/* ---- those that went ----------------------------------------------------- */

static uint32_t
print_of(uint64_t mixed)
{
	return (uint32_t)(mixed >> 32) | 1;
}

static _Atomic uint32_t *
grave(const struct sketch *s, uint64_t mixed)
{
	return &s->prints[(mixed & (s->graves / GRAVE - 1)) * GRAVE];
}

/* The newest first; the eighth is forgotten. */
void
sketch_bury(struct sketch *s, uint64_t hash)
{
	uint64_t mixed = mix(hash);
	_Atomic uint32_t *at = grave(s, mixed);

	for (unsigned i = GRAVE - 1; i > 0; i--)
		atomic_store_explicit(&at[i],
		    atomic_load_explicit(&at[i - 1], memory_order_relaxed),
		    memory_order_relaxed);
	atomic_store_explicit(at, print_of(mixed), memory_order_relaxed);
}

bool
sketch_buried(const struct sketch *s, uint64_t hash)
{
	uint64_t mixed = mix(hash);
	_Atomic uint32_t *at = grave(s, mixed);

	for (unsigned i = 0; i < GRAVE; i++)
		if (atomic_load_explicit(&at[i], memory_order_relaxed) ==
		    print_of(mixed))
			return true;
	return false;
}

/* ---- over a restart ------------------------------------------------------ */

static void
put32(char *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++, v >>= 8)
		p[i] = (char)(v & 0xff);
}

static uint32_t
get32(const char *p)
{
	uint32_t v = 0;

	for (unsigned i = 4; i-- > 0;)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

size_t
sketch_size(const struct sketch *s)
{
	return HEADER + s->words * 8 + s->graves * 4;
}

void
sketch_save(const struct sketch *s, char *out)
{
	char *at = out + HEADER;

	memset(out, 0, HEADER);
	put32(out, MAGIC);
	put32(out + 4, (uint32_t)s->words);
	put32(out + 8, (uint32_t)s->graves);
	for (uint64_t i = 0; i < s->words; i++, at += 8)
		object_put64(at, s->counters[i]);
	for (uint64_t i = 0; i < s->graves; i++, at += 4)
		put32(at, s->prints[i]);
	object_put64(
	    out + 16, object_sum(out + HEADER, sketch_size(s) - HEADER, MAGIC));
}

bool
sketch_load(struct sketch *s, struct bytes in)
{
	const char *at = in.p + HEADER;

	if (in.n != sketch_size(s) || get32(in.p) != MAGIC ||
	    get32(in.p + 4) != s->words || get32(in.p + 8) != s->graves ||
	    object_sum(at, in.n - HEADER, MAGIC) != object_get64(in.p + 16))
		return false;
	for (uint64_t i = 0; i < s->words; i++, at += 8)
		atomic_store_explicit(
		    &s->counters[i], object_get64(at), memory_order_relaxed);
	for (uint64_t i = 0; i < s->graves; i++, at += 4)
		atomic_store_explicit(
		    &s->prints[i], get32(at), memory_order_relaxed);
	return true;
}
