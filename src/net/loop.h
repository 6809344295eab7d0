/*
 * A worker's event loop: libevent's base, the time of this turn, and the sweep
 * that frees at the end of a turn what was closed in it. Belongs to one thread.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "larder/list.h"

struct event_base;
struct loop;

/* What is freed at the end of the turn, never inside a callback of its own. */
struct loop_garbage {
	struct list node;
	void (*destroy)(struct loop_garbage *garbage);
};

/*
 * A turn: wait, the events, the tasks started in them, turn(arg), the sweep.
 * turn may be NULL. LARDER_NOMEM, LARDER_IO.
 */
int loop_new(struct loop **out, void (*turn)(void *arg), void *arg);
/* Sweeps what is left. */
void loop_free(struct loop **loop);

/* Until loop_stop(); at once if that came before. Blocks. */
void loop_run(struct loop *loop);
/* From the loop's own thread (from others: post a note that calls it). */
void loop_stop(struct loop *loop);

/* Is the caller in this loop's loop_run()? From any thread. */
bool loop_is_current(const struct loop *loop);

struct event_base *loop_base(struct loop *loop);

/* The time of this turn: taken when the events came in. */
int64_t loop_wall_ms(struct loop *loop);
int64_t loop_mono_ms(struct loop *loop);

void loop_discard(struct loop *loop, struct loop_garbage *garbage,
    void (*destroy)(struct loop_garbage *));

/* What has no owner any more and is not done yet, as a connection that lingers:
 * loop_free() destroys it, unless list_remove() takes it out before. */
void loop_adopt(struct loop *loop, struct loop_garbage *garbage,
    void (*destroy)(struct loop_garbage *));

/*
 * A descriptor watched edge-triggered, without an event of libevent's: its
 * epoll backend folds EPOLLERR into "readable and writable", and then a reset
 * right behind the last bytes cannot be told from a drained socket. Embedded;
 * who embeds it goes by loop_discard(), because a turn's events may still name
 * it. The descriptor leaves by being closed.
 */
struct loop_watch {
	void (*ready)(struct loop_watch *watch, uint32_t epoll_events);
};

/* EPOLLIN, EPOLLRDHUP and, if `write`, EPOLLOUT. What is true already is told
 * at once. LARDER_IO, LARDER_NOMEM. */
int loop_watch_add(
    struct loop *loop, struct loop_watch *watch, int fd, bool write);
/* No more: for a descriptor that lives on. */
void loop_watch_remove(struct loop *loop, int fd);
/* EPOLLOUT too, from now on. */
int loop_watch_write(struct loop *loop, struct loop_watch *watch, int fd);

/* fn(arg) is called once, in this turn or the next, never from inside
 * loop_task_start(). Embedded. Starting it twice calls it once. */
struct loop_task {
	struct list node;
	void (*fn)(void *arg);
	void *arg;
};

void loop_task_init(struct loop_task *task, void (*fn)(void *arg), void *arg);
void loop_task_start(struct loop *loop, struct loop_task *task);
void loop_task_stop(struct loop_task *task);

/* A buffer of LOOP_BUFFER bytes from the loop's pool; NULL: no memory. */
#define LOOP_BUFFER ((size_t)16 * 1024)
char *loop_buffer_get(struct loop *loop);
void loop_buffer_put(struct loop *loop, char *buffer);

/*
 * A timer that is cheap to move: a later deadline costs no system call and no
 * heap operation (it is looked at when the earlier one fires). Embedded.
 */
struct loop_timer {
	struct loop *loop;
	struct event *event; /* made at the first start */
	int64_t deadline;    /* loop_mono_ms(); 0: not set */
	int64_t armed; /* when the event will fire; 0: it is not pending */
	void (*fire)(void *arg);
	void *arg;
};

void loop_timer_init(struct loop_timer *timer, struct loop *loop,
    void (*fire)(void *arg), void *arg);
/* Fires once, ms from now. */
void loop_timer_start(struct loop_timer *timer, int64_t ms);
void loop_timer_stop(struct loop_timer *timer);
/* Stops it and gives its memory back. */
void loop_timer_release(struct loop_timer *timer);

#endif
