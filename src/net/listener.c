/*
 *   ACCEPTING ──> PAUSED     pause_accepting(): no descriptor, no memory
 *   PAUSED ──> ACCEPTING     on_resume(), a moment later
 *   both ──> CLOSED          listener_close(): fd is -1, freed by the sweep
 */
#include "net/listener.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/err.h"
#include "larder/log.h"
#include "net/loop.h"

/* What may wait in a client's socket before it is writable again, in bytes: it
 * bounds the kernel's memory for a slow one, and lets its progress be seen
 * well within the idle timeout. */
#define UNSENT	     (128 * 1024)
#define BACKLOG	     4096
#define BATCH	     64 /* connections a turn: others want their turn too */
#define PAUSE_MS     100
#define SAY_AGAIN_MS 60000
/* What listener_close() takes from the backlog at most. */
#define LAST_BATCH   4096

/* ---- sockets ---------------------------------------------------------- */

static int
fail(int fd, const union addr *address, char *why, size_t why_size)
{
	char text[ADDR_TEXT];
	int error = errno;

	snprintf(why, why_size, "cannot listen on %s: %s",
	    addr_format(address, text), strerrordesc_np(error));
	if (fd >= 0)
		close(fd);
	errno = error;
	return error == EACCES || error == EPERM ? LARDER_ACCESS : LARDER_IO;
}

/* Accepted sockets inherit them. */
bool
listener_tune(int fd, const union addr *address)
{
	const int on = 1;
	const int unsent = UNSENT;

	if (address->sa.sa_family == AF_UNIX)
		return true;
	return setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent,
		   sizeof(unsent)) == 0 &&
	       setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0;
}

static int
set_tcp_options(int fd, const union addr *address)
{
	const int on = 1;
	int only = address->v6.sin6_flowinfo != ADDR_DUAL;

	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		return -1;
	if (!listener_tune(fd, address))
		return -1;
	if (address->sa.sa_family != AF_INET6)
		return 0;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
}

/* A socket file that a dead process left. errno says why not. */
static bool
is_stale(const union addr *address)
{
	struct stat st;
	int fd, ok;

	if (lstat(address->un.sun_path, &st) != 0 || !S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	ok = connect(fd, &address->sa, addr_len(address));
	if (ok != 0 && errno == ECONNREFUSED) {
		close(fd);
		return true;
	}
	close(fd);
	errno = EADDRINUSE;
	return false;
}

static int
bind_unix(int fd, const union addr *address)
{
	if (bind(fd, &address->sa, addr_len(address)) == 0)
		return 0;
	if (errno != EADDRINUSE || !is_stale(address))
		return -1;
	if (unlink(address->un.sun_path) != 0)
		return -1;
	return bind(fd, &address->sa, addr_len(address));
}

int
listener_socket(const union addr *address, char *why, size_t why_size)
{
	const int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
	union addr plain = *address;
	int family = address->sa.sa_family;
	int fd = socket(family, type, 0);

	if (fd < 0 && errno == EAFNOSUPPORT && family == AF_INET6 &&
	    address->v6.sin6_flowinfo == ADDR_DUAL) {
		/* A kernel without v6: every address is every v4 address. */
		memset(&plain, 0, sizeof(plain));
		plain.v4.sin_family = AF_INET;
		plain.v4.sin_port = address->v6.sin6_port;
		return listener_socket(&plain, why, why_size);
	}
	if (fd < 0)
		return fail(fd, address, why, why_size);
	if (family == AF_UNIX) {
		if (bind_unix(fd, address) != 0)
			return fail(fd, address, why, why_size);
	} else {
		if (set_tcp_options(fd, address) != 0)
			return fail(fd, address, why, why_size);
		if (family == AF_INET6)
			plain.v6.sin6_flowinfo = 0;
		if (bind(fd, &plain.sa, addr_len(&plain)) != 0)
			return fail(fd, address, why, why_size);
	}
	if (listen(fd, BACKLOG) != 0)
		return fail(fd, address, why, why_size);
	return fd;
}

/* ---- accepting -------------------------------------------------------- */

struct listener {
	struct loop_garbage garbage;
	struct loop *loop;
	int fd; /* -1: closed */
	struct event *event;
	struct loop_timer resume;
	bool starved; /* it was said that descriptors or memory ran out */
	int64_t said; /* when; 0: never */
	listener_accept_fn *on_accept;
	listener_starved_fn *on_starved; /* NULL: nobody can help */
	void *arg;
};

static void
pause_accepting(struct listener *l)
{
	int64_t now = loop_mono_ms(l->loop);

	/* The backlog keeps the listener readable: without a pause the loop
	 * would spin on it. */
	event_del(l->event);
	loop_timer_start(&l->resume, PAUSE_MS);
	/* When it goes on for a moment only, that is no news. */
	if (l->starved || (l->said && now - l->said < SAY_AGAIN_MS))
		return;
	l->starved = true;
	l->said = now;
	log_warn("accepting pauses");
}

static void
on_resume(void *arg)
{
	struct listener *l = arg;

	if (event_add(l->event, NULL) != 0)
		loop_timer_start(&l->resume, PAUSE_MS);
}

/* Whether there may be more. */
static bool
accept_one(struct listener *l)
{
	union addr peer;
	socklen_t len = sizeof(peer);
	int fd;

	memset(&peer, 0, sizeof(peer));
	fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		if (l->starved) {
			l->starved = false;
			log_info("accepting goes on");
		}
		l->on_accept(l->arg, fd, &peer);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
		if (l->on_starved != NULL && l->on_starved(l->arg))
			return true;
		pause_accepting(l);
		return false;
	case ENOBUFS:
	case ENOMEM:
		pause_accepting(l);
		return false;
	case EBADF:
	case EINVAL:
	case ENOTSOCK:
	case EOPNOTSUPP:
		log_error("accepting failed");
		event_del(l->event);
		return false;
	default:
		/* The connection's own error: accept(2) hands out those that
		 * are pending on it. */
		return true;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	/* on_accept may close the listener. */
	for (int i = 0; i < BATCH && l->fd >= 0; i++)
		if (!accept_one(l))
			return;
}

int
listener_new(struct listener **out, struct loop *loop, int fd,
    listener_accept_fn *on_accept, void *arg)
{
	struct listener *l = calloc(1, sizeof(*l));

	*out = NULL;
	if (l == NULL) {
		close(fd);
		return LARDER_NOMEM;
	}
	l->loop = loop;
	l->fd = fd;
	l->on_accept = on_accept;
	l->arg = arg;
	loop_timer_init(&l->resume, loop, on_resume, l);
	l->event = event_new(
	    loop_base(loop), fd, EV_READ | EV_PERSIST, on_readable, l);
	if (!l->event || event_add(l->event, NULL) != 0) {
		if (l->event)
			event_free(l->event);
		close(fd);
		free(l);
		return LARDER_NOMEM;
	}
	*out = l;
	return 0;
}

void
listener_on_starved(struct listener *listener, listener_starved_fn *starved)
{
	listener->on_starved = starved;
}

static void
destroy(struct loop_garbage *garbage)
{
	struct listener *l = container_of(garbage, struct listener, garbage);

	loop_timer_release(&l->resume);
	free(l);
}

void
listener_close(struct listener **out)
{
	struct listener *l = *out;

	for (int i = 0; l != NULL && i < LAST_BATCH && accept_one(l); i++)
		;
	listener_leave(out);
}

void
listener_leave(struct listener **out)
{
	struct listener *l = *out;

	*out = NULL;
	if (l == NULL)
		return;
	event_free(l->event);
	loop_timer_stop(&l->resume);
	close(l->fd);
	l->fd = -1;
	loop_discard(l->loop, &l->garbage, destroy);
}
