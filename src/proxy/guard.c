#include "proxy/guard.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "larder/check.h"
#include "larder/err.h"
#include "larder/log.h"

/* Descriptors for the store, the loops and the log; and for files that the
 * store keeps open, an eighth of all but no more than FILES. */
#define DESCRIPTORS_BASE   32u
#define DESCRIPTORS_WORKER 16u
#define DESCRIPTORS_FILES  256u
/* The client's, its origin's, a file's. */
#define DESCRIPTORS_EACH   3u
/* Beyond the limit, for as long as others take to give up theirs. */
#define DEBT_PART	   16u
#define DEBT_LEAST	   8u
#define LOG_MS		   60000

struct worker_idle {
	struct mailbox_note *note;
	_Atomic unsigned idle, asked;
	_Atomic bool starved;  /* it is asked for descriptors */
	_Atomic int64_t since; /* of the oldest, in ms */
};

struct guard {
	uint64_t seed;
	_Atomic unsigned open, max, share; /* connections */
	_Atomic int64_t logged;		   /* ms */
	unsigned worker_count;
	struct worker_idle *workers;
	_Atomic unsigned table[GUARD_ROWS][GUARD_COLUMNS];
};

int
guard_new(struct guard **out, unsigned workers)
{
	struct guard *g = calloc(1, sizeof(*g));

	*out = NULL;
	if (g == NULL)
		return LARDER_NOMEM;
	g->workers = calloc(workers, sizeof(*g->workers));
	if (g->workers == NULL) {
		free(g);
		return LARDER_NOMEM;
	}
	g->worker_count = workers;
	/* Nobody shall choose addresses that collide. */
	if (getrandom(&g->seed, sizeof(g->seed), 0) < 0)
		g->seed = (uint64_t)(uintptr_t)g;
	*out = g;
	return 0;
}

void
guard_free(struct guard **guard)
{
	if (*guard != NULL)
		free((*guard)->workers);
	free(*guard);
	*guard = NULL;
}

/* ---- the limits ------------------------------------------------------- */

unsigned
guard_affordable(rlim_t descriptors, unsigned workers)
{
	rlim_t base = DESCRIPTORS_BASE + (rlim_t)DESCRIPTORS_WORKER * workers;
	rlim_t files = descriptors / 8, n;

	if (descriptors == RLIM_INFINITY)
		return UINT32_MAX;
	base += files < DESCRIPTORS_FILES ? files : DESCRIPTORS_FILES;
	if (descriptors <= base + DESCRIPTORS_EACH)
		return 1;
	n = (descriptors - base) / DESCRIPTORS_EACH;
	return n > UINT32_MAX ? UINT32_MAX : (unsigned)n;
}

void
guard_configure(struct guard *g, const struct conf *conf)
{
	struct rlimit limit;
	unsigned max = conf->max_connections, share;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		unsigned n = guard_affordable(limit.rlim_cur, g->worker_count);

		if (n < max) {
			log_warnx("limits.max_connections is %u, but the limit "
				  "on open files, %llu, is enough for %u: no "
				  "more clients are let in",
			    max, (unsigned long long)limit.rlim_cur, n);
			max = n;
		}
	}
	share = (unsigned)((uint64_t)max * conf->client_share / 100);
	atomic_store(&g->max, max);
	atomic_store(&g->share, share > 0 ? share : 1);
}

/* ---- places ----------------------------------------------------------- */

/* What stands for one client: a v4 address, or a v6 network of 64 bits, which
 * is what one customer, or one machine, has. 0: there is no such thing. */
static size_t
client_of(const union addr *peer, uint8_t out[8])
{
	const uint8_t *ip = (const uint8_t *)&peer->v6.sin6_addr;

	if (peer->sa.sa_family == AF_INET) {
		memcpy(out, &peer->v4.sin_addr, 4);
		return 4;
	}
	if (peer->sa.sa_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&peer->v6.sin6_addr)) {
		memcpy(out, ip + 12, 4);
		return 4;
	}
	memcpy(out, ip, 8);
	return 8;
}

/* How many it holds at most, with this one. */
static unsigned
count_client(struct guard *g, const union addr *peer, struct guard_place *place)
{
	unsigned least = UINT32_MAX;
	uint8_t client[8];
	size_t n = client_of(peer, client);
	uint64_t hash;

	if (n == 0)
		return 0;
	hash = XXH3_64bits_withSeed(client, n, g->seed);
	place->counted = true;
	for (unsigned row = 0; row < GUARD_ROWS; row++) {
		unsigned at = (unsigned)(hash >> 16 * row) % GUARD_COLUMNS;
		unsigned now = atomic_fetch_add_explicit(&g->table[row][at], 1,
				   memory_order_relaxed) +
			       1;

		place->column[row] = (uint16_t)at;
		if (now < least)
			least = now;
	}
	return least;
}

/* One more, if there are not as many. Never counted beyond: guard_is_over()
 * must not see who is turned away. */
static bool
count_open(struct guard *g, unsigned max)
{
	unsigned n = atomic_load_explicit(&g->open, memory_order_relaxed);

	do
		if (n >= max)
			return false;
	while (!atomic_compare_exchange_weak_explicit(
	    &g->open, &n, n + 1, memory_order_relaxed, memory_order_relaxed));
	return true;
}

static void
uncount_client(struct guard *g, struct guard_place *place)
{
	for (unsigned row = 0; place->counted && row < GUARD_ROWS; row++)
		atomic_fetch_sub_explicit(&g->table[row][place->column[row]], 1,
		    memory_order_relaxed);
	place->counted = false;
}

enum guard_verdict
guard_enter(struct guard *g, const union addr *peer, bool with_debt,
    struct guard_place *place)
{
	unsigned max = atomic_load_explicit(&g->max, memory_order_relaxed);
	unsigned share = atomic_load_explicit(&g->share, memory_order_relaxed);
	unsigned debt = with_debt ? max / DEBT_PART + DEBT_LEAST : 0;
	enum guard_verdict verdict = GUARD_ADMITTED;

	*place = (struct guard_place){0};
	/* Counted first, so that two who come at once cannot both be the
	 * last. */
	if (count_client(g, peer, place) > share && share < max)
		verdict = GUARD_SHARE;
	else if (!count_open(g, max + debt))
		verdict = GUARD_FULL;
	else
		place->held = true;
	if (!place->held)
		uncount_client(g, place);
	return verdict;
}

void
guard_leave(struct guard *g, struct guard_place *place)
{
	if (!place->held)
		return;
	place->held = false;
	atomic_fetch_sub_explicit(&g->open, 1, memory_order_relaxed);
	uncount_client(g, place);
}

/* ---- idle ones -------------------------------------------------------- */

void
guard_set_note(struct guard *g, unsigned worker, struct mailbox_note *note)
{
	check(worker < g->worker_count);
	g->workers[worker].note = note;
}

void
guard_set_idle(struct guard *g, unsigned worker, unsigned n, int64_t since)
{
	struct worker_idle *w = &g->workers[worker];

	atomic_store_explicit(&w->idle, n, memory_order_relaxed);
	atomic_store_explicit(&w->since, since, memory_order_relaxed);
}

int
guard_oldest(const struct guard *g)
{
	int64_t oldest = INT64_MAX;
	int found = -1;

	for (unsigned i = 0; i < g->worker_count; i++) {
		const struct worker_idle *w = &g->workers[i];
		int64_t since =
		    atomic_load_explicit(&w->since, memory_order_relaxed);

		if (w->note == NULL || since >= oldest ||
		    atomic_load_explicit(&w->asked, memory_order_relaxed) >=
			atomic_load_explicit(&w->idle, memory_order_relaxed))
			continue;
		oldest = since;
		found = (int)i;
	}
	return found;
}

void
guard_ask(struct guard *g, unsigned worker, bool for_descriptor)
{
	struct worker_idle *w = &g->workers[worker];

	if (for_descriptor)
		atomic_store(&w->starved, true);
	atomic_fetch_add(&w->asked, 1);
	mailbox_post(w->note);
}

unsigned
guard_asked(struct guard *g, unsigned worker, bool *for_descriptor)
{
	struct worker_idle *w = &g->workers[worker];
	unsigned n = atomic_exchange(&w->asked, 0);

	*for_descriptor = atomic_exchange(&w->starved, false);
	return n;
}

bool
guard_is_over(const struct guard *g)
{
	return atomic_load_explicit(&g->open, memory_order_relaxed) >
	       atomic_load_explicit(&g->max, memory_order_relaxed);
}

bool
guard_may_log(struct guard *g, int64_t now)
{
	int64_t last = atomic_load_explicit(&g->logged, memory_order_relaxed);

	if (last != 0 && now - last < LOG_MS)
		return false;
	return atomic_compare_exchange_strong(&g->logged, &last, now);
}
