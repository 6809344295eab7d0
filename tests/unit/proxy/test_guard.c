/* Who finds a place, and who is asked to give one up. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "larder/check.h"
#include "net/loop.h"
#include "proxy/guard.h"

static union addr
address(const char *text)
{
	union addr a = {0};

	if (text[0] == '/') {
		a.un.sun_family = AF_UNIX;
	} else if (strchr(text, ':')) {
		a.v6.sin6_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, text, &a.v6.sin6_addr), 1);
	} else {
		a.v4.sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, text, &a.v4.sin_addr), 1);
	}
	return a;
}

static struct guard *
guard(unsigned max, unsigned share)
{
	struct conf conf = {.max_connections = max, .client_share = share};
	struct guard *g;

	assert_int_equal(guard_new(&g, 2), 0);
	guard_configure(g, &conf);
	return g;
}

static void
descriptors_bound_connections(void **state)
{
	static const struct {
		rlim_t descriptors;
		unsigned workers, max;
	} rows[] = {
	    {0, 1, 1},
	    {55, 1, 1},
	    {256, 2, 53},	 /* (256 - 32 - 2 * 16 - 32) / 3 */
	    {1024, 2, 277},	 /* (1024 - 64 - 128) / 3 */
	    {524288, 2, 174656}, /* (524288 - 64 - 256) / 3 */
	    {RLIM_INFINITY, 2, UINT32_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(
		    guard_affordable(rows[i].descriptors, rows[i].workers),
		    rows[i].max);
}

/* Three hold places; which verdict does the fourth get? */
static void
whose_share_it_is(void **state)
{
	static const struct {
		const char *three, *fourth;
		enum guard_verdict verdict;
	} rows[] = {
	    {"10.0.0.1", "10.0.0.1", GUARD_SHARE},
	    {"10.0.0.1", "10.0.0.2", GUARD_ADMITTED},
	    {"10.0.0.1", "::ffff:10.0.0.1", GUARD_SHARE},
	    {"2001:db8::1", "2001:db8::2", GUARD_SHARE},
	    {"2001:db8::1", "2001:db8:0:0:ffff::1", GUARD_SHARE},
	    {"2001:db8::1", "2001:db8:0:1::1", GUARD_ADMITTED},
	    {"/a", "/a", GUARD_ADMITTED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		union addr three = address(rows[i].three);
		union addr fourth = address(rows[i].fourth);
		struct guard *g = guard(10, 30);
		struct guard_place place[4];

		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(
			    guard_enter(g, &three, false, &place[k]),
			    GUARD_ADMITTED);
		assert_int_equal(
		    guard_enter(g, &fourth, false, &place[3]), rows[i].verdict);
		/* A place that was left is free again. */
		guard_leave(g, &place[0]);
		guard_leave(g, &place[0]);
		guard_leave(g, &place[3]);
		assert_int_equal(
		    guard_enter(g, &fourth, false, &place[3]), GUARD_ADMITTED);
		guard_free(&g);
	}
}

static void
all_places_are_taken(void **state)
{
	struct guard *g = guard(8, 100);
	struct guard_place place[16], one;
	union addr a = address("10.0.0.1"), b = address("10.0.0.2");
	struct conf more = {.max_connections = 9, .client_share = 100};

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(
		    guard_enter(g, i % 2 ? &a : &b, false, &place[i]),
		    GUARD_ADMITTED);
	/* Whose share is all of it is told that all of it is taken. */
	assert_int_equal(guard_enter(g, &a, false, &one), GUARD_FULL);
	assert_false(one.held);
	/* While others give up theirs: 8 / 16 + 8 more. */
	for (unsigned i = 8; i < 16; i++)
		assert_int_equal(
		    guard_enter(g, &a, true, &place[i]), GUARD_ADMITTED);
	assert_int_equal(guard_enter(g, &a, true, &one), GUARD_FULL);
	assert_true(guard_is_over(g));
	for (unsigned i = 8; i < 16; i++)
		guard_leave(g, &place[i]);
	assert_false(guard_is_over(g));
	assert_int_equal(guard_enter(g, &a, false, &one), GUARD_FULL);
	guard_configure(g, &more);
	assert_int_equal(guard_enter(g, &a, false, &place[8]), GUARD_ADMITTED);
	for (unsigned i = 0; i < 9; i++)
		guard_leave(g, &place[i]);
	/* Nothing of the refused ones is left in the counts. */
	more.max_connections = 8;
	guard_configure(g, &more);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(
		    guard_enter(g, &a, false, &place[i]), GUARD_ADMITTED);
	guard_free(&g);
}

/* Every place of one, and yet others are not taken for it. */
static void
collisions_refuse_nobody(void **state)
{
	struct guard *g = guard(4000, 25);
	struct guard_place place;
	unsigned refused = 0;

	(void)state;
	for (unsigned n = 0; n < 3000; n++) {
		union addr a = {0};

		a.v4.sin_family = AF_INET;
		a.v4.sin_addr.s_addr = htonl(0x0a000000u + n % 3);
		assert_int_equal(
		    guard_enter(g, &a, false, &place), GUARD_ADMITTED);
	}
	for (unsigned n = 0; n < 900; n++) {
		union addr a = {0};

		a.v4.sin_family = AF_INET;
		a.v4.sin_addr.s_addr = htonl(0x0b000000u + n);
		refused += guard_enter(g, &a, false, &place) != GUARD_ADMITTED;
	}
	assert_int_equal(refused, 0);
	guard_free(&g);
}

static void
on_note(void *arg)
{
	(*(unsigned *)arg)++;
}

static void
who_has_idle_ones_is_asked(void **state)
{
	struct guard *g = guard(8, 100);
	struct mailbox_note note[2];
	struct mailbox *box;
	struct loop *loop;
	unsigned posted[2] = {0};
	bool starved;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL, NULL), 0);
	assert_int_equal(mailbox_new(&box, loop), 0);
	for (unsigned i = 0; i < 2; i++) {
		mailbox_note_init(&note[i], box, on_note, &posted[i]);
		guard_set_note(g, i, &note[i]);
	}
	assert_int_equal(guard_oldest(g), -1);
	guard_set_idle(g, 0, 1, 2000);
	assert_int_equal(guard_oldest(g), 0);
	guard_set_idle(g, 1, 2, 1000);
	assert_int_equal(guard_oldest(g), 1);
	guard_ask(g, 1, false);
	assert_int_equal(guard_oldest(g), 1);
	guard_ask(g, 1, true);
	/* Both of its own are on their way. */
	assert_int_equal(guard_oldest(g), 0);
	assert_int_equal(guard_asked(g, 0, &starved), 0);
	assert_false(starved);
	assert_int_equal(guard_asked(g, 1, &starved), 2);
	assert_true(starved);
	assert_int_equal(guard_asked(g, 1, &starved), 0);
	assert_false(starved);
	for (unsigned i = 0; i < 2; i++)
		mailbox_cancel(&note[i]);
	mailbox_free(&box);
	loop_free(&loop);
	guard_free(&g);
}

static void
said_once_a_minute(void **state)
{
	struct guard *g = guard(8, 100);

	(void)state;
	assert_true(guard_may_log(g, 1000));
	assert_false(guard_may_log(g, 60999));
	assert_true(guard_may_log(g, 61000));
	assert_false(guard_may_log(g, 61001));
	guard_free(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(descriptors_bound_connections),
	    cmocka_unit_test(whose_share_it_is),
	    cmocka_unit_test(all_places_are_taken),
	    cmocka_unit_test(collisions_refuse_nobody),
	    cmocka_unit_test(who_has_idle_ones_is_asked),
	    cmocka_unit_test(said_once_a_minute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
