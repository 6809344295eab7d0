#include "admin/counters.h"

#include <stdlib.h>

#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"

#define STATE_NAME "counters"

static const struct {
	const char *name, *text;
} own[] = {
#define COUNTERS_ROW(name, text) {#name, text},
    COUNTERS_EACH(COUNTERS_ROW)
#undef COUNTERS_ROW
};

const char *
counters_name(unsigned which)
{
	check(which < COUNTER_COUNT);
	return which < STAT_COUNT ? stats_name((enum stats_counter)which)
				  : own[which - STAT_COUNT].name;
}

const char *
counters_text(unsigned which)
{
	check(which < COUNTER_COUNT);
	return which < STAT_COUNT ? stats_text((enum stats_counter)which)
				  : own[which - STAT_COUNT].text;
}

/* ---- kept ------------------------------------------------------------- */

static void
set_each(json_t *o, const uint64_t v[COUNTER_COUNT])
{
	/* JSON's integers are signed here; 2^63 bytes are never served. */
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		json_object_set_new(
		    o, counters_name(i), json_integer((json_int_t)v[i]));
}

void
counters_load(struct counters *c, struct store *store)
{
	struct arena arena;
	struct bytes text;
	json_t *o = NULL;

	*c = (struct counters){.since = clock_wall_ms() / 1000};
	arena_init(&arena, 128 * 1024);
	if (store_state_get(store, STATE_NAME, &arena, &text) == 0)
		o = json_loadb(text.p, text.n, 0, NULL);
	arena_release(&arena);
	if (!json_is_integer(json_object_get(o, "since"))) {
		json_decref(o);
		return;
	}
	c->since = json_integer_value(json_object_get(o, "since"));
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		/* One that is new in this version is missing, and so 0. */
		json_int_t n =
		    json_integer_value(json_object_get(o, counters_name(i)));

		c->before[i] = c->saved[i] = n > 0 ? (uint64_t)n : 0;
	}
	json_decref(o);
}

void
counters_current(const struct counters *c, const uint64_t stats[STAT_COUNT],
    struct store *store, uint64_t out[COUNTER_COUNT])
{
	struct store_stats s;

	store_stats(store, &s);
	memset(out, 0, COUNTER_COUNT * sizeof(*out));
	if (stats)
		memcpy(out, stats, STAT_COUNT * sizeof(*out));
	out[COUNTER_purged] = c->purged.objects;
	out[COUNTER_purged_bytes] = c->purged.bytes;
	out[COUNTER_evicted] = s.evicted;
	out[COUNTER_evicted_bytes] = s.evicted_bytes;
	out[COUNTER_damaged] = s.damaged;
	out[COUNTER_no_room] = s.no_room;
	out[COUNTER_io_errors] = s.io_errors;
}

void
counters_total(const struct counters *c, const uint64_t current[COUNTER_COUNT],
    uint64_t out[COUNTER_COUNT])
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		out[i] = c->before[i] + current[i];
}

int
counters_save(struct counters *c, struct store *store,
    const uint64_t total[COUNTER_COUNT])
{
	json_t *o;
	char *text;
	int rc = LARDER_NOMEM;

	if (memcmp(total, c->saved, sizeof(c->saved)) == 0)
		return 0;
	o = json_pack("{s:I}", "since", (json_int_t)c->since);
	if (o)
		set_each(o, total);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	if (text)
		rc = store_state_set(store, STATE_NAME, bytes_str(text));
	if (rc == 0)
		memcpy(c->saved, total, sizeof(c->saved));
	free(text);
	json_decref(o);
	return rc;
}

/* ---- told ------------------------------------------------------------- */

int64_t
counters_saved(const uint64_t v[COUNTER_COUNT])
{
	return (int64_t)(v[STAT_worth_bytes] - v[STAT_cost_bytes]);
}

static double
ratio(uint64_t part, uint64_t whole)
{
	if (whole == 0)
		return 0;
	return part >= whole ? 1 : (double)part / (double)whole;
}

json_t *
counters_json(const uint64_t v[COUNTER_COUNT], int64_t since)
{
	json_t *o = json_pack("{s:I}", "since", (json_int_t)since);
	/* Only these could have been answered from the store. */
	uint64_t answered = v[STAT_hits] + v[STAT_revalidated] +
			    v[STAT_collapsed] + v[STAT_misses] + v[STAT_passes];

	if (o == NULL)
		return NULL;
	set_each(o, v);
	json_object_set_new(o, "saved_bytes", json_integer(counters_saved(v)));
	json_object_set_new(
	    o, "hit_ratio", json_real(ratio(v[STAT_hits], answered)));
	json_object_set_new(o, "byte_hit_ratio",
	    json_real(ratio(v[STAT_hit_bytes], v[STAT_served_bytes])));
	return o;
}
