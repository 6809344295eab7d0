/*
 * What else is stored under a key, decoded: for whoever has just added to it,
 * or is about to.
 */
#ifndef PROXY_AROUND_H
#define PROXY_AROUND_H

#include "cache/parts.h"
#include "larder/store.h"

/* Those of these selecting fields, newest first; found->records and *stored go
 * together, and live in the arena. Those that are damaged are left out. Never
 * empty: LARDER_ABSENT, LARDER_NOMEM, or what store_look() returns. */
int around_look(struct store_view *view, struct bytes key,
    struct bytes selecting, struct arena *arena, struct store_found *found,
    struct cache_stored **stored);

/* Which of them is this variant; -1: none. */
int around_find(const struct store_found *found, struct bytes variant);

#endif
