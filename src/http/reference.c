/*
 * References resolved against a base (RFC 3986 5.2), for Location and
 * Content-Location.
 */
#include "http/chars.h"
#include "http/target.h"

/* "scheme:" at the start? */
static bool
has_scheme(struct bytes b)
{
	size_t n = 0;

	if (b.n == 0 || !http_is(b.p[0], HTTP_C_ALPHA))
		return false;
	while (n < b.n && (http_is(b.p[n], HTTP_C_ALPHA | HTTP_C_DIGIT) ||
			      b.p[n] == '+' || b.p[n] == '-' || b.p[n] == '.'))
		n++;
	return n < b.n && b.p[n] == ':';
}

static struct bytes
without_query(struct bytes path)
{
	const char *q = path.n ? memchr(path.p, '?', path.n) : NULL;

	return q ? (struct bytes){path.p, (size_t)(q - path.p)} : path;
}

/* Drops the last segment of what is written so far, with its "/". */
static size_t
parent(const char *p, size_t n)
{
	while (n > 0 && p[n - 1] != '/')
		n--;
	return n > 0 ? n - 1 : 0;
}

/* RFC 3986 5.2.4 on a path that starts in "/", in place; the query behind it
 * stays. Returns the new length. */
static size_t
remove_dots(char *p, size_t n)
{
	size_t path = without_query((struct bytes){p, n}).n;
	size_t in = 0, out = 0;

	while (in < path) {
		/* p[in] is "/": one segment up to the next. */
		size_t end = in + 1;
		struct bytes segment;

		while (end < path && p[end] != '/')
			end++;
		segment = (struct bytes){p + in + 1, end - in - 1};
		if (bytes_eq(segment, BYTES(".."))) {
			out = parent(p, out);
			if (end == path)
				p[out++] = '/';
		} else if (bytes_eq(segment, BYTES("."))) {
			if (end == path)
				p[out++] = '/';
		} else {
			memmove(p + out, p + in, end - in);
			out += end - in;
		}
		in = end;
	}
	memmove(p + out, p + path, n - path);
	return out + n - path;
}

/* directory + reference, dots removed. */
static int
join(struct bytes directory, struct bytes reference, struct arena *arena,
    struct http_target *out)
{
	size_t n = directory.n + reference.n;
	char *p = arena_alloc(arena, n);

	if (p == NULL)
		return LARDER_NOMEM;
	if (directory.n)
		memcpy(p, directory.p, directory.n);
	if (reference.n)
		memcpy(p + directory.n, reference.p, reference.n);
	out->path = (struct bytes){p, remove_dots(p, n)};
	return 0;
}

static int
resolve_absolute(const char *scheme, struct bytes reference,
    struct arena *arena, struct http_target *out)
{
	const char *why;
	struct bytes url = reference;
	int err;

	if (*scheme != '\0')
		url =
		    arena_printf(arena, "%s%.*s", scheme, BYTES_FMT(reference));
	if (url.p == NULL)
		return LARDER_NOMEM;
	err = http_target_of_url(url, arena, out, &why);
	return err < 0 ? err
		       : join((struct bytes){"", 0}, out->path, arena, out);
}

int
http_target_resolve(const struct http_target *base, struct bytes reference,
    struct arena *arena, struct http_target *out)
{
	const char *hash =
	    reference.n ? memchr(reference.p, '#', reference.n) : NULL;
	struct bytes directory = without_query(base->path);

	if (hash != NULL)
		reference.n = (size_t)(hash - reference.p);
	if (http_span(reference, HTTP_C_TARGET) != reference.n)
		return LARDER_INVALID;
	if (has_scheme(reference))
		return resolve_absolute("", reference, arena, out);
	if (bytes_starts(reference, BYTES("//")))
		return resolve_absolute(
		    base->tls ? "https:" : "http:", reference, arena, out);
	*out = *base;
	if (directory.n == 0 || directory.p[0] != '/')
		directory = BYTES("/"); /* asterisk or authority form */
	if (reference.n == 0)
		return 0;
	if (reference.p[0] == '/')
		directory.n = 0;
	else if (reference.p[0] != '?')
		directory.n = parent(directory.p, directory.n) + 1;
	return join(directory, reference, arena, out);
}
