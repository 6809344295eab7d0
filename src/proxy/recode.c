/*
 * From slices of a source to slices of another coding.
 *
 * What always holds: nothing of the source is held between two calls but what
 * the coder has taken; what the coder took, the source was told.
 */
#include "proxy/recode.h"

#include <stdlib.h>

#include "larder/check.h"
#include "proxy/worker.h"

/* Calls of the coder in a turn: the slowest, gzip, takes a third of a
 * millisecond for one. */
#define STEPS 2

struct recode {
	struct worker *w;
	struct http_coder *coder;
	size_t charged; /* of w->coding */
	unsigned steps; /* left in this turn */
	bool tired, failed;
	bool ended;	/* all of it is in out, or was */
	uint64_t taken; /* bytes of the source, so far */
	size_t at, n;	/* of out: what is not read yet */
	char out[HTTP_CODER_PIECE];
	char in[HTTP_CODER_PIECE]; /* of a file */
};

static void
charge(struct recode *r)
{
	size_t now = sizeof(*r) + http_coder_memory(r->coder);

	r->w->coding += now;
	r->w->coding -= r->charged;
	r->charged = now;
}

int
recode_new(struct worker *w, enum http_coding from, enum http_coding to,
    uint64_t limit, struct recode **out)
{
	struct recode *r;

	*out = NULL;
	if (w->coding >= WORKER_CODING)
		return LARDER_NOMEM;
	r = malloc(sizeof(*r));
	if (r == NULL)
		return LARDER_NOMEM;
	memset(r, 0, offsetof(struct recode, out));
	r->w = w;
	if (http_coder_new(from, to, limit, &r->coder) < 0) {
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
	http_coder_free(&r->coder);
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
		err = blob_slice_copy(&slice, r->in);
		slice.mem = r->in;
	}
	*in = bytes_of(slice.mem, slice.n);
	return err;
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
	err =
	    http_coder_step(r->coder, &in, more, r->out, sizeof(r->out), &r->n);
	charge(r);
	if (given > in.n)
		source_advance(source, given - in.n);
	r->taken += given - in.n;
	r->ended = err == LARDER_ABSENT;
	if (r->ended)
		return 0;
	if (err == LARDER_AGAIN)
		return given > 0 || r->n > 0 ? 0 : err;
	r->failed = err < 0;
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
	out->mem = r->out + r->at;
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
