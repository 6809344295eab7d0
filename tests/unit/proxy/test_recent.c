#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/recent.h"

static struct recent *recent;
static struct recent_report *report;

static int
set_up(void **state)
{
	(void)state;
	report = calloc(1, sizeof(*report));
	return recent_new(&recent);
}

static int
tear_down(void **state)
{
	(void)state;
	recent_free(&recent);
	free(report);
	return 0;
}

static void
note(const char *host, const char *url, const char *client, bool hit,
    uint64_t bytes, int64_t now)
{
	const struct bytes names[] = {
	    bytes_str(host), bytes_str(url), bytes_str(client)};

	recent_note(recent, names, hit, bytes, now);
}

static void
counts_are_of_the_last_seconds(void **state)
{
	(void)state;
	note("a", "http://a/1", "10.0.0.1", false, 100, 100000);
	note("a", "http://a/2", "10.0.0.2", true, 10, 101000);
	note("b", "http://b/", "10.0.0.1", true, 1, 103000);
	note("", "", "10.0.0.9", false, 1, 103000);
	recent_report(recent, 104000, report);
	assert_int_equal(report->all.requests, 4);
	assert_int_equal(report->all.hits, 2);
	assert_int_equal(report->all.bytes, 112);
	assert_int_equal(report->count[RECENT_HOSTS], 2);
	assert_string_equal(report->entries[RECENT_HOSTS][0].name, "a");
	assert_int_equal(report->entries[RECENT_HOSTS][0].count.requests, 2);
	assert_int_equal(report->entries[RECENT_HOSTS][0].count.bytes, 110);
	assert_int_equal(report->count[RECENT_URLS], 3);
	assert_int_equal(report->count[RECENT_CLIENTS], 3);
	assert_string_equal(
	    report->entries[RECENT_CLIENTS][0].name, "10.0.0.1");
	/* The first goes, then all. */
	recent_report(recent, 110500, report);
	assert_int_equal(report->all.requests, 2);
	recent_report(recent, 130000, report);
	assert_int_equal(report->all.requests, 0);
	assert_int_equal(report->count[RECENT_HOSTS], 0);
	/* A clock that stands still, and a long sleep. */
	note("a", "x", "y", false, 1, 130000);
	note("a", "x", "y", false, 1, 129999);
	recent_report(recent, INT64_C(1) << 60, report);
	assert_int_equal(report->all.requests, 0);
}

static void
only_while_somebody_looks(void **state)
{
	(void)state;
	assert_false(recent_is_watched(recent, 0));
	recent_watch(recent, 1000);
	assert_true(recent_is_watched(recent, 1000));
	note("a", "x", "y", false, 1, 1000);
	recent_watch(recent, 2000);
	recent_report(recent, 2000, report);
	assert_int_equal(report->all.requests, 1);
	assert_int_equal(report->ms, 1000);
	recent_report(recent, 21000, report);
	assert_in_range(report->ms, 8000, RECENT_SECONDS * 1000);
	assert_false(recent_is_watched(recent, 2000 + RECENT_WATCH * 1000));
	/* Anew, and without what was before the gap. */
	note("a", "x", "y", false, 1, 2500);
	recent_watch(recent, 2000 + RECENT_WATCH * 1000);
	recent_report(recent, 2500 + RECENT_WATCH * 1000, report);
	assert_int_equal(report->all.requests, 0);
}

static void
what_is_busy_stays_among_many(void **state)
{
	char url[64], client[64];
	unsigned found = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		int64_t now = 50000 + i / 4;

		snprintf(url, sizeof(url), "http://h/%d", i);
		snprintf(client, sizeof(client), "c%d", i % 100);
		note("h", url, client, false, 1, now);
		if (i % 20 == 0)
			note("h", "http://busy/", client, false, 1, now);
	}
	recent_report(recent, 55000, report);
	assert_int_equal(report->count[RECENT_URLS], RECENT_ENTRIES);
	assert_string_equal(
	    report->entries[RECENT_URLS][0].name, "http://busy/");
	assert_true(report->entries[RECENT_URLS][0].count.requests > 900);
	assert_int_equal(report->count[RECENT_CLIENTS], 100);
	for (unsigned i = 0; i < 100; i++)
		found +=
		    (unsigned)report->entries[RECENT_CLIENTS][i].count.requests;
	assert_int_equal(found, 21000);
}

static void
long_names_are_cut(void **state)
{
	char url[1000];

	(void)state;
	memset(url, 'x', sizeof(url));
	url[sizeof(url) - 1] = '\0';
	note("h", url, "c", false, 1, 1);
	url[sizeof(url) - 2] = 'y';
	note("h", url, "c", false, 1, 1);
	url[RECENT_NAME - 1] = '\0';
	note("h", url, "c", false, 1, 1);
	recent_report(recent, 1, report);
	/* Cut, they look the same, and are not. */
	assert_int_equal(report->count[RECENT_URLS], 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(strlen(report->entries[RECENT_URLS][i].name),
		    RECENT_NAME - 1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(counts_are_of_the_last_seconds),
	    TEST(only_while_somebody_looks),
	    TEST(what_is_busy_stays_among_many),
	    TEST(long_names_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
