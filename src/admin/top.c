/*
 * What is asked for right now, as JSON:
 *
 * {"seconds": of which it is, at most 10, "requests": n, "hits": n, "bytes": n,
 *  "connections_open": n, "fetches_in_flight": n,
 *  "hosts": [{"name", "requests", "hits", "bytes"}], "urls": [...],
 *  "clients": [...]}, the busiest first
 */
#include "admin/top.h"

#include <stdlib.h>

#include "admin/jobs.h"
#include "larder/clock.h"
#include "proxy/recent.h"

static void
set_count(json_t *o, const struct recent_count *c)
{
	json_object_set_new(
	    o, "requests", json_integer((json_int_t)c->requests));
	json_object_set_new(o, "hits", json_integer((json_int_t)c->hits));
	json_object_set_new(o, "bytes", json_integer((json_int_t)c->bytes));
}

static json_t *
table(const struct recent_report *report, enum recent_table which)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < report->count[which]; i++) {
		const struct recent_entry *e = &report->entries[which][i];
		json_t *o =
		    json_pack("{s:o}", "name", job_text(bytes_str(e->name)));

		set_count(o, &e->count);
		json_array_append_new(list, o);
	}
	return list;
}

json_t *
top_report(struct proxy *proxy)
{
	struct recent *recent = proxy_recent(proxy);
	struct recent_report *report = malloc(sizeof(*report));
	int64_t now = clock_mono_ms();
	uint64_t connections, flights;
	json_t *o;

	if (report == NULL)
		return NULL;
	proxy_gauges(proxy, &connections, &flights);
	recent_watch(recent, now);
	recent_report(recent, now, report);
	o = json_pack("{s:f, s:I, s:I}", "seconds", (double)report->ms / 1000,
	    "connections_open", (json_int_t)connections, "fetches_in_flight",
	    (json_int_t)flights);
	if (o != NULL) {
		set_count(o, &report->all);
		json_object_set_new(o, "hosts", table(report, RECENT_HOSTS));
		json_object_set_new(o, "urls", table(report, RECENT_URLS));
		json_object_set_new(
		    o, "clients", table(report, RECENT_CLIENTS));
	}
	free(report);
	return o;
}
