/*
 * The last step: the access log and the counters, and letting go of all that
 * the exchange held. Whatever way it ended, it ends here.
 */
#include "cache/key.h"
#include "proxy/access.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/fetch.h"
#include "proxy/proxy.h"
#include "proxy/recent.h"
#include "proxy/tally.h"
#include "proxy/tunnel.h"

static struct bytes
content_type(const struct exchange *x)
{
	struct bytes rest = x->form, name = BYTES("\ncontent-type:");

	/* The stored form is a handful of lines; only a log asks. */
	for (size_t i = 0; i + name.n < rest.n; i++) {
		struct bytes v;
		const char *end;

		if (rest.p[i] != '\n' ||
		    !bytes_ieq(bytes_of(rest.p + i, name.n), name))
			continue;
		v = bytes_skip(rest, i + name.n);
		end = memchr(v.p, '\r', v.n);
		return bytes_trim(
		    bytes_of(v.p, end ? (size_t)(end - v.p) : v.n));
	}
	return bytes_of(NULL, 0);
}

static struct bytes
url_of(const struct exchange *x)
{
	return x->key.n ? cache_key_url(x->key) : x->head.target;
}

static void
log_access(struct exchange *x)
{
	struct access_log *log = proxy_access_log(x->w->proxy);
	struct access_record r;

	if (!access_log_wanted(log))
		return;
	r = (struct access_record){
	    .started = x->started,
	    .ended = loop_wall_ms(x->w->loop),
	    .client = &x->client->peer,
	    .result = x->result,
	    .aborted = x->aborted,
	    .status = x->status,
	    .bytes = x->sent,
	    .method = x->head.method_text,
	    .url = url_of(x),
	    .site = x->site != NULL,
	    .peer = x->peer,
	    .type = content_type(x),
	    .referer = http_value(&x->head, HTTP_F_REFERER),
	    .agent = http_value(&x->head, HTTP_F_USER_AGENT),
	};
	access_log_write(log, &r);
}

/* For who looks at it right now. */
static void
note_recent(struct exchange *x)
{
	struct recent *recent = proxy_recent(x->w->proxy);
	int64_t now = loop_mono_ms(x->w->loop);
	struct bytes names[RECENT_TABLES];
	char client[ADDR_TEXT];

	if (!recent_is_watched(recent, now))
		return;
	names[RECENT_HOSTS] = x->target.host;
	names[RECENT_URLS] = url_of(x);
	names[RECENT_CLIENTS] =
	    bytes_str(addr_format_host(&x->client->peer, client));
	recent_note(recent, names,
	    x->result == RESULT_HIT || x->result == RESULT_MEM_HIT ||
		x->result == RESULT_REFRESH_UNMODIFIED,
	    x->sent, now);
}

static enum stats_counter
stat_of(const struct exchange *x)
{
	switch (x->result) {
	case RESULT_HIT:
		return x->note_status.collapsed ? STAT_collapsed : STAT_hits;
	case RESULT_MEM_HIT:
		return STAT_hits;
	case RESULT_REFRESH_UNMODIFIED:
		return STAT_revalidated;
	case RESULT_DENIED:
		return STAT_denied;
	case RESULT_TUNNEL:
		return STAT_tunnels;
	case RESULT_NONE:
		/* 0: the client left before there was any answer. */
		return x->status > 0 && x->status < 400 ? STAT_own
							: STAT_errors;
	case RESULT_MISS:
	case RESULT_REFRESH_MODIFIED:
	case RESULT_CLIENT_REFRESH_MISS:
		break;
	}
	return x->decision.action == CACHE_PASS ? STAT_passes : STAT_misses;
}

/* Of what was counted so: the bytes that were sent. */
static enum stats_counter
sent_of(enum stats_counter counted)
{
	static const unsigned char sent[STAT_COUNT] = {
	    [STAT_hits] = STAT_hits_sent,
	    [STAT_revalidated] = STAT_revalidated_sent,
	    [STAT_collapsed] = STAT_collapsed_sent,
	    [STAT_misses] = STAT_misses_sent,
	    [STAT_passes] = STAT_passes_sent,
	    [STAT_denied] = STAT_denied_sent,
	    [STAT_errors] = STAT_errors_sent,
	    [STAT_own] = STAT_own_sent,
	};

	return (enum stats_counter)sent[counted];
}

/* No origin had to send the body again. */
static bool
is_from_cache(const struct exchange *x)
{
	return x->result == RESULT_HIT || x->result == RESULT_MEM_HIT ||
	       x->result == RESULT_REFRESH_UNMODIFIED;
}

static void
count(struct exchange *x)
{
	struct stats *stats = &x->w->stats;
	enum stats_counter counted = stat_of(x);

	stats_add(stats, counted, 1);
	/* A tunnel counts its bytes itself. */
	if (counted != STAT_tunnels)
		stats_add(stats, sent_of(counted), x->sent);
	if (x->result == RESULT_MEM_HIT)
		stats_add(stats, STAT_memory_hits, 1);
	if (is_from_cache(x))
		stats_add(stats, STAT_hit_bytes, x->body_sent);
	if (x->aborted)
		stats_add(stats, STAT_aborted, 1);
}

/* The same, by host, client and URL. */
static void
tally(struct exchange *x)
{
	struct tally *t = x->w->tally;
	bool hit = is_from_cache(x);
	struct tally_counts counts = {
	    .requests = 1,
	    .hits = hit,
	    .sent = x->sent,
	    .cached = hit ? x->body_sent : 0,
	};

	tally_add(tally_at_client(t, &x->client->peer, &x->client->tally_hash),
	    &counts);
	if (x->result == RESULT_NONE || x->result == RESULT_DENIED)
		return;
	tally_add(tally_at(t, TALLY_HOST, x->target.host), &counts);
	tally_add(tally_at(t, TALLY_URL, cache_key_url(x->key)), &counts);
}

/* Lets go of all that the exchange holds; the client is the caller's. */
static void
finish(struct exchange *x)
{
	log_access(x);
	note_recent(x);
	count(x);
	tally(x);
	if (x->tunnel != NULL)
		tunnel_cancel(x->tunnel);
	if (x->fetch != NULL)
		fetch_leader_left(x->fetch);
	exchange_forget_answer(x);
	mailbox_cancel(&x->note);
}

enum step
record_step(struct exchange *x)
{
	struct client *client = x->client;
	bool keep = x->keep && http_body_done(&x->body);
	bool reset = x->broken;

	finish(x);
	client->exchange = NULL;
	exchange_release(&x);
	if (reset)
		client_reset(client);
	else
		client_next(client, keep);
	return STEP_GONE;
}

int
exchange_give_away(struct exchange *x)
{
	struct client *client = x->client;
	struct worker *w = x->w;
	struct guard_place place;
	struct conn *conn;

	finish(x);
	client->exchange = NULL;
	exchange_release(&x);
	conn = client_take_conn(client, &place);
	/* Who has it now has limits of its own. */
	guard_leave(w->guard, &place);
	return conn_detach(&conn);
}

void
exchange_abort(struct exchange *x)
{
	struct client *client = x->client;

	x->aborted = true;
	finish(x);
	client->exchange = NULL;
	exchange_release(&x);
	client_reset(client);
}
