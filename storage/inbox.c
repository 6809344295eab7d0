/*
 * What comes in to the writer, from any thread: changes, who needs room, and
 * who waits for it to be done.
 *
 * What always holds: all of it is under writer.lock, which is taken last; who
 * comes in never waits, but for writer_flush() and writer_gc().
 */
#include "internal.h"
#include "larder/clock.h"

void
writer_queue(struct store *store, struct entry *e, struct list *batch)
{
	struct writer *w = &store->writer;

	pthread_mutex_lock(&w->lock);
	if (e->batched) {
		/* memory_clean() sees that it changed. */
	} else if (batch) {
		if (!list_empty(&e->node)) {
			list_remove(&e->node);
			w->dirty_count--;
			w->dirty_bytes -= e->queued;
		} else {
			e->ticket = ++w->tickets;
			e->since = clock_mono_ms();
		}
		e->batched = true;
		if (!w->busy_since || e->ticket < w->busy_since)
			w->busy_since = e->ticket;
		list_append(batch, &e->node);
	} else if (list_empty(&e->node)) {
		e->ticket = ++w->tickets;
		e->since = clock_mono_ms();
		e->queued = e->bytes;
		list_append(&w->dirty, &e->node);
		w->dirty_bytes += e->bytes;
		if (w->dirty_count++ == 0 ||
		    w->dirty_bytes > WRITER_WINDOW_BYTES ||
		    w->dirty_count == commit_limit(store))
			pthread_cond_signal(&w->wake);
	} else {
		w->dirty_bytes += e->bytes - e->queued;
		e->queued = e->bytes;
	}
	pthread_mutex_unlock(&w->lock);
}

/* Before all others: they are older. */
void
writer_requeue(struct store *store, struct list *batch)
{
	struct writer *w = &store->writer;

	pthread_mutex_lock(&w->lock);
	while (!list_empty(batch)) {
		struct list *node = batch->prev;
		struct entry *e = container_of(node, struct entry, node);
		/* It may grow at this moment; who lets it queues it anew. */
		uint64_t bytes = e->bytes;

		list_remove(node);
		e->batched = false;
		e->queued = bytes;
		list_prepend(&w->dirty, node);
		w->dirty_count++;
		w->dirty_bytes += bytes;
	}
	w->busy_since = 0;
	pthread_mutex_unlock(&w->lock);
}

void
writer_nudge(struct store *store)
{
	struct writer *w = &store->writer;

	pthread_mutex_lock(&w->lock);
	w->not_before = 0;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void
writer_stall(struct store *store, struct blob *blob)
{
	struct writer *w = &store->writer;
	bool ended;

	pthread_mutex_lock(&w->lock);
	ended = w->ended;
	if (!ended)
		list_append(&w->stalled, &blob->stall);
	w->is_short = true;
	w->not_before = 0;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	if (ended)
		blob_resume(blob, true);
}

/* Commits that may fail before who waits for them is told. */
#define FLUSH_TRIES 4u

static bool
durable(const struct writer *w, uint64_t ticket)
{
	const struct entry *first =
	    list_empty(&w->dirty)
		? NULL
		: container_of(w->dirty.next, struct entry, node);

	if (w->busy_since && w->busy_since <= ticket)
		return false;
	return !(first && first->ticket <= ticket) && list_empty(&w->states) &&
	       !w->stating;
}

int
writer_flush(struct store *store)
{
	struct writer *w = &store->writer;
	uint64_t ticket, until;
	int err = 0;

	pthread_mutex_lock(&w->lock);
	ticket = w->tickets;
	until = w->failed + FLUSH_TRIES;
	w->flushing++;
	while (!durable(w, ticket) && !err) {
		w->awaited = true;
		pthread_cond_signal(&w->wake);
		pthread_cond_wait(&w->done, &w->lock);
		if (w->failed >= until)
			err = w->error;
	}
	w->flushing--;
	pthread_mutex_unlock(&w->lock);
	return err;
}

void
writer_gc(struct store *store)
{
	struct writer *w = &store->writer;
	uint64_t until;

	pthread_mutex_lock(&w->lock);
	/* The round that may be under way does not count. */
	until = w->rounds + 2;
	w->gc_wanted += 2;
	w->awaited = true;
	while (w->rounds < until) {
		pthread_cond_signal(&w->wake);
		pthread_cond_wait(&w->done, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
}
