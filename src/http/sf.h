/*
 * Structured fields (RFC 8941): dictionaries, as far as larder reads any.
 * Strict: one bad member and there is no field. Pure.
 */
#ifndef HTTP_SF_H
#define HTTP_SF_H

#include "http/head.h"

enum http_sf_type {
	HTTP_SF_INTEGER,
	HTTP_SF_DECIMAL,
	HTTP_SF_STRING,
	HTTP_SF_TOKEN,
	HTTP_SF_BINARY,
	HTTP_SF_BOOLEAN,
	HTTP_SF_INNER_LIST,
};

struct http_sf_member {
	struct bytes key;
	enum http_sf_type type;
	int64_t integer;   /* of an INTEGER */
	bool boolean;	   /* of a BOOLEAN */
	struct bytes text; /* of a STRING (backslashes left in), TOKEN */
};

/* Walks a dictionary over all lines of the field. Parameters are checked and
 * passed over. A key that comes twice comes twice: the last one counts. */
struct http_sf {
	const struct http_head *head;
	enum http_field_id id;
	const struct http_field *line;
	struct bytes rest;
	bool failed;
};

void http_sf_init(
    struct http_sf *sf, const struct http_head *head, enum http_field_id id);
/* False at the end, or if sf->failed: then all members before are void. */
bool http_sf_next(struct http_sf *sf, struct http_sf_member *out);

#endif
