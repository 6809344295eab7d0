/*
 * What the cache needs to know of a request; made once an exchange. Pure.
 */
#ifndef CACHE_REQUEST_H
#define CACHE_REQUEST_H

#include "cache/control.h"
#include "http/head.h"

struct cache_request {
	const struct http_head *head;
	struct cache_control control;
	bool authorized;   /* Authorization */
	bool conditional;  /* If-None-Match or If-Modified-Since */
	bool precondition; /* If-Match or If-Unmodified-Since: the origin's */
	bool ranged;	   /* one Range field, GET */
	bool partial;	   /* ranged, and not just "bytes=0-" */
	bool content;	   /* has a body, which is in no key */
};

void cache_request_init(
    struct cache_request *out, const struct http_head *head);

/* What the admin wants of this request's URL. */
struct cache_policy {
	int64_t stale_if_error; /* seconds; where the response says nothing */
	int64_t heuristic_max;	/* seconds that a guess may reach */
	int heuristic_percent;	/* of the time since Last-Modified */
	bool immutable;		/* a rule says so: fresh for a year at least */
	bool targeted;		/* CDN-Cache-Control is for us */
	bool ignore_reload;	/* clients' no-cache and max-age do not count */
	bool strict_cookies;	/* nothing with a cookie is for others */
	bool override_fields;	/* they pass to the origin, see ask.c */
	bool fetch_whole;	/* behind a range the rest is fetched, too */
	bool compress;		/* bodies may be coded anew */
};

#endif
