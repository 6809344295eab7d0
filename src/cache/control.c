/*
 * Cache-Control. Each known directive is one row of a table: its name, what it
 * takes, and where that goes. What is doubtful goes to the side of storing and
 * reusing less.
 */
#include "cache/control.h"

#include <stddef.h>

#include "http/chars.h"
#include "http/list.h"
#include "http/sf.h"

enum kind {
	FLAG,	/* an argument is ignored: it does not weaken what restricts,
		 * and RFC 8246 2 says so of immutable */
	GRANT,	/* permits: with an argument it is something else */
	FIELDS, /* a flag, or with a list only of these fields */
	FRESH,	/* seconds; 0 if malformed */
	LEAST,	/* seconds; the lower of two; 0 if malformed */
	MOST,	/* seconds; the higher of two; the maximum if malformed */
	STALE,	/* as LEAST; all if there is no argument */
};

#define AT(member) offsetof(struct cache_control, member)

static const struct directive {
	struct bytes name;
	enum kind kind;
	size_t at;     /* of the bool or the int64_t */
	size_t fields; /* FIELDS: of the struct bytes */
} directives[] = {
    {{"max-age", 7}, FRESH, AT(max_age), 0},
    {{"s-maxage", 8}, FRESH, AT(s_maxage), 0},
    {{"no-cache", 8}, FIELDS, AT(no_cache), AT(no_cache_fields)},
    {{"no-store", 8}, FLAG, AT(no_store), 0},
    {{"private", 7}, FIELDS, AT(is_private), AT(private_fields)},
    {{"public", 6}, GRANT, AT(is_public), 0},
    {{"must-revalidate", 15}, FLAG, AT(must_revalidate), 0},
    {{"proxy-revalidate", 16}, FLAG, AT(proxy_revalidate), 0},
    {{"must-understand", 15}, GRANT, AT(must_understand), 0},
    {{"no-transform", 12}, FLAG, AT(no_transform), 0},
    {{"only-if-cached", 14}, FLAG, AT(only_if_cached), 0},
    {{"immutable", 9}, FLAG, AT(immutable), 0},
    {{"min-fresh", 9}, MOST, AT(min_fresh), 0},
    {{"max-stale", 9}, STALE, AT(max_stale), 0},
    {{"stale-while-revalidate", 22}, LEAST, AT(stale_while_revalidate), 0},
    {{"stale-if-error", 14}, LEAST, AT(stale_if_error), 0},
};

static bool *
flag_of(struct cache_control *cc, const struct directive *d)
{
	return (bool *)(void *)((char *)cc + d->at);
}

static struct bytes *
fields_of(struct cache_control *cc, const struct directive *d)
{
	return (struct bytes *)(void *)((char *)cc + d->fields);
}

static int64_t *
seconds_of(struct cache_control *cc, const struct directive *d)
{
	return (int64_t *)(void *)((char *)cc + d->at);
}

static void
clear(struct cache_control *cc)
{
	*cc = (struct cache_control){
	    .max_age = CACHE_NOT_GIVEN,
	    .s_maxage = CACHE_NOT_GIVEN,
	    .min_fresh = CACHE_NOT_GIVEN,
	    .max_stale = CACHE_NOT_GIVEN,
	    .stale_while_revalidate = CACHE_NOT_GIVEN,
	    .stale_if_error = CACHE_NOT_GIVEN,
	};
}

/* delta-seconds, clamped (RFC 9111 1.2.2); -1: not one. */
static int64_t
delta_seconds(struct bytes v)
{
	int64_t value = 0;

	if (v.n == 0 || http_span(v, HTTP_C_DIGIT) != v.n)
		return -1;
	for (size_t i = 0; i < v.n && value < CACHE_SECONDS_MAX; i++)
		value = value * 10 + (v.p[i] - '0');
	return value < CACHE_SECONDS_MAX ? value : CACHE_SECONDS_MAX;
}

/* given: -1 if what was said made no sense. */
static void
set_seconds(struct cache_control *cc, const struct directive *d, int64_t given)
{
	int64_t *slot = seconds_of(cc, d);

	if (given < 0) {
		cc->invalid |= d->kind == FRESH;
		given = d->kind == MOST ? CACHE_SECONDS_MAX : 0;
	}
	if (*slot == CACHE_NOT_GIVEN ||
	    (d->kind == MOST ? given > *slot : given < *slot))
		*slot = given;
}

/* list: what stands in quotes, or the token; n == 0 if there is none or it is
 * malformed: then the directive is of the whole response. */
static void
set_fields(
    struct cache_control *cc, const struct directive *d, struct bytes list)
{
	struct bytes *fields = fields_of(cc, d);
	struct bytes rest = list, name;
	bool *flag = flag_of(cc, d);

	while (http_list_split(&rest, &name))
		if (!http_is_token(name))
			list.n = 0;
	/* Two lists are not kept apart: all of it, then. */
	if (list.n == 0 || (fields->n > 0 && !bytes_eq(*fields, list)))
		*flag = true;
	else
		*fields = list;
	if (*flag)
		*fields = (struct bytes){NULL, 0};
}

static const struct directive *
directive_named(struct bytes name)
{
	const size_t n = sizeof(directives) / sizeof(directives[0]);

	for (const struct directive *d = directives; d < directives + n; d++)
		if (bytes_ieq(d->name, name))
			return d;
	return NULL;
}

/* well: "name[=value]" as the grammar has it; else value is meaningless. */
static void
apply(struct cache_control *cc, const struct directive *d, bool well,
    struct bytes value, bool request)
{
	bool given = value.p != NULL;

	switch (d->kind) {
	case FLAG:
		*flag_of(cc, d) = true;
		break;
	case GRANT:
		*flag_of(cc, d) |= well && !given;
		break;
	case FIELDS:
		/* Requests have no such lists (RFC 9111 5.2.1.4). */
		if (!well || !given || request)
			value.n = 0;
		set_fields(cc, d, value);
		break;
	case STALE:
		if (well && !given)
			set_seconds(cc, d, CACHE_SECONDS_MAX);
		else
			set_seconds(cc, d, well ? delta_seconds(value) : -1);
		break;
	case FRESH:
	case LEAST:
	case MOST:
		set_seconds(cc, d, well && given ? delta_seconds(value) : -1);
		break;
	}
}

static void
element(struct cache_control *cc, struct bytes e, bool request)
{
	size_t n = http_span(e, HTTP_C_TOKEN);
	const struct directive *d = directive_named((struct bytes){e.p, n});
	struct bytes name, value = {NULL, 0};
	bool quoted, well;

	if (d == NULL)
		return;
	well = http_param(e, &name, &value, &quoted);
	apply(cc, d, well, value, request);
}

/* Is a quote in it never closed? */
static bool
unclosed(struct bytes e)
{
	bool quoted = false;

	for (size_t i = 0; i < e.n; i++) {
		if (quoted && e.p[i] == '\\')
			i++;
		else if (e.p[i] == '"')
			quoted = !quoted;
	}
	return quoted;
}

/* A quote that is not closed swallowed the rest of its line: take each word
 * behind it for what it would be without, lest a no-store is lost. */
static void
unclosed_element(struct cache_control *cc, struct bytes e, bool request)
{
	while (e.n > 0) {
		const char *comma = memchr(e.p, ',', e.n);
		size_t n = comma ? (size_t)(comma - e.p) : e.n;

		element(cc, bytes_trim((struct bytes){e.p, n}), request);
		e = bytes_skip(e, n + 1);
	}
}

void
cache_control_parse(
    const struct http_head *head, bool request, struct cache_control *out)
{
	struct http_list list;
	struct bytes e;

	clear(out);
	http_list_init(&list, head, HTTP_F_CACHE_CONTROL);
	while (http_list_next(&list, &e)) {
		if (unclosed(e))
			unclosed_element(out, e, request);
		else
			element(out, e, request);
	}
	/* RFC 9111 5.4 */
	if (request && !http_has(head, HTTP_F_CACHE_CONTROL) &&
	    http_list_has(head, HTTP_F_PRAGMA, BYTES("no-cache")))
		out->no_cache = true;
}

/*
 * One member of a targeted field: RFC 9213 2.1 maps a directive without an
 * argument to true, seconds to an Integer, lists of names to a String. False:
 * of another type, which voids the field as a syntax error does.
 */
static bool
targeted_member(struct cache_control *cc, const struct http_sf_member *m)
{
	const struct directive *d = directive_named(m->key);
	bool number = m->type == HTTP_SF_INTEGER;
	int64_t value;

	if (d == NULL)
		return true;
	switch (d->kind) {
	case FLAG:
	case GRANT:
		*flag_of(cc, d) = m->boolean;
		return m->type == HTTP_SF_BOOLEAN;
	case FIELDS:
		/* The last of a key that comes twice counts (RFC 8941). */
		*flag_of(cc, d) = false;
		*fields_of(cc, d) = (struct bytes){NULL, 0};
		if (m->type == HTTP_SF_BOOLEAN)
			*flag_of(cc, d) = m->boolean;
		else
			set_fields(cc, d, m->text);
		return m->type == HTTP_SF_BOOLEAN ||
		       m->type == HTTP_SF_STRING || m->type == HTTP_SF_TOKEN;
	case FRESH:
	case LEAST:
	case MOST:
	case STALE:
		value = m->integer < CACHE_SECONDS_MAX ? m->integer
						       : CACHE_SECONDS_MAX;
		*seconds_of(cc, d) = CACHE_NOT_GIVEN;
		set_seconds(cc, d, value < 0 ? -1 : value);
		return number;
	}
	return false;
}

bool
cache_control_targeted(const struct http_head *head, struct cache_control *out)
{
	struct cache_control cc;
	struct http_sf_member m;
	struct http_sf sf;
	unsigned members = 0;

	if (!http_has(head, HTTP_F_CDN_CACHE_CONTROL))
		return false;
	clear(&cc);
	http_sf_init(&sf, head, HTTP_F_CDN_CACHE_CONTROL);
	while (http_sf_next(&sf, &m)) {
		members++;
		if (!targeted_member(&cc, &m))
			return false;
	}
	if (sf.failed || members == 0)
		return false;
	*out = cc;
	return true;
}
