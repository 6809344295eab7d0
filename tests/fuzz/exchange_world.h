/*
 * larder in this process and this thread, with nothing outside: its one worker
 * walks turn by turn, each connect() of it gets a socketpair, and time stands
 * still unless it is moved.
 */
#ifndef EXCHANGE_WORLD_H
#define EXCHANGE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"
#include "larder/list.h"

/* Our end of a connection whose other end is larder's. */
struct link {
	struct list node;
	int fd;	       /* -1: closed by us */
	int theirs;    /* what it was called there: may stand for another now */
	uint16_t port; /* that larder connected to; 0: a client's */
	bool reset;    /* larder ended it with a reset */
	bool aborted;  /* we ended it with a reset */
	bool ended;    /* larder said all it wanted to say */
	bool deaf;     /* we do not read for now */
	bool half;     /* we said all we wanted to say */

	char *in; /* what came */
	size_t in_n, in_size;
	char *out; /* what is to be sent */
	size_t out_n, out_size, out_sent;
	size_t out_allowed; /* how much of it may go now */
	bool close_behind;  /* and when it is out: the end */
	bool abort_behind;
};

/* Makes it all at the first call. */
void world_set_up(void);

/* A new client of larder. */
struct link *world_client(void);
/* The next connection that larder made, or NULL. */
struct link *world_accept(void);

void link_put(struct link *link, const void *p, size_t n);
void link_close(struct link *link);
void link_abort(struct link *link);
static inline struct bytes
link_input(const struct link *link)
{
	return bytes_of(link->in ? link->in : "", link->in_n);
}
void link_drop(struct link *link, size_t n);

/* Moves bytes both ways: did any? */
bool world_pump(void);
/* A turn of the worker. */
void world_turn(void);
/* Does larder wait for a thread of its store? */
bool world_is_busy(void);
/* Nothing runs in larder any more. */
bool world_is_idle(void);

/* Says on standard error what runs. */
void world_describe(void);

int64_t world_now(void); /* seconds */
/* To the next timer, at most by this. False: there was none before. */
bool world_advance(int64_t ms);

/* Frees the links; nothing is stored any more under a key that was asked for.
 */
void world_clear(void);

#endif
