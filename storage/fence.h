/*
 * LMDB reads its file by a map and believes it: a page that cannot be read, or
 * that rotted, ends the process by SIGBUS, SIGSEGV or abort(). Between
 * fence_enter() and fence_leave() these come back instead:
 *
 *	if (sigsetjmp(*fence_enter(), 0) == 0)
 *		rc = mdb_get(...);
 *	else
 *		rc = MDB_CORRUPTED;
 *	fence_leave();
 *
 * What the call held it holds for ever: the environment is not to be used for
 * writing again. Not to be nested.
 */
#ifndef STORAGE_FENCE_H
#define STORAGE_FENCE_H

#include <setjmp.h>

/* Before all others, and whenever somebody else may have taken the signals;
 * any thread, idempotent. */
void fence_install(void);
sigjmp_buf *fence_enter(void);
void fence_leave(void);
/* Goes back to where this thread entered; returns where it has not. For LMDB's
 * asserts. */
void fence_trip(void);

#endif
