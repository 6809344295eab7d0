/*
 * host [ ":" port ] (RFC 3986 3.2), for target.c and reference.c. Pure.
 */
#ifndef HTTP_AUTHORITY_H
#define HTTP_AUTHORITY_H

#include "http/head.h"

struct http_authority {
	struct bytes host; /* as written, without brackets */
	bool v6;
	bool has_port;
	uint16_t port; /* 1 to 65535 */
};

/* NULL, or what is wrong. An empty host is wrong. */
const char *http_authority_parse(struct bytes text, struct http_authority *out);
/* The host in lower case: a view if it was. LARDER_NOMEM. */
int http_authority_host(
    const struct http_authority *a, struct arena *arena, struct bytes *out);

#endif
