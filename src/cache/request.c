/*
 * The request as the cache sees it.
 */
#include "cache/request.h"

#include "http/range.h"

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

void
cache_request_init(struct cache_request *out, const struct http_head *head)
{
	struct http_range_spec spec;

	*out = (struct cache_request){.head = head};
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
	out->partial =
	    out->ranged &&
	    !(http_range_single(http_value(head, HTTP_F_RANGE), &spec) &&
		!spec.suffix && spec.first == 0 && spec.last == UINT64_MAX);
}
