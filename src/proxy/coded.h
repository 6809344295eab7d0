/*
 * Bodies that were coded for a client, kept for the next one: to code a text of
 * some KiB takes ten times as long as all else of a hit. One worker's; small
 * bodies only, the latest used ones, within bytes that the caller names.
 */
#ifndef PROXY_CODED_H
#define PROXY_CODED_H

#include <stddef.h>
#include <stdint.h>

#include "http/coding.h"
#include "larder/list.h"

/* A longer one is not kept; nor is it tried with what is longer than that
 * before. Bytes. */
#define CODED_MAX  (64u * 1024)
#define CODED_FROM (4 * CODED_MAX)

struct coded_body {
	unsigned refs;
	struct coded_body *next; /* in its slot */
	struct list node;	 /* the latest used last; in none: let go of */
	uint64_t id;		 /* of the store's record */
	enum http_coding to;
	uint64_t raw; /* bytes of the body that it was made of */
	size_t n;
	char data[];
};

struct coded;

/* LARDER_NOMEM. */
int coded_new(struct coded **out);
/* Nobody holds a body any more. */
void coded_free(struct coded **coded);

/* A reference, or NULL. */
struct coded_body *coded_find(
    struct coded *c, uint64_t id, enum http_coding to);
void coded_unref(struct coded_body **body);

/* Copies n bytes, at most CODED_MAX. All that is kept takes `most` bytes; out
 * of memory nothing is. */
void coded_keep(struct coded *c, uint64_t id, enum http_coding to, uint64_t raw,
    const char *p, size_t n, size_t most);

#endif
