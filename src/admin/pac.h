/*
 * Proxy auto-configuration: /proxy.pac and /wpad.dat. Pure.
 */
#ifndef ADMIN_PAC_H
#define ADMIN_PAC_H

#include "conf/conf.h"
#include "larder/arena.h"

/*
 * here: the address that the client has reached us at, which is the one that
 * it can reach; if that port is not a proxy's, with a port that is. p == NULL:
 * no memory.
 */
struct bytes pac_make(
    const struct conf *conf, const union addr *here, struct arena *arena);

#endif
