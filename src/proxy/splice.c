/*
 * Joining parts on disk.
 *
 *   splice_begin() ──> waits ──> the head is read ──> pump ── all is copied ──>
 *                        ^                              │     committed, the
 *                        │   an error, no room: given up┤     parts go
 *                        └─── another was faster, ──────┘
 *                             SPLICE_TRIES times
 *
 * What always holds
 *   - What is committed holds bytes of parts that were all there, unchanged,
 *     before and after it was committed: a purge in between takes it, too. Its
 *     head is that of one of them, as it was then.
 *   - A worker joins those of one key one after the other: what came while it
 *     did so waits, and is then joined with what was made.
 *   - Nobody waits for it.
 */
#include <stdlib.h>

#include "larder/check.h"
#include "proxy/around.h"
#include "proxy/source.h"
#include "proxy/splice.h"
#include "proxy/worker.h"

#define SPLICE_MAGIC 0x73706c69u
/* Of a worker: under way, and in all; what is more stays in parts. */
#define SPLICES_MAX  4u
#define SPLICES_WAIT 128u
/* Bytes a loop turn, and of that in one piece. */
#define SPLICE_TURN  (512u * 1024)
#define SPLICE_PIECE (64u * 1024)
/* What changes all the time stays in parts until it rests. */
#define SPLICE_TRIES 3u

struct member {
	uint64_t id;
	struct bytes meta;
	bool within; /* all of it is in what is made */
};

struct splice {
	uint32_t magic;
	struct loop_garbage garbage;
	struct list node; /* in worker.splices */
	struct worker *w;
	struct arena arena;
	struct mailbox_note note;
	struct bytes key, part; /* the part that it begins with */
	unsigned tries;		/* of it, before this one */
	bool runs;		/* or it waits */
	/* While it runs. */
	const struct store_record *record; /* of the part */
	const struct cache_stored *stored;
	struct http_range range; /* that is made */
	struct bytes variant;	 /* of what is made */
	struct member members[CACHE_CANDIDATES_MAX];
	unsigned count;
	struct source first;  /* the part alone, until its head is read */
	struct source source; /* all of them */
	struct blob *to;      /* NULL: the head is not read yet */
	char *piece;	      /* SPLICE_PIECE bytes, on their way */
};

static void
destroy(struct loop_garbage *garbage)
{
	free(container_of(garbage, struct splice, garbage));
}

static void
end(struct splice *s)
{
	if (s->to != NULL) {
		blob_set_producer(s->to, NULL, NULL);
		blob_abort(s->to, LARDER_CLOSED);
	}
	blob_unref(&s->to);
	source_close(&s->first);
	source_close(&s->source);
	mailbox_cancel(&s->note);
	arena_release(&s->arena);
	list_remove(&s->node);
	s->magic = 0;
	loop_discard(s->w->loop, &s->garbage, destroy);
}

static void start_next(struct worker *w);

static void
give_place(struct splice *s)
{
	struct worker *w = s->w;

	end(s);
	start_next(w);
}

/* ---- the end of it ------------------------------------------------------ */

static bool
has_member(const struct store_found *found, const struct member *m)
{
	for (unsigned i = 0; i < found->count; i++)
		if (found->records[i].id == m->id)
			return bytes_eq(found->records[i].meta, m->meta);
	return false;
}

static int
compare(struct splice *s, struct arena *arena, uint64_t *made)
{
	struct store_found found;
	int err = store_look(s->w->view, s->key, arena, &found);

	*made = 0;
	if (err == LARDER_ABSENT)
		return LARDER_INVALID;
	for (unsigned i = 0; err == 0 && i < found.count; i++)
		if (bytes_eq(found.records[i].variant, s->variant))
			*made = found.records[i].id;
	for (unsigned i = 0; err == 0 && i < s->count; i++)
		if (!has_member(&found, &s->members[i]))
			err = LARDER_INVALID;
	return err;
}

/* 0: all parts are still as they were; LARDER_INVALID: they are not; or it
 * cannot be said. *made: the id of what was made of them, 0: it is not there.
 */
static int
check_members(struct splice *s, uint64_t *made)
{
	struct arena arena;
	int err;

	arena_init(&arena, WORKER_ARENA);
	err = compare(s, &arena, made);
	arena_release(&arena);
	return err;
}

/* LARDER_INVALID: what it has read is not what is there now. */
static int
finish(struct splice *s)
{
	struct store *store = proxy_store(s->w->proxy);
	uint64_t made;
	int err = check_members(s, &made);

	if (err != 0 || made != 0 || blob_commit(s->to) < 0)
		return err;
	err = check_members(s, &made);
	/* Where it cannot be said what is there, none of it can stay: made is
	 * 0 then, and that is all. */
	if (err != 0 && (err != LARDER_INVALID || made != 0))
		store_remove(store, s->key, made);
	for (unsigned i = 0; err == 0 && made != 0 && i < s->count; i++)
		if (s->members[i].within)
			store_remove(store, s->key, s->members[i].id);
	return err;
}

/* ---- copying ------------------------------------------------------------ */

/* 0: *n bytes were moved; AGAIN: a wake follows; ABSENT: all is. */
static int
move_some(struct splice *s, size_t *n)
{
	size_t room = blob_room(s->to);
	struct blob_slice slice;
	int err;

	if (room == 0)
		return LARDER_AGAIN;
	err = source_peek(
	    &s->source, room < SPLICE_PIECE ? room : SPLICE_PIECE, &slice);
	if (err == 0 && slice.mem == NULL) {
		err = blob_slice_copy(&slice, s->piece);
		slice.mem = s->piece;
	}
	if (err != 0)
		return err;
	*n = blob_append(s->to, slice.mem, slice.n);
	source_advance(&s->source, *n);
	return *n == slice.n ? 0 : LARDER_NOMEM;
}

static int
pump(struct splice *s)
{
	size_t moved = 0, n = 0;
	int err = 0;

	while (err == 0 && moved < SPLICE_TURN) {
		err = move_some(s, &n);
		moved += err == 0 ? n : 0;
	}
	/* Without room on disk it is not worth it. */
	return blob_is_window(s->to) ? LARDER_NOSPACE : err;
}

/* ---- the beginning ------------------------------------------------------ */

static int
copy_member(struct splice *s, const struct store_record *r, bool within,
    struct source_span *span)
{
	struct member *m = &s->members[s->count];
	int err = store_open_blob(s->w->view, r, &span->blob);

	if (err != 0)
		return err;
	*m = (struct member){r->id, arena_copy(&s->arena, r->meta), within};
	s->count++;
	return m->meta.p == NULL ? LARDER_NOMEM : 0;
}

static bool
is_within(const struct cache_extent *part, const struct cache_cover *cover)
{
	return part->to > 0 && part->from >= cover->pieces[0].from &&
	       part->to <= cover->pieces[cover->count - 1].to;
}

static int
open_source(struct splice *s, const struct store_found *found,
    const struct cache_stored *stored, const struct cache_cover *cover)
{
	struct source_span *spans =
	    arena_zalloc(&s->arena, cover->count * sizeof(*spans));
	int err = spans == NULL ? LARDER_NOMEM : 0;

	for (unsigned i = 0; i < cover->count && err == 0; i++) {
		const struct cache_piece *p = &cover->pieces[i];

		spans[i].from = p->from;
		spans[i].to = p->to;
		spans[i].at = p->from - stored[p->at].meta.part.from;
		err = copy_member(s, &found->records[p->at],
		    is_within(&stored[p->at].meta.part, cover), &spans[i]);
	}
	if (spans == NULL)
		return err;
	if (err == 0)
		return source_spans(&s->source, s->w->view, spans, cover->count,
		    mailbox_post, &s->note, &s->arena);
	for (unsigned i = 0; i < cover->count; i++)
		blob_unref(&spans[i].blob);
	return err;
}

static int
create_blob(struct splice *s, struct bytes head)
{
	struct cache_meta meta = s->stored->meta;
	struct store_new new = {
	    .key = s->key,
	    .head = head,
	    .expires = s->record->expires,
	    .body_size = s->range.to - s->range.from,
	    .storable = true,
	};

	meta.part.from = s->range.from;
	meta.part.to = s->range.to;
	if (s->range.from == 0 && s->range.to == meta.part.complete)
		meta.part = (struct cache_extent){0};
	s->variant =
	    cache_is_part(&meta)
		? cache_part_variant(&meta, s->stored->variant, &s->arena)
		: arena_copy(&s->arena, s->stored->variant);
	new.variant = s->variant;
	new.meta = cache_meta_encode(&meta, &s->arena);
	if (new.variant.p == NULL || new.meta.p == NULL)
		return LARDER_NOMEM;
	return store_create(proxy_store(s->w->proxy), &new, &s->to);
}

/* The part's, which may have been freshened since it came. */
static int
open_head(struct splice *s)
{
	struct blob *blob;
	int err = store_open_blob(s->w->view, s->record, &blob);

	if (err != 0)
		return err;
	err = source_open(&s->first, s->w->view, blob, mailbox_post, &s->note);
	blob_unref(&blob);
	return err;
}

static int
read_head(struct splice *s)
{
	struct bytes head;
	int err = source_head(&s->first, &head);

	if (err == 0)
		err = create_blob(s, head);
	if (err != 0)
		return err;
	source_close(&s->first);
	blob_set_producer(s->to, mailbox_post, &s->note);
	return 0;
}

static void begin(
    struct worker *w, struct bytes key, struct bytes part, unsigned tries);

static void
on_note(void *arg)
{
	struct splice *s = arg;
	int err = 0;

	check_magic(s, SPLICE_MAGIC);
	if (s->to == NULL)
		err = read_head(s);
	if (err == 0)
		err = pump(s);
	if (err == LARDER_AGAIN)
		return;
	if (err == 0) {
		mailbox_post(&s->note);
		return;
	}
	/* The part may have a neighbour still. */
	if (s->to != NULL && err == LARDER_ABSENT &&
	    finish(s) == LARDER_INVALID && s->tries + 1 < SPLICE_TRIES)
		begin(s->w, s->key, s->part, s->tries + 1);
	give_place(s);
}

/* Copies what it needs. An error: there is nothing to join, or no way to. */
static int
start(struct splice *s)
{
	struct cache_stored *stored;
	struct store_found found;
	struct cache_cover cover;
	int at, err;

	if (around_look(s->w->view, s->key, cache_selecting(s->part), &s->arena,
		&found, &stored) != 0)
		return LARDER_NOMEM;
	at = around_find(&found, s->part);
	if (at < 0 || !cache_neighbours(stored, found.count, at, &s->range))
		return LARDER_INVALID;
	cache_cover(
	    stored, found.count, at, s->range.from, s->range.to, &cover);
	if (cover.gaps > 0 || cover.count < 2)
		return LARDER_INVALID;
	s->record = &found.records[at];
	s->stored = &stored[at];
	s->piece = arena_alloc(&s->arena, SPLICE_PIECE);
	err = s->piece == NULL ? LARDER_NOMEM
			       : open_source(s, &found, stored, &cover);
	if (err == 0)
		err = open_head(s);
	if (err != 0)
		return err;
	s->runs = true;
	mailbox_post(&s->note);
	return 0;
}

static bool
may_wait(const struct worker *w)
{
	unsigned n = 0;

	list_each (node, &w->splices)
		n++;
	return n < SPLICES_WAIT;
}

static bool
may_start(const struct splice *s)
{
	unsigned n = 0;

	list_each (node, &s->w->splices) {
		struct splice *other = container_of(node, struct splice, node);

		if (!other->runs)
			continue;
		n++;
		if (bytes_eq(other->key, s->key))
			return false;
	}
	return n < SPLICES_MAX;
}

/* Those that wait and may. */
static void
start_next(struct worker *w)
{
	list_each_safe (node, &w->splices) {
		struct splice *s = container_of(node, struct splice, node);

		if (!s->runs && may_start(s) && start(s) != 0)
			end(s);
	}
}

static void
begin(struct worker *w, struct bytes key, struct bytes part, unsigned tries)
{
	struct splice *s;

	if (w->draining || !may_wait(w))
		return;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return;
	s->magic = SPLICE_MAGIC;
	s->w = w;
	s->tries = tries;
	arena_init(&s->arena, WORKER_ARENA);
	mailbox_note_init(&s->note, w->mailbox, on_note, s);
	list_append(&w->splices, &s->node);
	s->key = arena_copy(&s->arena, key);
	s->part = arena_copy(&s->arena, part);
	if (s->key.p == NULL || s->part.p == NULL)
		end(s);
	else
		start_next(w);
}

void
splice_begin(struct worker *w, struct bytes key, struct bytes part)
{
	begin(w, key, part, 0);
}

void
splices_abort_all(struct worker *w)
{
	while (!list_empty(&w->splices))
		end(container_of(w->splices.next, struct splice, node));
}
