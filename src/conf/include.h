/*
 * A configuration file with what it includes, as one text.
 */
#ifndef CONF_INCLUDE_H
#define CONF_INCLUDE_H

#include "conf/errors.h"

/*
 * Reads file, prepares it as scan_prepare() does, and puts in place of each
 * include("FILE") outside of sections the text of that file (relative to the
 * folder of the one that says so), and so on down. errors->places says of each
 * line where it is from. The caller frees *text.
 *
 * 0; LARDER_ABSENT, LARDER_ACCESS: of the file itself; LARDER_INVALID, also of
 * what it includes; of all of these errors has one; LARDER_NOMEM.
 */
int include_load(const char *file, struct conf_errors *errors, char **text);

#endif
