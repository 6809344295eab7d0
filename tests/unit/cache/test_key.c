#include "../http/parse.h"

#include <string.h>

#include "cache/key.h"

/* RFC 9110 4.2.3, RFC 9111 2: what is one resource, and what is not. */
static void
keys(void **state)
{
	static const struct {
		const char *url, *key;
	} rows[] = {
	    {"http://h", "http://h/"},
	    {"HTTP://H:80/", "http://h/"},
	    {"http://h:8080/a", "http://h:8080/a"},
	    {"http://h:443/a", "http://h:443/a"},
	    {"https://h:443/a", "https://h/a"},
	    {"https://h:80/a", "https://h:80/a"},
	    {"http://h:1/", "http://h:1/"},
	    {"http://h:65535/", "http://h:65535/"},
	    {"http://[::1]:8080/a", "http://[::1]:8080/a"},
	    {"https://[::A]/", "https://[::a]/"},
	    {"http://h/A?", "http://h/A?"},
	    {"http://h?a", "http://h/?a"},
	    {"http://h/a/../b/./%41//", "http://h/a/../b/./%41//"},
	    {"http://h/%2F%2f", "http://h/%2F%2f"},
	    {"http://h./", "http://h./"},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_target t;
		const char *why;

		assert_int_equal(
		    http_target_of_url(bytes_str(rows[i].url), &a, &t, &why),
		    0);
		row_check(i, rows[i].url,
		    bytes_eq(cache_key(&t, &a), bytes_str(rows[i].key)));
	}
	arena_release(&a);
}

/* Of one URL, and yet not one. */
static void
apart(void **state)
{
	struct bytes key = BYTES("https://h/a"), other;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	other = cache_key_apart(key, &a);
	assert_false(bytes_eq(key, other));
	assert_true(bytes_eq(cache_key_url(other), key));
	assert_true(bytes_eq(cache_key_url(key), key));
	assert_true(bytes_starts(other, key));
	assert_true(cache_key_glob(BYTES("https://h/a"), other));
	assert_true(cache_key_host_is(other, BYTES("h:443")));
	assert_int_equal(cache_key_url(BYTES("")).n, 0);
	a.limit = a.used;
	assert_null(cache_key_apart(key, &a).p);
	arena_release(&a);
}

static void
globs(void **state)
{
	static const struct {
		const char *pattern, *key;
		bool match;
	} rows[] = {
	    {"*", "http://h/a", true},
	    {"h/*", "http://h/a", true},
	    {"h/*", "https://h/a", true},
	    {"http://h/*", "https://h/a", false},
	    {"http://h/*", "http://h/a", true},
	    {"*://h/a", "https://h/a", true},
	    {"h/a", "http://h/a", true},
	    {"h/a", "http://h/ab", false},
	    {"h/a*b", "http://h/ab", true},
	    {"h/a*b", "http://h/axxb", true},
	    {"h/a*b*c", "http://h/abxbc", true},
	    {"h/a*b*c", "http://h/acb", false},
	    {"*/debian/pool/*", "http://h/debian/pool/x.deb", true},
	    {"*.deb", "http://h/x.deb?", false},
	    {"h/?", "http://h/a", true},
	    {"h/?", "http://h/", false},
	    {"h/[a-c]", "http://h/b", true},
	    {"h/[a-c]", "http://h/d", false},
	    {"h/[!a-c]", "http://h/d", true},
	    {"h/[!a-c]", "http://h/b", false},
	    {"h/[]x]", "http://h/]", true},
	    {"h/[ab", "http://h/[ab", true},
	    {"h/[", "http://h/[", true},
	    {"h/\\*", "http://h/*", true},
	    {"h/\\*", "http://h/x", false},
	    {"h/\\", "http://h/\\", true},
	    {"", "http://h/", false},
	    {"**h**", "http://h/", true},
	    {"[::1]/*", "http://[::1]/x", false},
	    {"\\[::1]/*", "http://[::1]/x", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_check(i, rows[i].pattern,
		    cache_key_glob(bytes_str(rows[i].pattern),
			bytes_str(rows[i].key)) == rows[i].match);
	/* 30 stars against 4,000 bytes end at once, or never. */
	{
		char pattern[64], key[4001];

		for (int i = 0; i < 60; i += 2)
			memcpy(pattern + i, "*a", 2);
		strcpy(pattern + 60, "*b");
		memset(key, 'a', 4000);
		assert_false(cache_key_glob(
		    bytes_str(pattern), (struct bytes){key, 4000}));
	}
}

static void
hosts(void **state)
{
	static const struct {
		const char *key, *host;
		bool is;
	} rows[] = {
	    {"http://h/a", "h", true},
	    {"http://h/a", "H", true},
	    {"https://h:8443/a", "h", true},
	    {"http://h/a", "h:80", true},
	    {"https://h/a", "h:443", true},
	    {"https://h/a", "h:80", false},
	    {"http://h:8080/a", "h:8080", true},
	    {"http://h:8080/a", "h:80", false},
	    {"http://h.x/a", "h", false},
	    {"http://x/h", "h", false},
	    {"http://[::1]/a", "::1", true},
	    {"http://[::1]/a", "[::1]", true},
	    {"http://[::1]:81/a", "[::1]:81", true},
	    {"http://[::1]:81/a", "[::1]:80", false},
	    {"http://h/a", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_check(i, rows[i].key,
		    cache_key_host_is(bytes_str(rows[i].key),
			bytes_str(rows[i].host)) == rows[i].is);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys),
	    cmocka_unit_test(apart),
	    cmocka_unit_test(globs),
	    cmocka_unit_test(hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
