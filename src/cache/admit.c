/*
 * May it be stored (RFC 9111 3)? Each `return` of refusal() is one rule; where
 * the RFC permits and prudence does not, the comment says so.
 */
#include "cache/admit.h"

#include "cache/fresh.h"
#include "cache/vary.h"
#include "http/date.h"
#include "http/list.h"

/* Statuses whose rules for caches larder follows (RFC 9111 5.2.2.3). */
static bool
is_understood(int status)
{
	switch (status) {
	case 200:
	case 203:
	case 204:
	case 300:
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
	case 404:
	case 405:
	case 410:
	case 414:
	case 501:
		return true;
	default:
		return false;
	}
}

/* What is known of the response when the rules are asked. */
struct facts {
	int status;
	bool authorized;
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
 * guess is not its saying so. */
static bool
cookie_forbids(const struct facts *f)
{
	const struct cache_control *cc = &f->control;

	return http_has(f->response, HTTP_F_SET_COOKIE) &&
	       !is_stripped(cc, BYTES("Set-Cookie")) && !cc->is_public &&
	       cc->s_maxage == CACHE_NOT_GIVEN &&
	       cc->max_age == CACHE_NOT_GIVEN;
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

	if (f->status < 200)
		return "an interim response";
	if (f->status == 206 || f->status == 304)
		return "no whole response";
	if (cc->must_understand && !understood)
		return "must-understand, and the status is unknown";
	if (cc->no_store && !cc->must_understand)
		return "no-store";
	if (cc->is_private)
		return "private";
	/* RFC 9111 3.5 */
	if (f->authorized && !cc->is_public && !cc->must_revalidate &&
	    cc->s_maxage == CACHE_NOT_GIVEN)
		return "the request had Authorization";
	/* RFC 9111 3, the last condition. A status that may be stored on a
	 * guess may be stored for its validator alone. */
	if (f->how == CACHE_FRESHNESS_NONE &&
	    !cache_is_heuristic(f->status, cc))
		return "no explicit freshness";
	if (cookie_forbids(f))
		return "Set-Cookie without explicit freshness";
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

static const char *
examine(const struct http_head *response, int status, bool authorized,
    int64_t request_time, int64_t response_time,
    const struct cache_policy *policy, struct cache_meta *meta)
{
	struct facts f = {.status = status,
	    .authorized = authorized,
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
	return refusal(&f);
}

int
cache_admit(const struct cache_request *request,
    const struct http_head *response, int64_t request_time,
    int64_t response_time, const struct cache_policy *policy,
    struct arena *arena, struct cache_admission *out)
{
	const char *why_not, *mine = NULL;
	int err;

	*out = (struct cache_admission){.variant = {"", 0}};
	why_not = examine(response, response->status, request->authorized,
	    request_time, response_time, policy, &out->meta);
	if (request->head->method != HTTP_GET)
		mine = "the method is not GET";
	else if (request->control.no_store)
		mine = "the request said no-store";
	else if (request->partial || request->content || request->precondition)
		mine = "the request was not for the whole";
	if (mine != NULL)
		why_not = mine;
	if (why_not == NULL) {
		err = cache_variant(
		    request->head, response, arena, &out->variant);
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
    struct cache_admission *out)
{
	bool authorized =
	    request->authorized || (flags & CACHE_WAS_AUTHORIZED) != 0;
	const char *why_not = examine(stored, stored->status, authorized,
	    request_time, response_time, policy, &out->meta);

	conclude(out, why_not);
	return 0;
}
