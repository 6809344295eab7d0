/*
 * A few threads that wait for the disk, so that others need not.
 */
#ifndef STORAGE_POOL_H
#define STORAGE_POOL_H

#include <pthread.h>

#include "frame.h"
#include "larder/list.h"

#define POOL_MAX 8u

struct job {
	struct list node;
	/* May free the job. coder is the thread's own. */
	void (*run)(struct job *job, struct frame_coder *coder);
};

struct pool {
	pthread_mutex_t lock; /* taken last of all */
	pthread_cond_t wake;
	struct list jobs;
	pthread_t threads[POOL_MAX];
	unsigned count;
	bool ending;
};

void pool_init(struct pool *pool);
/* name: as thread_start() takes it. 0 or LARDER_NOMEM. */
int pool_start(struct pool *pool, unsigned threads, const char *name);
void pool_add(struct pool *pool, struct job *job);
/* For who works in the background, between two steps: whoever else waits for
 * the processor has it now. */
void pool_yield(void);
/* The same, once this thread has had it for so many microseconds: for steps
 * that are small. */
void pool_pause(unsigned turn_us);
/* All jobs are done when it returns. Also for one that was not started. */
void pool_stop(struct pool *pool);

#endif
