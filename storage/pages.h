/*
 * LMDB's file, looked through before LMDB is let at it: it believes what it
 * finds there, and would write through a pointer that rotted.
 */
#ifndef STORAGE_PAGES_H
#define STORAGE_PAGES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "larder/err.h"

/*
 * Both meta pages, and that the file is as long as they say; then, where it has
 * no more than `most` bytes, every page of the newest snapshot: its links, its
 * order, and that no page is used twice or is free as well. Reads through the
 * descriptor, never through a map. 0, LARDER_DAMAGED, LARDER_IO, LARDER_NOMEM.
 * May block. An empty file is a new one: 0.
 */
int pages_check(int fd, uint64_t most);
/* All of the snapshot of that number, which a reader must pin; until *stop:
 * LARDER_CLOSED. LARDER_AGAIN: it was not pinned in time. */
int pages_check_snapshot(int fd, uint64_t txn, const _Atomic bool *stop);

#endif
