/*
 * Interim responses (RFC 9110 15.2) towards the client of the exchange that
 * asked; others who share its flight get none.
 */
#ifndef PROXY_INTERIM_H
#define PROXY_INTERIM_H

#include "http/head.h"

struct exchange;

/* Written now, or ahead of the final head. */
void interim_relay(struct exchange *x, const struct http_head *interim);

#endif
