#include "net_test.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "net/tls.h"

/* ---- certificates ----------------------------------------------------- */

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

static struct identity ca, other_ca;
static char ca_file[] = "/tmp/larder-tls-XXXXXX";

static void
add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
}

/* Signed by `by`, or by itself. names: "DNS:a,IP:127.0.0.1"; NULL: a CA. */
static struct identity
issue(const struct identity *by, const char *names, long from, long to)
{
	static long serial = 1;
	struct identity id = {EVP_EC_gen("P-256"), X509_new()};
	X509_NAME *name = X509_get_subject_name(id.cert);
	const char *cn = names ? "a server" : "a test authority";

	X509_set_version(id.cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(id.cert), from);
	X509_gmtime_adj(X509_getm_notAfter(id.cert), to);
	X509_set_pubkey(id.cert, id.key);
	X509_NAME_add_entry_by_txt(
	    name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(
	    id.cert, by ? X509_get_subject_name(by->cert) : name);
	if (names)
		add_extension(id.cert, NID_subject_alt_name, names);
	else
		add_extension(
		    id.cert, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(id.cert, by ? by->key : id.key, EVP_sha256()));
	return id;
}

static void
forget(struct identity *id)
{
	EVP_PKEY_free(id->key);
	X509_free(id->cert);
}

/* ---- a server in a thread, one connection after the other ------------- */

enum act {
	GREET,	/* "hello", close_notify */
	CUT,	/* "hello", and the end of TCP without close_notify */
	SLAM,	/* closes before the handshake */
	PLAIN,	/* speaks no TLS */
	SINK,	/* reads slowly to the end, tells how much of it was right */
	SOURCE, /* 1 MiB of the pattern */
	LISTEN, /* waits for the client's end, tells if it was orderly */
};

static struct server {
	SSL_CTX *ctx;
	int fd;
	union addr addr;
	pthread_t thread;
	enum act act;
	bool reused;  /* the last session */
	size_t right; /* bytes of the pattern (SINK) */
	bool orderly; /* close_notify came (LISTEN) */
	char sni[64];
} server;

static unsigned char
pattern(size_t at)
{
	return (unsigned char)(at * 31 + at / 4096);
}

static void
source(SSL *ssl)
{
	static unsigned char block[16384];

	for (size_t at = 0; at < 1048576; at += sizeof(block)) {
		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = pattern(at + i);
		if (SSL_write(ssl, block, sizeof(block)) <= 0)
			return;
	}
	SSL_shutdown(ssl);
}

static void
sink(SSL *ssl)
{
	static unsigned char block[16384];
	int n;

	usleep(50000); /* until the client's buffers are full */
	while ((n = SSL_read(ssl, block, sizeof(block))) > 0) {
		for (int i = 0; i < n; i++)
			if (block[i] != pattern(server.right++))
				return;
		if (server.right < 200000)
			usleep(2000);
	}
	server.orderly = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
}

static void
serve(SSL *ssl)
{
	char c;
	int n;

	if (SSL_accept(ssl) != 1)
		return;
	server.reused = SSL_session_reused(ssl);
	snprintf(server.sni, sizeof(server.sni), "%s",
	    SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
		? SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)
		: "");
	if (server.act == SINK) {
		sink(ssl);
	} else if (server.act == SOURCE) {
		source(ssl);
	} else if (server.act == LISTEN) {
		n = SSL_read(ssl, &c, 1);
		server.orderly = SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN;
	} else {
		SSL_write(ssl, "hello", 5);
		if (server.act == GREET)
			SSL_shutdown(ssl);
	}
}

static void *
server_main(void *arg)
{
	int fd = accept(server.fd, NULL, NULL);
	const char text[] = "HTTP/1.1 400 Bad Request\r\n\r\n";

	(void)arg;
	if (server.act == PLAIN) {
		assert_true(write(fd, text, sizeof(text)) > 0);
		usleep(20000);
	} else if (server.act != SLAM) {
		SSL *ssl = SSL_new(server.ctx);

		SSL_set_fd(ssl, fd);
		serve(ssl);
		SSL_free(ssl);
	}
	ERR_clear_error();
	close(fd);
	return NULL;
}

static void
start_server(enum act act)
{
	server.act = act;
	server.right = 0;
	server.orderly = false;
	server.reused = false;
	server.sni[0] = '\0';
	pthread_create(&server.thread, NULL, server_main, NULL);
}

static void
show(const struct identity *id)
{
	SSL_CTX_use_certificate(server.ctx, id->cert);
	SSL_CTX_use_PrivateKey(server.ctx, id->key);
}

/* ---- the client ------------------------------------------------------- */

static struct tls_context *tls;
static struct conn *conn;
static struct seen seen;

static int
group_setup(void **state)
{
	char why[256];
	FILE *file;

	(void)state;
	signal(SIGPIPE, SIG_IGN); /* of the server's own writes */
	ca = issue(NULL, NULL, -3600, 3600);
	other_ca = issue(NULL, NULL, -3600, 3600);
	file = fdopen(mkstemp(ca_file), "w");
	PEM_write_X509(file, ca.cert);
	fclose(file);
	setenv("SSL_CERT_FILE", ca_file, 1);
	setenv("SSL_CERT_DIR", "/nowhere", 1);
	return tls_context_new(&tls, why, sizeof(why));
}

static int
group_teardown(void **state)
{
	(void)state;
	tls_context_free(&tls);
	unlink(ca_file);
	forget(&ca);
	forget(&other_ca);
	return 0;
}

static int
setup(void **state)
{
	struct identity good = issue(
	    &ca, "DNS:good.test,DNS:*.wild.test,IP:127.0.0.1", -3600, 3600);

	memset(&seen, 0, sizeof(seen));
	memset(&server, 0, sizeof(server));
	server.ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_session_id_context(
	    server.ctx, (const unsigned char *)"t", 1);
	show(&good);
	forget(&good);
	server.fd = listen_on_loopback(AF_INET, &server.addr);
	return loop_setup(state);
}

static int
teardown(void **state)
{
	conn_close(&conn, false);
	loop_teardown(state);
	SSL_CTX_free(server.ctx);
	close(server.fd);
	return 0;
}

static void
dial(enum act act, const char *host)
{
	start_server(act);
	assert_int_equal(conn_connect(&conn, loop, &server.addr, tls,
			     bytes_str(host), on_seen, &seen),
	    0);
	seen.what = 0;
	seen.stop_at = CONN_OPENED | CONN_FAILED;
	run();
	seen.stop_at = CONN_READABLE | CONN_WRITABLE;
}

static void
hang_up(void)
{
	conn_close(&conn, false);
	pthread_join(server.thread, NULL);
}

/* Reads until there is an end; what it was. */
static ssize_t
read_all(size_t *total)
{
	ssize_t n;

	*total = 0;
	for (;;) {
		n = conn_fill(conn, 100000);
		if (n == LARDER_AGAIN) {
			run();
			continue;
		}
		if (n < 0)
			return n;
		for (size_t i = 0; i < conn_input(conn).n; i++)
			if (server.act == SOURCE &&
			    (unsigned char)conn_input(conn).p[i] !=
				pattern(*total + i))
				fail();
		*total += conn_input(conn).n;
		conn_consume(conn, conn_input(conn).n);
	}
}

static void
refused_with(const char *host, const char *text)
{
	dial(GREET, host);
	assert_int_equal(seen.what, CONN_FAILED);
	assert_int_equal(conn_error(conn), LARDER_TLS);
	assert_string_equal(conn_error_text(conn), text);
	assert_int_equal(conn_fill(conn, 10), LARDER_IO);
	hang_up();
}

/* ---- tests ------------------------------------------------------------ */

static void
a_good_certificate_is_good(void **state)
{
	size_t n;

	(void)state;
	dial(GREET, "good.test");
	assert_int_equal(seen.what, CONN_OPENED);
	assert_int_equal(read_all(&n), LARDER_CLOSED);
	assert_int_equal(n, 5);
	assert_string_equal(server.sni, "good.test");
	hang_up();
	dial(GREET, "a.wild.test");
	assert_int_equal(seen.what, CONN_OPENED);
	hang_up();
	dial(GREET, "127.0.0.1");
	assert_int_equal(seen.what, CONN_OPENED);
	assert_int_equal(read_all(&n), LARDER_CLOSED);
	hang_up();
	/* No SNI for an address. */
	assert_string_equal(server.sni, "");
}

static void
other_names_are_refused(void **state)
{
	(void)state;
	refused_with("evil.test",
	    "the certificate that evil.test sent is for other names");
	refused_with("127.0.0.2",
	    "the certificate that 127.0.0.2 sent is for other names");
	refused_with("a.b.wild.test",
	    "the certificate that a.b.wild.test sent is for other names");
}

static void
bad_certificates_are_named(void **state)
{
	struct identity self = issue(NULL, "DNS:good.test", -3600, 3600);
	struct identity old = issue(&ca, "DNS:good.test", -7200, -3600);
	struct identity early = issue(&ca, "DNS:good.test", 3600, 7200);
	struct identity stranger =
	    issue(&other_ca, "DNS:good.test", -3600, 3600);

	(void)state;
	show(&self);
	refused_with("good.test",
	    "the certificate of good.test is not valid: it is self-signed");
	show(&old);
	refused_with("good.test",
	    "the certificate of good.test is not valid: it has expired");
	show(&early);
	refused_with("good.test",
	    "the certificate of good.test is not valid: it is not valid yet");
	show(&stranger);
	dial(GREET, "good.test");
	assert_int_equal(seen.what, CONN_FAILED);
	assert_non_null(strstr(conn_error_text(conn), "is not valid"));
	hang_up();
	forget(&self);
	forget(&old);
	forget(&early);
	forget(&stranger);
}

static void
other_failures_are_named(void **state)
{
	(void)state;
	dial(PLAIN, "good.test");
	assert_int_equal(seen.what, CONN_FAILED);
	assert_string_equal(
	    conn_error_text(conn), "good.test does not speak TLS on this port");
	hang_up();
	dial(SLAM, "good.test");
	assert_int_equal(seen.what, CONN_FAILED);
	assert_int_equal(conn_error(conn), LARDER_TLS);
	assert_non_null(
	    strstr(conn_error_text(conn), "during the TLS handshake"));
	hang_up();
	SSL_CTX_set_cipher_list(server.ctx, "DEFAULT:@SECLEVEL=0");
	SSL_CTX_set_min_proto_version(server.ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(server.ctx, TLS1_1_VERSION);
	refused_with(
	    "good.test", "good.test speaks no version of TLS from 1.2 on");
}

static void
a_cut_stream_is_no_end(void **state)
{
	size_t n;

	(void)state;
	dial(CUT, "good.test");
	assert_int_equal(read_all(&n), LARDER_IO);
	assert_int_equal(n, 5);
	hang_up();
}

static void
sessions_are_resumed(void **state)
{
	size_t n;

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION;
	     version++) {
		SSL_CTX_set_max_proto_version(server.ctx, version);
		dial(GREET, "r.wild.test");
		assert_int_equal(read_all(&n), LARDER_CLOSED);
		hang_up();
		assert_false(server.reused && version == TLS1_2_VERSION);
		/* Even after one that ended badly. */
		for (int i = 0; i < 3; i++) {
			dial(i ? GREET : CUT, "r.wild.test");
			read_all(&n);
			if (i == 1)
				conn_reset(&conn);
			hang_up();
			assert_true(server.reused);
		}
		/* Not with another name. */
		dial(GREET, "s.wild.test");
		read_all(&n);
		hang_up();
		assert_false(server.reused && version == TLS1_2_VERSION);
	}
}

static void
blocked_writes_go_on(void **state)
{
	static unsigned char block[40000];
	size_t sent = 0, waits = 0, step = 1;
	const size_t total = 10000000;
	const int small = 65536;

	(void)state;
	dial(SINK, "good.test");
	setsockopt(conn_fd(conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	while (sent < total) {
		/* Never the same bytes again after LARDER_AGAIN. */
		size_t n = step++ * 7919 % sizeof(block) + 1;
		struct iovec iov[2] = {{block, n / 3}, {block + n / 3, 0}};
		ssize_t taken;

		if (n > total - sent)
			n = total - sent;
		iov[0].iov_len = n / 3;
		iov[1].iov_base = block + n / 3;
		iov[1].iov_len = n - n / 3;
		for (size_t i = 0; i < n; i++)
			block[i] = pattern(sent + i);
		taken = conn_writev(conn, iov, 2, false);
		if (taken == LARDER_AGAIN) {
			waits++;
			run();
			continue;
		}
		assert_in_range(taken, 1, n);
		sent += (size_t)taken;
	}
	assert_true(waits > 0);
	/* What is not sent yet goes out behind the owner's back. */
	conn_close(&conn, false);
	while (pthread_tryjoin_np(server.thread, NULL) == EBUSY)
		run_for(20);
	assert_int_equal(server.right, total);
	assert_true(server.orderly);
}

static void
a_shutdown_waits_for_the_last_record(void **state)
{
	static unsigned char block[16384];
	const int small = 65536;
	size_t sent = 0;

	(void)state;
	dial(SINK, "good.test");
	setsockopt(conn_fd(conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	for (;;) {
		struct iovec iov = {block, sizeof(block)};

		for (size_t i = 0; i < sizeof(block); i++)
			block[i] = pattern(sent + i);
		if (conn_writev(conn, &iov, 1, false) == LARDER_AGAIN)
			break;
		sent += sizeof(block);
	}
	conn_shutdown(conn);
	seen.stop_at = 0;
	while (pthread_tryjoin_np(server.thread, NULL) == EBUSY)
		run_for(20);
	assert_int_equal(server.right, sent);
	assert_true(server.orderly);
}

static void
long_answers_arrive_whole(void **state)
{
	size_t n;

	(void)state;
	dial(SOURCE, "good.test");
	run_for(50); /* nobody reads for a while */
	assert_int_equal(read_all(&n), LARDER_CLOSED);
	assert_int_equal(n, 1048576);
	hang_up();
}

static void
files_are_sent(void **state)
{
	FILE *file = tmpfile();
	const size_t total = 100000;
	size_t at = 0;
	ssize_t n;

	(void)state;
	for (size_t i = 0; i < total; i++)
		fputc(pattern(i), file);
	fflush(file);
	dial(SINK, "good.test");
	while (at < total) {
		n = conn_sendfile(
		    conn, fileno(file), (int64_t)at, total - at, false);
		if (n == LARDER_AGAIN)
			run();
		else
			at += (size_t)n;
	}
	conn_shutdown(conn);
	pthread_join(server.thread, NULL);
	assert_int_equal(server.right, total);
	assert_true(server.orderly);
	conn_close(&conn, false);
	fclose(file);
}

static void
only_an_orderly_close_says_so(void **state)
{
	(void)state;
	dial(LISTEN, "good.test");
	hang_up();
	assert_true(server.orderly);
	dial(LISTEN, "good.test");
	conn_reset(&conn);
	hang_up();
	assert_false(server.orderly);
}

static void
hosts_are_checked(void **state)
{
	(void)state;
	assert_int_equal(conn_connect(&conn, loop, &server.addr, tls, BYTES(""),
			     on_seen, &seen),
	    LARDER_INVALID);
	assert_int_equal(
	    conn_connect(&conn, loop, &server.addr, tls,
		bytes_of("good.test\0.evil.test", 20), on_seen, &seen),
	    LARDER_INVALID);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_good_certificate_is_good),
	    CASE(other_names_are_refused),
	    CASE(bad_certificates_are_named),
	    CASE(other_failures_are_named),
	    CASE(a_cut_stream_is_no_end),
	    CASE(sessions_are_resumed),
	    CASE(blocked_writes_go_on),
	    CASE(a_shutdown_waits_for_the_last_record),
	    CASE(long_answers_arrive_whole),
	    CASE(files_are_sent),
	    CASE(only_an_orderly_close_says_so),
	    CASE(hosts_are_checked),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
