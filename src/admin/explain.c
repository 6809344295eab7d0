/*
 * Would a GET be a hit, and if not why: the walk of the proxy up to its
 * decision, with the same functions, on the store as it is.
 */
#include "admin/explain.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <pthread.h>
#include <time.h>

#include "cache/key.h"
#include "cache/vary.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "proxy/policy.h"

#define ARENA_MAX    (4u * 1024 * 1024)
#define HEAD_MAX     (64u * 1024)
#define WAIT_SECONDS 10

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
	e->url = cache_key(&e->target, e->arena);
	if (e->url.p == NULL)
		return LARDER_NOMEM;
	cache_request_init(&e->request, &e->head);
	return 0;
}

/* As route.c does for a real request: of a site, or forward. */
static int
set_policy(struct explained *e, const struct conf_site *site)
{
	const struct conf *conf = e->env->conf;

	e->site = site;
	e->rule = policy_rule(conf, e->url);
	e->key = policy_key(conf, site, e->rule, &e->target, e->arena);
	policy_make(conf, site, e->rule, &e->policy);
	if (e->key.p == NULL)
		return LARDER_NOMEM;
	return cache_coding_ask(&e->request, &e->policy, false, e->arena);
}

/* ---- the store -------------------------------------------------------- */

static int
find(struct explained *e)
{
	int rc = store_look(e->view, e->key, e->arena, &e->found);

	store_view_turn(e->view);
	if (rc == LARDER_ABSENT || rc == LARDER_DAMAGED)
		e->found.count = 0;
	return rc < 0 && rc != LARDER_DAMAGED ? rc : 0;
}

/* Where a site has the URL's host, a request may be the site's or a forward
 * one: what is stored says which is meant, the site first. */
static int
look_up(struct explained *e)
{
	const struct conf_site *site =
	    conf_site_for(e->env->conf, e->target.host, e->target.port);
	int rc = set_policy(e, site);

	if (rc == 0)
		rc = find(e);
	if (rc < 0 || site == NULL || e->found.count > 0)
		return rc;
	rc = set_policy(e, NULL);
	if (rc == 0)
		rc = find(e);
	if (rc == 0 && e->found.count == 0)
		rc = set_policy(e, site);
	return rc;
}

static int
decode(struct explained *e)
{
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

int
explain_head(
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
		rc = store_view_open(env->store, &e.view);
	if (rc == 0)
		rc = look_up(&e);
	if (rc == 0)
		rc = decode(&e);
	if (rc == 0) {
		cache_decide(&e.request, e.stored, e.count, e.now, &e.policy,
		    &arena, &e.decision);
		rc = explain_answer(&e, out);
	}
	if (rc != 0 && *out == NULL)
		job_fail(out, rc, "the store: %s", larder_strerror(rc));
	if (e.view)
		store_view_close(&e.view);
	arena_release(&arena);
	return rc;
}
