/*
 * The table of options: from it come the grammar that libconfuse gets, the
 * defaults, the checks, conf_print() and the manual page.
 */
#ifndef CONF_OPTION_H
#define CONF_OPTION_H

#include "conf/conf.h"

#define CONF_WHY_MAX 256

struct conf_option;

/*
 * A kind of value. base: the struct conf, conf_site or conf_rule that the
 * option's offsets are of.
 */
struct conf_type {
	bool list;
	/* Stores value (a list: behind those that are there). LARDER_INVALID:
	 * why says what would be right; LARDER_NOMEM. */
	int (*set)(const struct conf_option *o, void *base, const char *value,
	    char why[CONF_WHY_MAX]);
	/* Writes element i (0 if it is no list) as set() would read it. */
	void (*put)(const struct conf_option *o, const void *base, unsigned i,
	    FILE *out);
	/* For lists: how many there are. */
	unsigned (*count)(const struct conf_option *o, const void *base);
};

extern const struct conf_type conf_type_listen, conf_type_admin_listen,
    conf_type_names, conf_type_password, conf_type_cidrs, conf_type_ports,
    conf_type_number, conf_type_size, conf_type_time, conf_type_flag,
    conf_type_path, conf_type_log_level, conf_type_log_format,
    conf_type_targeted, conf_type_origin, conf_type_pattern, conf_type_fields,
    conf_type_tags, conf_type_force;

struct conf_option {
	const char *section; /* "root": at the top level */
	const char *name;
	const struct conf_type *type;
	const char *fallback; /* in libconfuse's syntax; NULL: must be given */
	uint64_t min, max;    /* of numbers, sizes (bytes), times (ms) */
	size_t offset;	      /* of the value in its struct */
	size_t offset_count;  /* lists: of how many there are */
	bool may_be_empty;    /* lists, paths; times: 0 is written "" */
	const char *text;     /* what it is for, for the manual page */
};

extern const struct conf_option conf_options[];
extern const size_t conf_options_count;

/* NULL when there is none. */
const struct conf_option *conf_option_find(
    const char *section, const char *name);

/* The sections, in the order in which they are printed. */
struct conf_section {
	const char *name;
	bool titled, multiple;
};
extern const struct conf_section conf_sections[];
extern const size_t conf_sections_count;

/* Zeroed, with no value set. LARDER_NOMEM. */
int conf_new(struct conf **out);
/* What the values of one hold; not the struct itself. */
void conf_site_release(struct conf_site *site);
void conf_rule_release(struct conf_rule *rule);
/* Sets its literal: the longest piece of match that stands for itself. */
void conf_rule_prepare(struct conf_rule *rule);
/* What in it excludes something else in it, behind "this rule "; or NULL. */
const char *conf_rule_fault(const struct conf_rule *rule);
void conf_values_release(struct conf *conf);

/* "host[:port]" or "*" of a site into host and port. */
int conf_site_title(
    const char *title, struct conf_site *site, char why[CONF_WHY_MAX]);

/* One more, zeroed element at the end of *array; NULL: no memory. */
void *conf_grow(void *array, unsigned count, size_t element);

#endif
