/*
 * What is asked of larder itself: its page and what belongs to it. Where
 * requests for it come in is decided here (local.c); what they are answered is
 * the admin room's business, behind a door that it opens with
 * proxy_set_door().
 *
 *   ROUTE ── local_step() ── door->ask() ──> LOCAL_ANSWER ──> DELIVER
 *                                │
 *                                └─> LOCAL_TAKE ── door->take(): the
 *                                    connection is the admin room's
 */
#ifndef PROXY_LOCAL_H
#define PROXY_LOCAL_H

#include "proxy/exchange.h"

struct local_request {
	const struct http_head *head;
	struct bytes path;  /* without its query */
	struct bytes query; /* behind the "?"; n == 0: none */
	/* Of its Host: lower case, without brackets; n == 0: there is none */
	struct bytes host;
	bool host_is_address; /* an IP literal */
	bool has_body;
	/* To an address of admin_listen; and of these, to a Unix socket. */
	bool admin, admin_unix;
	bool draining;
	const union addr *here; /* the address that the client connected to */
	const struct conf *conf;
	struct arena *arena; /* for the answer; lives until it is sent */
};

enum local_verdict {
	LOCAL_UNKNOWN, /* there is no such thing */
	LOCAL_ANSWER,  /* *answer */
	LOCAL_TAKE,    /* *taken: the connection goes to take() */
};

struct local_door {
	/* In any worker's thread, must not block. */
	enum local_verdict (*ask)(void *arg,
	    const struct local_request *request, struct own_answer *answer,
	    void **taken);
	/* With what ask() left in *taken; the callee owns both. fd is
	 * non-blocking. */
	void (*take)(void *arg, void *taken, int fd);
	void *arg;
};

const struct local_door *proxy_door(struct proxy *proxy);

#endif
