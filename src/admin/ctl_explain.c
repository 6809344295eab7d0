/*
 * `explain` in words: is it a hit, until when, by whose word, and what happens
 * next.
 */
#include "admin/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
print_rule(const json_t *rule)
{
	const json_t *effects = json_object_get(rule, "effects");

	fputs("rule { match = \"", stdout);
	ctl_print(ctl_string(rule, "match"));
	fputs("\" }", stdout);
	if (*ctl_string(rule, "file")) {
		fputs(" at ", stdout);
		ctl_print(ctl_string(rule, "file"));
		printf(":%d", (int)ctl_number(rule, "line"));
	}
	for (size_t i = 0; i < json_array_size(effects); i++) {
		fputs(i ? ", " : ": ", stdout);
		ctl_print(json_string_value(json_array_get(effects, i)));
	}
	putchar('\n');
}

static bool
is_null(const json_t *o, const char *name)
{
	const json_t *value = json_object_get(o, name);

	return value == NULL || json_is_null(value);
}

/* ---- the next request ------------------------------------------------- */

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

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (strcmp(action, texts[i][0]) == 0)
			return texts[i][1];
	return action;
}

/* What a request will meet once it is no longer fresh. */
static void
show_afterwards(const json_t *v)
{
	bool validators = !is_null(v, "etag") || !is_null(v, "last_modified");
	char when[CTL_WHEN];

	if (!is_null(v, "stale_until"))
		printf("  then, until %s, it is sent stale while the origin is "
		       "asked behind it\n",
		    ctl_when(ctl_number(v, "stale_until"), when));
	if (validators)
		printf("  then the origin is asked whether it still holds, by "
		       "its %s%s%s\n",
		    is_null(v, "etag") ? "" : "entity tag",
		    is_null(v, "etag") || is_null(v, "last_modified") ? ""
								      : " and ",
		    is_null(v, "last_modified") ? "" : "date of change");
	else
		puts("  then it is fetched anew: the origin gave nothing to "
		     "compare it by");
}

static void
show_failure(const json_t *v)
{
	char when[CTL_WHEN];

	if (!is_null(v, "stands_in_until"))
		printf("  if the origin fails, this stands in for it until "
		       "%s\n",
		    ctl_when(ctl_number(v, "stands_in_until"), when));
	else
		puts("  if the origin fails, nothing stands in for it once "
		     "this is stale");
}

static const char *
lifetime_text(const json_t *v)
{
	const char *from = ctl_string(v, "lifetime_from");

	if (strcmp(from, "rule") == 0)
		return "a rule gave it that lifetime when it was stored";
	if (strcmp(from, "guess") == 0)
		return "the origin named no lifetime: it is a guess by the "
		       "date of its last change";
	return "the origin said so";
}

static void
show_chosen(const json_t *answer, const json_t *v)
{
	json_int_t ttl = ctl_number(v, "ttl");
	char left[CTL_TEXT], when[CTL_WHEN];

	if (ctl_is_true(v, "always_revalidate")) {
		puts("  the origin is asked each time, fresh or not");
	} else if (ttl > 0) {
		printf("  fresh for another %s, until %s: %s\n",
		    ctl_time(ttl, left),
		    ctl_when(ctl_number(v, "fresh_until"), when),
		    lifetime_text(v));
		show_afterwards(v);
	} else {
		printf("  stale for %s, since %s: %s\n", ctl_time(-ttl, left),
		    ctl_when(ctl_number(v, "fresh_until"), when),
		    lifetime_text(v));
	}
	if (strcmp(ctl_string(answer, "action"), "pass") != 0)
		show_failure(v);
}

static const json_t *
chosen_of(const json_t *variants)
{
	for (size_t i = 0; i < json_array_size(variants); i++)
		if (ctl_is_true(json_array_get(variants, i), "chosen"))
			return json_array_get(variants, i);
	return NULL;
}

static void
show_authorized(const json_t *answer)
{
	const json_t *effects =
	    json_object_get(json_object_get(answer, "rule"), "effects");
	bool forced = false;

	for (size_t i = 0; i < json_array_size(effects); i++)
		forced |= strcmp(json_string_value(json_array_get(effects, i)),
			      "force authorization") == 0;
	if (!ctl_is_true(answer, "authorized"))
		return;
	if (forced)
		puts("  the request has Authorization; a rule says that what "
		     "it gets is for all");
	else
		puts("  the request has Authorization: what it gets is stored "
		     "only if the origin lets others have it (public, "
		     "s-maxage, must-revalidate)");
}

/* ---- the variants ----------------------------------------------------- */

static void
show_lines(const json_t *v)
{
	const json_t *head = json_object_get(v, "head");

	for (size_t i = 0; i < json_array_size(head); i++) {
		fputs("      ", stdout);
		ctl_print(json_string_value(json_array_get(head, i)));
		putchar('\n');
	}
	if (json_object_get(v, "head_error"))
		printf("    its head cannot be read: %s\n",
		    ctl_string(v, "head_error"));
}

static void
show_tags(const json_t *v)
{
	const json_t *tags = json_object_get(v, "tags");

	if (json_array_size(tags) > 0)
		fputs("    tags:", stdout);
	for (size_t i = 0; i < json_array_size(tags); i++) {
		putchar(' ');
		ctl_print(json_string_value(json_array_get(tags, i)));
	}
	if (json_array_size(tags) > 0)
		putchar('\n');
}

static void
show_variant(const struct ctl *ctl, const json_t *v)
{
	char size[CTL_TEXT], stored[CTL_TEXT], age[CTL_TEXT], left[CTL_TEXT];
	json_int_t ttl = ctl_number(v, "ttl");
	bool chosen = ctl_is_true(v, "chosen");

	printf("\n%s%s %" PRId64 "%s, %s, %s on the disk",
	    ctl_style(ctl, chosen ? CTL_BOLD : CTL_PLAIN), chosen ? "*" : "-",
	    (int64_t)ctl_number(v, "status"), ctl_style(ctl, CTL_PLAIN),
	    ctl_size(ctl_number(v, "size"), size),
	    ctl_size(ctl_number(v, "stored_size"), stored));
	if (json_object_get(v, "where")) {
		fputs(": ", stdout);
		ctl_print(ctl_string(v, "where"));
	}
	putchar('\n');
	if (json_object_get(v, "part"))
		printf("    a part: %s\n", ctl_string(v, "part"));
	if (json_object_get(v, "variant")) {
		printf("    for requests with%s: ",
		    ctl_is_true(v, "matches") ? "" : " (not this one)");
		ctl_print(ctl_string(v, "variant"));
		putchar('\n');
	}
	printf("    %s old, %s for %s\n", ctl_time(ctl_number(v, "age"), age),
	    ttl > 0 ? "fresh" : "stale", ctl_time(ttl > 0 ? ttl : -ttl, left));
	if (ctl_is_true(v, "heuristic"))
		puts("    the origin named no lifetime: it is a guess");
	if (ctl_is_true(v, "immutable"))
		puts("    immutable: not asked about again while it is fresh");
	if (ctl_is_true(v, "always_revalidate"))
		puts("    the origin is asked each time (no-cache, or a rule)");
	show_tags(v);
	show_lines(v);
}

static void
show_variants(const struct ctl *ctl, const json_t *variants)
{
	size_t n = json_array_size(variants);

	if (n == 0)
		return;
	printf("%zu stored variant%s%s\n", n, ctl_plural((json_int_t)n),
	    chosen_of(variants) ? ", * is the one that counts for this request"
				: ", none of them for this request");
	for (size_t i = 0; i < n; i++)
		show_variant(ctl, json_array_get(variants, i));
}

/* ---- all of it -------------------------------------------------------- */

static void
show_key(const json_t *answer)
{
	const json_t *site = json_object_get(answer, "site");

	if (json_is_string(site)) {
		fputs("  as a request to site \"", stdout);
		ctl_print(json_string_value(site));
		puts("\"");
	}
	if (strcmp(ctl_string(answer, "key"), ctl_string(answer, "url")) != 0) {
		fputs("  it is stored under ", stdout);
		ctl_print(ctl_string(answer, "key"));
		putchar('\n');
	}
}

void
ctl_show_explain(const struct ctl *ctl, const json_t *answer)
{
	const json_t *variants = json_object_get(answer, "variants");
	const json_t *chosen = chosen_of(variants);
	bool hit = ctl_is_true(answer, "hit");

	ctl_print(ctl_string(answer, "url"));
	printf("\n%s%s%s: %s\n", ctl_style(ctl, hit ? CTL_GOOD : CTL_WARN),
	    hit ? "would be a hit" : "would not be a hit",
	    ctl_style(ctl, CTL_PLAIN), ctl_string(answer, "text"));
	if (*ctl_string(answer, "detail"))
		printf("  detail: %s\n", ctl_string(answer, "detail"));
	show_key(answer);
	if (chosen != NULL)
		show_chosen(answer, chosen);
	show_authorized(answer);
	if (json_is_object(json_object_get(answer, "rule"))) {
		fputs("  by ", stdout);
		print_rule(json_object_get(answer, "rule"));
	} else {
		puts("  no rule applies");
	}
	printf("the next GET %s\n", action_text(ctl_string(answer, "action")));
	show_variants(ctl, variants);
}
