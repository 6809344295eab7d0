/*
 * "did you mean ...": for mistyped words. Pure.
 */
#ifndef CONF_SUGGEST_H
#define CONF_SUGGEST_H

#include <stddef.h>

/* The one of `words` that is nearest to `word`, or NULL when none is near
 * enough to be meant. */
const char *suggest(const char *word, const char *const *words, size_t count);

#endif
