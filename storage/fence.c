/*
 * Faults of a mapped file, as errors.
 *
 * What always holds: a fault outside of a fence, or in a thread that has none,
 * does what it did before.
 */
#include "fence.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

static _Thread_local sigjmp_buf here;
static _Thread_local volatile sig_atomic_t inside;
static _Thread_local bool unblocked;
static pthread_mutex_t installing = PTHREAD_MUTEX_INITIALIZER;
static const int signals[] = {SIGSEGV, SIGBUS};
static struct sigaction before[2];

void
fence_trip(void)
{
	if (!inside)
		return;
	inside = 0;
	siglongjmp(here, 1);
}

static void
on_fault(int number, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	fence_trip();
	/* Not ours: it happens again, to whom it did before. */
	for (unsigned i = 0; i < 2; i++)
		if (signals[i] == number)
			sigaction(number, &before[i], NULL);
}

void
fence_install(void)
{
	struct sigaction action = {.sa_sigaction = on_fault,
	    /* It leaves by a jump: the signal must not stay blocked. */
	    .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
	struct sigaction now;

	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&installing);
	for (unsigned i = 0; i < 2; i++) {
		sigaction(signals[i], NULL, &now);
		if (now.sa_sigaction != on_fault)
			sigaction(signals[i], &action, &before[i]);
	}
	pthread_mutex_unlock(&installing);
}

/* A thread that has them blocked would be killed by them. */
static void
unblock(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (unsigned i = 0; i < 2; i++)
		sigaddset(&set, signals[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	unblocked = true;
}

sigjmp_buf *
fence_enter(void)
{
	if (!unblocked)
		unblock();
	inside = 1;
	return &here;
}

void
fence_leave(void)
{
	inside = 0;
}
