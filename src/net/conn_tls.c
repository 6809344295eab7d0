/*
 * TLS over a connection: a BIO that keeps conn.c's books of edges and never
 * raises SIGPIPE.
 *
 * Always: an SSL_write() that the socket cut short is tried again with the
 * same bytes. So the owner's bytes are copied into `out`, a record at a time,
 * and count as taken from then on; the next write, or the next EPOLLOUT,
 * gets rid of them first.
 */
#include "net/conn_internal.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/err.h"
#include "net/tls.h"

/* ---- the BIO ---------------------------------------------------------- */

static BIO_METHOD *method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int
bio_write(BIO *bio, const char *p, int n)
{
	ssize_t sent = conn_send(BIO_get_data(bio), p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (sent < 0 && errno == EAGAIN)
		BIO_set_retry_write(bio);
	return (int)sent;
}

static int
bio_read(BIO *bio, char *p, int n)
{
	ssize_t got = conn_recv(BIO_get_data(bio), p, (size_t)n);

	BIO_clear_retry_flags(bio);
	if (got < 0 && errno == EAGAIN)
		BIO_set_retry_read(bio);
	if (got == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return (int)got;
}

static long
bio_ctrl(BIO *bio, int command, long number, void *p)
{
	(void)number;
	(void)p;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

static void
make_method(void)
{
	BIO_METHOD *m = BIO_meth_new(
	    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "larder connection");

	if (m == NULL)
		return;
	if (BIO_meth_set_write(m, bio_write) &&
	    BIO_meth_set_read(m, bio_read) && BIO_meth_set_ctrl(m, bio_ctrl))
		method = m;
	else
		BIO_meth_free(m);
}

/* ---- the handshake ---------------------------------------------------- */

int
conn_tls_start(struct conn *c, struct tls_context *tls, struct bytes host)
{
	BIO *bio;
	int err;

	pthread_once(&once, make_method);
	if (method == NULL)
		return LARDER_NOMEM;
	err = tls_client_new(tls, host, addr_port(&c->peer), &c->ssl);
	if (err)
		return err;
	bio = BIO_new(method);
	if (bio == NULL) {
		tls_client_free(&c->ssl);
		return LARDER_NOMEM;
	}
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->ssl, bio, bio);
	SSL_set_connect_state(c->ssl);
	return 0;
}

void
conn_tls_handshake(struct conn *c)
{
	int result, error, system_error;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(c->ssl);
	system_error = errno;
	if (result == 1) {
		conn_opened(c);
		return;
	}
	error = SSL_get_error(c->ssl, result);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return;
	conn_failed(
	    c, LARDER_TLS, system_error, tls_client_failure(c->ssl, error));
}

/* ---- bytes ------------------------------------------------------------ */

ssize_t
conn_tls_read(struct conn *c, void *p, size_t n)
{
	size_t got = 0;

	ERR_clear_error();
	errno = 0;
	if (SSL_read_ex(c->ssl, p, n, &got) == 1)
		return (ssize_t)got;
	switch (SSL_get_error(c->ssl, 0)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return LARDER_AGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return LARDER_CLOSED;
	default:
		/* An end without close_notify too: it may be an attacker's. */
		c->system_error = errno ? errno : ECONNRESET;
		ERR_clear_error();
		return LARDER_IO;
	}
}

int
conn_tls_flush(struct conn *c)
{
	while (c->out_len) {
		size_t sent = 0;

		ERR_clear_error();
		errno = 0;
		if (SSL_write_ex(c->ssl, c->out + c->out_start, c->out_len,
			&sent) != 1) {
			int error = SSL_get_error(c->ssl, 0);

			if (error == SSL_ERROR_WANT_WRITE ||
			    error == SSL_ERROR_WANT_READ) {
				c->want_write = true;
				return LARDER_AGAIN;
			}
			c->system_error = errno ? errno : EPIPE;
			ERR_clear_error();
			c->out_len = 0;
			c->shut = true;
			return LARDER_IO;
		}
		c->out_start += sent;
		c->out_len -= sent;
	}
	loop_buffer_put(c->loop, c->out);
	c->out = NULL;
	return 0;
}

/* Room for one record's bytes, once the last one's are gone. */
static int
make_out(struct conn *c)
{
	int err = conn_tls_flush(c);

	if (err)
		return err;
	c->out = loop_buffer_get(c->loop);
	c->out_start = 0;
	return c->out ? 0 : LARDER_NOMEM;
}

/* `out` holds n bytes of the owner's. */
static ssize_t
push(struct conn *c, size_t n)
{
	c->out_len = n;
	return conn_tls_flush(c) == LARDER_IO ? LARDER_IO : (ssize_t)n;
}

ssize_t
conn_tls_writev(struct conn *c, const struct iovec *iov, int n)
{
	int err = make_out(c);
	size_t total = 0;

	if (err)
		return err;
	for (int i = 0; i < n && total < LOOP_BUFFER; i++) {
		size_t part = iov[i].iov_len;

		if (part > LOOP_BUFFER - total)
			part = LOOP_BUFFER - total;
		if (part)
			memcpy(c->out + total, iov[i].iov_base, part);
		total += part;
	}
	return push(c, total);
}

ssize_t
conn_tls_sendfile(struct conn *c, int fd, int64_t offset, size_t n)
{
	int err = make_out(c);
	ssize_t got;

	if (err)
		return err;
	do
		got = pread(fd, c->out, n < LOOP_BUFFER ? n : LOOP_BUFFER,
		    (off_t)offset);
	while (got < 0 && errno == EINTR);
	if (got <= 0) {
		c->system_error = got < 0 ? errno : EIO;
		return LARDER_IO;
	}
	return push(c, (size_t)got);
}

/* ---- the end ---------------------------------------------------------- */

void
conn_tls_shutdown(struct conn *c)
{
	if (c->ssl == NULL || c->state == CONN_BROKEN)
		return;
	ERR_clear_error();
	SSL_shutdown(c->ssl);
	ERR_clear_error();
}

void
conn_tls_free(struct conn *c)
{
	tls_client_free(&c->ssl);
}
