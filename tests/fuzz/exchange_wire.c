#include "exchange_wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
wire_fail(const char *what, struct bytes bytes)
{
	fprintf(stderr, "\n==== %s, in %zu bytes:\n", what, bytes.n);
	for (size_t i = 0; i < bytes.n && i < 2048; i++) {
		unsigned char c = (unsigned char)bytes.p[i];

		if (c == '\n' || (c >= ' ' && c < 0x7f))
			fputc(c, stderr);
		else
			fprintf(stderr, "\\x%02x", c);
	}
	fprintf(stderr, "\n====\n");
	abort();
}

static bool
is_token(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] <= ' ' || b.p[i] >= 0x7f ||
		    strchr("\"(),/:;<=>?@[\\]{}", b.p[i]))
			return false;
	return b.n > 0;
}

/* A line with its CRLF; false: its end is not there. */
static bool
line_of(struct bytes *rest, struct bytes *line)
{
	const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;

	if (end == NULL)
		return false;
	*line = bytes_of(rest->p, (size_t)(end - rest->p));
	wire_must(line->n > 0 && line->p[line->n - 1] == '\r',
	    "a line without CR", *rest);
	line->n--;
	for (size_t i = 0; i < line->n; i++) {
		unsigned char c = (unsigned char)line->p[i];

		wire_must((c >= ' ' && c != 0x7f) || c == '\t',
		    "a control in a line", *line);
	}
	*rest = bytes_skip(*rest, line->n + 2);
	return true;
}

static void
field_of(struct wire_message *m, struct bytes line)
{
	const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
	size_t n = colon ? (size_t)(colon - line.p) : 0;

	wire_must(colon != NULL, "a field line without a colon", line);
	wire_must(m->count < WIRE_FIELDS, "too many fields", line);
	m->name[m->count] = bytes_of(line.p, n);
	m->value[m->count] = bytes_trim(bytes_skip(line, n + 1));
	wire_must(is_token(m->name[m->count]), "no field name", line);
	m->count++;
}

unsigned
wire_count(const struct wire_message *m, const char *name)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->count; i++)
		n += bytes_ieq(m->name[i], bytes_str(name));
	return n;
}

struct bytes
wire_value(const struct wire_message *m, const char *name)
{
	for (unsigned i = 0; i < m->count; i++)
		if (bytes_ieq(m->name[i], bytes_str(name))) {
			wire_must(wire_count(m, name) == 1,
			    "a field that must come once came twice",
			    bytes_str(name));
			return m->value[i];
		}
	return bytes_of(NULL, 0);
}

static bool
head_of(struct bytes in, struct wire_message *m, struct bytes *start)
{
	struct bytes rest = in, line;

	memset(m, 0, offsetof(struct wire_message, name));
	if (in.n == 0 || memmem(in.p, in.n, "\r\n\r\n", 4) == NULL) {
		wire_must(in.n < 256 * 1024, "a head without an end", in);
		return false;
	}
	line_of(&rest, start);
	for (;;) {
		line_of(&rest, &line);
		if (line.n == 0)
			break;
		field_of(m, line);
	}
	m->head = m->size = in.n - rest.n;
	return true;
}

static uint64_t
decimal(struct bytes b)
{
	uint64_t n = 0;

	wire_must(b.n > 0 && b.n < 19, "no length", b);
	for (size_t i = 0; i < b.n; i++) {
		wire_must(b.p[i] >= '0' && b.p[i] <= '9', "no digit", b);
		n = n * 10 + (uint64_t)(b.p[i] - '0');
	}
	return n;
}

static struct {
	char *p;
	size_t n, size;
} unchunked;

static void
keep(struct bytes b)
{
	if (unchunked.n + b.n > unchunked.size) {
		unchunked.size = (unchunked.n + b.n) * 2;
		unchunked.p = realloc(unchunked.p, unchunked.size);
	}
	if (b.n)
		memcpy(unchunked.p + unchunked.n, b.p, b.n);
	unchunked.n += b.n;
}

static uint64_t
chunk_size(struct bytes line)
{
	uint64_t n = 0;

	wire_must(line.n > 0 && line.n <= 15, "no chunk size", line);
	for (size_t i = 0; i < line.n; i++) {
		static const char digits[] = "0123456789abcdef";
		const char *at = strchr(digits, line.p[i] | 0x20);

		wire_must(at != NULL && *at && line.p[i] != '\0' &&
			      (line.p[i] >= '0'),
		    "no hexadecimal digit", line);
		n = n * 16 + (uint64_t)(at - digits);
	}
	return n;
}

static void
trailers(struct wire_message *m, struct bytes *rest)
{
	struct wire_message t = {.count = 0};
	struct bytes line;

	while (line_of(rest, &line)) {
		if (line.n == 0) {
			m->complete = true;
			break;
		}
		field_of(&t, line);
	}
	wire_must(wire_count(&t, "Content-Length") == 0 &&
		      wire_count(&t, "Transfer-Encoding") == 0 &&
		      wire_count(&t, "Host") == 0,
	    "a trailer that must be none", *rest);
}

static void
chunked(struct bytes in, struct wire_message *m)
{
	struct bytes rest = bytes_skip(in, m->head), line;

	unchunked.n = 0;
	while (line_of(&rest, &line)) {
		uint64_t n = chunk_size(line);

		if (n == 0) {
			trailers(m, &rest);
			break;
		}
		if (rest.n < n + 2) {
			keep(bytes_of(rest.p, rest.n < n ? rest.n : n));
			rest = bytes_skip(rest, rest.n);
			break;
		}
		keep(bytes_of(rest.p, n));
		wire_must(memcmp(rest.p + n, "\r\n", 2) == 0,
		    "a chunk that goes on", in);
		rest = bytes_skip(rest, n + 2);
	}
	m->body = bytes_of(unchunked.p ? unchunked.p : "", unchunked.n);
	m->size = m->complete ? in.n - rest.n : in.n;
}

static void
body_of(struct bytes in, struct wire_message *m)
{
	struct bytes length = wire_value(m, "Content-Length");
	struct bytes rest = bytes_skip(in, m->head);
	uint64_t n;

	switch (m->framing) {
	case WIRE_NONE:
		m->body = bytes_of("", 0);
		m->complete = true;
		break;
	case WIRE_LENGTH:
		n = decimal(length);
		m->complete = rest.n >= n;
		m->body = bytes_of(rest.p, m->complete ? n : rest.n);
		m->size = m->head + m->body.n;
		break;
	case WIRE_CHUNKED:
		chunked(in, m);
		break;
	case WIRE_CLOSE:
		m->body = rest;
		m->size = in.n;
		break;
	}
}

/* What the fields say; none is WIRE_CLOSE. */
static enum wire_framing
framing_of(const struct wire_message *m, struct bytes in)
{
	struct bytes length = wire_value(m, "Content-Length");
	struct bytes coding = wire_value(m, "Transfer-Encoding");

	wire_must(length.p == NULL || coding.p == NULL,
	    "both a length and a coding", in);
	if (coding.p != NULL) {
		wire_must(bytes_eq(coding, BYTES("chunked")),
		    "another transfer coding", in);
		return WIRE_CHUNKED;
	}
	if (length.p != NULL) {
		decimal(length);
		return WIRE_LENGTH;
	}
	return WIRE_CLOSE;
}

bool
wire_request(struct bytes in, struct wire_message *m)
{
	struct bytes start;
	const char *space;

	if (!head_of(in, m, &start))
		return false;
	space = memchr(start.p, ' ', start.n);
	wire_must(space != NULL, "no request line", in);
	m->method = bytes_of(start.p, (size_t)(space - start.p));
	start = bytes_skip(start, m->method.n + 1);
	wire_must(
	    start.n > 9 && memcmp(start.p + start.n - 9, " HTTP/1.1", 9) == 0,
	    "no version", in);
	m->target = bytes_of(start.p, start.n - 9);
	wire_must(is_token(m->method), "no method", in);
	for (size_t i = 0; i < m->target.n; i++)
		wire_must(m->target.p[i] > ' ' && m->target.p[i] < 0x7f &&
			      m->target.p[i] != '#',
		    "no target", in);
	m->framing = framing_of(m, in);
	if (m->framing == WIRE_CLOSE)
		m->framing = WIRE_NONE;
	body_of(in, m);
	return true;
}

bool
wire_response(struct bytes in, bool to_head, struct wire_message *m)
{
	struct bytes start;

	if (!head_of(in, m, &start))
		return false;
	wire_must(start.n >= 13 && memcmp(start.p, "HTTP/1.1 ", 9) == 0 &&
		      start.p[12] == ' ',
	    "no status line", in);
	m->status = (int)decimal(bytes_of(start.p + 9, 3));
	wire_must(m->status >= 100, "no status", in);
	m->framing = framing_of(m, in);
	if (m->status < 200 || m->status == 204)
		wire_must(m->framing == WIRE_CLOSE, "framing of no body", in);
	if (to_head || m->status < 200 || m->status == 204 || m->status == 304)
		m->framing = WIRE_NONE;
	body_of(in, m);
	return true;
}
