/*
 * The heaviest of many, and the counters by hour and day.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin/census.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"

#define HOUR 3600
#define DAY  86400
/* A Wednesday, 12:00 UTC. */
#define NOON INT64_C(1700049600)

/* ---- heavy ------------------------------------------------------------ */

static void
add(struct heavy *h, const char *name, uint64_t sent)
{
	struct tally_counts c = {.requests = 1, .sent = sent};

	heavy_add(h, bytes_str(name), &c, 0);
}

static bool
name_is(const struct heavy_item *item, const char *name)
{
	return bytes_eq(bytes_of(item->name, item->size), bytes_str(name));
}

/* A stream of 20,000 names that come once, and three that come again. */
static void
heavy_ones_stay(void **state)
{
	struct heavy *h = calloc(1, sizeof(*h));
	unsigned top[3];
	char name[32];

	(void)state;
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "h%d", i);
		add(h, name, 10);
		add(h, "first", 3);
		if (i % 2)
			add(h, "second", 4);
		if (i % 4 == 0)
			add(h, "third", 6);
	}
	assert_int_equal(h->count, HEAVY_MAX);
	assert_int_equal(heavy_top(h, top, 3), 3);
	assert_true(name_is(&h->items[top[0]], "first"));
	assert_true(name_is(&h->items[top[1]], "second"));
	assert_true(name_is(&h->items[top[2]], "third"));
	/* They never went: nothing of them is missing. */
	assert_int_equal(h->items[top[0]].counts.sent, 60000);
	assert_int_equal(h->items[top[0]].counts.requests, 20000);
	free(h);
}

static void
top_of_few(void **state)
{
	struct heavy *h = calloc(1, sizeof(*h));
	unsigned top[8];

	(void)state;
	assert_int_equal(heavy_top(h, top, 8), 0);
	add(h, "b", 2);
	add(h, "c", 3);
	add(h, "a", 1);
	assert_int_equal(heavy_top(h, top, 8), 3);
	assert_true(name_is(&h->items[top[0]], "c"));
	assert_true(name_is(&h->items[top[2]], "a"));
	assert_int_equal(heavy_top(h, top, 2), 2);
	assert_true(name_is(&h->items[top[1]], "b"));
	free(h);
}

static void
heavy_is_kept_and_read(void **state)
{
	static const char *const garbage[] = {"", "[", "{}", "[1,\"x\",{}]",
	    "[{\"name\":7}]", "[{\"name\":\"n\",\"requests\":-1}]"};
	struct heavy *h = calloc(1, sizeof(*h)), *back = calloc(1, sizeof(*h));
	char *text;

	(void)state;
	add(h, "plain", 7);
	add(h, "<script>\"\\\xff", 9);
	text = heavy_write(h, HEAVY_MAX);
	heavy_read(back, bytes_str(text));
	free(text);
	assert_int_equal(back->count, 2);
	assert_int_equal(back->items[1].counts.sent, 7);
	assert_int_equal(back->items[0].counts.sent, 9);
	heavy_clear(back);
	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++)
		heavy_read(back, bytes_str(garbage[i]));
	assert_int_equal(back->count, 1);
	assert_int_equal(back->items[0].counts.requests, 0);
	free(h);
	free(back);
}

/* ---- history ---------------------------------------------------------- */

static char folder[] = "/tmp/larder-census-XXXXXX";
static struct store *store;
static struct history *history;
static uint64_t total[COUNTER_COUNT];

static void
open_store(void)
{
	struct store_options options = {
	    .path = folder, .size = 64u << 20, .max_object = 1u << 20};
	char why[256];

	if (store_open(&store, &options, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

static int
set_up(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	tzset();
	if (mkdtemp(folder) == NULL)
		return -1;
	open_store();
	history = calloc(1, sizeof(*history));
	return history ? 0 : -1;
}

static int
tear_down(void **state)
{
	char command[64];

	(void)state;
	store_close(&store);
	free(history);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static int
forget(void **state)
{
	(void)state;
	memset(total, 0, sizeof(total));
	memset(history, 0, sizeof(*history));
	return 0;
}

static void
count(int64_t at, uint64_t n)
{
	total[STAT_requests] += n;
	history_add(history, at, total);
}

static uint64_t
requests_since(int64_t from, int64_t now, int64_t *begin)
{
	uint64_t sum[COUNTER_COUNT];

	*begin = history_sum(history, from, now, sum);
	return sum[STAT_requests];
}

static void
sums_by_hours_and_days(void **state)
{
	int64_t begin;

	(void)state;
	count(NOON - 100 * DAY, 1000);
	count(NOON - 30 * DAY, 100);
	count(NOON - 5 * HOUR, 10);
	count(NOON, 1);
	assert_int_equal(requests_since(NOON - HOUR, NOON, &begin), 1);
	assert_true(begin == NOON);
	assert_int_equal(requests_since(NOON - 7 * DAY, NOON, &begin), 11);
	assert_true(begin == NOON - 5 * HOUR);
	assert_int_equal(requests_since(NOON - 31 * DAY, NOON, &begin), 111);
	assert_true(begin == history_day(NOON - 30 * DAY, 0));
	assert_int_equal(requests_since(1, NOON, &begin), 1111);
	assert_non_null(history_day_at(history, history_day(NOON, 0)));
	assert_null(history_day_at(history, history_day(NOON, 1)));
}

/* What falls out of a ring is not taken for what came in its place. */
static void
rings_turn(void **state)
{
	int64_t begin;

	(void)state;
	for (int day = 0; day < 1000; day++)
		count(NOON + day * (int64_t)DAY, 1);
	assert_int_equal(
	    requests_since(1, NOON + 999 * (int64_t)DAY, &begin), HISTORY_DAYS);
	assert_int_equal(requests_since(NOON + 993 * (int64_t)DAY,
			     NOON + 999 * (int64_t)DAY, &begin),
	    7);
}

static void
days_of_another_clock(void **state)
{
	/* 2026-03-29 is 23 hours long in Berlin, 2026-10-25 25. */
	const int64_t spring = INT64_C(1774738800), autumn = 1792879200;

	(void)state;
	setenv("TZ", "Europe/Berlin", 1);
	tzset();
	if (history_day(NOON, 0) % DAY == 0)
		skip(); /* no time zones are installed */
	assert_true(history_day(spring + 12 * HOUR, 0) == spring);
	assert_true(history_day(spring + 24 * HOUR, 1) == spring);
	assert_true(history_day(autumn + 24 * HOUR, 0) == autumn);
	assert_true(history_day(autumn + 25 * HOUR, 1) == autumn);
	assert_int_equal(
	    history_day_number(history_day(autumn + 25 * HOUR, 0)) -
		history_day_number(autumn),
	    1);
	setenv("TZ", "UTC", 1);
	tzset();
}

static void
history_outlives_a_restart(void **state)
{
	int64_t begin;

	(void)state;
	count(NOON - 30 * DAY, 5);
	count(NOON, 7);
	assert_int_equal(history_save(history, store), 0);
	store_close(&store);
	open_store();
	history_load(history, store, total);
	assert_int_equal(requests_since(NOON - HOUR, NOON, &begin), 7);
	assert_int_equal(requests_since(1, NOON, &begin), 12);
	/* It is not counted again. */
	count(NOON + 1, 1);
	assert_int_equal(requests_since(NOON - HOUR, NOON, &begin), 8);
}

static void
history_of_garbage(void **state)
{
	static const char *const texts[] = {"", "x", "{}", "[7]",
	    "[{\"start\":-5,\"requests\":1}]",
	    "[{\"start\":9223372036854775807,\"requests\":1}]",
	    "[{\"start\":1700049600,\"requests\":-1}]"};
	int64_t begin;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(
		    store_state_set(store, "hours-0", bytes_str(texts[i])), 0);
		assert_int_equal(
		    store_state_set(store, "days-3", bytes_str(texts[i])), 0);
		history_load(history, store, total);
		(void)requests_since(1, NOON, &begin);
	}
}

/* ---- the heaviest of some days ---------------------------------------- */

/* As the census keeps it, `back` days ago; the place it lies in is day's. */
static void
keep_day(int64_t day, int64_t at, const char *host, unsigned sent)
{
	char name[32], text[256];

	snprintf(name, sizeof(name), "top-host-%d",
	    (int)(history_day_number(at) % CENSUS_DAYS));
	snprintf(text, sizeof(text),
	    "%lld [{\"name\":\"%s\",\"requests\":1,\"sent_bytes\":%u}]",
	    (long long)day, host, sent);
	assert_int_equal(store_state_set(store, name, bytes_str(text)), 0);
}

static unsigned
sent_by(const struct heavy *h, const char *host)
{
	for (unsigned i = 0; i < h->count; i++)
		if (name_is(&h->items[i], host))
			return (unsigned)h->items[i].counts.sent;
	return 0;
}

static void
days_are_summed(void **state)
{
	int64_t now = clock_wall_ms() / 1000;
	struct census *census;
	struct heavy *h;

	(void)state;
	keep_day(history_day(now, 0), history_day(now, 0), "a", 1);
	keep_day(history_day(now, 1), history_day(now, 1), "a", 10);
	keep_day(history_day(now, 3), history_day(now, 3), "b", 100);
	/* What lies there is of 35 days before. */
	keep_day(
	    history_day(now, 2 + CENSUS_DAYS), history_day(now, 2), "a", 1000);
	assert_int_equal(census_open(&census, NULL, store), 0);
	assert_int_equal(
	    census_top(census, TALLY_HOST, history_day(now, 1), &h), 0);
	assert_int_equal(sent_by(h, "a"), 11);
	assert_int_equal(sent_by(h, "b"), 0);
	free(h);
	assert_int_equal(census_top(census, TALLY_HOST, 1, &h), 0);
	assert_int_equal(sent_by(h, "a"), 11);
	assert_int_equal(sent_by(h, "b"), 100);
	free(h);
	census_free(&census);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, forget)
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(heavy_ones_stay),
	    cmocka_unit_test(top_of_few),
	    cmocka_unit_test(heavy_is_kept_and_read),
	    TEST(sums_by_hours_and_days),
	    TEST(rings_turn),
	    TEST(days_of_another_clock),
	    TEST(history_outlives_a_restart),
	    TEST(history_of_garbage),
	    TEST(days_are_summed),
	};

	return cmocka_run_group_tests_name("census", tests, set_up, tear_down);
}
