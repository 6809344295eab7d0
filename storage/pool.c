/*
 * The pool: first in, first out; every job that was added is run.
 */
#include "pool.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "larder/clock.h"
#include "larder/thread.h"

/* Those who wait for these threads wait for a disk, or for what is large; they
 * are not to hold up a worker that shares their processor. */
#define NICE 5

static void
be_nice(void)
{
	struct sched_param none = {0};

	/* Where one of these is refused it is only less polite. */
	(void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

/* What this thread had had of the processor when it last gave it away, and
 * until when it cannot have had it for long enough since. */
static _Thread_local int64_t yielded_us, due_us;

/* A kernel that does not preempt by itself lets who has the processor keep it
 * until its tick, 4 ms or more. */
void
pool_yield(void)
{
	(void)sched_yield();
	yielded_us = clock_cpu_us();
	due_us = 0;
}

void
pool_pause(unsigned turn_us)
{
	int64_t now = clock_mono_us(), left;

	/* What it waited for a disk it did not have the processor; but to ask
	 * for that is a system call. */
	if (now < due_us)
		return;
	left = turn_us - (clock_cpu_us() - yielded_us);
	if (left > 0)
		due_us = now + left;
	else
		pool_yield();
}

static void *
work(void *arg)
{
	struct pool *pool = arg;
	struct frame_coder coder = {0};

	be_nice();
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct list *node = list_shift(&pool->jobs);

		if (node) {
			struct job *job = container_of(node, struct job, node);

			pthread_mutex_unlock(&pool->lock);
			job->run(job, &coder);
			pthread_mutex_lock(&pool->lock);
		} else if (pool->ending) {
			break;
		} else {
			pthread_cond_wait(&pool->wake, &pool->lock);
		}
	}
	pthread_mutex_unlock(&pool->lock);
	frame_release(&coder);
	return NULL;
}

void
pool_init(struct pool *pool)
{
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake, NULL);
	list_init(&pool->jobs);
	pool->count = 0;
	pool->ending = false;
}

int
pool_start(struct pool *pool, unsigned threads, const char *name)
{
	check(threads <= POOL_MAX);
	while (pool->count < threads) {
		int err =
		    thread_start(&pool->threads[pool->count], name, work, pool);

		if (err)
			return err;
		pool->count++;
	}
	return 0;
}

void
pool_add(struct pool *pool, struct job *job)
{
	pthread_mutex_lock(&pool->lock);
	list_append(&pool->jobs, &job->node);
	pthread_cond_signal(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
}

void
pool_stop(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	while (pool->count)
		pthread_join(pool->threads[--pool->count], NULL);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->wake);
}
