/*
 * Hosts and ports, by the strict reading (see target.c).
 */
#include "http/authority.h"

#include "http/chars.h"

/* RFC 1035 2.3.4, and a dot at the end. */
#define HOST_MAX 254

/* dec-octet "." dec-octet "." dec-octet "." dec-octet */
static bool
is_ipv4(struct bytes b)
{
	for (int i = 0; i < 4; i++) {
		size_t n = http_span(b, HTTP_C_DIGIT);
		uint64_t octet;

		if (n > 3 || (n > 1 && b.p[0] == '0') ||
		    !bytes_decimal((struct bytes){b.p, n}, 255, &octet))
			return false;
		b = bytes_skip(b, n);
		if (i == 3)
			break;
		if (b.n == 0 || b.p[0] != '.')
			return false;
		b = bytes_skip(b, 1);
	}
	return b.n == 0;
}

/*
 * IPv6address (RFC 3986 3.2.2): eight groups of up to four hex digits, one run
 * of which may be "::", the last two perhaps written as IPv4. No zone.
 */
static bool
is_ipv6(struct bytes b)
{
	unsigned groups = 0;
	bool gap = bytes_starts(b, BYTES("::"));

	if (gap)
		b = bytes_skip(b, 2);
	while (b.n > 0 && groups < 8) {
		size_t n = http_span(b, HTTP_C_HEX);

		if (n < b.n && b.p[n] == '.') {
			groups += 2;
			return is_ipv4(b) && (gap ? groups < 8 : groups == 8);
		}
		if (n == 0 || n > 4)
			return false;
		groups++;
		b = bytes_skip(b, n);
		if (b.n == 0)
			break;
		if (bytes_starts(b, BYTES("::"))) {
			if (gap)
				return false;
			gap = true;
			b = bytes_skip(b, 2);
		} else if (b.p[0] == ':' && b.n > 1) {
			b = bytes_skip(b, 1);
		} else {
			return false;
		}
	}
	return b.n == 0 && (gap ? groups < 8 : groups == 8);
}

/* Labels that are not empty; one dot may end it. */
static bool
is_name(struct bytes b)
{
	if (b.n > HOST_MAX || http_span(b, HTTP_C_HOST) != b.n || b.p[0] == '.')
		return false;
	for (size_t i = 1; i < b.n; i++)
		if (b.p[i] == '.' && b.p[i - 1] == '.')
			return false;
	return true;
}

static const char *
port(struct bytes text, struct http_authority *out)
{
	uint64_t n;

	if (text.n == 0)
		return NULL; /* "host:" is "host" (RFC 3986 6.2.3) */
	if (text.n > 5 || !bytes_decimal(text, 65535, &n) || n == 0)
		return "the port is no number from 1 to 65535";
	out->has_port = true;
	out->port = (uint16_t)n;
	return NULL;
}

const char *
http_authority_parse(struct bytes text, struct http_authority *out)
{
	size_t n;

	*out = (struct http_authority){.v6 = text.n > 0 && text.p[0] == '['};
	if (text.n == 0)
		return "the host is empty";
	if (memchr(text.p, '@', text.n) != NULL)
		return "user information before the host";
	if (out->v6) {
		const char *close = memchr(text.p, ']', text.n);

		if (close == NULL)
			return "the IPv6 address is malformed";
		out->host =
		    (struct bytes){text.p + 1, (size_t)(close - text.p) - 1};
		n = out->host.n + 2;
		if (!is_ipv6(out->host))
			return "the IPv6 address is malformed";
	} else {
		const char *colon = memchr(text.p, ':', text.n);

		n = colon ? (size_t)(colon - text.p) : text.n;
		out->host = (struct bytes){text.p, n};
		if (n == 0)
			return "the host is empty";
		if (!is_name(out->host))
			return "the host is malformed";
	}
	if (n == text.n)
		return NULL;
	if (text.p[n] != ':')
		return "the host is malformed";
	return port(bytes_skip(text, n + 1), out);
}

int
http_authority_host(
    const struct http_authority *a, struct arena *arena, struct bytes *out)
{
	bool upper = false;
	struct bytes copy;
	char *p;

	for (size_t i = 0; i < a->host.n; i++)
		upper |= a->host.p[i] != bytes_lower(a->host.p[i]);
	*out = a->host;
	if (!upper)
		return 0;
	p = arena_alloc(arena, a->host.n);
	if (p == NULL)
		return LARDER_NOMEM;
	for (size_t i = 0; i < a->host.n; i++)
		p[i] = bytes_lower(a->host.p[i]);
	copy = (struct bytes){p, a->host.n};
	*out = copy;
	return 0;
}
