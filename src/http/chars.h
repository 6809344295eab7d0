/*
 * Classes of bytes, and what the files of this room share below their public
 * headers. Pure.
 */
#ifndef HTTP_CHARS_H
#define HTTP_CHARS_H

#include "http/head.h"

enum {
	HTTP_C_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
	HTTP_C_HOST = 2,   /* letters, digits, "-", ".", "_" */
	HTTP_C_TARGET = 4, /* visible ASCII but "#" */
	HTTP_C_ETAG = 8,   /* etagc, RFC 9110 8.8.3 */
	HTTP_C_HEX = 16,
	HTTP_C_DIGIT = 32,
	HTTP_C_ALPHA = 64,
};

extern const uint8_t http_class[256];

static inline bool
http_is(char c, unsigned classes)
{
	return (http_class[(unsigned char)c] & classes) != 0;
}

/* How many bytes at the start are of these classes. */
static inline size_t
http_span(struct bytes b, unsigned classes)
{
	size_t n = 0;

	while (n < b.n && http_is(b.p[n], classes))
		n++;
	return n;
}

/* How many bytes at the start may stand in a line: all but controls; HTAB and
 * obs-text may. */
size_t http_text_span(struct bytes b);

/* Takes a line with its CRLF off *rest. False: a bare CR or LF, another
 * control, or no end. */
bool http_line(struct bytes *rest, struct bytes *line);

/* One field line without its CRLF, already free of controls. NULL, or what is
 * wrong with it. */
const char *http_field_line(struct bytes line, struct http_field *out);

/* 0 to 15; c must be HTTP_C_HEX. */
static inline unsigned
http_hex(char c)
{
	return http_is(c, HTTP_C_DIGIT) ? (unsigned)(c - '0')
					: (unsigned)((c | 0x20) - 'a' + 10);
}

#endif
