/*
 * visits_receive() ──> inbox ── on_note ──> WAITING (for the census, or a job)
 *        WAITING ── answered ──> ENDING ── all is written ──> (freed)
 *        WAITING ── VISIT_EVENTS ──> STAYING ── it left, or is slow ──> (freed)
 */
#include "admin/visits.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/page.h"
#include "admin/report.h"
#include "admin/runner.h"
#include "http/date.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "net/loop.h"
#include "net/mailbox.h"

/* What is known of the newest and largest objects is this old at most, or
 * twenty times what it takes to find them. */
#define OBJECTS_MS     (30 * 1000)
#define OBJECTS_FACTOR 20
/* In the kernel, for a visit that stays, in bytes */
#define SEND_BUFFER    (32 * 1024)
#define JSON_TYPE      "application/json"
#define METRICS_TYPE   "text/plain; version=0.0.4; charset=utf-8"

struct visit {
	struct list node; /* in inbox, or in all */
	struct visits *owner;
	enum visit_kind kind;
	bool head, ending, staying;
	bool is_event;	   /* counted in events */
	struct work *work; /* that it waits for, or NULL */
	char *query;
	int fd; /* until bev has it */
	struct bufferevent *bev;
	struct census_wait wait;
	int64_t took_at; /* loop_mono_ms(): all was written */
};

/* A job: it outlives its visit, if that leaves. */
struct work {
	struct runner_task task;
	struct visits *owner;
	struct visit *visit; /* NULL: gone, or none */
	int64_t began;	     /* loop_mono_ms() */
};

struct visits {
	struct visits_options o;
	struct mailbox *box;
	struct mailbox_note note; /* something is in inbox */
	pthread_mutex_t lock;
	struct list inbox; /* under lock */
	bool closed;	   /* under lock */
	struct list all;
	unsigned count, events, staying;
	struct loop_timer tick;
	struct census_wait wait; /* of the tick */
	struct work *walk;	 /* that runs for objects; or NULL */
	json_t *objects;	 /* of report_objects(); or NULL */
	int64_t objects_until;	 /* loop_mono_ms(): then they are old */
	int64_t started;	 /* clock_mono_ms() */
};

struct visit *
visit_new(enum visit_kind kind, bool head, struct bytes query)
{
	struct visit *v = calloc(1, sizeof(*v));

	if (v == NULL)
		return NULL;
	list_init(&v->node);
	list_init(&v->wait.node);
	v->kind = kind;
	v->head = head;
	v->fd = -1;
	v->query = strndup(query.n ? query.p : "", query.n);
	if (v->query)
		return v;
	free(v);
	return NULL;
}

static void
visit_free(struct visit *v)
{
	if (v->bev)
		bufferevent_free(v->bev);
	else if (v->fd >= 0)
		close(v->fd);
	free(v->query);
	free(v);
}

static void
visit_end(struct visit *v)
{
	struct visits *s = v->owner;

	list_remove(&v->node);
	census_forget(&v->wait);
	if (v->work)
		v->work->visit = NULL;
	s->count--;
	s->events -= v->is_event;
	s->staying -= v->staying;
	if (s->staying == 0)
		loop_timer_stop(&s->tick);
	visit_free(v);
}

/* ---- answers ---------------------------------------------------------- */

static const char *
status_line(int status)
{
	switch (status) {
	case 200:
		return "200 OK";
	case 400:
		return "400 Bad Request";
	case 503:
		return "503 Service Unavailable";
	default:
		return "500 Internal Server Error";
	}
}

static void
write_head(struct visit *v, int status, const char *type)
{
	char date[HTTP_DATE_SIZE];

	http_date_format(clock_wall_ms() / 1000, date);
	evbuffer_add_printf(bufferevent_get_output(v->bev),
	    "HTTP/1.1 %s\r\nDate: %s\r\nVia: 1.1 larder\r\n%s"
	    "Content-Type: %s\r\nConnection: close\r\n",
	    status_line(status), date, PAGE_FIELDS, type);
}

/* All of it; the connection ends with it. */
static void
answer(struct visit *v, int status, const char *type, struct evbuffer *body)
{
	struct evbuffer *out = bufferevent_get_output(v->bev);

	v->ending = true;
	write_head(v, status, type);
	evbuffer_add_printf(
	    out, "Content-Length: %zu\r\n\r\n", evbuffer_get_length(body));
	if (!v->head)
		evbuffer_add_buffer(out, body);
}

/* Takes it. */
static void
answer_json(struct visit *v, int status, json_t *o)
{
	char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	struct evbuffer *body = evbuffer_new();

	if (body && text)
		evbuffer_add_printf(body, "%s\n", text);
	if (body)
		answer(v, text ? status : 500, JSON_TYPE, body);
	if (body)
		evbuffer_free(body);
	else
		visit_end(v);
	free(text);
	json_decref(o);
}

/* ---- what is told ----------------------------------------------------- */

static void on_walked(struct runner_task *task);

static struct work *
submit(struct visits *s, job_fn *job, void (*done)(struct runner_task *task),
    struct visit *visit)
{
	struct work *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->owner = s;
	w->visit = visit;
	w->began = loop_mono_ms(s->o.loop);
	w->task.job = job;
	w->task.conf = proxy_conf(*s->o.proxy);
	w->task.flights = proxy_flights(*s->o.proxy);
	w->task.done = done;
	TAILQ_INIT(&w->task.args);
	if (visit && evhttp_parse_query_str(visit->query, &w->task.args) != 0) {
		conf_unref(&w->task.conf);
		free(w);
		return NULL;
	}
	return w;
}

static void
work_free(struct work *w)
{
	evhttp_clear_headers(&w->task.args);
	conf_unref(&w->task.conf);
	json_decref(w->task.answer);
	free(w);
}

/* In the background; until then what was known before is told. */
static void
look_for_objects(struct visits *s)
{
	if (s->walk || loop_mono_ms(s->o.loop) < s->objects_until)
		return;
	s->walk = submit(s, report_objects, on_walked, NULL);
	if (s->walk)
		runner_submit(s->o.runner, &s->walk->task);
}

static void
on_walked(struct runner_task *task)
{
	struct work *w = container_of(task, struct work, task);
	struct visits *s = w->owner;
	int64_t now = loop_mono_ms(s->o.loop), rest;

	s->walk = NULL;
	if (task->rc == 0) {
		json_decref(s->objects);
		s->objects = json_incref(task->answer);
	}
	rest = OBJECTS_FACTOR * (now - w->began);
	s->objects_until = now + (rest > OBJECTS_MS ? rest : OBJECTS_MS);
	work_free(w);
}

static struct report_now
now_of(struct visits *s)
{
	struct report_now now = {
	    .uptime = (clock_mono_ms() - s->started) / 1000};

	proxy_gauges(*s->o.proxy, &now.connections, &now.flights);
	return now;
}

static json_t *
page_json(struct visits *s)
{
	struct report_now now = now_of(s);
	struct conf *conf = proxy_conf(*s->o.proxy);
	struct report report = {s->o.census, s->o.store, conf, &now};
	json_t *o;

	look_for_objects(s);
	o = report_page(&report, s->objects);
	conf_unref(&conf);
	return o;
}

/* ---- those that stay -------------------------------------------------- */

/* "data: {...}": no line break is in it. */
static char *
event_text(struct visits *s)
{
	json_t *o = page_json(s);
	char *json = o ? json_dumps(o, JSON_COMPACT) : NULL, *text = NULL;

	if (json && asprintf(&text, "data: %s\n\n", json) < 0)
		text = NULL;
	free(json);
	json_decref(o);
	return text;
}

/* Who has not taken the last one yet goes without this one. */
static void
send_event(struct visit *v, const char *text)
{
	struct evbuffer *out = bufferevent_get_output(v->bev);
	int64_t now = loop_mono_ms(v->owner->o.loop);

	if (evbuffer_get_length(out) == 0) {
		v->took_at = now;
		evbuffer_add(out, text, strlen(text));
	} else if (now - v->took_at > VISITS_SLOW_MS) {
		visit_end(v);
	}
}

static void
on_tick_counted(void *arg)
{
	struct visits *s = arg;
	char *text = s->staying ? event_text(s) : NULL;

	if (text) {
		list_each_safe (node, &s->all) {
			struct visit *v =
			    container_of(node, struct visit, node);

			if (v->staying)
				send_event(v, text);
		}
	}
	free(text);
	if (s->staying)
		loop_timer_start(&s->tick, VISITS_EVENT_MS);
}

static void
on_tick(void *arg)
{
	struct visits *s = arg;

	if (list_empty(&s->wait.node))
		census_wait(s->o.census, &s->wait, on_tick_counted, s);
}

static void
stay(struct visit *v)
{
	struct visits *s = v->owner;
	struct evbuffer *out = bufferevent_get_output(v->bev);
	const int room = SEND_BUFFER;
	char *text;

	/* Less is queued for who does not read: stale events are no use. */
	setsockopt(bufferevent_getfd(v->bev), SOL_SOCKET, SO_SNDBUF, &room,
	    sizeof(room));
	write_head(v, 200, "text/event-stream");
	evbuffer_add_printf(out, "\r\n");
	if (v->head) {
		v->ending = true;
		return;
	}
	text = event_text(s);
	evbuffer_add_printf(out, "retry: 5000\n\n%s", text ? text : "");
	free(text);
	v->took_at = loop_mono_ms(s->o.loop);
	v->staying = true;
	if (s->staying++ == 0)
		loop_timer_start(&s->tick, VISITS_EVENT_MS);
}

static void
answer_metrics(struct visit *v)
{
	struct report_now now = now_of(v->owner);
	struct report report = {
	    v->owner->o.census, v->owner->o.store, NULL, &now};
	struct evbuffer *body = evbuffer_new();

	if (body == NULL) {
		visit_end(v);
		return;
	}
	report_metrics(&report, body);
	answer(v, 200, METRICS_TYPE, body);
	evbuffer_free(body);
}

/* ---- one visit -------------------------------------------------------- */

static void
on_counted(void *arg)
{
	struct visit *v = arg;

	switch (v->kind) {
	case VISIT_EVENTS:
		stay(v);
		break;
	case VISIT_METRICS:
		answer_metrics(v);
		break;
	case VISIT_STATS:
	case VISIT_PURGE:
		answer_json(v, 200, page_json(v->owner));
		break;
	}
}

static void
on_purged(struct runner_task *task)
{
	struct work *w = container_of(task, struct work, task);
	struct visits *s = w->owner;
	struct store_removed what;

	if (task->rc == 0 && job_purge_result(task->answer, &what)) {
		census_purged(s->o.census, &what);
		s->objects_until = 0;
	}
	if (w->visit) {
		w->visit->work = NULL;
		answer_json(w->visit,
		    task->rc == 0		 ? 200
		    : task->rc == LARDER_INVALID ? 400
						 : 500,
		    json_incref(task->answer));
	}
	work_free(w);
}

/* Of what a page may ask: not of all. */
static bool
is_purge(const struct evkeyvalq *args)
{
	static const char *const names[] = {"url", "host", "match", "dry_run"};

	for (const struct evkeyval *a = args->tqh_first; a;
	     a = a->next.tqe_next) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			known |= strcmp(a->key, names[i]) == 0;
		if (!known)
			return false;
	}
	return true;
}

static void
purge(struct visit *v)
{
	struct work *w = submit(v->owner, job_purge, on_purged, v);

	if (w && is_purge(&w->task.args)) {
		v->work = w;
		runner_submit(v->owner->o.runner, &w->task);
		return;
	}
	if (w)
		work_free(w);
	answer_json(v, 400,
	    json_pack("{s:s}", "error",
		"say what to purge: url, host or match, and perhaps dry_run"));
}

static void
on_read(struct bufferevent *bev, void *arg)
{
	struct evbuffer *in = bufferevent_get_input(bev);

	(void)arg;
	/* It has asked already. */
	evbuffer_drain(in, evbuffer_get_length(in));
}

static void
on_written(struct bufferevent *bev, void *arg)
{
	struct visit *v = arg;

	(void)bev;
	if (v->ending)
		visit_end(v);
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
	struct visit *v = arg;

	(void)bev;
	/* Half a close is what some clients do when they have asked. */
	if ((what & BEV_EVENT_EOF) && !v->staying)
		bufferevent_disable(v->bev, EV_READ);
	else
		visit_end(v);
}

static void
begin(struct visits *s, struct visit *v)
{
	const struct timeval patience = {.tv_sec = VISITS_SLOW_MS / 1000};
	bool full = s->count >= VISITS_MAX ||
		    (v->kind == VISIT_EVENTS && s->events >= VISITS_EVENTS_MAX);

	v->owner = s;
	v->bev = v->fd < 0 || s->count >= 2 * VISITS_MAX
		     ? NULL
		     : bufferevent_socket_new(
			   loop_base(s->o.loop), v->fd, BEV_OPT_CLOSE_ON_FREE);
	if (v->bev == NULL) {
		visit_free(v);
		return;
	}
	list_append(&s->all, &v->node);
	s->count++;
	v->is_event = v->kind == VISIT_EVENTS && !full;
	s->events += v->is_event;
	bufferevent_setcb(v->bev, on_read, on_written, on_event, v);
	bufferevent_set_timeouts(v->bev, NULL, &patience);
	bufferevent_enable(v->bev, EV_READ | EV_WRITE);
	if (full)
		answer_json(v, 503,
		    json_pack("{s:s}", "error",
			"as many look at this page as may; come again"));
	else if (v->kind == VISIT_PURGE)
		purge(v);
	else
		census_wait(s->o.census, &v->wait, on_counted, v);
}

/* ---- all of them ------------------------------------------------------ */

static void
on_note(void *arg)
{
	struct visits *s = arg;
	struct list taken, *node;

	list_init(&taken);
	pthread_mutex_lock(&s->lock);
	list_splice(&taken, &s->inbox);
	pthread_mutex_unlock(&s->lock);
	while ((node = list_shift(&taken)) != NULL)
		begin(s, container_of(node, struct visit, node));
}

void
visits_receive(struct visits *s, struct visit **visit, int fd)
{
	struct visit *v = *visit;
	bool closed;

	*visit = NULL;
	v->fd = fd;
	pthread_mutex_lock(&s->lock);
	closed = s->closed;
	if (!closed)
		list_append(&s->inbox, &v->node);
	pthread_mutex_unlock(&s->lock);
	if (closed)
		visit_free(v);
	else
		mailbox_post(&s->note);
}

int
visits_open(struct visits **out, const struct visits_options *options)
{
	struct visits *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (s == NULL)
		return LARDER_NOMEM;
	s->o = *options;
	s->started = clock_mono_ms();
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->inbox);
	list_init(&s->all);
	list_init(&s->wait.node);
	loop_timer_init(&s->tick, options->loop, on_tick, s);
	if (mailbox_new(&s->box, options->loop) < 0) {
		free(s);
		return LARDER_NOMEM;
	}
	mailbox_note_init(&s->note, s->box, on_note, s);
	*out = s;
	return 0;
}

void
visits_close(struct visits *s)
{
	struct list *node;

	pthread_mutex_lock(&s->lock);
	s->closed = true;
	pthread_mutex_unlock(&s->lock);
	census_forget(&s->wait);
	while (!list_empty(&s->all))
		visit_end(container_of(s->all.next, struct visit, node));
	while ((node = list_shift(&s->inbox)) != NULL)
		visit_free(container_of(node, struct visit, node));
}

void
visits_free(struct visits **visits)
{
	struct visits *s = *visits;

	*visits = NULL;
	if (s == NULL)
		return;
	loop_timer_release(&s->tick);
	mailbox_cancel(&s->note);
	mailbox_free(&s->box);
	json_decref(s->objects);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
