/*
 * Inside of conf/: from text to a struct conf, with libconfuse.
 */
#ifndef CONF_PARSE_H
#define CONF_PARSE_H

#include "conf/conf.h"
#include "conf/errors.h"

struct cfg_t;

/*
 * text: as scan_prepare() left it (it is changed), or NULL for the defaults
 * alone. lines: one per option in conf_options[], where it was given, or 0.
 * conf: zeroed; filled if there is no error. LARDER_INVALID (errors has some),
 * LARDER_NOMEM. One call at a time works, others wait.
 */
int parse_text(
    char *text, struct conf_errors *errors, int *lines, struct conf *conf);

/* What is wrong only beside others goes to errors. LARDER_NOMEM. */
int take_all(struct cfg_t *cfg, struct conf *conf, struct conf_errors *errors,
    const int *lines);

#endif
