/*
 * The seams are the linker's (--wrap, see the Makefile): connect() becomes one
 * end of a socketpair, timers become ours, names resolve to nothing outside,
 * and the clock is the one below instead of base/clock.c.
 */
#include "exchange_world.h"

#include "exchange_wire.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conf/conf.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "larder/store.h"
#include "net/resolve.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/orders.h"
#include "proxy/proxy.h"
#include "proxy/worker.h"

#define START_MS   INT64_C(1700000000000)
#define TIMERS_MAX 4096

int __real_connect(int fd, const struct sockaddr *to, socklen_t n);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t n);
int __real_setsockopt(int, int, int, const void *, socklen_t);
int __wrap_setsockopt(int, int, int, const void *, socklen_t);
ssize_t __real_recv(int fd, void *p, size_t n, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t n, int flags);
int __real_event_add(struct event *event, const struct timeval *tv);
int __wrap_event_add(struct event *event, const struct timeval *tv);
void __real_event_free(struct event *event);
void __wrap_event_free(struct event *event);
int __real_worker_new(struct worker **out, struct proxy *proxy, unsigned index,
    struct conf *conf);
int __wrap_worker_new(struct worker **out, struct proxy *proxy, unsigned index,
    struct conf *conf);
int __real_store_create(
    struct store *store, const struct store_new *new, struct blob **out);
int __wrap_store_create(
    struct store *store, const struct store_new *new, struct blob **out);
int __real_resolve_start(struct resolver *resolver, struct bytes host,
    uint16_t port, struct resolve_answer *answer, struct resolve **out,
    resolve_fn *fn, void *arg);
int __wrap_resolve_start(struct resolver *resolver, struct bytes host,
    uint16_t port, struct resolve_answer *answer, struct resolve **out,
    resolve_fn *fn, void *arg);

static struct {
	bool made;
	struct store *store;
	struct proxy *proxy;
	struct worker *worker;
	struct loop_task stop;
	struct list links, fresh;
	char folder[4096];
} world;

/* ---- time ------------------------------------------------------------- */

static _Atomic int64_t passed_ms;

static struct {
	struct event *event;
	int64_t at;
} timers[TIMERS_MAX];
static unsigned timer_count;

int64_t
clock_wall_ms(void)
{
	return START_MS + atomic_load(&passed_ms);
}

int64_t
clock_mono_ms(void)
{
	return 1000 + atomic_load(&passed_ms);
}

int64_t
clock_mono_us(void)
{
	return clock_mono_ms() * 1000;
}

int64_t
clock_cpu_us(void)
{
	return clock_mono_us();
}

int64_t
world_now(void)
{
	return clock_wall_ms() / 1000;
}

static void
forget_timer(const struct event *event)
{
	for (unsigned i = 0; i < timer_count; i++)
		if (timers[i].event == event)
			timers[i--] = timers[--timer_count];
}

int
__wrap_event_add(struct event *event, const struct timeval *tv)
{
	if (tv == NULL || event_get_fd(event) != -1)
		return __real_event_add(event, tv);
	forget_timer(event);
	check(timer_count < TIMERS_MAX);
	timers[timer_count].event = event;
	timers[timer_count++].at = atomic_load(&passed_ms) +
				   (int64_t)tv->tv_sec * 1000 +
				   tv->tv_usec / 1000;
	return 0;
}

void
__wrap_event_free(struct event *event)
{
	forget_timer(event);
	__real_event_free(event);
}

bool
world_advance(int64_t ms)
{
	int64_t until = atomic_load(&passed_ms) + ms, first = until;
	bool fired = false;

	for (unsigned i = 0; i < timer_count; i++)
		if (timers[i].at < first)
			first = timers[i].at;
	if (first > atomic_load(&passed_ms))
		atomic_store(&passed_ms, first);
	for (unsigned i = 0; i < timer_count; i++)
		if (timers[i].at <= first) {
			event_active(timers[i].event, EV_TIMEOUT, 1);
			timers[i--] = timers[--timer_count];
			fired = true;
		}
	return fired;
}

/* ---- links ------------------------------------------------------------ */

static struct link *
new_link(int fd, int theirs)
{
	struct link *link = calloc(1, sizeof(*link));

	check(link != NULL);
	link->fd = fd;
	link->theirs = theirs;
	list_append(&world.links, &link->node);
	return link;
}

static void
pair(int fds[2])
{
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
		  fds) == 0);
}

/* The youngest with that number: older ones have been closed. */
static struct link *
link_of(int theirs)
{
	struct link *found = NULL;

	list_each (node, &world.links) {
		struct link *l = container_of(node, struct link, node);

		if (l->theirs == theirs && !l->ended)
			found = l;
	}
	return found;
}

struct fresh {
	struct list node;
	struct link *link;
};

int
__wrap_connect(int fd, const struct sockaddr *to, socklen_t n)
{
	struct fresh *fresh;
	uint16_t port;
	int fds[2];

	if (to->sa_family != AF_INET && to->sa_family != AF_INET6)
		return __real_connect(fd, to, n);
	port = ntohs(
	    to->sa_family == AF_INET
		? ((const struct sockaddr_in *)(const void *)to)->sin_port
		: ((const struct sockaddr_in6 *)(const void *)to)->sin6_port);
	/* One where nobody listens. */
	if (port == 1) {
		errno = ECONNREFUSED;
		return -1;
	}
	pair(fds);
	check(dup3(fds[1], fd, O_CLOEXEC) == fd);
	close(fds[1]);
	fresh = calloc(1, sizeof(*fresh));
	fresh->link = new_link(fds[0], fd);
	fresh->link->port = port;
	list_append(&world.fresh, &fresh->node);
	return 0;
}

int
__wrap_setsockopt(
    int fd, int level, int name, const void *value, socklen_t size)
{
	if (level == SOL_SOCKET && name == SO_LINGER) {
		struct link *link = link_of(fd);

		if (link != NULL)
			link->reset = true;
	}
	return __real_setsockopt(fd, level, name, value, size);
}

/* A socketpair has no resets of its own. */
ssize_t
__wrap_recv(int fd, void *p, size_t n, int flags)
{
	ssize_t got = __real_recv(fd, p, n, flags);

	if (got == 0) {
		struct link *link = link_of(fd);

		if (link != NULL && link->aborted) {
			errno = ECONNRESET;
			return -1;
		}
	}
	return got;
}

/* No name server is asked: names end in ".example", or there are none. */
int
__wrap_resolve_start(struct resolver *resolver, struct bytes host,
    uint16_t port, struct resolve_answer *answer, struct resolve **out,
    resolve_fn *fn, void *arg)
{
	const struct bytes known = BYTES(".example");
	union addr numeric;

	if (addr_parse_ip(host, port, &numeric) != 0)
		host =
		    host.n > known.n &&
			    bytes_eq(bytes_skip(host, host.n - known.n), known)
			? BYTES("192.0.2.7")
			: BYTES("");
	return __real_resolve_start(resolver, host, port, answer, out, fn, arg);
}

struct link *
world_client(void)
{
	union addr peer;
	struct link *link;
	int fds[2];

	memset(&peer, 0, sizeof(peer));
	peer.sa.sa_family = AF_UNIX;
	pair(fds);
	link = new_link(fds[0], fds[1]);
	client_new(world.worker, fds[1], &peer, false);
	return link;
}

struct link *
world_accept(void)
{
	struct list *node = list_shift(&world.fresh);
	struct fresh *fresh;
	struct link *link;

	if (node == NULL)
		return NULL;
	fresh = container_of(node, struct fresh, node);
	link = fresh->link;
	free(fresh);
	return link;
}

void
link_close(struct link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
}

void
link_abort(struct link *link)
{
	link->aborted = true;
	link_close(link);
}

static void
free_link(struct link **out)
{
	struct link *link = *out;

	*out = NULL;
	link_close(link);
	list_remove(&link->node);
	free(link->in);
	free(link->out);
	free(link);
}

static void
grow(char **p, size_t *size, size_t need)
{
	if (need <= *size)
		return;
	*size = need * 2;
	*p = realloc(*p, *size);
	check(*p != NULL);
}

void
link_put(struct link *link, const void *p, size_t n)
{
	if (n == 0)
		return;
	grow(&link->out, &link->out_size, link->out_n + n);
	memcpy(link->out + link->out_n, p, n);
	link->out_n += n;
}

void
link_drop(struct link *link, size_t n)
{
	check(n <= link->in_n);
	if (n > 0)
		memmove(link->in, link->in + n, link->in_n - n);
	link->in_n -= n;
}

static bool
write_some(struct link *l)
{
	size_t n = l->out_allowed < l->out_n ? l->out_allowed : l->out_n;
	bool moved = false;

	while (l->fd >= 0 && !l->half && l->out_sent < n) {
		ssize_t sent = send(
		    l->fd, l->out + l->out_sent, n - l->out_sent, MSG_NOSIGNAL);

		if (sent <= 0) {
			if (errno != EAGAIN)
				l->half = true;
			break;
		}
		l->out_sent += (size_t)sent;
		moved = true;
	}
	if (l->fd >= 0 && l->out_sent == l->out_n) {
		if (l->abort_behind) {
			link_abort(l);
			return true;
		}
		if (l->close_behind && !l->half) {
			l->half = true;
			shutdown(l->fd, SHUT_WR);
			return true;
		}
	}
	return moved;
}

static bool
read_some(struct link *l)
{
	bool moved = false;

	while (l->fd >= 0 && !l->ended && !l->deaf) {
		ssize_t n;

		grow(&l->in, &l->in_size, l->in_n + 65536);
		n = __real_recv(l->fd, l->in + l->in_n, 65536, 0);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			l->ended = true;
			l->reset |= n < 0;
			return true;
		}
		l->in_n += (size_t)n;
		moved = true;
	}
	return moved;
}

bool
world_pump(void)
{
	bool moved = false;

	list_each_safe (node, &world.links) {
		struct link *l = container_of(node, struct link, node);

		moved |= write_some(l);
		moved |= read_some(l);
	}
	return moved;
}

/* ---- larder ----------------------------------------------------------- */

int
__wrap_worker_new(
    struct worker **out, struct proxy *proxy, unsigned index, struct conf *conf)
{
	int err = __real_worker_new(out, proxy, index, conf);

	world.worker = *out;
	return err;
}

static void
on_stop(void *arg)
{
	loop_stop(arg);
}

void
world_turn(void)
{
	loop_task_start(world.worker->loop, &world.stop);
	loop_run(world.worker->loop);
}

static bool
waits_for_store(const struct exchange *x)
{
	return x->step == STEP_OPEN ||
	       (x->step == STEP_DELIVER &&
		   (x->from_store || list_empty(&x->w->fetches)));
}

bool
world_is_busy(void)
{
	list_each (node, &world.worker->clients) {
		struct client *c = container_of(node, struct client, node);

		if (c->exchange != NULL && waits_for_store(c->exchange))
			return true;
	}
	list_each (node, &world.worker->fetches) {
		struct fetch *f = container_of(node, struct fetch, node);

		if (f->state == FETCH_MERGING ||
		    (f->state == FETCH_BODY && f->blob != NULL &&
			blob_room(f->blob) == 0))
			return true;
	}
	return false;
}

bool
world_is_idle(void)
{
	return list_empty(&world.worker->clients) &&
	       list_empty(&world.worker->fetches) &&
	       list_empty(&world.worker->tunnels);
}

void
world_describe(void)
{
	list_each (node, &world.worker->clients) {
		struct client *c = container_of(node, struct client, node);

		fprintf(stderr, "client %d: step %d\n", conn_fd(c->conn),
		    c->exchange ? (int)c->exchange->step : -1);
	}
	list_each (node, &world.worker->fetches) {
		struct fetch *f = container_of(node, struct fetch, node);

		fprintf(stderr, "fetch: state %d, room %zu, of %.*s\n",
		    (int)f->state, f->blob ? blob_room(f->blob) : 0,
		    BYTES_FMT(f->key));
	}
	fprintf(stderr, "busy %d, timers %u, past %lld ms\n", world_is_busy(),
	    timer_count, (long long)atomic_load(&passed_ms));
	for (unsigned i = 0; i < timer_count; i++)
		fprintf(stderr, "timer at %lld\n", (long long)timers[i].at);
}

/*
 * The keys are those that the store was asked for, which --wrap tells us.
 */
#define KEYS_MAX 256

static struct {
	char *p;
	size_t n;
} keys[KEYS_MAX];
static unsigned key_count;

int
__wrap_store_create(
    struct store *store, const struct store_new *new, struct blob **out)
{
	bool known = !new->storable || key_count == KEYS_MAX;

	for (unsigned i = 0; i < key_count && !known; i++)
		known = bytes_eq(bytes_of(keys[i].p, keys[i].n), new->key);
	if (!known) {
		keys[key_count].p = malloc(new->key.n);
		check(keys[key_count].p != NULL);
		memcpy(keys[key_count].p, new->key.p, new->key.n);
		keys[key_count++].n = new->key.n;
	}
	return __real_store_create(store, new, out);
}

void
world_clear(void)
{
	struct list *node;

	while ((node = world.links.next) != &world.links) {
		struct link *link = container_of(node, struct link, node);

		free_link(&link);
	}
	while (key_count > 0) {
		key_count--;
		store_remove(world.store,
		    bytes_of(keys[key_count].p, keys[key_count].n), 0);
		free(keys[key_count].p);
	}
}

static int
on_file(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st;
	(void)what;
	(void)at;
	return remove(path);
}

static void
clean_up(void)
{
	nftw(world.folder, on_file, 16, FTW_DEPTH | FTW_PHYS);
}

static void
write_conf(const char *file)
{
	FILE *f = fopen(file, "w");

	check(f != NULL);
	fprintf(f,
	    "listen = {\"unix:%s/listen\"}\nworkers = 1\n"
	    "admin_socket = \"%s/admin\"\naccess_log = \"/dev/null\"\n"
	    "access_log_format = \"json\"\nlog_level = \"error\"\n"
	    "cache { path = \"%s/store\" size = \"64M\" memory = \"512K\" "
	    "max_object = \"400K\" }\n"
	    "access { destinations = {\"0.0.0.0/0\", \"::/0\"} }\n"
	    "site \"cdn.example\" { origin = \"http://127.0.0.1:8000\" "
	    "targeted = \"CDN-Cache-Control\" strict_cookies = true }\n"
	    "site \"down.example\" { origin = \"http://127.0.0.1:1\" }\n"
	    "site \"*\" { origin = \"http://127.0.0.1:8000\" }\n"
	    "rule { match = \"*/immutable*\" immutable = true }\n"
	    "rule { match = \"*/whole*\" fetch_whole = true "
	    "ignore_reload = true }\n"
	    "rule { match = \"*/plain*\" compress = false }\n",
	    world.folder, world.folder, world.folder);
	fclose(f);
}

void
world_set_up(void)
{
	const char *base = getenv("LARDER_FUZZ_DIR");
	char path[4200], error[512], *why = NULL;
	struct store_options options = {.size = 64 << 20,
	    .memory = 512 << 10,
	    .max_object = 400 << 10,
	    .path = path};
	struct conf *conf;

	if (world.made)
		return;
	world.made = true;
	signal(SIGPIPE, SIG_IGN);
	list_init(&world.links);
	list_init(&world.fresh);
	snprintf(world.folder, sizeof(world.folder), "%s/larder-fuzz-XXXXXX",
	    base ? base : "/dev/shm");
	check(mkdtemp(world.folder) != NULL);
	atexit(clean_up);
	snprintf(path, sizeof(path), "%s/conf", world.folder);
	write_conf(path);
	if (conf_load(path, &conf, &why) != 0)
		wire_fail("the configuration", bytes_str(why));
	log_set_level(conf->log_level);
	snprintf(path, sizeof(path), "%s/store", world.folder);
	check(store_open(&world.store, &options, error, sizeof(error)) == 0);
	check(proxy_open(
		  &world.proxy, conf, world.store, error, sizeof(error)) == 0);
	conf_unref(&conf);
	check(world.worker != NULL);
	loop_task_init(&world.stop, on_stop, world.worker->loop);
}
