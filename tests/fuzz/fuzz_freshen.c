/* A response is judged, stored, and freshened by another: whatever they say,
 * the stored form parses, holds no hop-by-hop field, and its meta is one. */
#include "fuzz.h"

#include "cache/status.h"
#include "cache/validate.h"

static void
check_form(
    struct bytes form, const struct cache_meta *meta, struct arena *arena)
{
	struct cache_meta again;
	struct http_head head;

	check(form.p != NULL);
	check(cache_head_parse(form, arena, &head) == 0);
	check(!http_has(&head, HTTP_F_CONNECTION));
	check(!http_has(&head, HTTP_F_CONTENT_LENGTH));
	check(!http_has(&head, HTTP_F_TRANSFER_ENCODING));
	check(!http_has(&head, HTTP_F_AGE));
	check(http_has(&head, HTTP_F_DATE));
	check(cache_head_not_modified(&head, arena).p != NULL);
	check(meta->initial_age >= 0 && meta->lifetime >= 0);
	if (meta->status >= 200)
		check(cache_meta_decode(
			  cache_meta_encode(meta, arena), &again) == 0);
}

static void
freshen(struct bytes in, const struct cache_policy *policy, struct arena *arena)
{
	struct bytes request_lines = fuzz_piece(&in);
	struct bytes response_lines = fuzz_piece(&in), form;
	struct http_head request, response, update;
	struct cache_admission admission;
	struct cache_stored stored = {.body_size = 5};
	struct cache_request r;
	struct http_out out;

	if (!fuzz_head(BYTES("GET / HTTP/1.1\r\n"), request_lines, true, arena,
		&request) ||
	    !fuzz_head(BYTES("HTTP/1.1 200 OK\r\n"), response_lines, false,
		arena, &response) ||
	    !fuzz_head(BYTES("HTTP/1.1 304 Not Modified\r\n"), in, false, arena,
		&update))
		return;
	cache_request_init(&r, &request);
	check(cache_admit(&r, &response, 1700000000, 1700000002, policy, arena,
		  &admission) == 0);
	check(admission.store == (admission.why_not == NULL));
	form = cache_head_form(&response, true, 1700000002, arena);
	check_form(form, &admission.meta, arena);
	stored.meta = admission.meta;
	stored.variant = admission.variant;
	http_out_init(&out, arena, 16);
	cache_conditions(&out, &stored, 1, 0);
	check(!out.failed);
	check(cache_select_304(&update, &stored, 1, 0) <= 0);
	cache_head_agrees(&update, &stored);
	check(cache_freshen(&r, form, &stored, &update, 1700000100, 1700000101,
		  policy, arena, &form, &admission) == 0);
	check(admission.store == (admission.why_not == NULL));
	check_form(form, &admission.meta, arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cache_policy policy = {.stale_if_error = 86400,
	    .heuristic_percent = 10,
	    .heuristic_max = 604800};
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct arena arena;

	if (in.n == 0)
		return 0;
	policy.targeted = (in.p[0] & 1) != 0;
	policy.immutable = (in.p[0] & 2) != 0;
	arena_init(&arena, 1 << 22);
	freshen(bytes_skip(in, 1), &policy, &arena);
	arena_release(&arena);
	return 0;
}
