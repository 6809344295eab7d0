/*
 * CONNECT (RFC 9110 9.3.6): bytes both ways, half-close, back-pressure.
 */
#ifndef PROXY_TUNNEL_H
#define PROXY_TUNNEL_H

#include "proxy/exchange.h"

/* Opens one for x's target; x waits meanwhile. The next step: an error's
 * answer, or STEP_WAIT. When it is open, x is gone. */
enum step tunnel_start(struct exchange *x);
/* The client left before it was open. */
void tunnel_cancel(struct tunnel *t);
void tunnels_abort_all(struct worker *w);

#endif
