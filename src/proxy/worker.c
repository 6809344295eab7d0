/*
 * A worker's life: made by the main thread, run by its own, asked to change or
 * to end by a note in its mailbox.
 *
 * What always holds: everything a worker owns is touched by its thread alone
 * once that runs; orders come through proxy_take_orders().
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/log.h"
#include "larder/thread.h"
#include "net/inherit.h"
#include "proxy/client.h"
#include "proxy/coded.h"
#include "proxy/collect.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/guard.h"
#include "proxy/orders.h"
#include "proxy/splice.h"
#include "proxy/tunnel.h"
#include "proxy/worker.h"

/* Idle connections kept to one origin, and to all, by one worker. As many as
 * are used at once: what is closed in a burst is opened again in the next. */
#define IDLE_PER_TARGET 128
#define IDLE_TOTAL	512

/* Idle clients given up at once when descriptors run out. */
#define STARVED_BATCH 8

struct worker_listener {
	struct list node;
	struct worker *w;
	struct listener *listener;
	union addr address;
	bool admin; /* of admin_listen */
};

const struct http_limits worker_limits = {
    .line = WORKER_LINE,
    .head = WORKER_HEAD,
    .fields = WORKER_FIELDS,
    .field = WORKER_LINE,
};

struct http_limits
worker_request_limits(const struct conf *conf)
{
	return (struct http_limits){
	    .line = conf->limit_request_line,
	    .head = conf->limit_head,
	    .fields = conf->limit_fields,
	    .field = conf->limit_field,
	};
}

static void
on_turn(void *arg)
{
	struct worker *w = arg;

	store_view_turn(w->view);
	w->moved = 0;
}

/* Others have more clients than places. */
static void
on_give_up(void *arg)
{
	struct worker *w = arg;
	bool starved;
	unsigned n = guard_asked(w->guard, w->index, &starved);

	while (n-- > 0 && (starved || guard_is_over(w->guard))) {
		int oldest = guard_oldest(w->guard);

		/* Another's may be older by now than what we have left. */
		if (oldest >= 0 && oldest != (int)w->index)
			guard_ask(w->guard, (unsigned)oldest, starved);
		else
			clients_give_up_idle(w);
	}
}

/* No descriptor is left: idle clients are worth less than whoever comes. */
static bool
on_starved(void *arg)
{
	struct worker *w = arg;
	unsigned n = 0;
	int oldest;

	while (n < STARVED_BATCH && clients_give_up_idle(w))
		n++;
	stats_add(&w->stats, STAT_starved, 1);
	if (guard_may_log(w->guard, loop_mono_ms(w->loop)))
		log_warnx("the limit on open files is reached: idle "
			  "connections are closed; raise it, or lower "
			  "limits.max_connections");
	oldest = guard_oldest(w->guard);
	if (n == 0 && oldest >= 0)
		guard_ask(w->guard, (unsigned)oldest, true);
	return n > 0;
}

static bool
on_accept_starved(void *arg)
{
	struct worker_listener *l = arg;

	return upstreams_give_up_idle(l->w->upstreams) || on_starved(l->w);
}

static struct upstream_options
upstream_options(struct worker *w, const struct conf *conf)
{
	return (struct upstream_options){
	    .starved = on_starved,
	    .starved_arg = w,
	    .connect_ms = conf->connect_timeout,
	    .idle_ms = conf->idle_timeout,
	    .idle_per_target = IDLE_PER_TARGET,
	    .idle_total = IDLE_TOTAL,
	};
}

/* What waits in the backlog of a socket that was handed over is for the next
 * larderd. */
static void
close_listener(struct worker_listener *l)
{
	if (inherit_has(&l->address))
		listener_leave(&l->listener);
	else
		listener_close(&l->listener);
	free(l);
}

static void
close_listeners(struct worker *w)
{
	struct list *node;

	while ((node = list_shift(&w->listeners)) != NULL)
		close_listener(
		    container_of(node, struct worker_listener, node));
}

static void
stop_if_drained(struct worker *w)
{
	if (w->draining && list_empty(&w->clients) && list_empty(&w->fetches) &&
	    list_empty(&w->tunnels))
		loop_stop(w->loop);
}

void
worker_check_drained(struct worker *w)
{
	stop_if_drained(w);
}

static void
abort_all(struct worker *w)
{
	clients_abort_all(w);
	tunnels_abort_all(w);
	fetches_abort_all(w);
	splices_abort_all(w);
}

static void
on_drain_deadline(void *arg)
{
	struct worker *w = arg;

	abort_all(w);
	loop_stop(w->loop);
}

static void
drain(struct worker *w, bool now)
{
	if (!w->draining) {
		w->draining = true;
		splices_abort_all(w);
		clients_close_idle(w);
		close_listeners(w);
		loop_timer_start(&w->drain_timer, w->conf->drain_timeout);
	}
	if (now)
		on_drain_deadline(w);
	stop_if_drained(w);
}

/* Addresses that the new configuration no longer has. */
static void
close_unlisted(struct worker *w, const struct conf *conf)
{
	list_each_safe (node, &w->listeners) {
		struct worker_listener *l =
		    container_of(node, struct worker_listener, node);
		bool kept = false;

		for (unsigned i = 0; i < conf->listen_count; i++)
			kept |= addr_equal(
			    &l->address, &conf->listen_addr[i], true);
		if (kept)
			continue;
		list_remove(&l->node);
		close_listener(l);
	}
}

/* Of an address that was taken away and given back before we looked. */
static bool
has_listener(const struct worker *w, const union addr *address)
{
	list_each (node, &w->listeners)
		if (addr_equal(&container_of(node, struct worker_listener, node)
				    ->address,
			address, true))
			return true;
	return false;
}

static void
reconfigure(struct worker *w, struct orders *orders)
{
	struct upstream_options options = upstream_options(w, orders->conf);

	for (unsigned i = 0; i < orders->socket_count; i++)
		if (w->draining || has_listener(w, &orders->sockets[i].address))
			close(orders->sockets[i].fd);
		else if (worker_listen(w, &orders->sockets[i].address,
			     orders->sockets[i].fd) < 0)
			log_warnx("worker %u: cannot listen: out of memory",
			    w->index);
	close_unlisted(w, orders->conf);
	list_each (node, &w->listeners) {
		struct worker_listener *l =
		    container_of(node, struct worker_listener, node);

		l->admin = conf_is_admin_address(orders->conf, &l->address);
	}
	upstreams_configure(w->upstreams, &options);
	conf_unref(&w->conf);
	w->conf = orders->conf;
}

static void
on_control(void *arg)
{
	struct worker *w = arg;
	struct orders orders;

	while (proxy_take_orders(w->proxy, w->index, &orders)) {
		if (orders.conf != NULL)
			reconfigure(w, &orders);
		free(orders.sockets);
		if (orders.drain)
			drain(w, orders.drain_now);
	}
}

static void
on_ask(void *arg)
{
	struct worker *w = arg;

	atomic_store(&w->silent, false);
}

void
worker_ask(struct worker *w)
{
	atomic_store(&w->silent, true);
	mailbox_post(&w->ask);
}

bool
worker_answered(const struct worker *w)
{
	return !atomic_load(&w->silent) || atomic_load(&w->done);
}

static void
on_accept(void *arg, int fd, const union addr *peer)
{
	struct worker_listener *l = arg;

	client_new(l->w, fd, peer, l->admin);
}

int
worker_listen(struct worker *w, const union addr *address, int fd)
{
	struct worker_listener *l = calloc(1, sizeof(*l));
	int err;

	if (l == NULL) {
		close(fd);
		return LARDER_NOMEM;
	}
	err = listener_new(&l->listener, w->loop, fd, on_accept, l);
	if (err < 0) {
		free(l);
		return err;
	}
	listener_on_starved(l->listener, on_accept_starved);
	l->w = w;
	l->address = *address;
	l->admin = conf_is_admin_address(w->conf, address);
	list_append(&w->listeners, &l->node);
	return 0;
}

int
worker_new(
    struct worker **out, struct proxy *proxy, unsigned index, struct conf *conf)
{
	struct worker *w = calloc(1, sizeof(*w));
	struct upstream_options options = upstream_options(w, conf);
	int err;

	if (w == NULL)
		return LARDER_NOMEM;
	w->proxy = proxy;
	w->index = index;
	w->conf = conf_ref(conf);
	list_init(&w->listeners);
	w->guard = proxy_guard(proxy);
	list_init(&w->clients);
	list_init(&w->idle);
	list_init(&w->spare);
	list_init(&w->fetches);
	list_init(&w->tunnels);
	list_init(&w->splices);
	if ((err = loop_new(&w->loop, on_turn, w)) < 0 ||
	    (err = mailbox_new(&w->mailbox, w->loop)) < 0 ||
	    (err = resolver_new(&w->resolver, w->loop)) < 0 ||
	    (err = upstreams_new(&w->upstreams, w->loop, w->resolver,
		 proxy_tls(proxy), &options)) < 0 ||
	    (err = collect_init(w)) < 0 || (err = coded_new(&w->coded)) < 0 ||
	    (err = store_view_open(proxy_store(proxy), &w->view)) < 0) {
		worker_free(&w);
		return err;
	}
	mailbox_note_init(&w->control, w->mailbox, on_control, w);
	mailbox_note_init(&w->ask, w->mailbox, on_ask, w);
	mailbox_note_init(&w->give_up, w->mailbox, on_give_up, w);
	guard_set_note(w->guard, index, &w->give_up);
	loop_timer_init(&w->drain_timer, w->loop, on_drain_deadline, w);
	*out = w;
	return 0;
}

void
worker_join(struct worker *w)
{
	if (w != NULL && w->started)
		pthread_join(w->thread, NULL);
}

void
worker_free(struct worker **worker)
{
	struct worker *w = *worker;

	*worker = NULL;
	if (w == NULL)
		return;
	if (w->loop != NULL) {
		close_listeners(w);
		abort_all(w);
		loop_timer_release(&w->drain_timer);
	}
	if (w->upstreams != NULL)
		upstreams_free(&w->upstreams);
	if (w->resolver != NULL)
		resolver_free(&w->resolver);
	exchange_free_spares(w);
	if (w->mailbox != NULL)
		mailbox_free(&w->mailbox);
	if (w->loop != NULL)
		loop_free(&w->loop);
	if (w->view != NULL)
		store_view_close(&w->view);
	collect_release(w);
	coded_free(&w->coded);
	pipes_release(&w->pipes);
	conf_unref(&w->conf);
	free(w);
}

static void *
run(void *arg)
{
	struct worker *w = arg;

	loop_run(w->loop);
	atomic_store(&w->done, true);
	return NULL;
}

int
worker_start(struct worker *w)
{
	char name[16];
	int err;

	snprintf(name, sizeof(name), "worker/%u", w->index);
	err = thread_start(&w->thread, name, run, w);
	w->started = !err;
	return err;
}

int64_t
worker_now(struct worker *w)
{
	return loop_wall_ms(w->loop) / 1000;
}

const char *
worker_date(struct worker *w)
{
	int64_t now = worker_now(w);

	if (w->date_at != now || w->date[0] == '\0') {
		http_date_format(now, w->date);
		w->date_at = now;
	}
	return w->date;
}
