/*
 * larder's page and what belongs to it, as the proxy's door (proxy/local.h):
 *
 *   GET /            the page; to apt's own agent 406 "Usage Information", by
 *                    which auto-apt-proxy knows a proxy
 *   GET /api/stats   its data, as JSON
 *   GET /api/events  the same as server-sent events
 *   POST /api/purge  ?url= | ?host= | ?match=: with admin_password, or over a
 *                    Unix socket of admin_listen
 *   GET /metrics     for Prometheus
 *   GET /healthz     for a load balancer
 *   GET /proxy.pac, /wpad.dat
 *
 * The workers answer what never changes (here); what has numbers in it goes,
 * with its connection, to the main thread (visits.c).
 *
 * Who may read: whoever may use the proxy, under a name that is ours
 * (names.h). What is told: no client's address, no query of a URL.
 */
#ifndef ADMIN_PAGE_H
#define ADMIN_PAGE_H

#include "proxy/local.h"

struct loop;
struct page;
struct visits;

/* visits outlives it. LARDER_NOMEM. */
int page_open(struct page **out, struct loop *loop, struct visits *visits);
/* After the proxy is freed. */
void page_free(struct page **page);
/* Lives as long as the page. */
const struct local_door *page_door(const struct page *page);

/* In all answers: nobody else's page may frame, read or guess them. */
#define PAGE_FIELDS                                   \
	"Cache-Control: no-store\r\n"                 \
	"X-Content-Type-Options: nosniff\r\n"         \
	"X-Frame-Options: DENY\r\n"                   \
	"Referrer-Policy: no-referrer\r\n"            \
	"Cross-Origin-Opener-Policy: same-origin\r\n" \
	"Cross-Origin-Resource-Policy: same-origin\r\n"

#endif
