/*
 * Threads that are joined. Each has a name, which `top -H` and gdb show, and
 * takes no signals: those are the main thread's.
 */
#ifndef LARDER_THREAD_H
#define LARDER_THREAD_H

#include <pthread.h>

/* name: of 15 bytes at most. 0 or LARDER_NOMEM: no memory for one, or there are
 * too many. */
int thread_start(
    pthread_t *out, const char *name, void *(*run)(void *), void *arg);

#endif
