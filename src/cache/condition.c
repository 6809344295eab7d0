/*
 * The conditions of clients (RFC 9110 13) held against a response that is
 * about to be sent.
 */
#include "cache/decide.h"
#include "cache/etag.h"
#include "http/date.h"

/* 13.1.2: weak comparison; "*" fits whatever there is. True: 304. */
static bool
none_match_fails(const struct http_head *request, struct bytes etag)
{
	const struct http_field *field = NULL;
	struct bytes tag;

	while (
	    (field = http_next(request, HTTP_F_IF_NONE_MATCH, field)) != NULL) {
		struct bytes rest = field->value;

		if (bytes_eq(rest, BYTES("*")))
			return true;
		while (cache_etag_next(&rest, &tag))
			if (etag.n > 0 && cache_etag_weak_eq(tag, etag))
				return true;
	}
	return false;
}

int
cache_precondition(const struct http_head *request, struct bytes etag,
    int64_t last_modified, int64_t now)
{
	int64_t since;

	if (request->method != HTTP_GET && request->method != HTTP_HEAD)
		return 200;
	/* 13.2.2: the tags alone count where there are any. */
	if (http_has(request, HTTP_F_IF_NONE_MATCH))
		return none_match_fails(request, etag) ? 304 : 200;
	if (http_count(request, HTTP_F_IF_MODIFIED_SINCE) != 1 ||
	    last_modified == HTTP_DATE_INVALID)
		return 200;
	since =
	    http_date_parse(http_value(request, HTTP_F_IF_MODIFIED_SINCE), now);
	return since != HTTP_DATE_INVALID && last_modified <= since ? 304 : 200;
}

int
cache_precondition_stored(
    const struct http_head *request, const struct cache_meta *meta, int64_t now)
{
	return cache_precondition(request, meta->etag,
	    meta->last_modified != HTTP_DATE_INVALID ? meta->last_modified
						     : meta->date,
	    now);
}

bool
cache_if_range(const struct http_head *request, struct bytes etag,
    int64_t last_modified, int64_t date, int64_t now)
{
	struct bytes value = http_value(request, HTTP_F_IF_RANGE);

	if (value.p == NULL)
		return true;
	if (http_count(request, HTTP_F_IF_RANGE) != 1)
		return false;
	if (cache_etag_valid(value))
		return etag.n > 0 && cache_etag_strong_eq(value, etag) &&
		       cache_etag_strong_eq(etag, value);
	/* 13.1.5 and 8.8.2.2: a date is strong if it was at least a second in
	 * the past when the response was made; and it must be the same. */
	return last_modified != HTTP_DATE_INVALID &&
	       date != HTTP_DATE_INVALID && last_modified < date &&
	       http_date_parse(value, now) == last_modified;
}
