#include "parse.h"

#include "http/date.h"

#define NOW INT64_C(1700000000) /* 2023-11-14 */
#define BAD HTTP_DATE_INVALID

/* RFC 9110 5.6.7 */
static const struct {
	const char *text;
	int64_t t;
} rows[] = {
    {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
    {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
    {"Sun Nov  6 08:49:37 1994", 784111777},
    {"Sun Nov 16 08:49:37 1994", 784975777},
    {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
    {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
    {"Mon, 01 Jan 0001 00:00:00 GMT", INT64_C(-62135596800)},
    {"Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799)},
    {"Tue, 29 Feb 2000 12:00:00 GMT", 951825600},
    {"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800},
    {"Tue, 19 Jan 2038 03:14:08 GMT", INT64_C(2147483648)},
    /* a leap second */
    {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228800},
    /* any case; a weekday that is not the date's */
    {"sun, 06 nOV 1994 08:49:37 gmt", 784111777},
    {"MON, 06 NOV 1994 08:49:37 GMT", 784111777},
    {"sunday, 06-nov-94 08:49:37 gmt", 784111777},
    /* the 50-year rule: from NOW, 14 Nov 2073 22:13:20 is the last */
    {"Tuesday, 14-Nov-73 22:13:20 GMT", INT64_C(3277923200)},
    {"Tuesday, 14-Nov-73 22:13:21 GMT", INT64_C(122163201)},
    {"Friday, 01-Jan-99 00:00:00 GMT", 915148800},
    {"Wednesday, 01-Jan-20 00:00:00 GMT", 1577836800},
    /* not in the calendar */
    {"Sun, 00 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 31 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 29 Feb 1994 08:49:37 GMT", BAD},
    {"Sun, 29 Feb 2100 08:49:37 GMT", BAD},
    {"Sun, 06 Nov 1994 24:00:00 GMT", BAD},
    {"Sun, 06 Nov 1994 08:60:37 GMT", BAD},
    {"Sun, 06 Nov 1994 08:49:61 GMT", BAD},
    /* near to it */
    {"Sun, 06 Nov 1994 08:49:37 UTC", BAD},
    {"Sun, 06 Nov 1994 08:49:37 +0000", BAD},
    {"Sun, 06 Nov 1994 08:49:37", BAD},
    {"Sun, 06 Nov 94 08:49:37 GMT", BAD},
    {"Sun 06 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 06-Nov-1994 08:49:37 GMT", BAD},
    {"Sunday, 06-Nov-1994 08:49:37 GMT", BAD},
    {"Sunday, 06 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 06-Nov-94 08:49:37 GMT", BAD},
    {"Sun, 6 Nov 1994 08:49:37 GMT", BAD},
    {"Sun,  6 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 06 Nov 1994 8:49:37 GMT", BAD},
    {"Sun, 06 Nov 1994 08.49.37 GMT", BAD},
    {"Sun, 06  Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 06 Nov 1994 08:49:37  GMT", BAD},
    {"Sun,06 Nov 1994 08:49:37 GMT", BAD},
    {" Sun, 06 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 06 Nov 1994 08:49:37 GMT ", BAD},
    {"Sun, 06 Nov 1994 08:49:37 GMT, x", BAD},
    {"Sun, 06 November 1994 08:49:37 GMT", BAD},
    {"Sun, 06 Nox 1994 08:49:37 GMT", BAD},
    {"Sux, 06 Nov 1994 08:49:37 GMT", BAD},
    {"06 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 06 Nov +994 08:49:37 GMT", BAD},
    {"Sun Nov 6 08:49:37 1994", BAD},
    {"Sun Nov   6 08:49:37 1994", BAD},
    {"Sun Nov  6 08:49:37 94", BAD},
    {"Sun Nov  6 08:49:37 1994 GMT", BAD},
    {"Sun Nov 06 08:49:37 1994", 784111777},
    {"Sun, 06 Nov 1994 08:49:37 GMT+0", BAD},
    {"Sun, 06 Nov 1994 08:49:37 Z", BAD},
    {"Sun, 06 Nov 1994 08:49:37 EST", BAD},
    {"Sun, 06 Nov 1994 08:49:37GMT", BAD},
    {"Sun, 06 Nov 1994 08:49 GMT", BAD},
    {"Sun, 06 Nov 1994 08:49:37.000 GMT", BAD},
    {"Sun, 06 Nov 1994  08:49:37 GMT", BAD},
    {"Sun, 06 Nov 1994\t08:49:37 GMT", BAD},
    {"Sun,  06 Nov 1994 08:49:37 GMT", BAD},
    {"Sun , 06 Nov 1994 08:49:37 GMT", BAD},
    {"Sun; 06 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 006 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 06 Nov 01994 08:49:37 GMT", BAD},
    {"Sun, 06 11 1994 08:49:37 GMT", BAD},
    {"Sun, 06/Nov/1994 08:49:37 GMT", BAD},
    {"Sun, 06 Nov -994 08:49:37 GMT", BAD},
    {"Sun, -6 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 32 Nov 1994 08:49:37 GMT", BAD},
    {"Sun, 99 Nov 1994 99:99:99 GMT", BAD},
    {"Sunda, 06-Nov-94 08:49:37 GMT", BAD},
    {"Sundays, 06-Nov-94 08:49:37 GMT", BAD},
    {"Sunday, 06-Nov-94 08:49:37 UTC", BAD},
    {"Sunday, 06-Nov-94 08:49:37", BAD},
    {"Sunday, 6-Nov-94 08:49:37 GMT", BAD},
    {"Sunday, 06-November-94 08:49:37 GMT", BAD},
    {"Sunday 06-Nov-94 08:49:37 GMT", BAD},
    {"Sunday, 29-Feb-23 08:49:37 GMT", BAD},
    {"Sun, Nov  6 08:49:37 1994", BAD},
    {"Sun Nov  6 8:49:37 1994", BAD},
    {"Sun Nov  6 08:49:37  1994", BAD},
    {"Sun Nov  0 08:49:37 1994", BAD},
    {"Sun Nov 31 08:49:37 1994", BAD},
    {"\"Sun, 06 Nov 1994 08:49:37 GMT\"", BAD},
    {"1994-11-06T08:49:37Z", BAD},
    {"784111777", BAD},
    {"0", BAD},
    {"-1", BAD},
    {"Sun", BAD},
    {"Sun, ", BAD},
    {"", BAD},
};

static void
parses_three_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_check(i, rows[i].text,
		    http_date_parse(bytes_str(rows[i].text), NOW) == rows[i].t);
}

/* "05" is 2005 at the turn of a century too, and 2105 when that is near. */
static void
two_digits_mean_the_nearest_past(void **state)
{
	const struct bytes text = BYTES("Saturday, 01-Jan-05 00:00:00 GMT");

	(void)state;
	assert_int_equal(http_date_parse(text, INT64_C(915148800)), 1104537600);
	assert_int_equal(
	    http_date_parse(text, INT64_C(2524608000)), 1104537600);
	assert_int_equal(
	    http_date_parse(text, INT64_C(3976214400)), INT64_C(4260211200));
}

static void
formats_what_it_parses(void **state)
{
	char text[HTTP_DATE_SIZE];
	int64_t t = INT64_C(-62135596800);

	(void)state;
	for (; t < INT64_C(253402300799); t += 86399 * 101) {
		assert_int_equal(http_date_format(t, text), 29);
		assert_int_equal(http_date_parse(bytes_of(text, 29), NOW), t);
	}
	http_date_format(784111777, text);
	assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
	http_date_format(951825600, text);
	assert_string_equal(text, "Tue, 29 Feb 2000 12:00:00 GMT");
	http_date_format(-1, text);
	assert_string_equal(text, "Wed, 31 Dec 1969 23:59:59 GMT");
	http_date_format(INT64_MAX, text);
	assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
	assert_int_equal(http_date_format(INT64_MIN, text), 29);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parses_three_forms),
	    cmocka_unit_test(two_digits_mean_the_nearest_past),
	    cmocka_unit_test(formats_what_it_parses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
