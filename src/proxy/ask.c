/*
 * The request as the origin gets it: written anew from what was understood,
 * never relayed raw.
 */
#include "cache/validate.h"
#include "http/forward.h"
#include "larder/check.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/via.h"

/* Conditions and ranges that the client set for its own copy: where larder
 * fetches for itself they must not shape the answer. */
static bool
is_condition(enum http_field_id id)
{
	return id == HTTP_F_IF_NONE_MATCH || id == HTTP_F_IF_MODIFIED_SINCE ||
	       id == HTTP_F_IF_MATCH || id == HTTP_F_IF_UNMODIFIED_SINCE;
}

static bool
is_range(enum http_field_id id)
{
	return id == HTTP_F_RANGE || id == HTTP_F_IF_RANGE;
}

/* A client with a copy of its own, and nothing stored: its condition goes to
 * the origin, so that bytes that it has do not cross the uplink. */
static bool
keeps_conditions(const struct fetch *f)
{
	return f->action == CACHE_PASS ||
	       (f->action == CACHE_FETCH && f->stored_count == 0 &&
		   f->cache_request.conditional && !f->background);
}

static bool
field_goes(const struct fetch *f, const struct http_field *field)
{
	if (field->id == HTTP_F_HOST || field->id == HTTP_F_CONTENT_LENGTH)
		return false; /* written by ask_write() itself */
	if (field->id == HTTP_F_MAX_FORWARDS &&
	    (f->request.method == HTTP_OPTIONS ||
		f->request.method == HTTP_TRACE))
		return false;
	if (field->id == HTTP_F_EXPECT)
		return f->uploads && f->request.minor >= 1;
	if (is_condition(field->id) && !keeps_conditions(f))
		return false;
	if (is_range(field->id) && f->action != CACHE_PASS &&
	    f->action != CACHE_PART)
		return false;
	if (field->id == HTTP_F_OTHER && !f->policy.override_fields &&
	    cache_overrides(field->name))
		return false;
	return http_field_passes(&f->request, field);
}

static void
write_body_framing(const struct fetch *f, struct http_out *out)
{
	const struct http_body *body =
	    f->leader != NULL ? &f->leader->body : NULL;

	if (body == NULL || f->request.method == HTTP_CONNECT)
		return;
	if (body->framing == HTTP_BODY_CHUNKED) {
		http_out_str(out, "Transfer-Encoding: chunked\r\n");
	} else if (http_has(&f->request, HTTP_F_CONTENT_LENGTH)) {
		/* As it stood at first: nothing of it has been taken yet. */
		http_out_str(out, "Content-Length: ");
		http_out_u64(out, body->left + body->total);
		http_out_str(out, "\r\n");
	}
}

static void
write_max_forwards(const struct fetch *f, struct http_out *out)
{
	struct bytes value = http_value(&f->request, HTTP_F_MAX_FORWARDS);
	uint64_t n = UINT32_MAX; /* the most that is counted here */

	if (f->request.method != HTTP_OPTIONS &&
	    f->request.method != HTTP_TRACE)
		return;
	if (!http_is_number(value))
		return;
	if (!bytes_decimal(value, UINT32_MAX, &n))
		n = UINT32_MAX;
	if (n == 0)
		return;
	http_out_str(out, "Max-Forwards: ");
	http_out_u64(out, n - 1);
	http_out_str(out, "\r\n");
}

/*
 * A named site has an origin of its own name: that name is what it is asked
 * for. Site "*" stands for any host, so the host is passed on.
 */
static struct bytes
authority(struct fetch *f)
{
	struct http_target origin = f->target;

	if (f->site != NULL && f->site->host[0] != '*') {
		origin.tls = f->site->origin_tls;
		origin.host = bytes_str(f->site->origin_host);
		origin.v6 = memchr(origin.host.p, ':', origin.host.n) != NULL;
		origin.port = f->site->origin_port;
	}
	return http_target_authority(&origin, &f->arena);
}

/* What is missing, unless it is no longer of what is stored (RFC 9110 13.1.5).
 */
static void
write_gap(const struct fetch *f, struct http_out *out)
{
	const struct cache_meta *m = &f->stored[f->chosen].meta;
	char date[HTTP_DATE_SIZE];

	http_out_str(out, "Range: bytes=");
	http_out_u64(out, f->part.first);
	http_out_str(out, "-");
	if (f->part.last != UINT64_MAX)
		http_out_u64(out, f->part.last);
	http_out_str(out, "\r\n");
	http_out_field(out, BYTES("If-Range"),
	    m->etag.n > 0 ? m->etag : cache_last_modified(m, date));
}

int
ask_write(struct fetch *f)
{
	struct http_out out;

	http_out_init(&out, &f->arena, 512);
	http_out_bytes(&out, f->request.method_text);
	http_out_str(&out, " ");
	http_out_bytes(&out, f->target.path);
	http_out_str(&out, " HTTP/1.1\r\n");
	http_out_field(&out, BYTES("Host"), authority(f));
	f->conditional = false;
	http_each_field (field, f->cache_request.asked) {
		if (!field_goes(f, field))
			continue;
		http_out_field(&out, field->name, field->value);
		f->conditional |= is_condition(field->id);
	}
	write_max_forwards(f, &out);
	if (f->action == CACHE_REVALIDATE && !f->unconditional)
		f->conditional |= cache_conditions(
		    &out, f->stored, f->stored_count, f->chosen);
	if (f->action == CACHE_COMPLETE && !f->unconditional)
		write_gap(f, &out);
	write_body_framing(f, &out);
	via_write(&out, f->request.minor, proxy_id(f->w->proxy));
	http_out_str(&out, "\r\n");
	f->ask = http_out_done(&out);
	return f->ask.p == NULL ? LARDER_NOMEM : 0;
}
