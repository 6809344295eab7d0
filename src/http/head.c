/*
 * Start lines and header sections of HTTP/1.x (RFC 9112 2 to 5), strictly: a
 * head has one meaning, or is refused with a fault that says why.
 */
#include "http/chars.h"

/* Longer methods are nobody's; RFC 9112 3 asks for 501. */
#define METHOD_MAX   32
/* Fields kept on the stack before it is known how many there are. */
#define FIELDS_FIRST 48
/* Each field is held against each option of Connection: this bounds it. */
#define OPTIONS_MAX  64

enum kind { REQUEST, RESPONSE, TRAILERS };

/* What the functions below work on. */
struct parse {
	enum kind kind;
	struct bytes rest;
	const struct http_limits *limits;
	struct arena *arena;
	struct http_head *out;
	struct http_fault *fault;
};

static int
refuse(struct parse *p, int err, int status, const char *text)
{
	*p->fault =
	    (struct http_fault){p->kind == RESPONSE ? 502 : status, text};
	return err;
}

static int
invalid(struct parse *p, const char *text)
{
	return refuse(p, LARDER_INVALID, 400, text);
}

static enum http_method
method_of(struct bytes m)
{
	static const struct {
		struct bytes name;
		enum http_method method;
	} known[] = {
	    {{"GET", 3}, HTTP_GET},
	    {{"HEAD", 4}, HTTP_HEAD},
	    {{"POST", 4}, HTTP_POST},
	    {{"PUT", 3}, HTTP_PUT},
	    {{"DELETE", 6}, HTTP_DELETE},
	    {{"PATCH", 5}, HTTP_PATCH},
	    {{"OPTIONS", 7}, HTTP_OPTIONS},
	    {{"TRACE", 5}, HTTP_TRACE},
	    {{"CONNECT", 7}, HTTP_CONNECT},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (bytes_eq(known[i].name, m))
			return known[i].method;
	return HTTP_OTHER_METHOD;
}

/* HTTP-version (RFC 9112 2.3): exactly eight bytes, in upper case. */
static int
version(struct parse *p, struct bytes v)
{
	if (v.n != 8 || !bytes_starts(v, BYTES("HTTP/")) ||
	    !http_is(v.p[5], HTTP_C_DIGIT) || v.p[6] != '.' ||
	    !http_is(v.p[7], HTTP_C_DIGIT))
		return invalid(p, "the HTTP version is malformed");
	if (v.p[5] != '1')
		return refuse(p, LARDER_INVALID, 505,
		    "only HTTP/1.0 and HTTP/1.1 are spoken here");
	p->out->minor = v.p[7] == '0' ? 0 : 1;
	return 0;
}

/* method SP request-target SP HTTP-version (RFC 9112 3), each SP one. */
static int
request_line(struct parse *p, struct bytes line)
{
	struct http_head *out = p->out;
	size_t n = http_span(line, HTTP_C_TOKEN);

	if (line.n > p->limits->line)
		return refuse(
		    p, LARDER_TOOBIG, 414, "the request line is too long");
	if (n == 0 || n == line.n || line.p[n] != ' ')
		return invalid(p, "the method is not a token and one space");
	if (n > METHOD_MAX)
		return refuse(p, LARDER_INVALID, 501, "the method is unknown");
	out->method_text = (struct bytes){line.p, n};
	out->method = method_of(out->method_text);
	line = bytes_skip(line, n + 1);
	n = http_span(line, HTTP_C_TARGET);
	if (n < line.n && line.p[n] == '#')
		return invalid(p, "a fragment in the request target");
	if (n == 0 || n == line.n || line.p[n] != ' ')
		return invalid(p,
		    "the request target is no URI: bytes beyond visible ASCII "
		    "are to be percent-encoded");
	out->target = (struct bytes){line.p, n};
	return version(p, bytes_skip(line, n + 1));
}

/*
 * HTTP-version SP 3DIGIT SP [reason-phrase] (RFC 9112 4). That the last SP is
 * left out with an empty phrase is common, allowed to recipients by 4, and has
 * one meaning.
 */
static int
status_line(struct parse *p, struct bytes line)
{
	struct http_head *out = p->out;
	int err;

	if (line.n < 12 || line.p[8] != ' ' ||
	    (line.n > 12 && line.p[12] != ' '))
		return invalid(p, "the status line is malformed");
	err = version(p, (struct bytes){line.p, 8});
	if (err < 0)
		return err;
	if (http_span((struct bytes){line.p + 9, 3}, HTTP_C_DIGIT) != 3 ||
	    line.p[9] == '0')
		return invalid(p, "the status code is malformed");
	out->status = (line.p[9] - '0') * 100 + (line.p[10] - '0') * 10 +
		      (line.p[11] - '0');
	out->reason = bytes_skip(line, 13);
	return 0;
}

static int
connection_options(struct parse *p)
{
	const struct http_field *field = NULL;
	unsigned n = 0;

	while ((field = http_next(p->out, HTTP_F_CONNECTION, field)) != NULL) {
		n++;
		for (size_t i = 0; i < field->value.n; i++)
			n += field->value.p[i] == ',';
	}
	if (n > OPTIONS_MAX)
		return refuse(
		    p, LARDER_TOOBIG, 431, "Connection names too many fields");
	return 0;
}

/* Appends to out->fields, which begins on the caller's stack. */
static int
add_field(struct parse *p, unsigned *room, const struct http_field *field)
{
	struct http_head *out = p->out;

	if (out->count >= p->limits->fields)
		return refuse(p, LARDER_TOOBIG, 431, "too many fields");
	if (out->count == *room) {
		struct http_field *more =
		    arena_alloc(p->arena, p->limits->fields * sizeof(*more));

		if (more == NULL)
			return refuse(p, LARDER_NOMEM, 431,
			    "the header section is too large");
		memcpy(more, out->fields, out->count * sizeof(*more));
		out->fields = more;
		*room = p->limits->fields;
	}
	out->fields[out->count++] = *field;
	if (field->id < HTTP_F_OTHER)
		out->present |= UINT64_C(1) << field->id;
	return 0;
}

/* All lines up to the empty one, or (trailers) up to the end. */
static int
field_lines(struct parse *p, unsigned *room)
{
	struct http_field field;
	struct bytes line;
	const char *wrong;
	int err;

	for (;;) {
		if (p->kind == TRAILERS && p->rest.n == 0)
			return 0;
		if (!http_line(&p->rest, &line))
			return invalid(
			    p, "a control character, or a CR or LF alone");
		if (line.n == 0 && p->kind != TRAILERS)
			break;
		if (p->limits->field > 0 && line.n > p->limits->field)
			return refuse(
			    p, LARDER_TOOBIG, 431, "a field is too long");
		wrong = http_field_line(line, &field);
		if (wrong != NULL)
			return invalid(p, wrong);
		err = add_field(p, room, &field);
		if (err < 0)
			return err;
	}
	if (p->rest.n != 0)
		return invalid(p, "bytes behind the header section");
	return 0;
}

static int
header_section(struct parse *p)
{
	struct http_field first[FIELDS_FIRST], *kept;
	struct http_head *out = p->out;
	unsigned room = FIELDS_FIRST;
	int err;

	out->fields = first;
	err = field_lines(p, &room);
	if (err == 0)
		err = connection_options(p);
	if (err == 0 && out->fields == first) {
		kept = arena_alloc(p->arena, out->count * sizeof(*kept));
		if (kept == NULL)
			err = refuse(p, LARDER_NOMEM, 431,
			    "the header section is too large");
		else if (out->count > 0)
			memcpy(kept, first, out->count * sizeof(*kept));
		out->fields = kept;
	}
	if (err < 0) {
		/* Nothing may point into this frame. */
		out->fields = NULL;
		out->count = 0;
		out->present = 0;
	}
	return err;
}

static int
head(struct parse *p)
{
	struct bytes line;
	int err;

	*p->out = (struct http_head){.method = HTTP_OTHER_METHOD};
	if (p->rest.n > p->limits->head)
		return refuse(
		    p, LARDER_TOOBIG, 431, "the header section is too large");
	if (p->kind != TRAILERS) {
		if (!http_line(&p->rest, &line))
			return invalid(
			    p, "a control character, or a CR or LF alone");
		err = p->kind == REQUEST ? request_line(p, line)
					 : status_line(p, line);
		if (err < 0)
			return err;
	}
	return header_section(p);
}

int
http_parse_request(struct bytes in, const struct http_limits *limits,
    struct arena *arena, struct http_head *out, struct http_fault *fault)
{
	struct parse p = {REQUEST, in, limits, arena, out, fault};

	/* As http_head_scan() counted them in. */
	for (int i = 0; i < 4 && bytes_starts(p.rest, BYTES("\r\n")); i++)
		p.rest = bytes_skip(p.rest, 2);
	return head(&p);
}

int
http_parse_response(struct bytes in, const struct http_limits *limits,
    struct arena *arena, struct http_head *out, struct http_fault *fault)
{
	struct parse p = {RESPONSE, in, limits, arena, out, fault};

	return head(&p);
}

int
http_parse_fields(struct bytes in, const struct http_limits *limits,
    struct arena *arena, struct http_head *out, struct http_fault *fault)
{
	struct parse p = {TRAILERS, in, limits, arena, out, fault};

	return head(&p);
}
