/*
 * Small parts that lie next to each other become one on disk, behind the
 * clients' backs and without the origin: a copy from blob to blob, a bounded
 * amount of work a loop turn. It is given up when what it copies changes.
 */
#ifndef PROXY_SPLICE_H
#define PROXY_SPLICE_H

#include "larder/bytes.h"

struct worker;

/*
 * What is stored under key as the variant `part` has just come. If others are
 * to be joined with it, that is done in its turn; both are copied.
 */
void splice_begin(struct worker *w, struct bytes key, struct bytes part);

/* When the worker is to end. */
void splices_abort_all(struct worker *w);

#endif
