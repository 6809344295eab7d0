#include "proxy/collect.h"

#include "larder/check.h"
#include "proxy/fetch.h"

/* What this worker fetches at this moment. */
static void
note_flights(struct worker *w)
{
	struct tally *t = w->tally;

	list_each (node, &w->fetches) {
		struct fetch *f = container_of(node, struct fetch, node);
		struct tally_flight *to = &t->flights[t->flight_count];
		bool known = f->state == FETCH_BODY &&
			     f->body.framing == HTTP_BODY_LENGTH;

		if (t->flight_count == TALLY_FLIGHTS)
			return;
		t->flight_count++;
		to->size =
		    (uint16_t)(f->key.n < TALLY_TEXT ? f->key.n : TALLY_TEXT);
		memcpy(to->url, f->key.p, to->size);
		to->since = f->request_time;
		to->received = f->state == FETCH_BODY ? f->body.total : 0;
		to->length =
		    known ? f->body.total + f->body.left : STORE_UNKNOWN;
		to->readers = flight_interested(f->flight);
	}
}

static void
on_collect(void *arg)
{
	struct worker *w = arg;
	struct tally *empty =
	    atomic_exchange_explicit(&w->empty, NULL, memory_order_acquire);

	/* None is there while the last one is still being read. */
	if (empty != NULL) {
		note_flights(w);
		atomic_store_explicit(&w->full, w->tally, memory_order_release);
		w->tally = empty;
	}
	proxy_count_collected(w->proxy);
}

int
collect_init(struct worker *w)
{
	struct tally *empty;
	int err = tally_new(&w->tally, proxy_seed(w->proxy));

	if (err == 0)
		err = tally_new(&empty, proxy_seed(w->proxy));
	if (err == 0)
		atomic_store(&w->empty, empty);
	mailbox_note_init(&w->collect, w->mailbox, on_collect, w);
	return err;
}

void
collect_release(struct worker *w)
{
	struct tally *full = atomic_exchange(&w->full, NULL);
	struct tally *empty = atomic_exchange(&w->empty, NULL);

	tally_free(&w->tally);
	tally_free(&full);
	tally_free(&empty);
}
