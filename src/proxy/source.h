/*
 * What an answer's body is made of: the seam between blobs and deliver.c.
 *
 * A representation lies in one blob as a whole (the usual case, which costs
 * nothing beyond its reader), or in spans: pieces of it in several blobs. What
 * is sent of it is all of it, a range, or a plan: literal texts and ranges one
 * after the other (multipart/byteranges).
 *
 *   CLOSED ── source_open(), source_spans() ──> OPEN ── source_close()
 *
 * It belongs to one thread, and lies in the caller's struct; blobs may be
 * whole, growing, or windows.
 */
#ifndef PROXY_SOURCE_H
#define PROXY_SOURCE_H

#include "larder/store.h"

/* [from, to) of the representation. */
struct source_span {
	uint64_t from, to;
	struct blob *blob; /* one reference; NULL: a gap, not there yet */
	uint64_t at;	   /* where `from` lies in the blob's body */
};

/* What is sent: a text if text.n > 0, else [from, to). */
struct source_item {
	struct bytes text;
	uint64_t from, to;
};

struct source {
	struct blob_reader reader; /* .blob NULL: none is open */
	struct store_view *view;
	store_wake_fn *wake;
	void *arg;
	struct source_span *spans; /* NULL: the reader's blob is all */
	unsigned span_count;
	int span;		   /* that the reader is on; -1: none */
	struct source_item *items; /* NULL: the reader's range is all */
	unsigned item_count, item; /* item: the present one */
	uint64_t pos;		   /* of the present item: bytes passed of a
				    * text, else a place in [from, to) */
};

/* One blob that is the whole representation. LARDER_ABSENT: it turned into a
 * window, and its beginning has passed. */
int source_open(struct source *s, struct store_view *view, struct blob *blob,
    store_wake_fn *wake, void *arg);

/* Spans without overlap, in order; gaps are spans without a blob. Takes the
 * blobs' references; the array stays the caller's, and must live as long. All
 * from the first to the last is sent, until source_range() says otherwise. */
int source_spans(struct source *s, struct store_view *view,
    struct source_span *spans, unsigned count, store_wake_fn *wake, void *arg,
    struct arena *arena);

static inline bool
source_is_open(const struct source *s)
{
	return s->reader.blob != NULL || s->spans != NULL;
}

/* The stored head, of a source of one blob: living as long as the source is
 * open. LARDER_AGAIN (a wake follows), LARDER_DAMAGED, LARDER_IO. */
int source_head(struct source *s, struct bytes *out);

/* Body bytes known so far, and whether that is all there will be. With spans
 * it is the end of the last one. */
uint64_t source_size(struct source *s, bool *whole);

/* Can bytes be had again that were passed? Of a window, whole or not, they
 * cannot. */
bool source_goes_back(struct source *s);

/* What is to be sent, before the first source_peek(). Of what does not go back
 * only in ascending order. The items stay the caller's. */
int source_range(
    struct source *s, uint64_t from, uint64_t to, struct arena *arena);
void source_plan(struct source *s, struct source_item *items, unsigned count);

/* Is a piece of it missing, wherever? */
bool source_has_gaps(const struct source *s);

/* The gap that the next byte lies in; NULL: it is there, or will be. */
struct source_span *source_gap(struct source *s);

/* The next bytes, at most max. LARDER_ABSENT at the end, LARDER_AGAIN (a wake
 * follows, once; of a gap it does not: see source_gap()), or negative: it
 * cannot end well. Never blocks. */
int source_peek(struct source *s, size_t max, struct blob_slice *out);

/* n bytes of the slice are done with; the slice is void. */
void source_advance(struct source *s, size_t n);

/* After it returns, wake is not called again. Idempotent. */
void source_close(struct source *s);

#endif
