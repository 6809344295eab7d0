/*
 * entity-tag = [ "W/" ] DQUOTE *etagc DQUOTE, nothing near to it.
 */
#include "cache/etag.h"

#include "http/chars.h"

bool
cache_etag_is_weak(struct bytes tag)
{
	return bytes_starts(tag, BYTES("W/"));
}

/* The length of the entity-tag at the start, or 0. */
static size_t
etag_length(struct bytes b)
{
	size_t at = cache_etag_is_weak(b) ? 2 : 0;

	if (at == b.n || b.p[at] != '"')
		return 0;
	at++;
	at += http_span(bytes_skip(b, at), HTTP_C_ETAG);
	return at < b.n && b.p[at] == '"' ? at + 1 : 0;
}

bool
cache_etag_next(struct bytes *rest, struct bytes *tag)
{
	size_t n;

	*rest = bytes_trim(*rest);
	while (rest->n > 0 && rest->p[0] == ',')
		*rest = bytes_trim(bytes_skip(*rest, 1));
	n = etag_length(*rest);
	if (n == 0)
		return false;
	*tag = (struct bytes){rest->p, n};
	*rest = bytes_trim(bytes_skip(*rest, n));
	/* Something other than a comma: not the tag that was meant. */
	return rest->n == 0 || rest->p[0] == ',';
}

bool
cache_etag_valid(struct bytes tag)
{
	return tag.n > 0 && etag_length(tag) == tag.n;
}

bool
cache_etag_strong_eq(struct bytes a, struct bytes b)
{
	return !cache_etag_is_weak(a) && bytes_eq(a, b);
}

bool
cache_etag_weak_eq(struct bytes a, struct bytes b)
{
	if (cache_etag_is_weak(a))
		a = bytes_skip(a, 2);
	if (cache_etag_is_weak(b))
		b = bytes_skip(b, 2);
	return bytes_eq(a, b);
}
