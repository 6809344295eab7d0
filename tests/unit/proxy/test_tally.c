/*
 * Tallies: what is heavy stays, and nothing is lost from the sum.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "larder/check.h"
#include "proxy/tally.h"

static struct tally *tally;

static int
set_up(void **state)
{
	(void)state;
	return tally_new(&tally, 7);
}

static int
tear_down(void **state)
{
	(void)state;
	tally_free(&tally);
	return 0;
}

static struct tally_slot *
find(enum tally_kind kind, const char *text)
{
	struct tally_table *t = &tally->tables[kind];

	for (unsigned i = 0; i < TALLY_SLOTS; i++)
		if (t->hash[i] != 0 &&
		    bytes_eq(bytes_of(t->slots[i].text, t->slots[i].size),
			bytes_str(text)))
			return &t->slots[i];
	return NULL;
}

static void
count_one(const char *host, uint64_t sent)
{
	struct tally_counts c = {.requests = 1, .sent = sent};

	tally_add(tally_at(tally, TALLY_HOST, bytes_str(host)), &c);
}

static void
test_counts_by_name(void **state)
{
	(void)state;
	count_one("a.test", 10);
	count_one("b.test", 5);
	count_one("a.test", 30);
	assert_int_equal(find(TALLY_HOST, "a.test")->counts.requests, 2);
	assert_int_equal(find(TALLY_HOST, "a.test")->counts.sent, 40);
	assert_int_equal(find(TALLY_HOST, "b.test")->counts.sent, 5);
	assert_null(find(TALLY_URL, "a.test"));
}

/* Far more names than places: the sum is right, the heavy one is there. */
static void
test_many(void **state)
{
	struct tally_table *t = &tally->tables[TALLY_HOST];
	struct tally_counts sum;
	char name[32];

	(void)state;
	count_one("heavy.test", 1000000);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "h%d.test", i);
		count_one(name, 100);
	}
	count_one("heavy.test", 1);
	assert_int_equal(find(TALLY_HOST, "heavy.test")->counts.sent, 1000001);
	sum = t->rest;
	for (unsigned i = 0; i < TALLY_SLOTS; i++)
		if (t->hash[i] != 0)
			tally_add(&sum, &t->slots[i].counts);
	assert_int_equal(sum.requests, 20002);
	assert_int_equal(sum.sent, 1000001 + 20000 * 100);
}

static void
test_long_names_are_cut(void **state)
{
	char name[1000];
	unsigned found = 0;

	(void)state;
	memset(name, 'x', sizeof(name));
	tally_at(tally, TALLY_URL, bytes_of(name, sizeof(name)))->sent = 1;
	for (unsigned i = 0; i < TALLY_SLOTS; i++)
		if (tally->tables[TALLY_URL].hash[i] != 0) {
			found++;
			assert_int_equal(
			    tally->tables[TALLY_URL].slots[i].size, TALLY_TEXT);
		}
	assert_int_equal(found, 1);
}

static void
test_clients(void **state)
{
	union addr v4, v6, local = {.un = {.sun_family = AF_UNIX}};
	uint64_t hash = 0, other = 0, none = 0;

	(void)state;
	addr_parse_ip(BYTES("10.0.0.7"), 1234, &v4);
	addr_parse_ip(BYTES("fd00::1"), 1, &v6);
	tally_at_client(tally, &v4, &hash)->requests++;
	assert_true(hash != 0);
	/* Another port is the same client. */
	addr_parse_ip(BYTES("10.0.0.7"), 99, &v4);
	tally_at_client(tally, &v4, &other)->requests++;
	assert_true(other == hash);
	tally_at_client(tally, &v6, &none)->requests++;
	none = 0;
	tally_at_client(tally, &local, &none)->requests++;
	assert_int_equal(find(TALLY_CLIENT, "10.0.0.7")->counts.requests, 2);
	assert_int_equal(find(TALLY_CLIENT, "fd00::1")->counts.requests, 1);
	assert_int_equal(find(TALLY_CLIENT, "unix")->counts.requests, 1);
}

static void
test_cleared(void **state)
{
	(void)state;
	count_one("a.test", 10);
	tally_clear(tally);
	assert_null(find(TALLY_HOST, "a.test"));
	count_one("a.test", 3);
	assert_int_equal(find(TALLY_HOST, "a.test")->counts.sent, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		test_counts_by_name, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(
		test_long_names_are_cut, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_clients, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_cleared, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
