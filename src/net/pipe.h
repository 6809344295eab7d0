/*
 * Pipes, by which bytes go from one socket to another without being copied
 * (splice(2)). A loop's own: lent for as long as something lies in one.
 */
#ifndef NET_PIPE_H
#define NET_PIPE_H

#include <stddef.h>

/* Lent at a time at most: each takes two descriptors. */
#define PIPES_MAX  32u
/* Kept for the next. */
#define PIPES_IDLE 4u

struct pipe {
	int in, out;
	size_t size; /* bytes that it holds at most */
	size_t held; /* bytes in it */
};

struct pipes {
	struct pipe *idle[PIPES_IDLE];
	unsigned idle_count, lent;
};

/* An empty one; NULL: there is none to be had, now. */
struct pipe *pipe_get(struct pipes *pipes);
/* Takes it back; what is left in it is lost. NULL is no error. */
void pipe_put(struct pipes *pipes, struct pipe **pipe);
/* None is lent any more. */
void pipes_release(struct pipes *pipes);

#endif
