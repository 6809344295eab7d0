/*
 * A view of bytes that somebody else owns; it lives as long as they do. It
 * need not end in NUL and may hold any byte. n == 0 allows p == NULL.
 */
#ifndef LARDER_BYTES_H
#define LARDER_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
	const char *p;
	size_t n;
};

/* Of a string literal. */
#define BYTES(lit)   ((struct bytes){(lit), sizeof(lit) - 1})
/* For printf's %.*s: the bytes must be known to hold no NUL. */
#define BYTES_FMT(b) (int)(b).n, (b).p

static inline struct bytes
bytes_of(const void *p, size_t n)
{
	return (struct bytes){p, n};
}

static inline struct bytes
bytes_str(const char *s)
{
	return (struct bytes){s, s ? strlen(s) : 0};
}

static inline bool
bytes_eq(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char
bytes_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Equal but for the case of ASCII letters; no locale. */
static inline bool
bytes_ieq(struct bytes a, struct bytes b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (bytes_lower(a.p[i]) != bytes_lower(b.p[i]))
			return false;
	return true;
}

static inline bool
bytes_starts(struct bytes b, struct bytes prefix)
{
	return b.n >= prefix.n &&
	       (prefix.n == 0 || memcmp(b.p, prefix.p, prefix.n) == 0);
}

/* The view from offset `from` (clamped to the end). */
static inline struct bytes
bytes_skip(struct bytes b, size_t from)
{
	if (from > b.n)
		from = b.n;
	return (struct bytes){b.p + from, b.n - from};
}

/* Without spaces and tabs (OWS, RFC 9110 5.6.3) at both ends. */
static inline struct bytes
bytes_trim(struct bytes b)
{
	while (b.n && (b.p[0] == ' ' || b.p[0] == '\t'))
		b.p++, b.n--;
	while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
		b.n--;
	return b;
}

/*
 * 1*DIGIT and nothing else, into *out. False if it is not, or if it passes
 * max: never wraps, never a partial value.
 */
bool bytes_decimal(struct bytes b, uint64_t max, uint64_t *out);

#endif
