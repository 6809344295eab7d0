/*
 * What libconfuse has parsed into a struct conf.
 */
#include "conf/parse.h"

#include <confuse.h>
#include <string.h>

#include "conf/option.h"
#include "larder/err.h"

static int
take_values(cfg_t *cfg, const char *section, void *base,
    struct conf_errors *errors, const int *lines)
{
	char why[CONF_WHY_MAX];

	for (size_t i = 0; i < conf_options_count; i++) {
		const struct conf_option *o = &conf_options[i];

		if (strcmp(o->section, section) != 0)
			continue;
		for (unsigned j = 0; j < cfg_size(cfg, o->name); j++) {
			const char *value = cfg_getnstr(cfg, o->name, j);
			int rc = value ? o->type->set(o, base, value, why) : 0;

			/* Each value alone was checked: what is wrong now,
			 * is so beside the others of its list. */
			if (rc == LARDER_INVALID)
				errors_add(errors, lines[i],
				    "%s = \"%s\" is wrong; %s", o->name, value,
				    why);
			else if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int
take_sites(
    cfg_t *cfg, struct conf *conf, struct conf_errors *errors, const int *lines)
{
	char why[CONF_WHY_MAX];

	for (unsigned i = 0; i < cfg_size(cfg, "site"); i++) {
		cfg_t *section = cfg_getnsec(cfg, "site", i);
		struct conf_site *grown;
		int rc;

		grown = conf_grow(conf->sites, i, sizeof(*grown));
		if (grown == NULL)
			return LARDER_NOMEM;
		conf->sites = grown;
		conf->sites_count = i + 1;
		rc = conf_site_title(cfg_title(section), &grown[i], why);
		if (rc == 0)
			rc = take_values(
			    section, "site", &grown[i], errors, lines);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int
take_rules(
    cfg_t *cfg, struct conf *conf, struct conf_errors *errors, const int *lines)
{
	for (unsigned i = 0; i < cfg_size(cfg, "rule"); i++) {
		struct conf_rule *grown;
		int rc;

		grown = conf_grow(conf->rules, i, sizeof(*grown));
		if (grown == NULL)
			return LARDER_NOMEM;
		conf->rules = grown;
		conf->rules_count = i + 1;
		rc = take_values(cfg_getnsec(cfg, "rule", i), "rule", &grown[i],
		    errors, lines);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int
take_all(struct cfg_t *cfg, struct conf *conf, struct conf_errors *errors,
    const int *lines)
{
	int rc = take_values(cfg, "root", conf, errors, lines);

	for (size_t i = 1; rc == 0 && i < conf_sections_count; i++)
		if (!conf_sections[i].multiple)
			rc = take_values(cfg_getsec(cfg, conf_sections[i].name),
			    conf_sections[i].name, conf, errors, lines);
	if (rc == 0)
		rc = take_sites(cfg, conf, errors, lines);
	if (rc == 0)
		rc = take_rules(cfg, conf, errors, lines);
	return rc;
}
