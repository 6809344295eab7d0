/*
 * larderctl: its command line, its two ways to an answer (the daemon's socket,
 * or the store itself), and how answers look to people.
 */
#ifndef ADMIN_CTL_H
#define ADMIN_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "admin/jobs.h"

struct conf;
struct evkeyvalq;

enum ctl_exit {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_DOWN = 3,
	CTL_DAMAGED = 4,
};

struct ctl {
	const char *file;   /* -c, or NULL */
	const char *socket; /* -s, or what the configuration says */
	bool socket_given;
	bool json, quiet, dry_run, yes;
	struct conf *conf; /* NULL with -s alone */
};

/* What a command asks for. */
struct ctl_question {
	const char *path; /* "/ls" */
	bool post;
	bool prompt; /* an answer is due within seconds */
	bool needs_daemon;
	job_fn *job; /* on the store itself, when no daemon runs; or NULL */
};

int ctl_main(int argc, char **argv);

/* Asks the daemon, or the store. The caller owns *out. Has said what went
 * wrong when it is not CTL_DONE. */
enum ctl_exit ctl_ask(struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, json_t **out);

/* "larderctl: ..." on standard error. */
void ctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One exchange with the daemon. *status: the HTTP status. 0, LARDER_ABSENT
 * (nobody answers), LARDER_ACCESS, LARDER_TIMEOUT, LARDER_CLOSED (it ended
 * within the answer), LARDER_IO, LARDER_NOMEM. */
int ctl_http(const char *socket, const struct ctl_question *question,
    struct evkeyvalq *args, int *status, json_t **out);

/* ---- for people ------------------------------------------------------- */

typedef void ctl_show_fn(const struct ctl *ctl, const json_t *answer);
ctl_show_fn ctl_show_stats, ctl_show_ls, ctl_show_explain, ctl_show_purge,
    ctl_show_gc, ctl_show_verify, ctl_show_ping, ctl_show_reload,
    ctl_show_version;

#define CTL_TEXT 32

/* "812 B", "5.0 KiB"; "3 s", "4 min", "2 h", "30 d"; "1,234,567". */
const char *ctl_size(json_int_t bytes, char out[CTL_TEXT]);
const char *ctl_time(json_int_t seconds, char out[CTL_TEXT]);
const char *ctl_count(json_int_t n, char out[CTL_TEXT]);
/* To standard output, with what would drive a terminal escaped. */
void ctl_print(const char *text);

#endif
