/*
 * Finding a head's end in what came so far. Each byte is looked at once over
 * all calls; a head that cannot become a good one is refused before its end.
 */
#include "http/chars.h"

/* RFC 9112 2.2: a server should skip at least one empty line before a request;
 * a flood of them is not a request. */
#define EMPTY_LINES 4

static int
refuse(struct http_fault *fault, bool request, int err, int status,
    const char *text)
{
	*fault = (struct http_fault){request ? status : 502, text};
	return err;
}

/* Where the start line begins. */
static size_t
start_line(struct bytes in, bool request)
{
	size_t at = 0;

	while (request && at < EMPTY_LINES * 2 && in.n - at >= 2 &&
	       in.p[at] == '\r' && in.p[at + 1] == '\n')
		at += 2;
	return at;
}

/* in: the text seen so far. */
static int
check_size(struct bytes in, const struct http_limits *limits, bool request,
    struct http_fault *fault)
{
	struct bytes first = bytes_skip(in, start_line(in, request));

	if (first.n > limits->line) {
		first.n = limits->line + 1;
		if (memchr(first.p, '\r', first.n) == NULL)
			return refuse(fault, request, LARDER_TOOBIG, 414,
			    "the start line is too long");
	}
	if (in.n > limits->head)
		return refuse(fault, request, LARDER_TOOBIG, 431,
		    "the header section is too large");
	return 0;
}

/* The line that ends in CRLF at `at` is empty: is it the one behind the
 * head? */
static int
on_empty_line(
    struct bytes in, size_t at, bool request, struct http_fault *fault)
{
	size_t start = start_line(in, request);

	if (at < start)
		return LARDER_AGAIN;
	if (at == start)
		return refuse(fault, request, LARDER_INVALID, 400,
		    "an empty line in place of a start line");
	return 0;
}

/* Who speaks something else may never end its first line, nor go away. */
static bool
speaks_http(struct bytes in)
{
	const struct bytes name = BYTES("HTTP/");

	return bytes_starts(name, in) || bytes_starts(in, name);
}

int
http_head_scan(struct bytes in, const struct http_limits *limits, bool request,
    size_t *scanned, size_t *size, struct http_fault *fault)
{
	size_t at = *scanned;
	int err;

	if (!request && !speaks_http(in))
		return refuse(fault, request, LARDER_INVALID, 400,
		    "an answer that does not begin with HTTP/");
	for (;;) {
		at += http_text_span(bytes_skip(in, at));
		err = check_size(
		    (struct bytes){in.p, at}, limits, request, fault);
		if (err < 0)
			return err;
		*scanned = at;
		if (at == in.n || (in.p[at] == '\r' && at + 1 == in.n))
			return LARDER_AGAIN;
		if (in.p[at] != '\r' || in.p[at + 1] != '\n')
			return refuse(fault, request, LARDER_INVALID, 400,
			    "a control character, or a CR or LF alone");
		if (at == 0 || in.p[at - 1] == '\n') {
			err = on_empty_line(in, at, request, fault);
			if (err == 0)
				break;
			if (err != LARDER_AGAIN)
				return err;
		}
		at += 2;
	}
	*size = at + 2;
	return check_size((struct bytes){in.p, *size}, limits, request, fault);
}
