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

#include "cache/select.h"
#include "http/chars.h"
#include "http/forward.h"
#include "http/list.h"

#define NAMES_MAX   32
#define VARIANT_MAX 8192
/* No field value has this byte. */
#define LANGUAGE    "\x1f"

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
			d = cache_compare(names[at], name);
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
		cache_lower(&o, names[i]);
		value =
		    cache_selecting_value(request, names[i], arena, &failed);
		if (value.p != NULL) {
			http_out_bytes(&o, BYTES(":"));
			http_out_bytes(&o, value);
			if (http_field_id(names[i]) == HTTP_F_ACCEPT_LANGUAGE &&
			    language.p != NULL) {
				http_out_bytes(&o, BYTES(LANGUAGE));
				cache_lower(&o, language);
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
		ours = cache_selecting_value(request, name, arena, &failed);
		same = (ours.p == NULL) == (value.p == NULL) &&
		       bytes_eq(ours, value);
		if (!same && language.p != NULL)
			same = cache_prefers_language(
			    language, request, arena, &failed);
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
