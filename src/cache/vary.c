/*
 * A variant is text, a line a field that Vary names, in order of their names:
 *
 *   accept-encoding:gzip,zstd;q=0.500\n    the request's value, normalised
 *   accept-language\n                      the request had none
 *   accept-language:de,en LANGUAGE de\n    and Content-Language was this
 *
 * so that two responses whose Vary differs in order, case or repetition have
 * one. Fields that are not passed on (RFC 9110 7.6.1) were never the origin's
 * to choose by, and count as absent.
 *
 * A response in the language that a request prefers to all others answers it,
 * whatever else it would have taken: qvalues rank what an origin has (RFC 9110
 * 12.4.2), so that origin could not choose another.
 */
#include "cache/vary.h"

#include "http/chars.h"
#include "http/forward.h"
#include "http/list.h"

#define NAMES_MAX    32
#define VARIANT_MAX  8192
#define ELEMENTS_MAX 64
/* No field value has this byte. */
#define LANGUAGE     "\x1f"

/* The next line of the field that passes. */
static const struct http_field *
next_passing(const struct http_head *head, struct bytes name,
    const struct http_field *after)
{
	while ((after = http_next_named(head, name, after)) != NULL)
		if (http_field_passes(head, after))
			return after;
	return NULL;
}

/* All lines as one list (RFC 9110 5.3). p == NULL: absent, or no memory (then
 * *failed). A view where there is one line. */
static struct bytes
joined(const struct http_head *head, struct bytes name, struct arena *arena,
    bool *failed)
{
	const struct http_field *field = next_passing(head, name, NULL);
	const struct http_field *more;
	struct http_out out;
	struct bytes value;

	if (field == NULL)
		return (struct bytes){NULL, 0};
	more = next_passing(head, name, field);
	if (more == NULL)
		return field->value.n ? field->value : BYTES("");
	http_out_init(&out, arena, 256);
	http_out_bytes(&out, field->value);
	for (; more != NULL; more = next_passing(head, name, more)) {
		http_out_bytes(&out, BYTES(", "));
		http_out_bytes(&out, more->value);
	}
	value = http_out_done(&out);
	*failed |= value.p == NULL;
	return value;
}

static void
lower(struct http_out *out, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		char c = bytes_lower(b.p[i]);

		http_out_bytes(out, (struct bytes){&c, 1});
	}
}

struct weighted {
	struct bytes name;
	int weight;
};

static int
compare(struct bytes a, struct bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int d = bytes_lower(a.p[i]) - bytes_lower(b.p[i]);

		if (d != 0)
			return d;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

/* Sorted by name, each once. -1: not such a list, or a long one. */
static int
weighted_list(struct bytes value, struct weighted *out)
{
	int count = 0, at;
	struct bytes element;
	struct weighted w;

	while (http_list_split(&value, &element)) {
		if (count == ELEMENTS_MAX ||
		    !http_weighted(element, &w.name, &w.weight))
			return -1;
		for (at = count; at > 0; at--) {
			int d = compare(out[at - 1].name, w.name);

			if (d == 0)
				return -1;
			if (d < 0)
				break;
			out[at] = out[at - 1];
		}
		out[at] = w;
		count++;
	}
	return count;
}

/* Not lists: a comma in them is a character as any other. */
static bool
is_one_value(enum http_field_id id)
{
	return id == HTTP_F_COOKIE || id == HTTP_F_USER_AGENT ||
	       id == HTTP_F_REFERER || id == HTTP_F_AUTHORIZATION;
}

/* White space around the commas of a list is of no meaning (RFC 9110 5.6.1);
 * other fields' values have none, but for a few. In quotes it stays, and a
 * quote that is not closed leaves all as it was. */
static struct bytes
without_spaces(struct bytes value, struct arena *arena, bool *failed)
{
	bool quoted = false;
	size_t n = 0;
	char *p;

	if (value.n == 0 || memchr(value.p, ',', value.n) == NULL)
		return value;
	p = arena_alloc(arena, value.n);
	if (p == NULL) {
		*failed = true;
		return value;
	}
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (quoted && c == '\\' && i + 1 < value.n) {
			p[n++] = c;
			c = value.p[++i];
		} else if (c == '"') {
			quoted = !quoted;
		} else if (!quoted && c == ',') {
			while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t'))
				n--;
		} else if (!quoted && (c == ' ' || c == '\t') && n > 0 &&
			   p[n - 1] == ',') {
			continue;
		}
		p[n++] = c;
	}
	return quoted ? value : (struct bytes){p, n};
}

/* Accept-Encoding and Accept-Language mean the same in any order and case (RFC
 * 9110 12.5.3, 12.5.4): their order is by weight, which is kept. Anything else
 * stays as it was; what is normalised is still such a list, so that nothing
 * malformed is the same. */
static struct bytes
normalised(struct bytes value, struct arena *arena, bool *failed)
{
	struct weighted list[ELEMENTS_MAX];
	int count = weighted_list(value, list);
	struct http_out out;
	struct bytes text;

	if (count < 0)
		return without_spaces(value, arena, failed);
	http_out_init(&out, arena, value.n + 16);
	for (int i = 0; i < count; i++) {
		if (i > 0)
			http_out_bytes(&out, BYTES(","));
		lower(&out, list[i].name);
		if (list[i].weight < 1000) {
			const int w = list[i].weight;
			const char q[] = {'0', '.', (char)('0' + w / 100),
			    (char)('0' + w / 10 % 10), (char)('0' + w % 10)};

			http_out_bytes(&out, BYTES(";q="));
			http_out_bytes(&out, bytes_of(q, sizeof(q)));
		}
	}
	text = http_out_done(&out);
	*failed |= text.p == NULL;
	return text;
}

/* What this request has for that field; p == NULL: nothing. */
static struct bytes
selecting_value(const struct http_head *request, struct bytes name,
    struct arena *arena, bool *failed)
{
	struct bytes value = joined(request, name, arena, failed);
	enum http_field_id id = http_field_id(name);

	if (value.p == NULL || is_one_value(id))
		return value;
	if (id == HTTP_F_ACCEPT_ENCODING || id == HTTP_F_ACCEPT_LANGUAGE)
		return normalised(value, arena, failed);
	return without_spaces(value, arena, failed);
}

/* Vary's names, sorted, each once. Their number, or negative. */
static int
vary_names(const struct http_head *response, struct bytes *names)
{
	struct http_list list;
	struct bytes name;
	int count = 0, at, d = 0;

	http_list_init(&list, response, HTTP_F_VARY);
	while (http_list_next(&list, &name)) {
		/* "*" anywhere, and what we cannot read, is no key. */
		if (bytes_eq(name, BYTES("*")) || !http_is_token(name))
			return LARDER_REFUSED;
		for (at = 0; at < count; at++) {
			d = compare(names[at], name);
			if (d >= 0)
				break;
		}
		if (at < count && d == 0)
			continue;
		if (count == NAMES_MAX)
			return LARDER_TOOBIG;
		memmove(names + at + 1, names + at,
		    (size_t)(count - at) * sizeof(*names));
		names[at] = name;
		count++;
	}
	return count;
}

/* The one language that the response is in, p == NULL if it does not say. */
static struct bytes
content_language(const struct http_head *response)
{
	const struct http_field *field =
	    http_next_named(response, BYTES("Content-Language"), NULL);

	if (field == NULL || !http_is_token(field->value) ||
	    http_next_named(response, field->name, field) != NULL)
		return (struct bytes){NULL, 0};
	return field->value;
}

/* Is this language what the request wants before any other? */
static bool
is_preferred(struct bytes language, const struct http_head *request,
    struct arena *arena, bool *failed)
{
	struct bytes value =
	    joined(request, BYTES("Accept-Language"), arena, failed);
	struct weighted list[ELEMENTS_MAX];
	int count = value.p == NULL ? 0 : weighted_list(value, list);
	int best = -1;
	bool tied = false;

	for (int i = 0; i < count; i++) {
		if (best >= 0 && list[i].weight <= list[best].weight) {
			tied |= list[i].weight == list[best].weight;
			continue;
		}
		best = i;
		tied = false;
	}
	return best >= 0 && !tied && list[best].weight > 0 &&
	       bytes_ieq(list[best].name, language);
}

int
cache_variant(const struct http_head *request, const struct http_head *response,
    struct arena *arena, struct bytes *out)
{
	struct bytes names[NAMES_MAX + 1], value;
	struct bytes language = content_language(response);
	int count = vary_names(response, names);
	bool failed = false;
	struct http_out o;

	*out = (struct bytes){"", 0};
	if (count <= 0)
		return count;
	http_out_init(&o, arena, 128);
	for (int i = 0; i < count; i++) {
		lower(&o, names[i]);
		value = selecting_value(request, names[i], arena, &failed);
		if (value.p != NULL) {
			http_out_bytes(&o, BYTES(":"));
			http_out_bytes(&o, value);
			if (http_field_id(names[i]) == HTTP_F_ACCEPT_LANGUAGE &&
			    language.p != NULL) {
				http_out_bytes(&o, BYTES(LANGUAGE));
				lower(&o, language);
			}
		}
		http_out_bytes(&o, BYTES("\n"));
	}
	if (o.failed || failed)
		return LARDER_NOMEM;
	if (o.n > VARIANT_MAX)
		return LARDER_TOOBIG;
	*out = http_out_done(&o);
	return 0;
}

/* Takes a line off. *value p == NULL: the field was absent. *language p ==
 * NULL: it says none. */
static bool
variant_line(struct bytes *rest, struct bytes *name, struct bytes *value,
    struct bytes *language)
{
	const char *end = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
	struct bytes line;
	size_t n;

	if (end == NULL)
		return false;
	line = (struct bytes){rest->p, (size_t)(end - rest->p)};
	*rest = bytes_skip(*rest, line.n + 1);
	n = http_span(line, HTTP_C_TOKEN);
	*name = (struct bytes){line.p, n};
	*value = *language = (struct bytes){NULL, 0};
	if (n == line.n)
		return n > 0;
	*value = bytes_skip(line, n + 1);
	end = value->n ? memchr(value->p, *LANGUAGE, value->n) : NULL;
	if (end != NULL) {
		*language = bytes_skip(*value, (size_t)(end - value->p) + 1);
		value->n = (size_t)(end - value->p);
	}
	return n > 0 && line.p[n] == ':';
}

/* but: NULL, or the field that does not count. */
static bool
matches(struct bytes variant, const struct http_head *request,
    const enum http_field_id *but, struct arena *arena)
{
	struct bytes name, value, ours, language;
	bool failed = false, same;

	while (variant.n > 0) {
		if (!variant_line(&variant, &name, &value, &language))
			return false;
		if (but != NULL && http_field_id(name) == *but)
			continue;
		ours = selecting_value(request, name, arena, &failed);
		same = (ours.p == NULL) == (value.p == NULL) &&
		       bytes_eq(ours, value);
		if (!same && language.p != NULL)
			same = is_preferred(language, request, arena, &failed);
		if (failed || !same)
			return false;
	}
	return true;
}

bool
cache_variant_matches(
    struct bytes variant, const struct http_head *request, struct arena *arena)
{
	return matches(variant, request, NULL, arena);
}

bool
cache_variant_matches_but(struct bytes variant, const struct http_head *request,
    enum http_field_id but, struct arena *arena)
{
	return matches(variant, request, &but, arena);
}

bool
cache_variant_fits(struct bytes variant, const struct http_head *response)
{
	struct bytes names[NAMES_MAX + 1], name, value, language;
	int count = vary_names(response, names), at = 0;

	for (; variant.n > 0; at++)
		if (at >= count ||
		    !variant_line(&variant, &name, &value, &language) ||
		    !bytes_ieq(name, names[at]))
			return false;
	return at == count;
}

struct bytes
cache_variant_text(struct bytes variant, struct arena *arena)
{
	struct bytes name, value, language;
	struct http_out out;

	http_out_init(&out, arena, variant.n * 2 + 16);
	while (
	    variant.n > 0 && variant_line(&variant, &name, &value, &language)) {
		enum http_field_id id = http_field_id(name);

		if (out.n > 0)
			http_out_bytes(&out, BYTES("; "));
		http_out_bytes(
		    &out, id == HTTP_F_OTHER ? name : http_field_name(id));
		http_out_bytes(&out, BYTES(": "));
		http_out_bytes(&out, value.p ? value : BYTES("(none)"));
		if (language.p != NULL) {
			http_out_bytes(&out, BYTES(" (got "));
			http_out_bytes(&out, language);
			http_out_bytes(&out, BYTES(")"));
		}
	}
	return http_out_done(&out);
}
