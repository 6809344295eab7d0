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
	bool colour;	   /* standard output is a terminal that wants it */
	struct conf *conf; /* NULL with -s alone */
	/* Of single commands. */
	int64_t interval; /* top: ms between two looks */
	bool once;	  /* top: one look */
	bool by_bytes;	  /* top: sorted so */
	const char *list; /* prefetch: a file of URLs, "-": stdin */
	unsigned jobs;	  /* prefetch: at a time */
	bool as_site;	  /* prefetch: in origin form */
};

/* How far a job is: what is done of what. */
struct ctl_progress {
	uint64_t done, of;
};

/* What a command asks for. */
struct ctl_question {
	const char *path; /* "/ls" */
	bool post;
	bool prompt; /* an answer is due within seconds */
	bool needs_daemon;
	const char *doing; /* what takes long, for the bar; or NULL */
	job_fn *job; /* on the store itself, when no daemon runs; or NULL */
};

int ctl_main(int argc, char **argv);

/* Asks the daemon, or the store. The caller owns *out. Has said what went
 * wrong when it is not CTL_DONE. */
enum ctl_exit ctl_ask(struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, json_t **out);

/* "larderctl: ..." on standard error. */
void ctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Likewise the daemon alone: CTL_DOWN, and nothing said, if it does not run. */
enum ctl_exit ctl_ask_daemon(struct ctl *ctl,
    const struct ctl_question *question, struct evkeyvalq *args, json_t **out);

/* One exchange with the daemon. *status: the HTTP status. 0, LARDER_ABSENT
 * (nobody answers), LARDER_ACCESS, LARDER_TIMEOUT, LARDER_CLOSED (it ended
 * within the answer), LARDER_IO, LARDER_NOMEM. */
int ctl_http(const struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, int *status, json_t **out);

/* ---- for people ------------------------------------------------------- */

typedef void ctl_show_fn(const struct ctl *ctl, const json_t *answer);
ctl_show_fn ctl_show_stats, ctl_show_ls, ctl_show_explain, ctl_show_purge,
    ctl_show_gc, ctl_show_verify, ctl_show_ping, ctl_show_reload,
    ctl_show_version;

/* What of an answer everybody shows. */
json_int_t ctl_number(const json_t *o, const char *name);
const char *ctl_string(const json_t *o, const char *name); /* or "" */
bool ctl_is_true(const json_t *o, const char *name);
/* "" or "s" */
const char *ctl_plural(json_int_t n);

#define CTL_TEXT 32

/* "812 B", "5.0 KiB"; "3 s", "4 min", "2 h", "30 d"; "1,234,567". */
const char *ctl_size(json_int_t bytes, char out[CTL_TEXT]);
const char *ctl_time(json_int_t seconds, char out[CTL_TEXT]);
const char *ctl_count(json_int_t n, char out[CTL_TEXT]);
/* To standard output, with what would drive a terminal escaped. */
void ctl_print(const char *text);
/* Likewise, at most `width` columns of it, counted as one a byte sequence. */
void ctl_print_cut(const char *text, unsigned width);
/* "2026-11-27 18:00:00 +0000" */
#define CTL_WHEN 64
const char *ctl_when(json_int_t seconds, char out[CTL_WHEN]);

/* ---- the screen ------------------------------------------------------- */

enum ctl_style { CTL_PLAIN, CTL_BOLD, CTL_DIM, CTL_GOOD, CTL_WARN, CTL_BAD };

/* Is there a terminal, and does it want colours (NO_COLOR, TERM)? */
void ctl_screen_init(struct ctl *ctl);
/* What switches to the style, or "". */
const char *ctl_style(const struct ctl *ctl, enum ctl_style style);
/* Of the terminal on fd; 80 and 24 if it does not say. */
void ctl_screen_size(int fd, unsigned *columns, unsigned *rows);

/* On standard error, if that is a terminal and nobody wants quiet. */
bool ctl_bar_wanted(const struct ctl *ctl);
void ctl_bar_draw(const char *doing, const struct ctl_progress *progress);
void ctl_bar_clear(void);

#endif
