/*
 * The stored form of a head: made, taken apart, and cut down to what a 304
 * carries.
 */
#include "cache/admit.h"
#include "cache/control.h"
#include "http/date.h"
#include "http/forward.h"
#include "http/list.h"

/* A form is made of a head that passed the limits; this only bounds it. */
static const struct http_limits form_limits = {
    .line = 1 << 16, .head = 1 << 22, .fields = 4096};

static bool
is_named(struct bytes list, struct bytes name)
{
	struct bytes element;

	while (http_list_split(&list, &element))
		if (bytes_ieq(element, name))
			return true;
	return false;
}

/* Fields that are of the message on this connection, or of this moment. */
static bool
is_added_later(enum http_field_id id)
{
	return id == HTTP_F_CONTENT_LENGTH || id == HTTP_F_TRANSFER_ENCODING ||
	       id == HTTP_F_AGE;
}

static void
status_line(struct http_out *out, const struct http_head *head)
{
	http_out_str(out, "HTTP/1.1 ");
	http_out_u64(out, (uint64_t)head->status);
	http_out_str(out, " ");
	if (head->reason.n > 0)
		http_out_bytes(out, head->reason);
	else
		http_out_str(out, http_reason(head->status));
	http_out_str(out, "\r\n");
}

static size_t
guess(const struct http_head *head)
{
	size_t n = 64 + head->reason.n;

	http_each_field (f, head)
		n += f->name.n + f->value.n + 4;
	return n + 40;
}

struct bytes
cache_head_form(const struct http_head *response, bool for_store,
    int64_t response_time, struct arena *arena)
{
	struct cache_control control;
	char date[HTTP_DATE_SIZE];
	struct http_out out;

	cache_control_parse(response, false, &control);
	http_out_init(&out, arena, guess(response));
	status_line(&out, response);
	http_each_field (f, response) {
		if (is_added_later(f->id) || !http_field_passes(response, f))
			continue;
		/* RFC 9111 5.2.2.4 and 5.2.2.7 */
		if (for_store &&
		    (is_named(control.private_fields, f->name) ||
			is_named(control.no_cache_fields, f->name)))
			continue;
		http_out_field(&out, f->name, f->value);
	}
	/* RFC 9110 6.6.1 */
	if (!http_has(response, HTTP_F_DATE)) {
		size_t n = http_date_format(response_time, date);

		http_out_field(&out, BYTES("Date"), (struct bytes){date, n});
	}
	return http_out_done(&out);
}

bool
cache_form_strips(const struct http_head *response)
{
	struct cache_control control;

	cache_control_parse(response, false, &control);
	return control.private_fields.n > 0 || control.no_cache_fields.n > 0;
}

int
cache_head_parse(struct bytes form, struct arena *arena, struct http_head *out)
{
	const struct bytes version = BYTES("HTTP/1.1 ");
	struct http_fault fault;
	const char *end = form.n ? memchr(form.p, '\n', form.n) : NULL;
	struct bytes line, fields;
	uint64_t status;
	int err;

	if (end == NULL || end - form.p < 14 || end[-1] != '\r' ||
	    !bytes_starts(form, version) || form.p[12] != ' ' ||
	    !bytes_decimal((struct bytes){form.p + 9, 3}, 999, &status) ||
	    status < 100)
		return LARDER_DAMAGED;
	line = (struct bytes){form.p, (size_t)(end - form.p) - 1};
	fields = bytes_skip(form, line.n + 2);
	err = http_parse_fields(fields, &form_limits, arena, out, &fault);
	if (err < 0)
		return err == LARDER_NOMEM ? err : LARDER_DAMAGED;
	out->status = (int)status;
	out->reason = bytes_skip(line, 13);
	out->minor = 1;
	return 0;
}

struct bytes
cache_head_not_modified(const struct http_head *stored, struct arena *arena)
{
	struct http_out out;

	http_out_init(&out, arena, 512);
	http_out_str(&out, "HTTP/1.1 304 Not Modified\r\n");
	http_each_field (f, stored) {
		/* RFC 9110 15.4.5; Last-Modified for who has no tag to go
		 * by. CDN-Cache-Control is Cache-Control for some. */
		if (f->id == HTTP_F_CACHE_CONTROL ||
		    f->id == HTTP_F_CDN_CACHE_CONTROL ||
		    f->id == HTTP_F_CONTENT_LOCATION || f->id == HTTP_F_DATE ||
		    f->id == HTTP_F_ETAG || f->id == HTTP_F_EXPIRES ||
		    f->id == HTTP_F_VARY ||
		    (f->id == HTTP_F_LAST_MODIFIED &&
			!http_has(stored, HTTP_F_ETAG)))
			http_out_field(&out, f->name, f->value);
	}
	return http_out_done(&out);
}
