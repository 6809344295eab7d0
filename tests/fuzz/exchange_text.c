#include "exchange_talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "http/date.h"
#include "larder/check.h"

#define LINES_MAX 40

const struct place talk_places[] = {
    {"/a", "one.example", "one.example", "/a"},
    {"/b?q=1", "one.example", "one.example", "/b?q=1"},
    {"/a", "two.example", "two.example", "/a"},
    {"/immutable/x", "one.example", "one.example", "/immutable/x"},
    {"/whole/x", "one.example", "one.example", "/whole/x"},
    {"/plain/x", "one.example", "one.example", "/plain/x"},
    {"http://1.2.3.4/a", "one.example", "1.2.3.4", "/a"},
    {"http://1.2.3.4:8080/", NULL, "1.2.3.4:8080", "/"},
    {"HTTP://One.Example/a", "x", "one.example", "/a"},
    {"/a", "cdn.example", "127.0.0.1:8000", "/a"},
    {"/c", "cdn.example", "127.0.0.1:8000", "/c"},
    {"/a%2fb/../c", "one.example", "one.example", "/a%2fb/../c"},
    {"http://nowhere.invalid/", NULL, NULL, NULL},
    {"/a", "down.example", NULL, NULL},
    {"/a?", "one.example", "one.example", "/a?"},
    {"http://1.2.3.4:8080", NULL, "1.2.3.4:8080", "/"},
};
const unsigned talk_place_count = ARRAY_SIZE(talk_places);

const char *const talk_request_fields[] = {
    "Accept-Encoding: gzip",
    "Accept-Encoding: zstd, gzip;q=0.5",
    "Accept-Encoding: identity",
    "Accept-Encoding: *;q=0",
    "Accept-Language: de, en;q=0.7",
    "Accept: text/html",
    "Authorization: Basic Zm9vOmJhcg==",
    "Cache-Control: no-cache",
    "Cache-Control: no-store",
    "Cache-Control: max-age=0",
    "Cache-Control: max-age=10",
    "Cache-Control: min-fresh=50",
    "Cache-Control: max-stale",
    "Cache-Control: max-stale=100",
    "Cache-Control: only-if-cached",
    "Cache-Control: stale-if-error=1000",
    "Cache-Control: no-transform",
    "Connection: close",
    "Connection: keep-alive",
    "Connection: x-hop, cache-control",
    "X-Hop: 1",
    "Cookie: a=b",
    "If-Match: @e",
    "If-Match: *",
    "If-Modified-Since: @m",
    "If-Modified-Since: @d",
    "If-None-Match: @e",
    "If-None-Match: \"other\", @e",
    "If-None-Match: *",
    "If-Range: @e",
    "If-Range: @m",
    "If-Range: \"other\"",
    "If-Unmodified-Since: @d",
    "Keep-Alive: timeout=5",
    "Max-Forwards: 0",
    "Max-Forwards: 5",
    "Pragma: no-cache",
    "Proxy-Authorization: Basic Zm9vOmJhcg==",
    "Proxy-Connection: keep-alive",
    "Range: bytes=0-",
    "Range: bytes=0-9",
    "Range: bytes=50-99",
    "Range: bytes=-20",
    "Range: bytes=900-",
    "Range: bytes=0-4,10-14,90-",
    "Range: bytes=1000-70000",
    "Range: bytes=99999999-",
    "Range: bytes=4-2",
    "Range: items=0-1",
    "Referer: http://one.example/",
    "TE: trailers",
    "Upgrade: websocket",
    "User-Agent: fuzz",
    "Via: 1.1 other",
    "Via: 1.0 larder",
    "X-Forwarded-For: 9.9.9.9",
    "X-Forwarded-Host: evil.example",
    "X-HTTP-Method-Override: DELETE",
    "X-Original-URL: /evil",
    "X-Empty:",
    "x-case:   spaces\t ",
    "!Content-Length: 5",
    "!Content-Length: 5, 5",
    "!Content-Length: +5",
    "!Transfer-Encoding: chunked",
    "!Transfer-Encoding: gzip, chunked",
    "!Transfer-Encoding: identity",
    "!Host: one.example",
    "!Expect: 100-continue",
    "!Expect: something",
    "! folded",
    "!bad name: x",
    "!X: a\rb",
    "!Trailer: X-T",
};
const unsigned talk_request_field_count = ARRAY_SIZE(talk_request_fields);

const char *const talk_response_fields[] = {
    "Cache-Control: max-age=100",
    "Cache-Control: max-age=1",
    "Cache-Control: max-age=0",
    "Cache-Control: s-maxage=50",
    "Cache-Control: public",
    "Cache-Control: must-revalidate",
    "Cache-Control: proxy-revalidate, max-age=5",
    "Cache-Control: no-cache",
    "Cache-Control: no-cache=\"x-hop\"",
    "Cache-Control: private=\"x-hop\", max-age=50",
    "Cache-Control: no-transform",
    "Cache-Control: immutable, max-age=1",
    "Cache-Control: max-age=1, stale-while-revalidate=100",
    "Cache-Control: max-age=1, stale-if-error=1000",
    "Cache-Control: must-understand, no-store, max-age=9",
    "Cache-Control: max-age=\"7\"",
    "CDN-Cache-Control: max-age=30",
    "CDN-Cache-Control: max-age=30;x=\"y\", no-cache",
    "CDN-Cache-Control: no-store",
    "Vary: X-V",
    "Vary: Accept-Encoding",
    "Vary: accept-language, X-V",
    "Vary: *",
    "Age: 3",
    "Age: 99999999999999999999",
    "Date: @d",
    "Date: nonsense",
    "Expires: @d",
    "Expires: 0",
    "Expires: Thu, 01 Jan 2099 00:00:00 GMT",
    "Pragma: no-cache",
    "Content-Type: text/plain",
    "Content-Type: application/octet-stream",
    "Content-Language: en",
    "Content-Location: /other",
    "Location: /a",
    "Set-Cookie: a=b",
    "Connection: close",
    "Connection: keep-alive, x-hop",
    "X-Hop: 1",
    "Keep-Alive: timeout=5",
    "Proxy-Authenticate: Basic",
    "Accept-Ranges: bytes",
    "Warning: 110 - \"x\"",
    "Via: 1.0 fred",
    "Cache-Status: other; hit",
    "Trailer: X-T",
    "Upgrade: h2c",
    "WWW-Authenticate: Basic",
    "Server: fuzz",
    "X-Empty:",
    "Retry-After: 5",
    "!ETag: \"lie\"",
    "!ETag: nonsense",
    "!Last-Modified: @d",
    "!Content-Encoding: gzip",
    "!Content-Encoding: zstd",
    "!Content-Length: 5",
    "!Content-Length: 99999999999999999999",
    "!Transfer-Encoding: chunked",
    "!Transfer-Encoding: gzip",
    "!Content-Range: bytes 0-4/10",
    "!Content-Range: bytes 5-9/10",
    "! folded",
    "!bad name: x",
    "!X: a\rb",
};
const unsigned talk_response_field_count = ARRAY_SIZE(talk_response_fields);

void
text_put(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (n > sizeof(t->p) - t->n)
		return;
	memcpy(t->p + t->n, s, n);
	t->n += n;
}

void
text_format(struct text *t, const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	text_put(t, line);
}

static void
put_line(struct text *t, const char *line, const struct words *words)
{
	const char *at = strchr(line, '@');
	char date[HTTP_DATE_SIZE];

	if (line[0] == '!') {
		t->jest = true;
		line++;
	}
	if (at == NULL) {
		text_put(t, line);
	} else {
		http_date_format(world_now(), date);
		if (at[1] == 'e' && words->etag[0] == '\0')
			return;
		text_format(t, "%.*s%s", (int)(at - line), line,
		    at[1] == 'e'   ? words->etag
		    : at[1] == 'm' ? words->modified
				   : date);
	}
	text_put(t, "\r\n");
}

void
text_fields(struct text *t, struct feed *feed, const char *const *table,
    unsigned count, const struct words *words)
{
	/* No more than both sides take. */
	for (unsigned lines = 0; lines < LINES_MAX && feed->n > 0; lines++) {
		uint8_t b = feed_u8(feed);

		if (b == 0xff)
			return;
		if (b < 0xc0) {
			put_line(t, table[b % count], words);
			continue;
		}
		t->jest = true;
		for (b &= 0x3f; b > 0 && feed->n > 0; b--) {
			char raw[2] = {(char)feed_u8(feed), '\0'};

			if (t->n < sizeof(t->p))
				t->p[t->n++] = raw[0];
		}
	}
}

/* ---- representations -------------------------------------------------- */

#define REPS_MAX 128

static struct rep reps[REPS_MAX];
static unsigned rep_count, rep_version;

static uint64_t
fnv(uint64_t h, struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		h = (h ^ (unsigned char)b.p[i]) * UINT64_C(1099511628211);
	return h * UINT64_C(1099511628211);
}

uint64_t
talk_hash(struct bytes host, struct bytes path)
{
	return fnv(fnv(UINT64_C(14695981039346656037), host), path);
}

TALK_PLAIN char
talk_pattern(uint32_t salt, bool text, size_t at)
{
	uint64_t h = (uint64_t)salt * UINT64_C(0x9e3779b97f4a7c15) + at;

	if (text && at % 64 != 0)
		return (char)('a' + (salt + at) % 23);
	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	return (char)(h >> 56);
}

void
rep_start(void)
{
	rep_count = rep_version = 0;
}

void
rep_change(void)
{
	rep_version++;
}

const struct rep *
rep_of(uint64_t place, unsigned class)
{
	static const size_t lengths[] = {
	    100, 0, 1, 1000, 5000, 70000, 300000, 100, 2000, 40, 300, 100, 5};
	struct rep *r = reps + rep_count;
	uint32_t number = 1000 * rep_count;

	for (unsigned i = 0; i < rep_count; i++)
		if (reps[i].place == place && reps[i].class == class &&
		    reps[i].version == rep_version)
			return &reps[i];
	if (rep_count == REPS_MAX)
		return NULL;
	*r = (struct rep){.place = place, .class = class};
	r->version = rep_version;
	r->salt = (uint32_t)(place >> 13) ^ rep_version * 7919 ^ class << 20;
	r->text = (r->salt & 3) != 0;
	r->length = lengths[(r->salt >> 3) % ARRAY_SIZE(lengths)];
	snprintf(r->number, sizeof(r->number), "%u-%08x", rep_count,
	    r->salt ^ (number * 2654435761u));
	if ((r->salt >> 9) % 4 != 0)
		snprintf(r->etag, sizeof(r->etag), "%s\"%08x.%u\"",
		    (r->salt >> 9) % 4 == 1 ? "W/" : "", r->salt, rep_version);
	/* Another one for each version, and past. */
	http_date_format(
	    INT64_C(1600000000) + (int64_t)rep_version * 100, r->modified);
	rep_count++;
	return r;
}

const struct rep *
rep_by_number(struct bytes number)
{
	for (unsigned i = 0; i < rep_count; i++)
		if (bytes_eq(number, bytes_str(reps[i].number)))
			return &reps[i];
	return NULL;
}

void
rep_validate(const struct rep *rep)
{
	reps[rep - reps].validated = true;
}

bool
rep_is_validated(const struct rep *rep)
{
	for (unsigned i = 0; i < rep_count; i++)
		if (reps[i].place == rep->place && reps[i].validated)
			return true;
	return false;
}

TALK_PLAIN char
rep_byte(const struct rep *rep, size_t at)
{
	return talk_pattern(rep->salt, rep->text, at);
}

TALK_PLAIN struct bytes
rep_bytes(const struct rep *rep, size_t from, size_t to)
{
	static char buffer[512 * 1024];

	check(from <= to && to - from <= sizeof(buffer));
	for (size_t i = from; i < to; i++)
		buffer[i - from] = rep_byte(rep, i);
	return bytes_of(buffer, to - from);
}
