/*
 * The dictionaries, digested for zstd.
 *
 * What always holds: what was made is never changed or freed, so that threads
 * share it without a lock; where memory was short it is tried anew.
 */
#include "dictionary.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <zstd.h>

#include "larder/check.h"

/* Above these a few bytes of a front are gained for three times the work, and
 * a twentieth of a body for twice as much. */
static const int levels[DICTIONARY_KINDS] = {4, 3};

/* By number; none has the number 0. */
static const struct dictionary_text *const texts[] = {NULL, dictionary_1};

struct digest {
	_Atomic(const ZSTD_CDict *) press;
	_Atomic(const ZSTD_DDict *) unpress;
};

static struct digest digests[ARRAY_SIZE(texts)][DICTIONARY_KINDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

bool
dictionary_exists(unsigned number)
{
	return number > 0 && number < ARRAY_SIZE(texts);
}

/* All of it in one piece, or NULL. */
static char *
join(const struct dictionary_text *t, size_t *n)
{
	char *p, *at;

	*n = 0;
	for (size_t i = 0; i < t->count; i++)
		*n += t->pieces[i].n;
	p = at = malloc(*n);
	for (size_t i = 0; p && i < t->count; i++) {
		memcpy(at, t->pieces[i].p, t->pieces[i].n);
		at += t->pieces[i].n;
	}
	return p;
}

/* One of the two, if it is not there yet. */
static void
digest(unsigned number, enum dictionary_kind kind, bool press)
{
	struct digest *d = &digests[number][kind];
	size_t n;
	char *text;

	pthread_mutex_lock(&lock);
	text = join(&texts[number][kind], &n);
	if (text && press && !d->press)
		d->press = ZSTD_createCDict(text, n, levels[kind]);
	if (text && !press && !d->unpress)
		d->unpress = ZSTD_createDDict(text, n);
	pthread_mutex_unlock(&lock);
	free(text);
}

const ZSTD_CDict *
dictionary_to_press(unsigned number, enum dictionary_kind kind)
{
	if (!dictionary_exists(number))
		return NULL;
	if (!digests[number][kind].press)
		digest(number, kind, true);
	return digests[number][kind].press;
}

const ZSTD_DDict *
dictionary_to_unpress(unsigned number, enum dictionary_kind kind)
{
	if (!dictionary_exists(number))
		return NULL;
	if (!digests[number][kind].unpress)
		digest(number, kind, false);
	return digests[number][kind].unpress;
}
