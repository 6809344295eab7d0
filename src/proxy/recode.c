/*
 * From slices of a source to slices of another coding; or from what was made of
 * it before, without the source.
 *
 * What always holds: nothing of the source is held between two calls but what
 * the coder has taken; what the coder took, the source was told.
 */
#include "proxy/recode.h"

#include <stdlib.h>

#include "larder/check.h"
#include "proxy/coded.h"
#include "proxy/worker.h"

/* Calls of the coder in a turn: the slowest, gzip, takes a third of a
 * millisecond for one. */
#define STEPS	   2
/* Of the memory tier's bytes a worker keeps so many of what was coded. */
#define KEPT_PART  32u
#define KEPT_BYTES (16u * 1024 * 1024)

struct buffers {
	char out[HTTP_CODER_PIECE];
	char in[HTTP_CODER_PIECE]; /* of a file */
};

struct recode {
	struct worker *w;
	struct http_coder *coder;
	size_t charged; /* of w->coding */
	unsigned steps; /* left in this turn */
	bool tired, failed;
	bool ended;	/* all of it is in out, or was */
	uint64_t taken; /* bytes of the source, so far */
	size_t at, n;	/* of out: what is not read yet */
	/* Made before: instead of coder and buffers. */
	struct coded_body *kept;
	/* Being made: all of it so far; id 0: it is not to be kept. */
	uint64_t id;
	enum http_coding to;
	char *all;
	size_t all_n, all_room;
	struct buffers *buffers;
};

/* What is kept counts for each that holds it: it may be let go of meanwhile. */
static void
charge(struct recode *r)
{
	size_t now = sizeof(*r) +
		     (r->kept ? r->kept->n
			      : sizeof(*r->buffers) +
				    http_coder_memory(r->coder) + r->all_room);

	r->w->coding += now;
	r->w->coding -= r->charged;
	r->charged = now;
}

/* What was made for somebody else. */
static struct recode *
from_kept(struct worker *w, struct coded_body *kept)
{
	struct recode *r = calloc(1, sizeof(*r));

	if (r == NULL) {
		coded_unref(&kept);
		return NULL;
	}
	r->w = w;
	r->kept = kept;
	r->n = kept->n;
	r->ended = true;
	r->taken = kept->raw;
	charge(r);
	return r;
}

int
recode_new(struct worker *w, enum http_coding from, enum http_coding to,
    uint64_t limit, uint64_t id, struct recode **out)
{
	struct coded_body *kept;
	struct recode *r;

	*out = NULL;
	if (w->coding >= WORKER_CODING)
		return LARDER_NOMEM;
	kept = id ? coded_find(w->coded, id, to) : NULL;
	if (kept != NULL) {
		*out = from_kept(w, kept);
		return *out ? 0 : LARDER_NOMEM;
	}
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return LARDER_NOMEM;
	r->w = w;
	r->id = id;
	r->to = to;
	r->buffers = malloc(sizeof(*r->buffers));
	if (r->buffers == NULL ||
	    http_coder_new(from, to, limit, &r->coder) < 0) {
		free(r->buffers);
		free(r);
		return LARDER_NOMEM;
	}
	charge(r);
	*out = r;
	return 0;
}

void
recode_free(struct recode **recode)
{
	struct recode *r = *recode;

	*recode = NULL;
	if (r == NULL)
		return;
	r->w->coding -= r->charged;
	if (r->kept == NULL)
		http_coder_free(&r->coder);
	coded_unref(&r->kept);
	free(r->buffers);
	free(r->all);
	free(r);
}

void
recode_turn(struct recode *r)
{
	r->steps = STEPS;
	r->tired = false;
}

/* The source's next bytes, and what is behind them. 0, or its error. */
static int
take(struct recode *r, struct source *source, bool growing, struct bytes *in,
    enum http_coder_more *more)
{
	struct blob_slice slice;
	int err = source_peek(source, HTTP_CODER_PIECE, &slice);

	*in = bytes_of("", 0);
	if (err == LARDER_ABSENT) {
		*more = HTTP_CODER_END;
		return 0;
	}
	if (err == LARDER_AGAIN) {
		*more = growing ? HTTP_CODER_LATER : HTTP_CODER_MORE;
		return 0;
	}
	if (err != 0)
		return err;
	*more = HTTP_CODER_MORE;
	if (slice.mem == NULL) {
		err = blob_slice_copy(&slice, r->buffers->in);
		slice.mem = r->buffers->in;
	}
	*in = bytes_of(slice.mem, slice.n);
	return err;
}

/* What was made last is kept for the next client, if it stays short. */
static void
collect(struct recode *r)
{
	size_t most = r->w->conf->cache_memory / KEPT_PART;

	if (r->id == 0 || r->failed)
		return;
	if (r->all_n + r->n > r->all_room && r->all_room < CODED_MAX) {
		char *more = realloc(r->all, CODED_MAX);

		r->all = more ? more : r->all;
		r->all_room = more ? CODED_MAX : r->all_room;
	}
	if (r->all_n + r->n > r->all_room) {
		r->id = 0;
		free(r->all);
		r->all = NULL;
		r->all_room = 0;
		return;
	}
	if (r->n > 0)
		memcpy(r->all + r->all_n, r->buffers->out, r->n);
	r->all_n += r->n;
	if (r->ended)
		coded_keep(r->w->coded, r->id, r->to, r->taken, r->all,
		    r->all_n, most < KEPT_BYTES ? most : KEPT_BYTES);
}

/* One call of the coder. LARDER_AGAIN: the source is to be waited for. */
static int
step(struct recode *r, struct source *source, bool growing)
{
	enum http_coder_more more;
	struct bytes in;
	size_t given;
	int err = take(r, source, growing, &in, &more);

	if (err != 0)
		return err;
	given = in.n;
	r->at = 0;
	err = http_coder_step(r->coder, &in, more, r->buffers->out,
	    sizeof(r->buffers->out), &r->n);
	if (given > in.n)
		source_advance(source, given - in.n);
	r->taken += given - in.n;
	r->ended = err == LARDER_ABSENT;
	r->failed = err < 0 && !r->ended && err != LARDER_AGAIN;
	collect(r);
	charge(r);
	if (r->ended)
		return 0;
	if (err == LARDER_AGAIN)
		return given > 0 || r->n > 0 ? 0 : err;
	return err;
}

int
recode_peek(struct recode *r, struct source *source, bool growing, size_t max,
    struct blob_slice *out)
{
	int err;

	*out = (struct blob_slice){.fd = -1};
	while (r->n == 0) {
		if (r->ended)
			return LARDER_ABSENT;
		if (r->steps == 0) {
			r->tired = true;
			return LARDER_AGAIN;
		}
		r->steps--;
		err = step(r, source, growing);
		if (err != 0)
			return err;
	}
	out->mem = (r->kept ? r->kept->data : r->buffers->out) + r->at;
	out->n = r->n < max ? r->n : max;
	return 0;
}

void
recode_advance(struct recode *r, size_t n)
{
	check(n <= r->n);
	r->at += n;
	r->n -= n;
}

uint64_t
recode_length(const struct recode *r)
{
	return r->kept ? r->kept->n : STORE_UNKNOWN;
}

bool
recode_is_tired(const struct recode *r)
{
	return r->tired;
}

bool
recode_has_failed(const struct recode *r)
{
	return r->failed;
}

uint64_t
recode_taken(const struct recode *r)
{
	return r->taken;
}
