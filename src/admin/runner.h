/*
 * A few threads that run jobs, so that the daemon's main loop never waits for
 * a disk. Done jobs come back in the loop's thread.
 *
 * Lock order: the runner's lock is innermost; no job runs under it.
 */
#ifndef ADMIN_RUNNER_H
#define ADMIN_RUNNER_H

#include <event2/keyvalq_struct.h>

#include "admin/jobs.h"
#include "larder/list.h"

struct loop;
struct runner;

/* Embedded in who asks; it is the runner's until `done` is called. */
struct runner_task {
	struct list node; /* under the runner's lock */
	job_fn *job;
	struct evkeyvalq args; /* the owner's to clear */
	struct conf *conf;     /* one reference, the owner's to drop */
	struct flights *flights;
	json_t *answer; /* the owner's, once it is done */
	int rc;
	void (*done)(struct runner_task *task);
};

/* LARDER_NOMEM, LARDER_IO. */
int runner_new(struct runner **out, struct loop *loop, struct store *store);
void runner_submit(struct runner *runner, struct runner_task *task);
/* Asks what runs to stop, waits for it, and calls `done` of every task that is
 * left: with LARDER_CLOSED for those that never ran. Blocks. */
void runner_free(struct runner **runner);

#endif
