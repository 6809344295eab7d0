/* A chunked body: the same however the bytes come; what is written anew says
 * the same. */
#include "fuzz.h"

#include "http/body.h"

struct outcome {
	int err;
	size_t used;
	uint64_t total, sum;
	uint32_t trailers;
};

static struct outcome
take(struct bytes in, size_t step)
{
	struct http_body body = {.framing = HTTP_BODY_CHUNKED};
	struct outcome o = {.err = LARDER_AGAIN};
	size_t have = 0;

	while (o.err == LARDER_AGAIN || o.err == 0) {
		struct bytes data;
		size_t used;

		if (o.err == LARDER_AGAIN) {
			if (have == in.n && have == o.used)
				break;
			have = in.n - have < step ? in.n : have + step;
		}
		o.err = http_body_next(&body,
		    (struct bytes){in.p + o.used, have - o.used}, &used, &data);
		check(used <= have - o.used && data.n <= used);
		check(o.err == 0 || data.n == 0);
		o.used += used;
		for (size_t i = 0; i < data.n; i++)
			o.sum = o.sum * 31 + (unsigned char)data.p[i];
	}
	check((o.err == LARDER_ABSENT) == http_body_done(&body));
	o.total = body.total;
	o.trailers = body.trailers_size;
	check(o.trailers <= HTTP_TRAILERS_MAX);
	if (o.err == LARDER_ABSENT) {
		struct http_fault fault;
		struct http_head head;
		struct arena arena;
		const struct http_limits limits = {
		    .line = 1, .head = 8192, .fields = 8192};

		arena_init(&arena, 1 << 20);
		check(http_parse_fields(http_body_trailers(&body), &limits,
			  &arena, &head, &fault) == 0);
		check(!http_has(&head, HTTP_F_CONTENT_LENGTH));
		arena_release(&arena);
	}
	http_body_release(&body);
	return o;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct outcome all = take(in, SIZE_MAX), one = take(in, 1),
		       three = take(in, 3);

	check(all.err == one.err && all.err == three.err);
	check(all.used == one.used && all.used == three.used);
	check(all.total == one.total && all.sum == one.sum);
	check(all.trailers == three.trailers && all.sum == three.sum);
	return 0;
}
