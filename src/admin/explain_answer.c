/*
 * `explain` as JSON:
 *
 * {"url", "key": what it is stored under, "site": its host, or null of a
 * forward request, "now": seconds, "authorized": bool, "stored": bool, "hit":
 * bool, "action": "send", "why": "uri-miss" or null, "text": "a sentence",
 *  "detail": text or null,
 *  "rule": {"match", "file", "line", "effects": [text]} or null,
 *  "variants": [{as of ls, "chosen", "matches", "heuristic", "immutable",
 *                "always_revalidate", "lifetime", "lifetime_from", "etag",
 *                "last_modified", "tags", "stale_until", "stands_in_until",
 *                "where", "head": [lines]}]}
 */
#include "admin/explain.h"

#include <stdio.h>

#include "cache/vary.h"
#include "larder/err.h"

#define WHERE_MAX 512

static json_t *
head_lines(struct bytes form)
{
	json_t *lines = json_array();

	while (form.n > 0) {
		const char *end = memmem(form.p, form.n, "\r\n", 2);
		size_t n = end ? (size_t)(end - form.p) : form.n;

		if (n > 0)
			json_array_append_new(
			    lines, job_text(bytes_of(form.p, n)));
		form = bytes_skip(form, end ? n + 2 : n);
	}
	return lines;
}

static void
set(json_t *o, const char *name, json_t *value)
{
	json_object_set_new(o, name, value ? value : json_null());
}

static json_t *
text_or_null(struct bytes b)
{
	return b.n > 0 ? job_text(b) : json_null();
}

static json_t *
tag_list(struct bytes tags)
{
	json_t *list = json_array();

	while (tags.n > 0) {
		const char *space = memchr(tags.p, ' ', tags.n);
		size_t n = space ? (size_t)(space - tags.p) : tags.n;

		json_array_append_new(list, job_text(bytes_of(tags.p, n)));
		tags = bytes_skip(tags, space ? n + 1 : n);
	}
	return list;
}

static const char *
lifetime_from(const struct cache_meta *m)
{
	if (m->flags & CACHE_BY_RULE)
		return "rule";
	return m->flags & CACHE_HEURISTIC ? "guess" : "origin";
}

/* Until when it may be sent stale, while the origin is asked meanwhile, and
 * until when it may stand in for an origin that fails. */
static void
set_stale(json_t *o, const struct explained *e, const struct cache_meta *m)
{
	int64_t until = e->now + cache_ttl(m, e->now);
	int64_t limit = m->stale_if_error != CACHE_NOT_GIVEN
			    ? m->stale_if_error
			    : e->policy.stale_if_error;
	bool never =
	    m->flags & (CACHE_MUST_REVALIDATE | CACHE_ALWAYS_REVALIDATE) ||
	    e->policy.revalidate;
	bool sends = !never && m->stale_while_revalidate > 0;
	bool stands_in = !never && limit > 0 && m->status < 500;

	set(o, "stale_until",
	    sends ? json_integer(until + m->stale_while_revalidate) : NULL);
	set(o, "stands_in_until",
	    stands_in ? json_integer(until + limit) : NULL);
}

static void
set_facts(json_t *o, const struct explained *e, unsigned i)
{
	const struct cache_stored *s = &e->stored[i];
	const struct cache_meta *m = &s->meta;
	char date[HTTP_DATE_SIZE];

	set(o, "chosen", json_boolean((int)i == e->decision.chosen));
	set(o, "matches",
	    json_boolean(cache_coding_matches(
		&e->request, s->variant, &s->meta, e->arena)));
	set(o, "heuristic", json_boolean(m->flags & CACHE_HEURISTIC));
	set(o, "immutable",
	    json_boolean(e->policy.immutable || (m->flags & CACHE_IMMUTABLE)));
	set(o, "always_revalidate",
	    json_boolean(
		e->policy.revalidate || (m->flags & CACHE_ALWAYS_REVALIDATE)));
	set(o, "lifetime", json_integer(m->lifetime));
	set(o, "lifetime_from", json_string(lifetime_from(m)));
	set(o, "etag", text_or_null(m->etag));
	set(o, "last_modified", text_or_null(cache_last_modified(m, date)));
	set(o, "tags", tag_list(m->tags));
	set_stale(o, e, m);
}

static json_t *
variant_of(struct explained *e, unsigned i)
{
	const struct store_record *r = &e->found.records[e->index[i]];
	json_t *o = job_record(r, e->now);
	char where[WHERE_MAX];
	struct bytes form;
	int rc;

	if (o == NULL)
		return NULL;
	set_facts(o, e, i);
	if (store_where(e->env->store, r->key, r->id, where, sizeof(where)) ==
	    0)
		json_object_set_new(o, "where", job_text(bytes_str(where)));
	rc = explain_head(e, r, &form);
	if (rc == 0)
		json_object_set_new(o, "head", head_lines(form));
	else
		json_object_set_new(
		    o, "head_error", json_string(larder_strerror(rc)));
	return o;
}

/* A rule's wish is not the origin's. */
static const char *
why_text(const struct cache_decision *d)
{
	bool rule = d->detail != NULL && strcmp(d->detail, "rule") == 0;

	if (rule && d->why == CACHE_WHY_BYPASS)
		return "a rule says that it is not for the cache";
	if (rule && d->why == CACHE_WHY_NO_CACHE)
		return "it is stored, but a rule wants the origin to be asked "
		       "each time";
	return cache_why_text(d->why);
}

static const char *
action_name(enum cache_action action)
{
	static const char *const names[] = {
	    [CACHE_SEND] = "send",
	    [CACHE_REVALIDATE] = "revalidate",
	    [CACHE_FETCH] = "fetch",
	    [CACHE_PART] = "fetch",
	    [CACHE_COMPLETE] = "complete",
	    [CACHE_PASS] = "pass",
	    [CACHE_REFUSE] = "refuse",
	};

	return names[action];
}

static void
add_effect(json_t *list, bool wanted, const char *text)
{
	if (wanted)
		json_array_append_new(list, json_string(text));
}

static void
add_time(json_t *list, const char *word, int64_t ms)
{
	if (ms > 0)
		json_array_append_new(
		    list, json_sprintf("%s %ld s", word, (long)(ms / 1000)));
}

static void
add_names(json_t *list, const char *word, char *const *names, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		json_array_append_new(
		    list, json_sprintf("%s %s", word, names[i]));
}

static void
add_forces(json_t *list, unsigned force)
{
	add_effect(list, force & CONF_FORCE_NO_STORE, "force no-store");
	add_effect(list, force & CONF_FORCE_NO_CACHE, "force no-cache");
	add_effect(list, force & CONF_FORCE_PRIVATE, "force private");
	add_effect(
	    list, force & CONF_FORCE_AUTHORIZATION, "force authorization");
}

/* {"match", "file", "line", "effects": ["immutable", "tag x", ...]} */
static json_t *
rule_of(const struct conf_rule *r)
{
	json_t *effects;

	if (r == NULL)
		return json_null();
	effects = json_array();
	add_effect(effects, r->never, "never");
	add_effect(effects, r->revalidate, "revalidate");
	add_effect(effects, r->immutable, "immutable");
	add_time(effects, "min_fresh", r->min_fresh);
	add_time(effects, "max_fresh", r->max_fresh);
	add_effect(effects, r->ignore_query, "ignore_query");
	add_effect(effects, r->ignore_reload, "ignore_reload");
	add_effect(effects, r->fetch_whole, "fetch_whole");
	add_effect(effects, !r->compress, "compress = false");
	add_names(effects, "strip", r->strip, r->strip_count);
	add_names(effects, "tag", r->tags, r->tags_count);
	add_forces(effects, r->force);
	return json_pack("{s:o, s:o, s:i, s:o}", "match",
	    job_text(bytes_str(r->match)), "file", job_text(bytes_str(r->file)),
	    "line", r->line, "effects", effects);
}

int
explain_answer(struct explained *e, json_t **out)
{
	const struct cache_decision *d = &e->decision;
	json_t *variants = json_array();

	for (unsigned i = 0; i < e->count; i++)
		json_array_append_new(variants, variant_of(e, i));
	*out =
	    json_pack("{s:o, s:o, s:s?, s:b, s:b, s:s, s:s?, s:s, s:s?, s:o}",
		"url", job_text(e->url), "key", job_text(e->key), "site",
		e->site ? e->site->host : NULL, "stored", (int)(e->count > 0),
		"hit", d->action == CACHE_SEND, "action",
		action_name(d->action), "why", cache_why_token(d->why), "text",
		why_text(d), "detail", d->detail, "variants", variants);
	if (*out == NULL)
		return LARDER_NOMEM;
	json_object_set_new(*out, "now", json_integer(e->now));
	json_object_set_new(
	    *out, "authorized", json_boolean(e->request.authorized));
	json_object_set_new(*out, "rule", rule_of(e->rule));
	return 0;
}
