/*
 * `larderctl top`'s answer; see top.c.
 */
#ifndef ADMIN_TOP_H
#define ADMIN_TOP_H

#include <jansson.h>

#include "proxy/proxy.h"

/* NULL: no memory. Never blocks for long. */
json_t *top_report(struct proxy *proxy);

#endif
