/*
 * Flights: one fetch for one object. Who needs a response that is being fetched
 * joins its flight and reads the growing blob; who finds none leads one. Shared
 * by all workers.
 *
 *   flight_join() ──> ASKING ── flight_publish() ──> HEADED ── flight_end()
 *                       │                                          │
 *                       └────────── flight_abandon() ──────────────┴──> ENDED
 *
 * A published result never changes. In memory only: nothing is left of it by a
 * crash. Lock order: a shard's lock, then a mailbox's.
 */
#ifndef PROXY_FLIGHT_H
#define PROXY_FLIGHT_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cache/admit.h"
#include "http/head.h"
#include "http/range.h"
#include "larder/arena.h"
#include "larder/store.h"
#include "net/addr.h"
#include "net/mailbox.h"

struct flights;

enum flight_kind {
	FLIGHT_RESPONSE,  /* the origin's answer */
	FLIGHT_REFRESHED, /* 304: what is stored, with a new head */
	FLIGHT_ERROR,	  /* there was no usable answer */
};

/* All views live in the flight's arena. Of a part (cache_is_part(&meta)) the
 * form, the status and the length are those of the 200 that it is a part of;
 * the blob holds the part alone. */
struct flight_result {
	enum flight_kind kind;
	bool shared;	   /* not for its leader alone */
	bool stored;	   /* the body goes into the store */
	int status;	   /* of RESPONSE the origin's, of ERROR larder's own */
	struct bytes form; /* cache_head_form(), for all */
	/* With the fields that are for the leader alone; or p == NULL. */
	struct bytes own_form;
	struct cache_meta meta;
	struct bytes variant;
	struct blob *blob; /* the flight's reference; NULL with ERROR */
	uint64_t id;	   /* of REFRESHED: the stored object's */
	uint64_t length;   /* announced, or STORE_UNKNOWN */
	bool trailers;	   /* the origin has announced some */
	struct bytes trailer_names;
	const char *detail;   /* of ERROR: for Cache-Status */
	struct bytes text;    /* of ERROR: for people */
	char peer[ADDR_TEXT]; /* the origin's address, "-" */
};

enum flight_state { FLIGHT_ASKING, FLIGHT_HEADED, FLIGHT_ENDED };

struct flight {
	_Atomic unsigned refs;
	struct list node;    /* in its shard while it is listed */
	struct list waiters; /* flight_waiter.node; under the shard's lock */
	unsigned interested; /* who has joined and not left; ditto */
	enum flight_state state; /* ditto */
	bool listed;		 /* ditto */
	bool joinable;		 /* constant: others may find it */
	bool is_part;		 /* constant: it asks for this range alone: */
	struct http_range_spec part;
	bool rest; /* it goes on behind what was asked for; under the lock */
	uint64_t serial;    /* constant: later ones have higher */
	bool had_followers; /* ditto */
	bool overtaken;	    /* by flight_invalidate(); ditto */
	struct flights *table;
	uint64_t hash;
	struct bytes key;
	struct arena arena;
	struct flight_result result;   /* set when state is HEADED or ENDED */
	struct bytes trailers;	       /* set before the blob is whole */
	struct cache_extent kept;      /* by the fetch: what was kept of it */
	struct mailbox_note *forsaken; /* posted when nobody is interested */
};

/* Embedded in an exchange. */
struct flight_waiter {
	struct list node;
	struct mailbox_note *note; /* posted when the head is there */
	struct flight *flight;	   /* one reference; NULL: not joined */
};

int flights_new(struct flights **out);
void flights_free(struct flights **table);

enum flight_role { FLIGHT_LEADS, FLIGHT_FOLLOWS };

/* What a request looks for among the flights of its key. */
struct flight_wish {
	const struct cache_request *request;
	const struct cache_policy *policy;
	/* Only one that asks for exactly this range will do; NULL: one that
	 * asks for the whole. */
	const struct http_range_spec *part;
	int64_t now;	       /* seconds */
	bool newest;	       /* only one whose head has not come yet */
	bool alone;	       /* none: a new one that nobody else finds */
	struct arena *scratch; /* for a moment */
};

/*
 * Joins the flight that fetches key for such a request, or leads a new one. One
 * whose head has come will do only as a stored response would: as long as that
 * need not be asked about. FLIGHT_LEADS, FLIGHT_FOLLOWS or LARDER_NOMEM.
 */
int flight_join(struct flights *table, struct bytes key,
    const struct flight_wish *wish, struct flight_waiter *waiter);

/* Joins the flight that brings the whole, if the first byte of wish->part is
 * there by now, or at most `ahead` bytes away. */
bool flight_follow_whole(struct flights *table, struct bytes key,
    const struct flight_wish *wish, uint64_t ahead,
    struct flight_waiter *waiter);

/* Is a flight for the whole on its way, so that another would be a waste? */
bool flight_is_asking(struct flights *table, struct bytes key);
void flight_mark_rest(struct flight *flight);
/* Is one that goes on behind what was asked for? */
bool flight_is_resting(struct flights *table, struct bytes key);

/* The result if there is one, else NULL: the waiter's note follows. */
const struct flight_result *flight_result(struct flight_waiter *waiter);

/* Gives up the place; the flight's fetch hears of it when it was the last. */
void flight_leave(struct flight_waiter *waiter);

struct flight *flight_ref(struct flight *flight);
void flight_unref(struct flight **flight);

/* By the fetch, in this order. publish: *result becomes the flight's (with
 * result->blob's reference); all waiters are woken. */
void flight_publish(struct flight *flight, const struct flight_result *result);
/* The body is whole or aborted: nobody joins any more. */
void flight_end(struct flight *flight);
/* There will be no result: waiters find kind ERROR with status 0 and look
 * again. */
void flight_abandon(struct flight *flight);
unsigned flight_interested(struct flight *flight);
/* What is being fetched for key has been overtaken by a change: nobody joins
 * it, and it must not be stored. but: what brought the change, or NULL. */
void flight_invalidate(
    struct flights *table, struct bytes key, const struct flight *but);
/* Likewise for all keys that fit. matches is called under a lock, and calls
 * nothing of here. */
void flights_invalidate_matching(struct flights *table,
    bool (*matches)(void *arg, struct bytes key), void *arg);
bool flight_overtaken(struct flight *flight);
/* flight's response is stored now: those of the same variant that were begun
 * before it, and are still on their way, are overtaken; but not other parts of
 * the same representation. */
void flight_supersede(struct flight *flight);

/* For a while, requests for key need not wait for each other: its responses
 * are not shared. */
bool flight_is_private(struct flights *table, struct bytes key, int64_t now);
void flight_mark_private(struct flights *table, struct bytes key, int64_t now);

#endif
