/*
 * A list under a lock and an eventfd. The eventfd is watched edge-triggered
 * and never read: each write is an edge of its own, and its counter would need
 * centuries to fill.
 *
 * Always:
 *   - A note is in `notes` or `running` if and only if it is `posted`.
 *   - One wake a batch: only the post that finds `notes` empty wakes. From
 *     another thread that is a write, from the loop's own a task of this turn.
 *   - `posted` is cleared before the note's function runs, so that a post from
 *     then on calls it again.
 */
#include "net/mailbox.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "larder/err.h"
#include "net/loop.h"

struct mailbox {
	pthread_mutex_t lock;
	struct list notes;   /* posted, not seen by the loop yet */
	struct list running; /* the batch at which the loop is */
	int fd;
	struct event *event;
	struct loop *loop;
	struct loop_task task;
};

static void
on_task(void *arg)
{
	struct mailbox *box = arg;
	struct list *node;

	pthread_mutex_lock(&box->lock);
	list_splice(&box->running, &box->notes);
	while ((node = list_shift(&box->running))) {
		struct mailbox_note *note =
		    container_of(node, struct mailbox_note, node);

		note->posted = false;
		pthread_mutex_unlock(&box->lock);
		note->fn(note->arg);
		pthread_mutex_lock(&box->lock);
	}
	pthread_mutex_unlock(&box->lock);
}

static void
on_post(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	on_task(arg);
}

int
mailbox_new(struct mailbox **out, struct loop *loop)
{
	struct mailbox *box = calloc(1, sizeof(*box));

	*out = NULL;
	if (box == NULL)
		return LARDER_NOMEM;
	list_init(&box->notes);
	list_init(&box->running);
	loop_task_init(&box->task, on_task, box);
	box->loop = loop;
	box->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (box->fd < 0) {
		free(box);
		return LARDER_IO;
	}
	pthread_mutex_init(&box->lock, NULL);
	box->event = event_new(loop_base(loop), box->fd,
	    EV_READ | EV_PERSIST | EV_ET, on_post, box);
	if (!box->event || event_add(box->event, NULL) != 0) {
		mailbox_free(&box);
		return LARDER_NOMEM;
	}
	*out = box;
	return 0;
}

static void
drop(struct list *notes)
{
	struct list *node;

	while ((node = list_shift(notes)))
		container_of(node, struct mailbox_note, node)->posted = false;
}

void
mailbox_free(struct mailbox **out)
{
	struct mailbox *box = *out;

	*out = NULL;
	if (box == NULL)
		return;
	if (box->event)
		event_free(box->event);
	loop_task_stop(&box->task);
	pthread_mutex_lock(&box->lock);
	drop(&box->notes);
	drop(&box->running);
	pthread_mutex_unlock(&box->lock);
	pthread_mutex_destroy(&box->lock);
	close(box->fd);
	free(box);
}

void
mailbox_note_init(struct mailbox_note *note, struct mailbox *box,
    void (*fn)(void *arg), void *arg)
{
	list_init(&note->node);
	note->box = box;
	note->posted = false;
	note->fn = fn;
	note->arg = arg;
}

void
mailbox_post(void *arg)
{
	struct mailbox_note *note = arg;
	struct mailbox *box = note->box;
	const uint64_t one = 1;
	bool first = false;

	pthread_mutex_lock(&box->lock);
	if (!note->posted) {
		note->posted = true;
		first = list_empty(&box->notes);
		list_append(&box->notes, &note->node);
	}
	/* Under the lock: once the note ran, its poster may be gone, and the
	 * mailbox with it. */
	if (first && loop_is_current(box->loop))
		loop_task_start(box->loop, &box->task);
	else if (first)
		while (write(box->fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	pthread_mutex_unlock(&box->lock);
}

void
mailbox_cancel(struct mailbox_note *note)
{
	struct mailbox *box = note->box;

	pthread_mutex_lock(&box->lock);
	if (note->posted) {
		list_remove(&note->node);
		note->posted = false;
	}
	pthread_mutex_unlock(&box->lock);
}
