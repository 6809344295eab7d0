/*
 * The chunked coding (RFC 9112 7.1), byte by byte between the chunks' data, as
 * it comes:
 *
 *   SIZE_FIRST -> SIZE -> [extension states] -> SIZE_LF -> DATA -> DATA_CR
 *       ^                                          |                  |
 *       |                                          | size 0           v
 *       +------------------------------------------|--------------- DATA_LF
 *                                                  v
 *               LINE (a trailer line) <-> LINE_FIRST -> LAST_LF -> DONE
 *
 * and from anywhere to BROKEN. size_byte() moves the first row,
 * extension_byte() within the brackets, trailer_byte() the last row. Line ends
 * are CRLF and nothing else.
 */
#include "http/chunk.h"

#include <stdlib.h>

#include "http/chars.h"

enum state {
	SIZE_FIRST, /* 0: a new struct begins here */
	SIZE,
	EXT_SPACE, /* bad white space before ";" */
	EXT_NAME_FIRST,
	EXT_NAME,
	EXT_NAME_SPACE, /* ... before "=" or ";" */
	EXT_VALUE_FIRST,
	EXT_TOKEN,
	EXT_QUOTED,
	EXT_ESCAPED,
	EXT_QUOTED_END,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	LINE_FIRST,
	LINE,
	LAST_LF,
	DONE,
	BROKEN, /* for good: http_chunk_next() */
};

/* What may follow a chunk's size, an extension's name or its value. */
static int
end_of_word(struct http_body *body, char c, enum state space)
{
	if (c == '\r')
		body->state = SIZE_LF;
	else if (c == ';')
		body->state = EXT_NAME_FIRST;
	else if (c == ' ' || c == '\t')
		body->state = (int)space;
	else
		return LARDER_INVALID;
	return 0;
}

/* White space that must be over before `next` starts with a byte for which
 * `good` holds. */
static int
first_byte(struct http_body *body, char c, bool good, enum state next)
{
	if (c == ' ' || c == '\t')
		return 0;
	body->state = (int)next;
	return good ? 0 : LARDER_INVALID;
}

/* Of a quoted string's inside; c is no control but HTAB. */
static int
quoted_byte(struct http_body *body, char c)
{
	if (http_text_span((struct bytes){&c, 1}) == 0)
		return LARDER_INVALID;
	if (body->state == EXT_ESCAPED)
		body->state = EXT_QUOTED;
	else if (c == '\\')
		body->state = EXT_ESCAPED;
	else if (c == '"')
		body->state = EXT_QUOTED_END;
	return 0;
}

/* *( BWS ";" BWS name [ BWS "=" BWS value ] ), RFC 9112 7.1.1; all is
 * dropped, but what does not parse could be cut elsewhere by others. */
static int
extension_byte(struct http_body *body, char c)
{
	bool token = http_is(c, HTTP_C_TOKEN);

	if (++body->extra > HTTP_CHUNK_EXT_MAX)
		return LARDER_INVALID;
	switch ((enum state)body->state) {
	case EXT_SPACE:
		return first_byte(body, c, c == ';', EXT_NAME_FIRST);
	case EXT_NAME_FIRST:
		return first_byte(body, c, token, EXT_NAME);
	case EXT_NAME:
		if (token)
			return 0;
		if (c != '=')
			return end_of_word(body, c, EXT_NAME_SPACE);
		body->state = EXT_VALUE_FIRST;
		return 0;
	case EXT_NAME_SPACE:
		return first_byte(body, c, c == ';' || c == '=',
		    c == ';' ? EXT_NAME_FIRST : EXT_VALUE_FIRST);
	case EXT_VALUE_FIRST:
		return first_byte(body, c, token || c == '"',
		    c == '"' ? EXT_QUOTED : EXT_TOKEN);
	case EXT_TOKEN:
		return token ? 0 : end_of_word(body, c, EXT_SPACE);
	case EXT_QUOTED_END:
		return end_of_word(body, c, EXT_SPACE);
	case EXT_QUOTED:
	case EXT_ESCAPED:
		return quoted_byte(body, c);
	case SIZE_FIRST:
	case SIZE:
	case SIZE_LF:
	case DATA:
	case DATA_CR:
	case DATA_LF:
	case LINE_FIRST:
	case LINE:
	case LAST_LF:
	case DONE:
	case BROKEN:
		break;
	}
	return LARDER_INVALID;
}

static int
digit(struct http_body *body, char c)
{
	if (++body->digits > 16 || body->left > (uint64_t)INT64_MAX >> 4)
		return LARDER_INVALID;
	body->left = body->left << 4 | http_hex(c);
	return 0;
}

static int
end_of_size(struct http_body *body)
{
	if (body->left > (uint64_t)INT64_MAX - body->total)
		return LARDER_INVALID;
	body->state = body->left > 0 ? DATA : LINE_FIRST;
	return 0;
}

/*
 * RFC 9110 6.5.1: what frames, routes, authenticates, modifies the request or
 * says how to read the content is no trailer. That is all fields larder knows
 * but ETag, and these, for who merges trailers into the head all the same.
 * Digests of the content are what trailers are for (RFC 9530).
 */
static bool
may_trail(const struct http_field *field)
{
	static const char *const never[] = {"Access-Control-", "Content-",
	    "Cookie", "Forwarded", "Proxy-", "Retry-After", "Sec-",
	    "Set-Cookie", "Warning", "X-Forwarded-", "X-HTTP-Method",
	    "X-Original-", "X-Rewrite-"};

	if (field->id < HTTP_F_OTHER)
		return field->id == HTTP_F_ETAG;
	if (bytes_ieq(field->name, BYTES("Content-Digest")) ||
	    bytes_ieq(field->name, BYTES("Content-MD5")))
		return true;
	for (size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
		struct bytes text = bytes_str(never[i]), start = field->name;

		if (start.n > text.n)
			start.n = text.n;
		if (bytes_ieq(start, text))
			return false;
	}
	return true;
}

/*
 * A line of the trailer section is complete in the buffer: keep it, drop it, or
 * refuse the message where other hops could act upon it.
 */
static int
end_of_line(struct http_body *body)
{
	struct bytes line = {
	    body->trailers + body->trailers_size, body->trailers_line};
	struct http_field field;

	body->trailers_line = 0;
	body->state = LINE_FIRST;
	if (line.n < 2 || line.p[line.n - 2] != '\r')
		return LARDER_INVALID;
	line.n -= 2;
	if (http_text_span(line) < line.n || http_field_line(line, &field))
		return LARDER_INVALID;
	field.id = http_field_alias(field.name);
	if (field.id == HTTP_F_TRANSFER_ENCODING ||
	    field.id == HTTP_F_CONTENT_LENGTH || field.id == HTTP_F_HOST)
		return LARDER_INVALID;
	if (may_trail(&field))
		body->trailers_size += (uint32_t)line.n + 2;
	return 0;
}

static int
trailer_byte(struct http_body *body, char c)
{
	if (body->state == LAST_LF) {
		body->state = DONE;
		return c == '\n' ? 0 : LARDER_INVALID;
	}
	if (body->state == LINE_FIRST && c == '\r') {
		body->state = LAST_LF;
		return 0;
	}
	body->state = LINE;
	if (++body->trailers_seen > HTTP_TRAILERS_MAX)
		return LARDER_INVALID;
	if (body->trailers == NULL) {
		body->trailers = malloc(HTTP_TRAILERS_MAX);
		if (body->trailers == NULL)
			return LARDER_INVALID;
	}
	/* size + line <= seen <= HTTP_TRAILERS_MAX */
	body->trailers[body->trailers_size + body->trailers_line++] = c;
	return c == '\n' ? end_of_line(body) : 0;
}

static int
size_byte(struct http_body *body, char c)
{
	switch ((enum state)body->state) {
	case SIZE_FIRST:
		body->left = 0;
		body->digits = 0;
		body->state = SIZE;
		return http_is(c, HTTP_C_HEX) ? digit(body, c) : LARDER_INVALID;
	case SIZE:
		return http_is(c, HTTP_C_HEX) ? digit(body, c)
					      : end_of_word(body, c, EXT_SPACE);
	case SIZE_LF:
		return c == '\n' ? end_of_size(body) : LARDER_INVALID;
	case DATA_CR:
		body->state = DATA_LF;
		return c == '\r' ? 0 : LARDER_INVALID;
	case DATA_LF:
		body->state = SIZE_FIRST;
		return c == '\n' ? 0 : LARDER_INVALID;
	case LINE_FIRST:
	case LINE:
	case LAST_LF:
		return trailer_byte(body, c);
	case EXT_SPACE:
	case EXT_NAME_FIRST:
	case EXT_NAME:
	case EXT_NAME_SPACE:
	case EXT_VALUE_FIRST:
	case EXT_TOKEN:
	case EXT_QUOTED:
	case EXT_ESCAPED:
	case EXT_QUOTED_END:
		return extension_byte(body, c);
	case DATA:
	case DONE:
	case BROKEN:
		break;
	}
	return LARDER_INVALID;
}

static int
chunk_data(
    struct http_body *body, struct bytes in, size_t *used, struct bytes *data)
{
	size_t n = in.n < body->left ? in.n : (size_t)body->left;

	*data = (struct bytes){in.p, n};
	*used += n;
	body->left -= n;
	body->total += n;
	if (body->left == 0)
		body->state = DATA_CR;
	return 0;
}

int
http_chunk_next(
    struct http_body *body, struct bytes in, size_t *used, struct bytes *data)
{
	while (body->state != DONE) {
		int err;

		if (*used == in.n)
			return LARDER_AGAIN;
		if (body->state == DATA)
			return chunk_data(
			    body, bytes_skip(in, *used), used, data);
		err = size_byte(body, in.p[(*used)++]);
		if (err < 0) {
			body->state = BROKEN;
			return err;
		}
	}
	return LARDER_ABSENT;
}

bool
http_chunk_done(const struct http_body *body)
{
	return body->state == DONE;
}
