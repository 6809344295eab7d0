/*
 * Which fields pass, and the buffer that heads are written into.
 */
#include "http/forward.h"

#include <stdio.h>

#include "http/list.h"

#define BIT(id) (UINT64_C(1) << HTTP_F_##id)

/* RFC 9110 7.6.1, 11.7 and what was used so before it. */
static const uint64_t hop_by_hop =
    BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) |
    BIT(PROXY_AUTHENTICATE) | BIT(PROXY_AUTHORIZATION) |
    BIT(PROXY_AUTHENTICATION_INFO) | BIT(TE) | BIT(TRAILER) |
    BIT(TRANSFER_ENCODING) | BIT(UPGRADE) | BIT(HTTP2_SETTINGS);

/*
 * Of the known end-to-end fields, only preferences of a client go when
 * Connection names them. The rest decides what is answered, to whom, and for
 * how long: RFC 9110 7.6.1 forbids to name such ones, and who could make them
 * vanish on the way would get around the origin's rules (CVE-2022-31813) or
 * have a response stored without its Cache-Control.
 */
static const uint64_t droppable = BIT(ACCEPT) | BIT(ACCEPT_ENCODING) |
				  BIT(ACCEPT_LANGUAGE) | BIT(REFERER) |
				  BIT(USER_AGENT);

/* What frames a message, or is for one hop, to those who read CGI's variables
 * alone. */
static bool
is_disguised(struct bytes name)
{
	enum http_field_id id = http_field_alias(name);

	return id < HTTP_F_OTHER &&
	       ((hop_by_hop | BIT(CONTENT_LENGTH)) & UINT64_C(1) << id) != 0;
}

bool
http_field_passes(const struct http_head *head, const struct http_field *field)
{
	if (field->id < HTTP_F_OTHER) {
		uint64_t bit = UINT64_C(1) << field->id;

		if (hop_by_hop & bit)
			return false;
		if (!(droppable & bit))
			return true;
	} else if (is_disguised(field->name)) {
		return false;
	}
	return !http_connection_has(head, field->name);
}

void
http_out_init(struct http_out *out, struct arena *arena, size_t guess)
{
	*out = (struct http_out){.arena = arena, .size = guess ? guess : 64};
	out->p = arena_alloc(arena, out->size);
	out->failed = out->p == NULL;
}

static bool
reserve(struct http_out *out, size_t n)
{
	size_t size = out->size;
	char *p;

	if (out->failed)
		return false;
	if (n <= size - out->n)
		return true;
	if (n > SIZE_MAX / 4 || size > SIZE_MAX / 4) {
		out->failed = true;
		return false;
	}
	while (size - out->n < n)
		size *= 2;
	p = arena_alloc(out->arena, size);
	if (p == NULL) {
		out->failed = true;
		return false;
	}
	memcpy(p, out->p, out->n);
	out->p = p;
	out->size = size;
	return true;
}

void
http_out_bytes(struct http_out *out, struct bytes b)
{
	if (b.n == 0 || !reserve(out, b.n))
		return;
	memcpy(out->p + out->n, b.p, b.n);
	out->n += b.n;
}

void
http_out_str(struct http_out *out, const char *s)
{
	http_out_bytes(out, bytes_str(s));
}

void
http_out_u64(struct http_out *out, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	http_out_bytes(out, (struct bytes){digits + at, sizeof(digits) - at});
}

void
http_out_field(struct http_out *out, struct bytes name, struct bytes value)
{
	if (!reserve(out, name.n + value.n + 4))
		return;
	http_out_bytes(out, name);
	http_out_bytes(out, BYTES(": "));
	http_out_bytes(out, value);
	http_out_bytes(out, BYTES("\r\n"));
}

struct bytes
http_out_done(struct http_out *out)
{
	if (out->failed)
		return (struct bytes){NULL, 0};
	return (struct bytes){out->p, out->n};
}

struct bytes
http_trailers_write(struct bytes lines, const struct http_head *head,
    const struct http_limits *limits, struct arena *arena)
{
	struct http_head trailers;
	struct http_fault fault;
	struct http_out out;

	if (lines.n == 0)
		return BYTES("");
	http_out_init(&out, arena, lines.n);
	if (http_parse_fields(lines, limits, arena, &trailers, &fault) < 0)
		return (struct bytes){NULL, 0};
	http_each_field (field, &trailers)
		if (!http_connection_has(head, field->name))
			http_out_field(&out, field->name, field->value);
	return http_out_done(&out);
}
