/*
 * The table of flights: shards of buckets, each under its own lock.
 *
 * What always holds
 *   - A listed flight is ASKING or HEADED, and its fetch runs. Those that go
 *     alone are listed too: a change must find what it overtakes.
 *   - result is written once, before state leaves ASKING, under the lock; who
 *     saw another state under the lock may read result without it.
 *   - The blob of a finished flight can be found in the store before the
 *     flight is taken out of the table: who finds no flight looks in the store
 *     again before it asks the origin.
 */
#define XXH_INLINE_ALL
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "cache/coding.h"
#include "cache/decide.h"
#include "cache/parts.h"
#include "larder/check.h"
#include "larder/list.h"
#include "larder/zeroed.h"
#include "proxy/flight.h"
#include "proxy/worker.h"

#define SHARDS	     64u
#define BUCKETS	     64u  /* a shard */
#define PRIVATES     256u /* a shard: keys known not to be shared */
#define PRIVATE_SECS 60

struct private_key {
	uint64_t hash;
	int64_t until;
};

struct shard {
	pthread_mutex_t lock;
	struct list buckets[BUCKETS];
	struct private_key privates[PRIVATES];
	uint64_t serial; /* the last one given */
};

struct flights {
	struct shard shards[SHARDS];
	uint64_t seed;
};

int
flights_new(struct flights **out)
{
	struct flights *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&table->shards[i].lock, NULL);
		for (unsigned k = 0; k < BUCKETS; k++)
			list_init(&table->shards[i].buckets[k]);
	}
	/* A seed keeps an outsider from aiming at one bucket; without one the
	 * table is only slower to attack. */
	if (getrandom(&table->seed, sizeof(table->seed), 0) < 0)
		table->seed = (uint64_t)(uintptr_t)table;
	*out = table;
	return 0;
}

void
flights_free(struct flights **table)
{
	if (*table == NULL)
		return;
	for (unsigned i = 0; i < SHARDS; i++)
		pthread_mutex_destroy(&(*table)->shards[i].lock);
	free(*table);
	*table = NULL;
}

static uint64_t
hash_of(const struct flights *table, struct bytes key)
{
	return XXH3_64bits_withSeed(key.p, key.n, table->seed);
}

static struct shard *
shard_of(struct flights *table, uint64_t hash)
{
	return &table->shards[hash % SHARDS];
}

static struct list *
bucket_of(struct shard *shard, uint64_t hash)
{
	return &shard->buckets[(hash / SHARDS) % BUCKETS];
}

static struct shard *
lock_hash(struct flights *table, uint64_t hash)
{
	struct shard *shard = shard_of(table, hash);

	pthread_mutex_lock(&shard->lock);
	return shard;
}

static struct shard *
lock_of(struct flight *f)
{
	return lock_hash(f->table, f->hash);
}

/* Where a key's privacy is remembered; another key's may lie there. */
static struct private_key *
private_of(struct shard *shard, uint64_t hash)
{
	return &shard->privates[(hash >> 32) % PRIVATES];
}

static struct flight *
flight_new(struct flights *table, struct bytes key, uint64_t hash)
{
	struct flight *f = zeroed(sizeof(*f));

	if (f == NULL)
		return NULL;
	arena_init(&f->arena, WORKER_ARENA);
	f->key = arena_copy(&f->arena, key);
	if (key.n > 0 && f->key.p == NULL) {
		free(f);
		return NULL;
	}
	f->refs = 1;
	f->table = table;
	f->hash = hash;
	list_init(&f->node);
	list_init(&f->waiters);
	return f;
}

struct flight *
flight_ref(struct flight *flight)
{
	atomic_fetch_add_explicit(&flight->refs, 1, memory_order_relaxed);
	return flight;
}

void
flight_unref(struct flight **flight)
{
	struct flight *f = *flight;

	*flight = NULL;
	if (f == NULL || atomic_fetch_sub(&f->refs, 1) != 1)
		return;
	check(list_empty(&f->node) && list_empty(&f->waiters));
	blob_unref(&f->result.blob);
	arena_release(&f->arena);
	free(f);
}

static bool
same_part(const struct flight *f, const struct http_range_spec *part)
{
	if (part == NULL || !f->is_part)
		return part == NULL && !f->is_part;
	return f->part.suffix == part->suffix && f->part.first == part->first &&
	       f->part.last == part->last;
}

/* Could a request like this use what has its head? Under the lock. */
static bool
is_usable(const struct flight *f, const struct flight_wish *wish)
{
	if (!f->joinable || f->state != FLIGHT_HEADED || !f->result.shared)
		return false;
	/* What turned into a window has lost its beginning. */
	if (f->result.blob != NULL && blob_is_window(f->result.blob))
		return false;
	return cache_coding_matches(wish->request, f->result.variant,
		   &f->result.meta, wish->scratch) &&
	       cache_may_send(
		   wish->request, &f->result.meta, wish->now, wish->policy);
}

/* May a request like this use it? Under the lock. */
static bool
suits(const struct flight *f, const struct flight_wish *wish)
{
	if (!f->joinable || !same_part(f, wish->part))
		return false;
	if (f->state == FLIGHT_ASKING)
		return true;
	return !wish->newest && is_usable(f, wish);
}

static struct flight *
find(struct shard *shard, uint64_t hash, struct bytes key,
    const struct flight_wish *wish)
{
	list_each (node, bucket_of(shard, hash)) {
		struct flight *f = container_of(node, struct flight, node);

		if (f->hash == hash && bytes_eq(f->key, key) && suits(f, wish))
			return f;
	}
	return NULL;
}

static void
add_waiter(struct flight *f, struct flight_waiter *waiter)
{
	waiter->flight = f;
	f->interested++;
	list_append(&f->waiters, &waiter->node);
}

int
flight_join(struct flights *table, struct bytes key,
    const struct flight_wish *wish, struct flight_waiter *waiter)
{
	const struct http_range_spec *part = wish->part;
	uint64_t hash = hash_of(table, key);
	struct shard *shard = shard_of(table, hash);
	struct flight *made = flight_new(table, key, hash), *f = NULL;

	list_init(&waiter->node);
	if (made == NULL)
		return LARDER_NOMEM;
	pthread_mutex_lock(&shard->lock);
	if (!wish->alone)
		f = find(shard, hash, key, wish);
	if (f != NULL) {
		f->had_followers = true;
		add_waiter(flight_ref(f), waiter);
	} else {
		add_waiter(made, waiter);
		made->joinable = !wish->alone;
		made->is_part = part != NULL;
		if (part != NULL)
			made->part = *part;
		made->serial = ++shard->serial;
		made->listed = true;
		list_append(bucket_of(shard, hash), &made->node);
	}
	pthread_mutex_unlock(&shard->lock);
	if (f == NULL)
		return FLIGHT_LEADS;
	flight_unref(&made);
	return FLIGHT_FOLLOWS;
}

bool
flight_is_asking(struct flights *table, struct bytes key)
{
	uint64_t hash = hash_of(table, key);
	struct shard *shard = lock_hash(table, hash);
	bool asking = false;

	list_each (node, bucket_of(shard, hash)) {
		struct flight *f = container_of(node, struct flight, node);

		asking |= f->joinable && !f->is_part && f->hash == hash &&
			  bytes_eq(f->key, key);
	}
	pthread_mutex_unlock(&shard->lock);
	return asking;
}

void
flight_mark_rest(struct flight *f)
{
	struct shard *shard = lock_of(f);

	f->rest = true;
	pthread_mutex_unlock(&shard->lock);
}

bool
flight_is_resting(struct flights *table, struct bytes key)
{
	uint64_t hash = hash_of(table, key);
	struct shard *shard = lock_hash(table, hash);
	bool resting = false;

	list_each (node, bucket_of(shard, hash)) {
		struct flight *f = container_of(node, struct flight, node);

		resting |= f->rest && f->hash == hash && bytes_eq(f->key, key);
	}
	pthread_mutex_unlock(&shard->lock);
	return resting;
}

/* Is the range's first byte there, or near? Under the lock. */
static bool
is_near(
    const struct flight *f, const struct http_range_spec *part, uint64_t ahead)
{
	const struct flight_result *r = &f->result;
	uint64_t first = part->first, size;

	if (r->kind != FLIGHT_RESPONSE || r->status != 200 ||
	    r->length == STORE_UNKNOWN || r->blob == NULL)
		return false;
	if (part->suffix)
		first = part->first < r->length ? r->length - part->first : 0;
	/* Behind the end: it is known already that there is nothing. */
	if (first >= r->length)
		return true;
	size = blob_size(r->blob, NULL);
	return first <= size || first - size <= ahead;
}

bool
flight_follow_whole(struct flights *table, struct bytes key,
    const struct flight_wish *wish, uint64_t ahead,
    struct flight_waiter *waiter)
{
	uint64_t hash = hash_of(table, key);
	struct shard *shard = lock_hash(table, hash);
	bool found = false;

	list_init(&waiter->node);
	list_each (node, bucket_of(shard, hash)) {
		struct flight *f = container_of(node, struct flight, node);

		if (f->is_part || f->hash != hash || !bytes_eq(f->key, key) ||
		    !is_usable(f, wish) || !is_near(f, wish->part, ahead))
			continue;
		f->had_followers = true;
		add_waiter(flight_ref(f), waiter);
		found = true;
		break;
	}
	pthread_mutex_unlock(&shard->lock);
	return found;
}

const struct flight_result *
flight_result(struct flight_waiter *waiter)
{
	struct flight *f = waiter->flight;
	struct shard *shard = lock_of(f);
	bool there = f->state != FLIGHT_ASKING;

	pthread_mutex_unlock(&shard->lock);
	return there ? &f->result : NULL;
}

void
flight_leave(struct flight_waiter *waiter)
{
	struct flight *f = waiter->flight;
	struct shard *shard;

	if (f == NULL)
		return;
	shard = lock_of(f);
	list_remove(&waiter->node);
	if (--f->interested == 0 && f->forsaken != NULL)
		mailbox_post(f->forsaken);
	pthread_mutex_unlock(&shard->lock);
	flight_unref(&waiter->flight);
}

/* Under the lock. */
static void
wake_all(struct flight *f)
{
	list_each (node, &f->waiters) {
		struct flight_waiter *w =
		    container_of(node, struct flight_waiter, node);

		mailbox_post(w->note);
	}
}

static void
unlist(struct flight *f)
{
	list_remove(&f->node);
	f->listed = false;
}

void
flight_publish(struct flight *f, const struct flight_result *result)
{
	struct shard *shard = lock_of(f);

	check(f->state == FLIGHT_ASKING);
	f->result = *result;
	f->state = FLIGHT_HEADED;
	if (!result->shared && !result->stored)
		unlist(f);
	wake_all(f);
	pthread_mutex_unlock(&shard->lock);
}

void
flight_end(struct flight *f)
{
	struct shard *shard = lock_of(f);

	check(f->state == FLIGHT_HEADED);
	f->state = FLIGHT_ENDED;
	f->forsaken = NULL;
	unlist(f);
	pthread_mutex_unlock(&shard->lock);
}

void
flight_abandon(struct flight *f)
{
	struct shard *shard = lock_of(f);

	if (f->state == FLIGHT_ASKING)
		f->result = (struct flight_result){.kind = FLIGHT_ERROR};
	f->state = FLIGHT_ENDED;
	f->forsaken = NULL;
	unlist(f);
	wake_all(f);
	pthread_mutex_unlock(&shard->lock);
}

unsigned
flight_interested(struct flight *f)
{
	struct shard *shard = lock_of(f);
	unsigned n = f->interested;

	pthread_mutex_unlock(&shard->lock);
	return n;
}

void
flight_invalidate(
    struct flights *table, struct bytes key, const struct flight *but)
{
	uint64_t hash = hash_of(table, key);
	struct shard *shard = lock_hash(table, hash);

	list_each_safe (node, bucket_of(shard, hash)) {
		struct flight *f = container_of(node, struct flight, node);

		if (f != but && f->hash == hash && bytes_eq(f->key, key)) {
			f->overtaken = true;
			unlist(f);
		}
	}
	pthread_mutex_unlock(&shard->lock);
}

/* Of a shard; under its lock. */
static void
invalidate_matching(struct shard *shard,
    bool (*matches)(void *arg, struct bytes key), void *arg)
{
	for (unsigned i = 0; i < BUCKETS; i++)
		list_each_safe (node, &shard->buckets[i]) {
			struct flight *f =
			    container_of(node, struct flight, node);

			if (!matches(arg, f->key))
				continue;
			f->overtaken = true;
			unlist(f);
		}
}

void
flights_invalidate_matching(struct flights *table,
    bool (*matches)(void *arg, struct bytes key), void *arg)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *shard = lock_hash(table, i);

		invalidate_matching(shard, matches, arg);
		pthread_mutex_unlock(&shard->lock);
	}
}

bool
flight_overtaken(struct flight *f)
{
	struct shard *shard = lock_of(f);
	bool overtaken = f->overtaken;

	pthread_mutex_unlock(&shard->lock);
	return overtaken;
}

/* Other bytes of the same representation: neither makes the other old. */
static bool
stand_side_by_side(const struct flight *a, const struct flight *b)
{
	const struct flight_result *x = &a->result, *y = &b->result;

	return (cache_is_part(&x->meta) || cache_is_part(&y->meta)) &&
	       cache_same_representation(
		   &x->meta, x->length, &y->meta, y->length);
}

void
flight_supersede(struct flight *f)
{
	struct shard *shard = lock_of(f);

	list_each (node, bucket_of(shard, f->hash)) {
		struct flight *o = container_of(node, struct flight, node);

		/* What has no head yet may be newer for all we know. */
		if (o->serial < f->serial && o->hash == f->hash &&
		    o->state == FLIGHT_HEADED && bytes_eq(o->key, f->key) &&
		    bytes_eq(o->result.variant, f->result.variant) &&
		    !stand_side_by_side(o, f))
			o->overtaken = true;
	}
	pthread_mutex_unlock(&shard->lock);
}

bool
flight_is_private(struct flights *table, struct bytes key, int64_t now)
{
	uint64_t hash = hash_of(table, key);
	struct shard *shard = lock_hash(table, hash);
	struct private_key *p = private_of(shard, hash);
	bool known = p->hash == hash && p->until > now;

	pthread_mutex_unlock(&shard->lock);
	return known;
}

void
flight_mark_private(struct flights *table, struct bytes key, int64_t now)
{
	uint64_t hash = hash_of(table, key);
	struct shard *shard = lock_hash(table, hash);

	*private_of(shard, hash) =
	    (struct private_key){hash, now + PRIVATE_SECS};
	pthread_mutex_unlock(&shard->lock);
}
