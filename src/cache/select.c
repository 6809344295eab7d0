/*
 * The values by which a response is selected, in the form in which two of the
 * same meaning are the same bytes.
 */
#include "cache/select.h"

#include "http/chars.h"
#include "http/forward.h"
#include "http/list.h"

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

void
cache_lower(struct http_out *out, struct bytes b)
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

int
cache_compare(struct bytes a, struct bytes b)
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
			int d = cache_compare(out[at - 1].name, w.name);

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
		cache_lower(&out, list[i].name);
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
struct bytes
cache_selecting_value(const struct http_head *request, struct bytes name,
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

bool
cache_prefers_language(struct bytes language, const struct http_head *request,
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
