/*
 * Cache-Status: one member, larder's, with parameters in the order that RFC
 * 9211 2 lists them.
 */
#include "cache/status.h"

/* Integers of structured fields have 15 digits (RFC 8941 3.3.1). */
#define INTEGER_MAX INT64_C(999999999999999)

static void
integer(struct http_out *out, int64_t n)
{
	if (n < 0) {
		http_out_str(out, "-");
		n = n < -INTEGER_MAX ? INTEGER_MAX : -n;
	}
	http_out_u64(out, (uint64_t)(n > INTEGER_MAX ? INTEGER_MAX : n));
}

/* sf-token (RFC 8941 3.3.4), or else sf-string; of that, only what it can
 * carry. */
static void
token_or_string(struct http_out *out, struct bytes text)
{
	char first = text.n ? bytes_lower(text.p[0]) : '\0';

	if (first >= 'a' && first <= 'z' && http_is_token(text)) {
		http_out_bytes(out, text);
		return;
	}
	http_out_str(out, "\"");
	for (size_t i = 0; i < text.n; i++) {
		struct bytes c = {text.p + i, 1};

		if (*c.p < 0x20 || *c.p > 0x7e)
			continue;
		if (*c.p == '"' || *c.p == '\\')
			http_out_str(out, "\\");
		http_out_bytes(out, c);
	}
	http_out_str(out, "\"");
}

void
cache_status_write(struct http_out *out, const struct cache_status *s)
{
	http_out_str(out, "Cache-Status: larder");
	/* 2.1 and 2.2: never both. */
	if (s->hit)
		http_out_str(out, "; hit");
	else if (s->fwd != NULL) {
		http_out_str(out, "; fwd=");
		http_out_str(out, s->fwd);
		if (s->fwd_status != 0) {
			http_out_str(out, "; fwd-status=");
			integer(out, s->fwd_status);
		}
	}
	if (s->has_ttl) {
		http_out_str(out, "; ttl=");
		integer(out, s->ttl);
	}
	/* 2.5 and 2.6 are of what was forwarded. */
	if (s->stored && !s->hit)
		http_out_str(out, "; stored");
	if (s->collapsed && !s->hit)
		http_out_str(out, "; collapsed");
	if (s->detail != NULL) {
		http_out_str(out, "; detail=");
		token_or_string(out, bytes_str(s->detail));
	}
	http_out_str(out, "\r\n");
}
