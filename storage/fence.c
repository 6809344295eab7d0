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
static pthread_once_t once = PTHREAD_ONCE_INIT;
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

static void
install(void)
{
	struct sigaction action = {.sa_sigaction = on_fault,
	    /* It leaves by a jump: the signal must not stay blocked. */
	    .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};

	sigemptyset(&action.sa_mask);
	for (unsigned i = 0; i < 2; i++)
		sigaction(signals[i], &action, &before[i]);
}

void
fence_install(void)
{
	pthread_once(&once, install);
}

sigjmp_buf *
fence_enter(void)
{
	inside = 1;
	return &here;
}

void
fence_leave(void)
{
	inside = 0;
}
