#include "admin/ctl.h"

#include <errno.h>
#include <event2/keyvalq_struct.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "admin/counters.h"
#include "conf/conf.h"
#include "larder/err.h"
#include "larder/store.h"

#define BAR_MS 200

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

/* ---- a bar for what takes long ---------------------------------------- */

struct watch {
	const char *doing;
	struct store *store;
	pthread_mutex_t lock;
	pthread_cond_t over;
	bool ended, drawn;
};

static void *
watch_main(void *arg)
{
	struct watch *w = arg;
	struct timespec until;
	struct store_stats s;

	pthread_mutex_lock(&w->lock);
	while (!w->ended) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += BAR_MS * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
		if (pthread_cond_timedwait(&w->over, &w->lock, &until) == 0)
			continue;
		store_stats(w->store, &s);
		w->drawn = true;
		ctl_bar_draw(w->doing,
		    strcmp(w->doing, "gc") == 0
			? &(struct ctl_progress){s.gc_done, s.gc_of}
			: &(struct ctl_progress){s.verified, s.objects});
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

static int
run_job(struct ctl *ctl, const struct ctl_question *question,
    const struct job_env *env, struct evkeyvalq *args, json_t **out)
{
	struct watch w = {question->doing, env->store,
	    PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
	pthread_t thread;
	bool watched = question->doing != NULL && ctl_bar_wanted(ctl) &&
		       pthread_create(&thread, NULL, watch_main, &w) == 0;
	int rc = question->job(env, args, out);

	if (!watched)
		return rc;
	pthread_mutex_lock(&w.lock);
	w.ended = true;
	pthread_cond_signal(&w.over);
	pthread_mutex_unlock(&w.lock);
	pthread_join(thread, NULL);
	if (w.drawn)
		ctl_bar_clear();
	return rc;
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
	rc = run_job(ctl, question, &env, args, out);
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

/* What the exchange came to, where somebody answers. */
static enum ctl_exit
conclude(struct ctl *ctl, int rc, int status, const json_t *answer)
{
	switch (rc) {
	case 0:
		if (status == 200)
			return CTL_DONE;
		tell(answer);
		return CTL_FAILED;
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

enum ctl_exit
ctl_ask(struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, json_t **out)
{
	int status = 0;
	int rc = ctl_http(ctl, question, args, &status, out);

	if (rc == LARDER_ABSENT)
		return nobody_answers(ctl, question, args, out);
	return conclude(ctl, rc, status, *out);
}

enum ctl_exit
ctl_ask_daemon(struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, json_t **out)
{
	int status = 0;
	int rc = ctl_http(ctl, question, args, &status, out);

	return rc == LARDER_ABSENT ? CTL_DOWN : conclude(ctl, rc, status, *out);
}
