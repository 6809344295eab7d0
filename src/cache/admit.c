/*
 * May it be stored (RFC 9111 3)? Each `return` of refusal() is one rule; where
 * the RFC permits and prudence does not, the comment says so.
 */
#include "cache/admit.h"

#include "cache/coding.h"
#include "cache/fresh.h"
#include "cache/tag.h"
#include "cache/vary.h"
#include "http/date.h"
#include "http/list.h"

/* Statuses whose rules for caches larder follows (RFC 9111 5.2.2.3): the final
 * ones of RFC 9110 15, of which 206 and 304 are never wholes, and those that
 * concern the request's fields and are no others' (RFC 6585). */
static bool
is_understood(int status)
{
	return (status >= 200 && status <= 205) ||
	       (status >= 300 && status <= 303) || status == 307 ||
	       status == 308 || (status >= 400 && status <= 417) ||
	       status == 421 || status == 422 || status == 426 ||
	       (status >= 500 && status <= 505);
}

/* What is known of the response when the rules are asked. */
struct facts {
	int status;
	bool authorized, strict_cookies, never;
	unsigned force;
	const struct http_head *response;
	struct cache_control control;
	enum cache_freshness how;
	const struct cache_meta *meta;
};

/* Is the field left out of the stored form, by private="..." and the like? */
static bool
is_stripped(const struct cache_control *control, struct bytes name)
{
	struct bytes rest, element;

	rest = control->private_fields;
	while (http_list_split(&rest, &element))
		if (bytes_ieq(element, name))
			return true;
	rest = control->no_cache_fields;
	while (http_list_split(&rest, &element))
		if (bytes_ieq(element, name))
			return true;
	return false;
}

/* RFC 9111 7.3 leaves it to the origin to say that a cookie is for all; a
 * guess is not its saying so, nor is a rule: who wrote it thought of the body.
 * A cookie that is left out would be somebody's who then has none. */
static bool
cookie_forbids(const struct facts *f)
{
	const struct cache_control *cc = &f->control;

	if (!http_has(f->response, HTTP_F_SET_COOKIE))
		return false;
	if (f->strict_cookies)
		return true;
	return !is_stripped(cc, BYTES("Set-Cookie")) && !cc->is_public &&
	       f->how != CACHE_FRESHNESS_EXPLICIT;
}

/* Could it ever be used again? */
static bool
is_useless(const struct facts *f)
{
	const struct cache_meta *m = f->meta;

	if (m->etag.n > 0 || m->last_modified != HTTP_DATE_INVALID)
		return false;
	if (m->flags & CACHE_ALWAYS_REVALIDATE)
		return true;
	if (m->lifetime > m->initial_age)
		return false;
	return (m->flags & CACHE_MUST_REVALIDATE) ||
	       (m->stale_while_revalidate <= 0 && m->stale_if_error <= 0);
}

/* NULL, or the rule that it breaks. */
static const char *
refusal(const struct facts *f)
{
	const struct cache_control *cc = &f->control;
	bool understood = is_understood(f->status);

	if (f->never)
		return "a rule says never";
	if (f->status < 200)
		return "an interim response";
	if (f->status == 206 || f->status == 304)
		return "no whole response";
	if (f->status == 413 || f->status == 431)
		/* They speak of this request's size, and of no other's. */
		return "it is about the request's size";
	if (cc->must_understand && !understood)
		return "must-understand, and the status is unknown";
	if (cc->no_store && !cc->must_understand &&
	    !(f->force & CACHE_FORCE_NO_STORE))
		return "no-store";
	if (cc->is_private && !(f->force & CACHE_FORCE_PRIVATE))
		return "private";
	/* RFC 9111 3.5 */
	if (f->authorized && !cc->is_public && !cc->must_revalidate &&
	    cc->s_maxage == CACHE_NOT_GIVEN &&
	    !(f->force & CACHE_FORCE_AUTHORIZATION))
		return "the request had Authorization";
	/* RFC 9111 3, the last condition. A status that may be stored on a
	 * guess may be stored for its validator alone. */
	if (f->how == CACHE_FRESHNESS_NONE &&
	    !cache_is_heuristic(f->status, cc))
		return "no explicit freshness";
	if (cookie_forbids(f))
		return f->strict_cookies
			   ? "Set-Cookie, and the site is strict about it"
			   : "Set-Cookie without explicit freshness";
	if (is_useless(f))
		return "neither freshness nor validator";
	return NULL;
}

static void
conclude(struct cache_admission *out, const char *why_not)
{
	out->store = why_not == NULL;
	out->why_not = why_not;
	out->expires = out->meta.response_time + out->meta.lifetime -
		       out->meta.initial_age;
}

/* *how: what was said of its freshness. */
static const char *
examine(const struct http_head *response, int status, bool authorized,
    int64_t request_time, int64_t response_time,
    const struct cache_policy *policy, struct cache_meta *meta,
    enum cache_freshness *how)
{
	struct facts f = {.status = status,
	    .authorized = authorized,
	    .strict_cookies = policy->strict_cookies,
	    .never = policy->never,
	    .force = policy->force,
	    .response = response,
	    .meta = meta};
	bool targeted;

	cache_response_control(response, policy, &f.control, &targeted);
	f.how = cache_fresh(response, status, &f.control, targeted,
	    request_time, response_time, policy, meta);
	if (authorized)
		meta->flags |= CACHE_WAS_AUTHORIZED;
	if (response->minor == 0)
		meta->flags |= CACHE_BY_HTTP_1_0;
	*how = f.how;
	return refusal(&f);
}

/* LARDER_NOMEM. */
static int
tag(const struct http_head *response, const struct cache_policy *policy,
    struct arena *arena, struct cache_admission *out, const char **why_not)
{
	int err = cache_tags(response, policy, arena, &out->meta.tags);

	if (err == LARDER_TOOBIG)
		*why_not = "it has too many tags";
	return err == LARDER_TOOBIG ? 0 : err;
}

/* RFC 9110 9.3.3: what answers a POST answers a GET, too, if the origin says
 * that it is the target's representation, and how long. */
static bool
is_target_itself(const struct cache_request *request,
    const struct http_head *response, struct arena *arena)
{
	struct bytes value = http_value(response, HTTP_F_CONTENT_LOCATION);
	const struct http_target *ours = request->target;
	struct http_target theirs;

	return ours != NULL && value.p != NULL &&
	       http_count(response, HTTP_F_CONTENT_LOCATION) == 1 &&
	       http_target_resolve(ours, value, arena, &theirs) == 0 &&
	       http_target_same_origin(ours, &theirs) &&
	       bytes_eq(ours->path, theirs.path);
}

/* NULL, or what of the request keeps its answer out of the store. */
static const char *
request_refusal(const struct cache_request *request,
    const struct http_head *response, enum cache_freshness how,
    const struct cache_policy *policy, struct arena *arena)
{
	enum http_method method = request->head->method;

	if (method == HTTP_POST) {
		if (response->status != 200 ||
		    how != CACHE_FRESHNESS_EXPLICIT ||
		    !is_target_itself(request, response, arena))
			return "the method is not GET";
	} else if (method != HTTP_GET) {
		return "the method is not GET";
	} else if (request->content) {
		return "the request had content";
	}
	if (request->control.no_store)
		return "the request said no-store";
	if ((request->partial && response->status != 200) ||
	    request->precondition)
		return "the request was not for the whole";
	if (request->overrides && policy->override_fields)
		return "the request has a field that may name another URL";
	if (policy->ignore_query && response->status != 200)
		/* The query of this request may be the reason for it. */
		return "its rule ignores the query, and it is no 200";
	if (policy->strict_cookies && http_has(request->head, HTTP_F_COOKIE))
		return "the request had a cookie, and the site is strict "
		       "about it";
	if (request->odd && response->status >= 400)
		return "an error, and the request was odd";
	return NULL;
}

int
cache_admit(const struct cache_request *request,
    const struct http_head *response, int64_t request_time,
    int64_t response_time, const struct cache_policy *policy,
    struct arena *arena, struct cache_admission *out)
{
	const char *why_not, *mine;
	enum cache_freshness how;
	int err;

	*out = (struct cache_admission){.variant = {"", 0}};
	why_not = examine(response, response->status, request->authorized,
	    request_time, response_time, policy, &out->meta, &how);
	out->meta.flags |=
	    (uint16_t)cache_coding_flags(request->asked, response);
	mine = request_refusal(request, response, how, policy, arena);
	if (mine != NULL)
		why_not = mine;
	if (why_not == NULL) {
		err = tag(response, policy, arena, out, &why_not);
		if (err < 0)
			return err;
	}
	if (why_not == NULL) {
		err = cache_variant(
		    request->asked, response, arena, &out->variant);
		if (err == LARDER_NOMEM)
			return err;
		if (err == LARDER_REFUSED)
			why_not = "Vary allows no other request";
		else if (err < 0)
			why_not = "Vary names too much";
	}
	conclude(out, why_not);
	return 0;
}

int
cache_readmit(const struct cache_request *request,
    const struct http_head *stored, unsigned flags, int64_t request_time,
    int64_t response_time, const struct cache_policy *policy,
    struct arena *arena, struct cache_admission *out)
{
	bool authorized =
	    request->authorized || (flags & CACHE_WAS_AUTHORIZED) != 0;
	enum cache_freshness how;
	const char *why_not = examine(stored, stored->status, authorized,
	    request_time, response_time, policy, &out->meta, &how);

	/* The bytes are what they were. */
	out->meta.flags |=
	    (uint16_t)((flags & CACHE_CODINGS) |
		       cache_coding_gains(request->asked, stored));
	if (why_not == NULL) {
		int err = tag(stored, policy, arena, out, &why_not);

		if (err < 0)
			return err;
	}
	conclude(out, why_not);
	return 0;
}
