/*
 * The policy of eviction: see its header.
 *
 * The price. Everything that is judged is counted by its worth, and the count
 * is halved now and then; the price is what KEEP of those bytes are worth at
 * least. So it follows what is asked for, whatever that is, and at each turn
 * the same share goes. Since worth is told apart by hash where it is equal, a
 * loop that is larger than the budget has one part that stays, not all of it
 * going round.
 *
 * What is written anew. A pack of which most is worth keeping stays where it
 * is, with holes for the rest, and costs nothing. Of others those that stay are
 * written again, as far as CREDIT of what was stored allows it, the best first.
 * So never more than that is written anew, whatever the traffic is like.
 *
 * The constants were found by tests/bench/simulate; README says how.
 */
#include "policy.h"

#include "disk.h"

/* The small queue's share: one in so many bytes. */
#define SMALL	     20u
/* Of what is judged so much stays: of 20. */
#define KEEP	     12u
#define ROUNDS	     3u
/* A pack stays where it is if of its blocks so much is used then: of 20. */
#define DENSE	     17u
/* Of each stored byte so much may be written anew: of 20. */
#define CREDIT	     5u
/* What is not used up, and what there is to begin with: of the budget. */
#define CREDIT_MOST  16u
#define CREDIT_FIRST 64u
/* Worth goes down with the fifth root of the size. */
#define ROOT	     5u
/* Above all that sizes may take off. */
#define BASE	     144
/* Worths that hash spreads what is equal over. */
#define SPREAD	     4u

void
policy_init(struct policy *p, uint64_t budget)
{
	*p = (struct policy){.budget = budget, .credit = budget / CREDIT_FIRST};
}

void
policy_resize(struct policy *p, uint64_t budget)
{
	p->budget = budget;
}

enum policy_queue
policy_turn(uint64_t small, uint64_t main)
{
	return small > (small + main) / SMALL ? POLICY_SMALL : POLICY_MAIN;
}

/* The logarithm to the base of two, in sixteenths; of 0 it is that of 1/2. */
static int
log16(uint64_t n)
{
	/* By the four bits behind the first one. */
	static const int parts[16] = {
	    0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15};
	int whole = 0;

	if (!n)
		return -16;
	while (whole < 63 && n >> (whole + 1))
		whole++;
	n = whole > 4 ? n >> (whole - 4) : n << (4 - whole);
	return 16 * whole + parts[n & 15];
}

unsigned
policy_value(unsigned uses, uint64_t size, uint64_t hash)
{
	int value = BASE + log16(uses) - log16(size) / (int)ROOT;

	/* Other bits than those by which tables place it. */
	hash = (hash ^ hash >> 31) * 0xbf58476d1ce4e5b9u;
	value += (int)(hash >> 40 & (SPREAD - 1));
	if (value < 0)
		return 0;
	return value < (int)POLICY_VALUES ? (unsigned)value : POLICY_VALUES - 1;
}

/* ---- the price ----------------------------------------------------------- */

static void
see(struct policy *p, const struct policy_member *m)
{
	p->seen[m->value] += m->size;
	p->total += m->size;
	if (p->total <= p->budget)
		return;
	p->total = 0;
	for (unsigned i = 0; i < POLICY_VALUES; i++)
		p->total += p->seen[i] /= 2;
}

bool
policy_is_blind(const struct policy *p)
{
	return p->total == 0;
}

void
policy_look(struct policy *p, const struct policy_member *members, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!members[i].bound)
			see(p, &members[i]);
}

/* With each round half as much stays, and at last nothing. */
static unsigned
price(const struct policy *p, unsigned round)
{
	uint64_t bytes = 0, most = p->total / 20 * (KEEP >> round);

	if (round >= ROUNDS)
		return POLICY_VALUES;
	for (unsigned i = POLICY_VALUES; i-- > 0;) {
		bytes += p->seen[i];
		if (bytes > most)
			return i + 1;
	}
	return 0;
}

enum policy_queue
policy_enter(const struct policy *p, bool back, unsigned value)
{
	return back && value >= price(p, 0) ? POLICY_MAIN : POLICY_SMALL;
}

void
policy_stored(struct policy *p, uint64_t bytes)
{
	uint64_t most = p->budget / CREDIT_MOST;

	p->credit += bytes / 20 * CREDIT;
	p->credit = p->credit < most ? p->credit : most;
}

void
policy_rewrote(struct policy *p, uint64_t bytes)
{
	p->credit -= bytes < p->credit ? bytes : p->credit;
}

/* ---- a container --------------------------------------------------------- */

uint64_t
policy_blocks(const struct policy_member *members, size_t n)
{
	uint64_t blocks = 0, next = 0;

	for (size_t i = 0; i < n; i++) {
		const struct policy_member *m = &members[i];
		uint64_t from = m->offset / DISK_BLOCK, to;

		if ((!m->stays && !m->bound) || !m->size)
			continue;
		to = (m->offset + m->size - 1) / DISK_BLOCK + 1;
		from = from > next ? from : next;
		blocks += to > from ? to - from : 0;
		next = to > next ? to : next;
	}
	return blocks * DISK_BLOCK;
}

static uint64_t
decide(struct policy_member *members, size_t n, unsigned least)
{
	uint64_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		members[i].stays =
		    members[i].bound || members[i].value >= least;
		kept += members[i].stays ? members[i].size : 0;
	}
	return kept;
}

/* The price at which those who stay can be written anew. */
static unsigned
affordable(const struct policy_member *members, size_t n, uint64_t bytes,
    unsigned least)
{
	uint64_t tally[POLICY_VALUES] = {0}, kept = 0;
	unsigned at = POLICY_VALUES;

	for (size_t i = 0; i < n; i++)
		if (members[i].bound)
			kept += members[i].size;
		else
			tally[members[i].value] += members[i].size;
	while (at > least && kept + tally[at - 1] <= bytes)
		kept += tally[--at];
	return at;
}

enum policy_way
policy_judge(struct policy *p, const struct policy_container *c,
    struct policy_member *members, size_t n)
{
	unsigned least;
	uint64_t kept, bytes;

	policy_look(p, members, n);
	least = price(p, c->round);
	kept = decide(members, n, least);
	if (c->blob)
		return kept ? POLICY_STAY : POLICY_LEAVE;
	if (kept && kept >= policy_blocks(members, n) / 20 * DENSE)
		return POLICY_STAY;
	/* Where there is no room to write anything, as when the budget was
	 * cut, what is worth it need not go for that. */
	if (kept > c->room && c->round < ROUNDS)
		return POLICY_STAY;
	/* It must gain something. */
	bytes = c->size / 10 * 9;
	bytes = bytes < p->credit ? bytes : p->credit;
	bytes = bytes < c->room ? bytes : c->room;
	decide(members, n, affordable(members, n, bytes, least));
	return POLICY_LEAVE;
}
