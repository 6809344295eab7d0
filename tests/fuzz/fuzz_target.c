/* Targets, references, keys and globs: a URL and its key mean the same. */
#include "fuzz.h"

#include "cache/key.h"

static void
check_target(const struct http_target *t, struct arena *arena)
{
	struct bytes key = cache_key(t, arena);
	struct http_target again;
	const char *why;

	check(key.p != NULL && t->path.n > 0 && t->path.p[0] == '/');
	check(cache_key_host_is(key, http_target_authority(t, arena)));
	check(cache_key_glob(BYTES("*"), key));
	/* Typed as a URL, that is the marker of apt-cacher-ng's users. */
	if (bytes_starts(key, BYTES("http://https///")))
		return;
	check(http_target_of_url(key, arena, &again, &why) == 0);
	check(http_target_same_origin(t, &again));
	check(bytes_eq(t->path, again.path));
	check(bytes_eq(cache_key(&again, arena), key));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct bytes url = fuzz_piece(&in), reference = fuzz_piece(&in);
	struct http_target base, t;
	struct arena arena;
	const char *why;

	arena_init(&arena, 1 << 22);
	if (http_target_of_url(url, &arena, &base, &why) == 0) {
		check_target(&base, &arena);
		if (http_target_resolve(&base, reference, &arena, &t) == 0)
			check_target(&t, &arena);
	}
	cache_key_glob(reference, url);
	cache_key_host_is(url, reference);
	arena_release(&arena);
	return 0;
}
