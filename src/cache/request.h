/*
 * What the cache needs to know of a request; made once an exchange. Pure.
 */
#ifndef CACHE_REQUEST_H
#define CACHE_REQUEST_H

#include "cache/control.h"
#include "http/range.h"
#include "http/target.h"

struct cache_request {
	const struct http_head *head;
	const struct http_head *asked; /* as the origin sees it, coding.h */
	bool recodes; /* what is stored may be coded anew for it */
	/* Whom it is for, or NULL: where the answer to a POST is not looked
	 * at. Not set by cache_request_init(). */
	const struct http_target *target;
	struct cache_control control;
	bool authorized;   /* Authorization */
	bool conditional;  /* If-None-Match or If-Modified-Since */
	bool precondition; /* If-Match or If-Unmodified-Since: the origin's */
	bool ranged;	   /* one Range field, GET */
	bool partial;	   /* ranged, and not just "bytes=0-" */
	bool single;	   /* ranged, by one valid range: */
	struct http_range_spec range;
	bool content;	/* has a body, which is in no key */
	bool overrides; /* has one of the fields of cache_overrides() */
	bool odd;	/* see below */
};

/*
 * Is it a request of a kind that makes some origins answer with an error that
 * others would not get? What is in it and not in the key could so poison a URL
 * for everybody (CPDoS): to such a request an error is for its sender alone.
 * Odd are a head of more than CACHE_ODD_HEAD bytes, bytes in it that are not
 * printable ASCII, an override field, and fields of content without content.
 */
#define CACHE_ODD_HEAD 4096u

void cache_request_init(
    struct cache_request *out, const struct http_head *head);

/*
 * Fields by which some origins let a request name another host, path or method
 * than it has. They are in no key: what they make an origin answer would be
 * stored for everybody.
 */
bool cache_overrides(struct bytes name);

/* Which wishes of others a rule overrides, as bits. */
enum {
	CACHE_FORCE_NO_STORE = 1,
	CACHE_FORCE_NO_CACHE = 2,
	CACHE_FORCE_PRIVATE = 4,
	CACHE_FORCE_AUTHORIZATION = 8,
};

/* What the admin wants of this request's URL. All 0: nothing. */
struct cache_policy {
	int64_t stale_if_error; /* seconds; where the response says nothing */
	int64_t heuristic_max;	/* seconds that a guess may reach */
	int heuristic_percent;	/* of the time since Last-Modified */
	bool immutable;		/* a rule says so: fresh for a year at least */
	bool targeted;		/* CDN-Cache-Control is for us */
	bool ignore_reload;	/* clients' no-cache and max-age do not count */
	bool strict_cookies;	/* nothing with a cookie is for others */
	bool override_fields;	/* they pass to the origin */
	bool fetch_whole;	/* behind a range the rest is fetched, too */
	bool compress;		/* bodies may be coded anew */
	bool never;		/* not stored, nor answered from the store */
	bool revalidate;	/* asked about each time, never stale */
	bool ignore_query;	/* it is not of the key */
	int64_t min_fresh;	/* seconds at least; 0: as the origin says */
	int64_t max_fresh;	/* seconds at most; ditto */
	unsigned force;		/* CACHE_FORCE_... */
	/* Views of the configuration's. */
	char *const *strip; /* names of fields that responses lose */
	unsigned strip_count;
	char *const *tags;
	unsigned tags_count;
};

#endif
