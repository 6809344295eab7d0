/*
 * A worker: one thread, one loop, and all that its connections share. Nothing
 * here is touched by another thread but what is _Atomic, `stats`, and what a
 * mailbox guards.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "conf/conf.h"
#include "http/date.h"
#include "http/head.h"
#include "larder/list.h"
#include "larder/stats.h"
#include "larder/store.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "net/resolve.h"
#include "net/tls.h"
#include "net/upstream.h"

struct access_log;
struct flights;
struct guard;
struct proxy;
struct tally;

/* Limits on what comes from origins, in bytes and fields; those on requests
 * are the configuration's. */
#define WORKER_LINE   (32u * 1024)
#define WORKER_HEAD   (64u * 1024)
#define WORKER_FIELDS 200u
/* What an exchange's or a fetch's arena may hold. */
#define WORKER_ARENA  (512u * 1024)
/* What is read at once from a body's connection. */
#define WORKER_READ   (64u * 1024)
/* What recoding may hold in a worker: half a thousand encoders at once */
#define WORKER_CODING (128u * 1024 * 1024)
/* What one connection may move before the others of the loop have their turn:
 * much, or large transfers were nothing but turns. But where all of them have
 * moved WORKER_TURN in this turn one gets little, and only every other turn,
 * for who wants something small waits for them. Bytes. */
#define WORKER_BURST  (1024u * 1024)
#define WORKER_TURN   (512u * 1024)
#define WORKER_SHARE  (64u * 1024)

struct worker {
	struct proxy *proxy;
	unsigned index;
	pthread_t thread;
	bool started;
	struct loop *loop;
	struct mailbox *mailbox;
	struct resolver *resolver;
	struct upstreams *upstreams;
	struct store_view *view;
	struct conf *conf; /* for requests read from now on */

	struct list listeners; /* struct worker_listener */
	struct list clients;   /* struct client.node */
	struct list idle;      /* struct client.idle, the oldest first */
	unsigned idle_count;
	unsigned refused_count; /* clients that only get an answer */
	struct guard *guard;	/* the proxy's */
	struct list spare;	/* exchanges to be used again */
	unsigned spare_count;
	struct list fetches;	   /* struct fetch.node: running in this loop */
	unsigned background_count; /* of these, for no client */
	struct list tunnels;	   /* struct tunnel.node */
	struct pipes pipes;	   /* theirs */
	struct list splices;	   /* struct splice.node */
	size_t moved;		   /* bytes by all, in this turn of the loop */
	size_t coding;		   /* bytes held by recode.c */
	struct coded *coded;	   /* what it has made */

	struct mailbox_note control; /* look at proxy's orders */
	struct mailbox_note give_up; /* idle clients: others need places */
	struct mailbox_note ask;     /* is it alive? */
	_Atomic bool silent;	     /* asked, and not answered yet */
	bool draining;
	struct loop_timer drain_timer;

	struct tally *tally;		     /* that it writes into */
	struct mailbox_note collect;	     /* hand it over: see collect.c */
	_Atomic(struct tally *) full, empty; /* handed over; for the next */

	char date[HTTP_DATE_SIZE]; /* of date_at, for Date */
	int64_t date_at;

	struct stats stats;
	_Atomic uint64_t open;	  /* client connections, for others to read */
	_Atomic uint64_t flights; /* fetches, ditto */
	_Atomic bool done;	  /* its thread is about to end */
};

/* Of origins' answers. */
extern const struct http_limits worker_limits;
/* Of requests. */
struct http_limits worker_request_limits(const struct conf *conf);

int worker_new(struct worker **out, struct proxy *proxy, unsigned index,
    struct conf *conf);
/* Waits for its thread, if that was started. */
void worker_join(struct worker *w);
/* After worker_join() of all of them: they may still hold each other's flights.
 */
void worker_free(struct worker **worker);
/* Accepts on fd, which the worker owns from now on; `address` tells it from
 * others when the configuration changes. Before its thread starts, or from it
 */
int worker_listen(struct worker *w, const union addr *address, int fd);
int worker_start(struct worker *w);

/* Its loop is to answer; whether it has, or has ended. From any thread. */
void worker_ask(struct worker *w);
bool worker_answered(const struct worker *w);

/* What a connection may move now; 0: nothing, in this turn. *served is its own:
 * it had something the last time. */
static inline size_t
worker_burst(const struct worker *w, bool *served)
{
	if (w->moved < WORKER_TURN) {
		*served = true;
		return WORKER_BURST;
	}
	*served = !*served;
	return *served ? WORKER_SHARE : 0;
}

/* Wall clock of this turn, in seconds. */
int64_t worker_now(struct worker *w);
/* "Sun, 06 Nov 1994 08:49:37 GMT" of now. */
const char *worker_date(struct worker *w);

/* A client or a fetch ended: a draining worker may be done now. */
void worker_check_drained(struct worker *w);

/* What all workers share. */
struct store *proxy_store(struct proxy *proxy);
struct flights *proxy_flights(struct proxy *proxy);
struct guard *proxy_guard(struct proxy *proxy);
struct access_log *proxy_access_log(struct proxy *proxy);
struct tls_context *proxy_tls(struct proxy *proxy);
/* A random word that tells this instance from others, for Via. */
const char *proxy_id(struct proxy *proxy);
/* Does this address lead back to a socket of our own? */
bool proxy_is_self(struct proxy *proxy, const union addr *address);
/* See proxy_admit_probe(). */
bool proxy_is_probe(struct proxy *proxy, const union addr *address);

#endif
