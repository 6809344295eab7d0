/*
 * A file into a struct conf: read, prepared, parsed, checked as a whole.
 */
#include "conf/conf.h"

#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/errors.h"
#include "conf/include.h"
#include "conf/option.h"
#include "conf/parse.h"
#include "conf/scan.h"
#include "larder/check.h"
#include "larder/err.h"

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
load_text(char *text, struct conf *conf, struct conf_errors *errors)
{
	int *lines = calloc(conf_options_count, sizeof(*lines));
	int rc = lines ? 0 : LARDER_NOMEM;

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
	int rc;

	*out = NULL;
	*why = NULL;
	rc = conf_new(&conf);
	if (rc == 0 && file)
		rc = include_load(file, &errors, &text);
	if (rc == 0)
		rc = load_text(text, conf, &errors);
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
