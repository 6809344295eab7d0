/*
 * Via (RFC 9110 7.6.3), and knowing a loop by it. Towards origins a comment
 * tells this larder from others, so that one may stand behind another.
 */
#ifndef PROXY_VIA_H
#define PROXY_VIA_H

#include <stdbool.h>

#include "http/forward.h"

/* "Via: 1.1 larder (id)\r\n"; received over HTTP/1.minor. */
void via_write(struct http_out *out, int minor, const char *id);

/*
 * Has it been here before? By our own id; or by the name without any comment,
 * as when somebody behind us has taken the comments out.
 */
bool via_is_loop(const struct http_head *request, const char *id);

#endif
