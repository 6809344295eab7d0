/*
 * libconfuse's side. It parses; each value is checked in its callback, while
 * the line is current, and the parse goes on, so that all that is wrong is
 * told at once. An unknown option would end libconfuse's parse: it is noted,
 * blanked in the text, and the text is parsed anew.
 */
#include "conf/parse.h"

#include <confuse.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/option.h"
#include "conf/scan.h"
#include "conf/suggest.h"
#include "larder/check.h"
#include "larder/err.h"

/* One more than the longest section has, for CFG_END(). */
#define SECTION_OPTIONS_MAX 16u
#define SITES_MAX	    4096u
#define WORDS_MAX	    32u
#define WHERE_MAX	    256u

/* What the callbacks, which get no argument of ours, work on. libconfuse's
 * scanner has global state anyway: `parsing` guards both. */
static pthread_mutex_t parsing = PTHREAD_MUTEX_INITIALIZER;

static struct {
	struct conf_errors *errors;
	const char *text;  /* without comments; NULL: defaults are being set */
	int *line;	   /* per option: where it was given; 0: not */
	char unknown[256]; /* the option that ended the parse, or "" */
	int unknown_line;
	bool ended; /* by something else */
	struct {
		char *host;
		int port, line;
	} * sites;
	unsigned sites_count;
	int *rules; /* where each of them stands */
	unsigned rules_count;
} now;

/* ---- callbacks -------------------------------------------------------- */

/* The words that may stand in a section. */
static size_t
words_of(const char *section, const char *words[WORDS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < conf_options_count; i++)
		if (strcmp(conf_options[i].section, section) == 0)
			words[count++] = conf_options[i].name;
	if (strcmp(section, "root") == 0)
		for (size_t i = 1; i < conf_sections_count; i++)
			words[count++] = conf_sections[i].name;
	check(count <= WORDS_MAX);
	return count;
}

static void
unknown_option(const char *section, const char *name, int line)
{
	const char *words[WORDS_MAX], *near;

	for (size_t i = 0; i < conf_options_count; i++) {
		const struct conf_option *o = &conf_options[i];

		if (strcmp(o->name, name) != 0)
			continue;
		if (strcmp(o->section, "root") == 0)
			errors_keep(now.errors, line,
			    "unknown option '%s' in %s; write it outside of "
			    "any section",
			    name, section);
		else
			errors_keep(now.errors, line,
			    "unknown option '%s'; write %s { %s = ... }", name,
			    o->section, name);
		return;
	}
	near = suggest(name, words, words_of(section, words));
	if (near)
		errors_keep(now.errors, line,
		    "unknown option '%s'; did you mean '%s'?", name, near);
	else
		errors_keep(now.errors, line,
		    "unknown option '%s'; `larderd -n` prints all there are",
		    name);
}

/* What libconfuse says, and what would have been right. */
static const struct {
	const char *format; /* its own, compared */
	const char *advice;
} messages[] = {
    {"missing equal sign after option '%s'", "write NAME = VALUE"},
    {"missing title for section '%s'", "write site \"host\" { ... }"},
    {"missing opening brace for section '%s'", "write NAME { ... }"},
    {"attempt to append to non-list option '%s'", "write = instead of +="},
    {"unexpected token '%s'",
	"write NAME = VALUE, NAME = {VALUE, VALUE} or NAME { ... }"},
    {"premature end of file", "the last statement needs a value"},
};

static const char *
advice_for(const char *format)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (strcmp(messages[i].format, format) == 0)
			return messages[i].advice;
	return "see larder.conf's own comments for the syntax";
}

static void __attribute__((format(printf, 2, 0)))
on_error(cfg_t *cfg, const char *format, va_list ap)
{
	char text[256];
	int line = cfg->line;

	vsnprintf(text, sizeof(text), format, ap);
	if (strcmp(format, "no such option '%s'") == 0) {
		text[strlen(text) - 1] = '\0';
		snprintf(now.unknown, sizeof(now.unknown), "%s",
		    text + strlen("no such option '"));
		now.unknown_line = line;
		unknown_option(cfg->name, now.unknown, line);
		return;
	}
	now.ended = true;
	/* It is noticed at the next token, which may be lines below. */
	if (strstr(format, "after option") && strrchr(text, '\'')) {
		char *name = strchr(text, '\'') + 1;

		*strrchr(text, '\'') = '\0';
		line = scan_line_of(now.text, line, name);
		text[strlen(text)] = '\'';
	}
	errors_add(now.errors, line, "%s; %s", text, advice_for(format));
}

/* Where this option was given before, in the same section. */
static bool
given_twice(cfg_t *cfg, const cfg_opt_t *opt, const struct conf_option *o)
{
	int *line = &now.line[o - conf_options];
	char where[WHERE_MAX];
	bool more = o->type->list && opt->nvalues > 1;
	int before = *line;

	*line = cfg->line;
	if (before == 0 || more)
		return false;
	errors_add(now.errors, cfg->line,
	    "option '%s' was given on %s already; keep one of them", o->name,
	    errors_where(now.errors, before, cfg->line, where, sizeof(where)));
	return true;
}

static const char *
section_dot(const struct conf_option *o)
{
	return strcmp(o->section, "root") == 0 ? "" : o->section;
}

static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	const struct conf_option *o = conf_option_find(cfg->name, opt->name);
	union {
		struct conf conf;
		struct conf_site site;
		struct conf_rule rule;
	} scratch = {0};
	const char *dot = "";
	char why[CONF_WHY_MAX];

	*(const char **)result = value;
	if (now.text == NULL)
		return 0; /* a default of ours */
	if (o == NULL) {
		errors_add(now.errors, cfg->line,
		    "'%s' stands outside its section; write SECTION { %s = "
		    "... }",
		    opt->name, opt->name);
		return 0;
	}
	if (given_twice(cfg, opt, o))
		return 0;
	if (*section_dot(o))
		dot = ".";
	if (o->type->set(o, &scratch, value, why) == LARDER_INVALID)
		errors_add(now.errors, cfg->line,
		    "%s%s%s = \"%s\" is wrong; %s", section_dot(o), dot,
		    o->name, value, why);
	if (strcmp(o->section, "site") == 0)
		conf_site_release(&scratch.site);
	else if (strcmp(o->section, "rule") == 0)
		conf_rule_release(&scratch.rule);
	else
		conf_values_release(&scratch.conf);
	return 0;
}

/* The options of one section are over: what must be there, and a clean slate
 * for the next one with that name. */
static void
end_section(const char *section, const char *title, int line)
{
	for (size_t i = 0; i < conf_options_count; i++) {
		const struct conf_option *o = &conf_options[i];

		if (strcmp(o->section, section) != 0)
			continue;
		if (now.line[i] == 0 && o->fallback == NULL)
			errors_add(now.errors, line,
			    "%s%s%s%s has no '%s'; add %s = \"...\"", section,
			    title ? " \"" : "", title ? title : "",
			    title ? "\"" : "", o->name, o->name);
		now.line[i] = 0;
	}
}

static int
on_rule(cfg_t *cfg, cfg_opt_t *opt)
{
	int line = scan_line_of(now.text, cfg->line, "rule");
	int *grown = conf_grow(now.rules, now.rules_count, sizeof(*grown));

	(void)opt;
	end_section("rule", NULL, line);
	if (grown == NULL)
		return 0;
	now.rules = grown;
	grown[now.rules_count++] = line;
	return 0;
}

static void
note_site(const char *title, int line)
{
	struct conf_site site = {0};
	char why[CONF_WHY_MAX], where[WHERE_MAX];
	void *grown;
	int rc = conf_site_title(title, &site, why);

	if (rc == LARDER_INVALID)
		errors_add(
		    now.errors, line, "site \"%s\" is wrong; %s", title, why);
	for (unsigned i = 0; rc == 0 && i < now.sites_count; i++)
		if (strcmp(now.sites[i].host, site.host) == 0 &&
		    now.sites[i].port == site.port)
			errors_add(now.errors, line,
			    "site \"%s\" was given on %s already; keep one "
			    "of them",
			    title,
			    errors_where(now.errors, now.sites[i].line, line,
				where, sizeof(where)));
	if (rc < 0 || now.sites_count == SITES_MAX)
		return;
	grown = conf_grow(now.sites, now.sites_count, sizeof(*now.sites));
	if (grown == NULL) {
		conf_site_release(&site);
		return;
	}
	now.sites = grown;
	now.sites[now.sites_count].host = site.host;
	now.sites[now.sites_count].port = site.port;
	now.sites[now.sites_count++].line = line;
}

static int
on_site(cfg_t *cfg, cfg_opt_t *opt)
{
	int line = scan_line_of(now.text, cfg->line, "site");
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	end_section("site", section ? cfg_title(section) : NULL, line);
	if (section && cfg_title(section))
		note_site(cfg_title(section), line);
	return 0;
}

/* ---- the grammar ------------------------------------------------------ */

static cfg_opt_t
grammar_option(const struct conf_option *o)
{
	/* libconfuse copies all of these and changes none. */
	union {
		const char *in;
		char *out;
	} list = {o->fallback};
	cfg_opt_t scalar =
	    CFG_STR_CB(o->name, o->fallback, CFGF_NONE, on_value);
	cfg_opt_t many =
	    CFG_STR_LIST_CB(o->name, list.out, CFGF_NONE, on_value);

	if (o->type->list)
		return many;
	if (o->fallback == NULL)
		scalar.flags |= CFGF_NODEFAULT;
	return scalar;
}

static unsigned
grammar_section(const char *name, cfg_opt_t *out)
{
	unsigned n = 0;

	for (size_t i = 0; i < conf_options_count; i++)
		if (strcmp(conf_options[i].section, name) == 0)
			out[n++] = grammar_option(&conf_options[i]);
	check(n < SECTION_OPTIONS_MAX);
	return n;
}

static cfg_t *
grammar(void)
{
	static const cfg_opt_t end = CFG_END();
	cfg_opt_t options[8][SECTION_OPTIONS_MAX];
	cfg_opt_t *root = options[0];
	unsigned n = grammar_section("root", root);

	check(conf_sections_count <= ARRAY_SIZE(options));
	check(n + conf_sections_count <= SECTION_OPTIONS_MAX);
	for (size_t i = 1; i < conf_sections_count; i++) {
		const struct conf_section *s = &conf_sections[i];
		cfg_opt_t section = CFG_SEC(s->name, options[i],
		    (s->multiple ? CFGF_MULTI : CFGF_NONE) |
			(s->titled ? CFGF_TITLE : CFGF_NONE));

		options[i][grammar_section(s->name, options[i])] = end;
		if (strcmp(s->name, "site") == 0)
			section.validcb = on_site;
		else if (strcmp(s->name, "rule") == 0)
			section.validcb = on_rule;
		root[n++] = section;
	}
	root[n] = end;
	return cfg_init(root, CFGF_NONE);
}

/* ---- the parse -------------------------------------------------------- */

static void
forget_rules(void)
{
	free(now.rules);
	now.rules = NULL;
	now.rules_count = 0;
}

static void
forget_sites(void)
{
	for (unsigned i = 0; i < now.sites_count; i++)
		free(now.sites[i].host);
	free(now.sites);
	now.sites = NULL;
	now.sites_count = 0;
}

/* One parse of the text. NULL: no memory. */
static cfg_t *
parse_once(const char *text, int *lines)
{
	cfg_t *cfg;

	now.text = NULL;
	cfg = grammar();
	if (cfg == NULL || text == NULL)
		return cfg;
	now.text = text;
	now.unknown[0] = '\0';
	now.ended = false;
	memset(lines, 0, conf_options_count * sizeof(*lines));
	errors_restart(now.errors);
	forget_rules();
	cfg_set_error_function(cfg, on_error);
	if (cfg_parse_buf(cfg, text) != CFG_SUCCESS && !now.unknown[0] &&
	    !now.ended)
		errors_add(now.errors, 1,
		    "it cannot be parsed; see "
		    "larder.conf's own comments");
	forget_sites();
	return cfg;
}

/* Where each rule stands; which of two wishes that exclude each other is meant,
 * nobody knows. */
static int
place_rules(struct conf *conf)
{
	for (unsigned i = 0; i < conf->rules_count; i++) {
		struct conf_rule *rule = &conf->rules[i];
		const char *file, *wrong = conf_rule_fault(rule);
		int line = i < now.rules_count ? now.rules[i] : 0;

		if (wrong != NULL)
			errors_add(now.errors, line, "this rule %s", wrong);
		conf_rule_prepare(rule);
		errors_find(now.errors, line, &file, &rule->line);
		rule->file = strdup(file ? file : "");
		if (rule->file == NULL)
			return LARDER_NOMEM;
	}
	return now.errors->count ? LARDER_INVALID : 0;
}

int
parse_text(
    char *text, struct conf_errors *errors, int *lines, struct conf *conf)
{
	int rc = LARDER_NOMEM;
	cfg_t *cfg;

	pthread_mutex_lock(&parsing);
	now.errors = errors;
	now.line = lines;
	cfg = parse_once(text, lines);
	while (cfg && now.unknown[0] && !errors_full(errors) &&
	       scan_drop(text, now.unknown_line, now.unknown)) {
		cfg_free(cfg);
		cfg = parse_once(text, lines);
	}
	if (cfg)
		rc = errors->count ? LARDER_INVALID
				   : take_all(cfg, conf, errors, lines);
	if (rc == 0)
		rc = place_rules(conf);
	if (cfg)
		cfg_free(cfg);
	forget_rules();
	now.text = NULL;
	pthread_mutex_unlock(&parsing);
	return rc;
}
