/*
 * Counts by name over a window that slides in SLOTS steps. Bounded: a table has
 * RECENT_ENTRIES names; when another comes, one with the fewest requests makes
 * way, each in turn. What makes up more than a small part of the traffic comes
 * again before its turn, and stays; what makes up less is no matter of `top`.
 *
 * Nothing is counted while nobody watches: a request costs the reading of one
 * number then.
 */
#include "proxy/recent.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"

#define SLOTS	5
#define SLOT_MS (RECENT_SECONDS * 1000 / SLOTS)

struct counted {
	uint64_t hash;
	char name[RECENT_NAME];
	struct recent_count slots[SLOTS];
};

struct table {
	unsigned used;
	unsigned hand; /* where the next is looked for that makes way */
	struct counted entries[RECENT_ENTRIES];
};

struct recent {
	_Atomic int64_t watched_until;
	pthread_mutex_t lock;
	/* under the lock */
	int64_t slot;  /* the newest, since the clock's start */
	int64_t since; /* somebody watches */
	struct recent_count all[SLOTS];
	struct table tables[RECENT_TABLES];
};

int
recent_new(struct recent **out)
{
	struct recent *r = calloc(1, sizeof(*r));

	*out = r;
	if (r == NULL)
		return LARDER_NOMEM;
	atomic_init(&r->watched_until, INT64_MIN);
	pthread_mutex_init(&r->lock, NULL);
	return 0;
}

void
recent_free(struct recent **recent)
{
	struct recent *r = *recent;

	*recent = NULL;
	if (r == NULL)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r);
}

bool
recent_is_watched(const struct recent *r, int64_t now)
{
	return now <
	       atomic_load_explicit(&r->watched_until, memory_order_relaxed);
}

/* ---- counting --------------------------------------------------------- */

static void
add(struct recent_count *to, const struct recent_count *n)
{
	to->requests += n->requests;
	to->hits += n->hits;
	to->bytes += n->bytes;
}

static struct recent_count
sum(const struct recent_count slots[SLOTS])
{
	struct recent_count total = {0};

	for (unsigned i = 0; i < SLOTS; i++)
		add(&total, &slots[i]);
	return total;
}

/* What is older than the window goes. */
static void
advance(struct recent *r, int64_t now)
{
	int64_t slot = now / SLOT_MS, first = r->slot + 1;

	if (slot - first >= SLOTS)
		first = slot - SLOTS + 1;
	for (int64_t s = first; s <= slot; s++) {
		unsigned at = (unsigned)(s % SLOTS);

		r->all[at] = (struct recent_count){0};
		for (unsigned t = 0; t < RECENT_TABLES; t++)
			for (unsigned i = 0; i < r->tables[t].used; i++)
				r->tables[t].entries[i].slots[at] =
				    (struct recent_count){0};
	}
	if (slot > r->slot)
		r->slot = slot;
}

/* FNV-1a; who chooses names to collide makes two of his own one. */
static uint64_t
hash_of(struct bytes name)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < name.n; i++)
		h = (h ^ (unsigned char)name.p[i]) * UINT64_C(1099511628211);
	return h;
}

static void
set_name(struct counted *c, struct bytes name)
{
	size_t n = name.n;

	if (n >= RECENT_NAME)
		n = RECENT_NAME - 4;
	memcpy(c->name, name.p, n);
	c->name[n] = '\0';
	if (n < name.n)
		strcat(c->name, "...");
}

static struct counted *
find(struct table *t, struct bytes name)
{
	uint64_t hash = hash_of(name), least = UINT64_MAX;
	unsigned at = t->used;

	for (unsigned i = 0; i < t->used; i++)
		if (t->entries[i].hash == hash)
			return &t->entries[i];
	if (t->used < RECENT_ENTRIES) {
		t->used++;
	} else {
		for (unsigned i = 0; i < RECENT_ENTRIES; i++) {
			unsigned j = (t->hand + i) % RECENT_ENTRIES;
			uint64_t n = sum(t->entries[j].slots).requests;

			if (n < least) {
				least = n;
				at = j;
			}
		}
		t->hand = at + 1;
	}
	t->entries[at] = (struct counted){.hash = hash};
	set_name(&t->entries[at], name);
	return &t->entries[at];
}

void
recent_note(struct recent *r, const struct bytes names[RECENT_TABLES], bool hit,
    uint64_t bytes, int64_t now)
{
	const struct recent_count one = {1, hit, bytes};
	unsigned slot;

	pthread_mutex_lock(&r->lock);
	advance(r, now);
	slot = (unsigned)(r->slot % SLOTS);
	add(&r->all[slot], &one);
	for (unsigned t = 0; t < RECENT_TABLES; t++)
		if (names[t].n > 0)
			add(&find(&r->tables[t], names[t])->slots[slot], &one);
	pthread_mutex_unlock(&r->lock);
}

/* ---- telling ---------------------------------------------------------- */

void
recent_watch(struct recent *r, int64_t now)
{
	pthread_mutex_lock(&r->lock);
	/* What was counted before has a gap behind it. */
	if (!recent_is_watched(r, now)) {
		memset(r->all, 0, sizeof(r->all));
		for (unsigned t = 0; t < RECENT_TABLES; t++)
			r->tables[t].used = r->tables[t].hand = 0;
		r->since = now;
	}
	atomic_store(&r->watched_until, now + RECENT_WATCH * 1000);
	pthread_mutex_unlock(&r->lock);
}

static int
compare(const void *a, const void *b)
{
	const struct recent_entry *x = a, *y = b;

	if (x->count.requests != y->count.requests)
		return x->count.requests < y->count.requests ? 1 : -1;
	if (x->count.bytes != y->count.bytes)
		return x->count.bytes < y->count.bytes ? 1 : -1;
	return strcmp(x->name, y->name);
}

void
recent_report(struct recent *r, int64_t now, struct recent_report *out)
{
	int64_t start;

	pthread_mutex_lock(&r->lock);
	advance(r, now);
	start = (r->slot - SLOTS + 1) * SLOT_MS;
	out->ms = now - (start > r->since ? start : r->since);
	out->all = sum(r->all);
	for (unsigned t = 0; t < RECENT_TABLES; t++) {
		struct recent_entry *entries = out->entries[t];
		unsigned n = 0;

		for (unsigned i = 0; i < r->tables[t].used; i++) {
			const struct counted *c = &r->tables[t].entries[i];
			struct recent_count count = sum(c->slots);

			if (count.requests == 0)
				continue;
			memcpy(entries[n].name, c->name, sizeof(c->name));
			entries[n++].count = count;
		}
		out->count[t] = n;
	}
	pthread_mutex_unlock(&r->lock);
	for (unsigned t = 0; t < RECENT_TABLES; t++)
		qsort(out->entries[t], out->count[t], sizeof(*out->entries[t]),
		    compare);
}
