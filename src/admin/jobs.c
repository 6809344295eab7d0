#include "admin/jobs.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/key.h"
#include "cache/parts.h"
#include "cache/vary.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "proxy/flight.h"

#define LS_LIMIT     10000u
#define LS_LIMIT_MAX 1000000u
/* What a key, and what is made of it, may take. */
#define ARENA_MAX    (256u * 1024)

int
job_fail(json_t **out, int rc, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	json_decref(*out);
	*out = json_pack("{s:o}", "error", job_text(bytes_str(text)));
	return rc;
}

int
job_fail_store(json_t **out, int rc)
{
	return job_fail(out, rc, "the store: %s", larder_strerror(rc));
}

json_t *
job_text(struct bytes b)
{
	json_t *text = json_stringn(b.p ? b.p : "", b.n);
	char *escaped, *to;

	if (text)
		return text;
	escaped = to = malloc(b.n * 4 + 1);
	if (escaped == NULL)
		return NULL;
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] >= 0x20 && b.p[i] < 0x7f)
			*to++ = b.p[i];
		else
			to += sprintf(to, "\\x%02x", (unsigned char)b.p[i]);
	}
	text = json_stringn(escaped, (size_t)(to - escaped));
	free(escaped);
	return text;
}

bool
job_stopped(const struct job_env *env)
{
	return env->stop && atomic_load(env->stop);
}

static int64_t
now_seconds(void)
{
	return clock_wall_ms() / 1000;
}

/* ---- ls --------------------------------------------------------------- */

static void
set_variant(json_t *object, struct bytes variant)
{
	struct arena arena;
	struct bytes text;

	if (variant.n == 0)
		return;
	arena_init(&arena, ARENA_MAX);
	text = cache_variant_text(variant, &arena);
	if (text.p)
		json_object_set_new(object, "variant", job_text(text));
	arena_release(&arena);
}

/* Of a part: which one. */
static void
set_part(json_t *object, const struct cache_extent *part)
{
	char text[96];

	snprintf(text, sizeof(text),
	    "bytes %" PRIu64 "-%" PRIu64 " of %" PRIu64, part->from,
	    part->to - 1, part->complete);
	json_object_set_new(object, "part", json_string(text));
}

json_t *
job_record(const struct store_record *record, int64_t now)
{
	struct cache_meta meta;
	json_t *o = json_pack("{s:o, s:I, s:I, s:I}", "url",
	    job_text(cache_key_url(record->key)), "size",
	    (json_int_t)record->body_size, "stored_size",
	    (json_int_t)record->disk_size, "stored_at",
	    (json_int_t)record->stored_at);

	if (o == NULL)
		return NULL;
	set_variant(o, cache_selecting(record->variant));
	if (cache_meta_decode(record->meta, &meta) < 0) {
		json_object_set_new(o, "damaged", json_true());
		return o;
	}
	if (cache_is_part(&meta))
		set_part(o, &meta.part);
	json_object_set_new(o, "status", json_integer(meta.status));
	json_object_set_new(o, "age", json_integer(cache_age(&meta, now)));
	json_object_set_new(o, "ttl", json_integer(cache_ttl(&meta, now)));
	json_object_set_new(
	    o, "fresh_until", json_integer(now + cache_ttl(&meta, now)));
	return o;
}

struct bytes
job_glob_prefix(struct bytes glob)
{
	size_t n = 0;

	if (glob.n == 0)
		return glob;
	while (n < glob.n && strchr("*?[\\", glob.p[n]) == NULL)
		n++;
	/* Without a scheme it does not stand at the start of a key. */
	if (memmem(glob.p, n, "://", 3) == NULL)
		n = 0;
	return bytes_of(glob.p, n);
}

struct listing {
	const struct job_env *env;
	struct bytes glob; /* n == 0: all */
	json_t *objects;
	size_t limit;
	int64_t now;
	bool truncated;
};

static int
list_one(void *arg, const struct store_item *item)
{
	struct listing *l = arg;
	json_t *o;

	if (job_stopped(l->env))
		return LARDER_CLOSED;
	if (l->glob.n && !cache_key_glob(l->glob, item->record.key))
		return 0;
	if (json_array_size(l->objects) == l->limit) {
		l->truncated = true;
		return 1;
	}
	o = job_record(&item->record, l->now);
	json_object_set_new(o, "hits",
	    json_integer((json_int_t)(item->uses - (item->uses > 0))));
	return json_array_append_new(l->objects, o) == 0 ? 0 : LARDER_NOMEM;
}

int
job_ls(const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	const char *glob = evhttp_find_header(args, "glob");
	const char *limit = evhttp_find_header(args, "limit");
	struct listing l = {.env = env,
	    .limit = LS_LIMIT,
	    .now = now_seconds(),
	    .glob = bytes_str(glob)};
	uint64_t n;
	int rc;

	*out = NULL;
	if (limit) {
		if (!bytes_decimal(bytes_str(limit), LS_LIMIT_MAX, &n) ||
		    n == 0)
			return job_fail(out, LARDER_INVALID,
			    "limit: write a number from 1 to %u", LS_LIMIT_MAX);
		l.limit = n;
	}
	l.objects = json_array();
	if (l.objects == NULL)
		return LARDER_NOMEM;
	rc = store_walk(env->store, job_glob_prefix(l.glob), list_one, &l);
	*out = json_pack(
	    "{s:o, s:b}", "objects", l.objects, "truncated", l.truncated);
	return rc < 0 ? job_fail_store(out, rc) : 0;
}

bool
job_purge_result(const json_t *answer, struct store_removed *out)
{
	json_int_t objects =
	    json_integer_value(json_object_get(answer, "objects"));
	json_int_t bytes = json_integer_value(json_object_get(answer, "bytes"));

	*out = (struct store_removed){objects > 0 ? (uint64_t)objects : 0,
	    bytes > 0 ? (uint64_t)bytes : 0};
	return out->objects > 0 &&
	       !json_is_true(json_object_get(answer, "dry_run"));
}

/* ---- gc and verify ---------------------------------------------------- */

int
job_gc(const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	struct store_removed removed = {0};
	int rc = store_gc(env->store, &removed);

	(void)args;
	*out = NULL;
	if (rc < 0)
		return job_fail_store(out, rc);
	*out = json_pack("{s:I, s:I}", "objects", (json_int_t)removed.objects,
	    "bytes", (json_int_t)removed.bytes);
	return *out ? 0 : LARDER_NOMEM;
}

static int
verify_one(void *arg, const struct store_item *item)
{
	/* As many as fit on a screen or in a mail; the rest is counted. */
	if (json_array_size(arg) < 1000)
		json_array_append_new(arg, job_text(item->record.key));
	return 0;
}

int
job_verify(const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	struct store_damage damage = {0};
	json_t *urls = json_array();
	int rc = store_verify_until(
	    env->store, verify_one, urls, env->stop, &damage);

	(void)args;
	*out = json_pack("{s:I, s:I, s:I, s:o}", "objects_read",
	    (json_int_t)damage.objects_read, "bytes_read",
	    (json_int_t)damage.bytes_read, "damaged",
	    (json_int_t)damage.damaged, "urls", urls);
	return rc < 0 ? job_fail_store(out, rc) : *out ? 0 : LARDER_NOMEM;
}
