#include "proxy/policy.h"

#include "cache/key.h"

/* How long freshness that is a guess may last, in seconds. */
#define HEURISTIC_MAX (24 * 3600)

const struct conf_rule *
policy_make(const struct conf *conf, const struct conf_site *site,
    struct bytes key, struct cache_policy *out)
{
	*out = (struct cache_policy){
	    .stale_if_error = conf->stale_if_error / 1000,
	    .heuristic_max = HEURISTIC_MAX,
	    .targeted = site != NULL && site->targeted,
	};
	for (unsigned i = 0; i < conf->rules_count; i++) {
		const struct conf_rule *rule = &conf->rules[i];

		if (!cache_key_glob(bytes_str(rule->match), key))
			continue;
		out->immutable = rule->immutable;
		return rule;
	}
	return NULL;
}
