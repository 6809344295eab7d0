/*
 * The body of fuzz_request.c and fuzz_response.c: scanning gives the same
 * however the bytes come; what parses has what a head must have.
 */
#ifndef FUZZ_HEAD_H
#define FUZZ_HEAD_H

#include "fuzz.h"

#include "http/body.h"
#include "http/target.h"

static inline void
fuzz_fields(const struct http_head *head)
{
	uint64_t present = 0;

	http_each_field (f, head) {
		check(http_is_token(f->name));
		check(f->id == http_field_id(f->name));
		for (size_t i = 0; i < f->value.n; i++) {
			unsigned char c = (unsigned char)f->value.p[i];

			check((c >= 0x20 && c != 0x7f) || c == '\t');
		}
		if (f->id < HTTP_F_OTHER)
			present |= UINT64_C(1) << f->id;
	}
	check(present == head->present);
	check(head->count <= fuzz_limits.fields);
}

static inline int
fuzz_scan(struct bytes in, bool request, size_t step, size_t *size)
{
	struct http_fault fault;
	size_t scanned = 0, n = 0;
	int err;

	do {
		n = in.n - n < step ? in.n : n + step;
		err = http_head_scan((struct bytes){in.p, n}, &fuzz_limits,
		    request, &scanned, size, &fault);
		check(scanned <= n);
	} while (err == LARDER_AGAIN && n < in.n);
	return err;
}

static inline void
fuzz_whole_head(struct bytes in, bool request)
{
	size_t size = 0, other = 0;
	int err = fuzz_scan(in, request, SIZE_MAX, &size);
	struct http_fault fault = {0, NULL};
	struct http_body body;
	struct http_target target;
	struct http_head head;
	struct arena arena;

	if (err != LARDER_TOOBIG)
		check(
		    fuzz_scan(in, request, 1, &other) == err && size == other);
	if (err != 0)
		return;
	arena_init(&arena, 1 << 20);
	in.n = size;
	err =
	    request
		? http_parse_request(in, &fuzz_limits, &arena, &head, &fault)
		: http_parse_response(in, &fuzz_limits, &arena, &head, &fault);
	if (err == 0) {
		fuzz_fields(&head);
		if (request) {
			http_body_of_request(&head, &body, &fault);
			http_target_parse(&head, &arena, &target, &fault);
		} else {
			http_body_of_response(&head, HTTP_GET, &body, &fault);
		}
	} else {
		check(fault.status >= 400 && fault.text != NULL);
	}
	arena_release(&arena);
}

#endif
