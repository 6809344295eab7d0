#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "larder/bytes.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "larder/stats.h"

static void
decimal_is_strict(void **state)
{
	static const struct {
		const char *text;
		uint64_t max, value;
		bool ok;
	} t[] = {
	    {"0", 0, 0, true},
	    {"00", 9, 0, true},
	    {"65535", 65535, 65535, true},
	    {"65536", 65535, 0, false},
	    {"18446744073709551615", UINT64_MAX, UINT64_MAX, true},
	    {"18446744073709551616", UINT64_MAX, 0, false},
	    {"99999999999999999999999", UINT64_MAX, 0, false},
	    {"7", 5, 0, false},
	    {"", 9, 0, false},
	    {"+1", 9, 0, false},
	    {"-1", 9, 0, false},
	    {" 1", 9, 0, false},
	    {"1 ", 9, 0, false},
	    {"1a", 99, 0, false},
	    {"0x1", 99, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint64_t out = 12345;
		bool ok = bytes_decimal(bytes_str(t[i].text), t[i].max, &out);

		assert_int_equal(ok, t[i].ok);
		assert_true(out == (t[i].ok ? t[i].value : 12345));
	}
}

static void
views(void **state)
{
	(void)state;
	assert_true(bytes_ieq(BYTES("Via"), BYTES("vIA")));
	assert_false(bytes_ieq(BYTES("[a"), BYTES("{a")));
	assert_true(bytes_eq(bytes_str(NULL), BYTES("")));
	assert_true(bytes_eq(bytes_trim(BYTES(" \ta b\t ")), BYTES("a b")));
	assert_true(bytes_eq(bytes_skip(BYTES("abc"), 9), BYTES("")));
	assert_false(bytes_starts(BYTES("ab"), BYTES("abc")));
}

static void
errors_have_phrases(void **state)
{
	(void)state;
	for (int err = LARDER_ABSENT; err >= LARDER_NONAME; err--) {
		assert_non_null(larder_strerror(err));
		assert_string_not_equal(larder_strerror(err), "unknown error");
	}
	assert_string_equal(larder_strerror(2), "unknown error");
	assert_string_equal(larder_strerror(-999), "unknown error");
}

static void
clocks_run(void **state)
{
	int64_t mono = clock_mono_ms();

	(void)state;
	assert_true(clock_wall_ms() > 1600000000000);
	assert_true(clock_mono_ms() >= mono);
}

static void
stats_add_up(void **state)
{
	struct stats s = {0};

	(void)state;
	stats_add(&s, STAT_hits, 2);
	stats_add(&s, STAT_hits, 3);
	assert_int_equal(stats_get(&s, STAT_hits), 5);
	assert_int_equal(stats_get(&s, STAT_requests), 0);
	assert_string_equal(stats_name(STAT_hits), "hits");
	assert_string_equal(stats_name(STAT_COUNT - 1), "origin_failures");
	assert_non_null(stats_text(STAT_COUNT - 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(decimal_is_strict),
	    cmocka_unit_test(views),
	    cmocka_unit_test(errors_have_phrases),
	    cmocka_unit_test(clocks_run),
	    cmocka_unit_test(stats_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
