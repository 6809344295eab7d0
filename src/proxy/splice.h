/*
 * Small parts that lie next to each other become one on disk, behind the
 * clients' backs and without the origin: a copy from blob to blob, a bounded
 * amount of work a loop turn. It is given up when what it copies changes.
 */
#ifndef PROXY_SPLICE_H
#define PROXY_SPLICE_H

#include "cache/parts.h"
#include "larder/store.h"

struct worker;

/*
 * found[at] is a part that has just been stored, with this form; stored: the
 * same, decoded. If others are to be joined with it, that begins; all that is
 * needed is copied.
 */
void splice_begin(struct worker *w, const struct store_found *found,
    const struct cache_stored *stored, unsigned at, struct bytes form);

/* When the worker is to end. */
void splices_abort_all(struct worker *w);

#endif
