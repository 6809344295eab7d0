/*
 * Who may take how much: client connections in all and of one address, counted
 * over all workers. A fixed table; no allocation and no lock a connection.
 *
 * A client's address is counted in GUARD_ROWS places, of which the least tells:
 * a collision can only make it look as if the client held more than it does,
 * never less, and to be refused by mistake it would have to collide with heavy
 * clients in every row.
 *
 * Who may give up idle connections says how many it has; others ask it to,
 * when they have none of their own and someone new comes.
 *
 * Lock order: none is taken here; posting a note takes its mailbox's.
 */
#ifndef PROXY_GUARD_H
#define PROXY_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "conf/conf.h"
#include "net/addr.h"
#include "net/mailbox.h"

#define GUARD_ROWS    4u
#define GUARD_COLUMNS 4096u

struct guard;

enum guard_verdict {
	GUARD_ADMITTED,
	GUARD_FULL,  /* limits.max_connections */
	GUARD_SHARE, /* limits.client_share */
};

/* What one connection holds; in the struct of who holds it. */
struct guard_place {
	bool held;
	bool counted; /* its address, too: not of Unix sockets */
	uint16_t column[GUARD_ROWS];
};

/* For so many workers. LARDER_NOMEM. */
int guard_new(struct guard **out, unsigned workers);
void guard_free(struct guard **guard);

/* How many client connections so many descriptors are enough for. Each may
 * need one for itself, one for its origin and one for a file. Pure. */
unsigned guard_affordable(rlim_t descriptors, unsigned workers);

/* New limits, for who comes from now on; says so in the log if there are not
 * descriptors enough. Not from two threads at once. */
void guard_configure(struct guard *guard, const struct conf *conf);

/* A place for a connection from peer, or why not. with_debt: a few beyond the
 * limit, because others are giving up theirs at this moment. */
enum guard_verdict guard_enter(struct guard *guard, const union addr *peer,
    bool with_debt, struct guard_place *place);
void guard_leave(struct guard *guard, struct guard_place *place);

/* The worker's: posted when it is asked to give some up. Before it runs. */
void guard_set_note(
    struct guard *guard, unsigned worker, struct mailbox_note *note);
/* It has n idle client connections now, the first of them since then. */
void guard_set_idle(
    struct guard *guard, unsigned worker, unsigned n, int64_t since_ms);
/* The worker that has the oldest of them, or -1: nobody has any. */
int guard_oldest(const struct guard *guard);
/* Asks it to give one up: for a place, or for a descriptor. */
void guard_ask(struct guard *guard, unsigned worker, bool for_descriptor);
/* How many the worker is asked for since the last call; and whether it is for
 * descriptors: else those who left by themselves may have been enough. */
unsigned guard_asked(
    struct guard *guard, unsigned worker, bool *for_descriptor);
/* Are there more than there may be, until some are given up? */
bool guard_is_over(const struct guard *guard);

/* True once a minute over all workers: for what may repeat in the log. */
bool guard_may_log(struct guard *guard, int64_t now_ms);

#endif
