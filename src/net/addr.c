/*
 * Inside, an address is its 16 bytes, v4 as v4-mapped (::ffff:0:0/96), so that
 * every comparison has one form. Two blocks that differ only in spelling are
 * the same block, but a v6 block that is wider than /96 never takes in v4:
 * "::/0" says every v6 address.
 */
#include "net/addr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/err.h"

static const uint8_t mapped_prefix[12] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void
from_v4(uint8_t out[16], const void *v4)
{
	memcpy(out, mapped_prefix, 12);
	memcpy(out + 12, v4, 4);
}

static bool
is_v4(const uint8_t ip[16])
{
	return memcmp(ip, mapped_prefix, 12) == 0;
}

/* False for a Unix socket's. */
static bool
ip_of(const union addr *a, uint8_t out[16])
{
	if (a->sa.sa_family == AF_INET)
		from_v4(out, &a->v4.sin_addr);
	else if (a->sa.sa_family == AF_INET6)
		memcpy(out, &a->v6.sin6_addr, 16);
	else
		return false;
	return true;
}

/* ---- text ------------------------------------------------------------- */

/* inet_pton() takes no short, octal or hexadecimal forms, and no zones. */
static int
parse_bytes(struct bytes text, uint8_t out[16])
{
	char s[INET6_ADDRSTRLEN];
	struct in_addr v4;

	if (text.n == 0 || text.n >= sizeof(s) || memchr(text.p, 0, text.n))
		return LARDER_INVALID;
	memcpy(s, text.p, text.n);
	s[text.n] = '\0';
	if (inet_pton(AF_INET, s, &v4) == 1)
		from_v4(out, &v4);
	else if (inet_pton(AF_INET6, s, out) != 1)
		return LARDER_INVALID;
	return 0;
}

static void
set(union addr *out, const uint8_t ip[16], uint16_t port)
{
	memset(out, 0, sizeof(*out));
	if (is_v4(ip)) {
		out->v4.sin_family = AF_INET;
		out->v4.sin_port = htons(port);
		memcpy(&out->v4.sin_addr, ip + 12, 4);
	} else {
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons(port);
		memcpy(&out->v6.sin6_addr, ip, 16);
	}
}

int
addr_parse_ip(struct bytes text, uint16_t port, union addr *out)
{
	uint8_t ip[16];

	if (parse_bytes(text, ip) != 0)
		return LARDER_INVALID;
	set(out, ip, port);
	return 0;
}

static int
parse_unix(const char *path, union addr *out, const char **why)
{
	size_t n = strlen(path);

	if (path[0] != '/') {
		*why = "the path of a Unix socket must begin with a slash";
		return LARDER_INVALID;
	}
	if (n >= sizeof(out->un.sun_path)) {
		*why = "the path of a Unix socket must be shorter than 108 "
		       "bytes";
		return LARDER_INVALID;
	}
	memset(out, 0, sizeof(*out));
	out->un.sun_family = AF_UNIX;
	memcpy(out->un.sun_path, path, n);
	return 0;
}

static int
parse_port(const char *text, uint16_t *out, const char **why)
{
	uint64_t port;

	*why = "the port must be a number from 1 to 65535";
	if (!bytes_decimal(bytes_str(text), 65535, &port) || port == 0)
		return LARDER_INVALID;
	*out = (uint16_t)port;
	return 0;
}

int
addr_parse_listen(const char *text, union addr *out, const char **why)
{
	const char *colon = strrchr(text, ':');
	struct bytes host;
	uint16_t port;
	bool bracketed;

	if (strncmp(text, "unix:", 5) == 0)
		return parse_unix(text + 5, out, why);
	if (colon == NULL) {
		*why = "a port is missing, as in \"127.0.0.1:3128\"";
		return LARDER_INVALID;
	}
	if (parse_port(colon + 1, &port, why) != 0)
		return LARDER_INVALID;
	if (colon == text) {
		memset(out, 0, sizeof(*out));
		out->v6.sin6_family = AF_INET6;
		out->v6.sin6_port = htons(port);
		out->v6.sin6_flowinfo = ADDR_DUAL;
		return 0;
	}
	host = bytes_of(text, (size_t)(colon - text));
	bracketed = host.p[0] == '[' && host.p[host.n - 1] == ']';
	if (bracketed)
		host = bytes_of(host.p + 1, host.n > 2 ? host.n - 2 : 0);
	if (bracketed != (memchr(host.p, ':', host.n) != NULL)) {
		*why = "an IPv6 address, and only that, is written in "
		       "brackets, as in \"[::1]:3128\"";
		return LARDER_INVALID;
	}
	*why = "the address must be numeric, as in \"127.0.0.1:3128\"";
	return addr_parse_ip(host, port, out);
}

socklen_t
addr_len(const union addr *a)
{
	switch (a->sa.sa_family) {
	case AF_INET:
		return sizeof(a->v4);
	case AF_INET6:
		return sizeof(a->v6);
	default:
		return sizeof(a->un);
	}
}

uint16_t
addr_port(const union addr *a)
{
	switch (a->sa.sa_family) {
	case AF_INET:
		return ntohs(a->v4.sin_port);
	case AF_INET6:
		return ntohs(a->v6.sin6_port);
	default:
		return 0;
	}
}

/* Once a response: inet_ntop() takes sprintf() for it. */
static void
format_v4(const uint8_t ip[4], char *out)
{
	for (unsigned i = 0; i < 4; i++) {
		if (ip[i] >= 100)
			*out++ = (char)('0' + ip[i] / 100);
		if (ip[i] >= 10)
			*out++ = (char)('0' + ip[i] / 10 % 10);
		*out++ = (char)('0' + ip[i] % 10);
		*out++ = i < 3 ? '.' : '\0';
	}
}

const char *
addr_format_host(const union addr *a, char out[ADDR_TEXT])
{
	uint8_t ip[16];

	if (!ip_of(a, ip))
		snprintf(out, ADDR_TEXT, "unix:%.*s",
		    (int)sizeof(a->un.sun_path), a->un.sun_path);
	else if (is_v4(ip))
		format_v4(ip + 12, out);
	else
		inet_ntop(AF_INET6, ip, out, ADDR_TEXT);
	return out;
}

const char *
addr_format(const union addr *a, char out[ADDR_TEXT])
{
	char host[ADDR_TEXT];

	addr_format_host(a, host);
	if (a->sa.sa_family == AF_UNIX)
		memcpy(out, host, ADDR_TEXT);
	else if (a->sa.sa_family == AF_INET6 &&
		 a->v6.sin6_flowinfo == ADDR_DUAL)
		snprintf(out, ADDR_TEXT, ":%u", addr_port(a));
	else
		snprintf(out, ADDR_TEXT,
		    strchr(host, ':') ? "[%.100s]:%u" : "%.100s:%u", host,
		    addr_port(a));
	return out;
}

bool
addr_equal(const union addr *a, const union addr *b, bool with_port)
{
	uint8_t x[16], y[16];
	bool ip = ip_of(a, x);

	if (ip != ip_of(b, y))
		return false;
	if (!ip)
		return strncmp(a->un.sun_path, b->un.sun_path,
			   sizeof(a->un.sun_path)) == 0;
	return memcmp(x, y, 16) == 0 &&
	       (!with_port || addr_port(a) == addr_port(b));
}

/* ---- blocks ----------------------------------------------------------- */

static bool
same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	uint8_t mask = (uint8_t)(0xff00u >> rest);

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0;
}

static bool
host_bits_are_zero(const struct cidr *c)
{
	for (unsigned bit = c->bits; bit < 128; bit++)
		if (c->ip[bit / 8] & (0x80u >> bit % 8))
			return false;
	return true;
}

int
cidr_parse(const char *text, struct cidr *out, const char **why)
{
	const char *slash = strchr(text, '/');
	struct bytes ip = bytes_str(text);
	uint64_t bits, base;

	if (slash)
		ip.n = (size_t)(slash - text);
	if (parse_bytes(ip, out->ip) != 0) {
		*why = "not a numeric address, as in \"10.0.0.0/8\" or "
		       "\"fc00::/7\"";
		return LARDER_INVALID;
	}
	/* Of what was written, not of what it means: "::ffff:0:0/96". */
	base = memchr(ip.p, ':', ip.n) ? 0 : 96;
	bits = 128 - base;
	if (slash && !bytes_decimal(bytes_str(slash + 1), 128 - base, &bits)) {
		*why = base ? "the prefix length must be from 0 to 32"
			    : "the prefix length must be from 0 to 128";
		return LARDER_INVALID;
	}
	out->bits = (uint8_t)(base + bits);
	if (!host_bits_are_zero(out)) {
		*why = "there are bits set behind the prefix: the block's "
		       "first address belongs here";
		return LARDER_INVALID;
	}
	return 0;
}

bool
cidr_contains(const struct cidr *block, const union addr *a)
{
	uint8_t ip[16];

	if (!ip_of(a, ip) || (block->bits < 96 && is_v4(ip)))
		return false;
	return same_bits(block->ip, ip, block->bits);
}

/* ---- judging ---------------------------------------------------------- */

static bool
v4_is_special(const uint8_t ip[4])
{
	static const struct {
		uint8_t ip[4];
		unsigned bits;
	} special[] = {
	    {{0, 0, 0, 0}, 8},	     /* this network, RFC 791 */
	    {{10, 0, 0, 0}, 8},	     /* private, RFC 1918 */
	    {{100, 64, 0, 0}, 10},   /* shared, RFC 6598 */
	    {{127, 0, 0, 0}, 8},     /* loopback, RFC 1122 */
	    {{169, 254, 0, 0}, 16},  /* link-local, RFC 3927 */
	    {{172, 16, 0, 0}, 12},   /* private */
	    {{192, 0, 0, 0}, 24},    /* protocol assignments, RFC 6890 */
	    {{192, 0, 2, 0}, 24},    /* documentation, RFC 5737 */
	    {{192, 88, 99, 0}, 24},  /* 6to4 relays, RFC 7526 */
	    {{192, 168, 0, 0}, 16},  /* private */
	    {{198, 18, 0, 0}, 15},   /* benchmarks, RFC 2544 */
	    {{198, 51, 100, 0}, 24}, /* documentation */
	    {{203, 0, 113, 0}, 24},  /* documentation */
	    {{224, 0, 0, 0}, 4},     /* multicast, RFC 5771 */
	    {{240, 0, 0, 0}, 4},     /* reserved, and broadcast */
	};

	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (same_bits(special[i].ip, ip, special[i].bits))
			return true;
	return false;
}

/* v6 that leads to the v4 address in it: RFC 6052, RFC 3056. */
static bool
embedded_v4(const uint8_t ip[16], uint8_t out[16])
{
	static const uint8_t nat64[12] = {0, 0x64, 0xff, 0x9b};
	static const uint8_t sixtofour[] = {0x20, 0x02};

	if (memcmp(ip, nat64, 12) == 0)
		from_v4(out, ip + 12);
	else if (same_bits(ip, sixtofour, 16))
		from_v4(out, ip + 2);
	else
		return false;
	return true;
}

static bool
v6_is_special(const uint8_t ip[16])
{
	static const uint8_t global[] = {0x20};
	/* Teredo, benchmarks, ORCHID and what else RFC 2928 set apart. */
	static const uint8_t protocols[] = {0x20, 0x01, 0x00};
	static const uint8_t documentation[] = {0x20, 0x01, 0x0d, 0xb8};
	static const uint8_t documentation2[] = {0x3f, 0xff, 0x00};
	uint8_t v4[16];

	if (embedded_v4(ip, v4))
		return v4_is_special(v4 + 12);
	/* All unicast that is routed in public lies in 2000::/3: loopback,
	 * unique local, link-local, multicast and the rest do not. */
	return !same_bits(ip, global, 3) || same_bits(ip, protocols, 23) ||
	       same_bits(ip, documentation, 32) ||
	       same_bits(ip, documentation2, 20);
}

bool
addr_is_special(const union addr *a)
{
	uint8_t ip[16];

	if (!ip_of(a, ip))
		return true;
	return is_v4(ip) ? v4_is_special(ip + 12) : v6_is_special(ip);
}

bool
addr_is_own(const union addr *a)
{
	static const uint8_t wildcard[16];
	uint8_t ip[16], v4[16];
	union addr to, from;
	socklen_t len = sizeof(from);
	bool own = false;
	int fd;

	if (!ip_of(a, ip))
		return true;
	if (embedded_v4(ip, v4))
		memcpy(ip, v4, sizeof(ip));
	if (is_v4(ip) ? ip[12] == 127 || memcmp(ip + 12, wildcard, 4) == 0
		      : memcmp(ip, wildcard, 15) == 0 && ip[15] <= 1)
		return true;
	/* Connecting a datagram socket sends nothing, but chooses the source
	 * address; towards oneself that is the same one. */
	set(&to, ip, 9);
	fd = socket(to.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	if (connect(fd, &to.sa, addr_len(&to)) == 0 &&
	    getsockname(fd, &from.sa, &len) == 0)
		own = addr_equal(&to, &from, false);
	close(fd);
	return own;
}
