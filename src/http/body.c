/*
 * What delimits a body. RFC 9112 6.3 in its order, and where that section
 * leaves a choice, the refusal: a message that two parsers could cut in two
 * ways is none.
 */
#include "http/body.h"

#include <stdlib.h>

#include "http/chunk.h"
#include "http/list.h"

/* RFC 9110 8.6 has no bound; offsets in files have this one. */
#define LENGTH_MAX ((uint64_t)INT64_MAX)

static int
refuse(struct http_fault *fault, int status, const char *text)
{
	*fault = (struct http_fault){status, text};
	return LARDER_INVALID;
}

/* Content-Length: digits, once. Lists and repetitions are refused even where
 * they agree (RFC 9112 6.3 allows to). */
static int
content_length(const struct http_head *head, int status, struct http_body *out,
    struct http_fault *fault)
{
	if (http_count(head, HTTP_F_CONTENT_LENGTH) != 1)
		return refuse(fault, status, "several Content-Length fields");
	if (!bytes_decimal(http_value(head, HTTP_F_CONTENT_LENGTH), LENGTH_MAX,
		&out->left))
		return refuse(fault, status, "Content-Length is no number");
	out->framing = HTTP_BODY_LENGTH;
	return 0;
}

/* Says how a Transfer-Encoding that is not `chunked` alone is wrong. */
static int
other_codings(
    const struct http_head *head, int status, struct http_fault *fault)
{
	struct http_list list;
	struct bytes element, last = {"", 0};
	bool token = true;
	unsigned chunked = 0;

	http_list_init(&list, head, HTTP_F_TRANSFER_ENCODING);
	while (http_list_next(&list, &element)) {
		token = token && http_is_token(element);
		chunked += bytes_ieq(element, BYTES("chunked"));
		last = element;
	}
	/* Well-formed codings below a final chunked: understood, but not
	 * implemented (RFC 9112 6.1). Anything else has no length (6.3). */
	if (token && chunked == 1 && bytes_ieq(last, BYTES("chunked")) &&
	    http_count(head, HTTP_F_TRANSFER_ENCODING) == 1)
		return refuse(fault, status == 400 ? 501 : status,
		    "Transfer-Encoding names a coding other than chunked");
	return refuse(fault, status,
	    "Transfer-Encoding is anything but one final chunked");
}

static int
transfer_encoding(const struct http_head *head, int status,
    struct http_body *out, struct http_fault *fault)
{
	/* RFC 9112 6.1: smuggling, or about to be. */
	if (http_has(head, HTTP_F_CONTENT_LENGTH))
		return refuse(fault, status,
		    "Content-Length and Transfer-Encoding together");
	if (head->minor == 0)
		return refuse(fault, status, "Transfer-Encoding in HTTP/1.0");
	if (http_count(head, HTTP_F_TRANSFER_ENCODING) != 1 ||
	    !bytes_ieq(
		http_value(head, HTTP_F_TRANSFER_ENCODING), BYTES("chunked")))
		return other_codings(head, status, fault);
	out->framing = HTTP_BODY_CHUNKED;
	return 0;
}

static int
framing(const struct http_head *head, int status, struct http_body *out,
    struct http_fault *fault)
{
	if (http_has(head, HTTP_F_TRANSFER_ENCODING))
		return transfer_encoding(head, status, out, fault);
	if (http_has(head, HTTP_F_CONTENT_LENGTH))
		return content_length(head, status, out, fault);
	return 0;
}

int
http_body_of_request(const struct http_head *head, struct http_body *out,
    struct http_fault *fault)
{
	int err;

	*out = (struct http_body){.framing = HTTP_BODY_NONE};
	err = framing(head, 400, out, fault);
	if (err < 0 || head->method != HTTP_CONNECT)
		return err;
	/* RFC 9110 9.3.6: no content; who announces some means bytes that we
	 * would take for the tunnel's. */
	if (out->framing == HTTP_BODY_CHUNKED || out->left > 0)
		return refuse(fault, 400, "a CONNECT request with a body");
	out->framing = HTTP_BODY_NONE;
	return 0;
}

int
http_body_of_response(const struct http_head *head, enum http_method method,
    struct http_body *out, struct http_fault *fault)
{
	int err;

	*out = (struct http_body){.framing = HTTP_BODY_NONE};
	/* A tunnel follows: RFC 9110 9.3.6 has both fields ignored. */
	if (method == HTTP_CONNECT && head->status / 100 == 2)
		return 0;
	err = framing(head, 502, out, fault);
	if (err < 0)
		return err;
	/* RFC 9110 8.6, RFC 9112 6.1: it announces none, and who waited for
	 * one would take the next head for it. */
	if (head->status / 100 == 1 && out->framing != HTTP_BODY_NONE &&
	    (out->framing != HTTP_BODY_LENGTH || out->left > 0))
		return refuse(fault, 502, "an interim response with a body");
	if (method == HTTP_HEAD || head->status / 100 == 1 ||
	    head->status == 204 || head->status == 304)
		*out = (struct http_body){.framing = HTTP_BODY_NONE};
	else if (out->framing == HTTP_BODY_NONE)
		out->framing = HTTP_BODY_CLOSE;
	return 0;
}

static int
next_of_length(
    struct http_body *body, struct bytes in, size_t *used, struct bytes *data)
{
	if (body->left == 0)
		return LARDER_ABSENT;
	if (in.n == 0)
		return LARDER_AGAIN;
	*used = in.n < body->left ? in.n : (size_t)body->left;
	*data = (struct bytes){in.p, *used};
	body->left -= *used;
	body->total += *used;
	return 0;
}

int
http_body_next(
    struct http_body *body, struct bytes in, size_t *used, struct bytes *data)
{
	*used = 0;
	*data = (struct bytes){in.p, 0};
	switch (body->framing) {
	case HTTP_BODY_NONE:
		return LARDER_ABSENT;
	case HTTP_BODY_LENGTH:
		return next_of_length(body, in, used, data);
	case HTTP_BODY_CHUNKED:
		return http_chunk_next(body, in, used, data);
	case HTTP_BODY_CLOSE:
		if (in.n == 0)
			return LARDER_AGAIN;
		*data = in;
		*used = in.n;
		body->total += in.n;
		return 0;
	}
	return LARDER_INVALID;
}

bool
http_body_done(const struct http_body *body)
{
	switch (body->framing) {
	case HTTP_BODY_NONE:
		return true;
	case HTTP_BODY_LENGTH:
		return body->left == 0;
	case HTTP_BODY_CHUNKED:
		return http_chunk_done(body);
	case HTTP_BODY_CLOSE:
		return false;
	}
	return false;
}

bool
http_body_ends_here(const struct http_body *body)
{
	return body->framing == HTTP_BODY_CLOSE || http_body_done(body);
}

struct bytes
http_body_trailers(const struct http_body *body)
{
	return (struct bytes){
	    body->trailers ? body->trailers : "", body->trailers_size};
}

void
http_body_release(struct http_body *body)
{
	free(body->trailers);
	body->trailers = NULL;
	body->trailers_size = body->trailers_line = 0;
}

size_t
http_chunk_head(char out[HTTP_CHUNK_HEAD], uint64_t n)
{
	size_t digits = 1, at;

	for (uint64_t rest = n; rest >= 16; rest /= 16)
		digits++;
	for (at = digits; at-- > 0; n /= 16)
		out[at] = "0123456789abcdef"[n % 16];
	out[digits] = '\r';
	out[digits + 1] = '\n';
	return digits + 2;
}
