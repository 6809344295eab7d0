#include "net/pipe.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "larder/check.h"

/* What a transfer may hold (ARCHITECTURE: 256 KiB). Who has many gets less of
 * the kernel, a page or two at last: then copying is quicker. */
#define SIZE	   (256 * 1024)
#define SIZE_LEAST (64 * 1024)

static void
destroy(struct pipe *p)
{
	close(p->in);
	close(p->out);
	free(p);
}

static struct pipe *
make(void)
{
	struct pipe *p = malloc(sizeof(*p));
	int fds[2], size;

	if (p == NULL)
		return NULL;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0) {
		free(p);
		return NULL;
	}
	size = fcntl(fds[1], F_SETPIPE_SZ, SIZE);
	if (size < 0)
		size = fcntl(fds[1], F_GETPIPE_SZ);
	*p = (struct pipe){.out = fds[0], .in = fds[1], .size = (size_t)size};
	if (size >= SIZE_LEAST)
		return p;
	destroy(p);
	return NULL;
}

struct pipe *
pipe_get(struct pipes *pipes)
{
	struct pipe *p = NULL;

	if (pipes->lent == PIPES_MAX)
		return NULL;
	p = pipes->idle_count > 0 ? pipes->idle[--pipes->idle_count] : make();
	pipes->lent += p != NULL;
	return p;
}

void
pipe_put(struct pipes *pipes, struct pipe **pipe)
{
	struct pipe *p = *pipe;

	*pipe = NULL;
	if (p == NULL)
		return;
	check(pipes->lent > 0);
	pipes->lent--;
	if (p->held == 0 && pipes->idle_count < PIPES_IDLE)
		pipes->idle[pipes->idle_count++] = p;
	else
		destroy(p);
}

void
pipes_release(struct pipes *pipes)
{
	check(pipes->lent == 0);
	while (pipes->idle_count > 0)
		destroy(pipes->idle[--pipes->idle_count]);
}
