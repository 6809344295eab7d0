/*
 * The proxy as a whole: opened, started, changed and ended by the main thread.
 *
 * What always holds: `conf` and `orders` are read and written under the lock;
 * workers fetch their orders when their control note is posted. A reload binds
 * what is new before it changes anything.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/clock.h"
#include "larder/log.h"
#include "proxy/access.h"
#include "proxy/collect.h"
#include "proxy/flight.h"
#include "proxy/guard.h"
#include "proxy/local.h"
#include "proxy/orders.h"
#include "proxy/proxy.h"
#include "proxy/recent.h"
#include "proxy/sockets.h"
#include "proxy/worker.h"

struct proxy {
	struct store *store;
	struct tls_context *tls;
	struct flights *flights;
	struct guard *guard;
	struct access_log *log;
	struct recent *recent;
	_Atomic uint16_t probe_port;
	_Atomic int64_t probe_until;
	char id[17];
	unsigned worker_count;
	struct worker **workers;
	const struct local_door *door; /* NULL: nobody answers */
	bool draining;
	uint64_t seed;
	_Atomic unsigned collecting;	/* workers that have not answered */
	struct mailbox_note *collected; /* posted when it falls to 0 */
	pthread_mutex_t lock;
	/* under the lock */
	struct conf *conf;
	struct orders *orders; /* one a worker */
};

struct store *
proxy_store(struct proxy *proxy)
{
	return proxy->store;
}

struct flights *
proxy_flights(struct proxy *proxy)
{
	return proxy->flights;
}

struct guard *
proxy_guard(struct proxy *proxy)
{
	return proxy->guard;
}

struct access_log *
proxy_access_log(struct proxy *proxy)
{
	return proxy->log;
}

struct recent *
proxy_recent(struct proxy *proxy)
{
	return proxy->recent;
}

void
proxy_admit_probe(struct proxy *proxy, uint16_t port, int64_t until)
{
	proxy->probe_port = 0;
	proxy->probe_until = until;
	proxy->probe_port = port;
}

bool
proxy_is_probe(struct proxy *proxy, const union addr *address)
{
	static const struct bytes loopback = {"127.0.0.1", 9};
	uint16_t port = proxy->probe_port;
	union addr probe;

	return port != 0 && addr_port(address) == port &&
	       clock_mono_ms() < proxy->probe_until &&
	       addr_parse_ip(loopback, port, &probe) == 0 &&
	       addr_equal(&probe, address, true);
}

struct tls_context *
proxy_tls(struct proxy *proxy)
{
	return proxy->tls;
}

const char *
proxy_id(struct proxy *proxy)
{
	return proxy->id;
}

struct conf *
proxy_conf(struct proxy *proxy)
{
	struct conf *conf;

	pthread_mutex_lock(&proxy->lock);
	conf = conf_ref(proxy->conf);
	pthread_mutex_unlock(&proxy->lock);
	return conf;
}

const struct local_door *
proxy_door(struct proxy *proxy)
{
	return proxy->door;
}

void
proxy_set_door(struct proxy *proxy, const struct local_door *door)
{
	proxy->door = door;
}

static bool
listens_on(const struct conf *conf, uint16_t port)
{
	for (unsigned i = 0; i < conf->listen_count; i++)
		if (conf->listen_addr[i].sa.sa_family != AF_UNIX &&
		    addr_port(&conf->listen_addr[i]) == port)
			return true;
	return false;
}

bool
proxy_is_self(struct proxy *proxy, const union addr *address)
{
	struct conf *conf = proxy_conf(proxy);
	bool self =
	    listens_on(conf, addr_port(address)) && addr_is_own(address);

	conf_unref(&conf);
	return self;
}

/* ---- opening ---------------------------------------------------------- */

static void
make_id(struct proxy *p)
{
	unsigned char random[8] = {0};

	if (getrandom(random, sizeof(random), 0) < 0)
		log_warn("no random bytes for this instance's name in Via");
	for (unsigned i = 0; i < sizeof(random); i++)
		snprintf(p->id + 2 * i, 3, "%02x", random[i]);
	/* Without one, others may choose what collides; no more. */
	if (getrandom(&p->seed, sizeof(p->seed), 0) < 0)
		p->seed = 0;
}

static int
make_workers(struct proxy *p, char *why, size_t why_size)
{
	p->worker_count = p->conf->workers;
	p->workers = calloc(p->worker_count, sizeof(*p->workers));
	p->orders = calloc(p->worker_count, sizeof(*p->orders));
	for (unsigned i = 0; i < p->worker_count; i++) {
		int err = p->workers && p->orders
			      ? worker_new(&p->workers[i], p, i, p->conf)
			      : LARDER_NOMEM;

		if (err < 0) {
			snprintf(why, why_size, "cannot make worker %u: %s", i,
			    larder_strerror(err));
			return err;
		}
	}
	return 0;
}

static int
listen_first(struct proxy *p, char *why, size_t why_size)
{
	struct orders *orders;
	int err = sockets_bind(
	    &orders, p->worker_count, p->conf, NULL, why, why_size);

	if (err < 0)
		return err;
	for (unsigned w = 0; w < p->worker_count; w++) {
		for (unsigned i = 0; i < orders[w].socket_count; i++) {
			struct orders_socket *s = &orders[w].sockets[i];
			int failed =
			    worker_listen(p->workers[w], &s->address, s->fd);

			if (failed < 0 && err == 0) {
				err = failed;
				snprintf(why, why_size, "cannot listen: %s",
				    larder_strerror(err));
			}
		}
		free(orders[w].sockets);
	}
	free(orders);
	return err;
}

int
proxy_open(struct proxy **out, struct conf *conf, struct store *store,
    char *why, size_t why_size)
{
	struct proxy *p = calloc(1, sizeof(*p));
	int err = LARDER_NOMEM;

	if (p == NULL) {
		snprintf(why, why_size, "out of memory");
		return LARDER_NOMEM;
	}
	pthread_mutex_init(&p->lock, NULL);
	p->store = store;
	p->conf = conf_ref(conf);
	make_id(p);
	snprintf(why, why_size, "out of memory");
	if ((err = tls_context_new(&p->tls, why, why_size)) < 0 ||
	    (err = flights_new(&p->flights)) < 0 ||
	    (err = guard_new(&p->guard, conf->workers)) < 0 ||
	    (err = recent_new(&p->recent)) < 0 ||
	    (err = access_log_open(&p->log, conf->access_log,
		 conf->access_log_format, why, why_size)) < 0 ||
	    (err = make_workers(p, why, why_size)) < 0 ||
	    (err = listen_first(p, why, why_size)) < 0) {
		proxy_free(&p);
		return err;
	}
	guard_configure(p->guard, conf);
	*out = p;
	return 0;
}

int
proxy_start(struct proxy *p)
{
	for (unsigned i = 0; i < p->worker_count; i++) {
		int err = worker_start(p->workers[i]);

		if (err < 0)
			return err;
	}
	return 0;
}

/* ---- orders ----------------------------------------------------------- */

bool
proxy_take_orders(struct proxy *p, unsigned worker, struct orders *out)
{
	struct orders *o = &p->orders[worker];

	pthread_mutex_lock(&p->lock);
	*out = *o;
	*o = (struct orders){0};
	pthread_mutex_unlock(&p->lock);
	return out->conf != NULL || out->drain;
}

static int
only_by_restart(
    const struct conf *old, const struct conf *conf, char *why, size_t why_size)
{
	const char *what = NULL;

	if (strcmp(old->cache_path, conf->cache_path) != 0)
		what = "cache.path";
	else if (strcmp(old->admin_socket, conf->admin_socket) != 0)
		what = "admin_socket";
	else if (old->workers != conf->workers)
		what = "workers";
	if (what == NULL)
		return 0;
	snprintf(why, why_size,
	    "%s can only be changed by a restart; nothing was changed", what);
	return LARDER_INVALID;
}

static void
give_orders(struct proxy *p, struct orders *fresh, struct conf *conf)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned w = 0; w < p->worker_count; w++) {
		struct orders *o = &p->orders[w];

		if (o->conf != NULL)
			conf_unref(&o->conf);
		o->conf = conf_ref(conf);
		sockets_add(o, &fresh[w]);
	}
	conf_unref(&p->conf);
	p->conf = conf_ref(conf);
	pthread_mutex_unlock(&p->lock);
	free(fresh);
	for (unsigned w = 0; w < p->worker_count; w++)
		mailbox_post(&p->workers[w]->control);
}

int
proxy_reload(struct proxy *p, struct conf *conf, char *why, size_t why_size)
{
	struct conf *old = proxy_conf(p);
	struct orders *fresh = NULL;
	int err = only_by_restart(old, conf, why, why_size);

	if (err == 0)
		err = sockets_bind(
		    &fresh, p->worker_count, conf, old, why, why_size);
	if (err == 0) {
		err = access_log_reopen(p->log, conf->access_log,
		    conf->access_log_format, why, why_size);
		if (err < 0)
			sockets_close(fresh, p->worker_count);
	}
	if (err == 0) {
		give_orders(p, fresh, conf);
		guard_configure(p->guard, conf);
		sockets_unlink(old, conf);
		store_resize(p->store, conf->cache_size, conf->cache_memory,
		    conf->cache_max_object);
		log_set_level(conf->log_level);
	}
	conf_unref(&old);
	return err;
}

int
proxy_reopen_log(struct proxy *p)
{
	struct conf *conf = proxy_conf(p);
	char why[512];
	int err = access_log_reopen(p->log, conf->access_log,
	    conf->access_log_format, why, sizeof(why));

	if (err < 0)
		log_warnx("%s", why);
	conf_unref(&conf);
	return err;
}

void
proxy_drain(struct proxy *p)
{
	pthread_mutex_lock(&p->lock);
	for (unsigned w = 0; w < p->worker_count; w++) {
		p->orders[w].drain = true;
		p->orders[w].drain_now = p->draining;
	}
	p->draining = true;
	pthread_mutex_unlock(&p->lock);
	for (unsigned w = 0; w < p->worker_count; w++)
		mailbox_post(&p->workers[w]->control);
}

bool
proxy_running(const struct proxy *p)
{
	for (unsigned w = 0; w < p->worker_count; w++)
		if (p->workers[w]->started &&
		    !atomic_load(&p->workers[w]->done))
			return true;
	return false;
}

bool
proxy_alive(struct proxy *p)
{
	for (unsigned w = 0; w < p->worker_count; w++)
		if (!worker_answered(p->workers[w]))
			return false;
	for (unsigned w = 0; w < p->worker_count; w++)
		worker_ask(p->workers[w]);
	return true;
}

void
proxy_free(struct proxy **proxy)
{
	struct proxy *p = *proxy;

	*proxy = NULL;
	if (p == NULL)
		return;
	for (unsigned w = 0; p->workers != NULL && w < p->worker_count; w++)
		worker_join(p->workers[w]);
	for (unsigned w = 0; p->workers != NULL && w < p->worker_count; w++)
		worker_free(&p->workers[w]);
	for (unsigned w = 0; p->orders != NULL && w < p->worker_count; w++) {
		if (p->orders[w].conf != NULL)
			conf_unref(&p->orders[w].conf);
		for (unsigned i = 0; i < p->orders[w].socket_count; i++)
			close(p->orders[w].sockets[i].fd);
		free(p->orders[w].sockets);
	}
	free(p->workers);
	free(p->orders);
	if (p->log != NULL)
		access_log_close(&p->log);
	flights_free(&p->flights);
	guard_free(&p->guard);
	recent_free(&p->recent);
	if (p->tls != NULL)
		tls_context_free(&p->tls);
	if (p->conf != NULL) {
		sockets_unlink(p->conf, NULL);
		conf_unref(&p->conf);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* ---- counters --------------------------------------------------------- */

void
proxy_stats(const struct proxy *p, uint64_t out[STAT_COUNT])
{
	for (unsigned i = 0; i < STAT_COUNT; i++) {
		out[i] = 0;
		for (unsigned w = 0; w < p->worker_count; w++)
			out[i] += stats_get(
			    &p->workers[w]->stats, (enum stats_counter)i);
	}
}

void
proxy_gauges(const struct proxy *p, uint64_t *connections, uint64_t *flights)
{
	*connections = *flights = 0;
	for (unsigned w = 0; w < p->worker_count; w++) {
		*connections += atomic_load_explicit(
		    &p->workers[w]->open, memory_order_relaxed);
		*flights += atomic_load_explicit(
		    &p->workers[w]->flights, memory_order_relaxed);
	}
}

/* ---- tallies ---------------------------------------------------------- */

uint64_t
proxy_seed(struct proxy *p)
{
	return p->seed;
}

void
proxy_count_collected(struct proxy *p)
{
	if (atomic_fetch_sub(&p->collecting, 1) == 1)
		mailbox_post(p->collected);
}

void
proxy_collect(struct proxy *p, struct mailbox_note *done)
{
	check(atomic_load(&p->collecting) == 0);
	p->collected = done;
	atomic_store(&p->collecting, p->worker_count);
	for (unsigned w = 0; w < p->worker_count; w++)
		mailbox_post(&p->workers[w]->collect);
}

void
proxy_take_tallies(struct proxy *p,
    void (*visit)(void *arg, const struct tally *tally), void *arg)
{
	for (unsigned i = 0; i < p->worker_count; i++) {
		struct worker *w = p->workers[i];
		struct tally *full = atomic_exchange_explicit(
		    &w->full, NULL, memory_order_acquire);

		if (full != NULL) {
			visit(arg, full);
			tally_clear(full);
			atomic_store_explicit(
			    &w->empty, full, memory_order_release);
		}
		if (w->started && atomic_load(&w->done)) {
			visit(arg, w->tally);
			tally_clear(w->tally);
		}
	}
}
