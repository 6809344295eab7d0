/*
 * larderctl's options, with getopt_long(): the same ones before the command
 * and behind it, and those of single commands.
 */
#include "admin/ctl_command.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <getopt.h>
#include <stdio.h>

#include "conf/conf.h"
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
	LONG_SINCE,
	LONG_BY,
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
    {OPT_STATS, {"by", required_argument, NULL, LONG_BY}},
    {OPT_HEADER, {"header", required_argument, NULL, 'H'}},
    {OPT_PURGE, {"host", required_argument, NULL, LONG_HOST}},
    {OPT_PURGE, {"match", required_argument, NULL, LONG_MATCH}},
    {OPT_PURGE, {"older-than", required_argument, NULL, LONG_OLDER_THAN}},
    {OPT_PURGE, {"unused-for", required_argument, NULL, LONG_UNUSED_FOR}},
    {OPT_PURGE, {"tag", required_argument, NULL, LONG_TAG}},
    {OPT_PURGE, {"all", no_argument, NULL, LONG_ALL}},
    {OPT_PURGE, {"yes", no_argument, NULL, LONG_YES}},
    {OPT_DRY_RUN, {"dry-run", no_argument, NULL, LONG_DRY_RUN}},
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

static enum ctl_exit
not_kept(const char *what)
{
	ctl_error("the store does not keep %s; purge by --older-than, --host "
		  "or --match",
	    what);
	return CTL_USAGE;
}

static enum ctl_exit
own_option(struct ctl *ctl, int option, struct evkeyvalq *args)
{
	const char *why;
	uint64_t n;
	int64_t ms;

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
		if (conf_parse_time(optarg, &ms, &why) == 0)
			return ctl_add(args, "older_than", optarg);
		ctl_error("--older-than %s: %s", optarg, why);
		return CTL_USAGE;
	case LONG_UNUSED_FOR:
		return not_kept("times of use");
	case LONG_TAG:
		return not_kept("tags");
	case LONG_SINCE:
		if (conf_parse_time(optarg, &ms, &why) == 0)
			return ctl_add(args, "since", optarg);
		ctl_error("--since %s: %s", optarg, why);
		return CTL_USAGE;
	case LONG_BY:
		return ctl_add(args, "by", optarg);
	case LONG_ALL:
		return ctl_add(args, "all", "1");
	case LONG_YES:
		ctl->yes = true;
		return CTL_DONE;
	case LONG_DRY_RUN:
		ctl->dry_run = true;
		return ctl_add(args, "dry_run", "1");
	default:
		return CTL_USAGE; /* getopt_long() has said why */
	}
}

int
ctl_parse_options(struct ctl *ctl, const struct ctl_command *c, int argc,
    char **argv, struct evkeyvalq *args)
{
	struct option options[OPTIONS_MAX];
	int option, rc = CTL_DONE;

	collect_options(c ? c->options : 0, options);
	while (rc == CTL_DONE && (option = getopt_long(argc, argv,
				      !c			? "+c:s:qh"
				      : c->options & OPT_HEADER ? "c:s:qhH:"
								: "c:s:qh",
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
		default:
			rc = own_option(ctl, option, args);
			break;
		}
	}
	return rc == CTL_DONE ? CTL_PARSED : (int)ctl_bad_usage(c);
}
