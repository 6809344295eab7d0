/*
 * The three formats of the access log. What comes from outside is escaped: no
 * byte of it can end a line or a field.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "proxy/access.h"

struct line {
	char *p;
	size_t n, size;
};

static void
put_byte(struct line *l, char c)
{
	if (l->n < l->size)
		l->p[l->n++] = c;
}

static void
put_str(struct line *l, const char *s)
{
	while (*s != '\0')
		put_byte(l, *s++);
}

__attribute__((format(printf, 2, 3))) static void
put_f(struct line *l, const char *format, ...)
{
	char text[128];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	put_str(l, text);
}

/* Printable ASCII as it is; the rest, `special` and "%" as in URLs. */
static void
put_escaped(struct line *l, struct bytes b, const char *special)
{
	if (b.n == 0)
		put_byte(l, '-');
	for (size_t i = 0; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];

		if (c < 0x20 || c >= 0x7f || strchr(special, c) != NULL)
			put_f(l, "%%%02X", c);
		else
			put_byte(l, (char)c);
	}
}

static void
put_json(struct line *l, const char *name, struct bytes b)
{
	put_f(l, ",\"%s\":\"", name);
	for (size_t i = 0; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];

		if (c == '"' || c == '\\')
			put_f(l, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			put_f(l, "\\u%04x", c);
		else
			put_byte(l, (char)c);
	}
	put_byte(l, '"');
}

static const char *
result_name(const struct access_record *r)
{
	switch (r->result) {
	case RESULT_HIT:
		return "TCP_HIT";
	case RESULT_MEM_HIT:
		return "TCP_MEM_HIT";
	case RESULT_MISS:
		return "TCP_MISS";
	case RESULT_REFRESH_UNMODIFIED:
		return "TCP_REFRESH_UNMODIFIED";
	case RESULT_REFRESH_MODIFIED:
		return "TCP_REFRESH_MODIFIED";
	case RESULT_CLIENT_REFRESH_MISS:
		return "TCP_CLIENT_REFRESH_MISS";
	case RESULT_TUNNEL:
		return "TCP_TUNNEL";
	case RESULT_DENIED:
		return "TCP_DENIED";
	case RESULT_NONE:
		break;
	}
	/* Larder's own answers: refusals, and the rest. */
	return r->status >= 400 && r->status < 500 ? "TCP_DENIED" : "TCP_MISS";
}

static const char *
hierarchy(const struct access_record *r)
{
	if (r->peer[0] == '-' && r->peer[1] == '\0')
		return "HIER_NONE";
	return r->site ? "FIRSTUP_PARENT" : "HIER_DIRECT";
}

/* The media type without its parameters. */
static struct bytes
media_type(struct bytes type)
{
	size_t n = 0;

	while (n < type.n && type.p[n] != ';' && type.p[n] != ' ')
		n++;
	return bytes_of(type.p, n);
}

static const char *
client_text(const struct access_record *r, char out[ADDR_TEXT])
{
	if (r->client->sa.sa_family == AF_UNIX)
		return "unix";
	return addr_format_host(r->client, out);
}

static void
format_squid(struct line *l, const struct access_record *r)
{
	char client[ADDR_TEXT];

	put_f(l, "%9lld.%03d %6lld ", (long long)(r->ended / 1000),
	    (int)(r->ended % 1000), (long long)(r->ended - r->started));
	put_str(l, client_text(r, client));
	put_f(l, " %s%s/%03d %llu ", result_name(r),
	    r->aborted ? "_ABORTED" : "", r->status,
	    (unsigned long long)r->bytes);
	put_escaped(l, r->method, " ");
	put_byte(l, ' ');
	put_escaped(l, r->url, " ");
	put_f(l, " - %s/", hierarchy(r));
	put_str(l, r->peer);
	put_byte(l, ' ');
	put_escaped(l, media_type(r->type), " ");
}

static void
format_combined(struct line *l, const struct access_record *r)
{
	char client[ADDR_TEXT], when[64];
	time_t t = (time_t)(r->ended / 1000);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(when, sizeof(when), "%d/%b/%Y:%H:%M:%S %z", &tm);
	put_str(l, client_text(r, client));
	put_f(l, " - - [%s] \"", when);
	put_escaped(l, r->method, " \"\\");
	put_byte(l, ' ');
	put_escaped(l, r->url, " \"\\");
	put_f(l, " HTTP/1.1\" %d %llu \"", r->status,
	    (unsigned long long)r->bytes);
	put_escaped(l, r->referer, "\"\\");
	put_str(l, "\" \"");
	put_escaped(l, r->agent, "\"\\");
	put_byte(l, '"');
}

static void
format_json(struct line *l, const struct access_record *r)
{
	char client[ADDR_TEXT];

	put_f(l, "{\"time\":%lld.%03d,\"elapsed_ms\":%lld",
	    (long long)(r->ended / 1000), (int)(r->ended % 1000),
	    (long long)(r->ended - r->started));
	put_json(l, "client", bytes_str(client_text(r, client)));
	put_f(l, ",\"result\":\"%s\",\"aborted\":%s,\"status\":%d",
	    result_name(r), r->aborted ? "true" : "false", r->status);
	put_f(l, ",\"bytes\":%llu", (unsigned long long)r->bytes);
	put_json(l, "method", r->method);
	/* So that a long URL cannot cut the object's end off. */
	put_json(
	    l, "url", bytes_of(r->url.p, r->url.n < 1024 ? r->url.n : 1024));
	put_f(l, ",\"hierarchy\":\"%s\"", hierarchy(r));
	put_json(l, "peer", bytes_str(r->peer));
	put_json(
	    l, "type", bytes_of(r->type.p, r->type.n < 64 ? r->type.n : 64));
	put_byte(l, '}');
}

size_t
access_format(const struct access_record *record, enum conf_log_format format,
    char *out, size_t size)
{
	struct line l = {.p = out, .size = size};

	switch (format) {
	case CONF_LOG_SQUID:
		format_squid(&l, record);
		break;
	case CONF_LOG_COMBINED:
		format_combined(&l, record);
		break;
	case CONF_LOG_JSON:
		format_json(&l, record);
		break;
	}
	return l.n;
}
