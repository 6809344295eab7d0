#include "proxy/policy.h"

#include "cache/key.h"

const struct conf_rule *
policy_make(const struct conf *conf, const struct conf_site *site,
    struct bytes key, struct cache_policy *out)
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
	for (unsigned i = 0; i < conf->rules_count; i++) {
		const struct conf_rule *rule = &conf->rules[i];

		if (!cache_key_glob(bytes_str(rule->match), key))
			continue;
		out->immutable = rule->immutable;
		out->ignore_reload = rule->ignore_reload;
		out->fetch_whole = rule->fetch_whole;
		out->compress = rule->compress;
		return rule;
	}
	return NULL;
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
    const struct http_target *target, struct arena *arena)
{
	struct bytes key = cache_key(target, arena);
	const struct conf_site *other;

	if (key.p == NULL || site != NULL)
		return key;
	other = conf_site_for(conf, target->host, target->port);
	if (other == NULL || is_origin_of(other, target))
		return key;
	return cache_key_apart(key, arena);
}
