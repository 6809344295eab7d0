#include "proxy/tally.h"

#include <stdlib.h>

#include "larder/check.h"
#include "larder/err.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static const size_t text_size[TALLY_KINDS] = {
    [TALLY_HOST] = 128,
    [TALLY_CLIENT] = ADDR_TEXT,
    [TALLY_URL] = TALLY_TEXT,
};

int
tally_new(struct tally **out, uint64_t seed)
{
	struct tally *t = calloc(1, sizeof(*t));
	size_t all = 0;
	char *next;

	for (int kind = 0; kind < TALLY_KINDS; kind++)
		all += TALLY_SLOTS * text_size[kind];
	*out = NULL;
	if (t == NULL)
		return LARDER_NOMEM;
	t->seed = seed;
	t->texts = next = malloc(all);
	if (next == NULL) {
		free(t);
		return LARDER_NOMEM;
	}
	for (int kind = 0; kind < TALLY_KINDS; kind++)
		for (unsigned i = 0; i < TALLY_SLOTS; i++) {
			t->tables[kind].slots[i].text = next;
			next += text_size[kind];
		}
	*out = t;
	return 0;
}

void
tally_free(struct tally **tally)
{
	struct tally *t = *tally;

	*tally = NULL;
	if (t != NULL)
		free(t->texts);
	free(t);
}

void
tally_clear(struct tally *t)
{
	for (int kind = 0; kind < TALLY_KINDS; kind++) {
		memset(t->tables[kind].hash, 0, sizeof(t->tables[kind].hash));
		t->tables[kind].rest = (struct tally_counts){0};
	}
	t->flight_count = 0;
}

void
tally_add(struct tally_counts *to, const struct tally_counts *what)
{
	to->requests += what->requests;
	to->hits += what->hits;
	to->sent += what->sent;
	to->cached += what->cached;
	to->fetched += what->fetched;
	to->tunnelled += what->tunnelled;
}

static uint64_t
weight(const struct tally_counts *c)
{
	return c->sent + c->fetched + c->tunnelled;
}

/* Its place; NULL: it has none yet, and *place is for it. */
static struct tally_slot *
find(struct tally_table *t, uint64_t hash, unsigned *place)
{
	unsigned first =
	    (unsigned)hash % (TALLY_SLOTS / TALLY_WAYS) * TALLY_WAYS;

	*place = first;
	for (unsigned i = first; i < first + TALLY_WAYS; i++)
		if (t->hash[i] == hash)
			return &t->slots[i];
	for (unsigned i = first; i < first + TALLY_WAYS; i++) {
		if (t->hash[i] == 0) {
			*place = i;
			return NULL;
		}
		if (weight(&t->slots[i].counts) <
		    weight(&t->slots[*place].counts))
			*place = i;
	}
	return NULL;
}

static struct tally_slot *
take(struct tally_table *t, unsigned place, uint64_t hash)
{
	struct tally_slot *slot = &t->slots[place];

	if (t->hash[place] != 0)
		tally_add(&t->rest, &slot->counts);
	t->hash[place] = hash;
	slot->counts = (struct tally_counts){0};
	return slot;
}

struct tally_counts *
tally_at(struct tally *t, enum tally_kind kind, struct bytes text)
{
	/* 0 is for free places. */
	uint64_t hash = XXH3_64bits_withSeed(text.p, text.n, t->seed) | 1;
	struct tally_table *table = &t->tables[kind];
	unsigned place;
	struct tally_slot *slot = find(table, hash, &place);

	if (slot == NULL) {
		slot = take(table, place, hash);
		if (text.n > text_size[kind])
			text.n = text_size[kind];
		if (text.n > 0)
			memcpy(slot->text, text.p, text.n);
		slot->size = (uint16_t)text.n;
	}
	return &slot->counts;
}

static uint64_t
hash_client(const struct tally *t, const union addr *client)
{
	switch (client->sa.sa_family) {
	case AF_INET:
		return XXH3_64bits_withSeed(
		    &client->v4.sin_addr, sizeof(client->v4.sin_addr), t->seed);
	case AF_INET6:
		return XXH3_64bits_withSeed(&client->v6.sin6_addr,
		    sizeof(client->v6.sin6_addr), t->seed);
	default:
		return t->seed;
	}
}

struct tally_counts *
tally_at_client(struct tally *t, const union addr *client, uint64_t *hash)
{
	struct tally_table *table = &t->tables[TALLY_CLIENT];
	unsigned place;
	struct tally_slot *slot;

	if (*hash == 0)
		*hash = hash_client(t, client) | 1;
	slot = find(table, *hash, &place);
	if (slot == NULL) {
		slot = take(table, place, *hash);
		/* A client on a Unix socket has no name, or only here. */
		if (client->sa.sa_family == AF_UNIX)
			strcpy(slot->text, "unix");
		else
			addr_format_host(client, slot->text);
		slot->size = (uint16_t)strlen(slot->text);
	}
	return &slot->counts;
}
