/*
 * Targets, references, keys and globs: a key stands for one origin and one
 * target, byte for byte, and can be read back.
 */
#include "fuzz.h"

#include "cache/key.h"
#include "http/forward.h"

#define GLOB_MAX 24

static void
check_glob(struct bytes key, struct arena *arena)
{
	struct http_out out;
	struct bytes quoted;

	check(cache_key_glob(BYTES("*"), key));
	http_out_init(&out, arena, key.n * 2 + 1);
	for (size_t i = 0; i < key.n; i++) {
		if (memchr("*?[\\", key.p[i], 4) != NULL)
			http_out_str(&out, "\\");
		http_out_bytes(&out, bytes_of(key.p + i, 1));
	}
	quoted = http_out_done(&out);
	check(cache_key_glob(quoted, key));
	http_out_str(&out, "*");
	check(cache_key_glob(http_out_done(&out), key));
	http_out_str(&out, "x?");
	check(!cache_key_glob(http_out_done(&out), key) ||
	      memchr(key.p, 'x', key.n) != NULL);
}

static void
check_target(const struct http_target *t, struct arena *arena)
{
	struct bytes authority = http_target_authority(t, arena);
	struct bytes key = cache_key(t, arena), whole;
	struct http_target again;
	struct http_out out;
	const char *why;

	check(key.p != NULL && t->path.n > 0 && t->path.p[0] == '/');
	http_out_init(&out, arena, key.n);
	http_out_str(&out, t->tls ? "https://" : "http://");
	http_out_bytes(&out, authority);
	http_out_bytes(&out, t->path);
	whole = http_out_done(&out);
	check(bytes_eq(whole, key));
	check(cache_key_host_is(key, authority));
	check_glob(key, arena);
	/* Typed as a URL, that is the marker of apt-cacher-ng's users. */
	if (bytes_starts(key, BYTES("http://https///")))
		return;
	check(http_target_of_url(key, arena, &again, &why) == 0);
	check(http_target_same_origin(t, &again));
	check(bytes_eq(t->path, again.path));
	check(bytes_eq(cache_key(&again, arena), key));
}

/* One key is one request to one origin, and the other way round. */
static void
check_two(const struct http_target *a, const struct http_target *b,
    struct arena *arena)
{
	bool same = http_target_same_origin(a, b) && bytes_eq(a->path, b->path);

	check(same == bytes_eq(cache_key(a, arena), cache_key(b, arena)));
	if (http_target_same_origin(a, b))
		check(bytes_eq(http_target_authority(a, arena),
		    http_target_authority(b, arena)));
}

/* As a request says it: in absolute form, or with a Host. */
static void
check_request(struct bytes target, struct bytes host, struct arena *arena,
    const struct http_target *url)
{
	struct http_fault fault;
	struct http_target t;
	struct http_head head;
	struct http_out out;

	http_out_init(&out, arena, 256);
	http_out_str(&out, "GET ");
	http_out_bytes(&out, target);
	http_out_str(&out, " HTTP/1.1\r\n");
	http_out_field(&out, BYTES("Host"), host);
	if (!fuzz_head(http_out_done(&out), BYTES(""), true, arena, &head))
		return;
	if (http_target_parse(&head, arena, &t, &fault) != 0) {
		check(fault.status >= 400 && fault.text != NULL);
		return;
	}
	/* Without a fragment and the like, it says what the URL says. */
	if (t.form == HTTP_FORM_ABSOLUTE && url != NULL)
		check_two(&t, url, arena);
	if (t.form == HTTP_FORM_ORIGIN)
		check(bytes_eq(t.path, head.target));
	if ((t.form == HTTP_FORM_ORIGIN && t.host.n > 0) ||
	    t.form == HTTP_FORM_ABSOLUTE)
		check_target(&t, arena);
}

/* By trying all there is; without classes. */
static bool
slow_glob(struct bytes p, struct bytes k)
{
	if (p.n == 0)
		return k.n == 0;
	/* Else a row of stars would take minutes. */
	while (p.n > 1 && p.p[0] == '*' && p.p[1] == '*')
		p = bytes_skip(p, 1);
	if (p.p[0] == '*')
		return slow_glob(bytes_skip(p, 1), k) ||
		       (k.n > 0 && slow_glob(p, bytes_skip(k, 1)));
	if (p.p[0] == '\\' && p.n > 1)
		p = bytes_skip(p, 1);
	else if (p.p[0] == '?')
		return k.n > 0 && slow_glob(bytes_skip(p, 1), bytes_skip(k, 1));
	return k.n > 0 && p.p[0] == k.p[0] &&
	       slow_glob(bytes_skip(p, 1), bytes_skip(k, 1));
}

static void
compare_globs(struct bytes pattern, struct bytes key)
{
	bool quick = cache_key_glob(pattern, key);

	if (pattern.n > GLOB_MAX || key.n > GLOB_MAX || pattern.n == 0 ||
	    key.n == 0 || memchr(pattern.p, '[', pattern.n) != NULL ||
	    memchr(pattern.p, ':', pattern.n) != NULL ||
	    memchr(key.p, ':', key.n) != NULL)
		return;
	check(quick == slow_glob(pattern, cache_key_url(key)));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct bytes url = fuzz_piece(&in), reference = fuzz_piece(&in);
	struct http_target base, t;
	struct arena arena;
	const char *why;
	bool known;

	arena_init(&arena, 1 << 22);
	known = http_target_of_url(url, &arena, &base, &why) == 0;
	if (known) {
		check_target(&base, &arena);
		if (http_target_resolve(&base, reference, &arena, &t) == 0) {
			check_target(&t, &arena);
			check_two(&base, &t, &arena);
		}
		if (http_target_of_url(reference, &arena, &t, &why) == 0)
			check_two(&base, &t, &arena);
	}
	check_request(url, reference, &arena, known ? &base : NULL);
	compare_globs(reference, url);
	cache_key_host_is(url, reference);
	arena_release(&arena);
	return 0;
}
