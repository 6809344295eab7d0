#include "larder/thread.h"

#include <signal.h>

#include "larder/err.h"

int
thread_start(pthread_t *out, const char *name, void *(*run)(void *), void *arg)
{
	sigset_t all, before;
	int err;

	/* But for those that a thread itself is the cause of. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(out, NULL, run, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err != 0)
		return LARDER_NOMEM;
	(void)pthread_setname_np(*out, name);
	return 0;
}
