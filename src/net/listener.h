/*
 * Accepting. Sockets are opened and bound by the main thread, so that a wrong
 * address is known before anything starts; each worker accepts on its own.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "net/addr.h"

struct loop;
struct listener;

/*
 * A bound, listening, non-blocking socket: TCP with SO_REUSEADDR, SO_REUSEPORT
 * and, for v6, IPV6_V6ONLY; a Unix socket replaces a stale one that nobody
 * answers on. fd, or LARDER_ACCESS, LARDER_IO (errno) with a sentence in why.
 */
int listener_socket(const union addr *address, char *why, size_t why_size);

/* What listener_socket() sets for the connections to come, on a listening
 * socket that another has opened. False: errno says why not. */
bool listener_tune(int fd, const union addr *address);

/* fd is non-blocking, close-on-exec, with TCP_NODELAY; the callee owns it. */
typedef void listener_accept_fn(void *arg, int fd, const union addr *peer);

/* Accepts on fd (which it owns from now on; unlinking a Unix socket's path is
 * the main thread's). Several connections a turn; at EMFILE and ENFILE it
 * pauses for a moment instead of spinning, and says so once. */
int listener_new(struct listener **out, struct loop *loop, int fd,
    listener_accept_fn *on_accept, void *arg);
/* Called at EMFILE and ENFILE; true: some were given back, and accepting goes
 * on at once. */
typedef bool listener_starved_fn(void *arg);
void listener_on_starved(
    struct listener *listener, listener_starved_fn *starved);
/* Takes what still waits in the backlog, then closes. */
void listener_close(struct listener **listener);
/* Closes, and leaves that to whoever else has the socket. */
void listener_leave(struct listener **listener);

#endif
