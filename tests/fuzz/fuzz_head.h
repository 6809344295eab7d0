/*
 * The body of fuzz_request.c and fuzz_response.c: scanning gives the same
 * however the bytes come; what parses has what a head must have; written anew
 * from what was understood, it is understood in the same way.
 */
#ifndef FUZZ_HEAD_H
#define FUZZ_HEAD_H

#include "fuzz.h"

#include "http/body.h"
#include "http/forward.h"
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

static inline void
fuzz_same_body(const struct http_head *a, const struct http_head *b)
{
	struct http_body of_a = {HTTP_BODY_NONE}, of_b = {HTTP_BODY_NONE};
	struct http_fault fault;
	int err = a->status == 0
		      ? http_body_of_request(a, &of_a, &fault)
		      : http_body_of_response(a, HTTP_GET, &of_a, &fault);

	check(err == (b->status == 0 ? http_body_of_request(b, &of_b, &fault)
				     : http_body_of_response(
					   b, HTTP_GET, &of_b, &fault)));
	check(err != 0 ||
	      (of_a.framing == of_b.framing && of_a.left == of_b.left));
}

static inline void
fuzz_anew(const struct http_head *head, struct arena *arena)
{
	const char *version = head->minor == 0 ? "HTTP/1.0" : "HTTP/1.1";
	struct http_limits limits = {2048, 1 << 15, 128};
	struct http_fault fault;
	struct http_head again;
	struct http_out out;
	struct bytes text;

	http_out_init(&out, arena, 512);
	if (head->status == 0) {
		http_out_bytes(&out, head->method_text);
		http_out_str(&out, " ");
		http_out_bytes(&out, head->target);
		http_out_str(&out, " ");
		http_out_str(&out, version);
	} else {
		http_out_str(&out, version);
		http_out_str(&out, " ");
		http_out_u64(&out, (uint64_t)head->status);
		http_out_str(&out, " ");
		http_out_bytes(&out, head->reason);
	}
	http_out_str(&out, "\r\n");
	http_each_field (f, head)
		http_out_field(&out, f->name, f->value);
	http_out_str(&out, "\r\n");
	text = http_out_done(&out);
	check(text.p != NULL);
	check((head->status == 0
		      ? http_parse_request(text, &limits, arena, &again, &fault)
		      : http_parse_response(
			    text, &limits, arena, &again, &fault)) == 0);
	check(again.method == head->method && again.status == head->status);
	check(bytes_eq(again.method_text, head->method_text));
	check(bytes_eq(again.target, head->target));
	check(again.minor == head->minor && again.count == head->count);
	check(again.present == head->present);
	for (unsigned i = 0; i < head->count; i++) {
		check(bytes_eq(again.fields[i].name, head->fields[i].name));
		check(bytes_eq(again.fields[i].value, head->fields[i].value));
	}
	fuzz_same_body(head, &again);
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
		fuzz_anew(&head, &arena);
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
