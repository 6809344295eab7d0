#include "proxy/policy.h"

#include "cache/key.h"

/* They are the same bits. */
_Static_assert(
    (int)CONF_FORCE_NO_STORE == (int)CACHE_FORCE_NO_STORE &&
	(int)CONF_FORCE_NO_CACHE == (int)CACHE_FORCE_NO_CACHE &&
	(int)CONF_FORCE_PRIVATE == (int)CACHE_FORCE_PRIVATE &&
	(int)CONF_FORCE_AUTHORIZATION == (int)CACHE_FORCE_AUTHORIZATION,
    "what rules force");

/* For pieces of some ten bytes this is quicker than memmem(), which prepares
 * itself for longer searches. The first byte is a "/" too often to look for. */
static bool
has(struct bytes url, struct bytes piece)
{
	size_t at = piece.n > 1;
	const char *p, *end;

	if (piece.n == 0)
		return true;
	if (piece.n > url.n)
		return false;
	end = url.p + (url.n - piece.n) + 1 + at;
	for (p = url.p + at; p < end; p++) {
		p = memchr(p, piece.p[at], (size_t)(end - p));
		if (p == NULL)
			return false;
		if (memcmp(p - at, piece.p, piece.n) == 0)
			return true;
	}
	return false;
}

const struct conf_rule *
policy_rule(const struct conf *conf, struct bytes url)
{
	for (unsigned i = 0; i < conf->rules_count; i++) {
		const struct conf_rule *rule = &conf->rules[i];

		/* Most are out by that already. */
		if (has(url, rule->literal) &&
		    cache_key_glob(bytes_str(rule->match), url))
			return rule;
	}
	return NULL;
}

static void
apply(const struct conf_rule *rule, struct cache_policy *out)
{
	out->never = rule->never;
	out->revalidate = rule->revalidate;
	out->immutable = rule->immutable;
	/* A part of a second is one: 0 would be none. */
	out->min_fresh = (rule->min_fresh + 999) / 1000;
	out->max_fresh = (rule->max_fresh + 999) / 1000;
	out->ignore_query = rule->ignore_query;
	out->ignore_reload = rule->ignore_reload;
	out->fetch_whole = rule->fetch_whole;
	out->compress = rule->compress;
	out->force = rule->force;
	out->strip = rule->strip;
	out->strip_count = rule->strip_count;
	out->tags = rule->tags;
	out->tags_count = rule->tags_count;
}

void
policy_make(const struct conf *conf, const struct conf_site *site,
    const struct conf_rule *rule, struct cache_policy *out)
{
	*out = (struct cache_policy){
	    .stale_if_error = conf->stale_if_error / 1000,
	    .heuristic_max = conf->heuristic_max / 1000,
	    .heuristic_percent = (int)conf->heuristic_percent,
	    .targeted = site != NULL && site->targeted,
	    .strict_cookies = site != NULL && site->strict_cookies,
	    /* Their usual place is between a proxy and its own origin, which
	     * a site's is: no client may set them there. Forward proxies
	     * change no such field, but share nothing that it has shaped. */
	    .override_fields = site == NULL || site->override_fields,
	    .compress = true,
	};
	if (rule != NULL)
		apply(rule, out);
}

static bool
is_origin_of(const struct conf_site *site, const struct http_target *target)
{
	return site->origin_tls == target->tls &&
	       site->origin_port == target->port &&
	       bytes_eq(bytes_str(site->origin_host), target->host);
}

struct bytes
policy_key(const struct conf *conf, const struct conf_site *site,
    const struct conf_rule *rule, const struct http_target *target,
    struct arena *arena)
{
	struct bytes key = cache_key(target, arena);
	const struct conf_site *other;

	if (rule != NULL && rule->ignore_query)
		key = cache_key_without_query(key);
	if (key.p == NULL || site != NULL)
		return key;
	other = conf_site_for(conf, target->host, target->port);
	if (other == NULL || is_origin_of(other, target))
		return key;
	return cache_key_apart(key, arena);
}
