/*
 * Numbers and ranges of bytes on disk: a cursor for each direction. What is
 * read is anybody's: a reader that meets what cannot be is `bad` from then on,
 * and gives zeros.
 */
#ifndef STORAGE_VARINT_H
#define STORAGE_VARINT_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"

/* LEB128 of 64 bits. */
#define VARINT_MAX 10u

struct in {
	const char *p, *end;
	bool bad;
};

static inline uint64_t
in_byte(struct in *in)
{
	if (in->p == in->end) {
		in->bad = true;
		return 0;
	}
	return (unsigned char)*in->p++;
}

static inline uint64_t
in_varint(struct in *in)
{
	uint64_t v = 0;

	/* Most are of one byte. */
	if (in->p < in->end && !(*in->p & 0x80) && !in->bad)
		return (unsigned char)*in->p++;
	for (unsigned shift = 0; shift < 64 && !in->bad; shift += 7) {
		uint64_t byte = in_byte(in);

		/* The tenth byte has room for one bit. */
		if (shift == 63 && byte > 1)
			break;
		v |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
	in->bad = true;
	return 0;
}

/* Zigzag: small ones of both signs are short. */
static inline int64_t
in_signed(struct in *in)
{
	uint64_t v = in_varint(in);

	return (int64_t)(v >> 1 ^ (~(v & 1) + 1));
}

static inline struct bytes
in_bytes(struct in *in, uint64_t max)
{
	uint64_t n = in_varint(in);
	struct bytes b = {in->p, (size_t)n};

	if (in->bad || n > max || n > (uint64_t)(in->end - in->p)) {
		in->bad = true;
		return (struct bytes){NULL, 0};
	}
	in->p += n;
	return b;
}

static inline char *
out_varint(char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (char)(v | 0x80);
	*p++ = (char)v;
	return p;
}

static inline char *
out_signed(char *p, int64_t v)
{
	return out_varint(p, (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0));
}

static inline char *
out_bytes(char *p, struct bytes b)
{
	p = out_varint(p, b.n);
	if (b.n)
		memcpy(p, b.p, b.n);
	return p + b.n;
}

#endif
