#include "conf/conf.h"

#include <string.h>

#include "conf/option.h"

static void
print_option(const struct conf_option *o, const void *base, const char *indent,
    FILE *out)
{
	fprintf(out, "%s%s = ", indent, o->name);
	if (o->type->list) {
		putc('{', out);
		for (unsigned i = 0; i < o->type->count(o, base); i++) {
			if (i > 0)
				fputs(", ", out);
			o->type->put(o, base, i, out);
		}
		putc('}', out);
	} else {
		o->type->put(o, base, 0, out);
	}
	putc('\n', out);
}

static void
print_options(const char *section, const void *base, FILE *out)
{
	const char *indent = strcmp(section, "root") == 0 ? "" : "\t";

	for (size_t i = 0; i < conf_options_count; i++)
		if (strcmp(conf_options[i].section, section) == 0)
			print_option(&conf_options[i], base, indent, out);
}

static void
print_site(const struct conf_site *site, FILE *out)
{
	bool v6 = strchr(site->host, ':') != NULL;

	fprintf(
	    out, "\nsite \"%s%s%s", v6 ? "[" : "", site->host, v6 ? "]" : "");
	if (site->port)
		fprintf(out, ":%d", site->port);
	fputs("\" {\n", out);
	print_options("site", site, out);
	fputs("}\n", out);
}

void
conf_print(const struct conf *conf, FILE *out)
{
	print_options("root", conf, out);
	for (size_t i = 1; i < conf_sections_count; i++) {
		if (conf_sections[i].multiple)
			continue;
		fprintf(out, "\n%s {\n", conf_sections[i].name);
		print_options(conf_sections[i].name, conf, out);
		fputs("}\n", out);
	}
	for (unsigned i = 0; i < conf->sites_count; i++)
		print_site(&conf->sites[i], out);
	for (unsigned i = 0; i < conf->rules_count; i++) {
		fputs("\nrule {\n", out);
		print_options("rule", &conf->rules[i], out);
		fputs("}\n", out);
	}
}
