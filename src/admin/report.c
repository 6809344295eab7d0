#include "admin/report.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"

#define LIMIT	  20u
#define PAGE_TOP  10u
#define PAGE_DAYS 30
#define HOUR	  3600

static int64_t
now_seconds(void)
{
	return clock_wall_ms() / 1000;
}

static void
set(json_t *o, const char *name, uint64_t value)
{
	json_object_set_new(o, name, json_integer((json_int_t)value));
}

/* ---- the store -------------------------------------------------------- */

static json_t *
store_json(struct store *store)
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

/* ---- rows ------------------------------------------------------------- */

/* All that the tallies of a kind count (proxy/record.c): clients are counted
 * with whatever they were answered. */
static struct tally_counts
whole_of(enum tally_kind kind, const uint64_t v[COUNTER_COUNT])
{
	struct tally_counts all = {
	    .hits = v[STAT_hits] + v[STAT_revalidated] + v[STAT_collapsed],
	    .sent = v[STAT_hits_sent] + v[STAT_revalidated_sent] +
		    v[STAT_collapsed_sent] + v[STAT_misses_sent] +
		    v[STAT_passes_sent],
	    .cached = v[STAT_hit_bytes],
	    .fetched = v[STAT_fetched_bytes],
	    .tunnelled = v[STAT_tunnel_bytes],
	};

	all.requests = all.hits + v[STAT_misses] + v[STAT_passes];
	if (kind != TALLY_URL)
		all.requests += v[STAT_tunnels];
	if (kind == TALLY_CLIENT) {
		all.requests += v[STAT_denied] + v[STAT_errors] + v[STAT_own];
		all.sent += v[STAT_denied_sent] + v[STAT_errors_sent] +
			    v[STAT_own_sent];
	}
	if (kind != TALLY_HOST)
		all.fetched = 0;
	if (kind == TALLY_URL)
		all.tunnelled = 0;
	return all;
}

/* Counts of hosts, clients and URLs: what is not in a row is in `rest`. */
static void
add_top(json_t *o, enum tally_kind kind, const struct heavy *s, unsigned limit,
    const uint64_t whole[COUNTER_COUNT])
{
	unsigned top[HEAVY_MAX], n;
	struct tally_counts all = whole_of(kind, whole), rows = {0}, rest;
	json_t *list = json_array();

	n = heavy_top(s, top, limit < HEAVY_MAX ? limit : HEAVY_MAX);
	for (unsigned i = 0; i < n; i++) {
		json_array_append_new(list, heavy_json(&s->items[top[i]]));
		tally_add(&rows, &s->items[top[i]].counts);
	}
#define REST(m) rest.m = all.m > rows.m ? all.m - rows.m : 0
	REST(requests);
	REST(hits);
	REST(sent);
	REST(cached);
	REST(fetched);
	REST(tunnelled);
#undef REST
	json_object_set_new(o, "rows", list);
	json_object_set_new(o, "rest", heavy_counts_json(&rest));
}

static void
add_slots(json_t *o, const struct history *h, bool hours, int64_t from)
{
	json_t *list = json_array();
	int64_t now = now_seconds(), first = history_day(now, HISTORY_DAYS - 1);

	if (hours)
		first = now - now % HOUR - (int64_t)(HISTORY_HOURS - 1) * HOUR;
	if (from < first)
		from = first;
	if (hours)
		for (int64_t t = from - from % HOUR; t <= now; t += HOUR) {
			const struct history_slot *s = history_hour_at(h, t);

			if (s)
				json_array_append_new(
				    list, counters_json(s->v, t));
		}
	else
		for (int back = HISTORY_DAYS - 1; back >= 0; back--) {
			int64_t day = history_day(now, back);
			const struct history_slot *s = history_day_at(h, day);

			if (s && day >= history_day(from, 0))
				json_array_append_new(
				    list, counters_json(s->v, day));
		}
	json_object_set_new(o, "rows", list);
}

static const struct by {
	const char *name;
	bool slots, hours;
	enum tally_kind kind;
} ways[] = {
    {"host", .kind = TALLY_HOST},
    {"client", .kind = TALLY_CLIENT},
    {"url", .kind = TALLY_URL},
    {"day", .slots = true},
    {"hour", .slots = true, .hours = true},
};

/* ---- larderctl stats -------------------------------------------------- */

struct question {
	int64_t from; /* 0: ever */
	const struct by *by;
	unsigned limit;
};

static int
read_question(struct evkeyvalq *args, struct question *q, json_t **out)
{
	const char *since = evhttp_find_header(args, "since");
	const char *by = evhttp_find_header(args, "by");
	const char *limit = evhttp_find_header(args, "limit");
	const char *why;
	uint64_t n;
	int64_t ms;

	*q = (struct question){.limit = LIMIT};
	if (since) {
		if (conf_parse_time(since, &ms, &why) < 0)
			return job_fail(out, LARDER_INVALID, "since: %s", why);
		q->from = now_seconds() - ms / 1000;
		if (q->from < 1)
			q->from = 1;
	}
	for (size_t i = 0; by && i < ARRAY_SIZE(ways); i++)
		if (strcmp(by, ways[i].name) == 0)
			q->by = &ways[i];
	if (by && q->by == NULL)
		return job_fail(out, LARDER_INVALID,
		    "by: write host, client, url, day or hour");
	if (limit) {
		if (!bytes_decimal(bytes_str(limit), HEAVY_MAX, &n) || n == 0)
			return job_fail(out, LARDER_INVALID,
			    "limit: write a number from 1 to %u", HEAVY_MAX);
		q->limit = (unsigned)n;
	}
	return 0;
}

static json_t *
begin(const struct report *r, const uint64_t current[COUNTER_COUNT])
{
	json_t *o = json_pack(
	    "{s:s, s:b}", "version", LARDER_VERSION, "running", r->now != NULL);

	if (o == NULL || r->now == NULL)
		return o;
	set(o, "pid", (uint64_t)getpid());
	set(o, "uptime", (uint64_t)r->now->uptime);
	set(o, "connections_open", r->now->connections);
	set(o, "fetches_in_flight", r->now->flights);
	json_object_set_new(o, "since_start",
	    counters_json(current, now_seconds() - r->now->uptime));
	return o;
}

int
report_stats(const struct report *r, struct evkeyvalq *args, json_t **out)
{
	const struct history *h = census_history(r->census);
	uint64_t current[COUNTER_COUNT], total[COUNTER_COUNT];
	uint64_t period[COUNTER_COUNT];
	struct question q;
	struct heavy *top;
	int rc;

	*out = NULL;
	rc = read_question(args, &q, out);
	if (rc < 0)
		return rc;
	census_totals(r->census, current, total);
	*out = begin(r, current);
	if (*out == NULL)
		return LARDER_NOMEM;
	json_object_set_new(
	    *out, "total", counters_json(total, census_since(r->census)));
	json_object_set_new(*out, "store", store_json(r->store));
	if (q.from) {
		int64_t since = history_sum(h, q.from, now_seconds(), period);

		json_object_set_new(
		    *out, "period", counters_json(period, since));
	}
	if (q.by == NULL)
		return 0;
	json_object_set_new(*out, "by", json_string(q.by->name));
	if (q.by->slots) {
		add_slots(*out, h, q.by->hours, q.from);
		return 0;
	}
	/* Days are whole ones: so is the period that they are a part of. */
	if (q.from)
		history_sum(h, history_day(q.from, 0), now_seconds(), period);
	rc = census_top(r->census, q.by->kind, q.from, &top);
	if (rc == 0)
		add_top(
		    *out, q.by->kind, top, q.limit, q.from ? period : total);
	free(top);
	return rc;
}

int
report_job(const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	struct report r = {.store = env->store, .conf = env->conf};
	int rc = census_open(&r.census, NULL, env->store);

	*out = NULL;
	if (rc == 0)
		rc = report_stats(&r, args, out);
	census_free(&r.census);
	return rc;
}

/* ---- the page --------------------------------------------------------- */

/* What goes into a chart. */
static json_t *
point(const struct history_slot *s, int64_t start)
{
	static const uint64_t nothing[COUNTER_COUNT];
	const uint64_t *v = s ? s->v : nothing;

	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "start",
	    (json_int_t)start, "served", (json_int_t)v[STAT_served_bytes],
	    "fetched", (json_int_t)v[STAT_fetched_bytes], "saved",
	    (json_int_t)counters_saved(v), "tunnelled",
	    (json_int_t)v[STAT_tunnel_bytes]);
}

static json_t *
chart_hours(const struct history *h)
{
	int64_t now = now_seconds(), this = now - now % HOUR;
	json_t *list = json_array();

	for (int back = 47; back >= 0; back--) {
		int64_t t = this - (int64_t)back * HOUR;

		json_array_append_new(list, point(history_hour_at(h, t), t));
	}
	return list;
}

static json_t *
chart_days(const struct history *h)
{
	json_t *list = json_array();

	for (int back = PAGE_DAYS - 1; back >= 0; back--) {
		int64_t t = history_day(now_seconds(), back);

		json_array_append_new(list, point(history_day_at(h, t), t));
	}
	return list;
}

json_t *
report_url(struct bytes url)
{
	const char *query = memchr(url.p, '?', url.n);
	json_t *text;
	char *cut;

	if (query == NULL)
		return job_text(url);
	url.n = (size_t)(query - url.p) + 1;
	if (asprintf(&cut, "%.*s\xe2\x80\xa6", BYTES_FMT(url)) < 0)
		return json_null();
	text = job_text(bytes_str(cut));
	free(cut);
	return text;
}

static json_t *
flights_json(const struct census_flights *f)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < f->count; i++) {
		const struct tally_flight *one = &f->flights[i];
		json_t *o = json_pack("{s:o, s:I, s:I, s:I}", "url",
		    report_url(bytes_of(one->url, one->size)), "since",
		    (json_int_t)one->since, "received",
		    (json_int_t)one->received, "readers",
		    (json_int_t)one->readers);

		if (one->length != STORE_UNKNOWN)
			set(o, "length", one->length);
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *
ports_json(const struct conf *conf)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < conf->listen_proxies; i++)
		if (conf->listen_addr[i].sa.sa_family != AF_UNIX)
			json_array_append_new(list,
			    json_integer(addr_port(&conf->listen_addr[i])));
	return list;
}

json_t *
report_page(const struct report *r, json_t *objects)
{
	const struct history *h = census_history(r->census);
	uint64_t current[COUNTER_COUNT], total[COUNTER_COUNT], v[COUNTER_COUNT];
	int64_t now = now_seconds(), since;
	json_t *o, *hosts = json_object();
	struct heavy *top;

	census_totals(r->census, current, total);
	o = begin(r, current);
	set(o, "now", (uint64_t)now);
	json_object_set_new(
	    o, "ever", counters_json(total, census_since(r->census)));
	since = history_sum(h, history_day(now, 0), now, v);
	json_object_set_new(o, "today", counters_json(v, since));
	since = history_sum(h, history_day(now, 6), now, v);
	json_object_set_new(o, "week", counters_json(v, since));
	if (census_top(r->census, TALLY_HOST, history_day(now, 6), &top) == 0)
		add_top(hosts, TALLY_HOST, top, PAGE_TOP, v);
	free(top);
	json_object_set_new(o, "hosts", hosts);
	json_object_set_new(o, "hours", chart_hours(h));
	json_object_set_new(o, "days", chart_days(h));
	json_object_set_new(o, "store", store_json(r->store));
	json_object_set_new(
	    o, "flights", flights_json(census_flights(r->census)));
	json_object_set_new(o, "ports", ports_json(r->conf));
	json_object_set(o, "objects", objects ? objects : json_null());
	return o;
}
