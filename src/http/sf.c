/*
 * RFC 8941 4.2, the parts that a dictionary needs. Each function takes its
 * piece off the front of *b and returns false where the RFC says to fail.
 */
#include "http/sf.h"

#include "http/chars.h"

static bool
at(const struct bytes *b, char c)
{
	return b->n > 0 && b->p[0] == c;
}

static bool
take(struct bytes *b, char c)
{
	if (!at(b, c))
		return false;
	*b = bytes_skip(*b, 1);
	return true;
}

static void
skip_spaces(struct bytes *b, bool tabs)
{
	while (take(b, ' ') || (tabs && take(b, '\t')))
		;
}

/* 4.2.3.3 */
static bool
key(struct bytes *b, struct bytes *out)
{
	size_t n = 0;

	for (; n < b->n; n++) {
		char c = b->p[n];
		bool first = c == '*' || (c >= 'a' && c <= 'z');

		if (!first && (n == 0 || !(http_is(c, HTTP_C_DIGIT) ||
					     c == '_' || c == '-' || c == '.')))
			break;
	}
	*out = (struct bytes){b->p, n};
	*b = bytes_skip(*b, n);
	return n > 0;
}

/* 4.2.4: 15 digits, or 12 and 3 behind the point. */
static bool
number(struct bytes *b, struct http_sf_member *out)
{
	bool negative = take(b, '-');
	size_t n = http_span(*b, HTTP_C_DIGIT);

	if (n == 0 || n > 15)
		return false;
	out->integer = 0;
	for (size_t i = 0; i < n; i++)
		out->integer = out->integer * 10 + (b->p[i] - '0');
	if (negative)
		out->integer = -out->integer;
	*b = bytes_skip(*b, n);
	out->type = HTTP_SF_INTEGER;
	if (!take(b, '.'))
		return true;
	out->type = HTTP_SF_DECIMAL;
	if (n > 12)
		return false;
	n = http_span(*b, HTTP_C_DIGIT);
	*b = bytes_skip(*b, n);
	return n >= 1 && n <= 3;
}

/* 4.2.5, behind its first quote. */
static bool
string(struct bytes *b, struct http_sf_member *out)
{
	out->type = HTTP_SF_STRING;
	for (size_t n = 0; n < b->n; n++) {
		char c = b->p[n];

		if (c == '"') {
			out->text = (struct bytes){b->p, n};
			*b = bytes_skip(*b, n + 1);
			return true;
		}
		if (c < 0x20 || c > 0x7e) /* 0x80 and above: char or not */
			return false;
		if (c == '\\' &&
		    (++n == b->n || (b->p[n] != '"' && b->p[n] != '\\')))
			return false;
	}
	return false;
}

/* 4.2.6 */
static bool
token(struct bytes *b, struct http_sf_member *out)
{
	size_t n = 0;

	while (n < b->n && (http_is(b->p[n], HTTP_C_TOKEN) || b->p[n] == ':' ||
			       b->p[n] == '/'))
		n++;
	out->type = HTTP_SF_TOKEN;
	out->text = (struct bytes){b->p, n};
	*b = bytes_skip(*b, n);
	return true;
}

/* 4.2.7, behind its first colon. */
static bool
binary(struct bytes *b, struct http_sf_member *out)
{
	out->type = HTTP_SF_BINARY;
	while (b->n > 0 && (http_is(b->p[0], HTTP_C_ALPHA | HTTP_C_DIGIT) ||
			       at(b, '+') || at(b, '/') || at(b, '=')))
		*b = bytes_skip(*b, 1);
	return take(b, ':');
}

/* 4.2.3.1 */
static bool
bare_item(struct bytes *b, struct http_sf_member *out)
{
	if (b->n == 0)
		return false;
	if (at(b, '-') || http_is(b->p[0], HTTP_C_DIGIT))
		return number(b, out);
	if (take(b, '"'))
		return string(b, out);
	if (at(b, '*') || http_is(b->p[0], HTTP_C_ALPHA))
		return token(b, out);
	if (take(b, ':'))
		return binary(b, out);
	if (!take(b, '?'))
		return false;
	out->type = HTTP_SF_BOOLEAN;
	out->boolean = at(b, '1');
	return take(b, '0') || take(b, '1');
}

/* 4.2.3.2 */
static bool
parameters(struct bytes *b)
{
	struct http_sf_member ignored;

	while (take(b, ';')) {
		skip_spaces(b, false);
		if (!key(b, &ignored.key))
			return false;
		if (take(b, '=') && !bare_item(b, &ignored))
			return false;
	}
	return true;
}

/* 4.2.1.2, behind its first parenthesis. */
static bool
inner_list(struct bytes *b)
{
	struct http_sf_member ignored;

	for (;;) {
		skip_spaces(b, false);
		if (take(b, ')'))
			return true;
		if (!bare_item(b, &ignored) || !parameters(b))
			return false;
		if (!at(b, ' ') && !at(b, ')'))
			return false;
	}
}

/* One member of 4.2.2, with its parameters. */
static bool
member(struct bytes *b, struct http_sf_member *out)
{
	*out =
	    (struct http_sf_member){.type = HTTP_SF_BOOLEAN, .boolean = true};
	if (!key(b, &out->key))
		return false;
	if (take(b, '=')) {
		if (take(b, '(')) {
			out->type = HTTP_SF_INNER_LIST;
			if (!inner_list(b))
				return false;
		} else if (!bare_item(b, out)) {
			return false;
		}
	}
	return parameters(b);
}

/* What stands between two members, or behind the last. */
static bool
separator(struct bytes *b)
{
	struct bytes end = *b;

	/* The field's trailing spaces are dropped first (4.2); http/head.c
	 * has done so with tabs as well. */
	skip_spaces(&end, true);
	*b = end;
	if (b->n == 0)
		return true;
	if (!take(b, ','))
		return false;
	skip_spaces(b, true);
	return b->n > 0; /* no comma at the end */
}

void
http_sf_init(
    struct http_sf *sf, const struct http_head *head, enum http_field_id id)
{
	*sf = (struct http_sf){.head = head, .id = id, .rest = {"", 0}};
}

bool
http_sf_next(struct http_sf *sf, struct http_sf_member *out)
{
	if (sf->failed)
		return false;
	if (sf->rest.n == 0) {
		sf->line = http_next(sf->head, sf->id, sf->line);
		if (sf->line == NULL) {
			sf->id = HTTP_F_OTHER;
			return false;
		}
		sf->rest = sf->line->value;
		/* Lines are joined by a comma (4.2): an empty one among
		 * several leaves an empty member, which there is not. */
		if (sf->rest.n == 0) {
			sf->failed = http_count(sf->head, sf->id) > 1;
			return false;
		}
	}
	if (member(&sf->rest, out) && separator(&sf->rest))
		return true;
	sf->failed = true;
	return false;
}
