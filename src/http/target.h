/*
 * The target of a request (RFC 9112 3.2, 3.3; RFC 9110 7.1): which origin, and
 * which resource of it. Nothing is decoded, merged or tidied that an origin
 * could tell apart. Pure.
 */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "http/head.h"

enum http_form {
	HTTP_FORM_ORIGIN,    /* /path?query, with Host: to a site */
	HTTP_FORM_ABSOLUTE,  /* http://host/path: forward */
	HTTP_FORM_AUTHORITY, /* host:port, of CONNECT */
	HTTP_FORM_ASTERISK,  /* *, of OPTIONS */
};

struct http_target {
	enum http_form form;
	bool tls;	   /* scheme https */
	struct bytes host; /* lower case, without brackets; "" if there is
			    * none (HTTP/1.0 without Host) */
	bool v6;	   /* host is an IPv6 literal */
	uint16_t port;	   /* the scheme's own if none was written */
	struct bytes path; /* with query, starting in "/", as received ("/"
			    * for an empty one, "*" in asterisk form) */
};

/*
 * Reads head->target and Host together: exactly one Host in HTTP/1.1 (at most
 * one in 1.0), absolute form wins, user info, fragments, bad ports, control
 * bytes and other schemes than http and https are refused with 400.
 * http://HTTPS///host/path is https://host/path. 0, LARDER_INVALID with
 * *fault, LARDER_NOMEM.
 */
int http_target_parse(const struct http_head *head, struct arena *arena,
    struct http_target *out, struct http_fault *fault);

/* A reference (Location, Content-Location) resolved against base: 0, or
 * LARDER_INVALID if it is not an http or https URL. RFC 3986 5. */
int http_target_resolve(const struct http_target *base, struct bytes reference,
    struct arena *arena, struct http_target *out);

/* An absolute URL as typed by an admin ("http://host/path"). */
int http_target_of_url(struct bytes url, struct arena *arena,
    struct http_target *out, const char **why);

/* Same scheme, host and port. */
bool http_target_same_origin(
    const struct http_target *a, const struct http_target *b);

/* "host", "host:8080", "[::1]:8080": the port left out where it is the
 * scheme's. For Host. */
struct bytes http_target_authority(
    const struct http_target *target, struct arena *arena);

#endif
