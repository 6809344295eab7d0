/*
 * The decision (RFC 9111 4): what to do with a request, given what is stored
 * and what time it is. Pure, total, and the same for the proxy and `explain`.
 */
#ifndef CACHE_DECIDE_H
#define CACHE_DECIDE_H

#include "cache/meta.h"
#include "cache/parts.h"
#include "cache/request.h"

enum cache_action {
	CACHE_SEND,	  /* the stored one */
	CACHE_REVALIDATE, /* ask the origin if the stored one holds */
	CACHE_FETCH,	  /* ask for it; others may wait for the same */
	CACHE_PART,	  /* ask for the range that the client wants */
	CACHE_COMPLETE,	  /* send stored parts; ask for what is missing */
	CACHE_PASS,	  /* hand through: this answer is for this request */
	CACHE_REFUSE,	  /* 504: only-if-cached */
};

/* RFC 9211 2.2's fwd, and why for people. */
enum cache_why {
	CACHE_WHY_HIT,
	CACHE_WHY_URI_MISS,
	CACHE_WHY_VARY_MISS,
	CACHE_WHY_STALE,
	CACHE_WHY_REQUEST, /* fwd=request: no-cache, max-age and the like */
	CACHE_WHY_METHOD,
	CACHE_WHY_BYPASS, /* no-store, If-Match, ... */
	CACHE_WHY_PARTIAL,
	CACHE_WHY_NO_CACHE, /* stored, but to be asked about each time */
};

struct cache_decision {
	enum cache_action action;
	enum cache_why why;
	int chosen;	 /* index into the candidates, -1: none */
	int64_t age;	 /* of the chosen one, seconds */
	int64_t ttl;	 /* ditto; negative: stale */
	bool stale;	 /* SEND of a stale one */
	bool background; /* SEND stale, and revalidate meanwhile (RFC 5861) */
	const char *detail; /* static, for people and Cache-Status; or NULL */
	/* Of a chosen part: where what is wanted lies; in the arena. Else
	 * NULL. */
	struct cache_cover *cover;
};

/* stored: newest first. now: seconds. */
void cache_decide(const struct cache_request *request,
    const struct cache_stored *stored, unsigned count, int64_t now,
    const struct cache_policy *policy, struct arena *arena,
    struct cache_decision *out);

/* May a response of this meta be sent without asking the origin? As far as
 * freshness goes; whether it is for this request is another question. */
bool cache_may_send(const struct cache_request *request,
    const struct cache_meta *meta, int64_t now,
    const struct cache_policy *policy);

/* 500, 502, 503 or 504: the origin failed (RFC 5861 4). */
bool cache_is_failure(int status);

/* The chosen one was to be validated, and is: it may be sent, or completed. */
void cache_decide_validated(struct cache_decision *out);

/* May the chosen one, stale, stand in for an origin that failed or answered
 * so? (RFC 5861 4, RFC 9111 4.2.4) */
bool cache_may_serve_stale(const struct cache_request *request,
    const struct cache_meta *meta, int64_t now,
    const struct cache_policy *policy);

/* "uri-miss", "vary-miss", ... ; NULL for a hit. */
const char *cache_why_token(enum cache_why why);
/* A sentence for people. */
const char *cache_why_text(enum cache_why why);

/*
 * What a client's conditions say of a representation that will be sent (RFC
 * 9110 13.2): 200 or 304. etag n == 0 and last_modified HTTP_DATE_INVALID: it
 * has none.
 */
int cache_precondition(const struct http_head *request, struct bytes etag,
    int64_t last_modified, int64_t now);

/* The same of a stored response: without Last-Modified, its Date stands in
 * (RFC 9111 4.3.2). */
int cache_precondition_stored(const struct http_head *request,
    const struct cache_meta *meta, int64_t now);

/* Does If-Range (if there is one) let a range be sent? Strong only. */
bool cache_if_range(const struct http_head *request, struct bytes etag,
    int64_t last_modified, int64_t date, int64_t now);

#endif
