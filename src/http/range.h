/*
 * Byte ranges (RFC 9110 14). Pure; never overflows.
 */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include "http/head.h"

#define HTTP_RANGES_MAX 8

struct http_range {
	uint64_t from, to; /* [from, to) */
};

enum http_range_verdict {
	HTTP_RANGE_IGNORE, /* none, not bytes, malformed, too many or absurd:
			    * the whole is sent */
	HTTP_RANGE_PARTS,  /* 206: 1 or more satisfiable ones */
	HTTP_RANGE_NONE,   /* 416: none is satisfiable */
};

struct http_ranges {
	unsigned count;
	/* In order as asked; none overlaps or is adjacent to another. */
	struct http_range range[HTTP_RANGES_MAX];
};

/* One raw range as it was asked, before a length is known. */
struct http_range_spec {
	bool suffix;	/* "-n": the last n bytes */
	uint64_t first; /* or n */
	uint64_t last;	/* UINT64_MAX: open */
};

/* Only a single one: false if Range is not exactly one valid bytes range. */
bool http_range_single(struct bytes value, struct http_range_spec *out);

/* Range's value against a representation of `length` bytes. */
enum http_range_verdict http_range_resolve(
    struct bytes value, uint64_t length, struct http_ranges *out);

/* Content-Range: "bytes a-b/len" into from, to (exclusive) and *length
 * (UINT64_MAX for "*"). LARDER_INVALID otherwise. */
int http_content_range(
    struct bytes value, struct http_range *out, uint64_t *length);

#endif
