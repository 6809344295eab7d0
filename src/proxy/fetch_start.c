/*
 * The start of a fetch: all that it needs of the exchange is copied, since
 * that may leave first.
 */
#include <stdlib.h>

#include "proxy/exchange.h"
#include "proxy/fetch.h"

static int
copy_stored(struct fetch *f, const struct exchange *x)
{
	unsigned n = x->found.count;

	f->chosen = x->decision.chosen;
	if (n == 0)
		return 0;
	f->stored = arena_alloc(&f->arena, n * sizeof(*f->stored));
	f->records = arena_alloc(&f->arena, n * sizeof(*f->records));
	if (f->stored == NULL || f->records == NULL)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < n; i++) {
		struct bytes meta =
		    arena_copy(&f->arena, x->found.records[i].meta);

		f->records[i] = x->found.records[i];
		f->records[i].key = f->key;
		f->records[i].variant =
		    arena_copy(&f->arena, x->found.records[i].variant);
		f->records[i].meta = meta;
		if (meta.p == NULL || f->records[i].variant.p == NULL)
			return LARDER_NOMEM;
		(void)cache_stored_decode(meta, f->records[i].variant,
		    f->records[i].body_size, &f->stored[i]);
	}
	f->stored_count = n;
	return 0;
}

static void
set_origin(struct fetch *f)
{
	if (f->site != NULL)
		f->origin = (struct upstream_target){
		    .tls = f->site->origin_tls,
		    .host = bytes_str(f->site->origin_host),
		    .port = f->site->origin_port,
		};
	else
		f->origin = (struct upstream_target){
		    .tls = f->target.tls,
		    .host = f->target.host,
		    .port = f->target.port,
		};
}

/* What is stored so coded still holds only if it is asked for so. */
static int
set_coding(struct fetch *f)
{
	bool coded = false;

	if (f->chosen >= 0 && !cache_is_part(&f->stored[f->chosen].meta)) {
		enum http_coding coding =
		    cache_coding_of(f->stored[f->chosen].meta.flags);

		coded =
		    coding == HTTP_CODING_GZIP || coding == HTTP_CODING_ZSTD;
	}
	return cache_coding_ask(
	    &f->cache_request, &f->policy, coded, &f->arena);
}

/* Everything of the exchange that is needed when it has gone. */
static int
copy_request(struct fetch *f, const struct exchange *x, bool background)
{
	struct http_limits limits = worker_request_limits(x->conf);
	struct bytes raw = arena_copy(&f->arena, x->raw);
	struct http_fault fault;

	f->key = arena_copy(&f->arena, x->key);
	f->conf = conf_ref(x->conf);
	if (raw.p == NULL ||
	    http_parse_request(raw, &limits, &f->arena, &f->request, &fault) <
		0 ||
	    http_target_parse(&f->request, &f->arena, &f->target, &fault) < 0)
		return LARDER_NOMEM;
	/* What revalidates for the cache alone may bring a body for it. */
	if (background) {
		f->request.method = HTTP_GET;
		f->request.method_text = BYTES("GET");
	}
	cache_request_init(&f->cache_request, &f->request);
	f->cache_request.target = &f->target;
	f->policy = x->policy;
	f->site = x->site;
	f->action = x->decision.action;
	set_origin(f);
	if (copy_stored(f, x) < 0)
		return LARDER_NOMEM;
	return f->action == CACHE_PASS ? 0 : set_coding(f);
}

int
fetch_start(struct exchange *x, struct flight *flight, bool background)
{
	struct worker *w = x->w;
	struct fetch *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return LARDER_NOMEM;
	arena_init(&f->arena, WORKER_ARENA);
	f->magic = FETCH_MAGIC;
	f->w = w;
	f->background = background;
	if (copy_request(f, x, background) < 0)
		goto failed;
	if (background)
		f->action = CACHE_REVALIDATE;
	else
		f->leader = x;
	/* Unless it passes, or is for a part, the whole is asked for. */
	if (f->action != CACHE_PASS && f->action != CACHE_PART)
		f->cache_request.partial = false;
	if (f->action == CACHE_PART || f->action == CACHE_COMPLETE)
		f->part = x->asks;
	if (f->action == CACHE_COMPLETE) {
		f->begun = x->answered;
		f->stored_form = arena_copy(&f->arena, x->form);
		if (f->stored_form.p == NULL)
			goto failed;
	}
	f->uploads = !background && !http_body_done(&x->body);
	if (ask_write(f) < 0)
		goto failed;
	f->flight = flight_ref(flight);
	if (!background)
		x->fetch = f;
	fetch_run(f);
	return 0;
failed:
	if (f->conf != NULL)
		conf_unref(&f->conf);
	arena_release(&f->arena);
	free(f);
	return LARDER_NOMEM;
}
