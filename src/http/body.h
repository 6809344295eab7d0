/*
 * Message body framing (RFC 9112 6 and 7): what delimits a body, and taking it
 * apart as it comes. Conflicting or odd framing is refused. Pure.
 */
#ifndef HTTP_BODY_H
#define HTTP_BODY_H

#include "http/head.h"

enum http_framing {
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,
	HTTP_BODY_CHUNKED,
	HTTP_BODY_CLOSE, /* a response up to the connection's end */
};

/* Trailer sections above this many bytes are refused. */
#define HTTP_TRAILERS_MAX  8192
/* Chunk extensions above this many bytes a body are refused. */
#define HTTP_CHUNK_EXT_MAX 16384

/* Takes a body apart; embedded. */
struct http_body {
	enum http_framing framing;
	uint64_t left;	 /* LENGTH: bytes to come; CHUNKED: of this chunk */
	uint64_t total;	 /* body bytes seen */
	int state;	 /* body.c's */
	uint32_t digits; /* of this chunk's size; bounded */
	uint32_t extra;	 /* extension bytes seen; bounded */
	uint32_t trailers_size; /* bytes kept */
	uint32_t trailers_line; /* of the line that is coming, behind them */
	uint32_t trailers_seen; /* dropped ones counted in; bounded */
	char *trailers; /* field lines, each with CRLF; malloc'ed when the
			 * first one comes */
};

/* By RFC 9112 6.3. 0, or LARDER_INVALID with *fault: 400 or 501. */
int http_body_of_request(const struct http_head *head, struct http_body *out,
    struct http_fault *fault);
/* Of the (final or interim) response to a request with this method. */
int http_body_of_response(const struct http_head *head, enum http_method method,
    struct http_body *out, struct http_fault *fault);

/*
 * Takes from `in`: *used of its bytes are done with, of which *data (a view
 * into it) are body. 0: go on with the rest; only then is there data.
 * LARDER_AGAIN: all is used, more is needed. LARDER_ABSENT: the body, its
 * trailers included, is complete; bytes behind *used are not its.
 * LARDER_INVALID: broken chunks, a trailer that must not be one, a bound
 * passed, no memory for trailers.
 */
int http_body_next(
    struct http_body *body, struct bytes in, size_t *used, struct bytes *data);

/* The connection ended in order: is the body complete by that? */
bool http_body_ends_here(const struct http_body *body);
bool http_body_done(const struct http_body *body);

/* The trailers' field lines; empty if none. Valid until http_body_release(). */
struct bytes http_body_trailers(const struct http_body *body);
void http_body_release(struct http_body *body);

/* "1f40\r\n" for a chunk of n bytes; returns its length. */
#define HTTP_CHUNK_HEAD 20
size_t http_chunk_head(char out[HTTP_CHUNK_HEAD], uint64_t n);

#endif
