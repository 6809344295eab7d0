/*
 * A fetch: one request to an origin and its answer, for a flight. It belongs to
 * its flight, not to the exchange that began it: that may leave. It lives in
 * the worker that began it.
 *
 *   fetch_start ──> CONNECTING ──> ASKING ── final head ──> BODY ──> (freed)
 *                      ^             │ │                      │
 *                      └── retry ────┘ └── 304 ──> MERGING ───┘
 *                                          (or 200 to HEAD)
 *
 * fetch_start.c makes it, fetch.c has its life, connect.c its connection, ask.c
 * writes the request, upload.c sends its body, reply.c makes a result of the
 * head that comes.
 */
#ifndef PROXY_FETCH_H
#define PROXY_FETCH_H

#include "cache/decide.h"
#include "http/body.h"
#include "http/target.h"
#include "net/upstream.h"
#include "proxy/flight.h"
#include "proxy/pace.h"
#include "proxy/worker.h"

struct exchange;

enum fetch_state {
	FETCH_CONNECTING,
	FETCH_ASKING,
	FETCH_MERGING,
	FETCH_BODY,
	FETCH_OVER,
};

#define FETCH_MAGIC   0x66657463u
#define FETCH_STAGING (16u * 1024)
/* Of the buffer: trailers are written anew, with a space behind each colon. */
#define FETCH_ROOM    (FETCH_STAGING + 2 * HTTP_TRAILERS_MAX + 64)

struct fetch {
	uint32_t magic;
	struct loop_garbage garbage;
	struct list node; /* in worker.fetches */
	struct worker *w;
	struct conf *conf;     /* one reference */
	struct flight *flight; /* one reference */
	struct arena arena;
	enum fetch_state state;
	struct mailbox_note note;
	struct mailbox_note forsaken;

	/* what is asked; copies, since the exchange may leave */
	/* FETCH, REVALIDATE, PART, COMPLETE or PASS */
	enum cache_action action;
	bool background;    /* for the cache alone */
	bool unconditional; /* a 304 did not fit: ask for the whole */
	bool conditional;   /* a 304 may come: larder or the client asks */
	struct bytes raw;   /* the request as it came */
	struct http_head request;
	struct cache_request cache_request;
	struct cache_policy policy;
	struct http_target target;    /* as the client said it: of the key */
	const struct conf_site *site; /* in conf */
	struct upstream_target origin;
	struct bytes key;
	struct cache_stored *stored; /* candidates for a 304 */
	struct store_record *records;
	unsigned stored_count;
	int chosen;
	struct http_range_spec part; /* with PART and COMPLETE: asked for */
	struct bytes stored_form;    /* with COMPLETE: of the chosen one */
	bool begun; /* the leader has sent stored bytes: no other will do */

	/* towards the origin */
	struct upstream_wait *wait;
	struct conn *conn;
	bool reused, retried;
	bool write_failed; /* nothing more is sent, or wanted */
	struct bytes ask;  /* what is left of the head to be sent */
	char *staging; /* framed body bytes; malloc'ed when there are some */
	size_t staged, staged_sent;
	struct exchange *leader; /* NULL: gone, or none */
	bool uploads;		 /* the leader's body is not all sent yet */
	bool upload_begun;
	struct pace pace; /* of the leader's client's sending */

	/* from the origin */
	int64_t request_time, response_time; /* seconds */
	uint64_t bytes_before; /* of conn_bytes_in(): not ours, or counted */
	uint64_t fetched;      /* bytes counted, over all its connections */
	size_t scanned;
	unsigned interims;
	struct http_head response;
	struct http_body body;
	struct blob *blob;   /* the flight's result has another reference */
	bool served;	     /* see worker_burst() */
	bool reusable;	     /* the connection may serve another request */
	int64_t held_since;  /* some readers hold up others; ms, 0: not */
	uint64_t held_total; /* body bytes then */
	bool watches_room;   /* conn's timeout is for the blob's */
	int64_t body_since;  /* when the body began, ms */
	int64_t stall_since; /* it waits for the disk, and who reads for it */
	int64_t stalled;     /* ms in all, before */
	struct pace drip;    /* of the origin's sending, to nobody */
	struct blob_reader stored_reader; /* MERGING */
};

/*
 * Fetches for x's flight, as x's decision says. background: nothing of x is
 * used after the call. The fetch ends the flight in any case; it calls nobody
 * from inside this call. LARDER_NOMEM.
 */
int fetch_start(struct exchange *x, struct flight *flight, bool background);

/* Goes on, for the cache alone, with a part of what `from` has brought a part
 * of; found and chosen: what is stored of it. LARDER_NOMEM, also where somebody
 * else is at it. */
int fetch_start_rest(struct fetch *from, const struct store_found *found,
    int chosen, const struct http_range_spec *part);

/* The leader has gone; others may still read. */
void fetch_leader_left(struct fetch *f);

/* The leader's client has sent more of the body. */
void fetch_source_readable(struct fetch *f);

/* Ends them all, when the worker must end. */
void fetches_abort_all(struct worker *w);

/* ask.c: writes f->ask. LARDER_NOMEM. */
int ask_write(struct fetch *f);

/* part.c: that head answers a range that was asked for. */
void part_on_head(struct fetch *f);
/* What has come of a body that ends short is stored as a part, if that is worth
 * it. */
bool part_keep(struct fetch *f);
/* f's response is stored now: what it makes old, or superfluous, goes. */
void part_tidy(struct fetch *f);
/* What is missing around a part that f has brought is fetched, too, if the rule
 * says so. */
void part_rest(struct fetch *f);
/* The stored parts that f was to complete are of the past. */
void part_drop(struct fetch *f);

/* reply.c: the final head has come. Publishes a result, or begins to merge, or
 * asks again. */
void reply_on_head(struct fetch *f);
/* It is taken as it is, not as a part or a 304. */
void reply_on_response(struct fetch *f);
/* The flight's result is this form, and the body that follows. */
void reply_publish(
    struct fetch *f, struct cache_admission *admission, struct bytes form);
/* The stored head may be there now. */
void reply_merge(struct fetch *f);
/* Tells the leader's client of an interim response. */
void reply_interim(struct fetch *f);
/* invalidate.c: what the answer to the request makes invalid goes. */
void reply_invalidate(struct fetch *f);

/* upload.c: refills the empty staging buffer from the leader's client. False:
 * there is nothing to send now, or f is gone. */
bool upload_fill(struct fetch *f);
/* The client was waited for too long: 408. False: it was not for its body that
 * it was waited for. */
bool upload_too_slow(struct fetch *f);

/* fetch.c, for fetch_start.c: connects and asks. */
void fetch_run(struct fetch *f);

/* connect.c: gets a connection, not a used one if it is to be fresh, and asks.
 */
void fetch_connect(struct fetch *f, bool fresh);
/* The same request without what made it conditional. */
void fetch_ask_again(struct fetch *f);
/* The connection ended before any byte of an answer. May free f. */
void fetch_no_answer(struct fetch *f);
/* The connection moves bytes, or has to within the time for it. */
void fetch_expect_progress(struct fetch *f);

/* fetch.c, for connect.c: the connection takes bytes, or has some; it is done
 * with. */
void fetch_send(struct fetch *f);
void fetch_receive(struct fetch *f);
void fetch_release_conn(struct fetch *f);

/* fetch.c, for reply.c and upload.c. */
void fetch_pump(struct fetch *f);
/* Does anybody read it, or is it worth having in the cache all the same? */
bool fetch_is_wanted(struct fetch *f);
/* Is every byte of the request out? What is staged is not. */
bool fetch_is_asked(const struct fetch *f);
/* There is no usable answer: 502 or 504, a token and a sentence. Or, when its
 * head is out already, the transfer is aborted. Frees f. */
void fetch_fail(
    struct fetch *f, int status, const char *detail, const char *text);
/* All of it is there. Frees f. */
void fetch_finish(struct fetch *f);

#endif
