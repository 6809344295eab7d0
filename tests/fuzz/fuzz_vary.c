/*
 * Variants: a request matches the variant that it made; order, case and spaces
 * that mean nothing change nothing, and what means something else does; any
 * bytes can stand in the store.
 */
#include "fuzz.h"

#include "cache/vary.h"
#include "http/forward.h"
#include "http/list.h"

#define ELEMENTS_MAX 12

struct element {
	struct bytes name;
	unsigned weight, spaces;
};

static const char *const weights[] = {"", ";q=0.5", " ; Q=0.500", ";q=0",
    ";q=1.000", ";q=500", ";q=2", ";q", ";q=0.25", ";level=1"};
/* Which of them say the same. */
static const unsigned meanings[] = {0, 1, 1, 2, 0, 3, 4, 5, 6, 7};

static void
any_bytes(struct bytes in, struct arena *arena)
{
	struct bytes request_lines = fuzz_piece(&in);
	struct bytes response_lines = fuzz_piece(&in);
	struct http_head request, response;
	struct bytes variant;

	if (!fuzz_head(BYTES("GET / HTTP/1.1\r\n"), request_lines, true, arena,
		&request))
		return;
	cache_variant_matches(in, &request, arena);
	check(cache_variant_text(in, arena).p != NULL);
	if (!fuzz_head(BYTES("HTTP/1.1 200 OK\r\n"), response_lines, false,
		arena, &response) ||
	    cache_variant(&request, &response, arena, &variant) != 0)
		return;
	check(cache_variant_matches(variant, &request, arena));
	check(cache_variant_fits(variant, &response));
}

/* The list on one line; dressed: backwards, in capitals, with spaces, over
 * two lines. */
static struct http_head
list_head(
    const struct element *e, unsigned count, bool dressed, struct arena *arena)
{
	struct http_head head;
	struct http_out out;

	http_out_init(&out, arena, 256);
	http_out_str(&out, dressed ? "accept-ENCODING:" : "Accept-Encoding: ");
	for (unsigned i = 0; i < count; i++) {
		const struct element *one = &e[dressed ? count - 1 - i : i];

		if (i > 0 && dressed && i == count / 2)
			http_out_str(&out, "\r\nAccept-Encoding: ");
		else if (i > 0)
			http_out_str(&out, dressed ? " ,\t, " : ",");
		for (size_t j = 0; j < one->name.n; j++) {
			char c = one->name.p[j];

			if (dressed && c >= 'a' && c <= 'z' && one->spaces & 1)
				c = (char)(c - 'a' + 'A');
			http_out_bytes(&out, bytes_of(&c, 1));
		}
		http_out_str(&out, weights[one->weight]);
	}
	http_out_str(&out, "\r\n");
	check(fuzz_head(BYTES("GET / HTTP/1.1\r\n"), http_out_done(&out), true,
	    arena, &head));
	return head;
}

static struct bytes
variant_of(const struct http_head *request, struct arena *arena)
{
	struct http_head response;
	struct bytes variant;

	check(fuzz_head(BYTES("HTTP/1.1 200 OK\r\n"),
	    BYTES("Vary: Accept-Encoding\r\n"), false, arena, &response));
	check(cache_variant(request, &response, arena, &variant) == 0);
	return variant;
}

/* From bytes, each name once. */
static unsigned
elements(struct bytes *in, struct element *e)
{
	static const struct bytes names[] = {{"gzip", 4}, {"zstd", 4},
	    {"br", 2}, {"*", 1}, {"identity", 8}, {"x-gzip", 6}, {"q", 1},
	    {"gzip2", 5}};
	unsigned count = 0, seen = 0;

	while (in->n >= 2 && count < ELEMENTS_MAX && in->p[0] != '\0') {
		unsigned name = (unsigned char)in->p[0] % 8;
		unsigned weight = (unsigned char)in->p[1];

		*in = bytes_skip(*in, 2);
		if (seen & 1u << name)
			continue;
		seen |= 1u << name;
		e[count++] = (struct element){
		    names[name], weight % ARRAY_SIZE(weights), weight >> 4};
	}
	*in = bytes_skip(*in, 1);
	return count;
}

static bool
well(const struct element *e, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (meanings[e[i].weight] >= 3 && meanings[e[i].weight] != 6)
			return false;
	return true;
}

static bool
same_set(
    const struct element *a, unsigned n, const struct element *b, unsigned m)
{
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < m; j++)
			found += bytes_eq(a[i].name, b[j].name) &&
				 meanings[a[i].weight] == meanings[b[j].weight];
	return n == m && found == n;
}

static void
lists(struct bytes in, struct arena *arena)
{
	struct element a[ELEMENTS_MAX], b[ELEMENTS_MAX];
	unsigned n = elements(&in, a), m = elements(&in, b);
	struct http_head plain = list_head(a, n, false, arena);
	struct http_head dressed = list_head(a, n, true, arena);
	struct http_head other = list_head(b, m, false, arena);
	struct bytes variant = variant_of(&plain, arena);

	check(cache_variant_matches(variant, &plain, arena));
	if (well(a, n)) {
		check(bytes_eq(variant, variant_of(&dressed, arena)));
		check(cache_variant_matches(variant, &dressed, arena));
	}
	if (cache_variant_matches(variant, &other, arena))
		check(same_set(a, n, b, m));
	else
		check(!well(a, n) || !same_set(a, n, b, m));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct arena arena;

	arena_init(&arena, 1 << 22);
	any_bytes(in, &arena);
	lists(in, &arena);
	arena_release(&arena);
	return 0;
}
