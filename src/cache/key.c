/*
 * Keys as text, and questions admins ask of them.
 */
#include "cache/key.h"

/* ":8080" into out, or "" for the scheme's own port. */
static struct bytes
port_text(const struct http_target *target, char out[8])
{
	unsigned rest = target->port;
	size_t at = 8;

	if (rest == (target->tls ? 443 : 80))
		return BYTES("");
	do {
		out[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest > 0);
	out[--at] = ':';
	return (struct bytes){out + at, 8 - at};
}

struct bytes
cache_key(const struct http_target *target, struct arena *arena)
{
	char port[8];
	const struct bytes parts[] = {
	    target->tls ? BYTES("https://") : BYTES("http://"),
	    target->v6 ? BYTES("[") : BYTES(""),
	    target->host,
	    target->v6 ? BYTES("]") : BYTES(""),
	    port_text(target, port),
	    target->path,
	};
	size_t n = 0;
	char *p;

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		n += parts[i].n;
	p = arena_alloc(arena, n + 1);
	if (p == NULL)
		return (struct bytes){NULL, 0};
	n = 0;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		if (parts[i].n > 0)
			memcpy(p + n, parts[i].p, parts[i].n);
		n += parts[i].n;
	}
	p[n] = '\0';
	return (struct bytes){p, n};
}

/* No URL has a space. At the end, so that keys stay in their order. */
static const struct bytes apart = {" forward", 8};

struct bytes
cache_key_apart(struct bytes key, struct arena *arena)
{
	char *p = arena_alloc(arena, key.n + apart.n);

	if (p == NULL)
		return (struct bytes){NULL, 0};
	memcpy(p, key.p, key.n);
	memcpy(p + key.n, apart.p, apart.n);
	return (struct bytes){p, key.n + apart.n};
}

struct bytes
cache_key_url(struct bytes key)
{
	if (key.n > apart.n &&
	    bytes_eq(bytes_skip(key, key.n - apart.n), apart))
		key.n -= apart.n;
	return key;
}

struct bytes
cache_key_without_query(struct bytes key)
{
	const char *query = key.n > 0 ? memchr(key.p, '?', key.n) : NULL;

	if (query != NULL)
		key.n = (size_t)(query - key.p);
	return key;
}

/* What stands behind "://". */
static struct bytes
behind_scheme(struct bytes key)
{
	for (size_t i = 0; i + 3 <= key.n; i++)
		if (memcmp(key.p + i, "://", 3) == 0)
			return bytes_skip(key, i + 3);
	return key;
}

/* One element of a pattern at *at against c; moves *at behind it. */
static bool
element_matches(struct bytes pattern, size_t *at, char c)
{
	unsigned char u = (unsigned char)c;
	size_t i = *at + 1;
	bool negated, found = false;

	if (pattern.p[*at] == '?') {
		*at = i;
		return true;
	}
	if (pattern.p[*at] == '\\' && i < pattern.n) {
		*at = i + 1;
		return pattern.p[i] == c;
	}
	if (pattern.p[*at] != '[' ||
	    memchr(pattern.p + *at, ']', pattern.n - *at) == NULL) {
		c ^= pattern.p[*at];
		*at = i;
		return c == '\0';
	}
	negated = pattern.p[i] == '!' || pattern.p[i] == '^';
	i += negated;
	/* A "]" that comes first is one of the class. */
	for (size_t first = i;
	     i < pattern.n && (pattern.p[i] != ']' || i == first); i++) {
		unsigned char low = (unsigned char)pattern.p[i], high = low;

		if (i + 2 < pattern.n && pattern.p[i + 1] == '-' &&
		    pattern.p[i + 2] != ']') {
			i += 2;
			high = (unsigned char)pattern.p[i];
		}
		found |= low <= u && u <= high;
	}
	*at = i < pattern.n ? i + 1 : i;
	return found != negated;
}

/* Only the last star is ever taken back: what an earlier one could give, it
 * can as well. At worst pattern times key. */
bool
cache_key_glob(struct bytes pattern, struct bytes key)
{
	size_t p = 0, k = 0, star = SIZE_MAX, from = 0;

	key = cache_key_url(key);
	if (bytes_eq(behind_scheme(pattern), pattern))
		key = behind_scheme(key);
	for (;;) {
		if (p < pattern.n && pattern.p[p] == '*') {
			star = ++p;
			from = k;
			if (p == pattern.n)
				return true;
			continue;
		}
		if (k == key.n)
			return p == pattern.n;
		if (p < pattern.n && element_matches(pattern, &p, key.p[k])) {
			k++;
			continue;
		}
		if (star == SIZE_MAX)
			return false;
		p = star;
		k = ++from;
		/* On to where it may begin. */
		if (strchr("*?[\\", pattern.p[p]) == NULL) {
			const char *next =
			    memchr(key.p + k, pattern.p[p], key.n - k);

			if (next == NULL)
				return false;
			k = from = (size_t)(next - key.p);
		}
	}
}

/* Splits "host", "host:port", "[v6]", "[v6]:port" or a bare v6. */
static void
split_authority(struct bytes a, struct bytes *host, struct bytes *port)
{
	const char *colon = NULL;
	size_t n = a.n;

	*port = (struct bytes){"", 0};
	if (a.n > 0 && a.p[0] == '[') {
		const char *end = memchr(a.p, ']', a.n);

		if (end != NULL) {
			n = (size_t)(end - a.p);
			*host = (struct bytes){a.p + 1, n - 1};
			if (n + 1 < a.n && a.p[n + 1] == ':')
				*port = bytes_skip(a, n + 2);
			return;
		}
	}
	if (a.n > 0)
		colon = memchr(a.p, ':', a.n);
	if (colon != NULL) {
		size_t at = (size_t)(colon - a.p);

		if (memchr(colon + 1, ':', a.n - at - 1) == NULL) {
			*port = bytes_skip(a, at + 1);
			n = at;
		}
	}
	*host = (struct bytes){a.p, n};
}

bool
cache_key_host_is(struct bytes key, struct bytes host)
{
	bool tls = bytes_starts(key, BYTES("https://"));
	struct bytes rest = behind_scheme(key), host_name, host_port;
	struct bytes key_name, key_port;
	const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;

	if (slash != NULL)
		rest.n = (size_t)(slash - rest.p);
	split_authority(rest, &key_name, &key_port);
	split_authority(host, &host_name, &host_port);
	if (!bytes_ieq(key_name, host_name))
		return false;
	if (key_port.n == 0)
		key_port = tls ? BYTES("443") : BYTES("80");
	return host_port.n == 0 || bytes_eq(key_port, host_port);
}
