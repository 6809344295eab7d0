/*
 * The start of a fetch: all that it needs of the exchange is copied, since
 * that may leave first.
 */
#include <stdlib.h>

#include "larder/zeroed.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"

static int
copy_stored(struct fetch *f, const struct store_found *found, int chosen)
{
	unsigned n = found->count;

	f->chosen = chosen;
	if (n == 0)
		return 0;
	f->stored = arena_alloc(&f->arena, n * sizeof(*f->stored));
	f->records = arena_alloc(&f->arena, n * sizeof(*f->records));
	if (f->stored == NULL || f->records == NULL)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < n; i++) {
		struct bytes meta =
		    arena_copy(&f->arena, found->records[i].meta);

		f->records[i] = found->records[i];
		f->records[i].key = f->key;
		f->records[i].variant =
		    arena_copy(&f->arena, found->records[i].variant);
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

/* What a fetch is made from: an exchange, or another fetch. All is copied. */
struct plan {
	struct conf *conf;
	struct bytes raw, key;
	const struct cache_policy *policy;
	const struct conf_site *site;
	enum cache_action action;
	const struct store_found *found;
	int chosen;
	const struct http_range_spec *part;
	struct bytes form; /* with COMPLETE: of the chosen one */
};

static int
copy_request(struct fetch *f, const struct plan *plan)
{
	struct http_limits limits = worker_request_limits(plan->conf);
	struct http_fault fault;

	f->raw = arena_copy(&f->arena, plan->raw);
	f->key = arena_copy(&f->arena, plan->key);
	f->conf = conf_ref(plan->conf);
	if (f->raw.p == NULL ||
	    http_parse_request(
		f->raw, &limits, &f->arena, &f->request, &fault) < 0 ||
	    http_target_parse(&f->request, &f->arena, &f->target, &fault) < 0)
		return LARDER_NOMEM;
	/* What revalidates for the cache alone may bring a body for it. */
	if (f->background) {
		f->request.method = HTTP_GET;
		f->request.method_text = BYTES("GET");
	}
	cache_request_init(&f->cache_request, &f->request);
	f->cache_request.target = &f->target;
	f->policy = *plan->policy;
	f->site = plan->site;
	f->action = plan->action;
	/* Unless it passes, or is for a part, the whole is asked for. */
	if (f->action != CACHE_PASS && f->action != CACHE_PART)
		f->cache_request.partial = false;
	set_origin(f);
	if (copy_stored(f, plan->found, plan->chosen) < 0)
		return LARDER_NOMEM;
	return f->action == CACHE_PASS ? 0 : set_coding(f);
}

static int
copy_part(struct fetch *f, const struct plan *plan)
{
	if (f->action == CACHE_PART || f->action == CACHE_COMPLETE)
		f->part = *plan->part;
	if (f->action != CACHE_COMPLETE)
		return 0;
	f->stored_form = arena_copy(&f->arena, plan->form);
	return f->stored_form.p == NULL ? LARDER_NOMEM : 0;
}

static void
discard(struct fetch *f)
{
	if (f->conf != NULL)
		conf_unref(&f->conf);
	arena_release(&f->arena);
	free(f);
}

/* All but its flight; NULL: no memory. */
static struct fetch *
make(struct worker *w, const struct plan *plan, bool background)
{
	struct fetch *f = zeroed(sizeof(*f));

	if (f == NULL)
		return NULL;
	arena_init(&f->arena, WORKER_ARENA);
	f->magic = FETCH_MAGIC;
	f->w = w;
	f->background = background;
	f->drip = pace_begin(plan->conf->response_timeout);
	if (copy_request(f, plan) == 0 && copy_part(f, plan) == 0)
		return f;
	discard(f);
	return NULL;
}

int
fetch_start(struct exchange *x, struct flight *flight, bool background)
{
	const struct plan plan = {
	    .conf = x->conf,
	    .raw = x->raw,
	    .key = x->key,
	    .policy = &x->policy,
	    .site = x->site,
	    .action = background ? CACHE_REVALIDATE : x->decision.action,
	    .found = &x->found,
	    .chosen = x->decision.chosen,
	    .part = &x->asks,
	    .form = x->form,
	};
	struct fetch *f = make(x->w, &plan, background);

	if (f == NULL)
		return LARDER_NOMEM;
	if (!background)
		f->leader = x;
	f->begun = x->answered;
	f->pace = pace_begin(f->conf->idle_timeout);
	f->uploads = !background && !http_body_done(&x->body);
	if (ask_write(f) < 0) {
		discard(f);
		return LARDER_NOMEM;
	}
	f->flight = flight_ref(flight);
	if (!background)
		x->fetch = f;
	fetch_run(f);
	return 0;
}

static int
join_for_rest(struct fetch *f, const struct http_range_spec *part,
    struct flight_waiter *waiter)
{
	const struct flight_wish wish = {
	    .request = &f->cache_request,
	    .policy = &f->policy,
	    .part = part,
	    .now = worker_now(f->w),
	    .newest = true,
	    .scratch = &f->arena,
	};

	return flight_join(proxy_flights(f->w->proxy), f->key, &wish, waiter);
}

int
fetch_start_rest(struct fetch *from, const struct store_found *found,
    int chosen, const struct http_range_spec *part)
{
	struct flight_waiter waiter = {.note = &from->note};
	const struct plan plan = {
	    .conf = from->conf,
	    .raw = from->raw,
	    .key = from->key,
	    .policy = &from->policy,
	    .site = from->site,
	    .action = CACHE_COMPLETE,
	    .found = found,
	    .chosen = chosen,
	    .part = part,
	    .form = from->flight->result.form,
	};
	struct fetch *f = make(from->w, &plan, true);

	if (f == NULL || ask_write(f) < 0 ||
	    join_for_rest(f, part, &waiter) != FLIGHT_LEADS) {
		flight_leave(&waiter);
		if (f != NULL)
			discard(f);
		return LARDER_NOMEM;
	}
	flight_mark_rest(waiter.flight);
	f->flight = flight_ref(waiter.flight);
	fetch_run(f);
	flight_leave(&waiter);
	return 0;
}
