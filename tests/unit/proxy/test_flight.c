/* Who leads, who follows, who is told, and who hears that nobody is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "cache/vary.h"
#include "net/loop.h"
#include "proxy/flight.h"

#define NOW INT64_C(1700000000)

static const struct http_limits limits = {
    .line = 8192, .head = 8192, .fields = 100};

struct seat {
	struct flight_waiter waiter;
	struct mailbox_note note;
	unsigned woken;
};

struct fixture {
	struct loop *loop;
	struct mailbox *box;
	struct flights *table;
	struct arena arena;
	struct http_head plain, gzip;
};

static void
on_turn(void *arg)
{
	(void)arg;
}

static struct http_head
request(struct fixture *f, const char *field)
{
	char text[256];
	struct http_head head;
	struct http_fault fault;

	snprintf(text, sizeof(text),
	    "GET http://a/ HTTP/1.1\r\nHost: a\r\n%s\r\n", field);
	assert_int_equal(
	    http_parse_request(arena_copy(&f->arena, bytes_str(text)), &limits,
		&f->arena, &head, &fault),
	    0);
	return head;
}

static int
setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){0};
	assert_int_equal(loop_new(&f.loop, on_turn, NULL), 0);
	assert_int_equal(mailbox_new(&f.box, f.loop), 0);
	assert_int_equal(flights_new(&f.table), 0);
	arena_init(&f.arena, 65536);
	f.plain = request(&f, "");
	f.gzip = request(&f, "Accept-Encoding: gzip\r\n");
	*state = &f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	arena_release(&f->arena);
	flights_free(&f->table);
	mailbox_free(&f->box);
	loop_free(&f->loop);
	return 0;
}

static void
on_note(void *arg)
{
	((struct seat *)arg)->woken++;
}

static int
join(struct fixture *f, struct seat *s, const struct http_head *head,
    bool newest, bool alone)
{
	static const struct cache_policy policy = {.stale_if_error = 0};
	struct cache_request request;
	const struct flight_wish wish = {
	    .request = &request,
	    .policy = &policy,
	    .now = NOW,
	    .newest = newest,
	    .alone = alone,
	    .scratch = &f->arena,
	};

	*s = (struct seat){0};
	mailbox_note_init(&s->note, f->box, on_note, s);
	s->waiter.note = &s->note;
	cache_request_init(&request, head);
	return flight_join(f->table, BYTES("http://a/"), &wish, &s->waiter);
}

static void
one_leads_the_others_follow(void **state)
{
	struct fixture *f = *state;
	struct flight_result result = {
	    .kind = FLIGHT_RESPONSE, .shared = true, .status = 200};
	struct seat a, b, c;

	assert_int_equal(join(f, &a, &f->plain, false, false), FLIGHT_LEADS);
	assert_int_equal(join(f, &b, &f->plain, false, false), FLIGHT_FOLLOWS);
	assert_int_equal(join(f, &c, &f->plain, false, true), FLIGHT_LEADS);
	assert_null(flight_result(&b.waiter));
	assert_true(flight_is_asking(f->table, BYTES("http://a/")));
	assert_int_equal(flight_interested(a.waiter.flight), 2);
	flight_publish(a.waiter.flight, &result);
	assert_true(a.note.posted && b.note.posted && !c.note.posted);
	assert_int_equal(flight_result(&b.waiter)->status, 200);
	flight_end(a.waiter.flight);
	assert_false(flight_is_asking(f->table, BYTES("http://a/")));
	flight_abandon(c.waiter.flight);
	assert_int_equal(flight_result(&c.waiter)->status, 0);
	flight_leave(&a.waiter);
	flight_leave(&b.waiter);
	flight_leave(&c.waiter);
	mailbox_cancel(&a.note);
	mailbox_cancel(&b.note);
	mailbox_cancel(&c.note);
}

static void
a_head_is_for_those_whom_it_fits(void **state)
{
	struct fixture *f = *state;
	struct flight_result result = {.kind = FLIGHT_RESPONSE,
	    .shared = true,
	    .status = 200,
	    .meta = {.response_time = NOW, .lifetime = 1}};
	struct http_head response;
	struct http_fault fault;
	struct seat a, b, c, d;

	assert_int_equal(
	    http_parse_response(BYTES("HTTP/1.1 200 OK\r\n"
				      "Vary: Accept-Encoding\r\n\r\n"),
		&limits, &f->arena, &response, &fault),
	    0);
	assert_int_equal(
	    cache_variant(&f->gzip, &response, &f->arena, &result.variant), 0);
	assert_int_equal(join(f, &a, &f->gzip, false, false), FLIGHT_LEADS);
	flight_publish(a.waiter.flight, &result);
	assert_int_equal(join(f, &b, &f->gzip, false, false), FLIGHT_FOLLOWS);
	assert_int_equal(join(f, &c, &f->plain, false, false), FLIGHT_LEADS);
	/* the head that is there is older than who wants news */
	flight_abandon(c.waiter.flight);
	assert_int_equal(join(f, &d, &f->gzip, true, false), FLIGHT_LEADS);
	flight_abandon(d.waiter.flight);
	flight_end(a.waiter.flight);
	flight_leave(&a.waiter);
	flight_leave(&b.waiter);
	flight_leave(&c.waiter);
	flight_leave(&d.waiter);
	mailbox_cancel(&a.note);
	mailbox_cancel(&c.note);
	mailbox_cancel(&d.note);
}

/* Who comes when the head is there gets what could be reused as well: RFC 9111
 * 4. Who was there before does not ask. */
static void
a_head_is_reused_only_if_it_may_be(void **state)
{
	static const struct {
		struct cache_meta meta;
		const char *field;
		int role;
	} rows[] = {
	    {{.lifetime = 60}, "", FLIGHT_FOLLOWS},
	    {{.lifetime = 0}, "", FLIGHT_LEADS},
	    {{.lifetime = 60, .flags = CACHE_ALWAYS_REVALIDATE}, "",
		FLIGHT_LEADS},
	    {{.lifetime = 60, .initial_age = 60}, "", FLIGHT_LEADS},
	    {{.lifetime = 0, .stale_while_revalidate = 9}, "", FLIGHT_FOLLOWS},
	    {{.lifetime = 60}, "Cache-Control: min-fresh=61\r\n", FLIGHT_LEADS},
	    {{.lifetime = 60, .initial_age = 9}, "Cache-Control: max-age=8\r\n",
		FLIGHT_LEADS},
	    {{.lifetime = 0}, "Cache-Control: max-stale\r\n", FLIGHT_FOLLOWS},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct flight_result result = {.kind = FLIGHT_RESPONSE,
		    .shared = true,
		    .status = 200,
		    .meta = rows[i].meta};
		struct http_head late = request(f, rows[i].field);
		struct seat a, b, c;

		result.meta.response_time = NOW;
		assert_int_equal(
		    join(f, &a, &f->plain, false, false), FLIGHT_LEADS);
		assert_int_equal(
		    join(f, &b, &late, false, false), FLIGHT_FOLLOWS);
		flight_publish(a.waiter.flight, &result);
		assert_int_equal(
		    join(f, &c, &late, false, false), rows[i].role);
		flight_end(a.waiter.flight);
		if (rows[i].role == FLIGHT_LEADS)
			flight_abandon(c.waiter.flight);
		flight_leave(&a.waiter);
		flight_leave(&b.waiter);
		flight_leave(&c.waiter);
		mailbox_cancel(&a.note);
		mailbox_cancel(&b.note);
		mailbox_cancel(&c.note);
	}
}

static void
what_is_not_shared_is_found_by_nobody(void **state)
{
	struct fixture *f = *state;
	struct flight_result result = {.kind = FLIGHT_RESPONSE, .status = 200};
	struct seat a, b;

	assert_int_equal(join(f, &a, &f->plain, false, false), FLIGHT_LEADS);
	flight_publish(a.waiter.flight, &result);
	assert_int_equal(join(f, &b, &f->plain, false, false), FLIGHT_LEADS);
	flight_end(a.waiter.flight);
	flight_abandon(b.waiter.flight);
	flight_leave(&a.waiter);
	flight_leave(&b.waiter);
	mailbox_cancel(&a.note);
	mailbox_cancel(&b.note);
}

static void
the_last_one_out_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct mailbox_note forsaken;
	struct flight *flight;
	struct seat a, b;

	assert_int_equal(join(f, &a, &f->plain, false, false), FLIGHT_LEADS);
	assert_int_equal(join(f, &b, &f->plain, false, false), FLIGHT_FOLLOWS);
	flight = flight_ref(a.waiter.flight);
	mailbox_note_init(&forsaken, f->box, on_note, &a);
	flight->forsaken = &forsaken;
	flight_leave(&a.waiter);
	assert_false(forsaken.posted);
	flight_leave(&b.waiter);
	assert_true(forsaken.posted);
	flight_abandon(flight);
	mailbox_cancel(&forsaken);
	flight_unref(&flight);
}

static void
a_change_overtakes_what_is_in_flight(void **state)
{
	struct fixture *f = *state;
	struct seat a, b;

	assert_int_equal(join(f, &a, &f->plain, false, false), FLIGHT_LEADS);
	assert_false(flight_overtaken(a.waiter.flight));
	flight_invalidate(f->table, BYTES("http://a/other"), NULL);
	assert_false(flight_overtaken(a.waiter.flight));
	flight_invalidate(f->table, BYTES("http://a/"), NULL);
	assert_true(flight_overtaken(a.waiter.flight));
	assert_int_equal(join(f, &b, &f->plain, false, false), FLIGHT_LEADS);
	/* not by itself */
	flight_invalidate(f->table, BYTES("http://a/"), b.waiter.flight);
	assert_false(flight_overtaken(b.waiter.flight));
	flight_abandon(a.waiter.flight);
	flight_abandon(b.waiter.flight);
	flight_leave(&a.waiter);
	flight_leave(&b.waiter);
	mailbox_cancel(&a.note);
	mailbox_cancel(&b.note);
}

static void
a_private_key_is_remembered_for_a_while(void **state)
{
	struct fixture *f = *state;
	struct bytes key = BYTES("http://a/");

	assert_false(flight_is_private(f->table, key, 1000));
	flight_mark_private(f->table, key, 1000);
	assert_true(flight_is_private(f->table, key, 1030));
	assert_false(flight_is_private(f->table, key, 2000));
	assert_false(flight_is_private(f->table, BYTES("http://b/"), 1030));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(one_leads_the_others_follow),
	    T(a_head_is_for_those_whom_it_fits),
	    T(a_head_is_reused_only_if_it_may_be),
	    T(what_is_not_shared_is_found_by_nobody),
	    T(the_last_one_out_is_noticed),
	    T(a_change_overtakes_what_is_in_flight),
	    T(a_private_key_is_remembered_for_a_while),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
