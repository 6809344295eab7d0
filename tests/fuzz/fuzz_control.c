/* Cache-Control, Pragma and CDN-Cache-Control of either side. */
#include "fuzz.h"

#include "cache/control.h"

static void
check_seconds(int64_t v)
{
	check(v >= CACHE_NOT_GIVEN && v <= CACHE_SECONDS_MAX);
}

static void
check_control(const struct cache_control *cc)
{
	check_seconds(cc->max_age);
	check_seconds(cc->s_maxage);
	check_seconds(cc->min_fresh);
	check_seconds(cc->max_stale);
	check_seconds(cc->stale_while_revalidate);
	check_seconds(cc->stale_if_error);
	check(cc->private_fields.n == 0 || !cc->is_private);
	check(cc->no_cache_fields.n == 0 || !cc->no_cache);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct cache_control cc;
	struct http_head head;
	struct arena arena;

	arena_init(&arena, 1 << 20);
	if (fuzz_head(BYTES("HTTP/1.1 200 OK\r\n"), in, false, &arena, &head)) {
		cache_control_parse(&head, false, &cc);
		check_control(&cc);
		cache_control_parse(&head, true, &cc);
		check_control(&cc);
		check(cc.no_cache_fields.n == 0);
		if (cache_control_targeted(&head, &cc))
			check_control(&cc);
	}
	arena_release(&arena);
	return 0;
}
