/* Variants: a request matches the variant that it made; any bytes can stand in
 * the store. */
#include "fuzz.h"

#include "cache/vary.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct bytes request_lines = fuzz_piece(&in);
	struct bytes response_lines = fuzz_piece(&in);
	struct http_head request, response;
	struct bytes variant;
	struct arena arena;

	arena_init(&arena, 1 << 22);
	if (fuzz_head(BYTES("GET / HTTP/1.1\r\n"), request_lines, true, &arena,
		&request)) {
		cache_variant_matches(in, &request, &arena);
		check(cache_variant_text(in, &arena).p != NULL);
		if (fuzz_head(BYTES("HTTP/1.1 200 OK\r\n"), response_lines,
			false, &arena, &response) &&
		    cache_variant(&request, &response, &arena, &variant) == 0)
			check(cache_variant_matches(variant, &request, &arena));
	}
	arena_release(&arena);
	return 0;
}
