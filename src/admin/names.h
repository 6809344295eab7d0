/*
 * By which Host the page may be asked for. A page elsewhere can make a browser
 * ask us under a name of its own (DNS rebinding), and would then be allowed to
 * read what we answer: so only names that nobody else has count. Addresses,
 * localhost, the machine's own names (also with .local, with the search domains
 * of resolv.conf, and what its /etc/hosts calls it), and admin_names.
 */
#ifndef ADMIN_NAMES_H
#define ADMIN_NAMES_H

#include <stdbool.h>

#include "conf/conf.h"

struct names;

/* Reads them; LARDER_NOMEM. */
int names_load(struct names **out);
void names_free(struct names **names);

/* host: lower case, without port; is_address: an IP literal. No host at all is
 * fine: every browser names one. */
bool names_know(const struct names *names, const struct conf *conf,
    struct bytes host, bool is_address);

/* For tests: the machine's name, and the text of both files. */
int names_make(struct names **out, const char *machine, const char *resolv,
    const char *hosts);

#endif
