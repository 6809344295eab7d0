/*
 * The classes of bytes, as one table that the compiler computes, and the scan
 * for the end of a line, eight bytes at a time.
 */
#include "http/chars.h"

#define ALPHA(c) ((((c) | 32) >= 'a') && (((c) | 32) <= 'z'))
#define DIGIT(c) ((c) >= '0' && (c) <= '9')
#define HEX(c)	 (DIGIT(c) || ((((c) | 32) >= 'a') && (((c) | 32) <= 'f')))
#define TCHAR(c)                                                              \
	(ALPHA(c) || DIGIT(c) || (c) == '!' || ((c) >= '#' && (c) <= '\'') || \
	    (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' ||           \
	    (c) == '^' || (c) == '_' || (c) == '`' || (c) == '|' ||           \
	    (c) == '~')
#define HOST(c)	  (ALPHA(c) || DIGIT(c) || (c) == '-' || (c) == '.' || (c) == '_')
#define TARGET(c) ((c) > 0x20 && (c) < 0x7f && (c) != '#')
#define ETAGC(c)  ((c) == 0x21 || ((c) >= 0x23 && (c) != 0x7f))

#define C1(c)                                                                \
	((TCHAR(c) ? HTTP_C_TOKEN : 0) | (HOST(c) ? HTTP_C_HOST : 0) |       \
	    (TARGET(c) ? HTTP_C_TARGET : 0) | (ETAGC(c) ? HTTP_C_ETAG : 0) | \
	    (HEX(c) ? HTTP_C_HEX : 0) | (DIGIT(c) ? HTTP_C_DIGIT : 0) |      \
	    (ALPHA(c) ? HTTP_C_ALPHA : 0))
#define C4(c)  C1(c), C1((c) + 1), C1((c) + 2), C1((c) + 3)
#define C16(c) C4(c), C4((c) + 4), C4((c) + 8), C4((c) + 12)
#define C64(c) C16(c), C16((c) + 16), C16((c) + 32), C16((c) + 48)

const uint8_t http_class[256] = {C64(0), C64(64), C64(128), C64(192)};

static bool
is_text(char c)
{
	unsigned char u = (unsigned char)c;

	return (u >= 0x20 && u != 0x7f) || u == '\t';
}

size_t
http_text_span(struct bytes b)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	size_t at = 0;

	for (; b.n - at >= 8; at += 8) {
		uint64_t x, low, del;

		memcpy(&x, b.p + at, 8);
		/* Bytes below 0x20, and bytes that are 0x7f: exact as to
		 * whether there is one; the loop below says which. */
		low = (x - ones * 0x20) & ~x;
		del = ((x ^ ones * 0x7f) - ones) & ~(x ^ ones * 0x7f);
		if (((low | del) & ones * 0x80) == 0)
			continue;
		for (size_t i = 0; i < 8; i++)
			if (!is_text(b.p[at + i]))
				return at + i;
	}
	while (at < b.n && is_text(b.p[at]))
		at++;
	return at;
}

bool
http_line(struct bytes *rest, struct bytes *line)
{
	size_t n = http_text_span(*rest);

	if (rest->n - n < 2 || rest->p[n] != '\r' || rest->p[n + 1] != '\n')
		return false;
	*line = (struct bytes){rest->p, n};
	*rest = bytes_skip(*rest, n + 2);
	return true;
}

const char *
http_field_line(struct bytes line, struct http_field *out)
{
	size_t n = http_span(line, HTTP_C_TOKEN);

	if (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
		/* RFC 9112 5.1 and 5.2: both have been read in two ways. */
		return n == 0 ? "a field is folded over two lines"
			      : "white space between a field's name and colon";
	if (n == 0 || n == line.n || line.p[n] != ':')
		return "a field's name is not a token";
	out->name = (struct bytes){line.p, n};
	out->value = bytes_trim(bytes_skip(line, n + 1));
	out->id = http_field_id(out->name);
	return NULL;
}
