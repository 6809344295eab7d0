/*
 * Reading and writing. The kernel is asked only when an edge said that there
 * is something; see the top of conn.c.
 */
#include "net/conn_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>

#include "larder/check.h"
#include "larder/err.h"

/* What a write has failed with. That the other side broke off, the kernel tells
 * once; what is read behind it looks like an orderly end. EPIPE is of one that
 * had said all it wanted to say before. */
static void
note_reset(struct conn *c)
{
	c->was_reset |= errno != EAGAIN && errno != EPIPE && errno != ENOBUFS &&
			errno != ENOMEM;
}

/* ---- reading ---------------------------------------------------------- */

void
conn_drop_input(struct conn *c)
{
	if (c->in == NULL)
		return;
	if (c->in_cap == LOOP_BUFFER)
		loop_buffer_put(c->loop, c->in);
	else
		free(c->in);
	c->in = NULL;
	c->in_start = c->in_len = c->in_cap = 0;
}

ssize_t
conn_recv(struct conn *c, void *p, size_t n)
{
	ssize_t got;

	if (!c->can_read) {
		errno = EAGAIN;
		return -1;
	}
	do
		got = recv(c->fd, p, n, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0 ? errno == EAGAIN : (size_t)got < n && !c->hangup)
		c->can_read = false;
	if (got == 0 && c->was_reset) {
		errno = ECONNRESET;
		return -1;
	}
	return got;
}

static ssize_t
plain_read(struct conn *c, void *p, size_t n)
{
	ssize_t got = conn_recv(c, p, n);

	if (got > 0)
		return got;
	if (got == 0)
		return LARDER_CLOSED;
	if (errno == EAGAIN)
		return LARDER_AGAIN;
	c->system_error = errno;
	return LARDER_IO;
}

/* Free space behind the input: at least a byte, at most up to limit. */
static int
make_room(struct conn *c, size_t limit)
{
	char *bigger;
	size_t cap;

	if (c->in == NULL) {
		c->in = loop_buffer_get(c->loop);
		if (c->in == NULL)
			return LARDER_NOMEM;
		c->in_cap = LOOP_BUFFER;
	}
	if (c->in_start && c->in_cap - c->in_start < limit) {
		memmove(c->in, c->in + c->in_start, c->in_len);
		c->in_start = 0;
	}
	if (c->in_start + c->in_len < c->in_cap)
		return 0;
	cap = c->in_cap < limit / 2 ? c->in_cap * 2 : limit;
	bigger = malloc(cap);
	if (bigger == NULL)
		return LARDER_NOMEM;
	memcpy(bigger, c->in + c->in_start, c->in_len);
	if (c->in_cap == LOOP_BUFFER)
		loop_buffer_put(c->loop, c->in);
	else
		free(c->in);
	c->in = bigger;
	c->in_cap = cap;
	c->in_start = 0;
	return 0;
}

ssize_t
conn_fill(struct conn *conn, size_t limit)
{
	struct conn *c = conn_checked(conn);
	size_t room, end;
	ssize_t n;

	if (c->in_len >= limit)
		return LARDER_TOOBIG;
	if (c->eof)
		return LARDER_CLOSED;
	if (c->error)
		return LARDER_IO;
	if (c->state != CONN_OPEN || (!c->can_read && !c->ssl))
		return LARDER_AGAIN;
	if (make_room(c, limit) != 0)
		return LARDER_NOMEM;
	end = c->in_start + c->in_len;
	room = c->in_cap - end;
	if (room > limit - c->in_len)
		room = limit - c->in_len;
	n = c->ssl ? conn_tls_read(c, c->in + end, room)
		   : plain_read(c, c->in + end, room);
	if (n > 0) {
		c->in_len += (size_t)n;
		c->bytes_in += (uint64_t)n;
		return n;
	}
	c->eof = n == LARDER_CLOSED;
	if (n == LARDER_IO)
		c->error = LARDER_IO;
	if (c->in_len == 0)
		conn_drop_input(c);
	return n;
}

bool
conn_readable(struct conn *conn)
{
	conn_checked(conn);
	return conn->can_read || conn->ssl || conn->eof;
}

bool
conn_waiting(struct conn *conn)
{
	char byte;

	conn_checked(conn);
	return recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool
conn_is_alive(struct conn *conn)
{
	char byte;
	ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	conn_checked(conn);
	/* TLS has bytes of its own; plain ones that nobody asked for are as
	 * bad as the end. */
	return n < 0 ? errno == EAGAIN : n > 0 && conn->ssl;
}

struct bytes
conn_input(struct conn *conn)
{
	conn_checked(conn);
	if (conn->in == NULL)
		return bytes_of(NULL, 0);
	return bytes_of(conn->in + conn->in_start, conn->in_len);
}

void
conn_consume(struct conn *conn, size_t n)
{
	conn_checked(conn);
	check(n <= conn->in_len);
	conn->in_start += n;
	conn->in_len -= n;
	if (conn->in_len == 0)
		conn_drop_input(conn);
}

/* ---- writing ---------------------------------------------------------- */

void
conn_blocked(struct conn *c)
{
	c->can_write = false;
	c->want_write = true;
	/* Asking for EPOLLOUT tells at once if there is room by now. */
	if (!c->watches_write)
		c->watches_write =
		    loop_watch_write(c->loop, &c->watch, c->fd) == 0;
}

/* What a send of n bytes gave; errno on -1. */
static ssize_t
after_send(struct conn *c, ssize_t sent, size_t n)
{
	if (sent < 0 ? errno == EAGAIN : (size_t)sent < n)
		conn_blocked(c);
	if (sent >= 0)
		return sent;
	if (errno == EAGAIN)
		return LARDER_AGAIN;
	note_reset(c);
	c->system_error = errno;
	return LARDER_IO;
}

ssize_t
conn_send(struct conn *c, const void *p, size_t n)
{
	ssize_t sent;

	if (!c->can_write) {
		c->want_write = true;
		errno = EAGAIN;
		return -1;
	}
	do
		sent = send(c->fd, p, n, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 ? errno == EAGAIN : (size_t)sent < n)
		conn_blocked(c);
	if (sent < 0)
		note_reset(c);
	return sent;
}

/* 0: go on. */
static int
may_write(struct conn *c)
{
	conn_checked(c);
	if (c->shut || c->state == CONN_BROKEN)
		return LARDER_IO;
	if (c->state == CONN_OPEN && (c->can_write || c->ssl))
		return 0;
	c->want_write = true;
	return LARDER_AGAIN;
}

static ssize_t
plain_writev(struct conn *c, const struct iovec *iov, int n, bool more)
{
	struct msghdr msg = {0};
	size_t total = 0;
	ssize_t sent;

	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	/* sendmsg() only reads them. */
	memcpy(&msg.msg_iov, &iov, sizeof(iov));
	msg.msg_iovlen = (size_t)n;
	do
		sent =
		    sendmsg(c->fd, &msg, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
	while (sent < 0 && errno == EINTR);
	return after_send(c, sent, total);
}

ssize_t
conn_writev(struct conn *conn, const struct iovec *iov, int n, bool more)
{
	ssize_t sent = may_write(conn);

	if (sent == 0)
		sent = conn->ssl ? conn_tls_writev(conn, iov, n)
				 : plain_writev(conn, iov, n, more);
	if (sent > 0)
		conn->bytes_out += (uint64_t)sent;
	return sent;
}

/*
 * Goes on after a short count: the file may have been the reason, and only a
 * refusal of the socket is followed by an edge.
 */
static ssize_t
plain_sendfile(struct conn *c, int fd, int64_t offset, size_t n)
{
	off_t at = (off_t)offset;
	size_t left = n;

	while (left) {
		ssize_t sent = sendfile(c->fd, fd, &at, left);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent == 0) {
			/* The file is shorter than it was said to be. */
			errno = EIO;
			sent = -1;
		}
		if (sent < 0 && left == n)
			return after_send(c, sent, n);
		if (sent < 0) {
			if (errno == EAGAIN)
				conn_blocked(c);
			note_reset(c);
			break;
		}
		left -= (size_t)sent;
	}
	return (ssize_t)(n - left);
}

ssize_t
conn_sendfile(struct conn *conn, int fd, int64_t offset, size_t n, bool more)
{
	ssize_t sent = may_write(conn);

	(void)more; /* sendfile() has no MSG_MORE */
	if (sent == 0)
		sent = conn->ssl ? conn_tls_sendfile(conn, fd, offset, n)
				 : plain_sendfile(conn, fd, offset, n);
	if (sent > 0)
		conn->bytes_out += (uint64_t)sent;
	return sent;
}

/* ---- without a copy --------------------------------------------------- */

static ssize_t
splice_some(int from, int to, size_t n)
{
	ssize_t moved;

	do
		moved = splice(
		    from, NULL, to, NULL, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (moved < 0 && errno == EINTR);
	return moved;
}

bool
conn_splices(struct conn *conn)
{
	return conn_checked(conn)->ssl == NULL;
}

/* That it moves nothing proves nothing: a pipe takes so many pages, full or
 * not, and the kernel stops at urgent data (RFC 6093), of which recv() knows
 * better. So neither the end nor an empty socket is believed. */
ssize_t
conn_splice_in(struct conn *conn, struct pipe *pipe)
{
	struct conn *c = conn_checked(conn);
	ssize_t n;

	check(pipe->held == 0 && c->ssl == NULL);
	if (c->state != CONN_OPEN || !c->can_read || c->in_len || c->eof ||
	    c->error || c->was_reset)
		return LARDER_AGAIN;
	n = splice_some(c->fd, pipe->in, pipe->size);
	if (n > 0) {
		pipe->held = (size_t)n;
		c->bytes_in += (uint64_t)n;
		return n;
	}
	return n < 0 && errno == EINVAL ? LARDER_INVALID : LARDER_AGAIN;
}

ssize_t
conn_splice_out(struct conn *conn, struct pipe *pipe)
{
	ssize_t n = may_write(conn);

	if (n != 0)
		return n;
	check(conn->ssl == NULL);
	n = after_send(
	    conn, splice_some(pipe->out, conn->fd, pipe->held), pipe->held);
	if (n > 0) {
		pipe->held -= (size_t)n;
		conn->bytes_out += (uint64_t)n;
	}
	return n;
}

size_t
conn_queued(struct conn *conn)
{
	int n = 0;

	conn_checked(conn);
	if (ioctl(conn->fd, SIOCOUTQ, &n) != 0 || n < 0)
		return 0;
	return (size_t)n;
}
