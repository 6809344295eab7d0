#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "conf/conf.h"
#include "conf/suggest.h"
#include "conf/values.h"
#include "larder/check.h"
#include "larder/err.h"

#define REFUSED UINT64_MAX

static void
sizes_are_exact_or_refused(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} t[] = {
	    {"0", 0},
	    {"1", 1},
	    {"4096", 4096},
	    {"1K", 1024},
	    {"16M", 16777216},
	    {"20G", UINT64_C(21474836480)},
	    {"2T", UINT64_C(2199023255552)},
	    {"1.5K", 1536},
	    {"0.5M", 524288},
	    {"9223372036854775807", INT64_MAX},
	    {"9223372036854775808", REFUSED},
	    {"8388607T", UINT64_C(8388607) << 40},
	    {"8388608T", REFUSED},
	    {"18014398509481984K", REFUSED},
	    {"0.3K", REFUSED}, /* 307.2 bytes */
	    {"1.0000001K", REFUSED},
	    {"", REFUSED},
	    {"K", REFUSED},
	    {"-1", REFUSED},
	    {"+1", REFUSED},
	    {"1 K", REFUSED},
	    {"20g", REFUSED},
	    {"20GB", REFUSED},
	    {"1.K", REFUSED},
	    {".5K", REFUSED},
	    {"0x10", REFUSED},
	    {"1e3", REFUSED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t out = 77;
		const char *why = NULL;
		int rc = conf_parse_size(t[i].text, &out, &why);

		if (t[i].bytes == REFUSED) {
			assert_int_equal(rc, LARDER_INVALID);
			assert_non_null(strstr(why, "K, M, G or T"));
		} else {
			assert_int_equal(rc, 0);
			assert_true(out == t[i].bytes);
		}
	}
}

static void
times_need_a_unit(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} t[] = {
	    {"1ms", 1},
	    {"10s", 10000},
	    {"1.5s", 1500},
	    {"2m", 120000},
	    {"1h", 3600000},
	    {"30d", INT64_C(2592000000)},
	    {"0s", 0},
	    {"0", -1},
	    {"10", -1},
	    {"10M", -1},
	    {"10 s", -1},
	    {"1.5ms", -1},
	    {"s", -1},
	    {"", -1},
	    {"-1s", -1},
	    {"106751991168d", -1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		int64_t out = 77;
		const char *why = NULL;
		int rc = conf_parse_time(t[i].text, &out, &why);

		assert_int_equal(rc, t[i].ms < 0 ? LARDER_INVALID : 0);
		if (t[i].ms < 0)
			assert_non_null(strstr(why, "ms, s, m, h or d"));
		else
			assert_true(out == t[i].ms);
	}
}

static void
formatted_values_read_back(void **state)
{
	static const uint64_t v[] = {0, 1, 1000, 1023, 1024, 1536, 60000,
	    86400000, 90000000, 1u << 30, UINT64_C(3) << 40, INT64_MAX};
	char text[CONF_VALUE_TEXT];
	const char *why;
	uint64_t bytes;
	int64_t ms;

	(void)state;
	assert_string_equal(conf_format_size(UINT64_C(20) << 30, text), "20G");
	assert_string_equal(conf_format_size(1536, text), "1536");
	assert_string_equal(conf_format_time(86400000, text), "1d");
	assert_string_equal(conf_format_time(90000, text), "90s");
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		conf_format_size(v[i], text);
		assert_int_equal(conf_parse_size(text, &bytes, &why), 0);
		assert_true(bytes == v[i]);
		conf_format_time((int64_t)v[i], text);
		assert_int_equal(conf_parse_time(text, &ms, &why), 0);
		assert_true(ms == (int64_t)v[i]);
	}
}

static void
suggestions(void **state)
{
	static const char *const words[] = {"listen", "workers", "cache",
	    "access", "access_log", "access_log_format", "ls"};
	static const struct {
		const char *typed, *meant;
	} t[] = {
	    {"lisen", "listen"},
	    {"lsiten", "listen"},
	    {"worker", "workers"},
	    {"chache", "cache"},
	    {"acess_log", "access_log"},
	    {"access-log", "access_log"},
	    {"sl", "ls"},
	    {"xy", NULL},
	    {"banana", NULL},
	    {"", NULL},
	    {"a_very_long_word_that_nobody_would_type_here", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const char *s = suggest(t[i].typed, words, ARRAY_SIZE(words));

		if (t[i].meant == NULL)
			assert_null(s);
		else
			assert_string_equal(s, t[i].meant);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sizes_are_exact_or_refused),
	    cmocka_unit_test(times_need_a_unit),
	    cmocka_unit_test(formatted_values_read_back),
	    cmocka_unit_test(suggestions),
	};

	return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
