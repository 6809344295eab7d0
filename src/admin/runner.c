#include "admin/runner.h"

#include <pthread.h>
#include <stdlib.h>

#include "larder/check.h"
#include "larder/err.h"
#include "larder/thread.h"
#include "net/mailbox.h"

/* So many that a purge does not wait for a verify and a gc. */
#define THREADS 3u

struct runner {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list queue;    /* under lock */
	struct list finished; /* under lock */
	_Atomic bool stop;
	pthread_t threads[THREADS];
	unsigned started;
	struct store *store;
	struct mailbox *box;
	struct mailbox_note note; /* something is finished */
};

static void
run(struct runner *r, struct runner_task *task)
{
	struct job_env env = {.store = r->store,
	    .conf = task->conf,
	    .flights = task->flights,
	    .stop = &r->stop};

	task->rc = task->job(&env, &task->args, &task->answer);
	pthread_mutex_lock(&r->lock);
	list_append(&r->finished, &task->node);
	pthread_mutex_unlock(&r->lock);
	mailbox_post(&r->note);
}

static void *
thread_main(void *arg)
{
	struct runner *r = arg;

	pthread_mutex_lock(&r->lock);
	while (!atomic_load(&r->stop)) {
		struct list *node = list_shift(&r->queue);

		if (node == NULL) {
			pthread_cond_wait(&r->work, &r->lock);
			continue;
		}
		pthread_mutex_unlock(&r->lock);
		run(r, container_of(node, struct runner_task, node));
		pthread_mutex_lock(&r->lock);
	}
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static void
on_finished(void *arg)
{
	struct runner *r = arg;
	struct list done, *node;

	list_init(&done);
	pthread_mutex_lock(&r->lock);
	list_splice(&done, &r->finished);
	pthread_mutex_unlock(&r->lock);
	while ((node = list_shift(&done)) != NULL) {
		struct runner_task *task =
		    container_of(node, struct runner_task, node);

		task->done(task);
	}
}

int
runner_new(struct runner **out, struct loop *loop, struct store *store)
{
	struct runner *r = calloc(1, sizeof(*r));
	int rc = LARDER_NOMEM;

	*out = NULL;
	if (r == NULL)
		return LARDER_NOMEM;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->work, NULL);
	list_init(&r->queue);
	list_init(&r->finished);
	r->store = store;
	rc = mailbox_new(&r->box, loop);
	if (rc == 0) {
		mailbox_note_init(&r->note, r->box, on_finished, r);
		while (r->started < THREADS &&
		       thread_start(&r->threads[r->started], "admin",
			   thread_main, r) == 0)
			r->started++;
		rc = r->started == THREADS ? 0 : LARDER_IO;
	}
	if (rc == 0)
		*out = r;
	else
		runner_free(&r);
	return rc;
}

void
runner_submit(struct runner *r, struct runner_task *task)
{
	task->answer = NULL;
	task->rc = 0;
	list_init(&task->node);
	pthread_mutex_lock(&r->lock);
	list_append(&r->queue, &task->node);
	pthread_cond_signal(&r->work);
	pthread_mutex_unlock(&r->lock);
}

void
runner_free(struct runner **runner)
{
	struct runner *r = *runner;

	*runner = NULL;
	if (r == NULL)
		return;
	atomic_store(&r->stop, true);
	pthread_mutex_lock(&r->lock);
	pthread_cond_broadcast(&r->work);
	pthread_mutex_unlock(&r->lock);
	for (unsigned i = 0; i < r->started; i++)
		pthread_join(r->threads[i], NULL);
	list_each (node, &r->queue)
		container_of(node, struct runner_task, node)->rc =
		    LARDER_CLOSED;
	list_splice(&r->finished, &r->queue);
	on_finished(r);
	if (r->box) {
		mailbox_cancel(&r->note);
		mailbox_free(&r->box);
	}
	pthread_cond_destroy(&r->work);
	pthread_mutex_destroy(&r->lock);
	free(r);
}
