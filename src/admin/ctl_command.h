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
	OPT_PURGE = 4, /* --host, --match, --older-than, --all, --yes */
	OPT_DRY_RUN = 8,
	OPT_STATS = 16, /* --since, --by */
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
};

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
