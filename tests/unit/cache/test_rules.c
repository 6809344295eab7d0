/*
 * What a rule changes beside what is stored and for how long (test_admit.c).
 */
#include "../http/parse.h"

#include "cache/admit.h"
#include "cache/decide.h"
#include "cache/fresh.h"
#include "cache/key.h"
#include "cache/tag.h"
#include "http/date.h"

#define NOW INT64_C(1700000000)

static void
stripped_fields_are_gone(void **state)
{
	char cookie[] = "set-cookie", server[] = "Server";
	char *names[] = {cookie, server};
	const struct cache_policy policy = {.strip = names, .strip_count = 2};
	const struct cache_policy none = {.strip_count = 0};
	struct http_head head;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	head = test_response(&a, 200,
	    "Server: x\r\nETag: \"a\"\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
	    "X-Server: y\r\n");
	cache_strip(&head, &none);
	assert_int_equal(head.count, 5);
	cache_strip(&head, &policy);
	assert_int_equal(head.count, 2);
	assert_false(http_has(&head, HTTP_F_SET_COOKIE));
	assert_true(http_has(&head, HTTP_F_ETAG));
	assert_non_null(http_next_named(&head, BYTES("X-Server"), NULL));
	assert_null(http_next_named(&head, BYTES("Server"), NULL));
	arena_release(&a);
}

static void
expect_tags(const char *lines, bool targeted, const char *expected)
{
	char one[] = "rule", two[] = "a";
	char *mine[] = {one, two};
	struct cache_policy policy = {
	    .targeted = targeted, .tags = mine, .tags_count = 2};
	struct http_head head;
	struct bytes tags;
	struct arena a;

	arena_init(&a, 1 << 16);
	head = test_response(&a, 200, lines);
	assert_int_equal(cache_tags(&head, &policy, &a, &tags), 0);
	if (!bytes_eq(tags, bytes_str(expected)))
		fail_msg("%s: %.*s", lines, BYTES_FMT(tags));
	arena_release(&a);
}

static void
tags_of_rules_and_of_own_origins(void **state)
{
	struct cache_policy policy = {.targeted = true};
	char lines[CACHE_TAGS_MAX + 64];
	struct http_head head;
	struct bytes tags;
	struct arena a;

	(void)state;
	expect_tags("", false, "rule a");
	expect_tags("Cache-Tag: x\r\nSurrogate-Key: y\r\n", false, "rule a");
	expect_tags(
	    "Cache-Tag: x,y , a,,\r\ncache-tag: z\r\n", true, "rule a x y z");
	expect_tags("Surrogate-Key: x,y  z x,y\r\n", true, "rule a x,y z");
	expect_tags("Cache-Tag: \xff, b\r\n", true, "rule a b");
	arena_init(&a, 1 << 16);
	head = test_response(&a, 200, "Cache-Tag: x\r\n");
	assert_int_equal(cache_tags(&head, &policy, &a, &tags), 0);
	assert_true(cache_tags_have(tags, BYTES("x")));
	assert_false(cache_tags_have(tags, BYTES("")));
	assert_false(cache_tags_have(BYTES("xx x1"), BYTES("x")));
	/* Exactly as many as fit, and one more. */
	for (size_t n = CACHE_TAGS_MAX; n < CACHE_TAGS_MAX + 2; n++) {
		struct cache_request r;
		struct cache_admission out;
		struct http_head q = test_request(&a, "GET", "");

		snprintf(lines, sizeof(lines), "Cache-Tag: ");
		memset(lines + 11, 'x', n);
		snprintf(lines + 11 + n, sizeof(lines) - 11 - n,
		    "\r\nETag: \"a\"\r\n");
		head = test_response(&a, 200, lines);
		assert_int_equal(cache_tags(&head, &policy, &a, &tags),
		    n > CACHE_TAGS_MAX ? LARDER_TOOBIG : 0);
		/* What no purge could find is not stored. */
		cache_request_init(&r, &q);
		assert_int_equal(
		    cache_admit(&r, &head, NOW, NOW, &policy, &a, &out), 0);
		assert_int_equal(out.store, n == CACHE_TAGS_MAX);
	}
	arena_release(&a);
	arena_init(&a, 100);
	head = (struct http_head){.count = 0};
	policy.tags_count = 1;
	policy.tags = (char *[]){lines};
	assert_int_equal(cache_tags(&head, &policy, &a, &tags), LARDER_NOMEM);
	arena_release(&a);
}

static struct cache_stored
fresh_one(void)
{
	return (struct cache_stored){.body_size = 10,
	    .meta = {.status = 200,
		.response_time = NOW - 10,
		.request_time = NOW - 10,
		.date = NOW - 10,
		.lifetime = 100,
		.etag = BYTES("\"a\""),
		.last_modified = HTTP_DATE_INVALID,
		.stale_while_revalidate = 1000,
		.stale_if_error = 1000}};
}

/* A rule holds for what was stored before there was one, too. */
static void
rules_decide(void **state)
{
	const struct cache_policy never = {.never = true},
				  asked = {.revalidate = true}, plain = {0};
	struct cache_stored s = fresh_one();
	struct cache_request r;
	struct cache_decision d;
	struct http_head q;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	q = test_request(&a, "GET", "");
	cache_request_init(&r, &q);
	cache_decide(&r, &s, 1, NOW, &plain, &a, &d);
	assert_int_equal(d.action, CACHE_SEND);
	cache_decide(&r, &s, 1, NOW, &never, &a, &d);
	assert_int_equal(d.action, CACHE_PASS);
	assert_string_equal(d.detail, "rule");
	cache_decide(&r, &s, 1, NOW, &asked, &a, &d);
	assert_int_equal(d.action, CACHE_REVALIDATE);
	assert_int_equal(d.why, CACHE_WHY_NO_CACHE);
	/* Stale as well, and for a failing origin. */
	cache_decide(&r, &s, 1, NOW + 500, &plain, &a, &d);
	assert_int_equal(d.action, CACHE_SEND);
	cache_decide(&r, &s, 1, NOW + 500, &asked, &a, &d);
	assert_int_equal(d.action, CACHE_REVALIDATE);
	assert_true(cache_may_serve_stale(&r, &s.meta, NOW + 500, &plain));
	assert_false(cache_may_serve_stale(&r, &s.meta, NOW + 500, &asked));
	arena_release(&a);
}

static void
keys_without_query(void **state)
{
	static const char *const rows[][2] = {
	    {"http://h/a?b=c", "http://h/a"},
	    {"http://h/a", "http://h/a"},
	    {"http://h/?", "http://h/"},
	    {"http://h/a?b?c", "http://h/a"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_true(
		    bytes_eq(cache_key_without_query(bytes_str(rows[i][0])),
			bytes_str(rows[i][1])));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(stripped_fields_are_gone),
	    cmocka_unit_test(tags_of_rules_and_of_own_origins),
	    cmocka_unit_test(rules_decide),
	    cmocka_unit_test(keys_without_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
