/*
 * Always:
 *   - Everything here belongs to the one thread that calls loop_run().
 *   - A turn is: libevent's events (and through one of them the watched
 *     descriptors), the tasks, turn(), the sweep. Memory that was discarded
 *     stays readable until the sweep, so that events fetched together with the
 *     one that discarded it find it still there.
 *   - While tasks wait, the next turn does not block.
 */
#include "net/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "larder/log.h"

#define EVENTS_A_TURN 256
/* Idle buffers kept: 1 MiB a loop. */
#define BUFFERS_KEPT  64

struct loop {
	struct event_base *base;
	int epfd; /* of the watched descriptors; base watches it */
	struct event *epfd_event;
	void (*turn)(void *arg);
	void *turn_arg;
	bool stopped;
	bool in_turn;
	int64_t wall_ms, mono_ms; /* of this turn; 0: not asked for yet */
	struct list tasks;
	struct list garbage;
	struct list adopted;
	unsigned buffer_count;
	char *buffers[BUFFERS_KEPT];
	struct epoll_event events[EVENTS_A_TURN];
};

/* Whose loop_run() this thread is in. */
static _Thread_local struct loop *current;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
on_libevent_log(int severity, const char *text)
{
	if (severity == EVENT_LOG_ERR || severity == EVENT_LOG_WARN)
		log_warnx("libevent: %s", text);
	else
		log_debug("libevent: %s", text);
}

static void
set_up_libevent(void)
{
	/* Each base has one thread and needs no lock, but the random numbers
	 * that evdns draws come from a state which all threads share. */
	evthread_use_pthreads();
	event_set_log_callback(on_libevent_log);
}

static void
on_epfd(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	int n = epoll_wait(fd, loop->events, EVENTS_A_TURN, 0);

	(void)what;
	for (int i = 0; i < n; i++) {
		struct loop_watch *watch = loop->events[i].data.ptr;

		watch->ready(watch, loop->events[i].events);
	}
}

static struct event_base *
new_base(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;

	if (config == NULL)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

int
loop_new(struct loop **out, void (*turn)(void *arg), void *arg)
{
	struct loop *loop;

	*out = NULL;
	pthread_once(&once, set_up_libevent);
	loop = calloc(1, sizeof(*loop));
	if (loop == NULL)
		return LARDER_NOMEM;
	loop->turn = turn;
	loop->turn_arg = arg;
	list_init(&loop->tasks);
	list_init(&loop->garbage);
	list_init(&loop->adopted);
	loop->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epfd < 0) {
		free(loop);
		return LARDER_IO;
	}
	loop->base = new_base();
	if (loop->base)
		loop->epfd_event = event_new(loop->base, loop->epfd,
		    EV_READ | EV_PERSIST, on_epfd, loop);
	if (!loop->epfd_event || event_add(loop->epfd_event, NULL) != 0) {
		loop_free(&loop);
		return LARDER_NOMEM;
	}
	*out = loop;
	return 0;
}

static void
sweep(struct loop *loop)
{
	struct list *node;

	while ((node = list_shift(&loop->garbage))) {
		struct loop_garbage *g =
		    container_of(node, struct loop_garbage, node);

		g->destroy(g);
	}
}

void
loop_free(struct loop **out)
{
	struct loop *loop = *out;

	*out = NULL;
	if (loop == NULL)
		return;
	list_splice(&loop->garbage, &loop->adopted);
	sweep(loop);
	/* Nobody is there any more to be called. */
	while (list_shift(&loop->tasks))
		;
	if (loop->epfd_event)
		event_free(loop->epfd_event);
	if (loop->base)
		event_base_free(loop->base);
	close(loop->epfd);
	while (loop->buffer_count)
		free(loop->buffers[--loop->buffer_count]);
	free(loop);
}

static void
run_tasks(struct loop *loop)
{
	struct list batch, *node;

	/* Only those that wait now: a task that starts itself again must not
	 * keep the events out. */
	list_init(&batch);
	list_splice(&batch, &loop->tasks);
	/* The first in a turn may have more than those behind it: of those that
	 * start themselves again it is another one each time. */
	if ((node = list_shift(&batch)))
		list_append(&batch, node);
	while ((node = list_shift(&batch))) {
		struct loop_task *task =
		    container_of(node, struct loop_task, node);

		task->fn(task->arg);
	}
}

void
loop_run(struct loop *loop)
{
	current = loop;
	while (!loop->stopped) {
		int flags = list_empty(&loop->tasks)
				? EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY
				: EVLOOP_NONBLOCK;

		loop->wall_ms = loop->mono_ms = 0;
		loop->in_turn = true;
		if (event_base_loop(loop->base, flags) < 0) {
			log_error("the event loop failed");
			break;
		}
		run_tasks(loop);
		if (loop->turn)
			loop->turn(loop->turn_arg);
		sweep(loop);
		loop->in_turn = false;
	}
	loop->in_turn = false;
	loop->stopped = false;
	current = NULL;
}

bool
loop_is_current(const struct loop *loop)
{
	return current == loop;
}

void
loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

/* The clock is read when it is first asked for after a wait: the events have
 * just come in then. */
int64_t
loop_wall_ms(struct loop *loop)
{
	if (!loop->in_turn || loop->wall_ms == 0)
		loop->wall_ms = clock_wall_ms();
	return loop->wall_ms;
}

int64_t
loop_mono_ms(struct loop *loop)
{
	if (!loop->in_turn || loop->mono_ms == 0)
		loop->mono_ms = clock_mono_ms();
	return loop->mono_ms;
}

void
loop_discard(struct loop *loop, struct loop_garbage *garbage,
    void (*destroy)(struct loop_garbage *))
{
	garbage->destroy = destroy;
	list_append(&loop->garbage, &garbage->node);
}

void
loop_adopt(struct loop *loop, struct loop_garbage *garbage,
    void (*destroy)(struct loop_garbage *))
{
	garbage->destroy = destroy;
	list_append(&loop->adopted, &garbage->node);
}

/* ---- watched descriptors ---------------------------------------------- */

static int
watch_ctl(struct loop *loop, int op, struct loop_watch *watch, int fd,
    uint32_t events)
{
	struct epoll_event ev = {
	    .events = EPOLLIN | EPOLLRDHUP | EPOLLET | events,
	    .data.ptr = watch,
	};

	if (epoll_ctl(loop->epfd, op, fd, &ev) == 0)
		return 0;
	return errno == ENOMEM ? LARDER_NOMEM : LARDER_IO;
}

int
loop_watch_add(struct loop *loop, struct loop_watch *watch, int fd, bool write)
{
	return watch_ctl(loop, EPOLL_CTL_ADD, watch, fd, write ? EPOLLOUT : 0);
}

void
loop_watch_remove(struct loop *loop, int fd)
{
	epoll_ctl(loop->epfd, EPOLL_CTL_DEL, fd, NULL);
}

int
loop_watch_write(struct loop *loop, struct loop_watch *watch, int fd)
{
	return watch_ctl(loop, EPOLL_CTL_MOD, watch, fd, EPOLLOUT);
}

/* ---- tasks ------------------------------------------------------------ */

void
loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg)
{
	list_init(&task->node);
	task->fn = fn;
	task->arg = arg;
}

void
loop_task_start(struct loop *loop, struct loop_task *task)
{
	if (list_empty(&task->node))
		list_append(&loop->tasks, &task->node);
}

void
loop_task_stop(struct loop_task *task)
{
	list_remove(&task->node);
}

/* ---- buffers ---------------------------------------------------------- */

char *
loop_buffer_get(struct loop *loop)
{
	if (loop->buffer_count)
		return loop->buffers[--loop->buffer_count];
	return malloc(LOOP_BUFFER);
}

void
loop_buffer_put(struct loop *loop, char *buffer)
{
	if (buffer && loop->buffer_count < BUFFERS_KEPT)
		loop->buffers[loop->buffer_count++] = buffer;
	else
		free(buffer);
}

/* ---- timers ----------------------------------------------------------- */

static void
arm(struct loop_timer *timer, int64_t now)
{
	int64_t ms = timer->deadline > now ? timer->deadline - now : 0;
	struct timeval tv = {
	    .tv_sec = (time_t)(ms / 1000),
	    .tv_usec = (suseconds_t)(ms % 1000 * 1000),
	};

	/* Out of memory is the only failure; the next start tries again. */
	timer->armed = event_add(timer->event, &tv) == 0 ? timer->deadline : 0;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *timer = arg;
	int64_t now;

	(void)fd;
	(void)what;
	timer->armed = 0;
	if (timer->deadline == 0)
		return;
	now = loop_mono_ms(timer->loop);
	if (now < timer->deadline) {
		arm(timer, now);
		return;
	}
	timer->deadline = 0;
	timer->fire(timer->arg);
}

void
loop_timer_init(struct loop_timer *timer, struct loop *loop,
    void (*fire)(void *arg), void *arg)
{
	*timer = (struct loop_timer){.loop = loop, .fire = fire, .arg = arg};
}

void
loop_timer_start(struct loop_timer *timer, int64_t ms)
{
	int64_t now = loop_mono_ms(timer->loop);

	timer->deadline = now + (ms > 0 ? ms : 0);
	if (timer->event == NULL) {
		timer->event = evtimer_new(timer->loop->base, on_timer, timer);
		if (timer->event == NULL) {
			log_errorx("no memory for a timer");
			return;
		}
	}
	if (timer->armed == 0 || timer->armed > timer->deadline)
		arm(timer, now);
}

void
loop_timer_stop(struct loop_timer *timer)
{
	timer->deadline = 0;
}

void
loop_timer_release(struct loop_timer *timer)
{
	if (timer->event)
		event_free(timer->event);
	timer->event = NULL;
	timer->deadline = timer->armed = 0;
}
