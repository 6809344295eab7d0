/*
 * An origin of doctor's own on 127.0.0.1, which counts who asks.
 */
#ifndef ADMIN_CTL_ORIGIN_H
#define ADMIN_CTL_ORIGIN_H

#include <stdint.h>

struct ctl_origin;

/* Answers GET of path with body, for a minute fresh, and anything else with
 * 404; in a thread of its own. Both are copied. NULL: it cannot. */
struct ctl_origin *ctl_origin_start(const char *path, const char *body);
uint16_t ctl_origin_port(const struct ctl_origin *origin);
/* How often the path was asked for. */
unsigned ctl_origin_asked(const struct ctl_origin *origin);
/* Blocks for a moment. */
void ctl_origin_stop(struct ctl_origin **origin);

#endif
