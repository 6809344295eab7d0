/*
 * A variant is text, a line a field that Vary names, in order of their names:
 *
 *   accept-encoding:gzip,zstd;q=500\n      the request's value, normalised
 *   accept-language\n                      the request had none
 *
 * so that two responses whose Vary differs in order, case or repetition have
 * one. Fields that are not passed on (RFC 9110 7.6.1) were never the origin's
 * to choose by, and count as absent.
 */
#include "cache/vary.h"

#include "http/chars.h"
#include "http/forward.h"
#include "http/list.h"

#define NAMES_MAX    32
#define VARIANT_MAX  8192
#define ELEMENTS_MAX 64

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

/* Accept-Encoding and Accept-Language mean the same in any order and case (RFC
 * 9110 12.5.3, 12.5.4): their order is by weight, which is kept. Anything else
 * stays as it was. */
static struct bytes
normalised(struct bytes value, struct arena *arena, bool *failed)
{
	struct weighted list[ELEMENTS_MAX];
	int count = weighted_list(value, list);
	struct http_out out;
	struct bytes text;

	if (count < 0)
		return value;
	http_out_init(&out, arena, value.n + 16);
	for (int i = 0; i < count; i++) {
		if (i > 0)
			http_out_bytes(&out, BYTES(","));
		for (size_t j = 0; j < list[i].name.n; j++) {
			char c = bytes_lower(list[i].name.p[j]);

			http_out_bytes(&out, (struct bytes){&c, 1});
		}
		if (list[i].weight < 1000) {
			http_out_bytes(&out, BYTES(";q="));
			http_out_u64(&out, (uint64_t)list[i].weight);
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

	if (value.p != NULL &&
	    (id == HTTP_F_ACCEPT_ENCODING || id == HTTP_F_ACCEPT_LANGUAGE))
		value = normalised(value, arena, failed);
	return value;
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

int
cache_variant(const struct http_head *request, const struct http_head *response,
    struct arena *arena, struct bytes *out)
{
	struct bytes names[NAMES_MAX + 1], value;
	int count = vary_names(response, names);
	bool failed = false;
	struct http_out o;

	*out = (struct bytes){"", 0};
	if (count <= 0)
		return count;
	http_out_init(&o, arena, 128);
	for (int i = 0; i < count; i++) {
		for (size_t j = 0; j < names[i].n; j++) {
			char c = bytes_lower(names[i].p[j]);

			http_out_bytes(&o, (struct bytes){&c, 1});
		}
		value = selecting_value(request, names[i], arena, &failed);
		if (value.p != NULL) {
			http_out_bytes(&o, BYTES(":"));
			http_out_bytes(&o, value);
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

/* Takes a line off. *value p == NULL: the field was absent. */
static bool
variant_line(struct bytes *rest, struct bytes *name, struct bytes *value)
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
	*value = (struct bytes){NULL, 0};
	if (n == line.n)
		return n > 0;
	*value = bytes_skip(line, n + 1);
	return n > 0 && line.p[n] == ':';
}

bool
cache_variant_matches(
    struct bytes variant, const struct http_head *request, struct arena *arena)
{
	struct bytes name, value, ours;
	bool failed = false;

	while (variant.n > 0) {
		if (!variant_line(&variant, &name, &value))
			return false;
		ours = selecting_value(request, name, arena, &failed);
		if (failed || (ours.p == NULL) != (value.p == NULL) ||
		    !bytes_eq(ours, value))
			return false;
	}
	return true;
}

struct bytes
cache_variant_text(struct bytes variant, struct arena *arena)
{
	struct bytes name, value;
	struct http_out out;

	http_out_init(&out, arena, variant.n * 2 + 16);
	while (variant.n > 0 && variant_line(&variant, &name, &value)) {
		enum http_field_id id = http_field_id(name);

		if (out.n > 0)
			http_out_bytes(&out, BYTES("; "));
		http_out_bytes(
		    &out, id == HTTP_F_OTHER ? name : http_field_name(id));
		http_out_bytes(&out, BYTES(": "));
		http_out_bytes(&out, value.p ? value : BYTES("(none)"));
	}
	return http_out_done(&out);
}
