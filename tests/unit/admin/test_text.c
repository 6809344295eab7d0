#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "admin/ctl.h"
#include "admin/jobs.h"
#include "larder/check.h"

static void
sizes(void **state)
{
	static const struct {
		json_int_t bytes;
		const char *text;
	} t[] = {
	    {0, "0 B"},
	    {1023, "1023 B"},
	    {1024, "1.0 KiB"},
	    {1536, "1.5 KiB"},
	    {1048524, "1023.9 KiB"},
	    {1048575, "1.0 MiB"},
	    {INT64_C(20) << 30, "20.0 GiB"},
	    {INT64_C(3) << 60, "3072.0 PiB"},
	};
	char text[CTL_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(ctl_size(t[i].bytes, text), t[i].text);
}

static void
times(void **state)
{
	static const struct {
		json_int_t seconds;
		const char *text;
	} t[] = {
	    {0, "0 s"},
	    {119, "119 s"},
	    {120, "2 min"},
	    {7199, "119 min"},
	    {7200, "2 h"},
	    {172800, "2 d"},
	    {-90, "-90 s"},
	    {INT64_MIN, "-106751991167300 d"},
	};
	char text[CTL_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(ctl_time(t[i].seconds, text), t[i].text);
}

static void
counts(void **state)
{
	static const struct {
		json_int_t n;
		const char *text;
	} t[] = {
	    {0, "0"},
	    {999, "999"},
	    {1000, "1,000"},
	    {1234567, "1,234,567"},
	    {-100, "-100"},
	    {-1000, "-1,000"},
	    {INT64_MIN, "-9,223,372,036,854,775,808"},
	};
	char text[CTL_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(ctl_count(t[i].n, text), t[i].text);
}

static void
prefixes_of_globs(void **state)
{
	static const struct {
		const char *glob, *prefix;
	} t[] = {
	    {"", ""},
	    {"*", ""},
	    {"*.deb", ""},
	    {"deb.debian.org/*", ""},
	    {"http*", ""},
	    {"http:/*", ""},
	    {"http://*", "http://"},
	    {"http://a/b?c", "http://a/b"},
	    {"http://a/[bc]", "http://a/"},
	    {"http://a/\\*", "http://a/"},
	    {"http://a/b", "http://a/b"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct bytes p = job_glob_prefix(bytes_str(t[i].glob));

		assert_true(bytes_eq(p, bytes_str(t[i].prefix)));
	}
	assert_int_equal(job_glob_prefix(bytes_of(NULL, 0)).n, 0);
}

static void
text_is_always_json(void **state)
{
	const struct {
		struct bytes in;
		const char *out;
	} t[] = {
	    {BYTES("plain"), "plain"},
	    {BYTES("\xc3\xa9"), "\xc3\xa9"},
	    {BYTES("a\xff\n"), "a\\xff\\x0a"},
	    {{NULL, 0}, ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		json_t *o = job_text(t[i].in);

		assert_string_equal(json_string_value(o), t[i].out);
		json_decref(o);
	}
}

static void
errors_as_json(void **state)
{
	json_t *o = json_object();

	(void)state;
	assert_int_equal(
	    job_fail(&o, LARDER_INVALID, "%s: %d", "x", 3), LARDER_INVALID);
	assert_string_equal(
	    json_string_value(json_object_get(o, "error")), "x: 3");
	json_decref(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes),
	    cmocka_unit_test(times),
	    cmocka_unit_test(counts),
	    cmocka_unit_test(prefixes_of_globs),
	    cmocka_unit_test(text_is_always_json),
	    cmocka_unit_test(errors_as_json),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
