/*
 * The head of an answer: from a stored form or from larder itself, with what
 * only the sender knows: length or coding, Age, Via, Cache-Status, Connection.
 */
#include "http/forward.h"
#include "http/list.h"
#include "larder/check.h"
#include "proxy/client.h"
#include "proxy/coded.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/partial.h"

/* ---- common ----------------------------------------------------------- */

static void
put_before(struct exchange *x, struct bytes b)
{
	check(x->before_count < (int)ARRAY_SIZE(x->before) - 1);
	if (b.n == 0)
		return;
	x->before[x->before_count].iov_base = (void *)(uintptr_t)b.p;
	x->before[x->before_count++].iov_len = b.n;
}

static bool
has_no_body(int status)
{
	return status < 200 || status == 204 || status == 304;
}

/* How the body is delimited (RFC 9112 6). A 1.0 client knows no chunks. */
static enum delimiter
choose_delimiter(const struct exchange *x, bool wants_trailers)
{
	if (x->head.method == HTTP_HEAD || has_no_body(x->status))
		return DELIMIT_NONE;
	if (x->length != STORE_UNKNOWN && !wants_trailers)
		return DELIMIT_LENGTH;
	return x->head.minor >= 1 ? DELIMIT_CHUNKED : DELIMIT_CLOSE;
}

static void
write_connection(struct exchange *x, struct http_out *out)
{
	/* A body that was refused, or not asked for, is not read to its end
	 * only to keep a connection. */
	if (!http_body_done(&x->body) &&
	    (x->fetch == NULL || x->fetch->write_failed ||
		(x->expects && !x->fetch->upload_begun)))
		x->keep = false;
	if (x->delimiter == DELIMIT_CLOSE || x->w->draining || x->client->ended)
		x->keep = false;
	if (!x->keep)
		http_out_str(out, "Connection: close\r\n");
	else if (x->head.minor == 0)
		http_out_str(out, "Connection: keep-alive\r\n");
}

static void
write_length(const struct exchange *x, struct http_out *out, uint64_t length)
{
	if (x->delimiter == DELIMIT_CHUNKED) {
		http_out_str(out, "Transfer-Encoding: chunked\r\n");
	} else if (length != STORE_UNKNOWN && !has_no_body(x->status) &&
		   x->delimiter != DELIMIT_CLOSE) {
		http_out_str(out, "Content-Length: ");
		http_out_u64(out, length);
		http_out_str(out, "\r\n");
	}
}

/* ---- from a stored form ----------------------------------------------- */

static void
write_age(struct exchange *x, struct http_out *out)
{
	int64_t age = cache_age(x->meta, worker_now(x->w));
	bool forwarded = !x->note_status.hit && !x->note_status.collapsed &&
			 !x->stale_stands_in &&
			 x->note_status.fwd_status != 304;

	/* Of a first-hand answer only what it said itself. */
	if (forwarded && x->meta->initial_age <= 0)
		return;
	http_out_str(out, "Age: ");
	http_out_u64(out, age > 0 ? (uint64_t)age : 0);
	http_out_str(out, "\r\n");
}

static void
write_own_fields(struct exchange *x, struct http_out *out)
{
	bool old = x->meta != NULL && (x->meta->flags & CACHE_BY_HTTP_1_0);

	if (x->meta != NULL)
		write_age(x, out);
	/* The version that it was received in (RFC 9110 7.6.3). */
	http_out_str(out, old ? "Via: 1.0 larder\r\n" : "Via: 1.1 larder\r\n");
	cache_status_write(out, &x->note_status);
	write_connection(x, out);
	http_out_str(out, "\r\n");
}

/* Does the client have it already? Then a 304 without a body. */
static bool
is_not_modified(const struct exchange *x)
{
	/* RFC 9110 13.2.1: conditions are for what would be a 2xx. */
	return x->status / 100 == 2 && x->status != 206 &&
	       x->decision.action != CACHE_PASS && x->request.conditional &&
	       cache_precondition_stored(&x->head, x->meta, worker_now(x->w)) ==
		   304;
}

static bool
answer_not_modified(struct exchange *x)
{
	struct http_head stored;
	struct bytes form;

	if (!is_not_modified(x) ||
	    cache_head_parse(x->form, &x->arena, &stored) < 0)
		return false;
	form = cache_head_not_modified(&stored, &x->arena);
	if (form.p == NULL)
		return false;
	x->form = form;
	x->status = 304;
	x->length = 0;
	return true;
}

/* ---- its coding ------------------------------------------------------- */

static bool
is_recoded(const struct exchange *x)
{
	return x->coding.from != x->coding.to;
}

static bool
is_for_all(const struct exchange *x)
{
	const struct flight *f = x->waiter.flight;

	return x->from_store || (f != NULL && f->result.shared);
}

/*
 * The coding that the client accepts: the head's fields say so, and a recode
 * makes the body. False: it cannot be had now, and nothing else will do.
 */
static bool
choose_coding(struct exchange *x)
{
	struct cache_coding *c = &x->coding;

	*c = (struct cache_coding){0};
	if (x->decision.action == CACHE_PASS || x->meta == NULL ||
	    cache_is_part(x->meta))
		return true;
	cache_coding_choose(
	    &x->request, x->meta, x->length, is_for_all(x), &x->policy, c);
	if (is_recoded(x) && x->head.method != HTTP_HEAD &&
	    !is_not_modified(x) &&
	    recode_new(x->w, c->from, c->to, x->conf->cache_max_object,
		x->length <= CODED_FROM ? x->stored_id : 0, &x->recode) < 0) {
		if (c->needed)
			return false;
		c->to = c->from;
	}
	if (cache_coding_form(x->form, c, &x->arena, &x->form) < 0)
		return false;
	if (is_recoded(x))
		x->length = x->recode != NULL ? recode_length(x->recode)
					      : STORE_UNKNOWN;
	return true;
}

static bool
wants_trailers(const struct exchange *x)
{
	const struct flight *f = x->waiter.flight;

	/* What they say of the body is of the bytes as they came. */
	return f != NULL && f->result.trailers && !x->from_store &&
	       x->source.spans == NULL && x->takes_trailers && !is_recoded(x);
}

/* A growing body that is all there by now has a known length. */
static void
settle_length(struct exchange *x)
{
	uint64_t size;
	bool whole;

	if (x->length != STORE_UNKNOWN || !source_is_open(&x->source) ||
	    x->head.method == HTTP_HEAD)
		return;
	size = source_size(&x->source, &whole);
	if (whole)
		x->length = size;
}

/* Less was to be sent than the whole, of parts that have no more. */
static bool
lacks_bytes(const struct exchange *x)
{
	return x->from_store && x->head.method != HTTP_HEAD &&
	       x->status != 304 &&
	       (!source_is_open(&x->source) || source_has_gaps(&x->source));
}

enum step
answer_step(struct exchange *x)
{
	struct http_out out;
	struct bytes fields = {NULL, 0}, own;
	bool partial = false;

	http_out_init(&out, &x->arena, 512);
	settle_length(x);
	if (!choose_coding(x))
		return answer_own(x, 503, "no-memory",
		    "Too many bodies are being decoded for clients that do "
		    "not accept their content coding.");
	if (!answer_not_modified(x) && !is_recoded(x))
		partial = partial_answer(x, &out, &fields);
	if (!partial && lacks_bytes(x))
		return answer_own(
		    x, 503, "no-memory", "There is no memory left.");
	x->delimiter = choose_delimiter(x, wants_trailers(x) && !partial);
	write_length(x, &out, x->length);
	if (x->delimiter == DELIMIT_CHUNKED && wants_trailers(x))
		http_out_field(&out, BYTES("Trailer"),
		    x->waiter.flight->result.trailer_names);
	write_own_fields(x, &out);
	own = http_out_done(&out);
	if (partial)
		put_before(
		    x, x->status == 206
			   ? BYTES("HTTP/1.1 206 Partial Content\r\n")
			   : BYTES("HTTP/1.1 416 Range Not Satisfiable\r\n"));
	else
		fields = x->form;
	if (own.p == NULL) {
		x->broken = true;
		return STEP_RECORD;
	}
	put_before(x, fields);
	put_before(x, own);
	x->body_left =
	    x->delimiter == DELIMIT_LENGTH ? x->length : STORE_UNKNOWN;
	x->answered = true;
	return STEP_DELIVER;
}

/* ---- larder's own ----------------------------------------------------- */

static bool
prefers_html(const struct http_head *head)
{
	struct bytes accept = http_value(head, HTTP_F_ACCEPT);
	struct bytes element;

	/* Browsers name it; tools that say nothing, or anything, get text. */
	while (http_list_split(&accept, &element)) {
		if (bytes_starts(element, BYTES("text/html")))
			return true;
		if (bytes_starts(element, BYTES("text/plain")))
			return false;
	}
	return false;
}

static void
write_text(struct http_out *out, bool html, int status, const char *text)
{
	if (html)
		http_out_str(out,
		    "<!doctype html><meta charset=utf-8>"
		    "<meta name=viewport content=\"width=device-width\">"
		    "<title>larder</title><h1>");
	http_out_u64(out, (uint64_t)status);
	http_out_str(out, " ");
	http_out_str(out, http_reason(status));
	http_out_str(out, html ? "</h1><pre>" : "\n\n");
	http_out_str(out, text);
	http_out_str(out, html ? "</pre><p>larder</p>\n" : "\n");
}

enum step
answer_with(struct exchange *x, const struct own_answer *answer)
{
	struct http_out out;

	exchange_forget_answer(x);
	x->status = answer->status;
	x->length = answer->body.n;
	x->delimiter = choose_delimiter(x, false);
	http_out_init(&out, &x->arena, 512);
	http_out_str(&out, "HTTP/1.1 ");
	http_out_u64(&out, (uint64_t)answer->status);
	http_out_str(&out, " ");
	http_out_str(&out,
	    answer->reason ? answer->reason : http_reason(answer->status));
	http_out_str(&out, "\r\nDate: ");
	http_out_str(&out, worker_date(x->w));
	http_out_str(&out, "\r\n");
	http_out_str(&out, answer->fields);
	if (answer->body.n > 0) {
		http_out_str(&out, "Content-Type: ");
		http_out_str(&out,
		    answer->type ? answer->type : "text/plain; charset=utf-8");
		http_out_str(&out, "\r\n");
	}
	write_length(x, &out, x->length);
	x->note_status.hit = false;
	x->note_status.stored = false;
	x->note_status.has_ttl = false;
	if (answer->detail != NULL)
		x->note_status.detail = answer->detail;
	write_own_fields(x, &out);
	if (x->delimiter == DELIMIT_LENGTH)
		http_out_bytes(&out, answer->body);
	if (out.failed) {
		x->broken = true;
		return STEP_RECORD;
	}
	put_before(x, http_out_done(&out));
	/* The body is written with the head: nothing is left to read. */
	x->body_left = 0;
	return STEP_DELIVER;
}

enum step
answer_own(struct exchange *x, int status, const char *detail, const char *text)
{
	bool html = prefers_html(&x->head);
	struct http_out body;
	struct bytes b;

	http_out_init(&body, &x->arena, 256);
	write_text(&body, html, status, text ? text : "");
	b = http_out_done(&body);
	return answer_with(x,
	    &(struct own_answer){
		.status = status,
		.fields =
		    status == 503 || status == 429 ? "Retry-After: 5\r\n" : "",
		.type = html ? "text/html; charset=utf-8" : NULL,
		.detail = detail,
		.body = b,
	    });
}

struct bytes
answer_without_host(
    struct arena *arena, const char *sentence, struct bytes host)
{
	const struct bytes instead = BYTES("the origin");
	struct bytes rest = bytes_str(sentence);
	struct http_out out;

	http_out_init(&out, arena, rest.n + 64);
	while (rest.n > 0) {
		size_t n = 1;

		if (host.n > 0 && bytes_starts(rest, host)) {
			http_out_bytes(&out, instead);
			n = host.n;
		} else {
			http_out_bytes(&out, bytes_of(rest.p, 1));
		}
		rest = bytes_skip(rest, n);
	}
	/* A whole sentence, and a string. */
	http_out_bytes(&out, bytes_of(".", 2));
	if (!out.failed && out.p[0] >= 'a' && out.p[0] <= 'z')
		out.p[0] = (char)(out.p[0] - 'a' + 'A');
	return http_out_done(&out);
}

enum step
answer_fault(struct exchange *x, const struct http_fault *fault)
{
	x->keep = false;
	/* What was read of it is not to be trusted in any way. */
	x->head.minor = 1;
	/* But for this: behind a HEAD no client looks for a body. */
	if (x->head.method != HTTP_HEAD)
		x->head.method = HTTP_OTHER_METHOD;
	return answer_own(x, fault->status, "bad-request", fault->text);
}

enum step
answer_plain(
    struct exchange *x, int status, const char *fields, struct bytes body)
{
	return answer_with(
	    x, &(struct own_answer){
		   .status = status, .fields = fields, .body = body});
}
