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

static json_int_t
number(const json_t *o, const char *name)
{
	return json_integer_value(json_object_get(o, name));
}

static const char *
string(const json_t *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o, name));

	return s ? s : "";
}

static bool
is_true(const json_t *o, const char *name)
{
	return json_is_true(json_object_get(o, name));
}

static const char *
plural(json_int_t n)
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
		return ctl_size(number(counters, row->name), out);
	case RATIO:
		snprintf(out, CTL_TEXT, "%.1f %%",
		    100 *
			json_real_value(json_object_get(counters, row->name)));
		return out;
	case COUNT:
	default:
		return ctl_count(number(counters, row->name), out);
	}
}

static void
show_store(const json_t *s)
{
	char a[CTL_TEXT], b[CTL_TEXT];

	printf("\n%-24s %14s\n", "objects", ctl_count(number(s, "objects"), a));
	printf("%-24s %14s of %s\n", "disk used",
	    ctl_size(number(s, "disk_used"), a),
	    ctl_size(number(s, "disk_budget"), b));
	printf("%-24s %14s of %s\n", "memory used",
	    ctl_size(number(s, "memory_used"), a),
	    ctl_size(number(s, "memory_budget"), b));
	printf("%-24s %14s\n", "gained by compression",
	    ctl_size(number(s, "compression_gained"), a));
	printf("%-24s %14s, %s\n", "evicted",
	    ctl_count(number(s, "evicted"), a),
	    ctl_size(number(s, "evicted_bytes"), b));
	printf("%-24s %14s of %s stored\n", "written again",
	    ctl_size(number(s, "rewritten"), a),
	    ctl_size(number(s, "written"), b));
	printf("%-24s %14s\n", "not stored, no room",
	    ctl_count(number(s, "no_room"), a));
	printf("%-24s %14s\n", "damaged, dropped",
	    ctl_count(number(s, "damaged"), a));
	printf("%-24s %14s\n", "disk errors",
	    ctl_count(number(s, "io_errors"), a));
}

void
ctl_show_stats(const struct ctl *ctl, const json_t *answer)
{
	const json_t *start = json_object_get(answer, "since_start");
	const json_t *total = json_object_get(answer, "total");
	char a[CTL_TEXT], b[CTL_TEXT], day[64];
	time_t since = (time_t)number(total, "since");
	struct tm tm;

	(void)ctl;
	if (is_true(answer, "running"))
		printf("larderd %s runs for %s, with %s connection%s and %s "
		       "fetch%s in flight\n\n",
		    string(answer, "version"),
		    ctl_time(number(answer, "uptime"), a),
		    ctl_count(number(answer, "connections_open"), b),
		    plural(number(answer, "connections_open")),
		    ctl_count(number(answer, "fetches_in_flight"), day),
		    number(answer, "fetches_in_flight") == 1 ? "" : "es");
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

	(void)ctl;
	if (json_array_size(objects) > 0)
		printf("%11s %11s %8s %8s %5s  %s\n", "SIZE", "STORED", "AGE",
		    "LEFT", "HITS", "URL");
	for (size_t i = 0; i < json_array_size(objects); i++) {
		const json_t *o = json_array_get(objects, i);

		printf("%11s %11s %8s %8s %5" PRId64 "  ",
		    ctl_size(number(o, "size"), size),
		    ctl_size(number(o, "stored_size"), stored),
		    ctl_time(number(o, "age"), age),
		    ctl_time(number(o, "ttl"), left),
		    (int64_t)number(o, "hits"));
		ctl_print(string(o, "url"));
		if (json_object_get(o, "variant")) {
			fputs("  [", stdout);
			ctl_print(string(o, "variant"));
			putchar(']');
		}
		if (json_object_get(o, "part"))
			printf("  (%s)", string(o, "part"));
		putchar('\n');
	}
	if (is_true(answer, "truncated"))
		ctl_error("these are the first %zu; --limit shows more",
		    json_array_size(objects));
}

/* ---- explain ---------------------------------------------------------- */

static void
show_freshness(const json_t *v)
{
	json_int_t ttl = number(v, "ttl");
	time_t until = (time_t)number(v, "fresh_until");
	char age[CTL_TEXT], left[CTL_TEXT], when[64];
	struct tm tm;

	localtime_r(&until, &tm);
	strftime(when, sizeof(when), "%F %T %z", &tm);
	printf("    age %s, %s %s (%s %s)\n", ctl_time(number(v, "age"), age),
	    ttl > 0 ? "fresh for another" : "stale since",
	    ctl_time(ttl > 0 ? ttl : -ttl, left), ttl > 0 ? "until" : "since",
	    when);
	if (is_true(v, "heuristic"))
		puts("    the origin named no lifetime: it is a guess");
	if (is_true(v, "immutable"))
		puts("    immutable: not asked about again while it is fresh");
	if (is_true(v, "always_revalidate"))
		puts("    no-cache: the origin is asked each time");
}

static void
show_variant(const json_t *v)
{
	const json_t *head = json_object_get(v, "head");
	char size[CTL_TEXT], stored[CTL_TEXT];

	printf("\n  %s%" PRId64 ", %s, %s on the disk",
	    is_true(v, "chosen") ? "* " : "", (int64_t)number(v, "status"),
	    ctl_size(number(v, "size"), size),
	    ctl_size(number(v, "stored_size"), stored));
	if (json_object_get(v, "where")) {
		fputs(": ", stdout);
		ctl_print(string(v, "where"));
	}
	putchar('\n');
	if (json_object_get(v, "part"))
		printf("    a part: %s\n", string(v, "part"));
	if (json_object_get(v, "variant")) {
		printf("    for requests with%s: ",
		    is_true(v, "matches") ? "" : " (not this one)");
		ctl_print(string(v, "variant"));
		putchar('\n');
	}
	show_freshness(v);
	for (size_t i = 0; i < json_array_size(head); i++) {
		fputs("      ", stdout);
		ctl_print(json_string_value(json_array_get(head, i)));
		putchar('\n');
	}
	if (json_object_get(v, "head_error"))
		printf("    its head cannot be read: %s\n",
		    string(v, "head_error"));
}

static const char *
action_text(const char *action)
{
	static const char *const texts[][2] = {
	    {"send", "is answered from the cache"},
	    {"revalidate", "asks the origin whether what is stored holds"},
	    {"fetch", "fetches it from the origin, and stores it if it may be"},
	    {"complete", "is answered from what is stored of it; the origin is "
			 "asked for the rest"},
	    {"pass", "goes to the origin and is not stored"},
	    {"refuse", "is refused: it asks for what is stored alone"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (strcmp(action, texts[i][0]) == 0)
			return texts[i][1];
	return action;
}

void
ctl_show_explain(const struct ctl *ctl, const json_t *answer)
{
	const json_t *variants = json_object_get(answer, "variants");
	size_t n = json_array_size(variants);
	const char *rule = string(answer, "rule");

	(void)ctl;
	ctl_print(string(answer, "url"));
	printf("\n%s: %s\n",
	    is_true(answer, "hit") ? "would be a hit" : "would not be a hit",
	    string(answer, "text"));
	if (*string(answer, "detail"))
		printf("detail: %s\n", string(answer, "detail"));
	if (*rule) {
		fputs("rule that applies: match = \"", stdout);
		ctl_print(rule);
		puts("\"");
	}
	printf("the next GET %s\n", action_text(string(answer, "action")));
	if (n > 0)
		printf("%zu stored variant%s%s\n", n, n == 1 ? "" : "s",
		    n > 1 ? ", * is the one that counts" : "");
	for (size_t i = 0; i < n; i++)
		show_variant(json_array_get(variants, i));
}

/* ---- the short ones --------------------------------------------------- */

static void
show_removed(const json_t *answer, const char *what)
{
	json_int_t n = number(answer, "objects");
	char count[CTL_TEXT], size[CTL_TEXT];

	printf("%s object%s, %s %s\n", ctl_count(n, count), plural(n),
	    ctl_size(number(answer, "bytes"), size), what);
}

void
ctl_show_purge(const struct ctl *ctl, const json_t *answer)
{
	if (!ctl->quiet)
		show_removed(answer,
		    is_true(answer, "dry_run") ? "would be freed" : "freed");
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
	json_int_t damaged = number(answer, "damaged");
	char a[CTL_TEXT], b[CTL_TEXT];

	if (ctl->quiet && damaged == 0)
		return;
	printf("%s object%s read, %s; ",
	    ctl_count(number(answer, "objects_read"), a),
	    plural(number(answer, "objects_read")),
	    ctl_size(number(answer, "bytes_read"), b));
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
		    (int64_t)number(answer, "pid"));
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
	printf("larderctl %s\n", string(answer, "larderctl"));
	if (json_object_get(answer, "larderd"))
		printf("larderd %s\n", string(answer, "larderd"));
	else
		puts("larderd does not run");
}
