/*
 * Prints the configuration's options for larder.conf(5), from the table that
 * the parser has. Runs when larder is built.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/option.h"
#include "larder/check.h"

static const struct {
	const struct conf_type *type;
	const char *word;
} words[] = {
    {&conf_type_listen, "a list of addresses"},
    {&conf_type_admin_listen, "a list of addresses"},
    {&conf_type_names, "a list of host names"},
    {&conf_type_password, "a password"},
    {&conf_type_fields, "a list of field names"},
    {&conf_type_tags, "a list of tags"},
    {&conf_type_force, "a list of words"},
    {&conf_type_cidrs, "a list of networks: address/bits, or an address"},
    {&conf_type_ports, "a list of ports"},
    {&conf_type_number, "a number"},
    {&conf_type_size, "a size"},
    {&conf_type_time, "a time"},
    {&conf_type_flag, "true or false"},
    {&conf_type_path, "a path"},
};

/* Text as roff takes it for itself. */
static void
put(const char *text)
{
	for (const char *p = text; *p; p++) {
		if (*p == '\\')
			fputs("\\e", stdout);
		else if (*p == '-')
			fputs("\\-", stdout);
		else if (p == text && (*p == '.' || *p == '\''))
			printf("\\&%c", *p);
		else
			putchar(*p);
	}
}

static void
put_size(uint64_t bytes)
{
	static const char units[] = "TGMK";

	for (size_t i = 0; i < 4; i++) {
		unsigned shift = 40 - 10 * (unsigned)i;

		if (bytes >> shift << shift != bytes || bytes == 0)
			continue;
		printf("%" PRIu64 "%c", bytes >> shift, units[i]);
		return;
	}
	printf("%" PRIu64, bytes);
}

static void
put_time(uint64_t ms)
{
	static const struct {
		uint64_t ms;
		const char *unit;
	} t[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		if (ms % t[i].ms != 0 || ms == 0)
			continue;
		printf("%" PRIu64 "%s", ms / t[i].ms, t[i].unit);
		return;
	}
	printf("%" PRIu64 "%s", ms, ms ? "ms" : "");
}

static void
put_range(const struct conf_option *o)
{
	void (*one)(uint64_t n) = o->type == &conf_type_size   ? put_size
				  : o->type == &conf_type_time ? put_time
							       : NULL;

	if (o->max == 0)
		return;
	fputs(" from ", stdout);
	if (one) {
		one(o->min);
		fputs(" to ", stdout);
		one(o->max);
	} else {
		printf("%" PRIu64 " to %" PRIu64, o->min, o->max);
	}
}

static const char *
word_of(const struct conf_option *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].type == o->type)
			return words[i].word;
	return NULL;
}

static void
put_option(const struct conf_option *o)
{
	const char *word = word_of(o);

	printf(".TP\n\\fB%s\\fR", o->name);
	if (word) {
		printf(", %s", word);
		put_range(o);
	}
	putchar('\n');
	put(o->text);
	if (o->fallback == NULL)
		puts("\nIt must be given.");
	else if (o->fallback[0] == '\0')
		puts("\nDefault: none.");
	else {
		fputs("\nDefault: ", stdout);
		put(o->fallback);
		putchar('\n');
	}
}

static void
put_title(const struct conf_section *s)
{
	if (strcmp(s->name, "root") == 0)
		puts(".SS At the top level");
	else
		printf(".SS \"%s%s { ... }%s\"\n", s->name,
		    s->titled ? " \\(dqNAME\\(dq" : "",
		    s->multiple ? ", any number of them" : "");
}

int
main(void)
{
	for (size_t i = 0; i < conf_sections_count; i++) {
		const struct conf_section *s = &conf_sections[i];

		put_title(s);
		for (size_t k = 0; k < conf_options_count; k++)
			if (strcmp(conf_options[k].section, s->name) == 0)
				put_option(&conf_options[k]);
	}
	return fflush(stdout) == 0 ? 0 : 1;
}
