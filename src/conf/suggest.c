/*
 * The distance counts insertions, deletions, substitutions and swaps of
 * neighbours (optimal string alignment): these are what typing gets wrong.
 */
#include "conf/suggest.h"

#include <string.h>

/* Longer words are not looked at: no word of ours is. */
#define WORD_MAX 32u

static unsigned
least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned
distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];

	for (size_t i = 0; i <= na; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		for (size_t j = 1; j <= nb; j++) {
			unsigned cost = a[i - 1] != b[j - 1];

			d[i][j] = least(least(d[i - 1][j] + 1, d[i][j - 1] + 1),
			    d[i - 1][j - 1] + cost);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[na][nb];
}

const char *
suggest(const char *word, const char *const *words, size_t count)
{
	const char *best = NULL;
	size_t n = strlen(word);
	/* A third of it may be wrong, and one letter always. */
	unsigned bound = (unsigned)(n / 3) + 2;

	if (n == 0 || n > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t m = strlen(words[i]);
		unsigned d;

		if (m > WORD_MAX)
			continue;
		d = distance(word, n, words[i], m);
		/* Nothing in common is no suggestion, however short. */
		if (d < bound && d < m) {
			best = words[i];
			bound = d;
		}
	}
	return best;
}
