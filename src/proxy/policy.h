/*
 * What the configuration says of a URL, for cache/decide.c. The same for the
 * proxy and for `explain`.
 */
#ifndef PROXY_POLICY_H
#define PROXY_POLICY_H

#include "cache/request.h"
#include "conf/conf.h"
#include "http/target.h"

/* The rule that holds for a URL, as cache_key() writes it: the first that
 * matches; or NULL. */
const struct conf_rule *policy_rule(const struct conf *conf, struct bytes url);

/* site: whose request it is, NULL for a forward one; rule: may be NULL. What is
 * in *out lives as long as conf. */
void policy_make(const struct conf *conf, const struct conf_site *site,
    const struct conf_rule *rule, struct cache_policy *out);

/*
 * The key of a request. What a site answered and what was got forward for the
 * same URL are two things, unless they come from the same origin: where a site
 * "*" stands, anybody could else have that store what others get forward.
 * site and rule: as above. p == NULL: no memory.
 */
struct bytes policy_key(const struct conf *conf, const struct conf_site *site,
    const struct conf_rule *rule, const struct http_target *target,
    struct arena *arena);

#endif
