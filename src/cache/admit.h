/*
 * Storing (RFC 9111 3) and the stored form of a head. Pure.
 */
#ifndef CACHE_ADMIT_H
#define CACHE_ADMIT_H

#include "cache/meta.h"
#include "cache/request.h"

struct cache_admission {
	bool store;
	const char *why_not; /* static, for Cache-Status and explain */
	struct cache_meta meta;
	struct bytes variant;
	int64_t expires; /* seconds: when it gets stale */
};

/*
 * May the final response to this request be stored? Fills meta in any case.
 * Times in seconds: when the request was sent, and when the head came.
 * LARDER_NOMEM.
 */
int cache_admit(const struct cache_request *request,
    const struct http_head *response, int64_t request_time,
    int64_t response_time, const struct cache_policy *policy,
    struct arena *arena, struct cache_admission *out);

/*
 * The same question for a stored response whose head was freshened. What the
 * request asks of its own answer (method, Range, no-store) does not count, and
 * out->variant is left alone. flags: the stored meta's. LARDER_NOMEM.
 */
int cache_readmit(const struct cache_request *request,
    const struct http_head *stored, unsigned flags, int64_t request_time,
    int64_t response_time, const struct cache_policy *policy,
    struct arena *arena, struct cache_admission *out);

/*
 * The stored form: a status line, "HTTP/1.1 200 OK\r\n", and the field lines
 * that pass on, in order; without Content-Length, Transfer-Encoding, Age and
 * the empty line: who sends it adds these (and Via, Cache-Status). A Date is
 * added if there was none (RFC 9110 6.6.1). Fields that private="..." or
 * no-cache="..." name are left out if for_store. p == NULL: no memory.
 */
struct bytes cache_head_form(const struct http_head *response, bool for_store,
    int64_t response_time, struct arena *arena);

/* Does the form for the store lack fields that who asked gets? */
bool cache_form_strips(const struct http_head *response);

/* A stored form taken apart again (to build a 304 or a 206, or to merge).
 * LARDER_DAMAGED, LARDER_NOMEM. */
int cache_head_parse(
    struct bytes form, struct arena *arena, struct http_head *out);

/* For a 304 that larder itself answers: the stored form's fields that it must
 * have (RFC 9110 15.4.5), with its status line. */
struct bytes cache_head_not_modified(
    const struct http_head *stored, struct arena *arena);

#endif
