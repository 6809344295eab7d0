/*
 * Prometheus' text format 0.0.4.
 */
#include <event2/buffer.h>
#include <inttypes.h>
#include <stdio.h>

#include "admin/report.h"
#include "larder/check.h"
#include "larder/clock.h"

/* Each request is counted under one of these. */
static const struct {
	const char *result;
	enum stats_counter requests, sent;
} results[] = {
    {"hit", STAT_hits, STAT_hits_sent},
    {"revalidated", STAT_revalidated, STAT_revalidated_sent},
    {"collapsed", STAT_collapsed, STAT_collapsed_sent},
    {"miss", STAT_misses, STAT_misses_sent},
    {"pass", STAT_passes, STAT_passes_sent},
    {"denied", STAT_denied, STAT_denied_sent},
    {"error", STAT_errors, STAT_errors_sent},
    {"own", STAT_own, STAT_own_sent},
};

static bool
is_by_result(unsigned which)
{
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		if (which == results[i].requests || which == results[i].sent)
			return true;
	return which == STAT_requests;
}

static void
head(struct evbuffer *out, const char *name, const char *type, const char *text)
{
	evbuffer_add_printf(out, "# HELP larder_%s %s\n# TYPE larder_%s %s\n",
	    name, text, name, type);
}

static void
gauge(struct evbuffer *out, const char *name, const char *text, int64_t value)
{
	head(out, name, "gauge", text);
	evbuffer_add_printf(out, "larder_%s %" PRId64 "\n", name, value);
}

static void
by_result(struct evbuffer *out, const uint64_t total[COUNTER_COUNT])
{
	head(out, "requests_total", "counter", "Requests answered, by result.");
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		evbuffer_add_printf(out,
		    "larder_requests_total{result=\"%s\"} %" PRIu64 "\n",
		    results[i].result, total[results[i].requests]);
	head(out, "sent_bytes_total", "counter",
	    "Bytes sent to clients, heads included, by result.");
	for (size_t i = 0; i < ARRAY_SIZE(results); i++)
		evbuffer_add_printf(out,
		    "larder_sent_bytes_total{result=\"%s\"} %" PRIu64 "\n",
		    results[i].result, total[results[i].sent]);
}

static void
counters(struct evbuffer *out, const uint64_t total[COUNTER_COUNT])
{
	char name[64];

	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		if (is_by_result(i))
			continue;
		snprintf(name, sizeof(name), "%s_total", counters_name(i));
		head(out, name, "counter", counters_text(i));
		evbuffer_add_printf(
		    out, "larder_%s %" PRIu64 "\n", name, total[i]);
	}
}

static void
store_gauges(struct evbuffer *out, struct store *store)
{
	struct store_stats s;

	store_stats(store, &s);
	gauge(out, "objects", "Objects in the cache.", (int64_t)s.objects);
	gauge(out, "disk_used_bytes", "What the cache takes on the disk.",
	    (int64_t)s.disk_used);
	gauge(out, "disk_budget_bytes", "What it may take: cache.size.",
	    (int64_t)s.disk_budget);
	gauge(out, "memory_used_bytes", "What the tier in memory takes.",
	    (int64_t)s.memory_used);
	gauge(out, "memory_budget_bytes", "What it may take: cache.memory.",
	    (int64_t)s.memory_budget);
	gauge(out, "body_bytes",
	    "Bytes of all stored bodies, as they are read.",
	    (int64_t)s.body_bytes);
	gauge(out, "stored_bytes", "Bytes of all stored bodies on the disk.",
	    (int64_t)s.stored_bytes);
}

void
report_metrics(const struct report *r, struct evbuffer *out)
{
	uint64_t current[COUNTER_COUNT], total[COUNTER_COUNT];

	census_totals(r->census, current, total);
	head(out, "build_info", "gauge", "The version that runs.");
	evbuffer_add_printf(
	    out, "larder_build_info{version=\"%s\"} 1\n", LARDER_VERSION);
	by_result(out, total);
	counters(out, total);
	gauge(out, "saved_bytes",
	    "What the uplink was spared: worth_bytes less cost_bytes.",
	    counters_saved(total));
	store_gauges(out, r->store);
	if (r->now == NULL)
		return;
	gauge(out, "start_time_seconds", "When the daemon started.",
	    clock_wall_ms() / 1000 - r->now->uptime);
	gauge(out, "connections_open", "Client connections open now.",
	    (int64_t)r->now->connections);
	gauge(out, "fetches_in_flight", "Fetches from origins under way now.",
	    (int64_t)r->now->flights);
}
