/*
 * Who may ask, and where larder may connect to. Judged by addresses alone.
 */
#ifndef PROXY_ACL_H
#define PROXY_ACL_H

#include <stdbool.h>

#include "conf/conf.h"

struct proxy;

/* Unix sockets' clients may: the socket's mode says who they are. */
bool acl_allows_client(const struct conf *conf, const union addr *client);

/* Private and other special addresses only if access.destinations lists them
 * (or the admin made it a site's origin); larder's own sockets never. */
bool acl_allows_destination(const struct conf *conf, struct proxy *proxy,
    bool is_site, const union addr *address);

/* What a client is told whose destination was refused. */
extern const char acl_destination_text[];

bool acl_allows_connect_port(const struct conf *conf, uint16_t port);

#endif
