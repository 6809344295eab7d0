/*
 * What conn.c, conn_io.c, conn_end.c and conn_tls.c share. Nobody else includes
 * it.
 */
#ifndef NET_CONN_INTERNAL_H
#define NET_CONN_INTERNAL_H

#include "net/conn.h"

#define CONN_MAGIC 0xc044ec70u

struct ssl_st;

enum conn_state {
	CONN_CONNECTING,
	CONN_HANDSHAKING,
	CONN_OPEN,
	CONN_BROKEN, /* connect or handshake failed; the owner is told */
	CONN_LINGERING,
	CONN_CLOSED,
};

struct conn {
	struct loop_watch watch;
	struct loop_garbage garbage;
	uint32_t magic;
	enum conn_state state;
	struct loop *loop;
	int fd;
	conn_event_fn *handler; /* NULL from conn_close() on */
	void *arg;

	/* What the kernel's edges said; cleared by a call that got less than
	 * it asked for. */
	bool can_read, can_write;
	bool hangup; /* a FIN or an error came: short reads prove nothing */
	bool watches_write; /* EPOLLOUT is asked for: only once it is needed */
	bool want_write;    /* a write was cut short: CONN_WRITABLE is owed */
	bool eof;	    /* the orderly end was read */
	bool shut;	    /* the owner has ended its side */
	bool was_reset;	    /* so said a write; the kernel says it once */

	unsigned poked; /* what conn_poke() owes */
	struct loop_task task;
	struct loop_timer timer;

	char *in; /* NULL: none held */
	size_t in_cap, in_start, in_len;
	size_t linger_left;

	struct ssl_st *ssl; /* NULL: plain */
	/* One record's bytes that the owner is rid of and SSL_write() is not:
	 * its retries must see the same bytes again. */
	char *out;
	size_t out_start, out_len;

	int error;	  /* enum larder_err; 0: none */
	int system_error; /* errno of it, or 0 */
	char *error_text; /* made when it is asked for; NULL: not yet */
	uint64_t bytes_in, bytes_out;
	union addr peer; /* AF_UNSPEC: accepted */
};

/* Asserts that it is a connection which has an owner, and returns it. */
struct conn *conn_checked(struct conn *c);
void conn_drop_input(struct conn *c);
/* To CONN_CLOSED; the sweep frees it. */
void conn_discard(struct conn *c);
/* In CONN_LINGERING, when something may have happened. */
void conn_linger(struct conn *c);
/* The edge-triggered bookkeeping around recv() and send(), errno kept:
 * -1 with EAGAIN without a call when the kernel is known to have nothing. */
ssize_t conn_recv(struct conn *c, void *p, size_t n);
ssize_t conn_send(struct conn *c, const void *p, size_t n);
/* From now on EPOLLOUT is watched and CONN_WRITABLE owed. */
void conn_blocked(struct conn *c);
/* To CONN_OPEN, or to CONN_BROKEN; tells the owner. */
void conn_opened(struct conn *c);
void conn_failed(struct conn *c, int err, int system_error, char *text);

int conn_tls_start(struct conn *c, struct tls_context *tls, struct bytes host);
void conn_tls_handshake(struct conn *c);
/* As conn_fill(), into a given place. */
ssize_t conn_tls_read(struct conn *c, void *p, size_t n);
ssize_t conn_tls_writev(struct conn *c, const struct iovec *iov, int n);
ssize_t conn_tls_sendfile(struct conn *c, int fd, int64_t offset, size_t n);
/* Gets rid of `out`: 0, LARDER_AGAIN, LARDER_IO. */
int conn_tls_flush(struct conn *c);
/* close_notify, as far as the socket takes it. */
void conn_tls_shutdown(struct conn *c);
void conn_tls_free(struct conn *c);

#endif
