/*
 * Sessions are kept in a table of fixed size, one a slot, chosen by the hash
 * of the peer's key: a newcomer takes the slot's place. OpenSSL's own cache is
 * off. The table has one lock, held for a pointer's exchange; nothing else is
 * locked under it.
 *
 * The machine's authorities are some hundred certificates, which take 20 ms
 * and more to parse. A thread does it, so that the start need not wait; until
 * `is_loaded` the store of the context is that thread's.
 *
 * Always: a session in the table belongs to no connection. Those get copies:
 * OpenSSL marks the session of a connection that ended badly as not resumable,
 * and origins that forget their close_notify are many.
 */
#include "net/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"
#include "larder/log.h"
#include "larder/thread.h"

#define SESSIONS 1024u

struct peer {
	struct tls_context *tls;
	size_t n;
	char key[]; /* "port host"; host is NUL-terminated */
};

struct session {
	struct peer *peer; /* a copy; NULL: an empty slot */
	SSL_SESSION *session;
};

struct tls_context {
	SSL_CTX *ctx;
	pthread_t loader;
	bool has_loader;
	_Atomic bool is_loaded;
	pthread_mutex_t lock;
	pthread_cond_t loaded;		   /* is_loaded became true */
	struct session sessions[SESSIONS]; /* under the lock */
};

/* ---- sessions --------------------------------------------------------- */

static struct session *
slot_of(struct tls_context *tls, const struct peer *peer)
{
	uint32_t hash = 2166136261u; /* FNV-1a; no secret is worth it here */

	for (size_t i = 0; i < peer->n; i++)
		hash = (hash ^ (unsigned char)peer->key[i]) * 16777619u;
	return &tls->sessions[(hash ^ hash >> 16) % SESSIONS];
}

static bool
same_peer(const struct peer *a, const struct peer *b)
{
	return a && a->n == b->n && memcmp(a->key, b->key, a->n) == 0;
}

static char *
peer_host(struct peer *peer)
{
	return strchr(peer->key, ' ') + 1;
}

static struct peer *
copy_peer(const struct peer *from)
{
	struct peer *copy = malloc(sizeof(*copy) + from->n + 1);

	if (copy)
		memcpy(copy, from, sizeof(*copy) + from->n + 1);
	return copy;
}

/* OpenSSL got a session to keep. 0: we did not take the reference. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct peer *peer = SSL_get_app_data(ssl);
	struct session old, new = {copy_peer(peer), SSL_SESSION_dup(session)};
	struct session *slot = slot_of(peer->tls, peer);

	if (new.peer &&new.session) {
		pthread_mutex_lock(&peer->tls->lock);
		old = *slot;
		*slot = new;
		pthread_mutex_unlock(&peer->tls->lock);
		new = old;
	}
	free(new.peer);
	SSL_SESSION_free(new.session);
	return 0;
}

static void
resume(SSL *ssl, struct peer *peer)
{
	struct session *slot = slot_of(peer->tls, peer);
	SSL_SESSION *kept = NULL, *copy;

	pthread_mutex_lock(&peer->tls->lock);
	if (same_peer(slot->peer, peer)) {
		kept = slot->session;
		SSL_SESSION_up_ref(kept);
	}
	pthread_mutex_unlock(&peer->tls->lock);
	if (kept == NULL)
		return;
	copy = SSL_SESSION_dup(kept);
	SSL_SESSION_free(kept);
	if (copy && SSL_SESSION_is_resumable(copy))
		SSL_set_session(ssl, copy);
	SSL_SESSION_free(copy);
}

/* ---- the authorities -------------------------------------------------- */

static void *
load_authorities(void *arg)
{
	struct tls_context *tls = arg;

	/* What is not there is no error; certificates do not verify then. */
	if (!SSL_CTX_set_default_verify_paths(tls->ctx))
		log_errorx("the authorities that this machine trusts cannot "
			   "be loaded: %s",
		    ERR_reason_error_string(ERR_peek_error()));
	ERR_clear_error();
	pthread_mutex_lock(&tls->lock);
	tls->is_loaded = true;
	pthread_cond_broadcast(&tls->loaded);
	pthread_mutex_unlock(&tls->lock);
	return NULL;
}

static void
await_authorities(struct tls_context *tls)
{
	if (tls->is_loaded)
		return;
	pthread_mutex_lock(&tls->lock);
	while (!tls->is_loaded)
		pthread_cond_wait(&tls->loaded, &tls->lock);
	pthread_mutex_unlock(&tls->lock);
}

/* ---- the context ------------------------------------------------------ */

int
tls_context_new(struct tls_context **out, char *why, size_t why_size)
{
	struct tls_context *tls = calloc(1, sizeof(*tls));

	*out = NULL;
	if (tls == NULL)
		return LARDER_NOMEM;
	pthread_mutex_init(&tls->lock, NULL);
	pthread_cond_init(&tls->loaded, NULL);
	tls->ctx = SSL_CTX_new(TLS_client_method());
	if (tls->ctx == NULL ||
	    !SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION)) {
		snprintf(why, why_size, "TLS cannot be set up: %s",
		    ERR_reason_error_string(ERR_get_error()));
		ERR_clear_error();
		tls_context_free(&tls);
		return LARDER_TLS;
	}
	SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				       SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(
	    tls->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(tls->ctx, on_session);
	tls->has_loader = thread_start(&tls->loader, "authorities",
			      load_authorities, tls) == 0;
	if (!tls->has_loader)
		load_authorities(tls);
	*out = tls;
	return 0;
}

void
tls_context_free(struct tls_context **out)
{
	struct tls_context *tls = *out;

	*out = NULL;
	if (tls == NULL)
		return;
	if (tls->has_loader)
		pthread_join(tls->loader, NULL);
	for (size_t i = 0; i < SESSIONS; i++) {
		free(tls->sessions[i].peer);
		SSL_SESSION_free(tls->sessions[i].session);
	}
	SSL_CTX_free(tls->ctx);
	pthread_cond_destroy(&tls->loaded);
	pthread_mutex_destroy(&tls->lock);
	free(tls);
}

/* ---- clients ---------------------------------------------------------- */

static struct peer *
new_peer(struct tls_context *tls, struct bytes host, uint16_t port)
{
	struct peer *peer = malloc(sizeof(*peer) + host.n + 16);

	if (peer == NULL)
		return NULL;
	peer->tls = tls;
	peer->n = (size_t)sprintf(peer->key, "%u ", port);
	memcpy(peer->key + peer->n, host.p, host.n);
	peer->n += host.n;
	peer->key[peer->n] = '\0';
	return peer;
}

static bool
is_numeric(const char *host)
{
	uint8_t ip[16];

	return inet_pton(AF_INET, host, ip) == 1 ||
	       inet_pton(AF_INET6, host, ip) == 1;
}

/* The name or the address that the certificate must be for. */
static bool
expect(SSL *ssl, char *host)
{
	if (is_numeric(host))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* SNI takes no addresses. RFC 6066 3 */
	return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
}

int
tls_client_new(struct tls_context *tls, struct bytes host, uint16_t port,
    struct ssl_st **out)
{
	struct peer *peer;
	SSL *ssl;

	*out = NULL;
	/* An empty name would be no check at all. */
	if (host.n == 0 || host.n > 255 || memchr(host.p, 0, host.n))
		return LARDER_INVALID;
	await_authorities(tls);
	peer = new_peer(tls, host, port);
	ssl = peer ? SSL_new(tls->ctx) : NULL;
	if (ssl == NULL || !expect(ssl, peer_host(peer))) {
		SSL_free(ssl);
		free(peer);
		ERR_clear_error();
		return LARDER_NOMEM;
	}
	SSL_set_app_data(ssl, peer);
	resume(ssl, peer);
	*out = ssl;
	return 0;
}

void
tls_client_free(struct ssl_st **out)
{
	struct peer *peer;

	if (*out == NULL)
		return;
	peer = SSL_get_app_data(*out);
	SSL_free(*out);
	free(peer);
	*out = NULL;
	ERR_clear_error();
}

/* ---- what went wrong -------------------------------------------------- */

static int
describe_certificate(char **out, const char *host, long result)
{
	const char *what = X509_verify_cert_error_string(result);

	switch (result) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return asprintf(out,
		    "the certificate that %s sent is for other names", host);
	case X509_V_ERR_CERT_HAS_EXPIRED:
		what = "it has expired";
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		what = "it is not valid yet";
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		what = "it is self-signed";
		break;
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		what = "it is signed by an authority that this machine does "
		       "not trust";
		break;
	default:
		break;
	}
	return asprintf(
	    out, "the certificate of %s is not valid: %s", host, what);
}

static int
describe_protocol(char **out, const char *host, unsigned long code)
{
	const char *reason = ERR_reason_error_string(code);

	if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
		switch (ERR_GET_REASON(code)) {
		case SSL_R_UNEXPECTED_EOF_WHILE_READING:
			return asprintf(out,
			    "%s closed the connection during the TLS "
			    "handshake",
			    host);
		case SSL_R_WRONG_VERSION_NUMBER:
		case SSL_R_PACKET_LENGTH_TOO_LONG:
		case SSL_R_HTTP_REQUEST:
			return asprintf(
			    out, "%s does not speak TLS on this port", host);
		case SSL_R_UNSUPPORTED_PROTOCOL:
		case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
			return asprintf(out,
			    "%s speaks no version of TLS from 1.2 on", host);
		default:
			break;
		}
	}
	return asprintf(out, "the TLS handshake with %s failed: %s", host,
	    reason ? reason : "no reason given");
}

char *
tls_client_failure(struct ssl_st *ssl, int error)
{
	const char *host = peer_host(SSL_get_app_data(ssl));
	long result = SSL_get_verify_result(ssl);
	unsigned long code = ERR_peek_error();
	char *out = NULL;
	int n;

	if (result != X509_V_OK)
		n = describe_certificate(&out, host, result);
	else if (error == SSL_ERROR_SYSCALL)
		n = asprintf(&out,
		    "the connection to %s broke during the TLS handshake",
		    host);
	else
		n = describe_protocol(&out, host, code);
	ERR_clear_error();
	return n < 0 ? NULL : out;
}
