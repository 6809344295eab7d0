/*
 * RUNNING ── on_stop ──> DRAINING ── on_poll, nothing in flight ──> over
 *                           └─ on_stop again: what is in flight ends now
 *
 * The admin server answers until the end, so that a long drain can be watched.
 */
#include "admin/daemon.h"

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "admin/census.h"
#include "admin/notify.h"
#include "admin/page.h"
#include "admin/server.h"
#include "admin/visits.h"
#include "larder/check.h"
#include "larder/err.h"
#include "larder/log.h"
#include "net/inherit.h"
#include "net/loop.h"
#include "proxy/proxy.h"

#define POLL_MS	      20
#define ADDRESSES_MAX 512
#define WHY_MAX	      512
/* For closing all, behind timeouts.drain. */
#define CLOSING_MS    (30 * 1000)

struct daemon {
	struct conf *conf;
	struct loop *loop;
	struct store *store;
	struct proxy *proxy;
	struct server *server;
	struct census *census;
	struct visits *visits;
	struct page *page;
	struct notify *notify;
	struct loop_timer poll, watchdog;
	struct event *signals[5];
	bool draining;
};

static const char *
addresses(const struct conf *conf, char out[ADDRESSES_MAX])
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < conf->listen_count && n < ADDRESSES_MAX; i++)
		n += (size_t)snprintf(out + n, ADDRESSES_MAX - n, "%s%s",
		    i ? ", " : "", conf->listen[i]);
	return out;
}

/* What is wrong with the configuration, a line each; frees why. */
static void
report(char *why)
{
	for (char *line = why, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		log_errorx("%s", line);
	}
	free(why);
}

/* ---- events ----------------------------------------------------------- */

static void
on_stop(evutil_socket_t number, short events, void *arg)
{
	struct daemon *d = arg;

	(void)events;
	log_info("%s: %s", strsignal((int)number),
	    d->draining ? "ending what is in flight" : "draining");
	d->draining = true;
	notify_send(d->notify,
	    "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%lld",
	    (long long)(d->conf->drain_timeout + CLOSING_MS) * 1000);
	proxy_drain(d->proxy);
	loop_timer_start(&d->poll, 0);
}

static void
on_poll(void *arg)
{
	struct daemon *d = arg;

	if (proxy_running(d->proxy))
		loop_timer_start(&d->poll, POLL_MS);
	else
		loop_stop(d->loop);
}

/* Four times in the time that the supervisor grants, so that a worker has the
 * rest of it to answer. */
static void
on_watchdog(void *arg)
{
	struct daemon *d = arg;

	if (proxy_alive(d->proxy))
		notify_send(d->notify, "WATCHDOG=1");
	loop_timer_start(&d->watchdog, notify_watchdog_ms(d->notify) / 4);
}

/* All of the new configuration or none of it. */
static int
reload(void *arg, char **why)
{
	struct daemon *d = arg;
	struct conf *conf;
	char text[WHY_MAX];
	int rc = conf_load(d->conf->file, &conf, why);

	if (rc != 0)
		return rc;
	text[0] = '\0';
	if (strcmp(conf->admin_socket, d->conf->admin_socket) != 0) {
		snprintf(text, sizeof(text),
		    "%s: only a restart changes admin_socket", conf->file);
		rc = LARDER_INVALID;
	} else {
		rc = proxy_reload(d->proxy, conf, text, sizeof(text));
	}
	if (rc < 0) {
		*why = strdup(text);
		conf_unref(&conf);
		return rc;
	}
	log_set_level(conf->log_level);
	conf_unref(&d->conf);
	d->conf = conf;
	log_info("the configuration was reloaded");
	return 0;
}

static void
tell_ready(const struct daemon *d)
{
	char list[ADDRESSES_MAX];

	notify_send(d->notify, "READY=1\nSTATUS=listens on %s, cache in %s",
	    addresses(d->conf, list), d->conf->cache_path);
}

static int
reload_for_admin(void *arg, char **why)
{
	struct daemon *d = arg;
	int rc;

	notify_reloading(d->notify);
	rc = reload(arg, why);
	tell_ready(d);
	if (rc != 0) {
		report(*why ? strdup(*why) : NULL);
		log_warnx("the old configuration stays");
	}
	return rc;
}

static void
on_reload(evutil_socket_t number, short events, void *arg)
{
	char *why = NULL;

	(void)number;
	(void)events;
	reload_for_admin(arg, &why);
	free(why);
}

static void
on_reopen(evutil_socket_t number, short events, void *arg)
{
	struct daemon *d = arg;

	(void)number;
	(void)events;
	if (proxy_reopen_log(d->proxy) < 0)
		log_warn(
		    "access log %s, the old one goes on", d->conf->access_log);
	else
		log_info("the access log was reopened");
}

static int
add_signals(struct daemon *d)
{
	const struct {
		int number;
		event_callback_fn fn;
	} t[] = {
	    {SIGTERM, on_stop},
	    {SIGINT, on_stop},
	    {SIGHUP, on_reload},
	    {SIGUSR1, on_reopen},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		d->signals[i] =
		    evsignal_new(loop_base(d->loop), t[i].number, t[i].fn, d);
		if (d->signals[i] == NULL ||
		    evsignal_add(d->signals[i], NULL) != 0)
			return LARDER_NOMEM;
	}
	return 0;
}

/* ---- opening and closing ---------------------------------------------- */

static void
on_store_report(void *arg, const char *line)
{
	(void)arg;
	log_warnx("cache: %s", line);
}

static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	if (limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("the limit on open files stays as it is");
}

static int
open_store(struct daemon *d, char why[WHY_MAX])
{
	const struct conf *c = d->conf;
	struct store_options options = {
	    .path = c->cache_path,
	    .size = c->cache_size,
	    .memory = c->cache_memory,
	    .max_object = c->cache_max_object,
	    .report = on_store_report,
	};
	int rc = store_open(&d->store, &options, why, WHY_MAX);

	if (rc < 0 || rc == LARDER_ABSENT) {
		log_errorx("cache %s: %s", c->cache_path, why);
		return LARDER_IO;
	}
	rc = census_open(&d->census, d->loop, d->store);
	if (rc < 0)
		log_errorx("the counters: %s", larder_strerror(rc));
	return rc;
}

static int
open_proxy(struct daemon *d, char why[WHY_MAX])
{
	int rc = proxy_open(&d->proxy, d->conf, d->store, why, WHY_MAX);

	if (rc < 0)
		log_errorx("%s", why);
	return rc;
}

static int
open_server(struct daemon *d, char why[WHY_MAX])
{
	struct server_options options = {d->loop, &d->proxy, d->store,
	    d->conf->admin_socket, d->census, reload_for_admin, d};
	int rc = server_open(&d->server, &options, why, WHY_MAX);

	if (rc < 0)
		log_errorx("%s", why);
	return rc;
}

/* Before the proxy runs; what it asks for comes when this loop runs. */
static int
open_page(struct daemon *d)
{
	struct visits_options options = {
	    d->loop, server_runner(d->server), d->census, d->store, &d->proxy};
	int rc = visits_open(&d->visits, &options);

	if (rc == 0)
		rc = page_open(&d->page, d->loop, d->visits);
	if (rc == 0)
		proxy_set_door(d->proxy, page_door(d->page));
	else
		log_errorx("the page: %s", larder_strerror(rc));
	return rc;
}

/* Whatever fails says so. */
static int
open_all(struct daemon *d)
{
	char why[WHY_MAX] = "";
	int rc = inherit_take(why, sizeof(why));

	d->notify = notify_open();
	if (rc < 0) {
		log_errorx("%s", why);
		return rc;
	}
	rc = loop_new(&d->loop, NULL, NULL);
	if (rc < 0) {
		log_errorx("the event loop: %s", larder_strerror(rc));
		return rc;
	}
	loop_timer_init(&d->poll, d->loop, on_poll, d);
	loop_timer_init(&d->watchdog, d->loop, on_watchdog, d);
	rc = open_store(d, why);
	if (rc == 0)
		rc = open_server(d, why);
	if (rc == 0)
		rc = open_proxy(d, why);
	if (rc == 0)
		rc = open_page(d);
	if (rc != 0)
		return rc;
	rc = add_signals(d);
	if (rc == 0)
		rc = proxy_start(d->proxy);
	if (rc < 0) {
		log_errorx("it cannot start: %s", larder_strerror(rc));
		proxy_drain(d->proxy); /* those that have started */
	}
	return rc;
}

static void
close_all(struct daemon *d)
{
	if (d->visits)
		visits_close(d->visits);
	if (d->server)
		server_free(&d->server);
	if (d->census)
		census_stop(d->census);
	if (d->proxy)
		proxy_free(&d->proxy);
	page_free(&d->page);
	visits_free(&d->visits);
	census_free(&d->census);
	if (d->store)
		store_close(&d->store);
	/* Caught until here: one more SIGTERM must not end us half closed. */
	for (size_t i = 0; i < ARRAY_SIZE(d->signals); i++)
		if (d->signals[i])
			event_free(d->signals[i]);
	if (d->loop) {
		loop_timer_release(&d->poll);
		loop_timer_release(&d->watchdog);
		loop_free(&d->loop);
	}
	notify_close(&d->notify);
	conf_unref(&d->conf);
}

static void
announce(struct daemon *d)
{
	char list[ADDRESSES_MAX];

	log_info("larder " LARDER_VERSION " listens on %s, cache in %s",
	    addresses(d->conf, list), d->conf->cache_path);
	tell_ready(d);
	if (notify_watchdog_ms(d->notify) > 0)
		on_watchdog(d);
}

int
daemon_run(struct conf **conf)
{
	struct daemon d = {.conf = *conf};
	sigset_t all, old;
	int rc;

	*conf = NULL;
	log_set_level(d.conf->log_level);
	raise_descriptors();
	signal(SIGPIPE, SIG_IGN);
	/* Signals are this thread's: those that are made now inherit a mask
	 * in which all are blocked. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = open_all(&d);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc == 0) {
		announce(&d);
		census_start(d.census, d.proxy);
		loop_run(d.loop);
	}
	close_all(&d);
	if (rc == 0)
		log_info("stopped");
	return rc == 0 ? 0 : 1;
}
