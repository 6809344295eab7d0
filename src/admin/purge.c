/*
 * Removing what an admin names.
 */
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>

#include "admin/jobs.h"
#include "cache/key.h"
#include "cache/meta.h"
#include "cache/tag.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "proxy/flight.h"
#include "proxy/policy.h"

/* What a key, and what is made of it, may take. */
#define ARENA_MAX  (512u * 1024)
/* As store.h has it. */
#define KNOWN_DAYS 120
#define DAY_MS	   (INT64_C(86400) * 1000)

struct purge {
	const struct job_env *env;
	struct bytes host, match, tag;
	/* Seconds since 1970, or INT64_MAX. */
	int64_t older_than, unused_since;
	bool dry_run;
	struct store_removed removed;
};

static bool
has_tag(const struct store_record *r, struct bytes tag)
{
	struct cache_meta meta;

	return cache_meta_decode(r->meta, &meta) == 0 &&
	       cache_tags_have(meta.tags, tag);
}

static int
purge_one(void *arg, const struct store_item *item)
{
	const struct purge *p = arg;
	const struct store_record *r = &item->record;

	if (job_stopped(p->env))
		return LARDER_CLOSED;
	if (p->host.n && !cache_key_host_is(r->key, p->host))
		return 0;
	if (p->match.n && !cache_key_glob(p->match, r->key))
		return 0;
	if (p->tag.n && !has_tag(r, p->tag))
		return 0;
	return r->stored_at <= p->older_than &&
	       item->last_use <= p->unused_since;
}

static bool
is_meant(void *arg, struct bytes key)
{
	const struct purge *p = arg;

	return (!p->host.n || cache_key_host_is(key, p->host)) &&
	       (!p->match.n || cache_key_glob(p->match, key));
}

static bool
is_key(void *arg, struct bytes key)
{
	const struct bytes *meant = arg;

	return bytes_eq(*meant, key);
}

/* Before what is stored goes: what is on its way is not stored over it. */
static void
purge_flights(
    const struct purge *p, bool (*matches)(void *, struct bytes), void *arg)
{
	/* Nothing that is on its way is old, or was not used for long; and
	 * which tags it has is not known by its key. */
	if (p->env->flights && !p->dry_run && p->older_than == INT64_MAX &&
	    p->unused_since == INT64_MAX && p->tag.n == 0)
		flights_invalidate_matching(p->env->flights, matches, arg);
}

static int
purge_prefix(struct purge *p, struct bytes prefix)
{
	struct store_removed removed = {0};
	int rc;

	purge_flights(p, is_meant, p);
	rc = store_remove_matching(
	    p->env->store, prefix, purge_one, p, p->dry_run, &removed);
	p->removed.objects += removed.objects;
	p->removed.bytes += removed.bytes;
	return rc < 0 ? rc : 0;
}

static int
purge_host(struct purge *p, const char *host)
{
	static const char *const schemes[] = {"http", "https"};
	char prefix[300];
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(schemes); i++) {
		int n = snprintf(
		    prefix, sizeof(prefix), "%s://%s", schemes[i], host);

		if (n < 0 || (size_t)n >= sizeof(prefix))
			return LARDER_INVALID;
		for (char *c = prefix; *c; c++)
			*c = bytes_lower(*c);
		p->host = bytes_of(prefix + n - strlen(host), strlen(host));
		rc = purge_prefix(p, bytes_of(prefix, (size_t)n));
	}
	return rc;
}

static int
purge_key(struct purge *p, struct store_view *view, struct bytes key,
    struct arena *arena)
{
	struct store_found found;
	int rc;

	purge_flights(p, is_key, &key);
	rc = store_look(view, key, arena, &found);
	store_view_turn(view);
	if (rc == LARDER_ABSENT || rc == LARDER_DAMAGED)
		return 0;
	if (rc < 0)
		return rc;
	p->removed.objects += found.count;
	for (unsigned i = 0; i < found.count; i++)
		p->removed.bytes += found.records[i].disk_size;
	if (p->dry_run)
		return 0;
	rc = store_remove(p->env->store, key, 0);
	return rc < 0 ? rc : 0;
}

/* All that a request for the URL could be answered from: with what is stored
 * forward beside a site's, and under the key that a rule makes of it. */
static int
purge_url(struct purge *p, struct store_view *view,
    const struct http_target *target, struct arena *arena)
{
	struct bytes url = cache_key(target, arena), keys[4];
	const struct conf_rule *rule;
	int rc = 0;

	if (url.p == NULL)
		return LARDER_TOOBIG;
	rule = policy_rule(p->env->conf, url);
	keys[0] = url;
	keys[1] = cache_key_apart(url, arena);
	keys[2] = keys[3] = bytes_of("", 0);
	if (rule != NULL && rule->ignore_query) {
		keys[2] = cache_key_without_query(url);
		keys[3] = cache_key_apart(keys[2], arena);
		/* Without a query it is the same. */
		if (keys[2].n == url.n)
			keys[2].n = keys[3].n = 0;
	}
	for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(keys); i++) {
		if (keys[i].p == NULL)
			rc = LARDER_TOOBIG;
		else if (keys[i].n > 0)
			rc = purge_key(p, view, keys[i], arena);
	}
	return rc;
}

static int
purge_urls(struct purge *p, struct evkeyvalq *args, json_t **out)
{
	struct store_view *view = NULL;
	struct arena arena;
	int rc = store_view_open(p->env->store, &view);

	for (struct evkeyval *a = args->tqh_first; rc == 0 && a;
	     a = a->next.tqe_next) {
		struct http_target target;
		const char *why;

		if (strcmp(a->key, "url") != 0)
			continue;
		arena_init(&arena, ARENA_MAX);
		if (http_target_of_url(
			bytes_str(a->value), &arena, &target, &why) < 0)
			rc = job_fail(
			    out, LARDER_INVALID, "%s: %s", a->value, why);
		else
			rc = purge_url(p, view, &target, &arena);
		arena_release(&arena);
	}
	if (view)
		store_view_close(&view);
	if (rc == 0 && !p->dry_run)
		rc = store_flush(p->env->store);
	return rc;
}

/* "30d" ago; *out INT64_MAX where there is no such argument. */
static int
read_time(struct evkeyvalq *args, const char *name, int64_t *out, json_t **said)
{
	const char *value = evhttp_find_header(args, name), *why;
	int64_t ms;

	*out = INT64_MAX;
	if (value == NULL)
		return 0;
	if (conf_parse_time(value, &ms, &why) < 0)
		return job_fail(said, LARDER_INVALID, "%s: %s", name, why);
	if (strcmp(name, "unused_for") == 0 && ms > KNOWN_DAYS * DAY_MS)
		return job_fail(said, LARDER_INVALID,
		    "unused_for: uses are kept for %d days; say at most %dd",
		    KNOWN_DAYS, KNOWN_DAYS);
	*out = (clock_wall_ms() - ms) / 1000;
	return 0;
}

/* One choice, and not an empty one: that would be everything. */
static int
check_choice(struct evkeyvalq *args, json_t **out)
{
	static const char *const choices[] = {
	    "url", "host", "match", "tag", "older_than", "unused_for", "all"};
	unsigned count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		const char *value = evhttp_find_header(args, choices[i]);

		if (value != NULL && *value == '\0')
			return job_fail(out, LARDER_INVALID,
			    "%s is empty; say which", choices[i]);
		count += value != NULL;
	}
	if (count == 1)
		return 0;
	return job_fail(out, LARDER_INVALID,
	    "say what to purge: url, host, match, tag, older_than, "
	    "unused_for or all");
}

static int
purge_dispatch(struct purge *p, struct evkeyvalq *args, json_t **out)
{
	const char *host = evhttp_find_header(args, "host");
	int rc;

	rc = check_choice(args, out);
	if (rc < 0)
		return rc;
	if (evhttp_find_header(args, "url"))
		return purge_urls(p, args, out);
	if (host)
		return purge_host(p, host);
	rc = read_time(args, "older_than", &p->older_than, out);
	if (rc == 0)
		rc = read_time(args, "unused_for", &p->unused_since, out);
	if (rc < 0)
		return rc;
	p->tag = bytes_str(evhttp_find_header(args, "tag"));
	p->match = bytes_str(evhttp_find_header(args, "match"));
	return purge_prefix(p, job_glob_prefix(p->match));
}

int
job_purge(const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	struct purge p = {.env = env,
	    .older_than = INT64_MAX,
	    .unused_since = INT64_MAX,
	    .dry_run = evhttp_find_header(args, "dry_run") != NULL};
	int rc;

	*out = NULL;
	rc = purge_dispatch(&p, args, out);
	if (rc < 0)
		return *out ? rc : job_fail_store(out, rc);
	*out = json_pack("{s:I, s:I, s:b}", "objects",
	    (json_int_t)p.removed.objects, "bytes", (json_int_t)p.removed.bytes,
	    "dry_run", p.dry_run);
	return *out ? 0 : LARDER_NOMEM;
}
