/*
 * Joining parts on disk.
 *
 *   splice_begin() ──> pump ── all is copied ──> committed, the parts go
 *                       └── an error, no room, a change ──> given up
 *
 * What always holds
 *   - What is committed holds bytes of parts that were all there, unchanged,
 *     before and after it was committed: a purge in between takes it, too.
 *   - Nobody waits for it.
 */
#include <stdlib.h>

#include "larder/check.h"
#include "proxy/source.h"
#include "proxy/splice.h"
#include "proxy/worker.h"

#define SPLICE_MAGIC 0x73706c69u
/* At a time, of a worker. */
#define SPLICES_MAX  4u
/* Bytes a loop turn, and of that in one piece. */
#define SPLICE_TURN  (512u * 1024)
#define SPLICE_PIECE (64u * 1024)

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
	struct bytes key, variant; /* of what is made */
	struct member members[CACHE_CANDIDATES_MAX];
	unsigned count;
	struct source source;
	struct blob *to;
	char piece[SPLICE_PIECE];
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
	source_close(&s->source);
	mailbox_cancel(&s->note);
	arena_release(&s->arena);
	list_remove(&s->node);
	s->magic = 0;
	loop_discard(s->w->loop, &s->garbage, destroy);
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

/* Are all parts still as they were? *made: the id of what was made of them, 0:
 * it is not there. */
static bool
is_unchanged(struct splice *s, uint64_t *made)
{
	struct store_found found;

	*made = 0;
	if (store_find(s->w->view, s->key, &s->arena, &found) != 0)
		return false;
	for (unsigned i = 0; i < found.count; i++)
		if (bytes_eq(found.records[i].variant, s->variant))
			*made = found.records[i].id;
	for (unsigned i = 0; i < s->count; i++)
		if (!has_member(&found, &s->members[i]))
			return false;
	return true;
}

static void
finish(struct splice *s)
{
	struct store *store = proxy_store(s->w->proxy);
	uint64_t made;

	if (!is_unchanged(s, &made) || made != 0 || blob_commit(s->to) < 0)
		return;
	if (!is_unchanged(s, &made)) {
		if (made != 0)
			store_remove(store, s->key, made);
		return;
	}
	for (unsigned i = 0; made != 0 && i < s->count; i++)
		if (s->members[i].within)
			store_remove(store, s->key, s->members[i].id);
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
	err = source_peek(&s->source,
	    room < sizeof(s->piece) ? room : sizeof(s->piece), &slice);
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

static void
on_note(void *arg)
{
	struct splice *s = arg;
	size_t moved = 0, n = 0;
	int err = 0;

	check_magic(s, SPLICE_MAGIC);
	while (err == 0 && moved < SPLICE_TURN) {
		err = move_some(s, &n);
		moved += err == 0 ? n : 0;
	}
	/* Without room on disk it is not worth it. */
	if (blob_is_window(s->to))
		err = LARDER_NOSPACE;
	if (err == 0)
		mailbox_post(&s->note);
	if (err == LARDER_ABSENT)
		finish(s);
	if (err != 0 && err != LARDER_AGAIN)
		end(s);
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
create_blob(struct splice *s, const struct store_record *mine,
    const struct cache_stored *stored, struct http_range range,
    struct bytes form)
{
	struct cache_meta meta = stored->meta;
	struct store_new new = {
	    .key = s->key,
	    .head = form,
	    .expires = mine->expires,
	    .body_size = range.to - range.from,
	    .storable = true,
	};

	meta.part.from = range.from;
	meta.part.to = range.to;
	if (range.from == 0 && range.to == meta.part.complete)
		meta.part = (struct cache_extent){0};
	s->variant = cache_is_part(&meta)
			 ? cache_part_variant(&meta, stored->variant, &s->arena)
			 : arena_copy(&s->arena, stored->variant);
	new.variant = s->variant;
	new.meta = cache_meta_encode(&meta, &s->arena);
	if (new.variant.p == NULL || new.meta.p == NULL)
		return LARDER_NOMEM;
	return store_create(proxy_store(s->w->proxy), &new, &s->to);
}

static bool
has_place(const struct worker *w, struct bytes key)
{
	unsigned n = 0;

	list_each (node, &w->splices) {
		if (bytes_eq(container_of(node, struct splice, node)->key, key))
			return false;
		n++;
	}
	return n < SPLICES_MAX;
}

void
splice_begin(struct worker *w, const struct store_found *found,
    const struct cache_stored *stored, unsigned at, struct bytes form)
{
	const struct store_record *mine = &found->records[at];
	struct cache_cover cover;
	struct http_range range;
	struct splice *s;

	if (w->draining || !has_place(w, mine->key) ||
	    !cache_neighbours(stored, found->count, (int)at, &range))
		return;
	cache_cover(
	    stored, found->count, (int)at, range.from, range.to, &cover);
	if (cover.gaps > 0 || cover.count < 2)
		return;
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return;
	s->magic = SPLICE_MAGIC;
	s->w = w;
	arena_init(&s->arena, WORKER_ARENA);
	mailbox_note_init(&s->note, w->mailbox, on_note, s);
	list_append(&w->splices, &s->node);
	s->key = arena_copy(&s->arena, mine->key);
	if (s->key.p == NULL || open_source(s, found, stored, &cover) != 0 ||
	    create_blob(s, mine, &stored[at], range, form) != 0) {
		end(s);
		return;
	}
	blob_set_producer(s->to, mailbox_post, &s->note);
	mailbox_post(&s->note);
}

void
splices_abort_all(struct worker *w)
{
	while (!list_empty(&w->splices))
		end(container_of(w->splices.next, struct splice, node));
}
