/*
 * Lists, parameters, weights. What is malformed is passed over or reported; it
 * never changes what stands around it.
 */
#include "http/list.h"

#include "http/chars.h"

void
http_list_init(
    struct http_list *list, const struct http_head *head, enum http_field_id id)
{
	*list = (struct http_list){.head = head, .id = id, .rest = {"", 0}};
}

bool
http_list_next(struct http_list *list, struct bytes *element)
{
	while (!http_list_split(&list->rest, element)) {
		list->line = http_next(list->head, list->id, list->line);
		if (list->line == NULL) {
			/* So that another call ends here again. */
			list->id = HTTP_F_OTHER;
			return false;
		}
		list->rest = list->line->value;
	}
	return true;
}

/* The offset of the comma that ends the first element, or the end. A quote
 * that is never closed goes on to the end of the line. */
static size_t
element_end(struct bytes b)
{
	bool quoted = false;
	size_t i;

	for (i = 0; i < b.n; i++) {
		if (quoted && b.p[i] == '\\')
			i++;
		else if (b.p[i] == '"')
			quoted = !quoted;
		else if (!quoted && b.p[i] == ',')
			break;
	}
	return i < b.n ? i : b.n;
}

bool
http_list_split(struct bytes *rest, struct bytes *element)
{
	while (rest->n > 0) {
		size_t n = element_end(*rest);

		*element = bytes_trim((struct bytes){rest->p, n});
		*rest = bytes_skip(*rest, n + 1);
		if (element->n > 0)
			return true;
	}
	return false;
}

/* Is it the inside of a quoted-string (RFC 9110 5.6.4)? */
static bool
is_quoted_text(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] == '"')
			return false;
		if (b.p[i] == '\\' && ++i == b.n)
			return false;
	}
	return http_text_span(b) == b.n;
}

bool
http_param(
    struct bytes element, struct bytes *name, struct bytes *value, bool *quoted)
{
	size_t n = http_span(element, HTTP_C_TOKEN);
	struct bytes v;

	if (n == 0)
		return false;
	*name = (struct bytes){element.p, n};
	*value = (struct bytes){NULL, 0};
	*quoted = false;
	if (n == element.n)
		return true;
	if (element.p[n] != '=')
		return false;
	v = bytes_skip(element, n + 1);
	if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"') {
		*value = (struct bytes){v.p + 1, v.n - 2};
		*quoted = true;
		return is_quoted_text(*value);
	}
	*value = v;
	return http_is_token(v);
}

bool
http_list_has(
    const struct http_head *head, enum http_field_id id, struct bytes token)
{
	struct http_list list;
	struct bytes element;

	if (!http_has(head, id))
		return false;
	http_list_init(&list, head, id);
	while (http_list_next(&list, &element))
		if (bytes_ieq(element, token))
			return true;
	return false;
}

bool
http_connection_has(const struct http_head *head, struct bytes option)
{
	const struct http_field *field = NULL;

	while ((field = http_next(head, HTTP_F_CONNECTION, field)) != NULL) {
		struct bytes rest = field->value;

		while (rest.n > 0) {
			const char *comma = memchr(rest.p, ',', rest.n);
			size_t n = comma ? (size_t)(comma - rest.p) : rest.n;

			if (bytes_ieq(
				bytes_trim((struct bytes){rest.p, n}), option))
				return true;
			rest = bytes_skip(rest, comma ? n + 1 : n);
		}
	}
	return false;
}

/* qvalue (RFC 9110 12.4.2) in thousandths, or -1. */
static int
qvalue(struct bytes q)
{
	int value, scale = 100;

	if (q.n == 0 || q.n > 5 || (q.p[0] != '0' && q.p[0] != '1') ||
	    (q.n > 1 && q.p[1] != '.'))
		return -1;
	value = (q.p[0] - '0') * 1000;
	for (size_t i = 2; i < q.n; i++, scale /= 10) {
		if (!http_is(q.p[i], HTTP_C_DIGIT))
			return -1;
		value += (q.p[i] - '0') * scale;
	}
	return value <= 1000 ? value : -1;
}

bool
http_weighted(struct bytes element, struct bytes *name, int *weight)
{
	size_t n = http_span(element, HTTP_C_TOKEN);
	struct bytes rest;

	if (n == 0)
		return false;
	*name = (struct bytes){element.p, n};
	*weight = 1000;
	rest = bytes_trim(bytes_skip(element, n));
	if (rest.n == 0)
		return true;
	if (rest.p[0] != ';')
		return false;
	rest = bytes_trim(bytes_skip(rest, 1));
	if (rest.n < 2 || bytes_lower(rest.p[0]) != 'q' || rest.p[1] != '=')
		return false;
	*weight = qvalue(bytes_skip(rest, 2));
	return *weight >= 0;
}

int
http_coding_weight(const struct http_head *head, struct bytes coding)
{
	struct http_list list;
	struct bytes element, name;
	int weight, any = -1;

	http_list_init(&list, head, HTTP_F_ACCEPT_ENCODING);
	while (http_list_next(&list, &element)) {
		if (!http_weighted(element, &name, &weight))
			continue;
		if (bytes_ieq(name, coding))
			return weight;
		if (any < 0 && bytes_eq(name, BYTES("*")))
			any = weight;
	}
	return any;
}
