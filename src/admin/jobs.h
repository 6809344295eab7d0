/*
 * What an admin may ask of a store, as functions that make JSON: the daemon
 * runs them in its job thread, larderctl on a store whose daemon is down. Each
 * may block for as long as the disk takes.
 */
#ifndef ADMIN_JOBS_H
#define ADMIN_JOBS_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "larder/store.h"

struct evkeyvalq;
struct flights;

struct job_env {
	struct store *store;
	const struct conf *conf;
	/* What is on its way; NULL: the daemon is down. */
	struct flights *flights;
	/* Set by another thread: what walks the store ends soon. May be
	 * NULL. */
	const _Atomic bool *stop;
};

/*
 * args: names and values, some of them several times. 0 and the answer in
 * *out; or LARDER_INVALID (an argument), LARDER_CLOSED (stopped) or another
 * error, with {"error": "a sentence"}. *out is never NULL but when out of
 * memory.
 */
typedef int job_fn(
    const struct job_env *env, struct evkeyvalq *args, json_t **out);

/* glob=, limit=: {"objects": [{url, size, ...}], "truncated": bool} */
job_fn job_ls;
/* url=, header="Name: value" (repeated): see explain.c */
job_fn job_explain;
/* One of url= (repeated), host=, match=, tag=, older_than=, unused_for=, all=1;
 * dry_run=1: {"objects": n, "bytes": n, "dry_run": bool} */
job_fn job_purge;
/* What its answer says that was removed; false: nothing was (dry_run). */
bool job_purge_result(const json_t *answer, struct store_removed *out);
/* {"objects": n, "bytes": n} */
job_fn job_gc;
/* {"objects_read": n, "bytes_read": n, "damaged": n, "urls": [...]} */
job_fn job_verify;

/* An error as a job returns it. */
int job_fail(json_t **out, int rc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int job_fail_store(json_t **out, int rc);

/* It is to end soon. */
bool job_stopped(const struct job_env *env);

/* Any bytes as a JSON string: what is no UTF-8 is written as \xNN. */
json_t *job_text(struct bytes b);

/* One stored response: size, stored_size, age, ttl, fresh_until, ... */
json_t *job_record(const struct store_record *record, int64_t now);

/* The longest start of a glob that stands for itself, as a prefix of keys;
 * n == 0: none. A view of glob. */
struct bytes job_glob_prefix(struct bytes glob);

#endif
