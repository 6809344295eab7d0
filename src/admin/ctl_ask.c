#include "admin/ctl.h"

#include <errno.h>
#include <event2/keyvalq_struct.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "admin/counters.h"
#include "conf/conf.h"
#include "larder/err.h"
#include "larder/store.h"

void
ctl_error(const char *format, ...)
{
	va_list ap;

	fputs("larderctl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	putc('\n', stderr);
}

/* The answer's error, if it has one. */
static void
tell(const json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "error"));

	ctl_error("%s", text ? text : "it failed, and said nothing");
}

/* As the daemon counts it. */
static void
note_purge(struct store *store, const json_t *answer)
{
	uint64_t current[COUNTER_COUNT], total[COUNTER_COUNT];
	struct store_removed what;
	struct counters c;

	if (!job_purge_result(answer, &what))
		return;
	counters_load(&c, store);
	c.purged = what;
	counters_current(&c, NULL, store, current);
	counters_total(&c, current, total);
	if (counters_save(&c, store, total) == 0)
		store_flush(store);
}

/* The store of the configuration, whose daemon is down. */
static enum ctl_exit
ask_store(struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, json_t **out)
{
	const struct conf *c = ctl->conf;
	struct job_env env = {.conf = c};
	struct store_options options = {
	    .path = c->cache_path,
	    .size = c->cache_size,
	    .max_object = c->cache_max_object,
	    .offline = true,
	};
	char why[512] = "";
	int rc = store_open(&env.store, &options, why, sizeof(why));

	if (rc == LARDER_LOCKED)
		ctl_error("the cache in %s is in use, but nobody answers on "
			  "%s; does its daemon have another admin_socket?",
		    c->cache_path, ctl->socket);
	else if (rc != 0)
		ctl_error("cache %s: %s", c->cache_path, why);
	if (rc != 0)
		return CTL_FAILED;
	rc = question->job(&env, args, out);
	if (rc != 0)
		tell(*out);
	else if (question->job == job_purge)
		note_purge(env.store, *out);
	store_close(&env.store);
	return rc == 0 ? CTL_DONE : CTL_FAILED;
}

static enum ctl_exit
nobody_answers(struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, json_t **out)
{
	if (question->job && ctl->conf)
		return ask_store(ctl, question, args, out);
	if (!question->needs_daemon && question->job == NULL)
		return CTL_DONE; /* the answer is a bonus */
	ctl_error("no larderd answers on %s%s", ctl->socket,
	    question->job ? "; with -c FILE, its cache can be asked" : "");
	return CTL_DOWN;
}

enum ctl_exit
ctl_ask(struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, json_t **out)
{
	int status = 0;
	int rc = ctl_http(ctl->socket, question, args, &status, out);

	switch (rc) {
	case 0:
		if (status == 200)
			return CTL_DONE;
		tell(*out);
		return CTL_FAILED;
	case LARDER_ABSENT:
		return nobody_answers(ctl, question, args, out);
	case LARDER_ACCESS:
		ctl_error("%s: permission denied; run it as root, or as a "
			  "member of larderd's group",
		    ctl->socket);
		return CTL_FAILED;
	case LARDER_TIMEOUT:
		ctl_error("larderd on %s does not answer in time", ctl->socket);
		return CTL_FAILED;
	case LARDER_CLOSED:
		ctl_error(
		    "larderd on %s ended before its answer did", ctl->socket);
		return CTL_FAILED;
	default:
		ctl_error("%s: %s", ctl->socket,
		    rc == LARDER_IO ? strerrordesc_np(errno)
				    : larder_strerror(rc));
		return CTL_FAILED;
	}
}
