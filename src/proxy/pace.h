/*
 * How slow a client may be. Who is waited for uses up credit, a millisecond
 * each; what it moves brings credit back at PACE_MIN bytes a second, never more
 * than the idle timeout. So silence is bounded by that timeout, and a byte now
 * and then does not keep a connection alive: over any stretch longer than the
 * timeout it has to move PACE_MIN bytes a second on the average. Pure.
 */
#ifndef PROXY_PACE_H
#define PROXY_PACE_H

#include <stdint.h>

/* A modem of 1985 did as much; whoever is slower holds a connection, and has
 * no use for what it brings. */
#define PACE_MIN 256

struct pace {
	int64_t credit, most; /* ms */
	int64_t since;	      /* it is waited for; 0: it is not */
};

static inline struct pace
pace_begin(int64_t idle_ms)
{
	return (struct pace){.credit = idle_ms, .most = idle_ms};
}

/* It moved n bytes. */
static inline void
pace_moved(struct pace *p, int64_t now_ms, uint64_t n)
{
	uint64_t gain = n > UINT64_MAX / 1000 ? UINT64_MAX : n * 1000;

	gain /= PACE_MIN;
	if (p->since != 0)
		p->credit -= now_ms - p->since;
	p->since = 0;
	if (gain >= (uint64_t)p->most)
		gain = (uint64_t)p->most;
	p->credit += (int64_t)gain;
	if (p->credit > p->most)
		p->credit = p->most;
}

/* From now on it is waited for: how many ms at most; 0: no more. */
static inline int64_t
pace_wait(struct pace *p, int64_t now_ms)
{
	int64_t left;

	if (p->since == 0)
		p->since = now_ms;
	left = p->credit - (now_ms - p->since);
	return left > 0 ? left : 0;
}

/* It is somebody else's turn. */
static inline void
pace_rest(struct pace *p, int64_t now_ms)
{
	pace_moved(p, now_ms, 0);
}

#endif
