/*
 * Tables of media types and of names.
 */
#include "cache/media.h"

#include "larder/check.h"

/* Beside text/..., ...+json, ...+xml. */
static const char *const texts[] = {"application/ecmascript",
    "application/graphql", "application/javascript", "application/json",
    "application/ndjson", "application/rtf", "application/sql",
    "application/toml", "application/wasm", "application/x-javascript",
    "application/x-ndjson", "application/x-sh", "application/x-yaml",
    "application/xml", "application/xml-dtd", "application/yaml", "font/otf",
    "font/ttf"};

static const char *const packed[] = {"application/gzip",
    "application/x-compressed", "application/x-compressed-tar",
    "application/x-gtar", "application/x-gunzip", "application/x-gzip",
    "application/x-tar", "application/x-tgz", "application/x-zstd",
    "application/zstd"};

static const char *const packed_names[] = {
    ".gz", ".tgz", ".taz", ".svgz", ".zst", ".tzst", ".dz"};

/* Of Debian's archives, where they have no better type than octet-stream. */
static const char *const indices[] = {
    "Packages", "Sources", "Release", "InRelease"};
static const char *const index_stems[] = {"Contents-", "Translation-"};

/* Without parameters. */
static struct bytes
essence(struct bytes type)
{
	const char *end = type.n ? memchr(type.p, ';', type.n) : NULL;

	if (end != NULL)
		type.n = (size_t)(end - type.p);
	return bytes_trim(type);
}

static bool
is_listed(struct bytes b, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes_ieq(b, bytes_str(list[i])))
			return true;
	return false;
}

static bool
begins(struct bytes b, struct bytes with)
{
	return b.n >= with.n && bytes_ieq(bytes_of(b.p, with.n), with);
}

static bool
ends(struct bytes b, struct bytes with)
{
	return b.n >= with.n && bytes_ieq(bytes_skip(b, b.n - with.n), with);
}

/* The last segment of the path. */
static struct bytes
file_name(struct bytes target)
{
	const char *query = target.n ? memchr(target.p, '?', target.n) : NULL;
	size_t at;

	if (query != NULL)
		target.n = (size_t)(query - target.p);
	for (at = target.n; at > 0 && target.p[at - 1] != '/'; at--)
		;
	return bytes_skip(target, at);
}

static bool
is_index(struct bytes name)
{
	if (is_listed(name, indices, ARRAY_SIZE(indices)))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(index_stems); i++)
		if (begins(name, bytes_str(index_stems[i])))
			return memchr(name.p, '.', name.n) == NULL;
	return false;
}

bool
media_gains(struct bytes type, struct bytes target)
{
	type = essence(type);
	if (type.n == 0 || bytes_ieq(type, BYTES("application/octet-stream")))
		return is_index(file_name(target));
	/* Events are to come one by one, now. */
	if (bytes_ieq(type, BYTES("text/event-stream")))
		return false;
	return begins(type, BYTES("text/")) || ends(type, BYTES("+json")) ||
	       ends(type, BYTES("+xml")) ||
	       is_listed(type, texts, ARRAY_SIZE(texts));
}

bool
media_is_packed(struct bytes type, struct bytes target)
{
	struct bytes name = file_name(target);

	for (size_t i = 0; i < ARRAY_SIZE(packed_names); i++)
		if (ends(name, bytes_str(packed_names[i])))
			return true;
	return is_listed(essence(type), packed, ARRAY_SIZE(packed));
}
