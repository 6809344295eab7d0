/*
 * Fields by number: larder's own ones have an id, found by one perfect hash,
 * so that no name is compared with more than one other.
 */
#include "http/chars.h"

/*
 * Length, first and last letter tell all known names apart. Two names in one
 * slot would be an initialiser written twice, of which the compiler warns; a
 * name that is not here is one that test_field does not find.
 */
#define SLOTS		256u
#define SLOT(n, a, z)	(((n) + (a)*3u + (z)*32u) % SLOTS)
#define AT(n, a, z, id) [SLOT(n, a, z)] = HTTP_F_##id + 1

static const uint8_t slots[SLOTS] = {
    AT(6, 'a', 't', ACCEPT),
    AT(15, 'a', 'g', ACCEPT_ENCODING),
    AT(15, 'a', 'e', ACCEPT_LANGUAGE),
    AT(13, 'a', 's', ACCEPT_RANGES),
    AT(3, 'a', 'e', AGE),
    AT(13, 'a', 'n', AUTHORIZATION),
    AT(13, 'c', 'l', CACHE_CONTROL),
    AT(12, 'c', 's', CACHE_STATUS),
    AT(17, 'c', 'l', CDN_CACHE_CONTROL),
    AT(10, 'c', 'n', CONNECTION),
    AT(16, 'c', 'g', CONTENT_ENCODING),
    AT(14, 'c', 'h', CONTENT_LENGTH),
    AT(16, 'c', 'n', CONTENT_LOCATION),
    AT(13, 'c', 'e', CONTENT_RANGE),
    AT(12, 'c', 'e', CONTENT_TYPE),
    AT(6, 'c', 'e', COOKIE),
    AT(4, 'd', 'e', DATE),
    AT(4, 'e', 'g', ETAG),
    AT(6, 'e', 't', EXPECT),
    AT(7, 'e', 's', EXPIRES),
    AT(4, 'h', 't', HOST),
    AT(14, 'h', 's', HTTP2_SETTINGS),
    AT(8, 'i', 'h', IF_MATCH),
    AT(17, 'i', 'e', IF_MODIFIED_SINCE),
    AT(13, 'i', 'h', IF_NONE_MATCH),
    AT(8, 'i', 'e', IF_RANGE),
    AT(19, 'i', 'e', IF_UNMODIFIED_SINCE),
    AT(10, 'k', 'e', KEEP_ALIVE),
    AT(13, 'l', 'd', LAST_MODIFIED),
    AT(8, 'l', 'n', LOCATION),
    AT(12, 'm', 's', MAX_FORWARDS),
    AT(6, 'p', 'a', PRAGMA),
    AT(18, 'p', 'e', PROXY_AUTHENTICATE),
    AT(25, 'p', 'o', PROXY_AUTHENTICATION_INFO),
    AT(19, 'p', 'n', PROXY_AUTHORIZATION),
    AT(16, 'p', 'n', PROXY_CONNECTION),
    AT(5, 'r', 'e', RANGE),
    AT(7, 'r', 'r', REFERER),
    AT(10, 's', 'e', SET_COOKIE),
    AT(2, 't', 'e', TE),
    AT(7, 't', 'r', TRAILER),
    AT(17, 't', 'g', TRANSFER_ENCODING),
    AT(7, 'u', 'e', UPGRADE),
    AT(10, 'u', 't', USER_AGENT),
    AT(4, 'v', 'y', VARY),
    AT(3, 'v', 'a', VIA),
    AT(16, 'w', 'e', WWW_AUTHENTICATE),
    AT(15, 'x', 'r', X_FORWARDED_FOR),
};

static const struct bytes names[] = {
#define HTTP_FIELD_NAME(id, name) {name, sizeof(name) - 1},
    HTTP_FIELDS(HTTP_FIELD_NAME)
#undef HTTP_FIELD_NAME
};

_Static_assert(HTTP_F_OTHER <= 64, "a set of fields is a uint64_t");

enum http_field_id
http_field_id(struct bytes name)
{
	unsigned slot;

	if (name.n < 2)
		return HTTP_F_OTHER;
	slot =
	    slots[SLOT((unsigned)name.n, (unsigned char)bytes_lower(name.p[0]),
		(unsigned char)bytes_lower(name.p[name.n - 1]))];
	/* Nearly everybody writes them in the usual way: one memcmp. */
	if (slot == 0 || (!bytes_eq(names[slot - 1], name) &&
			     !bytes_ieq(names[slot - 1], name)))
		return HTTP_F_OTHER;
	return (enum http_field_id)(slot - 1);
}

enum http_field_id
http_field_alias(struct bytes name)
{
	char p[32]; /* none that is known is longer */

	if (name.n > sizeof(p) || memchr(name.p, '_', name.n) == NULL)
		return http_field_id(name);
	for (size_t i = 0; i < name.n; i++)
		p[i] = name.p[i] == '_' ? '-' : name.p[i];
	return http_field_id(bytes_of(p, name.n));
}

struct bytes
http_field_name(enum http_field_id id)
{
	return id < HTTP_F_OTHER ? names[id] : (struct bytes){"", 0};
}

const struct http_field *
http_next(const struct http_head *head, enum http_field_id id,
    const struct http_field *after)
{
	const struct http_field *end;

	if (id >= HTTP_F_OTHER || !http_has(head, id))
		return NULL;
	end = head->fields + head->count;
	for (after = after ? after + 1 : head->fields; after < end; after++)
		if (after->id == id)
			return after;
	return NULL;
}

struct bytes
http_value(const struct http_head *head, enum http_field_id id)
{
	const struct http_field *field = http_next(head, id, NULL);

	return field ? field->value : (struct bytes){NULL, 0};
}

unsigned
http_count(const struct http_head *head, enum http_field_id id)
{
	const struct http_field *field = NULL;
	unsigned n = 0;

	while ((field = http_next(head, id, field)) != NULL)
		n++;
	return n;
}

const struct http_field *
http_next_named(const struct http_head *head, struct bytes name,
    const struct http_field *after)
{
	enum http_field_id id = http_field_id(name);

	if (id != HTTP_F_OTHER)
		return http_next(head, id, after);
	if (head->count == 0)
		return NULL;
	after = after ? after + 1 : head->fields;
	for (; after < head->fields + head->count; after++)
		if (after->id == HTTP_F_OTHER && bytes_ieq(after->name, name))
			return after;
	return NULL;
}

bool
http_is_token(struct bytes b)
{
	return b.n > 0 && http_span(b, HTTP_C_TOKEN) == b.n;
}

bool
http_is_number(struct bytes b)
{
	return b.n > 0 && http_span(b, HTTP_C_DIGIT) == b.n;
}
