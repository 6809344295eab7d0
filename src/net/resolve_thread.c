/*
 * A job belongs to its thread and to the loop at once; who leaves last frees
 * it. The loop may leave before the answer is there (resolve_job_drop), and
 * its mailbox with it: the thread posts only while `wanted`, under the lock.
 *
 * Lock order: the job's lock, then the mailbox's.
 */
#include "net/resolve_internal.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"

/* In the whole process: a dead name service must not collect threads. */
#define THREADS_MAX 16
#define STACK_SIZE  ((size_t)512 * 1024)

static atomic_int threads;

struct resolve_job {
	pthread_mutex_t lock;
	bool wanted, ended; /* by the loop; of the thread */
	struct mailbox_note note;
	resolve_system_fn *system;
	resolve_job_fn *fn;
	void *arg;
	int err;
	struct resolve_ips ips;
	char name[RESOLVE_NAME];
};

static void
free_job(struct resolve_job *job)
{
	pthread_mutex_destroy(&job->lock);
	free(job);
}

static int
error_of(int result)
{
	switch (result) {
	case 0:
		return 0;
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY:
		return LARDER_NONAME;
	case EAI_AGAIN:
		return LARDER_TIMEOUT;
	default:
		return LARDER_IO;
	}
}

static void
ask(struct resolve_job *job)
{
	const struct addrinfo hints = {
	    .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found = NULL;

	job->err = error_of(job->system(job->name, NULL, &hints, &found));
	if (job->err)
		return;
	for (struct addrinfo *ai = found; ai; ai = ai->ai_next) {
		union addr a;

		if (ai->ai_addrlen > sizeof(a))
			continue;
		memcpy(&a, ai->ai_addr, ai->ai_addrlen);
		if (a.sa.sa_family == AF_INET)
			resolve_ips_add4(&job->ips, &a.v4.sin_addr);
		else if (a.sa.sa_family == AF_INET6)
			resolve_ips_add6(&job->ips, &a.v6.sin6_addr);
	}
	freeaddrinfo(found);
	if (job->ips.n4 + job->ips.n6 == 0)
		job->err = LARDER_NONAME;
}

static void *
run(void *arg)
{
	struct resolve_job *job = arg;
	bool wanted;

	(void)pthread_setname_np(pthread_self(), "resolver");
	ask(job);
	atomic_fetch_sub(&threads, 1);
	pthread_mutex_lock(&job->lock);
	job->ended = true;
	wanted = job->wanted;
	if (wanted)
		mailbox_post(&job->note);
	pthread_mutex_unlock(&job->lock);
	if (!wanted)
		free_job(job);
	return NULL;
}

static void
on_done(void *arg)
{
	struct resolve_job *job = arg;

	/* The thread is about to let go of the lock under which it posted. */
	pthread_mutex_lock(&job->lock);
	pthread_mutex_unlock(&job->lock);
	job->fn(job->arg, job->err, &job->ips);
	free_job(job);
}

static int
start_thread(struct resolve_job *job)
{
	pthread_attr_t attr;
	sigset_t all, old;
	pthread_t thread;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	error = pthread_create(&thread, &attr, run, job);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return error;
}

int
resolve_job_start(struct resolve_job **out, struct mailbox *box,
    resolve_system_fn *system, const char *name, resolve_job_fn *fn, void *arg)
{
	struct resolve_job *job;

	*out = NULL;
	if (atomic_fetch_add(&threads, 1) >= THREADS_MAX) {
		atomic_fetch_sub(&threads, 1);
		return LARDER_IO;
	}
	job = calloc(1, sizeof(*job));
	if (job == NULL) {
		atomic_fetch_sub(&threads, 1);
		return LARDER_NOMEM;
	}
	pthread_mutex_init(&job->lock, NULL);
	job->wanted = true;
	mailbox_note_init(&job->note, box, on_done, job);
	job->system = system;
	job->fn = fn;
	job->arg = arg;
	memcpy(job->name, name, strlen(name) + 1);
	if (start_thread(job) != 0) {
		atomic_fetch_sub(&threads, 1);
		free_job(job);
		return LARDER_IO;
	}
	*out = job;
	return 0;
}

void
resolve_job_drop(struct resolve_job **out)
{
	struct resolve_job *job = *out;
	bool ended;

	*out = NULL;
	if (job == NULL)
		return;
	pthread_mutex_lock(&job->lock);
	job->wanted = false;
	ended = job->ended;
	pthread_mutex_unlock(&job->lock);
	if (!ended)
		return;
	mailbox_cancel(&job->note);
	free_job(job);
}
