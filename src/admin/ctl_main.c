/*
 * larderctl's command line: one table of commands.
 */
#include "admin/ctl_command.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "admin/report.h"
#include "conf/conf.h"
#include "conf/suggest.h"
#include "http/target.h"
#include "larder/check.h"
#include "larder/err.h"

static enum ctl_exit words_ls(
    struct ctl *ctl, int count, char **words, struct evkeyvalq *args);
static enum ctl_exit words_explain(
    struct ctl *ctl, int count, char **words, struct evkeyvalq *args);
static enum ctl_exit words_purge(
    struct ctl *ctl, int count, char **words, struct evkeyvalq *args);

static const struct ctl_command commands[] = {
    {
	.name = "stats",
	.synopsis = " [--since TIME] [--by host|client|url|day|hour "
		    "[--limit N]]",
	.summary = "requests, hits, bytes saved, disk used and budget",
	.help = "Counts since the daemon's start, or since TIME ago, and "
		"since the cache was\n"
		"made. --by shows the heaviest hosts, clients or URLs (those "
		"of the last 35 days,\n"
		"or ever), or each day (of the last 400) or hour (of the last "
		"8 days).\n\n"
		"saved: what clients would have fetched themselves, less what "
		"was fetched for them,\n"
		"questions whether something still holds included.\n\n"
		"  larderctl stats\n"
		"  larderctl stats --since 7d --by host\n"
		"  larderctl stats --by day\n"
		"  larderctl --json stats | jq .total.saved_bytes\n",
	.options = OPT_STATS | OPT_LIMIT,
	.question = {"/stats", .prompt = true, .job = report_job},
	.show = ctl_show_stats,
    },
    {
	.name = "ls",
	.synopsis = " [--limit N] [GLOB]",
	.summary = "cached objects",
	.help = "Size, size on the disk, age, freshness left, hits and "
		"URL. GLOB is matched\n"
		"against the URL, or, without \"://\", against what "
		"follows it: * any bytes,\n"
		"? one, [a-z] a class. Quote it for the shell.\n\n"
		"  larderctl ls\n"
		"  larderctl ls '*.deb'\n"
		"  larderctl ls 'http://deb.debian.org/debian/dists/*'\n",
	.options = OPT_LIMIT,
	.most = 1,
	.question = {"/ls", .job = job_ls},
	.words = words_ls,
	.show = ctl_show_ls,
    },
    {
	.name = "explain",
	.synopsis = " [-H 'Name: value']... URL",
	.summary = "would it be a hit, and why",
	.help = "Says what a GET for the URL would meet, and each "
		"stored variant with its\n"
		"head, freshness and place on the disk. -H adds a field "
		"to that GET.\n\n"
		"  larderctl explain "
		"http://deb.debian.org/debian/README\n"
		"  larderctl explain -H 'Accept-Encoding: gzip' "
		"http://example.org/\n",
	.options = OPT_HEADER,
	.most = 1,
	.question = {"/explain", .job = job_explain},
	.words = words_explain,
	.show = ctl_show_explain,
    },
    {
	.name = "purge",
	.synopsis = " [--dry-run] URL... | --host H | --match GLOB | "
		    "--older-than TIME | --all",
	.summary = "remove objects",
	.help = "Removes the objects, with all their variants, and "
		"prints how many and how\n"
		"much was freed. --dry-run only counts. --all asks on a "
		"terminal, unless --yes\n"
		"or -q is given.\n\n"
		"  larderctl purge http://example.org/a "
		"http://example.org/b\n"
		"  larderctl purge --host deb.debian.org\n"
		"  larderctl purge --match '*/dists/*' --dry-run\n"
		"  larderctl -q purge --older-than 30d\n",
	.options = OPT_PURGE | OPT_DRY_RUN,
	.most = -1,
	.question = {"/purge", .post = true, .job = job_purge},
	.words = words_purge,
	.show = ctl_show_purge,
    },
    {
	.name = "gc",
	.summary = "bring the cache within its budget",
	.help = "Brings the cache within its budget and gives the disk "
		"back what is free.\n\n"
		"  larderctl -q gc\n",
	.question = {"/gc", .post = true, .job = job_gc},
	.show = ctl_show_gc,
    },
    {
	.name = "verify",
	.summary = "read every stored byte, drop what is damaged",
	.help = "Checks every checksum. Exits with 4 when there was "
		"damage.\n\n"
		"  larderctl verify\n",
	.question = {"/verify", .post = true, .job = job_verify},
	.show = ctl_show_verify,
    },
    {
	.name = "reload",
	.summary = "make the daemon read its configuration again",
	.help = "All of the new configuration takes effect, or, if "
		"there is a mistake in it,\n"
		"none.\n\n"
		"  larderctl reload\n",
	.question = {"/reload", .post = true, .needs_daemon = true},
	.show = ctl_show_reload,
    },
    {
	.name = "ping",
	.summary = "does the daemon run?",
	.help = "Exits with 0 if it answers, and with 3 if it does not "
		"run.\n\n"
		"  larderctl -q ping || systemctl restart larder\n",
	.question = {"/ping", .prompt = true, .needs_daemon = true},
	.show = ctl_show_ping,
    },
    {
	.name = "version",
	.summary = "larderctl's version and the daemon's",
	.help = "  larderctl version\n",
	.question = {"/version", .prompt = true},
	.show = ctl_show_version,
    },
};

/* ---- help ------------------------------------------------------------- */

static const char common_help[] =
    "  -c, --config FILE   default " CONF_DEFAULT_FILE "\n"
    "  -s, --socket PATH   the daemon's admin socket; default: FILE's\n"
    "      --json          exact and complete, for programs\n"
    "  -q, --quiet         nothing on success\n"
    "  -h, --help\n"
    "stats, ls, explain, purge, verify and gc also work when the daemon is "
    "down.\n"
    "exit: 0 done, 1 failed, 2 usage, 3 the daemon does not run, 4 verify "
    "found damage\n";

static const char *
synopsis(const struct ctl_command *c)
{
	return c->synopsis ? c->synopsis : "";
}

static void
help(FILE *out)
{
	fputs("usage: larderctl [-c FILE | -s SOCKET] [--json] [-q] COMMAND "
	      "...\n\n",
	    out);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		fprintf(
		    out, "  %-8s  %s\n", commands[i].name, commands[i].summary);
	fprintf(out, "\n%s", common_help);
	fputs("larderctl COMMAND --help says more, with examples.\n", out);
}

void
ctl_help(const struct ctl_command *c, FILE *out)
{
	if (c == NULL) {
		help(out);
		return;
	}
	fprintf(
	    out, "usage: larderctl %s%s\n\n%s", c->name, synopsis(c), c->help);
	if (out == stdout)
		fprintf(out, "\n%s", common_help);
}

enum ctl_exit
ctl_bad_usage(const struct ctl_command *c)
{
	if (c)
		fprintf(
		    stderr, "usage: larderctl %s%s\n", c->name, synopsis(c));
	else
		help(stderr);
	return CTL_USAGE;
}

static const struct ctl_command *
find_command(const char *name)
{
	const char *names[ARRAY_SIZE(commands)], *near;

	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
		names[i] = commands[i].name;
	}
	near = suggest(name, names, ARRAY_SIZE(names));
	if (near)
		ctl_error(
		    "unknown command '%s'; did you mean '%s'?", name, near);
	else
		ctl_error(
		    "unknown command '%s'; larderctl --help lists them", name);
	return NULL;
}

/* ---- words ------------------------------------------------------------ */

static enum ctl_exit
add_url(struct evkeyvalq *args, const char *url)
{
	struct http_target target;
	struct arena arena;
	const char *why = "too long";
	int rc;

	arena_init(&arena, 256 * 1024);
	rc = http_target_of_url(bytes_str(url), &arena, &target, &why);
	arena_release(&arena);
	if (rc == 0)
		return ctl_add(args, "url", url);
	ctl_error("%s: %s", url, why);
	return CTL_USAGE;
}

static enum ctl_exit
words_ls(struct ctl *ctl, int count, char **words, struct evkeyvalq *args)
{
	(void)ctl;
	return count ? ctl_add(args, "glob", words[0]) : CTL_DONE;
}

static enum ctl_exit
words_explain(struct ctl *ctl, int count, char **words, struct evkeyvalq *args)
{
	(void)ctl;
	if (count == 1)
		return add_url(args, words[0]);
	ctl_error("which URL?");
	return CTL_USAGE;
}

static bool
confirmed(const struct ctl *ctl)
{
	char answer[16];

	if (ctl->yes || ctl->quiet || ctl->dry_run || !isatty(STDIN_FILENO))
		return true;
	fprintf(stderr, "Remove every object from the cache? [y/N] ");
	return fgets(answer, sizeof(answer), stdin) &&
	       (answer[0] == 'y' || answer[0] == 'Y');
}

static enum ctl_exit
words_purge(struct ctl *ctl, int count, char **words, struct evkeyvalq *args)
{
	static const char *const choices[] = {
	    "host", "match", "older_than", "all"};
	enum ctl_exit rc = CTL_DONE;
	int chosen = count > 0;

	for (size_t i = 0; i < ARRAY_SIZE(choices); i++)
		chosen += evhttp_find_header(args, choices[i]) != NULL;
	if (chosen != 1) {
		ctl_error("say what to purge: URLs, --host, --match, "
			  "--older-than or --all, one of them");
		return CTL_USAGE;
	}
	for (int i = 0; rc == CTL_DONE && i < count; i++)
		rc = add_url(args, words[i]);
	if (rc == CTL_DONE && evhttp_find_header(args, "all") &&
	    !confirmed(ctl))
		return CTL_FAILED;
	return rc;
}

/* ---- running ---------------------------------------------------------- */

static enum ctl_exit
load_configuration(struct ctl *ctl)
{
	const char *file = ctl->file;
	char *why;

	if (ctl->socket_given && file == NULL)
		return CTL_DONE;
	if (file == NULL && access(CONF_DEFAULT_FILE, F_OK) == 0)
		file = CONF_DEFAULT_FILE;
	if (conf_load(file, &ctl->conf, &why) != 0) {
		ctl_error("%s", why ? why : "out of memory");
		free(why);
		return CTL_FAILED;
	}
	if (!ctl->socket_given)
		ctl->socket = ctl->conf->admin_socket;
	return CTL_DONE;
}

/* What the daemon said, if one runs, beside what is known here. */
static void
add_own_version(json_t **answer)
{
	json_t *o = json_pack("{s:s}", "larderctl", LARDER_VERSION);
	json_t *theirs = json_object_get(*answer, "version");

	if (theirs)
		json_object_set(o, "larderd", theirs);
	json_decref(*answer);
	*answer = o;
}

static enum ctl_exit
run(struct ctl *ctl, const struct ctl_command *c, struct evkeyvalq *args)
{
	json_t *answer = NULL;
	enum ctl_exit rc = ctl_ask(ctl, &c->question, args, &answer);

	if (rc == CTL_DONE && c->show == ctl_show_version)
		add_own_version(&answer);
	if (rc == CTL_DONE && ctl->json) {
		json_dumpf(answer, stdout, JSON_INDENT(2));
		putchar('\n');
	} else if (rc == CTL_DONE) {
		c->show(ctl, answer);
	}
	if (rc == CTL_DONE && c->show == ctl_show_verify &&
	    json_integer_value(json_object_get(answer, "damaged")) > 0)
		rc = CTL_DAMAGED;
	json_decref(answer);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		ctl_error("standard output: cannot be written");
		return CTL_FAILED;
	}
	return rc;
}

static enum ctl_exit
command_main(struct ctl *ctl, const struct ctl_command *c, int argc,
    char **argv, struct evkeyvalq *args)
{
	int rc, count;

	/* A second round, from behind the command's name. */
	optind = 0;
	rc = ctl_parse_options(ctl, c, argc, argv, args);
	if (rc != CTL_PARSED)
		return (enum ctl_exit)rc;
	count = argc - optind;
	if (c->most >= 0 && count > c->most) {
		ctl_error("what is '%s'?", argv[optind + c->most]);
		return ctl_bad_usage(c);
	}
	if (c->words)
		rc = (int)c->words(ctl, count, argv + optind, args);
	if (rc == CTL_USAGE)
		return ctl_bad_usage(c);
	if (rc == CTL_FAILED)
		return CTL_FAILED;
	if (load_configuration(ctl) != CTL_DONE)
		return CTL_FAILED;
	return run(ctl, c, args);
}

int
ctl_main(int argc, char **argv)
{
	struct ctl ctl = {0};
	struct evkeyvalq args;
	const struct ctl_command *c;
	int rc = ctl_parse_options(&ctl, NULL, argc, argv, NULL), at = optind;

	if (rc != CTL_PARSED)
		return rc;
	if (at == argc)
		return (int)ctl_bad_usage(NULL);
	c = find_command(argv[at]);
	if (c == NULL)
		return CTL_USAGE;
	TAILQ_INIT(&args);
	/* getopt_long() names its complaints after argv[0]. */
	argv[at] = argv[0];
	rc = (int)command_main(&ctl, c, argc - at, argv + at, &args);
	evhttp_clear_headers(&args);
	conf_unref(&ctl.conf);
	return rc;
}
