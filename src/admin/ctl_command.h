/*
 * Inside of larderctl: commands and their options.
 */
#ifndef ADMIN_CTL_COMMAND_H
#define ADMIN_CTL_COMMAND_H

#include <stdio.h>

#include "admin/ctl.h"

/* Options of single commands, as bits. */
enum {
	OPT_LIMIT = 1,
	OPT_HEADER = 2,
	OPT_PURGE = 4, /* --host, --match, --tag, ..., --all, --yes */
	OPT_DRY_RUN = 8,
	OPT_TOP = 16,
	OPT_PREFETCH = 32,
	OPT_STATS = 64, /* --since, --by */
};

struct ctl_command {
	const char *name, *summary, *help;
	const char *synopsis; /* behind the name; NULL: nothing */
	unsigned options;
	int most; /* words behind it; -1: any number */
	struct ctl_question question;
	/* Turns the words into arguments; CTL_DONE, or CTL_USAGE once it has
	 * said why. NULL: there are none. */
	enum ctl_exit (*words)(
	    struct ctl *ctl, int count, char **words, struct evkeyvalq *args);
	ctl_show_fn *show;
	/* Instead of asking the question once and showing the answer. */
	enum ctl_exit (*run)(struct ctl *ctl, const struct ctl_command *c,
	    int count, char **words, struct evkeyvalq *args);
};

/* What words stand behind a command. */
enum ctl_exit ctl_words_ls(
    struct ctl *ctl, int count, char **words, struct evkeyvalq *args);
enum ctl_exit ctl_words_explain(
    struct ctl *ctl, int count, char **words, struct evkeyvalq *args);
enum ctl_exit ctl_words_purge(
    struct ctl *ctl, int count, char **words, struct evkeyvalq *args);

/* Commands that do more than ask. */
enum ctl_exit ctl_run_top(struct ctl *ctl, const struct ctl_command *c,
    int count, char **words, struct evkeyvalq *args);
enum ctl_exit ctl_run_prefetch(struct ctl *ctl, const struct ctl_command *c,
    int count, char **words, struct evkeyvalq *args);
enum ctl_exit ctl_run_doctor(struct ctl *ctl, const struct ctl_command *c,
    int count, char **words, struct evkeyvalq *args);

/* NULL once it has said why. */
const struct ctl_command *ctl_find_command(const char *name);

/* False once it has said what is wrong with it. */
bool ctl_is_url(const char *url);

/* Of -c, or the default file, or all defaults where there is none. Says what is
 * wrong. */
enum ctl_exit ctl_load_configuration(struct ctl *ctl);

/* rc, or CTL_FAILED if standard output cannot be written. */
enum ctl_exit ctl_flush(enum ctl_exit rc);
void ctl_print_json(const json_t *answer);

/* One round of getopt_long(): before the command (c NULL), or behind its name,
 * at argv[0]. CTL_PARSED, with optind at the first word, or the exit status. */
enum { CTL_PARSED = -1 };
int ctl_parse_options(struct ctl *ctl, const struct ctl_command *c, int argc,
    char **argv, struct evkeyvalq *args);

/* An argument for the job: CTL_DONE, or CTL_USAGE once it has said why. */
enum ctl_exit ctl_add(
    struct evkeyvalq *args, const char *key, const char *value);

/* c NULL: on all. */
void ctl_help(const struct ctl_command *c, FILE *out);
/* How it is used, on standard error; CTL_USAGE. */
enum ctl_exit ctl_bad_usage(const struct ctl_command *c);

#endif
