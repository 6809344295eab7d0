/*
 * Answers for people: aligned columns, human units. --json has them exact.
 */
#include "admin/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "larder/check.h"

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
