/*
 * A file into a struct conf: read, prepared, parsed, checked as a whole.
 */
#include "conf/conf.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/errors.h"
#include "conf/option.h"
#include "conf/parse.h"
#include "conf/scan.h"
#include "larder/check.h"
#include "larder/err.h"

#define FILE_SIZE_MAX (4u << 20)

/* What conf_load() gives out. */
struct owned {
	struct conf conf;
	_Atomic unsigned refs;
};

static struct owned *
owned_of(struct conf *conf)
{
	return container_of(conf, struct owned, conf);
}

int
conf_new(struct conf **out)
{
	struct owned *owned = calloc(1, sizeof(*owned));

	if (owned == NULL)
		return LARDER_NOMEM;
	atomic_init(&owned->refs, 1);
	*out = &owned->conf;
	return 0;
}

struct conf *
conf_ref(struct conf *conf)
{
	atomic_fetch_add(&owned_of(conf)->refs, 1);
	return conf;
}

void
conf_unref(struct conf **conf)
{
	struct conf *c = *conf;

	*conf = NULL;
	if (c == NULL || atomic_fetch_sub(&owned_of(c)->refs, 1) != 1)
		return;
	conf_values_release(c);
	free(owned_of(c));
}

void
conf_values_release(struct conf *conf)
{
	for (unsigned i = 0; i < conf->listen_count; i++)
		free(conf->listen[i]);
	for (unsigned i = 0; i < conf->sites_count; i++)
		conf_site_release(&conf->sites[i]);
	for (unsigned i = 0; i < conf->rules_count; i++)
		conf_rule_release(&conf->rules[i]);
	free(conf->file);
	free(conf->listen);
	free(conf->listen_addr);
	for (unsigned i = 0; i < conf->admin_names_count; i++)
		free(conf->admin_names[i]);
	free(conf->admin_names);
	free(conf->admin_password);
	free(conf->admin_socket);
	free(conf->access_log);
	free(conf->cache_path);
	free(conf->clients);
	free(conf->destinations);
	free(conf->connect_ports);
	free(conf->sites);
	free(conf->rules);
}

void
conf_rule_release(struct conf_rule *rule)
{
	free(rule->match);
}

/* The whole file with a NUL behind it. LARDER_ABSENT, LARDER_ACCESS,
 * LARDER_INVALID with an error added; LARDER_NOMEM. */
static int
read_file(
    const char *file, char **out, size_t *size, struct conf_errors *errors)
{
	FILE *in = fopen(file, "re");
	char *text = malloc(FILE_SIZE_MAX + 1);
	int rc = 0;

	errno = in ? 0 : errno;
	*size = in && text ? fread(text, 1, FILE_SIZE_MAX, in) : 0;
	if (text == NULL)
		rc = LARDER_NOMEM;
	else if (in == NULL || ferror(in))
		rc = errno == ENOENT   ? LARDER_ABSENT
		     : errno == EACCES ? LARDER_ACCESS
				       : LARDER_INVALID;
	if (rc < 0 || rc == LARDER_ABSENT) {
		if (rc != LARDER_NOMEM)
			errors_add(errors, 0,
			    "%s; name a file that can be "
			    "read, with -c",
			    strerrordesc_np(errno));
	} else if (*size == FILE_SIZE_MAX) {
		errors_add(errors, 0,
		    "too large; a configuration has a few "
		    "kilobytes");
		rc = LARDER_INVALID;
	}
	if (in)
		fclose(in);
	if (rc != 0) {
		free(text);
		return rc;
	}
	text[*size] = '\0';
	*out = text;
	return 0;
}

static unsigned
processors(void)
{
	cpu_set_t set;
	int n = 0;

	/* Not those of the machine: those that we may run on. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		n = CPU_COUNT(&set);
	return n > 0 ? (unsigned)n : 1;
}

/* What no single value shows. text NULL: there is no file. */
static int
check_whole(struct conf *conf, const char *text, const int *lines,
    struct conf_errors *errors)
{
	const struct conf_option *o = conf_option_find("cache", "max_object");
	int line = lines[o - conf_options];

	for (size_t i = 0; text && i < conf_options_count; i++) {
		const struct conf_option *list = &conf_options[i];

		if (list->type->list && !list->may_be_empty &&
		    list->type->count(list, conf) == 0)
			errors_add(errors,
			    scan_line_of(text, INT_MAX, list->name),
			    "%s is empty, nobody could use the proxy; leave "
			    "it out for the default",
			    list->name);
	}
	if (conf->cache_max_object > conf->cache_size && line > 0)
		errors_add(errors, line,
		    "cache.max_object is larger than cache.size; make it "
		    "smaller, or leave it out");
	if (conf->cache_max_object > conf->cache_size)
		conf->cache_max_object = conf->cache_size;
	if (conf->workers == 0)
		conf->workers = processors();
	return errors->count ? LARDER_INVALID : 0;
}

static int
load_text(
    char *text, size_t size, struct conf *conf, struct conf_errors *errors)
{
	struct scan_fault fault;
	int *lines = calloc(conf_options_count, sizeof(*lines));
	int rc = lines ? 0 : LARDER_NOMEM;

	if (rc == 0 && text)
		rc = scan_prepare(text, size, &fault);
	if (rc == LARDER_INVALID)
		errors_add(errors, fault.line, "%s", fault.text);
	if (rc == 0)
		rc = parse_text(text, errors, lines, conf);
	if (rc == 0)
		rc = check_whole(conf, text, lines, errors);
	free(lines);
	return rc;
}

int
conf_load(const char *file, struct conf **out, char **why)
{
	struct conf_errors errors = {0};
	struct conf *conf = NULL;
	char *text = NULL;
	size_t size = 0;
	int rc;

	*out = NULL;
	*why = NULL;
	rc = conf_new(&conf);
	if (rc == 0 && file)
		rc = read_file(file, &text, &size, &errors);
	if (rc == 0)
		rc = load_text(text, size, conf, &errors);
	if (rc == 0 && file && (conf->file = strdup(file)) == NULL)
		rc = LARDER_NOMEM;
	if (rc != 0) {
		*why = errors.count ? errors_text(&errors, file)
				    : strdup(larder_strerror(rc));
		conf_unref(&conf);
	}
	*out = conf;
	errors_release(&errors);
	free(text);
	return rc;
}
