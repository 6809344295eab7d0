/*
 *   CONNECTING ──> HANDSHAKING   on_connected()       with TLS
 *   CONNECTING ──> OPEN          conn_opened()        without
 *   HANDSHAKING ──> OPEN         conn_opened()
 *   both ──> BROKEN              conn_failed()        nothing works any more
 *   any ──> LINGERING            conn_close()         no owner any more
 *   any ──> CLOSED               conn_discard()       the sweep frees it
 *
 * Always:
 *   - The kernel is asked only when an edge said that there is something:
 *     can_read and can_write start true, an edge sets them, a call that got
 *     less than it asked for clears them. A short read clears nothing once a
 *     FIN or an error was seen (hangup): no edge would follow what is left.
 *   - Once the owner has let go (conn_close, conn_reset), its handler is NULL
 *     and nothing calls it, even if this turn's events name the connection.
 *   - An idle connection holds no buffer.
 */
#include "net/conn_internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/err.h"

struct conn *
conn_checked(struct conn *c)
{
	check_magic(c, CONN_MAGIC);
	check(c->state != CONN_LINGERING && c->state != CONN_CLOSED);
	return c;
}

/* ---- events ----------------------------------------------------------- */

static void
deliver(struct conn *c, unsigned what)
{
	if (c->handler)
		c->handler(c, what, c->arg);
}

void
conn_opened(struct conn *c)
{
	c->state = CONN_OPEN;
	c->can_read = c->can_write = true;
	deliver(c, CONN_OPENED);
}

void
conn_failed(struct conn *c, int err, int system_error, char *text)
{
	c->state = CONN_BROKEN;
	c->error = err;
	c->system_error = system_error;
	c->error_text = text;
	deliver(c, CONN_FAILED);
}

static void
on_connected(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error) {
		conn_failed(c, error == ETIMEDOUT ? LARDER_TIMEOUT : LARDER_IO,
		    error, NULL);
	} else if (c->ssl) {
		c->state = CONN_HANDSHAKING;
		c->can_read = c->can_write = true;
		conn_tls_handshake(c);
	} else {
		conn_opened(c);
	}
}

/* What conn_shutdown() had to leave until `out` is gone. */
static void
end_output(struct conn *c)
{
	conn_tls_shutdown(c);
	shutdown(c->fd, SHUT_WR);
}

/* The one call for all that happened. */
static void
on_open_ready(struct conn *c, bool readable, bool gone)
{
	unsigned what = c->poked;

	c->poked = 0;
	loop_task_stop(&c->task);
	if (readable)
		what |= CONN_READABLE;
	if (gone)
		what |= CONN_GONE;
	if (c->can_write && c->want_write) {
		/* An error shows again at the owner's next write. */
		if (c->out_len == 0 || conn_tls_flush(c) != LARDER_AGAIN) {
			c->want_write = false;
			what |= CONN_WRITABLE;
			if (c->shut)
				end_output(c);
		}
	}
	if (what)
		deliver(c, what);
}

static void
on_ready(struct loop_watch *watch, uint32_t events)
{
	struct conn *c = container_of(watch, struct conn, watch);
	const uint32_t gone = EPOLLERR | EPOLLHUP;

	check_magic(c, CONN_MAGIC);
	if (events & (EPOLLIN | EPOLLRDHUP | gone))
		c->can_read = true;
	if (events & (EPOLLRDHUP | gone))
		c->hangup = true;
	if (events & (EPOLLOUT | gone))
		c->can_write = true;
	switch (c->state) {
	case CONN_CONNECTING:
		if (c->can_write)
			on_connected(c);
		break;
	case CONN_HANDSHAKING:
		conn_tls_handshake(c);
		break;
	case CONN_OPEN:
		on_open_ready(
		    c, events & (EPOLLIN | EPOLLRDHUP | gone), events & gone);
		break;
	case CONN_LINGERING:
		conn_linger(c);
		break;
	case CONN_BROKEN:
	case CONN_CLOSED:
		break;
	}
}

static void
on_task(void *arg)
{
	struct conn *c = arg;
	unsigned what = c->poked;

	check_magic(c, CONN_MAGIC);
	if (c->state == CONN_LINGERING) {
		conn_drop_input(c);
		conn_linger(c);
		return;
	}
	c->poked = 0;
	deliver(c, what);
}

static void
on_timeout(void *arg)
{
	struct conn *c = arg;

	check_magic(c, CONN_MAGIC);
	if (c->state == CONN_LINGERING)
		conn_discard(c);
	else
		deliver(c, CONN_TIMEOUT);
}

void
conn_poke(struct conn *conn, unsigned what)
{
	struct conn *c = conn_checked(conn);

	c->poked |= what;
	loop_task_start(c->loop, &c->task);
}

void
conn_set_handler(struct conn *conn, conn_event_fn *handler, void *arg)
{
	conn_checked(conn);
	conn->handler = handler;
	conn->arg = arg;
}

void
conn_set_timeout(struct conn *conn, int64_t ms)
{
	conn_checked(conn);
	if (ms > 0)
		loop_timer_start(&conn->timer, ms);
	else
		loop_timer_stop(&conn->timer);
}

/* ---- the beginning ---------------------------------------------------- */

static struct conn *
new_conn(struct loop *loop, int fd, conn_event_fn *handler, void *arg)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->magic = CONN_MAGIC;
	c->watch.ready = on_ready;
	c->loop = loop;
	c->fd = fd;
	c->handler = handler;
	c->arg = arg;
	c->peer.sa.sa_family = AF_UNSPEC;
	list_init(&c->garbage.node);
	loop_task_init(&c->task, on_task, c);
	loop_timer_init(&c->timer, loop, on_timeout, c);
	return c;
}

int
conn_new(struct conn **out, struct loop *loop, int fd, conn_event_fn *handler,
    void *arg)
{
	struct conn *c = new_conn(loop, fd, handler, arg);
	int err = c ? 0 : LARDER_NOMEM;

	*out = NULL;
	if (c) {
		c->state = CONN_OPEN;
		c->can_read = c->can_write = true;
		err = loop_watch_add(loop, &c->watch, fd, false);
	}
	if (err) {
		close(fd);
		free(c);
		return err;
	}
	*out = c;
	return 0;
}

static int
open_socket(int family)
{
	const int on = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

int
conn_connect(struct conn **out, struct loop *loop, const union addr *to,
    struct tls_context *tls, struct bytes host, conn_event_fn *handler,
    void *arg)
{
	int fd = open_socket(to->sa.sa_family);
	struct conn *c = NULL;
	int err = fd < 0 ? LARDER_IO : 0;

	*out = NULL;
	if (!err && (c = new_conn(loop, fd, handler, arg)) == NULL)
		err = LARDER_NOMEM;
	if (!err) {
		c->peer = *to;
		err = tls ? conn_tls_start(c, tls, host) : 0;
	}
	if (!err && connect(fd, &to->sa, addr_len(to)) != 0 &&
	    errno != EINPROGRESS) {
		c->state = CONN_BROKEN;
		c->error = LARDER_IO;
		c->system_error = errno;
		conn_poke(c, CONN_FAILED);
	} else if (!err) {
		c->watches_write = true;
		err = loop_watch_add(loop, &c->watch, fd, true);
	}
	if (err) {
		int saved = errno;

		if (c)
			conn_tls_free(c);
		free(c);
		if (fd >= 0)
			close(fd);
		errno = saved;
		return err;
	}
	*out = c;
	return 0;
}

/* ---- asking ----------------------------------------------------------- */

int
conn_fd(struct conn *conn)
{
	return conn_checked(conn)->fd;
}

struct loop *
conn_loop(struct conn *conn)
{
	return conn_checked(conn)->loop;
}

const union addr *
conn_peer(struct conn *conn)
{
	return &conn_checked(conn)->peer;
}

int
conn_error(struct conn *conn)
{
	return conn_checked(conn)->error;
}

static int
describe(struct conn *c, char **out)
{
	char peer[ADDR_TEXT] = "the other side";
	const char *text = strerrordesc_np(c->system_error);

	if (c->peer.sa.sa_family != AF_UNSPEC)
		addr_format(&c->peer, peer);
	switch (c->system_error) {
	case ECONNREFUSED:
		return asprintf(out, "connection refused by %s", peer);
	case ECONNRESET:
	case EPIPE:
		return asprintf(out, "connection reset by %s", peer);
	case ETIMEDOUT:
		return asprintf(out, "%s does not answer", peer);
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
	case EADDRNOTAVAIL:
		return asprintf(out, "%s is unreachable: %s", peer, text);
	case 0:
		return asprintf(out, "connection to %s: %s", peer,
		    larder_strerror(c->error));
	default:
		return asprintf(out, "connection to %s failed: %s", peer,
		    text ? text : "unknown error");
	}
}

const char *
conn_error_text(struct conn *conn)
{
	struct conn *c = conn_checked(conn);

	if (c->error_text == NULL && describe(c, &c->error_text) < 0)
		c->error_text = NULL;
	return c->error_text ? c->error_text : larder_strerror(c->error);
}

uint64_t
conn_bytes_in(struct conn *conn)
{
	return conn_checked(conn)->bytes_in;
}

uint64_t
conn_bytes_out(struct conn *conn)
{
	return conn_checked(conn)->bytes_out;
}
