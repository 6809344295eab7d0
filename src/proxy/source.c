/*
 * Bodies from one blob or many.
 *
 * What always holds
 *   - One reader is open at most; it is on the span that the next byte lies
 *     in, if any. Of one blob alone without a plan it is all there is.
 *   - A blob that is not whole is read forwards only: a reader's range there
 *     reaches to the last byte that will be asked of it, so that a window
 *     keeps what lies between two ranges.
 */
#include "proxy/source.h"

#include "larder/check.h"

static void
begin(struct source *s, struct store_view *view, store_wake_fn *wake, void *arg)
{
	*s =
	    (struct source){.view = view, .wake = wake, .arg = arg, .span = -1};
}

int
source_open(struct source *s, struct store_view *view, struct blob *blob,
    store_wake_fn *wake, void *arg)
{
	begin(s, view, wake, arg);
	return blob_reader_open(
	    &s->reader, view, blob, 0, STORE_UNKNOWN, wake, arg);
}

int
source_spans(struct source *s, struct store_view *view,
    struct source_span *spans, unsigned count, store_wake_fn *wake, void *arg,
    struct arena *arena)
{
	check(count > 0);
	begin(s, view, wake, arg);
	s->spans = spans;
	s->span_count = count;
	return source_range(s, spans[0].from, spans[count - 1].to, arena);
}

int
source_head(struct source *s, struct bytes *out)
{
	return blob_reader_head(&s->reader, out);
}

uint64_t
source_size(struct source *s, bool *whole)
{
	if (s->spans == NULL)
		return blob_size(s->reader.blob, whole);
	*whole = true;
	return s->spans[s->span_count - 1].to;
}

bool
source_goes_back(struct source *s)
{
	bool whole;

	source_size(s, &whole);
	return whole && (s->spans != NULL || !blob_is_window(s->reader.blob));
}

int
source_range(struct source *s, uint64_t from, uint64_t to, struct arena *arena)
{
	struct source_item *item;

	if (s->spans == NULL) {
		blob_reader_range(&s->reader, from, to);
		return 0;
	}
	item = arena_alloc(arena, sizeof(*item));
	if (item == NULL)
		return LARDER_NOMEM;
	*item = (struct source_item){.from = from, .to = to};
	source_plan(s, item, 1);
	return 0;
}

/* Where the next byte of a plan lies: at the beginning of its item. */
static void
enter(struct source *s)
{
	const struct source_item *item = &s->items[s->item];

	if (s->item < s->item_count)
		s->pos = item->text.n > 0 ? 0 : item->from;
}

void
source_plan(struct source *s, struct source_item *items, unsigned count)
{
	s->items = items;
	s->item_count = count;
	s->item = 0;
	enter(s);
}

/* ---- the plan ----------------------------------------------------------- */

/* The present item; NULL: all is sent. */
static const struct source_item *
present(struct source *s)
{
	while (s->item < s->item_count) {
		const struct source_item *item = &s->items[s->item];
		uint64_t end = item->text.n > 0 ? item->text.n : item->to;

		if (s->pos < end)
			return item;
		s->item++;
		enter(s);
	}
	return NULL;
}

static int
span_at(const struct source *s, uint64_t pos)
{
	for (unsigned i = 0; i < s->span_count; i++)
		if (pos >= s->spans[i].from && pos < s->spans[i].to)
			return (int)i;
	return -1;
}

bool
source_has_gaps(const struct source *s)
{
	for (unsigned i = 0; i < s->span_count; i++)
		if (s->spans[i].blob == NULL)
			return true;
	return false;
}

struct source_span *
source_gap(struct source *s)
{
	const struct source_item *item;
	int at;

	if (s->spans == NULL)
		return NULL;
	item = present(s);
	if (item == NULL || item->text.n > 0)
		return NULL;
	at = span_at(s, s->pos);
	return at >= 0 && s->spans[at].blob == NULL ? &s->spans[at] : NULL;
}

/* The last place that the rest of the plan asks of the one blob. */
static uint64_t
last_asked(const struct source *s)
{
	uint64_t last = 0;

	for (unsigned i = s->item; i < s->item_count; i++)
		if (s->items[i].text.n == 0 && s->items[i].to > last)
			last = s->items[i].to;
	return last;
}

/* The reader stands where the next byte lies; *left: how many follow there. */
static int
move_reader(struct source *s, uint64_t *left)
{
	struct source_span *span;
	int at, err;

	if (s->spans == NULL) {
		if (s->reader.pos != s->pos)
			blob_reader_range(&s->reader, s->pos, last_asked(s));
		return 0;
	}
	at = span_at(s, s->pos);
	if (at < 0)
		return LARDER_CLOSED;
	span = &s->spans[at];
	if (span->to - s->pos < *left)
		*left = span->to - s->pos;
	if (span->blob == NULL)
		return LARDER_AGAIN;
	if (at == s->span && s->reader.pos == span->at + (s->pos - span->from))
		return 0;
	blob_reader_close(&s->reader);
	s->span = -1;
	err = blob_reader_open(&s->reader, s->view, span->blob,
	    span->at + (s->pos - span->from),
	    span->at + (span->to - span->from), s->wake, s->arg);
	if (err != 0)
		return err < 0 ? err : LARDER_CLOSED;
	s->span = at;
	return 0;
}

static int
peek_plan(struct source *s, size_t max, struct blob_slice *out)
{
	const struct source_item *item = present(s);
	uint64_t left;
	int err;

	*out = (struct blob_slice){.fd = -1};
	if (item == NULL)
		return LARDER_ABSENT;
	if (item->text.n > 0) {
		out->mem = item->text.p + s->pos;
		out->n = item->text.n - (size_t)s->pos;
		if (out->n > max)
			out->n = max;
		return 0;
	}
	left = item->to - s->pos;
	err = move_reader(s, &left);
	if (err != 0)
		return err;
	err =
	    blob_reader_peek(&s->reader, left < max ? (size_t)left : max, out);
	/* The blob is shorter than was promised. */
	return err == LARDER_ABSENT ? LARDER_CLOSED : err;
}

int
source_peek(struct source *s, size_t max, struct blob_slice *out)
{
	if (s->items == NULL)
		return blob_reader_peek(&s->reader, max, out);
	return peek_plan(s, max, out);
}

void
source_advance(struct source *s, size_t n)
{
	if (s->items == NULL) {
		blob_reader_advance(&s->reader, n);
		return;
	}
	if (s->items[s->item].text.n == 0)
		blob_reader_advance(&s->reader, n);
	s->pos += n;
}

void
source_close(struct source *s)
{
	blob_reader_close(&s->reader);
	for (unsigned i = 0; i < s->span_count; i++)
		blob_unref(&s->spans[i].blob);
	*s = (struct source){.span = -1};
}
