/* A record's meta from a disk that may hold anything, and a decision on it. */
#include "fuzz.h"

#include "cache/decide.h"

static void
decide(const struct cache_stored *stored, struct bytes lines, int64_t now,
    struct arena *arena)
{
	const struct cache_policy policy = {.stale_if_error = 86400};
	struct cache_request request;
	struct cache_decision d;
	struct http_head head;

	if (!fuzz_head(BYTES("GET / HTTP/1.1\r\n"), lines, true, arena, &head))
		return;
	cache_request_init(&request, &head);
	cache_decide(&request, stored, 1, now, &policy, arena, &d);
	check(d.action != CACHE_SEND || d.chosen == 0);
	check(d.action != CACHE_SEND || d.stale || d.ttl > 0);
	check(cache_why_text(d.why) != NULL);
	cache_may_serve_stale(&request, &stored->meta, now, &policy);
	cache_precondition_stored(&head, &stored->meta, now);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cache_stored stored = {.variant = {"", 0}};
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct bytes lines = fuzz_piece(&in), again;
	int64_t now = 1700000000;
	struct arena arena;

	arena_init(&arena, 1 << 20);
	if (in.n >= 8) {
		memcpy(&now, in.p, 8);
		in = bytes_skip(in, 8);
	}
	if (cache_meta_decode(in, &stored.meta) == 0) {
		again = cache_meta_encode(&stored.meta, &arena);
		check(bytes_eq(again, in));
		check(cache_age(&stored.meta, now) >= 0);
		check(cache_ttl(&stored.meta, now) <= stored.meta.lifetime);
		decide(&stored, lines, now, &arena);
	}
	arena_release(&arena);
	return 0;
}
