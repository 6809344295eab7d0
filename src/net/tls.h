/*
 * TLS towards origins: one context for all workers. Verifies the chain against
 * the system's store (SSL_CERT_FILE and SSL_CERT_DIR are honoured) and the
 * name; TLS 1.2 and newer; sessions are kept and resumed, bounded.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "larder/bytes.h"

struct ssl_st;
struct tls_context;

/*
 * Starts a thread that loads the store, some 20 ms; what cannot be loaded is
 * logged, and certificates do not verify then. LARDER_TLS with a sentence in
 * why, LARDER_NOMEM.
 */
int tls_context_new(struct tls_context **out, char *why, size_t why_size);
void tls_context_free(struct tls_context **tls);

/*
 * For conn_tls.c. One client's SSL for host (a name or a numeric address, at
 * most 255 bytes) and port, with a session to resume if there is one. The
 * context must live as long. Waits for the store when it is not loaded yet,
 * just after the start. LARDER_NOMEM; LARDER_INVALID.
 */
int tls_client_new(struct tls_context *tls, struct bytes host, uint16_t port,
    struct ssl_st **out);
void tls_client_free(struct ssl_st **ssl);

/* After SSL_do_handshake() failed with `error` of SSL_get_error(): a sentence
 * that says which check failed; the caller frees it, NULL: no memory. Empties
 * the thread's error queue. */
char *tls_client_failure(struct ssl_st *ssl, int error);

#endif
