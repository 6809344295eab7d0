#include "admin/ctl_client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/body.h"
#include "http/date.h"
#include "http/list.h"
#include "http/target.h"
#include "larder/clock.h"
#include "larder/err.h"

#define BUFFER	  (256u * 1024)
#define ARENA_MAX (2u * 1024 * 1024)
#define SUM_START UINT64_C(14695981039346656037)

static const struct http_limits limits = {
    .line = 128 * 1024, .head = 128 * 1024, .fields = 1000};

struct session {
	const struct ctl_fetch *fetch;
	struct ctl_fetched *out;
	struct arena arena;
	int fd;
	char *buffer; /* BUFFER bytes */
	size_t filled;
};

static int __attribute__((format(printf, 2, 3)))
fail(struct session *s, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(s->out->why, sizeof(s->out->why), format, ap);
	va_end(ap);
	return LARDER_IO;
}

union addr
ctl_client_address(const union addr *listen)
{
	union addr a = *listen;

	if (a.sa.sa_family == AF_INET && a.v4.sin_addr.s_addr == INADDR_ANY)
		a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (a.sa.sa_family == AF_INET6) {
		a.v6.sin6_flowinfo = 0;
		if (IN6_IS_ADDR_UNSPECIFIED(&a.v6.sin6_addr))
			a.v6.sin6_addr = in6addr_loopback;
	}
	return a;
}

static uint64_t
add_sum(uint64_t sum, const void *p, size_t n)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < n; i++)
		sum = (sum ^ b[i]) * UINT64_C(1099511628211);
	return sum;
}

uint64_t
ctl_client_sum(const void *p, size_t n)
{
	return add_sum(SUM_START, p, n);
}

/* ---- the connection --------------------------------------------------- */

static int
open_connection(struct session *s)
{
	const union addr *to = &s->fetch->to;
	struct timeval patience = {.tv_sec = s->fetch->seconds};
	char text[ADDR_TEXT];

	s->fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		return fail(s, "no socket: %s", strerrordesc_np(errno));
	setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(s->fd, &to->sa, addr_len(to)) < 0)
		return fail(s, "no connection to %s: %s", addr_format(to, text),
		    errno == EINPROGRESS ? "it takes too long"
					 : strerrordesc_np(errno));
	return 0;
}

static int
send_request(struct session *s)
{
	const struct ctl_fetch *f = s->fetch;
	struct http_target target;
	struct bytes host, text;
	const char *why = "too long";

	if (http_target_of_url(bytes_str(f->url), &s->arena, &target, &why) <
	    0) {
		fail(s, "%s", why);
		return LARDER_INVALID;
	}
	host = http_target_authority(&target, &s->arena);
	text = arena_printf(&s->arena,
	    "GET %.*s HTTP/1.1\r\nHost: %.*s\r\nConnection: close\r\n",
	    BYTES_FMT(f->as_site ? target.path : bytes_str(f->url)),
	    BYTES_FMT(host));
	for (unsigned i = 0; text.p && i < f->headers_count; i++)
		text = arena_printf(
		    &s->arena, "%.*s%s\r\n", BYTES_FMT(text), f->headers[i]);
	if (text.p)
		text = arena_printf(&s->arena, "%.*s\r\n", BYTES_FMT(text));
	if (text.p == NULL)
		return fail(s, "the request is too long");
	while (text.n > 0) {
		ssize_t n = send(s->fd, text.p, text.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(s, "sending: %s", strerrordesc_np(errno));
		text = bytes_skip(text, (size_t)n);
	}
	return 0;
}

/* More into the buffer: how much; 0: the end. */
static ssize_t
fill(struct session *s)
{
	ssize_t n;

	do
		n = recv(s->fd, s->buffer + s->filled, BUFFER - s->filled, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail(s, "%s",
		    errno == EAGAIN ? "nothing came for too long"
				    : strerrordesc_np(errno));
	s->filled += (size_t)n;
	return n;
}

static void
consume(struct session *s, size_t n)
{
	memmove(s->buffer, s->buffer + n, s->filled - n);
	s->filled -= n;
}

/* ---- the answer ------------------------------------------------------- */

static void
copy_value(struct bytes value, char *out, size_t size)
{
	size_t n = value.n < size - 1 ? value.n : size - 1;

	if (n > 0)
		memcpy(out, value.p, n);
	out[n] = '\0';
}

/* "larder; hit; ttl=9; detail=x" */
static void
read_member(struct bytes member, struct ctl_fetched *out)
{
	struct bytes name, value;
	uint64_t n;
	bool quoted;

	while (member.n > 0) {
		const char *end = memchr(member.p, ';', member.n);
		size_t size = end ? (size_t)(end - member.p) : member.n;

		if (http_param(bytes_trim(bytes_of(member.p, size)), &name,
			&value, &quoted)) {
			out->hit |= bytes_eq(name, BYTES("hit"));
			out->stored |= bytes_eq(name, BYTES("stored"));
			out->collapsed |= bytes_eq(name, BYTES("collapsed"));
			if (bytes_eq(name, BYTES("fwd")))
				copy_value(value, out->fwd, sizeof(out->fwd));
			if (bytes_eq(name, BYTES("detail")))
				copy_value(
				    value, out->detail, sizeof(out->detail));
			if (bytes_eq(name, BYTES("fwd-status")) &&
			    bytes_decimal(value, 999, &n))
				out->fwd_status = (int)n;
		}
		member = bytes_skip(member, end ? size + 1 : size);
	}
}

/* The last member is of who answered: caches behind it stand before. */
static void
read_cache_status(const struct http_head *head, struct ctl_fetched *out)
{
	struct http_list list;
	struct bytes element, last = {NULL, 0};

	http_list_init(&list, head, HTTP_F_CACHE_STATUS);
	while (http_list_next(&list, &element))
		last = element;
	out->larder = bytes_eq(last, BYTES("larder")) ||
		      bytes_starts(last, BYTES("larder;"));
	if (out->larder)
		read_member(last, out);
}

/* The final head. */
static int
receive_head(struct session *s, struct http_body *body)
{
	struct http_head head;
	struct http_fault fault;
	size_t scanned = 0, size;
	ssize_t n;
	int rc;

	for (;;) {
		struct bytes raw;

		rc = LARDER_AGAIN;
		if (s->filled > 0)
			rc = http_head_scan(bytes_of(s->buffer, s->filled),
			    &limits, false, &scanned, &size, &fault);
		if (rc == LARDER_AGAIN) {
			n = fill(s);
			if (n < 0)
				return (int)n;
			if (n == 0)
				return fail(s, "it ended without an answer");
			continue;
		}
		if (rc < 0)
			return fail(s, "no HTTP: %s", fault.text);
		raw = arena_copy(&s->arena, bytes_of(s->buffer, size));
		if (raw.p == NULL ||
		    http_parse_response(
			raw, &limits, &s->arena, &head, &fault) < 0 ||
		    http_body_of_response(&head, HTTP_GET, body, &fault) < 0)
			return fail(s, "no HTTP that can be understood");
		consume(s, size);
		scanned = 0;
		if (head.status >= 200)
			break;
	}
	s->out->status = head.status;
	read_cache_status(&head, s->out);
	s->out->date = http_date_parse(
	    http_value(&head, HTTP_F_DATE), clock_wall_ms() / 1000);
	if (s->out->date == HTTP_DATE_INVALID)
		s->out->date = 0;
	return 0;
}

static int
receive_body(struct session *s, struct http_body *body)
{
	for (;;) {
		struct bytes data;
		size_t used;
		ssize_t n;
		int rc = http_body_next(
		    body, bytes_of(s->buffer, s->filled), &used, &data);

		if (rc == LARDER_INVALID)
			return fail(s, "its body is broken");
		if (data.n > 0) {
			s->out->bytes += data.n;
			s->out->sum = add_sum(s->out->sum, data.p, data.n);
		}
		consume(s, used);
		if (rc == LARDER_ABSENT)
			return 0;
		if (rc == 0)
			continue;
		n = fill(s);
		if (n < 0)
			return (int)n;
		if (n == 0)
			return http_body_ends_here(body)
				   ? 0
				   : fail(s, "it ended within the body");
	}
}

int
ctl_client_get(const struct ctl_fetch *fetch, struct ctl_fetched *out)
{
	struct session s = {.fetch = fetch, .out = out, .fd = -1};
	struct http_body body = {.framing = HTTP_BODY_NONE};
	int rc;

	*out = (struct ctl_fetched){.sum = SUM_START};
	arena_init(&s.arena, ARENA_MAX);
	s.buffer = malloc(BUFFER);
	rc = s.buffer ? open_connection(&s) : fail(&s, "out of memory");
	if (rc == 0)
		rc = send_request(&s);
	if (rc == 0)
		rc = receive_head(&s, &body);
	if (rc == 0)
		rc = receive_body(&s, &body);
	http_body_release(&body);
	if (s.fd >= 0)
		close(s.fd);
	free(s.buffer);
	arena_release(&s.arena);
	return rc;
}
