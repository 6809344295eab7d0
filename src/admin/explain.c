/*
 * Would a GET be a hit, and if not why: the walk of the proxy up to its
 * decision, with the same functions, on the store as it is.
 *
 * {"url", "key", "hit": bool, "action": "send", "why": "uri-miss" or null,
 *  "text": "a sentence", "detail": text or null, "chosen": index or null,
 *  "rule": glob or null,
 *  "variants": [{as of ls, "chosen", "matches", "heuristic", "immutable",
 *                "always_revalidate", "where", "head": [lines]}]}
 */
#include "admin/jobs.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <pthread.h>
#include <time.h>

#include "cache/admit.h"
#include "cache/coding.h"
#include "cache/decide.h"
#include "cache/key.h"
#include "cache/vary.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "proxy/policy.h"

#define ARENA_MAX    (4u * 1024 * 1024)
#define HEAD_MAX     (64u * 1024)
#define WHERE_MAX    512
#define WAIT_SECONDS 10

struct explained {
	const struct job_env *env;
	struct store_view *view;
	struct arena *arena;
	struct http_target target;
	struct http_head head;
	struct bytes key;
	struct cache_request request;
	struct cache_policy policy;
	const struct conf_rule *rule;
	struct store_found found;
	struct cache_stored *stored; /* of found's, those that decode */
	unsigned *index;	     /* of each, in found */
	unsigned count;
	struct cache_decision decision;
	int64_t now; /* seconds */
};

/* ---- the request ------------------------------------------------------ */

/* "GET url HTTP/1.1" with Host and the fields that were given. */
static struct bytes
request_text(struct explained *e, const char *url, struct evkeyvalq *args)
{
	struct bytes host = http_target_authority(&e->target, e->arena);
	struct bytes text = arena_printf(e->arena,
	    "GET %s HTTP/1.1\r\nHost: %.*s\r\n", url, BYTES_FMT(host));

	for (struct evkeyval *a = args->tqh_first; text.p && a;
	     a = a->next.tqe_next)
		if (strcmp(a->key, "header") == 0)
			text = arena_printf(
			    e->arena, "%.*s%s\r\n", BYTES_FMT(text), a->value);
	if (text.p)
		text = arena_printf(e->arena, "%.*s\r\n", BYTES_FMT(text));
	return text;
}

static int
make_request(struct explained *e, struct evkeyvalq *args, json_t **out)
{
	static const struct http_limits limits = {
	    .line = HEAD_MAX, .head = HEAD_MAX, .fields = 256};
	const char *url = evhttp_find_header(args, "url"), *why;
	struct http_fault fault;
	struct bytes text;

	if (url == NULL)
		return job_fail(out, LARDER_INVALID, "which url?");
	if (http_target_of_url(bytes_str(url), e->arena, &e->target, &why) < 0)
		return job_fail(out, LARDER_INVALID, "%s: %s", url, why);
	text = request_text(e, url, args);
	if (text.p == NULL)
		return LARDER_NOMEM;
	if (http_parse_request(text, &limits, e->arena, &e->head, &fault) < 0)
		return job_fail(
		    out, LARDER_INVALID, "the request: %s", fault.text);
	e->key = cache_key(&e->target, e->arena);
	if (e->key.p == NULL)
		return LARDER_NOMEM;
	cache_request_init(&e->request, &e->head);
	return 0;
}

/* As route.c does for a real request. */
static int
set_policy(struct explained *e)
{
	const struct conf *conf = e->env->conf;

	e->rule = policy_rule(conf, e->key);
	policy_make(conf, conf_site_for(conf, e->target.host, e->target.port),
	    e->rule, &e->policy);
	return cache_coding_ask(&e->request, &e->policy, false, e->arena);
}

/* ---- the store -------------------------------------------------------- */

static int
look_up(struct explained *e)
{
	int rc = store_find(e->view, e->key, e->arena, &e->found);

	/* What is stored forward beside a site's, if nothing else is. */
	if (rc == LARDER_ABSENT) {
		struct bytes apart = cache_key_apart(e->key, e->arena);

		if (apart.p != NULL)
			rc = store_find(e->view, apart, e->arena, &e->found);
	}
	store_view_turn(e->view);
	if (rc == LARDER_ABSENT || rc == LARDER_DAMAGED)
		e->found.count = 0;
	else if (rc < 0)
		return rc;
	e->stored =
	    arena_zalloc(e->arena, (e->found.count + 1) * sizeof(*e->stored));
	e->index =
	    arena_zalloc(e->arena, (e->found.count + 1) * sizeof(*e->index));
	if (e->stored == NULL || e->index == NULL)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < e->found.count; i++) {
		const struct store_record *r = &e->found.records[i];
		struct cache_stored *s = &e->stored[e->count];

		if (cache_stored_decode(r->meta, r->variant, r->body_size, s) <
		    0)
			continue;
		e->index[e->count++] = i;
	}
	return 0;
}

/* A head that is not in memory comes by a wake from a thread of the store. */
struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t woken;
	bool awake;
};

static void
on_wake(void *arg)
{
	struct waiter *w = arg;

	pthread_mutex_lock(&w->lock);
	w->awake = true;
	pthread_cond_signal(&w->woken);
	pthread_mutex_unlock(&w->lock);
}

static bool
wait_for_wake(struct waiter *w)
{
	struct timespec until;
	int rc = 0;
	bool awake;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&w->lock);
	while (!w->awake && rc == 0)
		rc = pthread_cond_timedwait(&w->woken, &w->lock, &until);
	awake = w->awake;
	w->awake = false;
	pthread_mutex_unlock(&w->lock);
	return awake;
}

/* The stored form of a head, into the arena. */
static int
read_head(
    struct explained *e, const struct store_record *record, struct bytes *out)
{
	struct waiter w = {
	    PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
	struct blob_reader reader;
	struct blob *blob;
	struct bytes head;
	int rc = store_open_blob(e->view, record, &blob);

	store_view_turn(e->view);
	if (rc != 0)
		return rc;
	rc = blob_reader_open(
	    &reader, e->view, blob, 0, STORE_UNKNOWN, on_wake, &w);
	blob_unref(&blob);
	if (rc != 0)
		return rc;
	while ((rc = blob_reader_head(&reader, &head)) == LARDER_AGAIN)
		if (!wait_for_wake(&w))
			break;
	if (rc == 0) {
		*out = arena_copy(e->arena, head);
		rc = out->p ? 0 : LARDER_NOMEM;
	}
	blob_reader_close(&reader);
	pthread_cond_destroy(&w.woken);
	pthread_mutex_destroy(&w.lock);
	return rc;
}

/* ---- the answer ------------------------------------------------------- */

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
set_flags(json_t *o, const struct explained *e, unsigned i)
{
	const struct cache_stored *s = &e->stored[i];
	uint16_t flags = s->meta.flags;

	json_object_set_new(o, "matches",
	    json_boolean(cache_coding_matches(
		&e->request, s->variant, &s->meta, e->arena)));
	json_object_set_new(
	    o, "heuristic", json_boolean(flags & CACHE_HEURISTIC));
	json_object_set_new(o, "immutable",
	    json_boolean(e->policy.immutable || (flags & CACHE_IMMUTABLE)));
	json_object_set_new(o, "always_revalidate",
	    json_boolean(flags & CACHE_ALWAYS_REVALIDATE));
	json_object_set_new(
	    o, "chosen", json_boolean((int)i == e->decision.chosen));
	if ((int)i != e->decision.chosen)
		return;
	/* The decision knows of rules, job_record() does not. */
	json_object_set_new(o, "age", json_integer(e->decision.age));
	json_object_set_new(o, "ttl", json_integer(e->decision.ttl));
	json_object_set_new(
	    o, "fresh_until", json_integer(e->now + e->decision.ttl));
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
	set_flags(o, e, i);
	if (store_where(e->env->store, r->key, r->id, where, sizeof(where)) ==
	    0)
		json_object_set_new(o, "where", job_text(bytes_str(where)));
	rc = read_head(e, r, &form);
	if (rc == 0)
		json_object_set_new(o, "head", head_lines(form));
	else
		json_object_set_new(
		    o, "head_error", json_string(larder_strerror(rc)));
	return o;
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

static int
make_answer(struct explained *e, json_t **out)
{
	const struct cache_decision *d = &e->decision;
	json_t *variants = json_array();

	for (unsigned i = 0; i < e->count; i++)
		json_array_append_new(variants, variant_of(e, i));
	*out = json_pack("{s:o, s:b, s:b, s:s, s:s?, s:s, s:s?, s:s?, s:o}",
	    "url", job_text(e->key), "stored", (int)(e->count > 0), "hit",
	    d->action == CACHE_SEND, "action", action_name(d->action), "why",
	    cache_why_token(d->why), "text", cache_why_text(d->why), "detail",
	    d->detail, "rule", e->rule ? e->rule->match : NULL, "variants",
	    variants);
	return *out ? 0 : LARDER_NOMEM;
}

int
job_explain(const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	struct arena arena;
	struct explained e = {
	    .env = env, .arena = &arena, .now = clock_wall_ms() / 1000};
	int rc;

	*out = NULL;
	arena_init(&arena, ARENA_MAX);
	rc = make_request(&e, args, out);
	if (rc == 0)
		rc = set_policy(&e);
	if (rc == 0)
		rc = store_view_open(env->store, &e.view);
	if (rc == 0)
		rc = look_up(&e);
	if (rc == 0) {
		cache_decide(&e.request, e.stored, e.count, e.now, &e.policy,
		    &arena, &e.decision);
		rc = make_answer(&e, out);
	}
	if (rc != 0 && *out == NULL)
		job_fail(out, rc, "the store: %s", larder_strerror(rc));
	if (e.view)
		store_view_close(&e.view);
	arena_release(&arena);
	return rc;
}
