/*
 * A client's connection: reads heads, one at a time, and makes an exchange of
 * each; while that lasts, events go to it. In between it holds no buffer.
 */
#ifndef PROXY_CLIENT_H
#define PROXY_CLIENT_H

#include "larder/list.h"
#include "net/addr.h"
#include "net/conn.h"
#include "proxy/guard.h"

struct exchange;
struct worker;

#define CLIENT_MAGIC 0x636c6965u

struct client {
	uint32_t magic;
	struct loop_garbage garbage;
	struct list node; /* in worker.clients */
	struct worker *w;
	struct conn *conn;
	struct exchange *exchange;  /* NULL: waiting for a request */
	size_t scanned;		    /* of the head that is being read */
	bool heading;		    /* the header timeout runs */
	bool asked;		    /* there was a request */
	bool ended;		    /* it will send nothing more */
	enum guard_verdict verdict; /* but for ADMITTED: it gets one answer */
	struct guard_place place;
	bool admin;	  /* on an address of admin_listen */
	struct list idle; /* in worker.idle while nothing of a request came */
	int64_t idle_since;
	union addr peer;
	uint64_t tally_hash; /* see tally_at_client() */
};

/*
 * Takes fd. Who finds no place is let in all the same, if few are, for one
 * short answer: 503 or 429. Says so and closes it when it cannot.
 */
void client_new(struct worker *w, int fd, const union addr *peer, bool admin);

/* The exchange is over and released: on to the next request, or the end. */
void client_next(struct client *client, bool keep);

/* The exchange is over, and the connection must not look as if the answer had
 * ended well: reset. */
void client_reset(struct client *client);

/* Gives the connection away (to a tunnel), and its place; the client ends. */
struct conn *client_take_conn(struct client *client, struct guard_place *place);

/* Closes the one that has waited longest for a request; false: none waits. */
bool clients_give_up_idle(struct worker *w);

/* Those that wait for another request, when the worker drains; whose first one
 * or next one may be on its way has a moment for it. */
void clients_close_idle(struct worker *w);
void clients_abort_all(struct worker *w);

#endif
