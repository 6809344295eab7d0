/*
 * Inside of `explain`: what the walk finds, and how it is told.
 */
#ifndef ADMIN_EXPLAIN_H
#define ADMIN_EXPLAIN_H

#include "admin/jobs.h"
#include "cache/admit.h"
#include "cache/coding.h"
#include "cache/decide.h"
#include "http/target.h"

struct explained {
	const struct job_env *env;
	struct store_view *view;
	struct arena *arena;
	struct http_target target;
	struct http_head head;
	struct bytes key; /* that is looked up */
	struct bytes url;
	struct cache_request request;
	struct cache_policy policy;
	const struct conf_site *site; /* whose request it would be, or NULL */
	const struct conf_rule *rule;
	struct store_found found;
	struct cache_stored *stored; /* of found's, those that decode */
	unsigned *index;	     /* of each, in found */
	unsigned count;
	struct cache_decision decision;
	int64_t now; /* seconds */
};

/* The stored form of a head, into the arena. 0 or an error. May block for as
 * long as a disk takes. */
int explain_head(
    struct explained *e, const struct store_record *record, struct bytes *out);

/* explain_answer.c. LARDER_NOMEM. */
int explain_answer(struct explained *e, json_t **out);

#endif
