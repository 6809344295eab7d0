/*
 * Listening sockets that a supervisor opened for us and keeps open when we end:
 * while another larderd starts, who connects waits in their backlog and is not
 * refused. The protocol is systemd's (sd_listen_fds(3)), without its library:
 * LISTEN_PID is our process, LISTEN_FDS says how many there are, from
 * descriptor 3 on.
 */
#ifndef NET_INHERIT_H
#define NET_INHERIT_H

#include <stdbool.h>
#include <stddef.h>

#include "net/addr.h"

/* Takes those that the environment announces, and the announcement out of it;
 * once, before there are threads. They stay open until the process ends. 0,
 * also when there are none; LARDER_INVALID with a sentence in why. */
int inherit_take(char *why, size_t why_size);

/* The address of the i-th; NULL: there are fewer. */
const union addr *inherit_address(unsigned i);

bool inherit_has(const union addr *address);

/* A duplicate of the one for that address, for the caller to close; -1: errno
 * says why. */
int inherit_dup(const union addr *address);

#endif
