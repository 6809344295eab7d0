/*
 * What the resolver's files share. Nobody else includes it.
 *
 *   resolve.c         requests, the cache, and what becomes of a name
 *   resolve_query.c   one name's questions to evdns, and their outcome
 *   resolve_dns.c     evdns and resolv.conf
 *   resolve_hosts.c   /etc/hosts
 *   resolve_thread.c  getaddrinfo() in a thread
 */
#ifndef NET_RESOLVE_INTERNAL_H
#define NET_RESOLVE_INTERNAL_H

#include <sys/stat.h>

#include "net/mailbox.h"
#include "net/resolve.h"

#define RESOLVE_NAME 256 /* bytes of a name with its NUL */

/* Addresses of one name, by family, in the order they came. */
struct resolve_ips {
	unsigned n4, n6;
	uint8_t v4[RESOLVE_MAX][4];
	uint8_t v6[RESOLVE_MAX][16];
};

/* What is full or there already is passed over; a v4-mapped one is v4. */
void resolve_ips_add4(struct resolve_ips *ips, const void *v4);
void resolve_ips_add6(struct resolve_ips *ips, const void *v6);

/* ---- files ------------------------------------------------------------ */

/* A file as it was when it was read. */
struct resolve_file {
	const char *path;
	bool known;
	struct stat st;
};

/* Whether it is another than at the last call. */
bool resolve_file_changed(struct resolve_file *file);

/* ---- hosts ------------------------------------------------------------ */

struct resolve_hosts;

/* NULL: there is no such file, or no memory for it. */
struct resolve_hosts *resolve_hosts_read(const char *path);
void resolve_hosts_free(struct resolve_hosts **hosts);
/* Whether name, in lower case, stands there. */
bool resolve_hosts_find(const struct resolve_hosts *hosts, const char *name,
    struct resolve_ips *out);

/* ---- evdns ------------------------------------------------------------ */

struct evdns_base;
struct resolve_query;

/* One evdns_base: the servers that one state of resolv.conf named. */
struct resolve_dns {
	struct list node;      /* in the resolver's retired ones, or alone */
	struct list questions; /* asked and not answered */
	struct evdns_base *base;
};

/* NULL: no server is named, or no memory. */
struct resolve_dns *resolve_dns_new(struct loop *loop, const char *path);
void resolve_dns_free(struct resolve_dns **dns);

/* How one question ended. */
enum resolve_outcome {
	RESOLVE_FOUND,
	RESOLVE_EMPTY,	 /* the name has no address of this family */
	RESOLVE_UNKNOWN, /* there is no such name */
	RESOLVE_TIMEOUT,
	RESOLVE_FAILED,
};

struct resolve_question {
	struct list node; /* in dns->questions */
	struct resolve_dns *dns;
	struct resolve_query *query; /* NULL: nobody waits any more */
	struct evdns_request *request;
	bool v6;
};

/* Asks for query's name; resolve_answered() follows, later, unless the
 * question is dropped before. NULL: it cannot be asked. */
struct resolve_question *resolve_ask(struct resolve_dns *dns,
    struct resolve_query *query, const char *name, bool v6);
void resolve_drop_question(struct resolve_question **question);

/* In resolve_query.c: n addresses of 4 or 16 bytes, ttl in seconds. The query
 * lets go of the question. */
void resolve_answered(struct resolve_query *query,
    const struct resolve_question *question, enum resolve_outcome outcome,
    const void *addresses, unsigned n, int ttl);

/* ---- a thread --------------------------------------------------------- */

struct resolve_job;

typedef void resolve_job_fn(void *arg, int err, const struct resolve_ips *ips);

/* fn is called in the box's loop, once, unless the job is dropped before.
 * LARDER_NOMEM; LARDER_IO: no thread to be had. */
int resolve_job_start(struct resolve_job **out, struct mailbox *box,
    resolve_system_fn *system, const char *name, resolve_job_fn *fn, void *arg);
/* The thread ends by itself, later. */
void resolve_job_drop(struct resolve_job **job);

/* ---- queries ---------------------------------------------------------- */

/* All that is under way for one name.
 *
 *   ASKING ──> SETTLED   settle(): the waiters were told, the cache knows
 *   ASKING ──> THREAD    fall_back()
 *   THREAD ──> SETTLED   on_job()
 *   SETTLED ──> gone     when no question is left, or at the deadline
 */
struct resolve_query {
	struct list node; /* in the resolver's queries */
	struct loop_garbage garbage;
	struct resolver *resolver;
	struct list waiters;
	struct resolve_question *question[2]; /* v4, v6; NULL: answered */
	struct resolve_job *job;	      /* NULL: none */
	struct loop_timer delay;	      /* for the other family */
	struct loop_timer deadline;
	struct resolve_ips ips;
	int ttl; /* seconds, the least of the answers */
	bool unknown, timed_out, failed;
	bool settled;
	char name[RESOLVE_NAME];
};

struct resolver {
	struct loop *loop;
	struct mailbox *box;
	resolve_system_fn *system;
	struct resolve_file conf_file, hosts_file;
	int64_t checked;	 /* when the files were looked at; 0: never */
	struct resolve_dns *dns; /* NULL: resolv.conf names no server */
	struct list retired;
	struct resolve_hosts *hosts;
	struct list queries;
	unsigned query_count;
	struct resolve_entry **cache;
};

struct resolve {
	struct list node; /* in the query's waiters */
	uint16_t port;
	resolve_fn *fn;
	void *arg;
};

/* The query for name that can still be joined, made if there is none. NULL:
 * no memory, or too many. */
struct resolve_query *resolve_query_get(struct resolver *r, const char *name);
/* Frees it at the sweep; nobody is told. */
void resolve_query_drop(struct resolve_query *query);

/* In resolve.c. */
void resolve_cache_put(struct resolver *r, const char *name, int err,
    const struct resolve_ips *ips, int ttl);
void resolve_tell(
    struct resolve *waiter, int err, const struct resolve_ips *ips);
/* Looks, at most once a second, whether the files have changed. */
void resolve_refresh(struct resolver *r);

#endif
