#include "admin/counters.h"

#include <stdlib.h>
#include <unistd.h>

#include "larder/clock.h"
#include "larder/err.h"

#define STATE_NAME "counters"

static void
set(json_t *o, const char *name, uint64_t value)
{
	/* JSON's integers are signed here; 2^63 bytes are never served. */
	json_object_set_new(o, name, json_integer((json_int_t)value));
}

static void
set_each(json_t *o, const uint64_t v[STAT_COUNT])
{
	for (int i = 0; i < STAT_COUNT; i++)
		set(o, stats_name((enum stats_counter)i), v[i]);
}

void
counters_load(struct counters *c, struct store *store)
{
	struct arena arena;
	struct bytes text;
	json_t *o = NULL;

	*c = (struct counters){.since = clock_wall_ms() / 1000};
	arena_init(&arena, 64 * 1024);
	if (store_state_get(store, STATE_NAME, &arena, &text) == 0)
		o = json_loadb(text.p, text.n, 0, NULL);
	arena_release(&arena);
	if (!json_is_integer(json_object_get(o, "since"))) {
		json_decref(o);
		return;
	}
	c->since = json_integer_value(json_object_get(o, "since"));
	for (int i = 0; i < STAT_COUNT; i++) {
		/* One that is new in this version is missing, and so 0. */
		json_int_t n = json_integer_value(
		    json_object_get(o, stats_name((enum stats_counter)i)));

		c->before[i] = c->saved[i] = n > 0 ? (uint64_t)n : 0;
	}
	json_decref(o);
}

void
counters_total(
    const struct counters *c, const uint64_t *current, uint64_t out[STAT_COUNT])
{
	for (int i = 0; i < STAT_COUNT; i++)
		out[i] = c->before[i] + (current ? current[i] : 0);
}

int
counters_save(
    struct counters *c, struct store *store, const uint64_t current[STAT_COUNT])
{
	uint64_t total[STAT_COUNT];
	json_t *o;
	char *text;
	int rc = LARDER_NOMEM;

	counters_total(c, current, total);
	if (memcmp(total, c->saved, sizeof(total)) == 0)
		return 0;
	o = json_pack("{s:I}", "since", (json_int_t)c->since);
	if (o)
		set_each(o, total);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (text)
		rc = store_state_set(store, STATE_NAME, bytes_str(text));
	if (rc == 0)
		memcpy(c->saved, total, sizeof(total));
	free(text);
	json_decref(o);
	return rc;
}

/* ---- the report ------------------------------------------------------- */

static double
ratio(uint64_t part, uint64_t whole)
{
	if (whole == 0)
		return 0;
	return part >= whole ? 1 : (double)part / (double)whole;
}

static json_t *
counted(const uint64_t v[STAT_COUNT], int64_t since)
{
	json_t *o = json_pack("{s:I}", "since", (json_int_t)since);
	/* Only these could have been answered from the store. */
	uint64_t answered = v[STAT_hits] + v[STAT_revalidated] +
			    v[STAT_collapsed] + v[STAT_misses] + v[STAT_passes];

	if (o == NULL)
		return NULL;
	set_each(o, v);
	json_object_set_new(
	    o, "hit_ratio", json_real(ratio(v[STAT_hits], answered)));
	json_object_set_new(o, "byte_hit_ratio",
	    json_real(ratio(v[STAT_hit_bytes], v[STAT_served_bytes])));
	return o;
}

static json_t *
stored(struct store *store)
{
	struct store_stats s;
	json_t *o = json_object();

	store_stats(store, &s);
	set(o, "objects", s.objects);
	set(o, "disk_used", s.disk_used);
	set(o, "disk_budget", s.disk_budget);
	set(o, "memory_used", s.memory_used);
	set(o, "memory_budget", s.memory_budget);
	set(o, "body_bytes", s.body_bytes);
	set(o, "stored_bytes", s.stored_bytes);
	set(o, "compression_gained",
	    s.body_bytes > s.stored_bytes ? s.body_bytes - s.stored_bytes : 0);
	set(o, "memory_opens", s.memory_hits);
	set(o, "evicted", s.evicted);
	set(o, "evicted_bytes", s.evicted_bytes);
	set(o, "written", s.written);
	set(o, "rewritten", s.rewritten);
	set(o, "removed", s.removed);
	set(o, "damaged", s.damaged);
	set(o, "no_room", s.no_room);
	set(o, "io_errors", s.io_errors);
	set(o, "commits", s.commits);
	return o;
}

json_t *
counters_report(const struct counters *c, const struct counters_now *now,
    struct store *store)
{
	uint64_t total[STAT_COUNT];
	json_t *o = json_pack(
	    "{s:s, s:b}", "version", LARDER_VERSION, "running", now != NULL);

	if (o == NULL)
		return NULL;
	if (now) {
		int64_t start = clock_wall_ms() / 1000 - now->uptime;

		set(o, "pid", (uint64_t)getpid());
		set(o, "uptime", (uint64_t)now->uptime);
		set(o, "connections_open", now->connections);
		set(o, "fetches_in_flight", now->flights);
		json_object_set_new(
		    o, "since_start", counted(now->current, start));
	}
	counters_total(c, now ? now->current : NULL, total);
	json_object_set_new(o, "total", counted(total, c->since));
	json_object_set_new(o, "store", stored(store));
	return o;
}

int
counters_job(const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	struct counters c;

	(void)args;
	counters_load(&c, env->store);
	*out = counters_report(&c, NULL, env->store);
	return *out ? 0 : LARDER_NOMEM;
}
