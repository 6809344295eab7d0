/*
 * larderctl as a client of the running daemon's own listener.
 */
#ifndef ADMIN_CTL_CLIENT_H
#define ADMIN_CTL_CLIENT_H

#include "admin/ctl.h"
#include "net/addr.h"

#define CTL_DETAIL 160

/* What came back. */
struct ctl_fetched {
	int status;	      /* 0: nothing that could be understood */
	char why[CTL_DETAIL]; /* what went wrong, or "" */
	uint64_t bytes;	      /* of the body */
	uint64_t sum;	      /* of the body, to compare it by */
	/* By larder's Cache-Status. */
	bool larder; /* it has one */
	bool hit, stored, collapsed;
	int fwd_status;
	int64_t date; /* Date, in seconds; 0: none */
	char fwd[32], detail[CTL_DETAIL];
};

struct ctl_fetch {
	union addr to;
	const char *url;
	const char *const *headers; /* "Name: value" */
	unsigned headers_count;
	bool as_site; /* in origin form */
	int seconds;  /* that nothing may move */
};

/* Where a client on this machine reaches a listener: a wildcard is loopback. */
union addr ctl_client_address(const union addr *listen);

/* One GET on a connection of its own. 0, or LARDER_INVALID (the URL), or
 * LARDER_IO: no whole answer; then out->why says so. Blocks. */
int ctl_client_get(const struct ctl_fetch *fetch, struct ctl_fetched *out);

/* FNV-1a, as in ctl_fetched.sum. */
uint64_t ctl_client_sum(const void *p, size_t n);

#endif
