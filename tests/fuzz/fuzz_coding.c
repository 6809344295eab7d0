/* Content codings: hostile bytes end in bounded output or an error; what was
 * coded is what comes back, however it was cut. */
#include "fuzz.h"

#include <stdlib.h>

#include "http/coding.h"

#define LIMIT (256u * 1024)

/* How input and output are cut. */
struct cut {
	size_t give, room;
	bool flush;
};

/* The last result; *to (of room LIMIT + HTTP_CODER_PIECE) has *n bytes. */
static int
run(enum http_coding from, enum http_coding to, struct cut cut, struct bytes in,
    char *out, size_t *n)
{
	struct http_coder *coder;
	int result = 0;

	*n = 0;
	check(http_coder_new(from, to, LIMIT, &coder) == 0);
	while (result == 0 || result == LARDER_AGAIN) {
		size_t give = in.n < cut.give ? in.n : cut.give, put;
		struct bytes piece = bytes_of(in.p, give);
		enum http_coder_more more =
		    give == in.n
			? HTTP_CODER_END
			: (cut.flush ? HTTP_CODER_LATER : HTTP_CODER_MORE);

		result = http_coder_step(
		    coder, &piece, more, out + *n, cut.room, &put);
		check(put <= cut.room);
		*n += put;
		check(to != HTTP_CODING_IDENTITY || *n <= LIMIT);
		check(*n <= 2 * LIMIT);
		in = bytes_skip(in, give - piece.n);
		check(result != LARDER_AGAIN || (piece.n == 0 && in.n > 0));
	}
	check(result != LARDER_ABSENT || in.n == 0);
	check(http_coder_memory(coder) < (9u << 20) + (1u << 19));
	http_coder_free(&coder);
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char out[2 * LIMIT + HTTP_CODER_PIECE],
	    back[2 * LIMIT + HTTP_CODER_PIECE];
	enum http_coding from, to;
	struct bytes in;
	struct cut cut;
	size_t n, m;

	if (size < 3 || size > 16 * 1024)
		return 0;
	from = (enum http_coding)(data[0] % 3);
	to = (enum http_coding)(data[0] / 3 % 3);
	cut = (struct cut){
	    .give = 1 + (size_t)data[1] * data[1],
	    .room = HTTP_CODER_ROOM + (size_t)data[2] * data[2] / 4,
	    .flush = data[0] >= 128,
	};
	if (from == to)
		return 0;
	in = bytes_of((const char *)data + 3, size - 3);
	/* Back to what it was, if it was something. */
	if (run(from, to, cut, in, out, &n) == LARDER_ABSENT &&
	    from == HTTP_CODING_IDENTITY) {
		check(run(to, from, cut, bytes_of(out, n), back, &m) ==
		      LARDER_ABSENT);
		check(bytes_eq(bytes_of(back, m), in));
	}
	return 0;
}
