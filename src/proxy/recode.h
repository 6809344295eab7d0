/*
 * A stage behind a source: its bytes in another content coding, made at the
 * pace of who reads them. Holds one buffer of output, and in a turn does a
 * bounded work; all of a worker's together stay within WORKER_CODING bytes.
 */
#ifndef PROXY_RECODE_H
#define PROXY_RECODE_H

#include "http/coding.h"
#include "proxy/source.h"

struct recode;
struct worker;

/* What is decoded may reach `limit` bytes. id: the source is all of that stored
 * record's body, whole, and what is made of it may be kept, or is there
 * already; else 0. LARDER_NOMEM, also when the worker has too many already. */
int recode_new(struct worker *w, enum http_coding from, enum http_coding to,
    uint64_t limit, uint64_t id, struct recode **out);
void recode_free(struct recode **recode);

/* Bytes of all that it will give, or STORE_UNKNOWN. */
uint64_t recode_length(const struct recode *r);

/* Another turn begins. */
void recode_turn(struct recode *r);

/*
 * As source_peek(), which it calls; the slice is in memory. growing: the source
 * has more when its origin sends it, so that what there is goes out meanwhile.
 * LARDER_AGAIN with recode_is_tired(): not the source is waited for, but the
 * next turn. With recode_has_failed() the error is the coding's, not the
 * source's.
 */
int recode_peek(struct recode *r, struct source *source, bool growing,
    size_t max, struct blob_slice *out);
void recode_advance(struct recode *r, size_t n);
bool recode_is_tired(const struct recode *r);
bool recode_has_failed(const struct recode *r);
/* Bytes of the source that the coder has taken so far. */
uint64_t recode_taken(const struct recode *r);

#endif
