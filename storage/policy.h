/*
 * What goes when the budget is reached: the policy, and nothing else. No I/O,
 * no clock, no memory of its own; the store and tests/bench/simulate call the
 * same functions.
 *
 * S3-FIFO's idea over containers. Newcomers gather in the small queue; what is
 * worth it moves on to the main one, as does at once what comes back after it
 * went. Of a container that reached the head of its queue, what is worth least
 * goes. Worth is what an object was asked for lately by a power of its size,
 * so that both the share of requests and the share of bytes that are hits
 * count.
 */
#ifndef STORAGE_POLICY_H
#define STORAGE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Worths, in sixteenths of a power of two. */
#define POLICY_VALUES 256u

enum policy_queue { POLICY_SMALL, POLICY_MAIN, POLICY_QUEUES };

/* All that it knows of the past. */
struct policy {
	uint64_t budget; /* bytes */
	/* Bytes that were looked at lately, by their worth; and together. */
	uint64_t seen[POLICY_VALUES], total;
	/* Bytes that may be written anew for those that stay. */
	uint64_t credit;
};

struct policy_member {
	uint64_t offset; /* in the container's file */
	uint64_t size;	 /* bytes there */
	unsigned value;
	bool bound; /* not for the policy to say: it stays, wherever */
	bool stays; /* the verdict */
};

struct policy_container {
	bool blob;     /* a file of one body */
	uint64_t size; /* bytes that it takes on disk */
	uint64_t room; /* bytes that could be written now */
	/* How often all there is was judged already, and there is still too
	 * little room. */
	unsigned round;
};

enum policy_way {
	POLICY_LEAVE, /* those that stay are written anew, the file goes */
	POLICY_STAY,  /* it goes to the end of the main queue, with holes */
};

void policy_init(struct policy *p, uint64_t budget);
void policy_resize(struct policy *p, uint64_t budget);

/* Which queue's head is next, where both have one. */
enum policy_queue policy_turn(uint64_t small, uint64_t main);

/* uses: of late; size: bytes on disk; hash: tells apart what is worth the same,
 * and always in the same way. */
unsigned policy_value(unsigned uses, uint64_t size, uint64_t hash);

/* Where a new one goes. back: it went not long ago. */
enum policy_queue policy_enter(
    const struct policy *p, bool back, unsigned value);

/* So much was stored, and so much written anew: a share of the first is what
 * the second may be. */
void policy_stored(struct policy *p, uint64_t bytes);
void policy_rewrote(struct policy *p, uint64_t bytes);

/* Has anything been judged, or looked at, yet? Without that a container would
 * be compared with itself. */
bool policy_is_blind(const struct policy *p);
/* Members of a container that is not judged now: what is stored is worth that.
 */
void policy_look(
    struct policy *p, const struct policy_member *members, size_t n);

/* What becomes of a container and of each of its members, which are ordered
 * by offset. */
enum policy_way policy_judge(struct policy *p, const struct policy_container *c,
    struct policy_member *members, size_t n);

/* Bytes of whole blocks that those who stay take where they are. */
uint64_t policy_blocks(const struct policy_member *members, size_t n);

#endif
