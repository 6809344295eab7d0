/*
 * The decision, in the order of RFC 9111 4: what the method and the request
 * forbid, which stored response matches, whether it is good enough, and what
 * to do if not. Total: every request gets an action.
 */
#include "cache/decide.h"

#include "cache/coding.h"
#include "http/date.h"

static void
say(struct cache_decision *out, enum cache_action action, enum cache_why why,
    const char *detail)
{
	out->action = action;
	out->why = why;
	out->detail = detail;
}

/* Requests that no stored response answers, whatever is stored. */
static bool
passes(const struct cache_request *r, const struct cache_policy *policy,
    struct cache_decision *out)
{
	enum http_method method = r->head->method;

	if (method != HTTP_GET && method != HTTP_HEAD)
		say(out, CACHE_PASS, CACHE_WHY_METHOD, NULL);
	else if (r->control.no_store)
		say(out, CACHE_PASS, CACHE_WHY_BYPASS, "no-store");
	else if (policy->never)
		say(out, CACHE_PASS, CACHE_WHY_BYPASS, "rule");
	else if (r->precondition)
		/* RFC 9111 4.3.2: for the origin to evaluate. */
		say(out, CACHE_PASS, CACHE_WHY_BYPASS, "precondition");
	else if (r->content)
		/* The origin may answer by the body, which is in no key. */
		say(out, CACHE_PASS, CACHE_WHY_BYPASS, "content");
	else if (r->overrides && policy->override_fields)
		/* Nor are these. */
		say(out, CACHE_PASS, CACHE_WHY_BYPASS, "override-field");
	else if (policy->strict_cookies && http_has(r->head, HTTP_F_COOKIE))
		say(out, CACHE_PASS, CACHE_WHY_BYPASS, "cookie");
	else
		return false;
	return true;
}

/* Is a a better answer than b? RFC 9111 4.1: one without Vary is often a
 * default whose Vary was forgotten. 4: the latest Date. */
static bool
is_better(const struct cache_stored *a, const struct cache_stored *b)
{
	bool varies = a->variant.n > 0;

	if (varies != (b->variant.n > 0))
		return varies;
	return a->meta.date > b->meta.date;
}

/* Of those that match the best; of several, the one that was stored last. */
static int
choose(const struct cache_request *r, const struct cache_stored *stored,
    unsigned count, struct arena *arena)
{
	int chosen = -1;

	for (unsigned i = 0; i < count; i++) {
		if (chosen >= 0 && !is_better(&stored[i], &stored[chosen]))
			continue;
		if (cache_coding_matches(
			r, stored[i].variant, &stored[i].meta, arena))
			chosen = (int)i;
	}
	return chosen;
}

/* Nothing to reuse: the whole is asked for, for all who want it, unless this
 * request wants something else. */
static void
ask(const struct cache_request *r, enum cache_why why, const char *detail,
    struct cache_decision *out)
{
	enum cache_action action = CACHE_FETCH;

	if (r->head->method == HTTP_HEAD)
		action = CACHE_PASS;
	else if (r->partial)
		action = r->single && !r->conditional ? CACHE_PART : CACHE_PASS;
	say(out, action, why, detail);
}

/* None of the variants is for this request, and yet one may be what the origin
 * would send: their tags let it say so (RFC 9111 4.3.1). */
static bool
has_tags(const struct cache_stored *stored, unsigned count)
{
	bool any = false;

	for (unsigned i = 0; i < count; i++) {
		/* A part could not stand for what is asked. */
		if (cache_is_part(&stored[i].meta))
			return false;
		any |= stored[i].meta.etag.n > 0;
	}
	return any;
}

/* Does the request (RFC 9111 5.2.1), or what is stored, want it validated,
 * though it may be fresh? */
static bool
must_validate(const struct cache_request *r, const struct cache_meta *m,
    const struct cache_policy *policy, struct cache_decision *out)
{
	const struct cache_control *cc = &r->control;
	bool reload = !policy->ignore_reload;

	out->why = CACHE_WHY_REQUEST;
	out->detail = NULL;
	if (reload && cc->no_cache)
		out->detail = "no-cache";
	/* max-age=0 is how a reload is asked for: not even within the same
	 * second; but what is fresh and immutable need not be asked about (RFC
	 * 8246 2), if no-cache does not insist. */
	else if (reload && cc->max_age != CACHE_NOT_GIVEN &&
		 !(m->flags & CACHE_IMMUTABLE && out->ttl > 0) &&
		 (out->age > cc->max_age || cc->max_age == 0))
		out->detail = "max-age";
	else if (cc->min_fresh != CACHE_NOT_GIVEN && out->ttl < cc->min_fresh)
		out->detail = "min-fresh";
	else if (m->flags & CACHE_ALWAYS_REVALIDATE)
		say(out, out->action, CACHE_WHY_NO_CACHE, "no-cache");
	/* A rule that is younger than what is stored. */
	else if (policy->revalidate)
		say(out, out->action, CACHE_WHY_NO_CACHE, "rule");
	return out->detail != NULL;
}

/* A window of no seconds is none: not even for what has just become stale, as
 * max-age=0 does at once. */
static bool
is_within_window(int64_t ttl, int64_t window)
{
	return window > 0 && -ttl <= window;
}

/* A stale one that may be sent all the same (RFC 9111 4.2.4, RFC 5861 3). */
static bool
may_send_stale(const struct cache_request *r, const struct cache_meta *m,
    struct cache_decision *out)
{
	int64_t staleness = -out->ttl;
	bool meanwhile = is_within_window(out->ttl, m->stale_while_revalidate);

	if (m->flags & (CACHE_MUST_REVALIDATE | CACHE_ALWAYS_REVALIDATE))
		return false;
	out->background = meanwhile && !r->control.only_if_cached;
	out->stale = meanwhile || staleness <= r->control.max_stale;
	return out->stale;
}

bool
cache_may_send(const struct cache_request *request,
    const struct cache_meta *meta, int64_t now,
    const struct cache_policy *policy)
{
	struct cache_decision d = {
	    .age = cache_age(meta, now), .ttl = cache_ttl(meta, now)};

	return !must_validate(request, meta, policy, &d) &&
	       (d.ttl > 0 || may_send_stale(request, meta, &d));
}

static void
judge(const struct cache_request *r, const struct cache_meta *m,
    const struct cache_policy *policy, struct cache_decision *out)
{
	if (!must_validate(r, m, policy, out)) {
		if (out->ttl > 0) {
			say(out, CACHE_SEND, CACHE_WHY_HIT, NULL);
			return;
		}
		if (may_send_stale(r, m, out)) {
			say(out, CACHE_SEND, CACHE_WHY_HIT, "stale");
			return;
		}
		say(out, CACHE_FETCH, CACHE_WHY_STALE, NULL);
	}
	if (m->etag.n > 0 || m->last_modified != HTTP_DATE_INVALID)
		out->action = CACHE_REVALIDATE;
	else
		ask(r, out->why, out->detail, out);
}

/* What is chosen is a part: is what is wanted there (RFC 9111 3.3)? */
static void
judge_part(const struct cache_request *r, const struct cache_stored *stored,
    unsigned count, int64_t now, struct arena *arena,
    struct cache_decision *out)
{
	out->cover = arena_alloc(arena, sizeof(*out->cover));
	if (out->cover == NULL || !cache_wanted_cover(r, stored, count,
				      out->chosen, now, out->cover)) {
		/* Something else of it may be there: no reason to ask if that
		 * still holds. */
		out->cover = NULL;
		out->background = out->stale = false;
		ask(r, CACHE_WHY_PARTIAL, NULL, out);
		return;
	}
	if (out->action != CACHE_SEND || out->cover->gaps == 0)
		return;
	if (out->stale) {
		out->background = out->stale = false;
		say(out, CACHE_REVALIDATE, CACHE_WHY_STALE, NULL);
		return;
	}
	/* Nothing of what is wanted: then the newest of it will do. */
	if (out->cover->count == 1 && r->single && !r->conditional)
		say(out, CACHE_PART, CACHE_WHY_PARTIAL, NULL);
	else
		say(out, CACHE_COMPLETE, CACHE_WHY_PARTIAL, NULL);
}

void
cache_decide_validated(struct cache_decision *out)
{
	if (out->cover == NULL || out->cover->gaps == 0)
		out->action = CACHE_SEND;
	else
		out->action = CACHE_COMPLETE;
}

void
cache_decide(const struct cache_request *request,
    const struct cache_stored *stored, unsigned count, int64_t now,
    const struct cache_policy *policy, struct arena *arena,
    struct cache_decision *out)
{
	*out = (struct cache_decision){.chosen = -1};
	if (!passes(request, policy, out)) {
		out->chosen = choose(request, stored, count, arena);
		if (out->chosen >= 0) {
			const struct cache_meta *m = &stored[out->chosen].meta;

			out->age = cache_age(m, now);
			out->ttl = cache_ttl(m, now);
			judge(request, m, policy, out);
			if (cache_is_part(m))
				judge_part(
				    request, stored, count, now, arena, out);
		} else {
			ask(request,
			    count > 0 ? CACHE_WHY_VARY_MISS
				      : CACHE_WHY_URI_MISS,
			    NULL, out);
			if (out->action == CACHE_FETCH &&
			    has_tags(stored, count))
				out->action = CACHE_REVALIDATE;
		}
	}
	/* RFC 9111 5.2.1.7, of what a cache could have answered. */
	if (request->control.only_if_cached && out->action != CACHE_SEND &&
	    out->why != CACHE_WHY_METHOD)
		say(out, CACHE_REFUSE, out->why, "only-if-cached");
}

bool
cache_is_failure(int status)
{
	return status == 500 || status == 502 || status == 503 || status == 504;
}

bool
cache_may_serve_stale(const struct cache_request *request,
    const struct cache_meta *meta, int64_t now,
    const struct cache_policy *policy)
{
	int64_t ttl = cache_ttl(meta, now), limit = policy->stale_if_error;

	if (meta->flags & CACHE_ALWAYS_REVALIDATE || policy->revalidate)
		return false;
	/* An error is no better than another. */
	if (meta->status >= 500 && ttl <= 0)
		return false;
	if (request->control.no_cache && !policy->ignore_reload)
		return false;
	/* Fresh, and asked about only because the client wished it. */
	if (ttl > 0)
		return true;
	if (meta->flags & CACHE_MUST_REVALIDATE)
		return false;
	if (meta->stale_if_error != CACHE_NOT_GIVEN)
		limit = meta->stale_if_error;
	/* RFC 5861 4: of a request, for this request. */
	if (request->control.stale_if_error != CACHE_NOT_GIVEN)
		limit = request->control.stale_if_error;
	return is_within_window(ttl, limit);
}

const char *
cache_why_token(enum cache_why why)
{
	switch (why) {
	case CACHE_WHY_HIT:
		return NULL;
	case CACHE_WHY_URI_MISS:
		return "uri-miss";
	case CACHE_WHY_VARY_MISS:
		return "vary-miss";
	case CACHE_WHY_STALE:
	case CACHE_WHY_NO_CACHE:
		return "stale";
	case CACHE_WHY_REQUEST:
		return "request";
	case CACHE_WHY_METHOD:
		return "method";
	case CACHE_WHY_BYPASS:
		return "bypass";
	case CACHE_WHY_PARTIAL:
		return "partial";
	}
	return NULL;
}

const char *
cache_why_text(enum cache_why why)
{
	switch (why) {
	case CACHE_WHY_HIT:
		return "it is stored and may be used";
	case CACHE_WHY_URI_MISS:
		return "nothing is stored for this URL";
	case CACHE_WHY_VARY_MISS:
		return "what is stored for this URL answers other requests "
		       "(Vary)";
	case CACHE_WHY_STALE:
		return "it is stored, but no longer fresh";
	case CACHE_WHY_REQUEST:
		return "the request asks for a newer answer than is stored";
	case CACHE_WHY_METHOD:
		return "only GET and HEAD are answered from the cache";
	case CACHE_WHY_BYPASS:
		return "the request is not for a cache to answer";
	case CACHE_WHY_PARTIAL:
		return "only a part of what the request is for is stored";
	case CACHE_WHY_NO_CACHE:
		return "it is stored, but the origin wants to be asked each "
		       "time (no-cache)";
	}
	return "";
}
