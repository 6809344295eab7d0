/*
 * larderctl's options, with getopt_long(): the same ones before the command
 * and behind it, and those of single commands.
 */
#include "admin/ctl_command.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/suggest.h"
#include "larder/check.h"

enum ctl_exit
ctl_add(struct evkeyvalq *args, const char *key, const char *value)
{
	/* Line breaks are refused. */
	if (evhttp_add_header(args, key, value) == 0)
		return CTL_DONE;
	ctl_error("there is a line break in '%s'", value);
	return CTL_USAGE;
}

enum {
	LONG_JSON = 256,
	LONG_LIMIT,
	LONG_HOST,
	LONG_MATCH,
	LONG_OLDER_THAN,
	LONG_UNUSED_FOR,
	LONG_TAG,
	LONG_ALL,
	LONG_YES,
	LONG_DRY_RUN,
	LONG_INTERVAL,
	LONG_ONCE,
	LONG_BY,
	LONG_LIST,
	LONG_JOBS,
	LONG_SITE,
	LONG_SINCE,
	LONG_BY_WHAT,
	LONG_VERSION,
};

static const struct option common_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"socket", required_argument, NULL, 's'},
    {"json", no_argument, NULL, LONG_JSON},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, LONG_VERSION},
};

static const struct {
	unsigned bit;
	struct option option;
} own_options[] = {
    {OPT_LIMIT, {"limit", required_argument, NULL, LONG_LIMIT}},
    {OPT_STATS, {"since", required_argument, NULL, LONG_SINCE}},
    {OPT_STATS, {"by", required_argument, NULL, LONG_BY_WHAT}},
    {OPT_HEADER, {"header", required_argument, NULL, 'H'}},
    {OPT_PURGE, {"host", required_argument, NULL, LONG_HOST}},
    {OPT_PURGE, {"match", required_argument, NULL, LONG_MATCH}},
    {OPT_PURGE, {"older-than", required_argument, NULL, LONG_OLDER_THAN}},
    {OPT_PURGE, {"unused-for", required_argument, NULL, LONG_UNUSED_FOR}},
    {OPT_PURGE, {"tag", required_argument, NULL, LONG_TAG}},
    {OPT_PURGE, {"all", no_argument, NULL, LONG_ALL}},
    {OPT_PURGE, {"yes", no_argument, NULL, LONG_YES}},
    {OPT_DRY_RUN, {"dry-run", no_argument, NULL, LONG_DRY_RUN}},
    {OPT_TOP, {"interval", required_argument, NULL, LONG_INTERVAL}},
    {OPT_TOP, {"once", no_argument, NULL, LONG_ONCE}},
    {OPT_TOP, {"by", required_argument, NULL, LONG_BY}},
    {OPT_PREFETCH, {"list", required_argument, NULL, LONG_LIST}},
    {OPT_PREFETCH, {"jobs", required_argument, NULL, LONG_JOBS}},
    {OPT_PREFETCH, {"site", no_argument, NULL, LONG_SITE}},
};

#define OPTIONS_MAX (ARRAY_SIZE(common_options) + ARRAY_SIZE(own_options) + 1)

static void
collect_options(unsigned bits, struct option out[OPTIONS_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(common_options); i++)
		out[n++] = common_options[i];
	for (size_t i = 0; i < ARRAY_SIZE(own_options); i++)
		if (own_options[i].bit & bits)
			out[n++] = own_options[i].option;
	out[n] = (struct option){NULL, 0, NULL, 0};
}

/* A time for the job. */
static enum ctl_exit
add_time(struct evkeyvalq *args, const char *option, const char *key)
{
	const char *why;
	int64_t ms;

	if (conf_parse_time(optarg, &ms, &why) == 0)
		return ctl_add(args, key, optarg);
	ctl_error("%s %s: %s", option, optarg, why);
	return CTL_USAGE;
}

static enum ctl_exit
top_option(struct ctl *ctl, int option)
{
	const char *why = "write a time from 100ms to 1h";

	if (option == LONG_ONCE) {
		ctl->once = true;
		return CTL_DONE;
	}
	if (option == LONG_BY) {
		ctl->by_bytes = strcmp(optarg, "bytes") == 0;
		if (ctl->by_bytes || strcmp(optarg, "requests") == 0)
			return CTL_DONE;
		ctl_error("--by %s: write requests or bytes", optarg);
		return CTL_USAGE;
	}
	if (conf_parse_time(optarg, &ctl->interval, &why) == 0 &&
	    ctl->interval >= 100 && ctl->interval <= 3600 * 1000)
		return CTL_DONE;
	ctl_error("--interval %s: %s", optarg, why);
	return CTL_USAGE;
}

static enum ctl_exit
prefetch_option(struct ctl *ctl, int option)
{
	uint64_t n;

	if (option == LONG_LIST) {
		ctl->list = optarg;
	} else if (option == LONG_SITE) {
		ctl->as_site = true;
	} else {
		if (!bytes_decimal(bytes_str(optarg), 64, &n) || n == 0) {
			ctl_error(
			    "--jobs %s: write a number from 1 to 64", optarg);
			return CTL_USAGE;
		}
		ctl->jobs = (unsigned)n;
	}
	return CTL_DONE;
}

static enum ctl_exit
own_option(struct ctl *ctl, int option, struct evkeyvalq *args)
{
	uint64_t n;

	switch (option) {
	case LONG_LIMIT:
		if (bytes_decimal(bytes_str(optarg), 1000000, &n) && n > 0)
			return ctl_add(args, "limit", optarg);
		ctl_error("--limit: write a number from 1 to 1000000");
		return CTL_USAGE;
	case 'H':
		return ctl_add(args, "header", optarg);
	case LONG_HOST:
		return ctl_add(args, "host", optarg);
	case LONG_MATCH:
		return ctl_add(args, "match", optarg);
	case LONG_OLDER_THAN:
		return add_time(args, "--older-than", "older_than");
	case LONG_UNUSED_FOR:
		return add_time(args, "--unused-for", "unused_for");
	case LONG_TAG:
		return ctl_add(args, "tag", optarg);
	case LONG_SINCE:
		return add_time(args, "--since", "since");
	case LONG_BY_WHAT:
		return ctl_add(args, "by", optarg);
	case LONG_ALL:
		return ctl_add(args, "all", "1");
	case LONG_YES:
		ctl->yes = true;
		return CTL_DONE;
	case LONG_DRY_RUN:
		ctl->dry_run = true;
		return ctl_add(args, "dry_run", "1");
	case LONG_INTERVAL:
	case LONG_ONCE:
	case LONG_BY:
		return top_option(ctl, option);
	default:
		return prefetch_option(ctl, option);
	}
}

/* ---- mistakes --------------------------------------------------------- */

static const char *
name_of(const struct option *options, int value)
{
	for (; options->name; options++)
		if (options->val == value)
			return options->name;
	return "";
}

/* Another command's, perhaps. */
static bool
is_of_another(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(own_options); i++)
		if (strcmp(own_options[i].option.name, name) == 0)
			return true;
	return false;
}

static void
unknown_option(const struct option *options, const char *word)
{
	const char *names[OPTIONS_MAX], *near;
	char name[64];
	size_t n = 0;

	snprintf(
	    name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
	for (; options[n].name; n++)
		names[n] = options[n].name;
	near = suggest(name, names, n);
	if (is_of_another(name))
		ctl_error("--%s is no option here", name);
	else if (near)
		ctl_error(
		    "unknown option '--%s'; did you mean '--%s'?", name, near);
	else
		ctl_error("unknown option '--%s'; --help lists them", name);
}

/* getopt_long() returned '?' or ':'. */
static int
bad_option(const struct ctl_command *c, const struct option *options,
    int option, char **argv)
{
	const char *word = argv[optind - 1];

	if (option == ':' && optopt > 0 && optopt < 256 &&
	    strncmp(word, "--", 2) != 0)
		ctl_error("-%c needs a value", optopt);
	else if (option == ':')
		ctl_error("--%s needs a value", name_of(options, optopt));
	else if (optopt > 0 && strncmp(word, "--", 2) == 0)
		ctl_error("--%s takes no value", name_of(options, optopt));
	else if (optopt > 0)
		ctl_error("unknown option '-%c'; --help lists them", optopt);
	else
		unknown_option(options, word);
	return (int)ctl_bad_usage(c);
}

int
ctl_parse_options(struct ctl *ctl, const struct ctl_command *c, int argc,
    char **argv, struct evkeyvalq *args)
{
	struct option options[OPTIONS_MAX];
	int option, rc = CTL_DONE;

	collect_options(c ? c->options : 0, options);
	opterr = 0;
	while (rc == CTL_DONE && (option = getopt_long(argc, argv,
				      !c			? "+:c:s:qh"
				      : c->options & OPT_HEADER ? ":c:s:qhH:"
								: ":c:s:qh",
				      options, NULL)) != -1) {
		switch (option) {
		case 'c':
			ctl->file = optarg;
			break;
		case 's':
			ctl->socket = optarg;
			ctl->socket_given = true;
			break;
		case 'q':
			ctl->quiet = true;
			break;
		case LONG_JSON:
			ctl->json = true;
			break;
		case LONG_VERSION:
			puts("larderctl " LARDER_VERSION);
			return CTL_DONE;
		case 'h':
			ctl_help(c, stdout);
			return CTL_DONE;
		case '?':
		case ':':
			return bad_option(c, options, option, argv);
		default:
			rc = own_option(ctl, option, args);
			break;
		}
	}
	return rc == CTL_DONE ? CTL_PARSED : (int)ctl_bad_usage(c);
}
