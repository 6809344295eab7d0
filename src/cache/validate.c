/*
 * Asking an origin whether what is stored still holds, and what its answer
 * means for it.
 */
#include "cache/validate.h"

#include "cache/etag.h"
#include "cache/coding.h"
#include "cache/vary.h"
#include "http/date.h"

/* Is the tag of stored[at], which is not the chosen one, written already? */
static bool
is_repeated(const struct cache_stored *stored, unsigned at, int chosen)
{
	struct bytes etag = stored[at].meta.etag;

	if (chosen >= 0 && bytes_eq(stored[chosen].meta.etag, etag))
		return true;
	for (unsigned i = 0; i < at; i++)
		if (bytes_eq(stored[i].meta.etag, etag))
			return true;
	return false;
}

static void
write_tag(struct http_out *out, bool *any, struct bytes etag)
{
	http_out_bytes(out, *any ? BYTES(", ") : BYTES("If-None-Match: "));
	http_out_bytes(out, etag);
	*any = true;
}

bool
cache_conditions(struct http_out *out, const struct cache_stored *stored,
    unsigned count, int chosen)
{
	char date[HTTP_DATE_SIZE];
	bool any = false;

	if (chosen >= 0 && stored[chosen].meta.etag.n > 0)
		write_tag(out, &any, stored[chosen].meta.etag);
	for (unsigned i = 0; i < count; i++)
		if ((int)i != chosen && stored[i].meta.etag.n > 0 &&
		    !is_repeated(stored, i, chosen))
			write_tag(out, &any, stored[i].meta.etag);
	if (any)
		http_out_bytes(out, BYTES("\r\n"));
	if (chosen >= 0 &&
	    stored[chosen].meta.last_modified != HTTP_DATE_INVALID) {
		http_out_field(out, BYTES("If-Modified-Since"),
		    cache_last_modified(&stored[chosen].meta, date));
		any = true;
	}
	return any;
}

struct selection {
	const struct cache_stored *stored;
	unsigned count;
	int chosen;
};

static bool
fits(const struct cache_meta *m, struct bytes etag, int64_t modified)
{
	if (etag.n > 0)
		return m->etag.n > 0 &&
		       (cache_etag_is_weak(etag)
			       ? cache_etag_weak_eq(m->etag, etag)
			       : cache_etag_strong_eq(m->etag, etag));
	return m->last_modified == modified;
}

/* The chosen one if it fits, else the newest that does. */
static int
best_fit(const struct selection *s, struct bytes etag, int64_t modified)
{
	int best = -1;

	if (s->chosen >= 0 && fits(&s->stored[s->chosen].meta, etag, modified))
		return s->chosen;
	for (unsigned i = 0; i < s->count; i++)
		if (fits(&s->stored[i].meta, etag, modified) &&
		    (best < 0 ||
			s->stored[i].meta.date > s->stored[best].meta.date))
			best = (int)i;
	return best;
}

/*
 * A 304 that names none. RFC 9111 4.3.4 knows this case only for one stored
 * response; where If-Modified-Since was the only condition, a 304 need not
 * repeat Last-Modified (RFC 9110 15.4.5), and there is no doubt whom it means.
 */
static int
without_validator(const struct selection *s)
{
	int only = -1;

	if (s->count == 1)
		return 0;
	for (unsigned i = 0; i < s->count; i++) {
		if (s->stored[i].meta.etag.n == 0)
			continue;
		if (only >= 0)
			return -1;
		only = (int)i;
	}
	if (only < 0 || only == s->chosen)
		return s->chosen;
	return -1;
}

int
cache_select_304(const struct http_head *not_modified,
    const struct cache_stored *stored, unsigned count, int chosen)
{
	struct selection s = {stored, count, chosen};
	struct bytes etag = http_value(not_modified, HTTP_F_ETAG);
	int64_t modified;

	if (etag.p != NULL) {
		if (http_count(not_modified, HTTP_F_ETAG) != 1 ||
		    !cache_etag_valid(etag))
			return -1;
		return best_fit(&s, etag, HTTP_DATE_INVALID);
	}
	if (!http_has(not_modified, HTTP_F_LAST_MODIFIED))
		return count > 0 ? without_validator(&s) : -1;
	modified =
	    http_date_parse(http_value(not_modified, HTTP_F_LAST_MODIFIED),
		chosen >= 0 ? stored[chosen].meta.response_time : 0);
	if (modified == HTTP_DATE_INVALID)
		return -1;
	return best_fit(&s, (struct bytes){"", 0}, modified);
}

/* Fields of a 304 that stay as they were stored (RFC 9111 3.2). */
static bool
is_excepted(const struct http_head *stored, const struct http_head *update,
    const struct http_field *field)
{
	struct bytes old = http_value(stored, HTTP_F_ETAG);

	switch ((unsigned)field->id) {
	case HTTP_F_CONTENT_LENGTH:
	case HTTP_F_CONTENT_ENCODING:
	case HTTP_F_CONTENT_RANGE:
	case HTTP_F_AGE:
		return true;
	case HTTP_F_ETAG:
		return old.n > 0 && !cache_etag_is_weak(old) &&
		       cache_etag_is_weak(field->value);
	default:
		return !http_field_passes(update, field);
	}
}

/* Does the update replace the stored field of that name? */
static bool
is_replaced(const struct http_head *stored, const struct http_head *update,
    const struct http_field *field)
{
	const struct http_field *by = NULL;

	while ((by = http_next_named(update, field->name, by)) != NULL)
		if (!is_excepted(stored, update, by))
			return true;
	/* Without a Date of its own it is of now; cache_head_form() adds
	 * that. */
	return field->id == HTTP_F_DATE && !http_has(update, HTTP_F_DATE);
}

static int
merge(const struct http_head *stored, const struct http_head *update,
    struct arena *arena, struct http_head *out)
{
	unsigned room = stored->count + update->count;

	*out = *stored;
	out->minor = update->minor;
	out->count = 0;
	out->present = 0;
	out->fields = arena_alloc(arena, (room + 1) * sizeof(*out->fields));
	if (out->fields == NULL)
		return LARDER_NOMEM;
	http_each_field (f, stored)
		if (!is_replaced(stored, update, f))
			out->fields[out->count++] = *f;
	http_each_field (f, update)
		/* Age is of the update, and counts for its age. */
		if (f->id == HTTP_F_AGE || !is_excepted(stored, update, f))
			out->fields[out->count++] = *f;
	http_each_field (f, out)
		if (f->id < HTTP_F_OTHER)
			out->present |= UINT64_C(1) << f->id;
	return 0;
}

/* Vary names other fields now. It is the variant of the request that validated
 * it; if that is another's, nobody knows whose it is. */
static int
change_variant(const struct cache_request *request,
    const struct cache_stored *stored, const struct http_head *merged,
    struct arena *arena, struct cache_admission *admission)
{
	int err = LARDER_REFUSED;

	if (cache_coding_matches(
		request, stored->variant, &stored->meta, arena))
		err = cache_variant(
		    request->asked, merged, arena, &admission->variant);
	if (err < 0) {
		admission->variant = stored->variant;
		admission->store = false;
		admission->why_not = "Vary has changed";
	}
	return err == LARDER_NOMEM ? err : 0;
}

int
cache_freshen(const struct cache_request *request, struct bytes stored_form,
    const struct cache_stored *stored, const struct http_head *not_modified,
    int64_t request_time, int64_t response_time,
    const struct cache_policy *policy, struct arena *arena, struct bytes *form,
    struct cache_admission *admission)
{
	struct http_head old, merged;
	int err;

	*form = (struct bytes){NULL, 0};
	*admission = (struct cache_admission){.variant = stored->variant};
	err = cache_head_parse(stored_form, arena, &old);
	if (err < 0)
		return err;
	err = merge(&old, not_modified, arena, &merged);
	if (err < 0)
		return err;
	*form = cache_head_form(&merged, true, response_time, arena);
	if (form->p == NULL)
		return LARDER_NOMEM;
	err = cache_readmit(request, &merged, stored->meta.flags, request_time,
	    response_time, policy, arena, admission);
	admission->meta.part = stored->meta.part;
	if (err == 0 && !cache_variant_fits(stored->variant, &merged))
		err =
		    change_variant(request, stored, &merged, arena, admission);
	return err;
}

bool
cache_head_agrees(
    const struct http_head *response, const struct cache_stored *stored)
{
	const struct cache_meta *m = &stored->meta;
	struct bytes value = http_value(response, HTTP_F_ETAG);
	uint64_t ours = cache_is_part(m) ? m->part.complete : stored->body_size;
	uint64_t length;

	/* What a GET would bring now is not of the kind that is stored. */
	if (response->status != m->status)
		return false;
	if (value.p != NULL && !cache_etag_valid(value))
		value.n = 0; /* as one that is stored would be */
	if (value.p != NULL && !cache_etag_weak_eq(value, m->etag))
		return false;
	value = http_value(response, HTTP_F_LAST_MODIFIED);
	if (value.p != NULL &&
	    http_date_parse(value, m->response_time) != m->last_modified)
		return false;
	value = http_value(response, HTTP_F_CONTENT_LENGTH);
	return value.p == NULL ||
	       (bytes_decimal(value, UINT64_MAX, &length) && length == ours);
}

bool
cache_invalidates(
    const struct http_head *request, const struct http_head *response)
{
	/* Methods larder does not know may be unsafe (RFC 9111 4.4). A
	 * tunnel's target is no URI that is stored. */
	return !http_method_safe(request->method) &&
	       request->method != HTTP_CONNECT && response->status >= 200 &&
	       response->status < 400;
}
