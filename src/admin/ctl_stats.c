/*
 * What `larderctl stats` shows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin/ctl.h"
#include "larder/check.h"

/* ---- the counters ----------------------------------------------------- */

enum unit { COUNT, SIZE, RATIO };

/* sent: the bytes that were sent with them, or NULL. */
static const struct row {
	const char *label, *name;
	enum unit unit;
	const char *sent;
} rows[] = {
    {"requests", "requests", COUNT, NULL},
    {"hits", "hits", COUNT, "hits_sent"},
    {"  of these from memory", "memory_hits", COUNT, NULL},
    {"revalidated", "revalidated", COUNT, "revalidated_sent"},
    {"collapsed", "collapsed", COUNT, "collapsed_sent"},
    {"misses", "misses", COUNT, "misses_sent"},
    {"passed, not cacheable", "passes", COUNT, "passes_sent"},
    {"tunnels, not cacheable", "tunnels", COUNT, "tunnel_bytes"},
    {"denied", "denied", COUNT, "denied_sent"},
    {"errors", "errors", COUNT, "errors_sent"},
    {"by larder itself", "own", COUNT, "own_sent"},
    {"left by the client", "aborted", COUNT, NULL},
    {"refused, all full", "refused_full", COUNT, NULL},
    {"refused, over share", "refused_share", COUNT, NULL},
    {"idle, given up", "given_up", COUNT, NULL},
    {"clients too slow", "too_slow", COUNT, NULL},
    {"slow readers cut off", "held_up", COUNT, NULL},
    {"out of descriptors", "starved", COUNT, NULL},
    {"hit ratio", "hit_ratio", RATIO, NULL},
    {"hit ratio by bytes", "byte_hit_ratio", RATIO, NULL},
    {"bytes served", "served_bytes", SIZE, NULL},
    {"bytes fetched", "fetched_bytes", SIZE, NULL},
    {"bytes saved", "saved_bytes", SIZE, NULL},
    {"bytes tunnelled", "tunnel_bytes", SIZE, NULL},
    {"origin requests", "origin_requests", COUNT, NULL},
    {"origin failures", "origin_failures", COUNT, NULL},
    {"purged", "purged", COUNT, "purged_bytes"},
    {"evicted", "evicted", COUNT, "evicted_bytes"},
    {"not stored, no room", "no_room", COUNT, NULL},
    {"damaged, dropped", "damaged", COUNT, NULL},
    {"disk errors", "io_errors", COUNT, NULL},
};

static const char *
cell(const json_t *counters, const struct row *row, char out[CTL_TEXT])
{
	switch (row->unit) {
	case SIZE:
		return ctl_size(ctl_number(counters, row->name), out);
	case RATIO:
		snprintf(out, CTL_TEXT, "%.1f %%",
		    100 *
			json_real_value(json_object_get(counters, row->name)));
		return out;
	case COUNT:
	default:
		return ctl_count(ctl_number(counters, row->name), out);
	}
}

static void
show_row(const struct row *row, const json_t *const columns[2])
{
	char text[CTL_TEXT];

	printf("%-24s", row->label);
	for (int i = 0; i < 2; i++) {
		if (columns[i] == NULL)
			continue;
		printf(" %14s", cell(columns[i], row, text));
		printf(" %11s",
		    row->sent && ctl_number(columns[i], row->name)
			? ctl_size(ctl_number(columns[i], row->sent), text)
			: "");
	}
	putchar('\n');
}

/* "2026-11-27 14:00", or the day alone */
static const char *
date_of(json_int_t seconds, bool time, char out[64])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, 64, "%F %R", &tm);
	if (!time)
		out[strcspn(out, " ")] = '\0';
	return out;
}

static void
show_counters(const json_t *answer)
{
	const json_t *columns[2] = {
	    json_object_get(answer, "since_start"),
	    json_object_get(answer, "total"),
	};
	char since[64];

	if (json_object_get(answer, "period"))
		columns[0] = json_object_get(answer, "period");
	printf("%-24s", "");
	for (int i = 0; i < 2; i++) {
		if (columns[i] == NULL)
			continue;
		date_of(ctl_number(columns[i], "since"), true, since);
		printf("   since %*s", -18, since);
	}
	putchar('\n');
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		show_row(&rows[i], columns);
}

static void
show_store(const json_t *s)
{
	char a[CTL_TEXT], b[CTL_TEXT];

	printf("\n%-24s %14s\n", "objects",
	    ctl_count(ctl_number(s, "objects"), a));
	printf("%-24s %14s of %s\n", "disk used",
	    ctl_size(ctl_number(s, "disk_used"), a),
	    ctl_size(ctl_number(s, "disk_budget"), b));
	printf("%-24s %14s of %s\n", "memory used",
	    ctl_size(ctl_number(s, "memory_used"), a),
	    ctl_size(ctl_number(s, "memory_budget"), b));
	printf("%-24s %14s\n", "gained by compression",
	    ctl_size(ctl_number(s, "compression_gained"), a));
	printf("%-24s %14s of %s stored\n", "written again",
	    ctl_size(ctl_number(s, "rewritten"), a),
	    ctl_size(ctl_number(s, "written"), b));
}

/* ---- by host, client, URL, day, hour ---------------------------------- */

static void
show_count_row(const json_t *o, const char *name)
{
	char n[CTL_TEXT], hits[CTL_TEXT], a[CTL_TEXT], b[CTL_TEXT], c[CTL_TEXT];
	char d[CTL_TEXT];

	printf("%11s %11s %11s %11s %11s %11s  ",
	    ctl_count(ctl_number(o, "requests"), n),
	    ctl_count(ctl_number(o, "hits"), hits),
	    ctl_size(ctl_number(o, "sent_bytes"), a),
	    ctl_size(ctl_number(o, "hit_bytes"), b),
	    ctl_size(ctl_number(o, "fetched_bytes"), c),
	    ctl_size(ctl_number(o, "tunnel_bytes"), d));
	ctl_print(name);
	putchar('\n');
}

static void
show_top(const json_t *answer, const char *by)
{
	const json_t *list = json_object_get(answer, "rows");
	char heading[32];

	snprintf(heading, sizeof(heading), "%s", by);
	for (char *c = heading; *c; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	printf("%11s %11s %11s %11s %11s %11s  %s\n", "REQUESTS", "HITS",
	    "SENT", "FROM CACHE", "FETCHED", "TUNNELLED", heading);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		show_count_row(o, ctl_string(o, "name"));
	}
	show_count_row(json_object_get(answer, "rest"), "(all others)");
}

static void
show_slots(const json_t *answer, bool hours)
{
	const json_t *list = json_object_get(answer, "rows");
	char n[CTL_TEXT], hits[CTL_TEXT], a[CTL_TEXT], b[CTL_TEXT], c[CTL_TEXT];
	char d[CTL_TEXT], when[64];

	printf("%-16s %11s %11s %11s %11s %11s %11s\n", hours ? "HOUR" : "DAY",
	    "REQUESTS", "HITS", "SERVED", "FETCHED", "SAVED", "TUNNELLED");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);

		printf("%-16s %11s %11s %11s %11s %11s %11s\n",
		    date_of(ctl_number(o, "since"), hours, when),
		    ctl_count(ctl_number(o, "requests"), n),
		    ctl_count(ctl_number(o, "hits"), hits),
		    ctl_size(ctl_number(o, "served_bytes"), a),
		    ctl_size(ctl_number(o, "fetched_bytes"), b),
		    ctl_size(ctl_number(o, "saved_bytes"), c),
		    ctl_size(ctl_number(o, "tunnel_bytes"), d));
	}
}

void
ctl_show_stats(const struct ctl *ctl, const json_t *answer)
{
	const char *by = ctl_string(answer, "by");
	char a[CTL_TEXT], b[CTL_TEXT], c[CTL_TEXT];

	(void)ctl;
	if (strcmp(by, "day") == 0 || strcmp(by, "hour") == 0) {
		show_slots(answer, strcmp(by, "hour") == 0);
		return;
	}
	if (*by) {
		show_top(answer, by);
		return;
	}
	if (ctl_is_true(answer, "running"))
		printf("larderd %s runs for %s, with %s connection%s and %s "
		       "fetch%s in flight\n\n",
		    ctl_string(answer, "version"),
		    ctl_time(ctl_number(answer, "uptime"), a),
		    ctl_count(ctl_number(answer, "connections_open"), b),
		    ctl_plural(ctl_number(answer, "connections_open")),
		    ctl_count(ctl_number(answer, "fetches_in_flight"), c),
		    ctl_number(answer, "fetches_in_flight") == 1 ? "" : "es");
	else
		printf("larderd does not run\n\n");
	show_counters(answer);
	show_store(json_object_get(answer, "store"));
}
