/*
 * What the fuzzers share: libFuzzer's entry, one arena a round, and the input
 * cut into pieces. A finding is a sanitizer's report or a failed check().
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "larder/arena.h"
#include "larder/check.h"

#include "http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_limits fuzz_limits = {
    .line = 1024, .head = 8192, .fields = 64};

/* Takes what stands before the first NUL off. */
static inline struct bytes
fuzz_piece(struct bytes *rest)
{
	const char *nul = rest->n ? memchr(rest->p, '\0', rest->n) : NULL;
	size_t n = nul ? (size_t)(nul - rest->p) : rest->n;
	struct bytes piece = {rest->n ? rest->p : "", n};

	*rest = bytes_skip((struct bytes){piece.p, rest->n}, n + 1);
	return piece;
}

/* A head made of a start line and of field lines from outside; false if they
 * are none. */
static inline bool
fuzz_head(struct bytes start, struct bytes lines, bool request,
    struct arena *arena, struct http_head *out)
{
	struct http_fault fault;
	size_t n = start.n + lines.n + 2;
	char *p = arena_alloc(arena, n);
	struct bytes text = {p, n};

	check(p != NULL);
	memcpy(p, start.p, start.n);
	if (lines.n)
		memcpy(p + start.n, lines.p, lines.n);
	memcpy(p + n - 2, "\r\n", 2);
	return (request ? http_parse_request(
			      text, &fuzz_limits, arena, out, &fault)
			: http_parse_response(
			      text, &fuzz_limits, arena, out, &fault)) == 0;
}

#endif
