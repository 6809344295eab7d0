/*
 * The admin server: JSON over HTTP on a Unix socket, in the daemon's main
 * loop. Who may ask is decided by the mode of the socket and of its folder.
 *
 * GET /ping /version /stats /top /ls /explain, POST /purge /gc /verify /reload
 * /probe;
 * arguments in the query or, form-encoded, in the body. 200, or an error's
 * status with {"error": "..."}.
 */
#ifndef ADMIN_SERVER_H
#define ADMIN_SERVER_H

#include "admin/census.h"
#include "proxy/proxy.h"

struct loop;
struct server;

struct server_options {
	struct loop *loop;
	/* *proxy is set before the loop runs: the socket is there before the
	 * proxy's, so that who reaches the proxy reaches the server too. */
	struct proxy *const *proxy;
	struct store *store;
	const char *socket;
	struct census *census;
	/* Loads the configuration again: 0, or an error with *why, which the
	 * server frees. */
	int (*reload)(void *arg, char **why);
	void *arg;
};

/* Takes a stale socket's place, never a live one's. On failure a sentence in
 * why. The daemon's main thread's. */
int server_open(struct server **out, const struct server_options *options,
    char *why, size_t why_size);
struct runner;

/* For others' jobs. */
struct runner *server_runner(struct server *server);
/* Ends the jobs, closes all, removes the socket. Blocks for the jobs. */
void server_free(struct server **server);

#endif
