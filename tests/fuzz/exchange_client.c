/*
 * The clients: a few connections on which requests are sent, and what comes
 * back held against what was asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "exchange_talk.h"
#include "larder/check.h"

#define CLIENTS	    3
#define ASKED_MAX   128
#define ANSWERS_MAX 256

struct caller {
	struct link *link;
	unsigned queue[ASKED_MAX]; /* what has been asked, not answered */
	unsigned head, tail;
	bool jest;  /* what is an answer to what is not known any more */
	bool blind; /* nor what has a body */
};

static struct caller callers[CLIENTS];
static struct asked asked[ASKED_MAX];
static unsigned asked_count;
static uint8_t once[ANSWERS_MAX]; /* how often an answer for one was seen */

void
client_start(void)
{
	memset(callers, 0, sizeof(callers));
	memset(once, 0, sizeof(once));
	asked_count = 0;
}

static uint32_t
salt_of(unsigned index)
{
	return index * 2654435761u ^ 0x5bd1e995u;
}

struct asked *
asked_by_number(struct bytes number, unsigned *index)
{
	char text[32];

	for (unsigned i = 0; i < asked_count; i++) {
		snprintf(text, sizeof(text), "%u-%08x", i, salt_of(i));
		if (bytes_eq(number, bytes_str(text))) {
			*index = i;
			return &asked[i];
		}
	}
	return NULL;
}

/* ---- asking ----------------------------------------------------------- */

static struct caller *
caller_of(uint8_t which)
{
	struct caller *c = &callers[which % CLIENTS];

	if (c->link == NULL || c->link->fd < 0 || c->link->ended ||
	    c->link->half || c->link->close_behind) {
		*c = (struct caller){.link = world_client()};
	}
	return c;
}

static void
note_jest(struct caller *c)
{
	struct bytes out = bytes_of(c->link->out, c->link->out_n);

	c->jest = true;
	if (out.n > 0 && (memmem(out.p, out.n, "HEAD", 4) != NULL ||
			     memmem(out.p, out.n, "CONNECT", 7) != NULL))
		c->blind = true;
}

TALK_PLAIN static void
put_body(struct caller *c, unsigned index, unsigned how, size_t n)
{
	char *body = malloc(n + 1), head[32];
	size_t step = how == 3 ? 777 : 30000;

	check(body != NULL);
	for (size_t i = 0; i < n; i++)
		body[i] = talk_pattern(index, false, i);
	if (how == 2 || how == 5) {
		link_put(c->link, body, n);
	} else {
		for (size_t at = 0; at < n; at += step) {
			size_t some = n - at < step ? n - at : step;

			link_put(c->link, head,
			    (size_t)snprintf(head, sizeof(head), "%zx%s\r\n",
				some, how == 3 ? ";e=1" : ""));
			link_put(c->link, body + at, some);
			link_put(c->link, "\r\n", 2);
		}
		link_put(c->link,
		    how == 3 ? "0\r\nX-T: 1\r\n\r\n" : "0\r\n\r\n",
		    how == 3 ? 13 : 5);
	}
	free(body);
}

static void
put_request(struct caller *c, struct text *t, struct feed *feed)
{
	static const char *const methods[] = {"GET", "GET", "GET", "GET", "GET",
	    "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS",
	    "BREW", "CONNECT", "TRACE"};
	static const char *const selectors[] = {"", "a", "b", "a, b"};
	static const size_t sizes[] = {0, 3, 100, 20000, 1, 100, 70000, 200000};
	const struct place *place =
	    &talk_places[feed_u8(feed) % talk_place_count];
	uint8_t method = feed_u8(feed) % 16, flags = feed_u8(feed);
	unsigned how = feed_u8(feed) % 6, index = asked_count++;
	struct asked *a = &asked[index];
	const struct rep *rep =
	    place->at_host ? rep_of(talk_hash(bytes_str(place->at_host),
					bytes_str(place->at_path)),
				 0)
			   : NULL;
	struct words words = {rep ? rep->etag : "", rep ? rep->modified : "x"};

	*a = (struct asked){.place = place, .minor = (flags & 0xc0) != 0xc0};
	snprintf(a->method, sizeof(a->method), "%s", methods[method]);
	snprintf(a->selector, sizeof(a->selector), "%s", selectors[flags & 3]);
	a->has_body = how >= 2 && method != 14 && a->minor > 0;
	a->body = sizes[(flags >> 2 & 7) % ARRAY_SIZE(sizes)];
	t->n = 0;
	t->jest = false;
	text_format(t, "%s %s HTTP/1.%u\r\n", a->method,
	    method == 14 ? "127.0.0.1:443" : place->target, a->minor);
	text_format(t, "Host: %s\r\n",
	    method == 14  ? "127.0.0.1:443"
	    : place->host ? place->host
			  : "other.example");
	text_format(t, "X-Req: %u-%08x\r\n", index, salt_of(index));
	if (a->selector[0] != '\0')
		text_format(t, "X-V: %s\r\n", a->selector);
	text_fields(
	    t, feed, talk_request_fields, talk_request_field_count, &words);
	if (a->has_body && (how == 3 || how == 4))
		text_put(t, "Transfer-Encoding: chunked\r\n");
	else if (a->has_body)
		text_format(t, "Content-Length: %zu\r\n", a->body);
	if (a->has_body && how == 5)
		text_put(t, "Expect: 100-continue\r\n");
	text_put(t, "\r\n");
	a->jest = t->jest || c->jest || t->n > sizeof(t->p) - 1100;
	link_put(c->link, t->p, t->n);
	if (a->has_body)
		put_body(c, index, how, a->body);
	if (a->jest)
		note_jest(c);
	c->queue[c->tail++] = index;
}

void
client_says(struct feed *feed, bool raw)
{
	struct caller *c = caller_of(feed_u8(feed));
	uint8_t split = feed_u8(feed), n;
	size_t before = c->link->out_n;
	static struct text t;

	if (raw) {
		for (n = feed_u8(feed); n > 0 && feed->n > 0; n--) {
			uint8_t byte = feed_u8(feed);

			link_put(c->link, &byte, 1);
		}
		note_jest(c);
	} else if (asked_count < ASKED_MAX) {
		put_request(c, &t, feed);
	}
	c->link->out_allowed = split ? before + split : SIZE_MAX;
}

void
client_ends(struct feed *feed)
{
	uint8_t how = feed_u8(feed);
	struct caller *c = &callers[how % CLIENTS];

	if (c->link == NULL)
		return;
	if (how & 0x80) {
		link_abort(c->link);
		c->link = NULL;
	} else if (how & 0x40) {
		link_close(c->link);
		c->link = NULL;
	} else {
		c->link->close_behind = true;
	}
}

void
client_pauses(struct feed *feed)
{
	struct caller *c = &callers[feed_u8(feed) % CLIENTS];

	if (c->link != NULL)
		c->link->deaf = !c->link->deaf;
}

void
client_release(void)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (callers[i].link != NULL) {
			callers[i].link->out_allowed = SIZE_MAX;
			callers[i].link->deaf = false;
		}
}

/* ---- what comes ------------------------------------------------------- */

static struct bytes
decoded(struct bytes coding, struct bytes in)
{
	static char out[512 * 1024];
	size_t n = sizeof(out);

	if (bytes_ieq(coding, BYTES("zstd"))) {
		ZSTD_inBuffer from = {in.p, in.n, 0};
		ZSTD_outBuffer to = {out, n, 0};
		ZSTD_DStream *z = ZSTD_createDStream();
		size_t left = 1;

		while (from.pos < from.size && to.pos < to.size)
			if (ZSTD_isError(
				left = ZSTD_decompressStream(z, &to, &from)))
				break;
		ZSTD_freeDStream(z);
		wire_must(left == 0, "a zstd body that does not decode", in);
		n = to.pos;
	} else {
		z_stream z = {
		    .avail_in = (unsigned)in.n, .avail_out = (unsigned)n};

		memcpy(&z.next_in, &in.p, sizeof(in.p));
		z.next_out = (unsigned char *)out;
		check(inflateInit2(&z, 31) == Z_OK);
		wire_must(inflate(&z, Z_FINISH) == Z_STREAM_END,
		    "a gzip body that does not decode", in);
		n = z.total_out;
		inflateEnd(&z);
	}
	return bytes_of(out, n);
}

TALK_PLAIN static void
check_bytes(const struct rep *rep, size_t from, struct bytes body)
{
	wire_must(
	    body.n <= rep->length - from, "more body than there is", body);
	wire_must(bytes_eq(rep_bytes(rep, from, from + body.n), body),
	    "another body than the origin's", body);
}

/* "bytes a-b/n" of rep. */
static void
check_range(struct bytes value, const struct rep *rep, size_t *from, size_t *to)
{
	unsigned long a, b, n;
	char text[96], rest;

	snprintf(text, sizeof(text), "%.*s", BYTES_FMT(value));
	wire_must(sscanf(text, "bytes %lu-%lu/%lu%c", &a, &b, &n, &rest) == 3,
	    "no Content-Range", value);
	wire_must(n == rep->length && a <= b && b < n,
	    "a Content-Range that is not the representation's", value);
	*from = a;
	*to = b + 1;
}

static void
check_multipart(
    const struct wire_message *m, const struct rep *rep, struct bytes in)
{
	struct bytes type = wire_value(m, "Content-Type"), rest = m->body;
	const char *at = memmem(type.p, type.n, "boundary=", 9);
	char mark[128];
	int n;

	wire_must(at != NULL, "no boundary", in);
	n = snprintf(mark, sizeof(mark), "--%.*s",
	    (int)(type.n - (size_t)(at + 9 - type.p)), at + 9);
	check(n > 2 && (size_t)n < sizeof(mark));
	for (;;) {
		struct wire_message part = {.count = 0};
		const char *p = memmem(rest.p, rest.n, mark, (size_t)n), *end;
		size_t from = 0, to = 0;
		const char *range, *line;

		wire_must(p != NULL, "no part", in);
		rest = bytes_skip(rest, (size_t)(p - rest.p) + (size_t)n);
		if (bytes_starts(rest, BYTES("--")))
			return;
		end = memmem(rest.p, rest.n, "\r\n\r\n", 4);
		wire_must(end != NULL, "a part without a head", in);
		part.head = (size_t)(end - rest.p);
		range = memmem(rest.p, part.head, "Content-Range: ", 15);
		wire_must(range != NULL, "a part without Content-Range", in);
		line = memmem(range, (size_t)(end - range) + 2, "\r\n", 2);
		check_range(bytes_of(range + 15, (size_t)(line - range) - 15),
		    rep, &from, &to);
		rest = bytes_skip(rest, part.head + 4);
		wire_must(rest.n >= to - from, "a short part", in);
		check_bytes(rep, from, bytes_of(rest.p, to - from));
		rest = bytes_skip(rest, to - from);
	}
}

static void
check_rep(const struct wire_message *m, const struct rep *rep, bool complete,
    bool to_head, struct bytes in)
{
	struct bytes coding = wire_value(m, "Content-Encoding");
	struct bytes body = m->body, range;
	size_t from = 0, to = rep->length;

	if (to_head || m->status == 304 || m->status == 204 || m->status == 416)
		return;
	if (coding.p != NULL) {
		wire_must(m->status != 206, "a part of what was coded", in);
		if (!complete)
			return;
		body = decoded(coding, body);
	}
	if (m->status == 206) {
		range = wire_value(m, "Content-Range");
		if (range.p == NULL) {
			if (complete)
				check_multipart(m, rep, in);
			return;
		}
		check_range(range, rep, &from, &to);
	}
	check_bytes(rep, from, body);
	wire_must(!complete || body.n == to - from,
	    "a body that ended well, and short", in);
}

static void
check_fit(const struct wire_message *m, const struct asked *a,
    const struct rep *rep, struct bytes in)
{
	bool get =
	    strcmp(a->method, "GET") == 0 || strcmp(a->method, "HEAD") == 0;

	wire_must((a->place->at_host != NULL &&
		      rep->place == talk_hash(bytes_str(a->place->at_host),
					bytes_str(a->place->at_path))) ||
		      strcmp(a->method, "OPTIONS") == 0,
	    "the answer to another question", in);
	wire_must(get == (rep->class == 0), "the answer to another method", in);
	if (wire_count(m, "X-V-Echo") != 1 || rep_is_validated(rep))
		return;
	for (unsigned i = 0; i < m->count; i++)
		if (bytes_ieq(m->name[i], BYTES("Vary")) &&
		    memmem(m->value[i].p, m->value[i].n, "X-V", 3) != NULL)
			wire_must(bytes_eq(wire_value(m, "X-V-Echo"),
				      a->selector[0] ? bytes_str(a->selector)
						     : BYTES("none")),
			    "another variant", in);
}

static void
check_answer(const struct wire_message *m, const struct asked *a, bool complete,
    struct bytes in)
{
	bool to_head = a != NULL && strcmp(a->method, "HEAD") == 0;
	const struct rep *rep = NULL;
	struct bytes via = bytes_of(NULL, 0);

	for (unsigned i = 0; i < m->count; i++)
		if (bytes_ieq(m->name[i], BYTES("Via")))
			via = m->value[i];
	wire_must(via.n >= 6 && memmem(via.p, via.n, "larder", 6) != NULL,
	    "no Via of larder's", in);
	wire_must(wire_count(m, "Cache-Status") >= 1, "no Cache-Status", in);
	wire_must(wire_count(m, "Proxy-Connection") == 0 &&
		      wire_count(m, "Keep-Alive") == 0,
	    "a hop-by-hop field towards the client", in);
	wire_must(a == NULL || a->minor > 0 || m->framing != WIRE_CHUNKED,
	    "chunks for HTTP/1.0", in);
	if (wire_count(m, "X-Rep") == 1)
		rep = rep_by_number(wire_value(m, "X-Rep"));
	if (rep == NULL)
		return;
	check_rep(m, rep, complete, to_head, in);
	if (a != NULL)
		check_fit(m, a, rep, in);
	if (wire_count(m, "X-Once") == 1) {
		unsigned long n = strtoul(wire_value(m, "X-Once").p, NULL, 10);

		wire_must(n >= ANSWERS_MAX || ++once[n] == 1,
		    "an answer for one went to two", in);
	}
}

/* Who did not get to read HEAD does not know that it was one. */
static bool
answers_head(struct bytes in, const struct asked *a)
{
	const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);

	if (a == NULL || strcmp(a->method, "HEAD") != 0)
		return false;
	/* Of this one, not of what may lie behind it. */
	if (end != NULL)
		in.n = (size_t)(end - in.p);
	return memmem(in.p, in.n, "detail=bad-request", 18) == NULL;
}

/* One message; false: there is none yet. */
static bool
check_one(struct caller *c)
{
	struct link *l = c->link;
	struct bytes in = link_input(l);
	static struct wire_message m;
	struct asked *a = NULL;
	bool complete;

	if (in.n == 0)
		return false;
	if (!c->jest) {
		wire_must(
		    c->head < c->tail, "an answer without a question", in);
		a = &asked[c->queue[c->head]];
	}
	if (!wire_response(in, answers_head(in, a), &m)) {
		wire_must(!l->ended || l->reset, "half a head", in);
		return false;
	}
	if (a != NULL && strcmp(a->method, "CONNECT") == 0 && m.status < 300) {
		c->jest = c->blind = true;
		return true;
	}
	complete =
	    m.complete || (m.framing == WIRE_CLOSE && l->ended && !l->reset);
	if (!complete && !l->ended)
		return false;
	if (m.status < 200) {
		wire_must(m.status != 101, "a switch of protocols", in);
		wire_must(a == NULL || a->minor > 0, "1xx for HTTP/1.0", in);
	} else {
		wire_must(m.framing != WIRE_CLOSE ||
			      wire_count(&m, "Connection") == 1,
		    "a body up to the end, and no word of that", in);
		check_answer(&m, a, complete, in);
		c->head += a != NULL;
	}
	link_drop(l, complete ? m.size : l->in_n);
	return true;
}

bool
client_check(void)
{
	bool any = false;

	for (unsigned i = 0; i < CLIENTS; i++) {
		struct caller *c = &callers[i];

		if (c->link == NULL)
			continue;
		while (!c->blind && check_one(c))
			any = true;
		if (c->blind)
			link_drop(c->link, c->link->in_n);
	}
	return any;
}

void
client_stop(void)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (callers[i].link != NULL)
			wire_must(
			    callers[i].link->fd < 0 || callers[i].link->ended,
			    "larder has forgotten a client",
			    link_input(callers[i].link));
}
