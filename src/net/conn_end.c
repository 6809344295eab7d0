/*
 * The end of a connection; its states stand at the top of conn.c.
 *
 *   OPEN ──> LINGERING     conn_close()   there is something left to send, or
 *                                         the other side may still be sending
 *   LINGERING ──> CLOSED   conn_linger()  the other side ended, too
 *   any ──> CLOSED         conn_close(), conn_reset()
 */
#include "net/conn_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/err.h"

/* How long a closed connection may take for its last record. */
#define FLUSH_MS     30000
/* How long, and how much, it still listens then. */
#define LINGER_MS    2000
#define LINGER_BYTES ((size_t)256 * 1024)

static void
destroy(struct loop_garbage *garbage)
{
	struct conn *c = container_of(garbage, struct conn, garbage);

	check_magic(c, CONN_MAGIC);
	conn_drop_input(c);
	loop_buffer_put(c->loop, c->out);
	conn_tls_free(c);
	loop_timer_release(&c->timer);
	loop_task_stop(&c->task);
	if (c->fd >= 0)
		close(c->fd);
	free(c->error_text);
	c->magic = 0;
	free(c);
}

void
conn_discard(struct conn *c)
{
	c->state = CONN_CLOSED;
	c->handler = NULL;
	loop_task_stop(&c->task);
	loop_timer_stop(&c->timer);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	list_remove(&c->garbage.node);
	loop_discard(c->loop, &c->garbage, destroy);
}

static void
end_output(struct conn *c)
{
	conn_tls_shutdown(c);
	shutdown(c->fd, SHUT_WR);
	loop_timer_start(&c->timer, LINGER_MS);
}

/* Sends what is left, reads and drops until the other side ends, or patience
 * does. Unread bytes would turn the close into a reset. */
void
conn_linger(struct conn *c)
{
	char waste[8192];
	ssize_t n = -1;

	if (c->out_len) {
		if (conn_tls_flush(c) == LARDER_IO) {
			conn_discard(c);
			return;
		}
		if (c->out_len == 0)
			end_output(c);
	}
	while (!c->eof && (n = conn_recv(c, waste, sizeof(waste))) > 0) {
		if ((size_t)n >= c->linger_left) {
			conn_discard(c);
			return;
		}
		c->linger_left -= (size_t)n;
	}
	if (n == 0)
		c->eof = true;
	else if (!c->eof && errno != EAGAIN)
		conn_discard(c);
	if (c->state != CONN_CLOSED && c->eof && c->out_len == 0)
		conn_discard(c);
}

void
conn_close(struct conn **out, bool wait)
{
	struct conn *c = *out;

	*out = NULL;
	if (c == NULL)
		return;
	conn_checked(c);
	if (c->eof || c->error)
		wait = false;
	if (c->state != CONN_OPEN || (!wait && !c->out_len)) {
		if (c->state == CONN_OPEN)
			conn_tls_shutdown(c);
		conn_discard(c);
		return;
	}
	c->state = CONN_LINGERING;
	c->handler = NULL;
	c->linger_left = LINGER_BYTES;
	loop_adopt(c->loop, &c->garbage, destroy);
	if (c->out_len)
		loop_timer_start(&c->timer, FLUSH_MS);
	else
		end_output(c);
	/* Not here: the owner may still look at its input. */
	loop_task_start(c->loop, &c->task);
}

void
conn_shutdown(struct conn *conn)
{
	struct conn *c = conn_checked(conn);

	if (c->shut || c->state != CONN_OPEN)
		return;
	c->shut = true;
	/* After the last record, or it would be lost: on_open_ready(). */
	if (c->out_len)
		return;
	conn_tls_shutdown(c);
	shutdown(c->fd, SHUT_WR);
}

void
conn_reset(struct conn **out)
{
	const struct linger now = {.l_onoff = 1};
	struct conn *c = *out;

	*out = NULL;
	if (c == NULL)
		return;
	conn_checked(c);
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	conn_discard(c);
}

int
conn_detach(struct conn **out)
{
	struct conn *c = conn_checked(*out);
	int fd = c->fd;

	*out = NULL;
	check(c->state == CONN_OPEN && c->ssl == NULL);
	loop_watch_remove(c->loop, fd);
	c->fd = -1;
	conn_discard(c);
	return fd;
}
