/*
 * Cache-Status (RFC 9211). Pure.
 */
#ifndef CACHE_STATUS_H
#define CACHE_STATUS_H

#include "cache/decide.h"
#include "http/forward.h"

struct cache_status {
	bool hit;
	const char *fwd; /* cache_why_token(), or NULL */
	int fwd_status;	 /* 0: none */
	bool stored, collapsed;
	bool has_ttl;
	int64_t ttl;	    /* seconds */
	const char *detail; /* token-like text of larder's own, or NULL */
};

/* "Cache-Status: larder; hit; ttl=30\r\n" */
void cache_status_write(struct http_out *out, const struct cache_status *s);

#endif
