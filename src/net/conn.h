/*
 * A connection: a non-blocking stream socket, plain or TLS, in one loop. The
 * owner reads and writes when it wants to; the connection tells when that is
 * worth trying again. Edge-triggered: registered with the kernel once, so that
 * a request on it costs no epoll_ctl.
 *
 *   CONNECTING ──> (TLS) HANDSHAKING ──> OPEN ──> CLOSED
 *   conn_connect   conn_start_tls        │        conn_close, conn_reset
 *   conn_new ────────────────────────────┘
 *
 * Events come to the handler, one call for all that happened:
 *   CONN_OPENED    connect (and handshake) done; reads and writes may start
 *   CONN_READABLE  conn_fill() may get something (or the end)
 *   CONN_WRITABLE  a write that got LARDER_AGAIN may get on
 *   CONN_TIMEOUT   the deadline passed (and is no longer set)
 *   CONN_GONE      the other side has reset it, or ended both ways: nobody is
 *                  there any more (an orderly end of its own way alone is only
 *                  READABLE)
 *   CONN_FAILED    connect or handshake failed: conn_error(), conn_error_text()
 * The handler may close the connection; it is freed by the loop's sweep.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "larder/bytes.h"
#include "net/addr.h"
#include "net/loop.h"
#include "net/pipe.h"

enum {
	CONN_OPENED = 1,
	CONN_READABLE = 2,
	CONN_WRITABLE = 4,
	CONN_TIMEOUT = 8,
	CONN_FAILED = 16,
	CONN_GONE = 32,
};

struct conn;
struct tls_context;

typedef void conn_event_fn(struct conn *conn, unsigned what, void *arg);

/* An accepted (or socketpair's) socket; owns fd from now on, also when it
 * fails. LARDER_NOMEM, LARDER_IO. READABLE comes when there is something. */
int conn_new(struct conn **out, struct loop *loop, int fd,
    conn_event_fn *handler, void *arg);

/* Starts connecting; CONN_OPENED or CONN_FAILED follows. With tls, the
 * handshake for `host` (SNI, and the name or address that the certificate must
 * be for) is part of it. host is copied. LARDER_NOMEM, LARDER_IO;
 * LARDER_INVALID where host cannot be one. */
int conn_connect(struct conn **out, struct loop *loop, const union addr *to,
    struct tls_context *tls, struct bytes host, conn_event_fn *handler,
    void *arg);

/* From now on events go there. */
void conn_set_handler(struct conn *conn, conn_event_fn *handler, void *arg);

/* CONN_TIMEOUT in ms from now; 0: none. Cheap. */
void conn_set_timeout(struct conn *conn, int64_t ms);

/* Calls the handler with `what` in this turn or the next, after the current
 * callbacks: to go on with what is already buffered. */
void conn_poke(struct conn *conn, unsigned what);

/*
 * Reading. The input buffer grows up to `limit` bytes and is given back to the
 * loop's pool when it is empty, so that an idle connection holds none.
 * conn_fill: bytes added (> 0), LARDER_AGAIN, LARDER_CLOSED (an orderly end;
 * of TLS: by close_notify), LARDER_IO (reset, or a TLS stream cut without
 * close_notify), LARDER_TOOBIG (limit bytes are buffered already),
 * LARDER_NOMEM. One call is one read: what is left is not announced again, so
 * go on until LARDER_AGAIN before waiting for CONN_READABLE. That costs no
 * system call once the socket is known to be empty.
 */
ssize_t conn_fill(struct conn *conn, size_t limit);
/* May conn_fill() get something now? No system call. For an owner that has let
 * an edge pass. */
bool conn_readable(struct conn *conn);
/* Did bytes come in that nobody has read? Asks the kernel, which knows of them
 * before the loop is told. */
bool conn_waiting(struct conn *conn);
/* Is it open as far as the kernel knows at this moment? One system call, for
 * who must not find out by a write. */
bool conn_is_alive(struct conn *conn);
/* What is buffered; void after the next fill or consume. */
struct bytes conn_input(struct conn *conn);
void conn_consume(struct conn *conn, size_t n);

/*
 * Writing. Bytes taken (> 0, perhaps fewer), LARDER_AGAIN (CONN_WRITABLE
 * follows), LARDER_IO (the other side is gone). more: another write follows at
 * once (MSG_MORE).
 */
ssize_t conn_writev(
    struct conn *conn, const struct iovec *iov, int n, bool more);
/* From a file; on TLS through a buffer. */
ssize_t conn_sendfile(
    struct conn *conn, int fd, int64_t offset, size_t n, bool more);

/*
 * Without a copy, by splice(2): of an open connection that is plain.
 * conn_splice_in: bytes (> 0) into an empty pipe; LARDER_AGAIN: none by this
 * way, and what there is, if anything, conn_fill() says; LARDER_INVALID: never
 * by this way. conn_splice_out: what is in the pipe, as conn_writev() writes.
 */
bool conn_splices(struct conn *conn);
ssize_t conn_splice_in(struct conn *conn, struct pipe *pipe);
ssize_t conn_splice_out(struct conn *conn, struct pipe *pipe);

/* Bytes that were written and that the other side has not acknowledged. One
 * system call; 0 where the kernel does not say. */
size_t conn_queued(struct conn *conn);

/* No more writes: FIN (of TLS: close_notify first). */
void conn_shutdown(struct conn *conn);
/* Closes in order; nulls the owner's pointer. If the other side may still be
 * sending (a refused request), `linger` reads and drops for a short, bounded
 * time, so that the answer is not lost to a reset (RFC 9112 9.6). */
void conn_close(struct conn **conn, bool linger);
/* Closes with a reset: the other side sees that it was not the end. */
void conn_reset(struct conn **conn);

/* Lets go of an open, plain connection's descriptor, which the caller owns from
 * now on; what was read and not consumed is lost. */
int conn_detach(struct conn **conn);

int conn_fd(struct conn *conn);
struct loop *conn_loop(struct conn *conn);
const union addr *conn_peer(struct conn *conn); /* of conn_connect() */
int conn_error(struct conn *conn);
/* A sentence that names what failed: "connection refused by 1.2.3.4:80", "the
 * certificate of host is not valid: self-signed certificate". */
const char *conn_error_text(struct conn *conn);

/* Sums in bytes, over the connection's life. */
uint64_t conn_bytes_in(struct conn *conn);
uint64_t conn_bytes_out(struct conn *conn);

#endif
