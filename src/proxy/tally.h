/*
 * Who and what the traffic is of: hosts, clients and URLs with what was counted
 * of each, in a fixed table a worker, which alone writes it. Now and then it is
 * handed over whole, for an empty one (proxy_collect()); so a request takes no
 * lock, and allocates nothing.
 *
 * A table has TALLY_SLOTS places, in groups of TALLY_WAYS: who finds its group
 * full takes the place of the one that has sent least, whose counts go to
 * `rest`. So what is heavy stays, and the sum is always right.
 */
#ifndef PROXY_TALLY_H
#define PROXY_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"
#include "net/addr.h"

enum tally_kind { TALLY_HOST, TALLY_CLIENT, TALLY_URL, TALLY_KINDS };

#define TALLY_SLOTS   256u
#define TALLY_WAYS    4u
#define TALLY_FLIGHTS 16u
/* Longer texts are cut. */
#define TALLY_TEXT    240u

struct tally_counts {
	uint64_t requests;
	uint64_t hits;	    /* of these, answered from the store */
	uint64_t sent;	    /* bytes to clients, heads included */
	uint64_t cached;    /* body bytes that no origin had to send again */
	uint64_t fetched;   /* bytes from origins, heads included */
	uint64_t tunnelled; /* bytes through tunnels, both ways; not in sent */
};

struct tally_slot {
	struct tally_counts counts;
	char *text;    /* its place for it, TALLY_TEXT bytes or fewer */
	uint16_t size; /* of the text */
};

struct tally_table {
	uint64_t hash[TALLY_SLOTS]; /* 0: free */
	struct tally_slot slots[TALLY_SLOTS];
	struct tally_counts rest;
};

/* A fetch that runs at this moment. */
struct tally_flight {
	char url[TALLY_TEXT];
	uint16_t size;		   /* of url */
	int64_t since;		   /* wall clock, seconds */
	uint64_t received, length; /* body bytes; length: or STORE_UNKNOWN */
	unsigned readers;
};

struct tally {
	uint64_t seed;
	struct tally_table tables[TALLY_KINDS];
	struct tally_flight flights[TALLY_FLIGHTS];
	unsigned flight_count;
	char *texts;
};

/* seed: the same for all whose hashes meet. LARDER_NOMEM. */
int tally_new(struct tally **out, uint64_t seed);
void tally_free(struct tally **tally);
void tally_clear(struct tally *tally);

/* Where to count for a host or a URL. */
struct tally_counts *tally_at(
    struct tally *tally, enum tally_kind kind, struct bytes text);
/* *hash: 0 at first; kept by who counts for this client again. */
struct tally_counts *tally_at_client(
    struct tally *tally, const union addr *client, uint64_t *hash);

void tally_add(struct tally_counts *to, const struct tally_counts *what);

#endif
