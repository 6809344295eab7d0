/*
 * Who is meant: authorities and request targets. A host is letters, digits,
 * "-", "." and "_", or an IPv6 literal; what RFC 3986 allows beyond it
 * (percent-encoding, sub-delims) is another name to every other parser, and
 * refused.
 */
#include "http/target.h"

#include "http/authority.h"
#include "http/chars.h"
#include "http/forward.h"

static int
refuse(struct http_fault *fault, const char *text)
{
	*fault = (struct http_fault){400, text};
	return LARDER_INVALID;
}

/* Takes "http://" or "https://" off. */
static bool
scheme(struct bytes *b, bool *tls)
{
	const struct bytes http = BYTES("http://"), https = BYTES("https://");

	if (b->n >= http.n && bytes_ieq((struct bytes){b->p, http.n}, http)) {
		*tls = false;
		*b = bytes_skip(*b, http.n);
		return true;
	}
	if (b->n >= https.n &&
	    bytes_ieq((struct bytes){b->p, https.n}, https)) {
		*tls = true;
		*b = bytes_skip(*b, https.n);
		return true;
	}
	return false;
}

/* What stands before the path, or "?" where that is empty. */
static struct bytes
authority_part(struct bytes b)
{
	size_t n = 0;

	while (n < b.n && b.p[n] != '/' && b.p[n] != '?' && b.p[n] != '#')
		n++;
	return (struct bytes){b.p, n};
}

/* "" is "/", and "?q" is "/?q" (RFC 9110 4.2.3). */
static int
set_path(struct bytes path, struct arena *arena, struct http_target *out)
{
	out->path = path.n == 0 ? BYTES("/") : path;
	if (path.n > 0 && path.p[0] == '?')
		out->path = arena_printf(arena, "/%.*s", (int)path.n, path.p);
	return out->path.p ? 0 : LARDER_NOMEM;
}

/* scheme "://" authority path-and-query. *why: what is wrong. */
static int
absolute(struct bytes url, struct arena *arena, struct http_target *out,
    const char **why)
{
	const struct bytes wrapped = BYTES("HTTPS///");
	struct http_authority a;
	struct bytes text;

	if (!scheme(&url, &out->tls)) {
		*why = "the URL is neither http:// nor https://";
		return LARDER_INVALID;
	}
	/* What apt users of apt-cacher-ng write. */
	if (!out->tls && url.n >= wrapped.n &&
	    bytes_ieq(bytes_of(url.p, wrapped.n), wrapped)) {
		out->tls = true;
		url = bytes_skip(url, wrapped.n);
	}
	text = authority_part(url);
	*why = http_authority_parse(text, &a);
	if (*why != NULL)
		return LARDER_INVALID;
	url = bytes_skip(url, text.n);
	if (http_span(url, HTTP_C_TARGET) != url.n) {
		*why = "the URL has a fragment, or bytes that are to be "
		       "percent-encoded";
		return LARDER_INVALID;
	}
	out->v6 = a.v6;
	out->port = a.has_port ? a.port : out->tls ? 443 : 80;
	if (http_authority_host(&a, arena, &out->host) < 0)
		return LARDER_NOMEM;
	return set_path(url, arena, out);
}

static int
no_memory(struct http_fault *fault)
{
	*fault = (struct http_fault){431, "the request target is too long"};
	return LARDER_NOMEM;
}

static int
parse_absolute(const struct http_head *head, struct arena *arena,
    struct http_target *out, struct http_fault *fault)
{
	const char *why;
	int err = absolute(head->target, arena, out, &why);

	out->form = HTTP_FORM_ABSOLUTE;
	if (err == LARDER_NOMEM)
		return no_memory(fault);
	if (err < 0)
		return refuse(fault, why);
	/* RFC 9112 3.2.4: of the whole server, for the last proxy to say. */
	if (head->method == HTTP_OPTIONS && out->path.n == 1 &&
	    head->target.p[head->target.n - 1] != '/')
		out->path = BYTES("*");
	return 0;
}

/* RFC 9112 3.2.3: host and port, both. */
static int
parse_connect(const struct http_head *head, struct arena *arena,
    struct http_target *out, struct http_fault *fault)
{
	struct http_authority a;
	const char *why = http_authority_parse(head->target, &a);

	out->form = HTTP_FORM_AUTHORITY;
	if (why != NULL)
		return refuse(fault, why);
	if (!a.has_port)
		return refuse(fault, "CONNECT to a host without a port");
	out->v6 = a.v6;
	out->port = a.port;
	out->path = (struct bytes){"", 0};
	if (http_authority_host(&a, arena, &out->host) < 0)
		return no_memory(fault);
	return 0;
}

/* Origin and asterisk form: the authority is Host's. */
static int
of_host(const struct http_head *head, const struct http_authority *host,
    struct arena *arena, struct http_target *out, struct http_fault *fault)
{
	bool asterisk = bytes_eq(head->target, BYTES("*"));

	out->form = asterisk ? HTTP_FORM_ASTERISK : HTTP_FORM_ORIGIN;
	if (asterisk && head->method != HTTP_OPTIONS)
		return refuse(fault, "* is a target of OPTIONS alone");
	if (host->host.n == 0 && http_has(head, HTTP_F_HOST))
		return refuse(fault, "Host is empty");
	out->path = head->target;
	out->v6 = host->v6;
	out->port = host->has_port ? host->port : 80;
	if (http_authority_host(host, arena, &out->host) < 0)
		return no_memory(fault);
	return 0;
}

/* RFC 3986 has none in a path; to some it is a "/", to others a byte. */
static bool
has_backslash(struct bytes path)
{
	const char *q = memchr(path.p, '?', path.n);
	size_t n = q ? (size_t)(q - path.p) : path.n;

	return memchr(path.p, '\\', n) != NULL;
}

int
http_target_parse(const struct http_head *head, struct arena *arena,
    struct http_target *out, struct http_fault *fault)
{
	struct bytes value = http_value(head, HTTP_F_HOST);
	struct http_authority host = {.host = {"", 0}};
	unsigned hosts = http_count(head, HTTP_F_HOST);

	*out = (struct http_target){.host = {"", 0}};
	/* RFC 9112 3.2: with any form. */
	if (hosts > 1)
		return refuse(fault, "several Host fields");
	if (hosts == 0 && head->minor > 0)
		return refuse(fault, "no Host field");
	if (value.n > 0 && http_authority_parse(value, &host) != NULL)
		return refuse(fault, "Host is no host and port");
	if (head->target.n == 0 ||
	    http_span(head->target, HTTP_C_TARGET) != head->target.n)
		return refuse(fault, "the request target is no URI");
	if (has_backslash(head->target))
		return refuse(
		    fault, "a backslash in the request target's path");
	if (head->method == HTTP_CONNECT)
		return parse_connect(head, arena, out, fault);
	if (head->target.p[0] == '/' || bytes_eq(head->target, BYTES("*")))
		return of_host(head, &host, arena, out, fault);
	return parse_absolute(head, arena, out, fault);
}

int
http_target_of_url(struct bytes url, struct arena *arena,
    struct http_target *out, const char **why)
{
	const char *fragment = url.n ? memchr(url.p, '#', url.n) : NULL;

	*out = (struct http_target){.form = HTTP_FORM_ABSOLUTE};
	*why = "out of memory";
	/* Copied from a browser: no origin ever saw the fragment. */
	if (fragment != NULL)
		url.n = (size_t)(fragment - url.p);
	return absolute(url, arena, out, why);
}

bool
http_target_same_origin(
    const struct http_target *a, const struct http_target *b)
{
	return a->tls == b->tls && a->port == b->port && a->v6 == b->v6 &&
	       bytes_eq(a->host, b->host);
}

struct bytes
http_target_authority(const struct http_target *target, struct arena *arena)
{
	struct http_out out;

	http_out_init(&out, arena, target->host.n + sizeof("[]:65535"));
	if (target->v6)
		http_out_str(&out, "[");
	http_out_bytes(&out, target->host);
	if (target->v6)
		http_out_str(&out, "]");
	if (target->port != (target->tls ? 443 : 80)) {
		http_out_str(&out, ":");
		http_out_u64(&out, target->port);
	}
	return http_out_done(&out);
}
