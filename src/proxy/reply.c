/*
 * From the origin's head to the flight's result: what is stored, what is
 * shared, and what a 304 means (RFC 9111 3, 4.3, 4.4).
 */
#include "cache/fresh.h"
#include "cache/validate.h"
#include "http/list.h"
#include "larder/check.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/interim.h"

/* Interim responses to one request. */
#define INTERIMS_MAX 16

void
reply_interim(struct fetch *f)
{
	struct exchange *x = f->leader;

	if (f->response.status == 101) {
		/* Never asked for: Upgrade does not pass. */
		fetch_fail(f, 502, "bad-answer",
		    "The origin switched protocols without being asked.");
		return;
	}
	if (++f->interims > INTERIMS_MAX) {
		fetch_fail(f, 502, "bad-answer",
		    "The origin sent too many interim responses.");
		return;
	}
	/* All of them, asked for or not: RFC 9110 15.2. */
	if (x != NULL && x->head.minor >= 1)
		interim_relay(x, &f->response);
}

/* ---- results ---------------------------------------------------------- */

/* What the result points to must live as long as the flight. */
static bool
copy_admission(struct flight_result *result, struct arena *arena,
    const struct cache_admission *admission, struct bytes form)
{
	struct bytes meta = cache_meta_encode(&admission->meta, arena);

	result->form = arena_copy(arena, form);
	result->variant = arena_copy(arena, admission->variant);
	return meta.p != NULL && result->form.p != NULL &&
	       result->variant.p != NULL &&
	       cache_meta_decode(meta, &result->meta) == 0;
}

static void
set_peer(struct fetch *f, struct flight_result *result)
{
	if (f->conn != NULL)
		addr_format_host(conn_peer(f->conn), result->peer);
	else
		memcpy(result->peer, "-", 2);
}

static uint64_t
announced_length(const struct fetch *f)
{
	uint64_t n;

	if (f->body.framing == HTTP_BODY_LENGTH)
		return f->body.left;
	if (f->body.framing != HTTP_BODY_NONE)
		return STORE_UNKNOWN;
	/* Of HEAD: what a GET would have brought. */
	if (bytes_decimal(http_value(&f->response, HTTP_F_CONTENT_LENGTH),
		UINT64_MAX - 1, &n))
		return n;
	return f->request.method == HTTP_HEAD ? STORE_UNKNOWN : 0;
}

static void
out_of_memory(struct fetch *f)
{
	fetch_fail(f, 502, "no-memory", "The origin's head is too large.");
}

static struct bytes
stored_variant(struct fetch *f, const struct cache_admission *admission)
{
	if (!cache_is_part(&admission->meta))
		return admission->variant;
	return cache_part_variant(
	    &admission->meta, admission->variant, &f->arena);
}

static int
create_blob(
    struct fetch *f, const struct cache_admission *admission, struct bytes form)
{
	const struct cache_extent *part = &admission->meta.part;
	bool is_part = cache_is_part(&admission->meta);
	struct bytes meta = cache_meta_encode(&admission->meta, &f->arena);
	struct bytes variant = stored_variant(f, admission);
	struct store_new new = {
	    .key = f->key,
	    .variant = variant,
	    .meta = meta,
	    .head = form,
	    .expires = admission->expires,
	    .body_size = is_part ? part->to - part->from
			 : f->body.framing == HTTP_BODY_LENGTH ? f->body.left
			 : f->body.framing == HTTP_BODY_NONE   ? 0
							       : STORE_UNKNOWN,
	    .storable = admission->store,
	};

	if (meta.p == NULL || variant.p == NULL)
		return LARDER_NOMEM;
	return store_create(proxy_store(f->w->proxy), &new, &f->blob);
}

static void
drop_chosen(struct fetch *f)
{
	store_remove(
	    proxy_store(f->w->proxy), f->key, f->records[f->chosen].id);
}

/* The answer that must not be kept says that what is kept is no longer so
 * (but a failing origin says nothing of it). */
static void
drop_superseded(struct fetch *f)
{
	if (f->action == CACHE_PASS || f->response.status >= 500 ||
	    f->chosen < 0)
		return;
	/* Nor does one that the request provoked. */
	if (f->cache_request.odd && f->response.status >= 400)
		return;
	if (f->action == CACHE_COMPLETE)
		part_drop(f);
	else
		drop_chosen(f);
}

static bool
stale_may_stand_in(const struct fetch *f)
{
	return cache_is_failure(f->response.status) && f->chosen >= 0 &&
	       cache_may_serve_stale(&f->cache_request,
		   &f->stored[f->chosen].meta, f->response_time, &f->policy);
}

void
reply_publish(
    struct fetch *f, struct cache_admission *admission, struct bytes form)
{
	bool is_part = cache_is_part(&admission->meta);
	struct flight_result result = {
	    .kind = FLIGHT_RESPONSE,
	    .shared = admission->store,
	    .stored = admission->store,
	    /* A 206 that holds all of it is a 200. */
	    .status = admission->meta.status,
	    .length =
		is_part ? admission->meta.part.complete : announced_length(f),
	    .trailers = !is_part && f->body.framing == HTTP_BODY_CHUNKED &&
			http_has(&f->response, HTTP_F_TRAILER),
	};

	if (form.p == NULL || create_blob(f, admission, form) < 0 ||
	    !copy_admission(&result, &f->flight->arena, admission, form)) {
		out_of_memory(f);
		return;
	}
	if (admission->store && !is_part && cache_form_strips(&f->response))
		result.own_form = cache_head_form(
		    &f->response, false, f->response_time, &f->flight->arena);
	if (result.trailers)
		result.trailer_names = arena_copy(&f->flight->arena,
		    http_value(&f->response, HTTP_F_TRAILER));
	set_peer(f, &result);
	result.blob = blob_ref(f->blob);
	blob_set_producer(f->blob, mailbox_post, &f->note);
	f->state = FETCH_BODY;
	f->body_since = loop_mono_ms(f->w->loop);
	flight_publish(f->flight, &result);
	if (f->body.framing == HTTP_BODY_NONE)
		fetch_finish(f);
	else if (!fetch_is_wanted(f))
		fetch_fail(f, 502, "abandoned", "Nobody waits for it.");
	else
		fetch_pump(f);
}

/* Does it say something of the stored response to GET (RFC 9111 4.3.5)? What
 * is for one user does not. */
static bool
is_head_of_stored(const struct fetch *f)
{
	return f->request.method == HTTP_HEAD && f->response.status == 200 &&
	       f->chosen >= 0 && !f->cache_request.authorized;
}

void
reply_on_response(struct fetch *f)
{
	struct cache_admission admission;
	struct bytes form;

	if (cache_admit(&f->cache_request, &f->response, f->request_time,
		f->response_time, &f->policy, &f->arena, &admission) < 0) {
		out_of_memory(f);
		return;
	}
	/* A POST always goes through; what it brings may be a GET's. */
	if ((f->action == CACHE_PASS && f->request.method != HTTP_POST) ||
	    stale_may_stand_in(f))
		admission.store = false;
	else if (!admission.store && !is_head_of_stored(f))
		drop_superseded(f);
	/* What says something about those who would have shared it. */
	if (f->flight->joinable && !f->flight->is_part && !admission.store &&
	    f->response.status < 500 && !f->cache_request.odd)
		flight_mark_private(
		    proxy_flights(f->w->proxy), f->key, f->response_time);
	reply_invalidate(f);
	form = cache_head_form(
	    &f->response, admission.store, f->response_time, &f->arena);
	reply_publish(f, &admission, form);
}

/* ---- 304 -------------------------------------------------------------- */

static void
drop_and_ask_again(struct fetch *f)
{
	blob_reader_close(&f->stored_reader);
	if (f->chosen >= 0)
		drop_chosen(f);
	fetch_ask_again(f);
}

static void
publish_refreshed(struct fetch *f, struct bytes form,
    struct cache_admission *admission, struct blob *blob)
{
	struct flight_result result = {
	    .kind = FLIGHT_REFRESHED,
	    .shared = admission->store,
	    .stored = admission->store,
	    .status = f->stored[f->chosen].meta.status,
	    .length = f->stored[f->chosen].body_size,
	    .id = f->records[f->chosen].id,
	};

	set_peer(f, &result);
	if (!copy_admission(&result, &f->flight->arena, admission, form)) {
		out_of_memory(f);
		return;
	}
	result.blob = blob_ref(blob);
	flight_publish(f->flight, &result);
	fetch_finish(f);
}

/* What is stored gets the new head, or goes. */
static void
update_stored(
    struct fetch *f, struct bytes form, const struct cache_admission *admission)
{
	struct bytes meta = cache_meta_encode(&admission->meta, &f->arena);
	struct bytes variant = stored_variant(f, admission);

	if (!admission->store || meta.p == NULL || variant.p == NULL)
		drop_chosen(f);
	else
		store_move(f->w->view, f->key, f->records[f->chosen].id,
		    variant, meta, form, admission->expires);
}

void
reply_merge(struct fetch *f)
{
	struct cache_admission admission;
	struct bytes head, form;
	int err = blob_reader_head(&f->stored_reader, &head);

	if (err == LARDER_AGAIN)
		return;
	if (err == 0)
		err = cache_freshen(&f->cache_request, head,
		    &f->stored[f->chosen], &f->response, f->request_time,
		    f->response_time, &f->policy, &f->arena, &form, &admission);
	if (err == 0)
		update_stored(f, form, &admission);
	if (f->response.status != 304)
		reply_on_response(f);
	else if (err < 0)
		drop_and_ask_again(f);
	else
		publish_refreshed(f, form, &admission, f->stored_reader.blob);
}

/* Opens the stored one that is chosen, for its head. */
static int
begin_merging(struct fetch *f)
{
	struct blob *blob = NULL;
	int err = store_open_blob(f->w->view, &f->records[f->chosen], &blob);

	if (err == 0) {
		err = blob_reader_open(&f->stored_reader, f->w->view, blob, 0,
		    STORE_UNKNOWN, mailbox_post, &f->note);
		blob_unref(&blob);
	}
	if (err == 0) {
		f->state = FETCH_MERGING;
		reply_merge(f);
	}
	return err;
}

static void
on_not_modified(struct fetch *f)
{
	int chosen = cache_select_304(
	    &f->response, f->stored, f->stored_count, f->chosen);

	/* A part whose validator is weak could be joined wrongly once its date
	 * has changed. */
	if (chosen >= 0 && cache_is_part(&f->stored[chosen].meta) &&
	    !cache_is_strong(&f->stored[chosen].meta))
		chosen = -1;
	if (chosen >= 0)
		f->chosen = chosen;
	if (chosen < 0 || begin_merging(f) != 0)
		drop_and_ask_again(f);
}

static void
on_head_of_stored(struct fetch *f)
{
	if (!cache_head_agrees(&f->response, &f->stored[f->chosen]))
		drop_chosen(f);
	else if (begin_merging(f) == 0)
		return;
	reply_on_response(f);
}

/*
 * May what comes next on the connection be something else than the answer to
 * the next request? An origin may send the body that its 204 announces (RFC
 * 9112 6.1); one that answers before it has the whole request, or does not look
 * for a body behind GET, may take that for a request.
 */
static bool
is_doubtful(const struct fetch *f)
{
	const struct http_head *r = &f->response;
	struct bytes length = http_value(r, HTTP_F_CONTENT_LENGTH);

	if (r->status == 204 &&
	    (http_has(r, HTTP_F_TRANSFER_ENCODING) ||
		(length.n > 0 && !bytes_eq(length, BYTES("0")))))
		return true;
	return !fetch_is_asked(f) || (f->cache_request.content &&
					 (f->request.method == HTTP_GET ||
					     f->request.method == HTTP_HEAD));
}

void
reply_on_head(struct fetch *f)
{
	cache_strip(&f->response, &f->policy);
	if (f->response.status == 407) {
		/* RFC 9110 15.5.8: of a proxy alone, and we sent nobody else's
		 * credentials there, nor shall a client send ours. */
		fetch_fail(f, 502, "bad-answer",
		    "The origin asked for credentials as only a proxy may.");
		return;
	}
	f->reusable = f->response.minor >= 1 &&
		      f->body.framing != HTTP_BODY_CLOSE && !is_doubtful(f) &&
		      !http_connection_has(&f->response, BYTES("close"));
	/* An origin that says no does not want the rest. */
	if (!fetch_is_asked(f) && f->response.status >= 400)
		f->write_failed = true;
	if (f->response.status == 304 && f->action == CACHE_REVALIDATE &&
	    !f->unconditional)
		on_not_modified(f);
	else if (f->action == CACHE_COMPLETE && !f->unconditional)
		part_on_head(f);
	else if (f->response.status == 304 && !f->conditional &&
		 http_method_safe(f->request.method))
		fetch_fail(f, 502, "bad-answer",
		    "The origin says that nothing has changed, without having "
		    "been asked so.");
	else if (f->action == CACHE_PART && !f->unconditional)
		part_on_head(f);
	else if (is_head_of_stored(f))
		on_head_of_stored(f);
	else
		reply_on_response(f);
}
