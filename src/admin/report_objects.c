/*
 * The newest and the largest objects: by a walk over the store, which ends
 * after a while, however large it is.
 */
#include <event2/http.h>
#include <stdlib.h>

#include "admin/report.h"
#include "cache/key.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"

#define TOP	8u
#define WALK_MS 3000
/* Objects between two looks at the clock. */
#define STRIDE	1024u

struct object {
	char url[TALLY_TEXT];
	uint16_t size; /* of url */
	uint64_t body;
	int64_t stored_at;
};

struct ranking {
	struct object top[TOP];
	unsigned count;
};

struct walk {
	const struct job_env *env;
	struct ranking newest, largest;
	uint64_t seen;
	int64_t until; /* clock_mono_ms() */
	bool partial;
};

static void
rank(struct ranking *r, const struct store_record *record, bool by_size)
{
	struct bytes url = cache_key_url(record->key);
	struct object *o;
	unsigned at = r->count;

	while (
	    at > 0 && (by_size ? r->top[at - 1].body < record->body_size
			       : r->top[at - 1].stored_at < record->stored_at))
		at--;
	if (at == TOP)
		return;
	if (r->count < TOP)
		r->count++;
	o = &r->top[at];
	memmove(o + 1, o, (r->count - at - 1) * sizeof(*o));
	o->size = (uint16_t)(url.n < TALLY_TEXT ? url.n : TALLY_TEXT);
	memcpy(o->url, url.p, o->size);
	o->body = record->body_size;
	o->stored_at = record->stored_at;
}

static int
visit(void *arg, const struct store_item *item)
{
	struct walk *w = arg;

	if (++w->seen % STRIDE == 0) {
		if (w->env->stop && atomic_load(w->env->stop))
			return LARDER_CLOSED;
		if (clock_mono_ms() > w->until) {
			w->partial = true;
			return 1;
		}
	}
	rank(&w->newest, &item->record, false);
	rank(&w->largest, &item->record, true);
	return 0;
}

static json_t *
ranking_json(const struct ranking *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->count; i++) {
		const struct object *o = &r->top[i];

		json_array_append_new(
		    list, json_pack("{s:o, s:I, s:I}", "url",
			      report_url(bytes_of(o->url, o->size)), "size",
			      (json_int_t)o->body, "stored_at",
			      (json_int_t)o->stored_at));
	}
	return list;
}

int
report_objects(const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	struct walk *w = calloc(1, sizeof(*w));
	int rc = LARDER_NOMEM;

	(void)args;
	*out = NULL;
	if (w == NULL)
		return rc;
	w->env = env;
	w->until = clock_mono_ms() + WALK_MS;
	rc = store_walk(env->store, bytes_of(NULL, 0), visit, w);
	if (rc >= 0) {
		*out = json_pack("{s:o, s:o, s:b}", "newest",
		    ranking_json(&w->newest), "largest",
		    ranking_json(&w->largest), "partial", w->partial);
		rc = *out ? 0 : LARDER_NOMEM;
	}
	free(w);
	return rc;
}
