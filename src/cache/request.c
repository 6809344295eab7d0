/*
 * The request as the cache sees it.
 */
#include "cache/request.h"

/* Content-Length of 0 is none. */
static bool
has_content(const struct http_head *head)
{
	struct bytes length = http_value(head, HTTP_F_CONTENT_LENGTH);
	uint64_t n;

	return http_has(head, HTTP_F_TRANSFER_ENCODING) ||
	       (length.p != NULL &&
		   (!bytes_decimal(length, UINT64_MAX, &n) || n > 0));
}

/* CGI (RFC 3875 4.1.18) tells a hyphen from an underscore no more than upper
 * case from lower. */
static bool
is_spelled(struct bytes name, struct bytes as)
{
	if (name.n != as.n)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i] == '_' ? '-' : bytes_lower(name.p[i]);

		if (c != bytes_lower(as.p[i]))
			return false;
	}
	return true;
}

bool
cache_overrides(struct bytes name)
{
	static const struct bytes names[] = {
	    {"Forwarded", 9},
	    {"X-Forwarded-Host", 16},
	    {"X-Forwarded-Proto", 17},
	    {"X-Forwarded-Protocol", 20},
	    {"X-Forwarded-Scheme", 18},
	    {"X-Forwarded-SSL", 15},
	    {"X-Forwarded-Port", 16},
	    {"X-Forwarded-Server", 18},
	    {"X-Forwarded-Prefix", 18},
	    {"X-Forwarded-Path", 16},
	    {"X-Forwarded-URI", 15},
	    {"X-Host", 6},
	    {"X-Original-Host", 15},
	    {"X-HTTP-Host-Override", 20},
	    {"X-Backend-Host", 14},
	    {"X-Original-URL", 14},
	    {"X-Original-URI", 14},
	    {"X-Original-Path", 15},
	    {"X-Rewrite-URL", 13},
	    {"X-Rewrite-URI", 13},
	    {"X-URL-Scheme", 12},
	    {"Front-End-Https", 15},
	    {"X-HTTP-Method", 13},
	    {"X-HTTP-Method-Override", 22},
	    {"X-Method-Override", 17},
	    /* HTTP_PROXY of CGI (CVE-2016-5385) */
	    {"Proxy", 5},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (is_spelled(name, names[i]))
			return true;
	return false;
}

static bool
is_printable(struct bytes b)
{
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] < ' ' || b.p[i] > '~') /* char may be signed */
			return false;
	return true;
}

static bool
is_odd(const struct cache_request *r)
{
	const struct http_head *head = r->head;
	size_t size = head->method_text.n + head->target.n;

	if (r->overrides || !is_printable(head->target))
		return true;
	http_each_field (f, head) {
		size += f->name.n + f->value.n + 4;
		if (!is_printable(f->value))
			return true;
	}
	return size > CACHE_ODD_HEAD ||
	       (!r->content && (http_has(head, HTTP_F_CONTENT_TYPE) ||
				   http_has(head, HTTP_F_CONTENT_ENCODING) ||
				   http_has(head, HTTP_F_CONTENT_RANGE)));
}

void
cache_request_init(struct cache_request *out, const struct http_head *head)
{
	*out = (struct cache_request){.head = head, .asked = head};
	cache_control_parse(head, true, &out->control);
	out->authorized = http_has(head, HTTP_F_AUTHORIZATION);
	out->conditional = http_has(head, HTTP_F_IF_NONE_MATCH) ||
			   http_has(head, HTTP_F_IF_MODIFIED_SINCE);
	out->precondition = http_has(head, HTTP_F_IF_MATCH) ||
			    http_has(head, HTTP_F_IF_UNMODIFIED_SINCE);
	out->content = has_content(head);
	/* RFC 9110 14.2: of GET alone. */
	out->ranged =
	    head->method == HTTP_GET && http_count(head, HTTP_F_RANGE) == 1;
	out->single =
	    out->ranged &&
	    http_range_single(http_value(head, HTTP_F_RANGE), &out->range);
	out->partial = out->ranged && !(out->single && !out->range.suffix &&
					  out->range.first == 0 &&
					  out->range.last == UINT64_MAX);
	http_each_field (f, head)
		out->overrides |=
		    f->id == HTTP_F_OTHER && cache_overrides(f->name);
	out->odd = is_odd(out);
}
