/*
 * larderctl's commands, and how they are explained.
 */
#include "admin/ctl_command.h"

#include <string.h>

#include "admin/report.h"
#include "conf/conf.h"
#include "conf/suggest.h"
#include "larder/check.h"

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
	.name = "top",
	.synopsis = " [--interval TIME] [--once] [--by requests|bytes]",
	.summary = "busiest hosts, URLs and clients, live",
	.help = "Requests that ended in the last ten seconds, drawn anew "
		"every two (--interval)\n"
		"until q or Ctrl-C. --once, --json, or where standard output "
		"is no terminal: looks\n"
		"for one interval, prints, and ends.\n\n"
		"  larderctl top\n"
		"  larderctl top --by bytes --interval 5s\n"
		"  larderctl --json top --interval 10s | jq '.clients[0]'\n",
	.options = OPT_TOP,
	.question = {"/top", .prompt = true, .needs_daemon = true},
	.run = ctl_run_top,
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
	.words = ctl_words_ls,
	.show = ctl_show_ls,
    },
    {
	.name = "explain",
	.synopsis = " [-H 'Name: value']... URL",
	.summary = "would it be a hit, and why",
	.help = "Says in words what a GET for the URL would meet and "
		"until when, by which\n"
		"rule, what the next request will do, and each stored "
		"variant with its head,\n"
		"freshness and place on the disk. -H adds a field to "
		"that GET.\n\n"
		"  larderctl explain "
		"http://deb.debian.org/debian/README\n"
		"  larderctl explain -H 'Accept-Encoding: gzip' "
		"http://example.org/\n",
	.options = OPT_HEADER,
	.most = 1,
	.question = {"/explain", .job = job_explain},
	.words = ctl_words_explain,
	.show = ctl_show_explain,
    },
    {
	.name = "purge",
	.synopsis = " [--dry-run] URL... | --host H | --match GLOB | "
		    "--tag T |\n"
		    "           --older-than TIME | --unused-for TIME | --all",
	.summary = "remove objects",
	.help = "Removes the objects, with all their variants, and "
		"prints how many and how\n"
		"much was freed. --dry-run only counts. --tag: of a rule or "
		"of the site's origin.\n"
		"--older-than: stored, or asked about, before that; "
		"--unused-for: not asked for\n"
		"since, up to 120d, to a day. --all asks on a terminal, "
		"unless --yes or -q is\n"
		"given.\n\n"
		"  larderctl purge http://example.org/a "
		"http://example.org/b\n"
		"  larderctl purge --host deb.debian.org\n"
		"  larderctl purge --match '*/dists/*' --dry-run\n"
		"  larderctl purge --tag release-42\n"
		"  larderctl -q purge --unused-for 60d\n",
	.options = OPT_PURGE | OPT_DRY_RUN,
	.most = -1,
	.question = {"/purge", .post = true, .job = job_purge},
	.words = ctl_words_purge,
	.show = ctl_show_purge,
    },
    {
	.name = "gc",
	.summary = "bring the cache within its budget",
	.help = "Brings the cache within its budget and gives the disk "
		"back what is free.\n\n"
		"  larderctl -q gc\n",
	.question = {"/gc", .post = true, .job = job_gc, .doing = "gc"},
	.show = ctl_show_gc,
    },
    {
	.name = "verify",
	.summary = "read every stored byte, drop what is damaged",
	.help = "Checks every checksum. Exits with 4 when there was "
		"damage.\n\n"
		"  larderctl verify\n",
	.question = {"/verify", .post = true, .job = job_verify,
	    .doing = "verify"},
	.show = ctl_show_verify,
    },
    {
	.name = "prefetch",
	.synopsis = " [--list FILE] [-H 'Name: value']... [--jobs N] [--site] "
		    "URL...",
	.summary = "fetch URLs into the cache",
	.help = "Asks the running daemon for each URL, as a client would, "
		"and tells of each\n"
		"whether it was fetched, was a hit, may not be stored, or "
		"failed. --list: URLs\n"
		"from a file, one a line; - is standard input. --jobs: so "
		"many at a time (4).\n"
		"A URL whose host is a site by name is asked of the site, "
		"others forward; --site:\n"
		"all of sites. Exits with 1 unless all are in the cache.\n\n"
		"  larderctl prefetch http://deb.debian.org/debian/README\n"
		"  larderctl -q prefetch --list /etc/larder/nightly\n"
		"  grep -o 'http://[^ ]*' list | larderctl prefetch --list "
		"-\n",
	.options = OPT_PREFETCH | OPT_HEADER,
	.most = -1,
	.question = {"/ping", .prompt = true, .needs_daemon = true},
	.run = ctl_run_prefetch,
    },
    {
	.name = "doctor",
	.synopsis = " [URL]",
	.summary = "what is wrong, and what helps",
	.help = "Checks configuration, addresses, name service, clock, "
		"disk, permissions and limits;\n"
		"through the running daemon, a miss and then a hit, with an "
		"origin of its own on\n"
		"127.0.0.1, and a fetch of URL (default: a Debian mirror's) "
		"from outside. Exits with\n"
		"1 if anything is wrong. What is only odd is a warning.\n\n"
		"  larderctl doctor\n"
		"  larderctl doctor http://intranet.example/\n"
		"  larderctl --json doctor | jq '.checks[] | "
		"select(.state == \"fail\")'\n",
	.most = 1,
	.question = {"/ping", .prompt = true},
	.run = ctl_run_doctor,
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

const struct ctl_command *
ctl_find_command(const char *name)
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
