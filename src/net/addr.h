/*
 * Addresses: listening ones as text, CIDR blocks, and judging the address that
 * a connection really goes to. v4-mapped v6 addresses count as v4 everywhere.
 * Pure.
 */
#ifndef NET_ADDR_H
#define NET_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "larder/bytes.h"

union addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
	struct sockaddr_storage any;
};

/* The longest text addr_format() writes, with its NUL. */
#define ADDR_TEXT 128

/* In sin6_flowinfo of the v6 wildcard: take v4 connections as well (":80"). */
#define ADDR_DUAL 1u

/*
 * "1.2.3.4:80", "[::1]:80", "unix:/path", and ":80" (every v6 and v4 address:
 * ADDR_DUAL). Numeric only. 0; LARDER_INVALID with *why, a static phrase.
 */
int addr_parse_listen(const char *text, union addr *out, const char **why);

/* "1.2.3.4" or "::1" (no brackets), numeric in the usual spelling only.
 * v4-mapped becomes v4. 0 or LARDER_INVALID. */
int addr_parse_ip(struct bytes text, uint16_t port, union addr *out);

socklen_t addr_len(const union addr *a);
uint16_t addr_port(const union addr *a);
/* "1.2.3.4:80", "[::1]:80", "unix:/path"; the host alone without the port. */
const char *addr_format(const union addr *a, char out[ADDR_TEXT]);
const char *addr_format_host(const union addr *a, char out[ADDR_TEXT]);
/* Same family, address and (if with_port) port, v4-mapped unfolded. */
bool addr_equal(const union addr *a, const union addr *b, bool with_port);

struct cidr {
	uint8_t ip[16]; /* v4 as v4-mapped */
	uint8_t bits;	/* of the 128 */
};

/* "10.0.0.0/8", "fc00::/7", a bare address for itself alone. 0, or
 * LARDER_INVALID with *why, a static phrase. Host bits set are refused. */
int cidr_parse(const char *text, struct cidr *out, const char **why);
bool cidr_contains(const struct cidr *block, const union addr *a);

/* Not a public unicast address: this-host, private, loopback, link-local,
 * shared (100.64/10), benchmark, documentation, multicast, reserved, unique
 * local, NAT64 or 6to4 of such a one. IANA's special-purpose registries
 * (RFC 6890). */
bool addr_is_special(const union addr *a);

/* An address of one of this machine's interfaces (loopback and the wildcard
 * included). Asks the kernel's routes: microseconds. */
bool addr_is_own(const union addr *a);

#endif
