/*
 * Writing heads anew (RFC 9110 7.6): which fields pass, and a bounded buffer to
 * write them into. Pure.
 */
#ifndef HTTP_FORWARD_H
#define HTTP_FORWARD_H

#include "http/head.h"

/*
 * May this field be passed on (and stored)? Not if it is hop-by-hop
 * (Connection, Keep-Alive, Proxy-Connection, Proxy-Authenticate,
 * Proxy-Authorization, Proxy-Authentication-Info, TE, Trailer,
 * Transfer-Encoding, Upgrade, HTTP2-Settings), nor if Connection names it, but
 * for fields that must not be dropped that way (Cache-Control, Host,
 * Content-Length, Authorization, ...: the list stands in forward.c with its
 * reason).
 */
bool http_field_passes(
    const struct http_head *head, const struct http_field *field);

/* A trailer section's lines (as http_body_trailers() gives them) written anew,
 * without those that do not pass by `head`'s Connection. p == NULL: the arena
 * is full. */
struct bytes http_trailers_write(struct bytes lines,
    const struct http_head *head, const struct http_limits *limits,
    struct arena *arena);

/* Grows in an arena. After a failure everything else is a no-op, `failed` is
 * set, and http_out_done() gives p == NULL. */
struct http_out {
	struct arena *arena;
	char *p;
	size_t n, size;
	bool failed;
};

void http_out_init(struct http_out *out, struct arena *arena, size_t guess);
void http_out_bytes(struct http_out *out, struct bytes b);
void http_out_str(struct http_out *out, const char *s);
void http_out_u64(struct http_out *out, uint64_t n);
/* "Name: value\r\n" */
void http_out_field(
    struct http_out *out, struct bytes name, struct bytes value);
struct bytes http_out_done(struct http_out *out);

#endif
