#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/key.h"
#include "larder/check.h"
#include "proxy/policy.h"

/* What is left out by a piece of the pattern is what the pattern leaves out. */
static void
the_first_rule_that_matches(void **state)
{
	static const char *const globs[] = {"b/*", "*/x", "*.example/?/*",
	    "h/a?c", "*aab*", "http://only/*", "*ab", "exact/path",
	    "*/[0-9]*/y", "*q\\\\*", "*"};
	static const char *const urls[] = {"http://b/", "http://c/x",
	    "http://c/xx", "http://www.example/z/", "http://h/abc",
	    "https://h/ac", "http://aaaab/", "http://only/", "https://only/",
	    "http://z/ab", "http://exact/path", "http://exact/pat",
	    "http://e/1/y", "http://e/q*", "http://e/q", "http://x/"};
	char path[] = "/tmp/larder-policy-XXXXXX", *why;
	int fd = mkstemp(path);
	FILE *out = fdopen(fd, "w");
	struct conf *conf;

	(void)state;
	assert_non_null(out);
	for (size_t i = 0; i < ARRAY_SIZE(globs); i++)
		fprintf(out, "rule { match = \"%s\" }\n", globs[i]);
	assert_int_equal(fclose(out), 0);
	if (conf_load(path, &conf, &why) != 0)
		fail_msg("%s", why);
	for (size_t u = 0; u < ARRAY_SIZE(urls); u++) {
		struct bytes url = bytes_str(urls[u]);
		const struct conf_rule *expected = NULL;

		for (unsigned i = 0; expected == NULL && i < conf->rules_count;
		     i++)
			if (cache_key_glob(
				bytes_str(conf->rules[i].match), url))
				expected = &conf->rules[i];
		assert_non_null(expected);
		if (policy_rule(conf, url) != expected)
			fail_msg("%s: %s", urls[u], expected->match);
	}
	conf_unref(&conf);
	assert_int_equal(unlink(path), 0);
}

static void
no_rules(void **state)
{
	struct cache_policy policy;
	struct conf *conf;
	char *why;

	(void)state;
	assert_int_equal(conf_load(NULL, &conf, &why), 0);
	assert_null(policy_rule(conf, BYTES("http://h/")));
	policy_make(conf, NULL, NULL, &policy);
	assert_int_equal(policy.min_fresh + policy.max_fresh, 0);
	assert_false(policy.never || policy.revalidate || policy.force);
	conf_unref(&conf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_first_rule_that_matches),
	    cmocka_unit_test(no_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
