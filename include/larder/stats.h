/*
 * What the daemon counts while it runs. Each worker owns one struct and adds to
 * it; whoever wants totals sums over all of them. Relaxed atomics: a reader
 * may see one counter a moment ahead of another, never a torn one.
 *
 * What larder has saved is worth_bytes - cost_bytes: what clients would have
 * fetched over the uplink without it, less what it fetched itself.
 *   - worth: body bytes of origins' answers, as far as clients took them (an
 *     aborted transfer counts up to there, a range what is sent of it). Where
 *     larder compressed a body that its origin does not, what went into the
 *     coder counts: that is what the origin would have sent. Where it decoded
 *     one, what came out counts, for the same reason.
 *   - cost: body bytes received from origins, whoever gets them and if nobody
 *     does (left by its client, behind a range, in the background, cut short);
 *     and the whole of a 304 that larder asked for.
 *   - in neither: heads of other answers, larder's own answers, tunnels. So a
 *     miss saves nothing, and a hit its body.
 * Within a short time it may be less than 0: what is fetched now may be used
 * later.
 */
#ifndef LARDER_STATS_H
#define LARDER_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#define STATS_EACH(X)                                                       \
	X(connections, "client connections accepted")                       \
	X(requests, "requests read")                                        \
	X(hits, "answered from the store without asking the origin")        \
	X(memory_hits, "of these, from the tier in memory")                 \
	X(revalidated, "answered from the store after a 304 of the origin") \
	X(collapsed, "answered by another request's fetch in flight")       \
	X(misses, "fetched from the origin and cacheable")                  \
	X(passes, "handed through, not cacheable")                          \
	X(tunnels, "CONNECT tunnels")                                       \
	X(denied, "refused by a rule")                                      \
	X(errors, "answered with an error of larder's own")                 \
	X(own, "answered by larder itself: its page, OPTIONS")              \
	X(aborted, "left by the client before the end")                     \
	X(refused_full, "connections refused: limits.max_connections")      \
	X(refused_share, "connections refused: limits.client_share")        \
	X(given_up, "idle client connections closed for new ones")          \
	X(too_slow, "clients that sent or read too slowly")                 \
	X(held_up, "slow readers cut off because they held up others")      \
	X(starved, "times that there was no descriptor left")               \
	X(served_bytes, "bytes sent to clients, heads included")            \
	X(fetched_bytes, "bytes received from origins, heads included")     \
	X(hit_bytes, "body bytes sent that no origin had to send again")    \
	X(worth_bytes, "body bytes that clients had else fetched")          \
	X(cost_bytes, "body bytes fetched, and 304s that larder asked for") \
	X(tunnel_bytes, "bytes through tunnels, both ways")                 \
	X(hits_sent, "bytes sent with hits")                                \
	X(revalidated_sent, "bytes sent after a 304 of the origin")         \
	X(collapsed_sent, "bytes sent from another request's fetch")        \
	X(misses_sent, "bytes sent with misses")                            \
	X(passes_sent, "bytes sent of what is not cacheable")               \
	X(denied_sent, "bytes sent with refusals")                          \
	X(errors_sent, "bytes sent with errors of larder's own")            \
	X(own_sent, "bytes sent by larder itself")                          \
	X(origin_requests, "requests sent to origins")                      \
	X(origin_connections, "connections opened to origins")              \
	X(origin_failures, "requests that no origin answered")

enum stats_counter {
#define STATS_ENUM(name, text) STAT_##name,
	STATS_EACH(STATS_ENUM)
#undef STATS_ENUM
	    STAT_COUNT
};

struct stats {
	_Atomic uint64_t v[STAT_COUNT];
};

static inline void
stats_add(struct stats *s, enum stats_counter which, uint64_t n)
{
	/* One writer a struct: a plain add without a locked instruction. */
	atomic_store_explicit(&s->v[which],
	    atomic_load_explicit(&s->v[which], memory_order_relaxed) + n,
	    memory_order_relaxed);
}

static inline uint64_t
stats_get(const struct stats *s, enum stats_counter which)
{
	return atomic_load_explicit(&s->v[which], memory_order_relaxed);
}

/* "requests", for enum stats_counter's names; and the text that explains it. */
const char *stats_name(enum stats_counter which);
const char *stats_text(enum stats_counter which);

#endif
