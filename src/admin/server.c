#include "admin/server.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/report.h"
#include "admin/runner.h"
#include "admin/socket.h"
#include "admin/top.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "net/loop.h"
#include "proxy/worker.h"

#define IDLE_SECONDS  60
#define HEADERS_MAX   (64 * 1024)
#define BODY_MAX      (16 * 1024 * 1024)
/* What a check of doctor may take. */
#define PROBE_SECONDS 30

struct server {
	struct server_options options;
	char *path;
	struct stat id; /* of the socket's file */
	struct evhttp *http;
	struct runner *runner;
	int64_t started; /* clock_mono_ms() */
};

/* A request whose job runs. */
struct pending {
	struct runner_task task;
	struct server *server;
	struct evhttp_request *request; /* NULL: its client has left */
};

/* ---- answers ---------------------------------------------------------- */

static int
status_of(int rc)
{
	if (rc == 0)
		return 200;
	return rc == LARDER_INVALID ? 400 : 500;
}

/* Takes the answer. */
static void
reply(struct evhttp_request *request, int status, json_t *answer)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *out = evhttp_request_get_output_buffer(request);
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	evhttp_add_header(headers, "Content-Type", "application/json");
	if (text)
		evbuffer_add_printf(out, "%s\n", text);
	else
		evbuffer_add_printf(out, "{\"error\": \"out of memory\"}\n");
	evhttp_send_reply(request, text ? status : 500, NULL, NULL);
	free(text);
	json_decref(answer);
}

static void
reply_error(struct evhttp_request *request, int status, const char *text)
{
	reply(request, status,
	    json_pack("{s:o}", "error", job_text(bytes_str(text))));
}

/* ---- answered at once ------------------------------------------------- */

static void
on_ping(struct server *s, struct evhttp_request *request)
{
	(void)s;
	reply(request, 200,
	    json_pack("{s:b, s:I}", "running", 1, "pid", (json_int_t)getpid()));
}

static void
on_version(struct server *s, struct evhttp_request *request)
{
	(void)s;
	reply(request, 200, json_pack("{s:s}", "version", LARDER_VERSION));
}

/* Of a verify that runs. */
static void
on_progress(struct server *s, struct evhttp_request *request)
{
	struct store_stats stats;

	store_stats(s->options.store, &stats);
	reply(request, 200,
	    json_pack("{s:{s:I, s:I}, s:{s:I, s:I}}", "verify", "done",
		(json_int_t)stats.verified, "of", (json_int_t)stats.objects,
		"gc", "done", (json_int_t)stats.gc_done, "of",
		(json_int_t)stats.gc_of));
}

static void
on_top(struct server *s, struct evhttp_request *request)
{
	reply(request, 200, top_report(*s->options.proxy));
}

static void
on_reload(struct server *s, struct evhttp_request *request)
{
	char *why = NULL;

	if (s->options.reload(s->options.arg, &why) == 0)
		reply(request, 200, json_pack("{s:b}", "reloaded", 1));
	else
		reply_error(request, 409, why ? why : "out of memory");
	free(why);
}

/* ---- jobs ------------------------------------------------------------- */

static void
on_left(struct evhttp_connection *connection, void *arg)
{
	struct pending *p = arg;

	(void)connection;
	p->request = NULL;
}

static void
note_purge(struct server *s, const json_t *answer)
{
	struct store_removed what;

	if (job_purge_result(answer, &what))
		census_purged(s->options.census, &what);
}

static void
on_done(struct runner_task *task)
{
	struct pending *p = container_of(task, struct pending, task);

	if (task->job == job_purge && task->rc == 0)
		note_purge(p->server, task->answer);
	if (p->request) {
		evhttp_connection_set_closecb(
		    evhttp_request_get_connection(p->request), NULL, NULL);
		reply(p->request, status_of(task->rc), task->answer);
	} else {
		json_decref(task->answer);
	}
	evhttp_clear_headers(&task->args);
	conf_unref(&task->conf);
	free(p);
}

/* What a form in the body says, or else the query, into *args. */
static int
read_args(struct evhttp_request *request, struct evkeyvalq *args)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(request);
	const char *query =
	    evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
	const char *body;

	if (evbuffer_add(in, "", 1) != 0)
		return LARDER_NOMEM;
	body = (const char *)evbuffer_pullup(in, -1);
	if (*body == '\0')
		body = query ? query : "";
	return evhttp_parse_query_str(body, args) == 0 ? 0 : LARDER_INVALID;
}

/* port=: doctor's own origin, for a moment; 0: no more. */
static void
on_probe(struct server *s, struct evhttp_request *request)
{
	struct evkeyvalq args;
	const char *text;
	uint64_t port = 0;

	if (read_args(request, &args) < 0) {
		reply_error(request, 400, "the arguments cannot be read");
		return;
	}
	text = evhttp_find_header(&args, "port");
	if (text == NULL || !bytes_decimal(bytes_str(text), 65535, &port)) {
		reply_error(request, 400, "port: write a number up to 65535");
	} else {
		proxy_admit_probe(*s->options.proxy, (uint16_t)port,
		    clock_mono_ms() + PROBE_SECONDS * 1000);
		reply(
		    request, 200, json_pack("{s:I}", "port", (json_int_t)port));
	}
	evhttp_clear_headers(&args);
}

static void
submit(struct server *s, struct evhttp_request *request, job_fn *job)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (p == NULL || read_args(request, &p->task.args) < 0) {
		free(p);
		reply_error(request, 400, "the arguments cannot be read");
		return;
	}
	p->server = s;
	p->request = request;
	p->task.job = job;
	p->task.conf = proxy_conf(*s->options.proxy);
	p->task.flights = proxy_flights(*s->options.proxy);
	p->task.done = on_done;
	evhttp_connection_set_closecb(
	    evhttp_request_get_connection(request), on_left, p);
	runner_submit(s->runner, &p->task);
}

/* ---- stats ------------------------------------------------------------ */

/* A request that waits for the workers' tallies. */
struct asked {
	struct census_wait wait;
	struct server *server;
	struct evhttp_request *request; /* NULL: its client has left */
	struct evkeyvalq args;
};

static void
on_asker_left(struct evhttp_connection *connection, void *arg)
{
	struct asked *a = arg;

	(void)connection;
	a->request = NULL;
}

static void
tell_stats(
    struct server *s, struct evhttp_request *request, struct evkeyvalq *args)
{
	const struct server_options *o = &s->options;
	struct report_now now = {
	    .uptime = (clock_mono_ms() - s->started) / 1000};
	struct report report = {o->census, o->store, NULL, &now};
	json_t *answer = NULL;
	int rc;

	proxy_gauges(*o->proxy, &now.connections, &now.flights);
	rc = report_stats(&report, args, &answer);
	reply(request, status_of(rc), answer);
}

static void
on_counted(void *arg)
{
	struct asked *a = arg;
	if (a->request) {
		evhttp_connection_set_closecb(
		    evhttp_request_get_connection(a->request), NULL, NULL);
		tell_stats(a->server, a->request, &a->args);
	}
	evhttp_clear_headers(&a->args);
	free(a);
}

static void
on_stats(struct server *s, struct evhttp_request *request)
{
	struct asked *a = calloc(1, sizeof(*a));

	if (a == NULL || read_args(request, &a->args) < 0) {
		free(a);
		reply_error(request, 400, "the arguments cannot be read");
		return;
	}
	a->server = s;
	a->request = request;
	evhttp_connection_set_closecb(
	    evhttp_request_get_connection(request), on_asker_left, a);
	census_wait(s->options.census, &a->wait, on_counted, a);
}

/* ---- routes ----------------------------------------------------------- */

static const struct route {
	const char *path;
	enum evhttp_cmd_type method;
	void (*now)(struct server *s, struct evhttp_request *request);
	job_fn *job;
} routes[] = {
    {"/ping", EVHTTP_REQ_GET, on_ping, NULL},
    {"/version", EVHTTP_REQ_GET, on_version, NULL},
    {"/stats", EVHTTP_REQ_GET, on_stats, NULL},
    {"/top", EVHTTP_REQ_GET, on_top, NULL},
    {"/progress", EVHTTP_REQ_GET, on_progress, NULL},
    {"/probe", EVHTTP_REQ_POST, on_probe, NULL},
    {"/ls", EVHTTP_REQ_GET, NULL, job_ls},
    {"/explain", EVHTTP_REQ_GET, NULL, job_explain},
    {"/purge", EVHTTP_REQ_POST, NULL, job_purge},
    {"/gc", EVHTTP_REQ_POST, NULL, job_gc},
    {"/verify", EVHTTP_REQ_POST, NULL, job_verify},
    {"/reload", EVHTTP_REQ_POST, on_reload, NULL},
};

static void
on_request(struct evhttp_request *request, void *arg)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
	const struct route *route = NULL;

	for (size_t i = 0; path && i < ARRAY_SIZE(routes); i++)
		if (strcmp(path, routes[i].path) == 0)
			route = &routes[i];
	if (route == NULL)
		reply_error(request, 404, "there is no such command");
	else if (evhttp_request_get_command(request) != route->method)
		reply_error(request, 405,
		    route->method == EVHTTP_REQ_GET ? "use GET" : "use POST");
	else if (route->now)
		route->now(arg, request);
	else
		submit(arg, request, route->job);
}

/* ---- opening ---------------------------------------------------------- */

static int
listen_on(struct server *s, char *why, size_t why_size)
{
	int fd, rc = socket_listen(s->path, &fd, &s->id, why, why_size);
	struct evconnlistener *listener;

	if (rc < 0)
		return rc;
	listener = evconnlistener_new(loop_base(s->options.loop), NULL, NULL,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (listener && evhttp_bind_listener(s->http, listener) != NULL)
		return 0;
	if (listener)
		evconnlistener_free(listener);
	else
		close(fd);
	socket_remove(s->path, &s->id);
	return LARDER_NOMEM;
}

int
server_open(struct server **out, const struct server_options *options,
    char *why, size_t why_size)
{
	struct server *s = calloc(1, sizeof(*s));
	int rc = LARDER_NOMEM;

	*out = NULL;
	snprintf(why, why_size, "%s", larder_strerror(rc));
	if (s == NULL)
		return rc;
	s->options = *options;
	s->started = clock_mono_ms();
	s->path = strdup(options->socket);
	s->http = evhttp_new(loop_base(options->loop));
	if (s->http && s->path)
		rc = runner_new(&s->runner, options->loop, options->store);
	if (rc == 0) {
		evhttp_set_gencb(s->http, on_request, s);
		evhttp_set_allowed_methods(
		    s->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
		evhttp_set_timeout(s->http, IDLE_SECONDS);
		evhttp_set_max_headers_size(s->http, HEADERS_MAX);
		evhttp_set_max_body_size(s->http, BODY_MAX);
		rc = listen_on(s, why, why_size);
	}
	if (rc == 0) {
		*out = s;
		return 0;
	}
	s->id = (struct stat){0};
	server_free(&s);
	return rc;
}

struct runner *
server_runner(struct server *s)
{
	return s->runner;
}

void
server_free(struct server **server)
{
	struct server *s = *server;

	*server = NULL;
	if (s == NULL)
		return;
	/* Its answers go to connections that evhttp_free() then closes. */
	runner_free(&s->runner);
	if (s->http)
		evhttp_free(s->http);
	if (s->path)
		socket_remove(s->path, &s->id);
	free(s->path);
	free(s);
}
