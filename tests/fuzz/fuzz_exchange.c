/*
 * The whole exchange: larder between clients and an origin that say what the
 * fuzzer's bytes tell them to, in pieces, at once, in any order, and while time
 * passes. See exchange_talk.h for what must hold; besides, every exchange ends.
 */
#include <string.h>
#include <unistd.h>

#include "exchange_talk.h"
#include "larder/check.h"

#define STEPS_MAX  64
#define TURNS_MAX  20000
#define NAPS_MAX   400
#define TIMERS_MAX 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum op {
	OP_ASK,
	OP_ASK_MORE,
	OP_ASK_AGAIN,
	OP_PLAN,
	OP_PLAN_MORE,
	OP_SAY,
	OP_RUN,
	OP_WAIT,
	OP_END_CLIENT,
	OP_END_ORIGIN,
	OP_PAUSE,
	OP_HOLD,
	OP_LET_GO,
	OP_RELEASE,
	OP_CHANGE,
	OPS,
};

/* Until nothing moves any more. */
static void
settle(void)
{
	unsigned still = 0, naps = 0;

	for (unsigned turns = 0; still < 2; turns++) {
		bool moved;

		wire_must(turns < TURNS_MAX, "it goes in circles", BYTES(""));
		world_turn();
		moved = world_pump();
		moved |= origin_serve();
		moved |= client_check();
		if (moved) {
			still = 0;
		} else if (still == 1 && world_is_busy() && naps < NAPS_MAX) {
			naps++;
			usleep(50);
		} else {
			still++;
		}
	}
}

static void
step(struct feed *feed)
{
	static const uint16_t waits[] = {1, 2, 5, 11, 30, 61, 101, 1001};

	switch ((enum op)(feed_u8(feed) % OPS)) {
	case OP_ASK:
	case OP_ASK_MORE:
	case OP_ASK_AGAIN:
		client_says(feed, false);
		break;
	case OP_PLAN:
	case OP_PLAN_MORE:
		origin_plans(feed);
		return;
	case OP_SAY:
		client_says(feed, true);
		break;
	case OP_RUN:
		break;
	case OP_WAIT:
		for (int64_t until = world_now() + waits[feed_u8(feed) % 8];
		     world_now() < until;) {
			world_advance((until - world_now()) * 1000);
			settle();
		}
		return;
	case OP_END_CLIENT:
		client_ends(feed);
		break;
	case OP_END_ORIGIN:
		origin_ends(feed);
		break;
	case OP_PAUSE:
		client_pauses(feed);
		break;
	case OP_HOLD:
		origin_holds(true);
		return;
	case OP_LET_GO:
		origin_holds(false);
		break;
	case OP_RELEASE:
		client_release();
		origin_release();
		break;
	case OP_CHANGE:
		rep_change();
		return;
	case OPS:
		break;
	}
	settle();
}

static void
finish(void)
{
	origin_holds(false);
	client_release();
	origin_release();
	settle();
	for (unsigned i = 0; !world_is_idle(); i++) {
		if (i == TIMERS_MAX) {
			world_describe();
			wire_fail("an exchange does not end", BYTES(""));
		}
		world_advance(100000);
		settle();
		/* A thread that is late is no finding. */
		if (i > TIMERS_MAX / 2)
			usleep(10000);
	}
	settle();
	client_stop();
	origin_stop();
	world_turn();
	world_turn();
	world_clear();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};

	world_set_up();
	rep_start();
	client_start();
	origin_start();
	for (unsigned i = 0; i < STEPS_MAX && feed.n > 0; i++)
		step(&feed);
	finish();
	return 0;
}
