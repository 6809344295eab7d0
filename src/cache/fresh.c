/*
 * How long it is good for, and how old it already is. Every number is clamped
 * to [0, CACHE_SECONDS_MAX] where it comes in, so that no sum wraps.
 */
#include "cache/fresh.h"

#include "cache/etag.h"
#include "http/chars.h"
#include "http/date.h"
#include "http/list.h"

#define YEAR	 (INT64_C(365) * 24 * 3600)
#define ETAG_MAX 1024

static int64_t
clamp(int64_t seconds)
{
	if (seconds < 0)
		return 0;
	return seconds < CACHE_SECONDS_MAX ? seconds : CACHE_SECONDS_MAX;
}

void
cache_response_control(const struct http_head *response,
    const struct cache_policy *policy, struct cache_control *out,
    bool *targeted)
{
	*targeted = policy->targeted && cache_control_targeted(response, out);
	if (!*targeted)
		cache_control_parse(response, false, out);
}

void
cache_strip(struct http_head *response, const struct cache_policy *policy)
{
	unsigned kept = 0;

	if (policy->strip_count == 0)
		return;
	response->present = 0;
	for (unsigned i = 0; i < response->count; i++) {
		const struct http_field f = response->fields[i];
		bool gone = false;

		for (unsigned j = 0; j < policy->strip_count; j++)
			gone |= bytes_ieq(f.name, bytes_str(policy->strip[j]));
		if (gone)
			continue;
		response->fields[kept++] = f;
		if (f.id < HTTP_F_OTHER)
			response->present |= UINT64_C(1) << f.id;
	}
	response->count = kept;
}

/* A field that is one date; two lines of it are none. */
static int64_t
single_date(const struct http_head *head, enum http_field_id id, int64_t now)
{
	if (http_count(head, id) != 1)
		return HTTP_DATE_INVALID;
	return http_date_parse(http_value(head, id), now);
}

/* RFC 9111 5.1: the first member; what is no number is ignored. */
static int64_t
age_value(const struct http_head *head)
{
	struct bytes value = http_value(head, HTTP_F_AGE), first;
	int64_t age = 0;

	if (!http_list_split(&value, &first) ||
	    http_span(first, HTTP_C_DIGIT) != first.n)
		return 0;
	for (size_t i = 0; i < first.n && age < CACHE_SECONDS_MAX; i++)
		age = age * 10 + (first.p[i] - '0');
	return clamp(age);
}

/* RFC 9111 4.2.3 */
static int64_t
initial_age(const struct http_head *head, const struct cache_meta *m)
{
	int64_t apparent = clamp(m->response_time - m->date);
	int64_t corrected =
	    clamp(age_value(head) + clamp(m->response_time - m->request_time));

	return apparent > corrected ? apparent : corrected;
}

/* Those of RFC 9110 15.1 (206 is for who keeps parts), and all others for
 * which `public` allows it. */
bool
cache_is_heuristic(int status, const struct cache_control *control)
{
	switch (status) {
	case 200:
	case 203:
	case 204:
	case 300:
	case 301:
	case 308:
	case 404:
	case 405:
	case 410:
	case 414:
	case 501:
		return true;
	default:
		return control->is_public;
	}
}

/* RFC 9111 4.2.1, in its order; shared caches first. */
static enum cache_freshness
lifetime(const struct http_head *head, const struct cache_control *control,
    bool targeted, const struct cache_policy *policy, struct cache_meta *m)
{
	int64_t expires;

	if (control->s_maxage != CACHE_NOT_GIVEN ||
	    control->max_age != CACHE_NOT_GIVEN) {
		m->lifetime = control->s_maxage != CACHE_NOT_GIVEN
				  ? control->s_maxage
				  : control->max_age;
		if (control->invalid && m->lifetime == 0)
			m->flags |= CACHE_INVALID_FRESHNESS;
		return CACHE_FRESHNESS_EXPLICIT;
	}
	if (!targeted && http_has(head, HTTP_F_EXPIRES)) {
		expires = single_date(head, HTTP_F_EXPIRES, m->response_time);
		if (expires == HTTP_DATE_INVALID)
			m->flags |= CACHE_INVALID_FRESHNESS;
		else
			m->lifetime = clamp(expires - m->date);
		return CACHE_FRESHNESS_EXPLICIT;
	}
	/* 4.2.2 */
	if (m->last_modified == HTTP_DATE_INVALID ||
	    !cache_is_heuristic(m->status, control))
		return CACHE_FRESHNESS_NONE;
	m->lifetime = clamp(clamp(m->date - m->last_modified) *
			    policy->heuristic_percent / 100);
	if (m->lifetime > policy->heuristic_max)
		m->lifetime = clamp(policy->heuristic_max);
	m->flags |= CACHE_HEURISTIC;
	return CACHE_FRESHNESS_GUESSED;
}

static void
validators(const struct http_head *head, struct cache_meta *m)
{
	struct bytes etag = http_value(head, HTTP_F_ETAG);

	m->last_modified =
	    single_date(head, HTTP_F_LAST_MODIFIED, m->response_time);
	if (m->last_modified != HTTP_DATE_INVALID)
		m->last_modified_text = http_value(head, HTTP_F_LAST_MODIFIED);
	if (http_count(head, HTTP_F_ETAG) == 1 && etag.n <= ETAG_MAX &&
	    cache_etag_valid(etag))
		m->etag = etag;
}

static unsigned
flags(const struct cache_control *control, const struct cache_policy *policy)
{
	unsigned flags = 0;

	/* RFC 9111 5.2.2.10: s-maxage implies proxy-revalidate. */
	if (control->must_revalidate || control->proxy_revalidate ||
	    control->s_maxage != CACHE_NOT_GIVEN)
		flags |= CACHE_MUST_REVALIDATE;
	if (control->no_cache && !(policy->force & CACHE_FORCE_NO_CACHE))
		flags |= CACHE_ALWAYS_REVALIDATE;
	if (control->immutable)
		flags |= CACHE_IMMUTABLE;
	if (control->no_transform)
		flags |= CACHE_NO_TRANSFORM;
	return flags;
}

/* Fresh for so long from now on, whatever the origin says. */
static void
raise_lifetime(struct cache_meta *m, int64_t least, enum cache_freshness *how)
{
	if (m->lifetime >= m->initial_age + least)
		return;
	if (*how != CACHE_FRESHNESS_EXPLICIT || m->lifetime <= m->initial_age)
		*how = CACHE_FRESHNESS_RULED;
	m->lifetime = m->initial_age + least;
	m->flags &= (uint16_t) ~(CACHE_HEURISTIC | CACHE_INVALID_FRESHNESS);
	m->flags |= CACHE_BY_RULE;
}

/* What the admin knows of a resource; an error page is none. */
static void
rule(const struct cache_policy *policy, struct cache_meta *m,
    enum cache_freshness *how)
{
	if (policy->immutable) {
		if (m->flags & CACHE_ALWAYS_REVALIDATE)
			*how = CACHE_FRESHNESS_RULED;
		raise_lifetime(m, YEAR, how);
		m->flags &=
		    (uint16_t) ~(CACHE_HEURISTIC | CACHE_INVALID_FRESHNESS |
				 CACHE_ALWAYS_REVALIDATE);
		m->flags |= CACHE_IMMUTABLE | CACHE_BY_RULE;
	}
	if (policy->min_fresh > 0)
		raise_lifetime(m, clamp(policy->min_fresh), how);
	if (policy->max_fresh > 0 &&
	    m->lifetime > m->initial_age + clamp(policy->max_fresh)) {
		m->lifetime = m->initial_age + clamp(policy->max_fresh);
		m->stale_while_revalidate = CACHE_NOT_GIVEN;
		m->flags |= CACHE_BY_RULE;
	}
	if (policy->revalidate)
		m->flags |= CACHE_ALWAYS_REVALIDATE | CACHE_BY_RULE;
}

enum cache_freshness
cache_fresh(const struct http_head *response, int status,
    const struct cache_control *control, bool targeted, int64_t request_time,
    int64_t response_time, const struct cache_policy *policy,
    struct cache_meta *m)
{
	enum cache_freshness how;

	*m = (struct cache_meta){
	    .status = (uint16_t)status,
	    .flags = (uint16_t)flags(control, policy),
	    .request_time = request_time,
	    .response_time = response_time,
	    .stale_while_revalidate = control->stale_while_revalidate,
	    .stale_if_error = control->stale_if_error,
	};
	m->date = single_date(response, HTTP_F_DATE, response_time);
	if (m->date == HTTP_DATE_INVALID)
		m->date = response_time;
	validators(response, m);
	m->initial_age = initial_age(response, m);
	/* RFC 9213 2.2: it takes the other's place for caching. Who forbids
	 * to transform forbids it in either. */
	if (targeted) {
		struct cache_control plain;

		cache_control_parse(response, false, &plain);
		if (plain.no_transform)
			m->flags |= CACHE_NO_TRANSFORM;
	}
	how = lifetime(response, control, targeted, policy, m);
	if (status == 200)
		rule(policy, m, &how);
	return how;
}

int64_t
cache_age(const struct cache_meta *m, int64_t now)
{
	int64_t resident;

	/* A clock that was set back makes nothing younger than it came. */
	if (now <= m->response_time ||
	    __builtin_sub_overflow(now, m->response_time, &resident))
		resident = now <= m->response_time ? 0 : CACHE_SECONDS_MAX;
	return clamp(m->initial_age + clamp(resident));
}

int64_t
cache_ttl(const struct cache_meta *m, int64_t now)
{
	return m->lifetime - cache_age(m, now);
}
