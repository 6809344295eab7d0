/*
 * What the main thread wants of a worker, handed over under the proxy's lock.
 */
#ifndef PROXY_ORDERS_H
#define PROXY_ORDERS_H

#include <stdbool.h>

#include "conf/conf.h"

struct proxy;

struct orders_socket {
	union addr address;
	int fd;
};

struct orders {
	struct conf *conf; /* a reference for the worker; NULL: no change */
	struct orders_socket *sockets; /* new ones; malloc'ed */
	unsigned socket_count;
	bool drain, drain_now;
};

/* Moves the pending orders into *out; false if there are none. */
bool proxy_take_orders(
    struct proxy *proxy, unsigned worker, struct orders *out);

#endif
