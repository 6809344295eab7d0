/*
 * The origin: by itself an honest one, that knows conditions and ranges; what
 * it does instead comes from the fuzzer's bytes, a plan a request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange_talk.h"
#include "larder/check.h"

#define PEERS_MAX 32
#define PLANS_MAX 32

enum kind {
	HONEST,
	WHOLE = 5, /* whatever was asked */
	STATUS,	   /* another status */
	SHORT,	   /* the connection ends in the body */
	CUT,	   /* is reset in the body */
	CLOSE,	   /* ends without an answer */
	RAW,	   /* any bytes */
	INTERIM,   /* a few 1xx first */
	BEHIND,	   /* bytes behind the end */
	SILENT,	   /* no answer ever */
	EARLY,	   /* before the request's body has come */
	MISFIT,	   /* 304, of something else */
	KINDS,
};

struct plan {
	enum kind kind;
	uint8_t framing, split, once, status;
	struct feed fields;
};

struct peer {
	struct link *link;
	bool checked;  /* the request whose body is coming */
	bool answered; /* ditto */
	bool over;     /* it answers no more */
};

static struct peer peers[PEERS_MAX];
static unsigned peer_count;
static struct plan plans[PLANS_MAX];
static unsigned plan_count, plan_next;
static bool holds;

void
origin_start(void)
{
	peer_count = plan_count = plan_next = 0;
	holds = false;
}

void
origin_holds(bool hold)
{
	holds = hold;
}

static const struct words no_words = {"", ""};

void
origin_plans(struct feed *feed)
{
	static struct text ignored;
	struct plan p;

	p.kind = (enum kind)(feed_u8(feed) % KINDS);
	if (p.kind < WHOLE)
		p.kind = HONEST;
	p.framing = feed_u8(feed);
	p.split = feed_u8(feed);
	p.once = feed_u8(feed) % 8;
	p.status = feed_u8(feed);
	p.fields = *feed;
	ignored.n = 0;
	text_fields(&ignored, feed, talk_response_fields,
	    talk_response_field_count, &no_words);
	p.fields.n -= feed->n;
	if (plan_count < PLANS_MAX)
		plans[plan_count++] = p;
}

/* ---- what larder may ask ---------------------------------------------- */

static void
check_forbidden(const struct peer *peer, const struct wire_message *m)
{
	static const char *const never[] = {"Connection", "Keep-Alive",
	    "Proxy-Authorization", "Proxy-Connection", "TE", "Upgrade",
	    "HTTP2-Settings", "Proxy-Authenticate"};
	static const char *const of_sites[] = {
	    "X-Forwarded-Host", "X-HTTP-Method-Override", "X-Original-URL"};
	struct bytes in = link_input(peer->link);

	for (unsigned i = 0; i < ARRAY_SIZE(never); i++)
		wire_must(wire_count(m, never[i]) == 0,
		    "a hop-by-hop field towards the origin", in);
	for (unsigned i = 0; i < ARRAY_SIZE(of_sites); i++)
		wire_must(
		    peer->link->port != 8000 || wire_count(m, of_sites[i]) == 0,
		    "an overriding field towards a site's origin", in);
	wire_must(!bytes_eq(m->method, BYTES("CONNECT")) &&
		      !bytes_eq(m->method, BYTES("TRACE")),
	    "a method that must not pass", in);
	wire_must(wire_count(m, "Host") == 1, "not one Host", in);
	wire_must(wire_count(m, "Via") >= 1, "no Via", in);
}

TALK_PLAIN static void
check_asked(const struct peer *peer, const struct wire_message *m)
{
	struct bytes in = link_input(peer->link);
	const struct asked *a;
	unsigned index;

	if (wire_count(m, "X-Req") != 1)
		return;
	a = asked_by_number(wire_value(m, "X-Req"), &index);
	if (a == NULL || a->jest || a->place->at_host == NULL)
		return;
	wire_must(bytes_eq(wire_value(m, "Host"), bytes_str(a->place->at_host)),
	    "another Host than asked for", in);
	/* "*" stands for no path at all (RFC 9112 3.2.4). */
	wire_must(bytes_eq(m->target, bytes_str(a->place->at_path)) ||
		      (bytes_eq(m->method, BYTES("OPTIONS")) &&
			  bytes_eq(m->target, BYTES("*"))),
	    "another path than asked for", in);
	wire_must(bytes_eq(m->method, bytes_str(a->method)) ||
		      bytes_eq(m->method, BYTES("GET")),
	    "another method than asked for", in);
	if (!a->has_body || bytes_eq(m->method, BYTES("GET")))
		return;
	wire_must(m->body.n <= a->body, "more body than was sent", in);
	wire_must(!m->complete || m->body.n == a->body,
	    "a body that ended short", in);
	for (size_t i = 0; i < m->body.n; i++)
		wire_must(m->body.p[i] == talk_pattern(index, false, i),
		    "another body than was sent", in);
}

/* ---- honest answers --------------------------------------------------- */

struct answer {
	int status;
	size_t from, to;
	bool has_body;
};

static bool
lists(struct bytes list, const char *tag)
{
	return list.n > 0 && tag[0] != '\0' &&
	       memmem(list.p, list.n, tag, strlen(tag)) != NULL;
}

static struct bytes
first_value(const struct wire_message *m, const char *name)
{
	for (unsigned i = 0; i < m->count; i++)
		if (bytes_ieq(m->name[i], bytes_str(name)))
			return m->value[i];
	return bytes_of(NULL, 0);
}

static void
answer_range(
    const struct wire_message *m, const struct rep *rep, struct answer *a)
{
	struct bytes range = first_value(m, "Range");
	struct bytes if_range = first_value(m, "If-Range");
	unsigned long from = 0, to = 0;
	char text[64], rest;

	if (range.n == 0 || range.n >= sizeof(text) ||
	    wire_count(m, "Range") != 1)
		return;
	if (if_range.n > 0 &&
	    (rep->etag[0] != '"' || !bytes_eq(if_range, bytes_str(rep->etag))))
		return;
	snprintf(text, sizeof(text), "%.*s", BYTES_FMT(range));
	if (sscanf(text, "bytes=%lu-%lu%c", &from, &to, &rest) == 2) {
		if (to < from)
			return;
		to = to >= rep->length ? rep->length : to + 1;
	} else if (sscanf(text, "bytes=%lu-%c", &from, &rest) == 1 &&
		   text[range.n - 1] == '-') {
		to = rep->length;
	} else if (sscanf(text, "bytes=-%lu%c", &from, &rest) == 1) {
		from = from > rep->length ? 0 : rep->length - from;
		to = rep->length;
	} else {
		return;
	}
	if (from >= rep->length) {
		a->status = 416;
		a->has_body = false;
		return;
	}
	*a = (struct answer){206, from, to, true};
}

static struct answer
honest(const struct wire_message *m, const struct rep *rep)
{
	struct bytes none_match = first_value(m, "If-None-Match");
	struct bytes since = first_value(m, "If-Modified-Since");
	struct bytes match = first_value(m, "If-Match");
	bool get = bytes_eq(m->method, BYTES("GET"));
	struct answer a = {200, 0, rep->length, true};

	if (rep->class != 0)
		return a;
	if (match.n > 0 && !bytes_eq(match, BYTES("*")) &&
	    !(rep->etag[0] == '"' && lists(match, rep->etag)))
		return (struct answer){412, 0, 0, true};
	if (none_match.n > 0
		? lists(none_match, rep->etag) ||
		      bytes_eq(none_match, BYTES("*"))
		: bytes_eq(since, bytes_str(rep->modified)) && since.n > 0)
		return (struct answer){304, 0, 0, false};
	if (get)
		answer_range(m, rep, &a);
	return a;
}

/* ---- writing ---------------------------------------------------------- */

static void
put_chunked(struct link *l, struct bytes body, bool dressed)
{
	size_t step = dressed ? 1000 : 20000;
	char head[64];

	for (size_t at = 0; at < body.n; at += step) {
		size_t n = body.n - at < step ? body.n - at : step;

		link_put(l, head,
		    (size_t)snprintf(head, sizeof(head), "%s%zX%s\r\n",
			dressed ? "0" : "", n, dressed ? ";a=\"b\"" : ""));
		link_put(l, body.p + at, n);
		link_put(l, "\r\n", 2);
	}
	link_put(l, dressed ? "00;x\r\nX-T: 1\r\n\r\n" : "0\r\n\r\n",
	    dressed ? 16 : 5);
}

static void
put_framing(struct text *t, unsigned framing, const struct answer *a)
{
	if (a->status < 200 || a->status == 204 || a->status == 304)
		return;
	if (framing == 0)
		text_format(t, "Content-Length: %zu\r\n", a->to - a->from);
	else if (framing < 3)
		text_put(t, "Transfer-Encoding: chunked\r\n");
}

static void
put_body(struct peer *peer, const struct plan *plan, const struct rep *rep,
    const struct answer *a)
{
	struct bytes body = rep_bytes(rep, a->from, a->to);
	unsigned framing = plan->framing % 4;
	struct link *l = peer->link;
	size_t before = l->out_n;

	if (framing == 1 || framing == 2)
		put_chunked(l, body, framing == 2);
	else
		link_put(l, body.p, body.n);
	if (plan->kind != SHORT && plan->kind != CUT)
		return;
	if (l->out_n > before + 6)
		l->out_n -=
		    6 + (l->out_n - before - 6) * (plan->status % 8) / 8;
	peer->over = true;
	/* Without any framing the end would be in order. */
	if (plan->kind == CUT || framing == 3 || l->out_n <= before + 6)
		l->abort_behind = true;
	else
		l->close_behind = true;
}

static void
put_head(struct text *t, const struct wire_message *m, const struct plan *plan,
    const struct rep *rep, const struct answer *a)
{
	struct words words = {rep->etag, rep->modified};
	bool site = !bytes_eq(first_value(m, "Host"), BYTES("127.0.0.1:8000"));
	bool understood;
	struct bytes selector = first_value(m, "X-V");

	text_format(t, "HTTP/1.1 %d Whatever\r\n", a->status);
	if (plan->kind == MISFIT)
		text_put(t, "ETag: \"misfit\"\r\n");
	else if (rep->etag[0] != '\0')
		text_format(t, "ETag: %s\r\n", rep->etag);
	if (a->status != 412 && a->status != 416)
		text_format(t, "Last-Modified: %s\r\n", rep->modified);
	text_fields(t, &(struct feed){plan->fields.p, plan->fields.n},
	    talk_response_fields, talk_response_field_count, &words);
	/* Then no-store is not meant for larder (RFC 9111 5.2.2.3). */
	understood = memmem(t->p, t->n, "must-understand", 15) != NULL;
	if (plan->once == 1)
		text_put(t, "Cache-Control: private\r\n");
	if (plan->once == 2)
		text_put(t, "Cache-Control: no-store\r\n");
	if (plan->once > 4)
		text_put(t, "Cache-Control: max-age=60\r\n");
	if (t->jest || a->status == 304)
		return;
	if (a->status == 206)
		text_format(t, "Content-Range: bytes %zu-%zu/%zu\r\n", a->from,
		    a->to - 1, rep->length);
	if (a->status == 416)
		text_format(t, "Content-Range: bytes */%zu\r\n", rep->length);
	if (a->status == 412 || a->status == 416)
		return;
	text_format(t, "X-Rep: %s\r\n", rep->number);
	if (bytes_eq(m->method, BYTES("GET")) && selector.n < 8)
		text_format(t, "X-V-Echo: %.*s\r\n",
		    selector.n ? (int)selector.n : 4,
		    selector.n ? selector.p : "none");
	if (site && (plan->once == 1 || (plan->once == 2 && !understood)))
		text_format(t, "X-Once: %u\r\n", plan_next);
}

static void
put_raw(struct peer *peer, const struct plan *plan)
{
	static struct text t;

	t.n = 0;
	if (plan->status & 1)
		text_put(&t, "HTTP/1.1 200 OK\r\n");
	text_fields(&t, &(struct feed){plan->fields.p, plan->fields.n},
	    talk_response_fields, talk_response_field_count, &no_words);
	if (plan->status & 2)
		text_put(&t, "\r\n");
	link_put(peer->link, t.p, t.n);
	if (plan->status & 4)
		peer->link->close_behind = true;
	if (plan->status & 8)
		peer->link->abort_behind = true;
	peer->over = true;
}

static void
put_interims(struct link *l, unsigned seed)
{
	static const char *const interims[] = {"HTTP/1.1 100 Continue\r\n\r\n",
	    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-I: 1\r\n\r\n",
	    "HTTP/1.1 102 Processing\r\nConnection: x-i\r\nX-I: 1\r\n\r\n",
	    "HTTP/1.1 199 Odd\r\nContent-Type: x\r\n\r\n"};

	for (unsigned i = 0; i <= seed % 20; i++)
		link_put(l, interims[(seed + i) % 4],
		    strlen(interims[(seed + i) % 4]));
}

static void
put_answer(struct peer *peer, const struct wire_message *m,
    const struct plan *plan, const struct rep *rep)
{
	static const int statuses[] = {200, 203, 204, 301, 302, 307, 400, 404,
	    405, 410, 414, 418, 500, 501, 502, 503, 504, 599};
	struct answer a = {200, 0, rep->length, true};
	unsigned framing = plan->framing % 4;
	struct link *l = peer->link;
	static struct text t;

	if (plan->kind == MISFIT)
		a.status = 304;
	else if (plan->kind == STATUS)
		a.status = statuses[plan->status % ARRAY_SIZE(statuses)];
	else if (plan->kind != WHOLE)
		a = honest(m, rep);
	if (a.status == 204 || a.status == 304)
		a.has_body = false;
	if (a.status == 304)
		rep_validate(rep);
	if (a.status == 416)
		a.to = a.from;
	t.n = 0;
	t.jest = false;
	put_head(&t, m, plan, rep, &a);
	put_framing(&t, framing, &a);
	if (framing == 3 && (plan->framing & 8))
		text_put(&t, "Connection: close\r\n");
	text_put(&t, "\r\n");
	if (plan->kind == INTERIM)
		put_interims(l, plan->status);
	link_put(l, t.p, t.n);
	if (a.has_body && !bytes_eq(m->method, BYTES("HEAD")))
		put_body(peer, plan, rep, &a);
	if (framing == 3 && !l->abort_behind) {
		l->close_behind = true;
		peer->over = true;
	}
	if (plan->kind == BEHIND && framing != 3)
		link_put(l, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		    plan->status % 40);
}

static void
answer(struct peer *peer, const struct wire_message *m, const struct plan *plan)
{
	static const struct bytes methods[] = {{"GET", 3}, {"HEAD", 4},
	    {"POST", 4}, {"PUT", 3}, {"DELETE", 6}, {"PATCH", 5}};
	struct link *l = peer->link;
	size_t before = l->out_n;
	const struct rep *rep;
	unsigned class = 9;

	for (unsigned i = 0; i < ARRAY_SIZE(methods); i++)
		if (bytes_eq(m->method, methods[i]))
			class = i;
	rep = rep_of(talk_hash(wire_value(m, "Host"), m->target),
	    class <= 1 ? 0 : class);
	peer->answered = true;
	if (plan->kind == CLOSE || rep == NULL) {
		l->close_behind = true;
		peer->over = true;
	} else if (plan->kind == SILENT) {
		peer->over = true;
	} else if (plan->kind == RAW) {
		put_raw(peer, plan);
	} else {
		put_answer(peer, m, plan, rep);
	}
	l->out_allowed = plan->split ? before + plan->split * 3u : SIZE_MAX;
}

/* ---- serving ---------------------------------------------------------- */

static const struct plan *
next_plan(void)
{
	static const struct plan usual = {.kind = HONEST, .once = 5};

	return plan_next < plan_count ? &plans[plan_next] : &usual;
}

/* Expect is met at once; the rest when it is all there. */
static bool
serve_one(struct peer *peer)
{
	struct link *l = peer->link;
	static struct wire_message m;

	if (l->port == 443) {
		struct bytes in = link_input(l);

		link_put(l, in.p, in.n);
		l->out_allowed = SIZE_MAX;
		link_drop(l, in.n);
		return in.n > 0;
	}
	if (peer->over || l->in_n == 0 || !wire_request(link_input(l), &m))
		return false;
	if (!peer->checked || m.complete) {
		check_forbidden(peer, &m);
		check_asked(peer, &m);
	}
	if (!peer->checked && !m.complete && wire_count(&m, "Expect")) {
		link_put(l, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		l->out_allowed = SIZE_MAX;
		peer->checked = true;
		return true;
	}
	peer->checked = true;
	if (!m.complete && next_plan()->kind != EARLY)
		return false;
	if (!peer->answered) {
		if (holds)
			return false;
		answer(peer, &m, next_plan());
		plan_next++;
	}
	if (!m.complete)
		return false;
	link_drop(l, m.size);
	peer->checked = peer->answered = false;
	return true;
}

bool
origin_serve(void)
{
	struct link *fresh;
	bool moved = false;

	while ((fresh = world_accept()) != NULL) {
		moved = true;
		if (peer_count == PEERS_MAX)
			link_close(fresh);
		else
			peers[peer_count++] = (struct peer){.link = fresh};
	}
	for (unsigned i = 0; i < peer_count; i++) {
		struct peer *p = &peers[i];

		if (p->link->fd < 0)
			continue;
		while (serve_one(p))
			moved = true;
		if (p->link->ended)
			link_close(p->link);
	}
	return moved;
}

void
origin_release(void)
{
	for (unsigned i = 0; i < peer_count; i++)
		peers[i].link->out_allowed = SIZE_MAX;
}

void
origin_ends(struct feed *feed)
{
	uint8_t which = feed_u8(feed);
	struct link *l;

	if (peer_count == 0)
		return;
	l = peers[which % peer_count].link;
	/* An end in order may be what ends the body. */
	if ((which & 0x80) || l->out_sent < l->out_n)
		link_abort(l);
	else
		link_close(l);
}

void
origin_stop(void)
{
	for (unsigned i = 0; i < peer_count; i++)
		link_close(peers[i].link);
	peer_count = 0;
}
