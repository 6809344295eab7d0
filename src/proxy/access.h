/*
 * The access log: one line a request. Workers never wait for its disk: lines
 * go through a bounded buffer to a thread of its own. Thread-safe.
 */
#ifndef PROXY_ACCESS_H
#define PROXY_ACCESS_H

#include "conf/conf.h"
#include "larder/bytes.h"
#include "proxy/exchange.h"

struct access_log;

struct access_record {
	int64_t started, ended; /* wall clock, ms */
	const union addr *client;
	enum result result;
	bool aborted;
	int status;		  /* 0: none was sent */
	uint64_t bytes;		  /* to the client, head included */
	struct bytes method, url; /* "-" where n == 0 */
	bool site;		  /* the peer is a site's origin */
	const char *peer;	  /* "-": no origin was asked */
	struct bytes type;	  /* Content-Type */
	struct bytes referer, agent;
};

/* Path "": no log, all calls do nothing. A sentence in why. */
int access_log_open(struct access_log **out, const char *path,
    enum conf_log_format format, char *why, size_t why_size);
/* Writes what is buffered and ends. May block. */
void access_log_close(struct access_log **log);

bool access_log_wanted(const struct access_log *log);
void access_log_write(
    struct access_log *log, const struct access_record *record);

/* The same path again, or another; LARDER_IO or LARDER_ACCESS: goes on with
 * the old one. */
int access_log_reopen(struct access_log *log, const char *path,
    enum conf_log_format format, char *why, size_t why_size);

/* One line without its end into out; how long it is (cut to size). */
size_t access_format(const struct access_record *record,
    enum conf_log_format format, char *out, size_t size);

#endif
