/*
 * An exchange: one request of a client and its answer. The walk is the table of
 * steps in exchange.c.
 */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include <sys/uio.h>

#include "cache/coding.h"
#include "cache/decide.h"
#include "cache/status.h"
#include "http/body.h"
#include "http/target.h"
#include "proxy/flight.h"
#include "proxy/pace.h"
#include "proxy/recode.h"
#include "proxy/source.h"
#include "proxy/worker.h"

struct client;
struct fetch;
struct tunnel;

enum step {
	STEP_ROUTE,
	STEP_LOOKUP,
	STEP_DECIDE,
	STEP_OPEN,
	STEP_FILL,
	STEP_AWAIT,
	STEP_ANSWER,
	STEP_DELIVER,
	STEP_RECORD,
	STEP_WAIT, /* not a step: an event goes on with the present one */
	STEP_GONE, /* not a step: the exchange is no longer ours */
};

/* How it went, for the access log; Squid's names. */
enum result {
	RESULT_MISS,
	RESULT_HIT,
	RESULT_MEM_HIT,
	RESULT_REFRESH_UNMODIFIED,
	RESULT_REFRESH_MODIFIED,
	RESULT_CLIENT_REFRESH_MISS,
	RESULT_TUNNEL,
	RESULT_DENIED,
	RESULT_NONE, /* larder's own answer */
};

/* How the answer's body is delimited towards the client. */
enum delimiter { DELIMIT_NONE, DELIMIT_LENGTH, DELIMIT_CHUNKED, DELIMIT_CLOSE };

#define EXCHANGE_MAGIC 0x65786368u

struct exchange {
	uint32_t magic;
	struct list node; /* in worker.spare */
	struct client *client;
	struct worker *w;
	struct conf *conf; /* one reference */
	struct arena arena;
	enum step step;
	bool running; /* in exchange_run() */
	struct mailbox_note note;
	int64_t started; /* loop_wall_ms() */

	/* the request */
	struct bytes raw; /* its head, in the arena */
	struct http_head head;
	struct http_body body;
	struct http_target target;
	const struct conf_site *site; /* NULL: forward */
	struct bytes key;
	struct cache_request request;
	struct cache_policy policy;
	bool keep;    /* the connection may go on after it */
	bool expects; /* 100-continue; the body may never come */
	bool takes_trailers;

	/* looking up */
	struct store_found found;
	struct cache_stored *stored; /* found, decoded */
	struct cache_decision decision;
	bool stale_stands_in; /* the origin failed: the stored one is sent */
	uint64_t validated;   /* the stored one that a 304 has just confirmed */

	/* filling */
	struct flight_waiter waiter;
	struct fetch *fetch; /* that this exchange leads; same loop */
	unsigned attempts;   /* flights joined in vain */
	bool alone;	     /* waits for nobody any more */
	bool leads;
	struct http_range_spec asks; /* with PART and COMPLETE: of the origin */
	bool range_judged;     /* If-Range was for the origin to evaluate */
	bool answered;	       /* the head of an answer may be out */
	struct tunnel *tunnel; /* of CONNECT, while it is being opened */

	/* answering */
	int status;
	struct bytes form; /* status line and fields as stored */
	const struct cache_meta *meta;
	struct cache_meta meta_copy;
	struct source source; /* of the body */
	uint64_t stored_id;   /* whose whole body that is; or 0 */
	struct cache_coding coding;
	struct recode *recode; /* behind source; NULL: it goes as it is */
	uint64_t length;       /* of the whole body, or STORE_UNKNOWN */
	struct cache_status note_status; /* for Cache-Status */
	enum delimiter delimiter;
	struct iovec before[6]; /* to be written ahead of body bytes */
	int before_count;
	bool interim_begun; /* before[0] is what is left of a 1xx */
	uint64_t body_left; /* with DELIMIT_LENGTH */
	uint64_t chunk_left;
	char frame[HTTP_CHUNK_HEAD + 4];
	bool chunk_begun;  /* a chunk was sent: CRLF goes before the next */
	bool last_written; /* the last chunk is in `before` */
	bool from_store;   /* the body was whole before we came */
	bool broken;	   /* the body cannot end well */
	struct pace pace;  /* of the client's reading */
	size_t queued;	   /* conn_queued() when it was last looked at */

	/* the record */
	enum result result;
	uint64_t sent; /* bytes to the client */
	bool served;   /* see worker_burst() */
	uint64_t body_sent;
	uint64_t recoded; /* of recode_taken(): what has been counted */
	bool aborted;
	char peer[ADDR_TEXT]; /* who answered; "-": larder */
};

/* A request's head lies at the start of the client's input, size bytes. The
 * client owns the exchange until client_done() (or exchange_abort()). */
struct exchange *exchange_new(struct client *client);
/* Walks on from the present step until it waits or is done. */
void exchange_run(struct exchange *x);
/* The client is gone, or is to go. */
void exchange_abort(struct exchange *x);
/* Back to the spares. */
void exchange_release(struct exchange **x);
/* Frees the spares. */
void exchange_free_spares(struct worker *w);

/* Closes what the answer was read from. */
void exchange_forget_answer(struct exchange *x);
/* Likewise, to begin anew with LOOKUP: what was found is gone or does not fit.
 * After a few times the request waits for nobody any more. */
enum step exchange_look_again(struct exchange *x);

/* Finds in the store what may answer, into found and stored. */
void exchange_look_up(struct exchange *x);
/* The request is to be led, but the answer is there by now, or is to be had
 * another way: what was decided has been decided anew. */
bool exchange_is_there_after_all(struct exchange *x);
/* What it looks for among the flights: one for the whole, now. */
struct flight_wish exchange_wish(struct exchange *x);
/* What the flight brought, for the log and Cache-Status. */
void exchange_note_result(
    struct exchange *x, const struct flight_result *result);

/* Answers with it. */
enum step exchange_use_result(
    struct exchange *x, const struct flight_result *result);

/* cover.c: of an answer that is made of parts. */
enum step cover_open(struct exchange *x);
enum step cover_fill(struct exchange *x);
enum step cover_use(struct exchange *x, const struct flight_result *result);
/* A part that the origin has just sent is the whole source: 0 or an error. */
int cover_of_result(struct exchange *x, const struct flight_result *result);

/* Steps that live in other files. */
enum step route_step(struct exchange *x);
enum step answer_step(struct exchange *x);
enum step deliver_step(struct exchange *x);
/* The time for the client to take more is over: does it take so much of what
 * is on its way that it may go on? */
bool deliver_moves(struct exchange *x);
enum step record_step(struct exchange *x);
/* local.c: of what is asked of larder itself, or STEP_LOOKUP if that is
 * nothing it knows. */
enum step local_step(struct exchange *x);
/* The exchange is over: its connection is the caller's, or gone (-1). */
int exchange_give_away(struct exchange *x);

/*
 * An answer of larder's own: text/plain, or HTML where that is preferred.
 * detail: a token for Cache-Status or NULL; text: for people, without anything
 * of the request. Returns the next step.
 */
enum step answer_own(
    struct exchange *x, int status, const char *detail, const char *text);
/* A sentence with "the origin" for the host that was asked for: what a
 * client sees echoes nothing of its request. */
struct bytes answer_without_host(
    struct arena *arena, const char *sentence, struct bytes host);
/* Likewise; the connection ends with it. */
enum step answer_fault(struct exchange *x, const struct http_fault *fault);
/* An answer of larder's own in all its parts. */
struct own_answer {
	int status;
	const char *reason; /* NULL: the status's usual one */
	const char *fields; /* lines, each with its end; without Content-Type */
	const char *type;   /* of the body; NULL: plain text */
	const char *detail; /* for Cache-Status, or NULL */
	struct bytes body;
};
enum step answer_with(struct exchange *x, const struct own_answer *answer);
/* A head of our own in full, and a body. */
enum step answer_plain(
    struct exchange *x, int status, const char *fields, struct bytes body);

#endif
