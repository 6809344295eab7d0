#include "net_test.h"

#include <pthread.h>
#include <stdatomic.h>

#include "larder/clock.h"
#include "net/mailbox.h"

/* ---- turns ------------------------------------------------------------ */

struct trace {
	char text[64];
	struct loop_task task, again;
	struct loop_garbage garbage;
	struct loop *loop;
	int turns;
};

static struct trace trace;

static void
mark(char c)
{
	size_t n = strlen(trace.text);

	if (n + 1 < sizeof(trace.text))
		trace.text[n] = c;
}

static void
on_free(struct loop_garbage *garbage)
{
	assert_ptr_equal(garbage, &trace.garbage);
	mark('f');
}

static void
on_task(void *arg)
{
	(void)arg;
	mark('t');
	loop_discard(trace.loop, &trace.garbage, on_free);
	loop_task_start(trace.loop, &trace.again);
}

static void
on_again(void *arg)
{
	(void)arg;
	mark('a');
	loop_stop(trace.loop);
}

static void
on_event(void *arg)
{
	(void)arg;
	mark('e');
	loop_task_start(trace.loop, &trace.task);
	loop_task_start(trace.loop, &trace.task);
	mark('.');
}

static void
on_turn(void *arg)
{
	assert_ptr_equal(arg, &trace);
	mark('|');
}

static void
a_turn_has_an_order(void **state)
{
	struct loop_timer timer;

	(void)state;
	memset(&trace, 0, sizeof(trace));
	assert_int_equal(loop_new(&trace.loop, on_turn, &trace), 0);
	loop_task_init(&trace.task, on_task, NULL);
	loop_task_init(&trace.again, on_again, NULL);
	loop_timer_init(&timer, trace.loop, on_event, NULL);
	loop_timer_start(&timer, 0);
	loop_run(trace.loop);
	/* A task started by a task waits for the next turn, which does not
	 * block. */
	assert_string_equal(trace.text, "e.t|fa|");
	loop_timer_release(&timer);
	loop_free(&trace.loop);
}

static void
must_not_run(void *arg)
{
	(void)arg;
	fail();
}

struct runner {
	struct loop_task task;
	unsigned first; /* how often it was the first of a turn */
};

static bool turn_begun;
static unsigned turns_left;

static void
on_runner(void *arg)
{
	struct runner *r = arg;

	if (!turn_begun)
		r->first++;
	turn_begun = true;
	if (turns_left > 0)
		loop_task_start(trace.loop, &r->task);
}

static void
on_runners_turn(void *arg)
{
	(void)arg;
	turn_begun = false;
	if (--turns_left == 0)
		loop_stop(trace.loop);
}

/* What starts itself again each time is not always behind the same one. */
static void
tasks_take_turns(void **state)
{
	struct runner runners[4] = {0};

	(void)state;
	assert_int_equal(loop_new(&trace.loop, on_runners_turn, NULL), 0);
	turns_left = 40;
	turn_begun = false;
	for (unsigned i = 0; i < ARRAY_SIZE(runners); i++) {
		loop_task_init(&runners[i].task, on_runner, &runners[i]);
		loop_task_start(trace.loop, &runners[i].task);
	}
	loop_run(trace.loop);
	for (unsigned i = 0; i < ARRAY_SIZE(runners); i++) {
		loop_task_stop(&runners[i].task);
		assert_int_equal(runners[i].first, 10);
	}
	loop_free(&trace.loop);
}

static void
stopped_tasks_do_not_run(void **state)
{
	struct loop_task task;

	(void)state;
	loop_task_init(&task, must_not_run, NULL);
	loop_task_start(loop, &task);
	loop_task_stop(&task);
	loop_task_stop(&task);
	run_for(5);
}

/* ---- timers ----------------------------------------------------------- */

static void
timers_move(void **state)
{
	struct loop_timer timer;
	int64_t start = clock_mono_ms(), took;

	(void)state;
	loop_timer_init(&timer, loop, stop, NULL);
	loop_timer_start(&timer, 20);
	loop_timer_start(&timer, 80); /* later: nothing is armed anew */
	assert_true(timer.armed < timer.deadline);
	run();
	took = clock_mono_ms() - start;
	assert_in_range(took, 79, 2000);
	assert_int_equal(timer.deadline, 0);

	start = clock_mono_ms();
	loop_timer_start(&timer, 5000);
	loop_timer_start(&timer, 20); /* earlier */
	run();
	took = clock_mono_ms() - start;
	assert_in_range(took, 19, 2000);
	loop_timer_release(&timer);
}

static void
stopped_timers_do_not_fire(void **state)
{
	struct loop_timer timer;

	(void)state;
	loop_timer_init(&timer, loop, must_not_run, NULL);
	loop_timer_start(&timer, 10);
	loop_timer_stop(&timer);
	run_for(40);
	loop_timer_start(&timer, 10);
	loop_timer_release(&timer);
	run_for(40);
}

/* ---- the mailbox ------------------------------------------------------ */

#define POSTERS 4
#define POSTS	20000

struct counter {
	struct mailbox_note note;
	atomic_int posted; /* before the post, by the poster */
	int seen;	   /* of these, when the note ran */
	int runs;
};

static struct counter counters[POSTERS];
static struct mailbox *box;

static void
on_note(void *arg)
{
	struct counter *c = arg;

	c->seen = atomic_load(&c->posted);
	c->runs++;
	for (int i = 0; i < POSTERS; i++)
		if (counters[i].seen != POSTS)
			return;
	loop_stop(loop);
}

static void *
poster(void *arg)
{
	struct counter *c = arg;

	for (int i = 0; i < POSTS; i++) {
		atomic_fetch_add(&c->posted, 1);
		mailbox_post(&c->note);
	}
	return NULL;
}

static void
no_post_is_lost(void **state)
{
	pthread_t thread[POSTERS];

	(void)state;
	assert_int_equal(mailbox_new(&box, loop), 0);
	for (int i = 0; i < POSTERS; i++) {
		memset(&counters[i], 0, sizeof(counters[i]));
		mailbox_note_init(
		    &counters[i].note, box, on_note, &counters[i]);
		pthread_create(&thread[i], NULL, poster, &counters[i]);
	}
	run();
	for (int i = 0; i < POSTERS; i++) {
		pthread_join(thread[i], NULL);
		assert_in_range(counters[i].runs, 1, POSTS);
	}
	mailbox_free(&box);
}

static struct mailbox_note first, second;

static void
cancel_second(void *arg)
{
	(void)arg;
	mailbox_cancel(&second);
	loop_stop(loop);
}

static void
cancelled_notes_do_not_run(void **state)
{
	(void)state;
	assert_int_equal(mailbox_new(&box, loop), 0);
	mailbox_note_init(&first, box, cancel_second, NULL);
	mailbox_note_init(&second, box, must_not_run, NULL);
	mailbox_post(&first);
	mailbox_post(&second); /* in the same batch */
	run();
	assert_false(second.posted);
	mailbox_post(&second);
	mailbox_cancel(&second);
	mailbox_cancel(&second);
	run_for(10);
	/* What is still posted when the box goes is let go. */
	mailbox_post(&second);
	mailbox_free(&box);
	assert_false(second.posted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_turn_has_an_order),
	    cmocka_unit_test(tasks_take_turns),
	    cmocka_unit_test_setup_teardown(
		stopped_tasks_do_not_run, loop_setup, loop_teardown),
	    cmocka_unit_test_setup_teardown(
		timers_move, loop_setup, loop_teardown),
	    cmocka_unit_test_setup_teardown(
		stopped_timers_do_not_fire, loop_setup, loop_teardown),
	    cmocka_unit_test_setup_teardown(
		no_post_is_lost, loop_setup, loop_teardown),
	    cmocka_unit_test_setup_teardown(
		cancelled_notes_do_not_run, loop_setup, loop_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
