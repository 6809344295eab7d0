/*
 * Answers for people: aligned columns, human units. --json has them exact.
 */
#include "admin/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "larder/check.h"
#include "larder/stats.h"

json_int_t
ctl_number(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

const char *
ctl_string(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

bool
ctl_is_true(const json_t *o, const char *name)
{
	return json_is_true(json_object_get(o, name));
}

const char *
ctl_plural(json_int_t n)
{
	return n == 1 ? "" : "s";
}

/* ---- stats ------------------------------------------------------------ */

enum unit { COUNT, SIZE, RATIO };

static const struct row {
	const char *label, *name;
	enum unit unit;
} rows[] = {
    {"requests", "requests", COUNT},
    {"hits", "hits", COUNT},
    {"  of these from memory", "memory_hits", COUNT},
    {"revalidated", "revalidated", COUNT},
    {"collapsed", "collapsed", COUNT},
    {"misses", "misses", COUNT},
    {"passed, not cacheable", "passes", COUNT},
    {"tunnels", "tunnels", COUNT},
    {"denied", "denied", COUNT},
    {"errors", "errors", COUNT},
    {"left by the client", "aborted", COUNT},
    {"refused, all full", "refused_full", COUNT},
    {"refused, over share", "refused_share", COUNT},
    {"idle, given up", "given_up", COUNT},
    {"clients too slow", "too_slow", COUNT},
    {"slow readers cut off", "held_up", COUNT},
    {"out of descriptors", "starved", COUNT},
    {"hit ratio", "hit_ratio", RATIO},
    {"hit ratio by bytes", "byte_hit_ratio", RATIO},
    {"bytes served", "served_bytes", SIZE},
    {"bytes fetched", "fetched_bytes", SIZE},
    {"bytes saved", "hit_bytes", SIZE},
    {"bytes tunnelled", "tunnel_bytes", SIZE},
    {"origin requests", "origin_requests", COUNT},
    {"origin failures", "origin_failures", COUNT},
};

static const char *
cell(const json_t *counters, const struct row *row, char out[CTL_TEXT])
{
	if (counters == NULL)
		return "";
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
	printf("%-24s %14s, %s\n", "evicted",
	    ctl_count(ctl_number(s, "evicted"), a),
	    ctl_size(ctl_number(s, "evicted_bytes"), b));
	printf("%-24s %14s\n", "not stored, no room",
	    ctl_count(ctl_number(s, "no_room"), a));
	printf("%-24s %14s\n", "damaged, dropped",
	    ctl_count(ctl_number(s, "damaged"), a));
	printf("%-24s %14s\n", "disk errors",
	    ctl_count(ctl_number(s, "io_errors"), a));
}

void
ctl_show_stats(const struct ctl *ctl, const json_t *answer)
{
	const json_t *start = json_object_get(answer, "since_start");
	const json_t *total = json_object_get(answer, "total");
	char a[CTL_TEXT], b[CTL_TEXT], day[64];
	time_t since = (time_t)ctl_number(total, "since");
	struct tm tm;

	(void)ctl;
	if (ctl_is_true(answer, "running"))
		printf("larderd %s runs for %s, with %s connection%s and %s "
		       "fetch%s in flight\n\n",
		    ctl_string(answer, "version"),
		    ctl_time(ctl_number(answer, "uptime"), a),
		    ctl_count(ctl_number(answer, "connections_open"), b),
		    ctl_plural(ctl_number(answer, "connections_open")),
		    ctl_count(ctl_number(answer, "fetches_in_flight"), day),
		    ctl_number(answer, "fetches_in_flight") == 1 ? "" : "es");
	else
		printf("larderd does not run\n\n");
	localtime_r(&since, &tm);
	strftime(day, sizeof(day), "since %F", &tm);
	printf("%-24s %14s %16s\n", "", start ? "since start" : "", day);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		printf("%-24s %14s %16s\n", rows[i].label,
		    cell(start, &rows[i], a), cell(total, &rows[i], b));
	show_store(json_object_get(answer, "store"));
}

/* ---- ls --------------------------------------------------------------- */

void
ctl_show_ls(const struct ctl *ctl, const json_t *answer)
{
	const json_t *objects = json_object_get(answer, "objects");
	char size[CTL_TEXT], stored[CTL_TEXT], age[CTL_TEXT], left[CTL_TEXT];

	if (json_array_size(objects) > 0)
		printf("%s%11s %11s %8s %8s %5s  %s%s\n",
		    ctl_style(ctl, CTL_BOLD), "SIZE", "STORED", "AGE", "LEFT",
		    "HITS", "URL", ctl_style(ctl, CTL_PLAIN));
	for (size_t i = 0; i < json_array_size(objects); i++) {
		const json_t *o = json_array_get(objects, i);

		bool fresh = ctl_number(o, "ttl") > 0;

		printf("%11s %11s %8s %s%8s%s %5" PRId64 "  ",
		    ctl_size(ctl_number(o, "size"), size),
		    ctl_size(ctl_number(o, "stored_size"), stored),
		    ctl_time(ctl_number(o, "age"), age),
		    ctl_style(ctl, fresh ? CTL_GOOD : CTL_DIM),
		    ctl_time(ctl_number(o, "ttl"), left),
		    ctl_style(ctl, CTL_PLAIN), (int64_t)ctl_number(o, "hits"));
		ctl_print(ctl_string(o, "url"));
		if (json_object_get(o, "variant")) {
			fputs("  [", stdout);
			ctl_print(ctl_string(o, "variant"));
			putchar(']');
		}
		if (json_object_get(o, "part"))
			printf("  (%s)", ctl_string(o, "part"));
		putchar('\n');
	}
	if (ctl_is_true(answer, "truncated"))
		ctl_error("these are the first %zu; --limit shows more",
		    json_array_size(objects));
}

/* ---- the short ones --------------------------------------------------- */

static void
show_removed(const json_t *answer, const char *what)
{
	json_int_t n = ctl_number(answer, "objects");
	char count[CTL_TEXT], size[CTL_TEXT];

	printf("%s object%s, %s %s\n", ctl_count(n, count), ctl_plural(n),
	    ctl_size(ctl_number(answer, "bytes"), size), what);
}

void
ctl_show_purge(const struct ctl *ctl, const json_t *answer)
{
	if (!ctl->quiet)
		show_removed(answer, ctl_is_true(answer, "dry_run")
					 ? "would be freed"
					 : "freed");
}

void
ctl_show_gc(const struct ctl *ctl, const json_t *answer)
{
	if (!ctl->quiet)
		show_removed(answer, "given back");
}

void
ctl_show_verify(const struct ctl *ctl, const json_t *answer)
{
	const json_t *urls = json_object_get(answer, "urls");
	json_int_t damaged = ctl_number(answer, "damaged");
	char a[CTL_TEXT], b[CTL_TEXT];

	if (ctl->quiet && damaged == 0)
		return;
	printf("%s object%s read, %s; ",
	    ctl_count(ctl_number(answer, "objects_read"), a),
	    ctl_plural(ctl_number(answer, "objects_read")),
	    ctl_size(ctl_number(answer, "bytes_read"), b));
	if (damaged == 0)
		puts("no damage");
	else
		printf("%s damaged, dropped:\n", ctl_count(damaged, a));
	for (size_t i = 0; i < json_array_size(urls); i++) {
		ctl_print(json_string_value(json_array_get(urls, i)));
		putchar('\n');
	}
}

void
ctl_show_ping(const struct ctl *ctl, const json_t *answer)
{
	if (!ctl->quiet)
		printf("larderd runs, process %" PRId64 "\n",
		    (int64_t)ctl_number(answer, "pid"));
}

void
ctl_show_reload(const struct ctl *ctl, const json_t *answer)
{
	(void)answer;
	if (!ctl->quiet)
		puts("the configuration was reloaded");
}

void
ctl_show_version(const struct ctl *ctl, const json_t *answer)
{
	(void)ctl;
	printf("larderctl %s\n", ctl_string(answer, "larderctl"));
	if (json_object_get(answer, "larderd"))
		printf("larderd %s\n", ctl_string(answer, "larderd"));
	else
		puts("larderd does not run");
}
