/*
 * What a change of a resource makes invalid in the store and in flight (RFC
 * 9111 4.4): its own URL, and those that the answer names, of the same origin.
 */
#include "cache/key.h"
#include "cache/validate.h"
#include "proxy/fetch.h"
#include "proxy/policy.h"

static void
invalidate_key(struct fetch *f, struct bytes key)
{
	flight_invalidate(proxy_flights(f->w->proxy), key, f->flight);
	store_remove(proxy_store(f->w->proxy), key, 0);
}

static void
invalidate_reference(struct fetch *f, enum http_field_id id)
{
	struct bytes value = http_value(&f->response, id), key;
	struct http_target target;

	if (value.p == NULL ||
	    http_target_resolve(&f->target, value, &f->arena, &target) < 0 ||
	    !http_target_same_origin(&f->target, &target))
		return;
	key = cache_key(&target, &f->arena);
	if (key.p != NULL)
		key = policy_key(f->conf, f->site, policy_rule(f->conf, key),
		    &target, &f->arena);
	if (key.p != NULL)
		invalidate_key(f, key);
}

void
reply_invalidate(struct fetch *f)
{
	if (!cache_invalidates(&f->request, &f->response))
		return;
	invalidate_key(f, f->key);
	invalidate_reference(f, HTTP_F_LOCATION);
	invalidate_reference(f, HTTP_F_CONTENT_LOCATION);
}
