/*
 * larderd: the daemon's command line.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/daemon.h"
#include "conf/conf.h"

enum { DONE = 0, FAILED = 1, USAGE = 2 };

static const char usage[] =
    "usage: larderd [-c FILE] [-t] [-n] [-V]\n"
    "  -c FILE  the configuration; default " CONF_DEFAULT_FILE "\n"
    "  -t       check the configuration and exit\n"
    "  -n       print the effective configuration with every default and exit\n"
    "  -V       print the version and exit\n"
    "  -h       print this\n"
    "It runs in the foreground and logs to standard error. SIGTERM drains and\n"
    "stops it, SIGHUP reloads the configuration, SIGUSR1 reopens the access "
    "log.\n";

struct options {
	const char *file;
	bool test, print;
};

/* DONE: go on; otherwise the exit status, or -1: exit with 0. */
static int
parse(int argc, char **argv, struct options *o)
{
	static const struct option words[] = {
	    {"help", no_argument, NULL, 'h'},
	    {"version", no_argument, NULL, 'V'},
	    {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:tnVh", words, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->file = optarg;
			break;
		case 't':
			o->test = true;
			break;
		case 'n':
			o->print = true;
			break;
		case 'V':
			puts("larderd " LARDER_VERSION);
			return -1;
		case 'h':
			fputs(usage, stdout);
			return -1;
		default:
			fputs(usage, stderr);
			return USAGE;
		}
	}
	if (optind < argc) {
		fprintf(
		    stderr, "larderd: what is '%s'?\n%s", argv[optind], usage);
		return USAGE;
	}
	return DONE;
}

int
main(int argc, char **argv)
{
	struct options o = {CONF_DEFAULT_FILE, false, false};
	struct conf *conf;
	char *why;
	int rc = parse(argc, argv, &o);

	if (rc != DONE)
		return rc < 0 ? DONE : rc;
	if (conf_load(o.file, &conf, &why) != 0) {
		fprintf(stderr, "%s\n", why ? why : "out of memory");
		free(why);
		return FAILED;
	}
	if (o.print)
		conf_print(conf, stdout);
	else if (o.test)
		printf("%s is good\n", o.file);
	if (!o.print && !o.test)
		return daemon_run(&conf);
	conf_unref(&conf);
	return fflush(stdout) == 0 ? DONE : FAILED;
}
