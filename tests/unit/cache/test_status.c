#include "../http/parse.h"

#include "cache/status.h"

/* RFC 9211 2 */
static void
cache_status(void **state)
{
	static const struct {
		struct cache_status s;
		const char *line;
	} rows[] = {
	    {{.hit = true}, "larder; hit"},
	    {{.hit = true, .has_ttl = true, .ttl = 30, .fwd = "stale"},
		"larder; hit; ttl=30"},
	    {{.hit = true, .has_ttl = true, .ttl = -9, .stored = true},
		"larder; hit; ttl=-9"},
	    {{.fwd = "uri-miss", .fwd_status = 200, .stored = true},
		"larder; fwd=uri-miss; fwd-status=200; stored"},
	    {{.fwd = "vary-miss", .collapsed = true},
		"larder; fwd=vary-miss; collapsed"},
	    {{.fwd = "bypass", .detail = "no-store"},
		"larder; fwd=bypass; detail=no-store"},
	    {{.detail = "a b"}, "larder; detail=\"a b\""},
	    {{.detail = "a \"b\\\t\xe4"}, "larder; detail=\"a \\\"b\\\\\""},
	    {{.detail = "9a"}, "larder; detail=\"9a\""},
	    {{.detail = ""}, "larder; detail=\"\""},
	    {{.hit = true, .has_ttl = true, .ttl = INT64_MIN},
		"larder; hit; ttl=-999999999999999"},
	    {{.hit = true, .has_ttl = true, .ttl = INT64_MAX},
		"larder; hit; ttl=999999999999999"},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_out out;

		http_out_init(&out, &a, 16);
		cache_status_write(&out, &rows[i].s);
		row_check(i, rows[i].line,
		    bytes_eq(http_out_done(&out),
			arena_printf(
			    &a, "Cache-Status: %s\r\n", rows[i].line)));
	}
	arena_release(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cache_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
