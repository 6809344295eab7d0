/*
 * `doctor`: one check after the other, each with what helps. What the daemon
 * says of itself is not believed where it can be seen: see ctl_probe.c.
 */
#include "admin/ctl_doctor.h"

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/ctl_command.h"
#include "conf/conf.h"
#include "larder/check.h"
#include "larder/err.h"

#define DEFAULT_URL "http://deb.debian.org/debian/README"

static const struct {
	const char *name, *shown;
	enum ctl_style style;
} verdicts[] = {
    [DOCTOR_OK] = {"ok", "ok", CTL_GOOD},
    [DOCTOR_WARN] = {"warn", "warning", CTL_WARN},
    [DOCTOR_FAIL] = {"fail", "FAILED", CTL_BAD},
    [DOCTOR_SKIPPED] = {"skipped", "skipped", CTL_DIM},
};

void
doctor_say(struct doctor *d, const char *name, enum verdict verdict,
    const char *fix, const char *format, ...)
{
	const struct ctl *ctl = d->ctl;
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	d->count[verdict]++;
	json_array_append_new(d->checks,
	    json_pack("{s:s, s:s, s:o, s:s?}", "name", name, "state",
		verdicts[verdict].name, "text", job_text(bytes_str(text)),
		"fix", verdict == DOCTOR_OK ? NULL : fix));
	if (ctl->json)
		return;
	if (ctl->quiet) {
		if (verdict == DOCTOR_FAIL)
			ctl_error("%s: %s%s%s", name, text,
			    fix ? "; fix: " : "", fix ? fix : "");
		return;
	}
	printf("%s%-8s%s %-14s ", ctl_style(ctl, verdicts[verdict].style),
	    verdicts[verdict].shown, ctl_style(ctl, CTL_PLAIN), name);
	ctl_print(text);
	if (fix && verdict != DOCTOR_OK)
		printf("\n%24sfix: %s", "", fix);
	putchar('\n');
	fflush(stdout);
}

bool
doctor_ask(struct doctor *d, const char *path, bool post, const char *key,
    const char *value, json_t **out)
{
	struct ctl_question question = {path, .post = post, .prompt = true};
	struct evkeyvalq args;
	int status = 0, rc;

	TAILQ_INIT(&args);
	if (key)
		evhttp_add_header(&args, key, value);
	rc = ctl_http(d->ctl, &question, &args, &status, out);
	evhttp_clear_headers(&args);
	if (rc == 0 && status == 200)
		return true;
	json_decref(*out);
	*out = NULL;
	return false;
}

/* ---- configuration and daemon ----------------------------------------- */

static bool
check_configuration(struct doctor *d)
{
	struct ctl *ctl = d->ctl;
	const char *file = ctl->file ? ctl->file : CONF_DEFAULT_FILE;
	char *why = NULL, *line;

	if (ctl->file == NULL && access(file, F_OK) != 0) {
		doctor_say(d, "configuration", DOCTOR_WARN,
		    "install one there, or name it with -c",
		    "%s is not there: all defaults", file);
		file = NULL;
	}
	if (conf_load(file, &ctl->conf, &why) == 0) {
		if (file)
			doctor_say(d, "configuration", DOCTOR_OK, NULL,
			    "%s: %u site%s, %u rule%s", file,
			    ctl->conf->sites_count,
			    ctl_plural(ctl->conf->sites_count),
			    ctl->conf->rules_count,
			    ctl_plural(ctl->conf->rules_count));
		if (!ctl->socket_given)
			ctl->socket = ctl->conf->admin_socket;
		return true;
	}
	for (line = why; line;) {
		char *end = strchr(line, '\n');

		if (end)
			*end++ = '\0';
		doctor_say(d, "configuration", DOCTOR_FAIL,
		    "the line says what would have been right; larderd -t "
		    "checks it",
		    "%s", line);
		line = end;
	}
	free(why);
	return false;
}

/* Whom it runs as: the owner of its process, or else of the package. */
static void
find_user(struct doctor *d)
{
	const struct passwd *user = getpwnam("larder");
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)d->pid);
	if (d->pid > 0 && stat(path, &st) == 0) {
		d->uid = st.st_uid;
		d->gid = st.st_gid;
		d->uid_known = true;
	} else if (d->pid == 0 && user && geteuid() == 0) {
		d->uid = user->pw_uid;
		d->gid = user->pw_gid;
		d->uid_known = true;
	} else if (d->pid == 0 && geteuid() != 0) {
		d->uid = geteuid();
		d->gid = getegid();
		d->uid_known = true;
	}
}

static void
check_version(struct doctor *d)
{
	json_t *answer = NULL;

	if (!doctor_ask(d, "/version", false, NULL, NULL, &answer))
		return;
	if (strcmp(ctl_string(answer, "version"), LARDER_VERSION) != 0)
		doctor_say(d, "version", DOCTOR_WARN,
		    "restart it: systemctl restart larder",
		    "larderd is %s, larderctl is " LARDER_VERSION,
		    ctl_string(answer, "version"));
	json_decref(answer);
}

static void
check_daemon(struct doctor *d)
{
	static const struct ctl_question ping = {"/ping", .prompt = true};
	struct evkeyvalq none;
	json_t *answer = NULL;
	int status = 0, rc;

	TAILQ_INIT(&none);
	rc = ctl_http(d->ctl, &ping, &none, &status, &answer);
	d->running = rc == 0 && status == 200;
	if (d->running) {
		d->pid = (pid_t)ctl_number(answer, "pid");
		doctor_say(d, "daemon", DOCTOR_OK, NULL,
		    "larderd runs, process %d, and answers on %s", (int)d->pid,
		    d->ctl->socket);
		check_version(d);
		doctor_ask(d, "/stats", false, NULL, NULL, &d->stats);
	} else if (rc == LARDER_ABSENT) {
		doctor_say(d, "daemon", DOCTOR_FAIL,
		    "systemctl start larder; journalctl -u larder says why it "
		    "does not",
		    "nobody answers on %s", d->ctl->socket);
	} else if (rc == LARDER_ACCESS) {
		d->pid = -1;
		doctor_say(d, "daemon", DOCTOR_FAIL,
		    "run larderctl as root, or as a member of larderd's group",
		    "%s: permission denied", d->ctl->socket);
	} else {
		d->pid = -1;
		doctor_say(d, "daemon", DOCTOR_FAIL,
		    "systemctl restart larder; journalctl -u larder",
		    "what answers on %s makes no sense: %s", d->ctl->socket,
		    larder_strerror(rc));
	}
	json_decref(answer);
}

/* ---- all -------------------------------------------------------------- */

static void
run_checks(struct doctor *d)
{
	bool configured = check_configuration(d);

	if (d->ctl->socket == NULL)
		return;
	check_daemon(d);
	find_user(d);
	doctor_check_clock(d);
	if (!configured)
		return;
	doctor_check_listen(d);
	doctor_check_disk(d);
	doctor_check_permissions(d);
	doctor_check_limits(d);
	doctor_check_cache(d);
	doctor_check_names(d);
	doctor_check_origin(d);
}

static void
summarize(const struct doctor *d)
{
	json_t *o;

	if (d->ctl->json) {
		o = json_pack("{s:O, s:i, s:i, s:i, s:i}", "checks", d->checks,
		    "ok", d->count[DOCTOR_OK], "warn", d->count[DOCTOR_WARN],
		    "fail", d->count[DOCTOR_FAIL], "skipped",
		    d->count[DOCTOR_SKIPPED]);
		ctl_print_json(o);
		json_decref(o);
	} else if (!d->ctl->quiet) {
		printf("\n%u ok, %u warning%s, %u failed, %u skipped\n",
		    d->count[DOCTOR_OK], d->count[DOCTOR_WARN],
		    ctl_plural(d->count[DOCTOR_WARN]), d->count[DOCTOR_FAIL],
		    d->count[DOCTOR_SKIPPED]);
	}
}

enum ctl_exit
ctl_run_doctor(struct ctl *ctl, const struct ctl_command *c, int count,
    char **words, struct evkeyvalq *args)
{
	struct doctor d = {.ctl = ctl,
	    .url = count ? words[0] : DEFAULT_URL,
	    .url_given = count > 0,
	    .checks = json_array()};

	(void)args;
	if (count && !ctl_is_url(words[0]))
		return ctl_bad_usage(c);
	run_checks(&d);
	summarize(&d);
	json_decref(d.checks);
	json_decref(d.stats);
	return ctl_flush(d.count[DOCTOR_FAIL] ? CTL_FAILED : CTL_DONE);
}
