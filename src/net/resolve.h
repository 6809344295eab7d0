/*
 * Names to addresses, one resolver a loop: /etc/hosts and evdns. resolv.conf
 * and hosts are read again when they change; answers are cached for a bounded
 * time, failures briefly; requests for one name share one query.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "larder/bytes.h"
#include "net/addr.h"
#include "net/loop.h"

/* Addresses of one name that are tried at most. */
#define RESOLVE_MAX 16

struct resolver;
struct resolve;

struct resolve_answer {
	unsigned count;
	union addr addr[RESOLVE_MAX]; /* v6 and v4 interleaved, RFC 8305 4 */
};

/* err: 0, LARDER_NONAME, LARDER_TIMEOUT, LARDER_IO. answer lives for the call
 * (NULL on failure); port is set in each address. The struct resolve is void
 * from the moment that this is called. */
typedef void resolve_fn(
    void *arg, int err, const struct resolve_answer *answer);

/* getaddrinfo(), which a thread asks where evdns has no answer. */
struct addrinfo;
typedef int resolve_system_fn(const char *node, const char *service,
    const struct addrinfo *hints, struct addrinfo **out);

struct resolver_options {
	const char *resolv_conf;   /* NULL: "/etc/resolv.conf" */
	const char *hosts;	   /* NULL: "/etc/hosts" */
	resolve_system_fn *system; /* NULL: getaddrinfo() */
};

/* LARDER_NOMEM, LARDER_IO. */
int resolver_new(struct resolver **out, struct loop *loop);
/* The paths must outlive it. */
int resolver_new_with(struct resolver **out, struct loop *loop,
    const struct resolver_options *options);
/* Every resolve must be done or cancelled, and the loop must not run any more:
 * evdns may still owe it a callback. */
void resolver_free(struct resolver **resolver);

/*
 * Numeric hosts and cached names are answered at once: 0 with *answer filled
 * (or the error of a cached failure). Else LARDER_AGAIN, *out set, and fn is
 * called later, never from inside this call; or LARDER_NOMEM. Odd spellings of
 * numeric addresses (decimal, hex, octal, short: "127.1", "0x7f000001") are
 * LARDER_NONAME, and so is what is no host name. "localhost" and what ends in
 * ".localhost" is loopback, always.
 */
int resolve_start(struct resolver *resolver, struct bytes host, uint16_t port,
    struct resolve_answer *answer, struct resolve **out, resolve_fn *fn,
    void *arg);
/* fn is not called any more; nulls the pointer. */
void resolve_cancel(struct resolve **resolve);

#endif
