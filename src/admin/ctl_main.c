/*
 * larderctl's command line.
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

#include "conf/conf.h"
#include "http/target.h"
#include "larder/check.h"
#include "larder/err.h"

/* ---- words ------------------------------------------------------------ */

bool
ctl_is_url(const char *url)
{
	struct http_target target;
	struct arena arena;
	const char *why = "too long";
	int rc;

	arena_init(&arena, 256 * 1024);
	rc = http_target_of_url(bytes_str(url), &arena, &target, &why);
	arena_release(&arena);
	if (rc == 0)
		return true;
	ctl_error("%s: %s", url, why);
	return false;
}

static enum ctl_exit
add_url(struct evkeyvalq *args, const char *url)
{
	return ctl_is_url(url) ? ctl_add(args, "url", url) : CTL_USAGE;
}

enum ctl_exit
ctl_words_ls(struct ctl *ctl, int count, char **words, struct evkeyvalq *args)
{
	(void)ctl;
	return count ? ctl_add(args, "glob", words[0]) : CTL_DONE;
}

enum ctl_exit
ctl_words_explain(
    struct ctl *ctl, int count, char **words, struct evkeyvalq *args)
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

enum ctl_exit
ctl_words_purge(
    struct ctl *ctl, int count, char **words, struct evkeyvalq *args)
{
	static const char *const choices[] = {
	    "host", "match", "tag", "older_than", "unused_for", "all"};
	enum ctl_exit rc = CTL_DONE;
	int chosen = count > 0;

	for (size_t i = 0; i < ARRAY_SIZE(choices); i++) {
		const char *value = evhttp_find_header(args, choices[i]);

		chosen += value != NULL;
		/* A variable that was not set in a script. */
		if (value != NULL && *value == '\0') {
			ctl_error("--%s is empty; say which", choices[i]);
			return CTL_USAGE;
		}
	}
	if (chosen != 1) {
		ctl_error("say what to purge: URLs, --host, --match, --tag, "
			  "--older-than, --unused-for or --all, one of them");
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

enum ctl_exit
ctl_load_configuration(struct ctl *ctl)
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

enum ctl_exit
ctl_flush(enum ctl_exit rc)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return rc;
	ctl_error("standard output: cannot be written");
	return CTL_FAILED;
}

void
ctl_print_json(const json_t *answer)
{
	json_dumpf(answer, stdout, JSON_INDENT(2));
	putchar('\n');
}

static enum ctl_exit
run(struct ctl *ctl, const struct ctl_command *c, struct evkeyvalq *args)
{
	json_t *answer = NULL;
	enum ctl_exit rc = ctl_ask(ctl, &c->question, args, &answer);

	if (rc == CTL_DONE && c->show == ctl_show_version)
		add_own_version(&answer);
	if (rc == CTL_DONE && ctl->json) {
		ctl_print_json(answer);
	} else if (rc == CTL_DONE) {
		c->show(ctl, answer);
	}
	if (rc == CTL_DONE && c->show == ctl_show_verify &&
	    json_integer_value(json_object_get(answer, "damaged")) > 0)
		rc = CTL_DAMAGED;
	json_decref(answer);
	return ctl_flush(rc);
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
	ctl_screen_init(ctl);
	/* doctor tells of a configuration that is wrong, too. */
	if (c->run != ctl_run_doctor && ctl_load_configuration(ctl) != CTL_DONE)
		return CTL_FAILED;
	if (c->run)
		return c->run(ctl, c, count, argv + optind, args);
	return run(ctl, c, args);
}

int
ctl_main(int argc, char **argv)
{
	struct ctl ctl = {.interval = 2000, .jobs = 4};
	struct evkeyvalq args;
	const struct ctl_command *c;
	int rc = ctl_parse_options(&ctl, NULL, argc, argv, NULL), at = optind;

	if (rc != CTL_PARSED)
		return rc;
	if (at == argc)
		return (int)ctl_bad_usage(NULL);
	c = ctl_find_command(argv[at]);
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
