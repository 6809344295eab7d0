#include "admin/heavy.h"

#include <stdlib.h>

#include "admin/jobs.h"
#include "larder/check.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* The members of struct tally_counts, and how they are called. */
static const struct {
	const char *name;
	size_t offset;
} members[] = {
    {"requests", offsetof(struct tally_counts, requests)},
    {"hits", offsetof(struct tally_counts, hits)},
    {"sent_bytes", offsetof(struct tally_counts, sent)},
    {"hit_bytes", offsetof(struct tally_counts, cached)},
    {"fetched_bytes", offsetof(struct tally_counts, fetched)},
    {"tunnel_bytes", offsetof(struct tally_counts, tunnelled)},
};

static uint64_t
weight_of(const struct tally_counts *c)
{
	return c->sent + c->fetched + c->tunnelled;
}

void
heavy_clear(struct heavy *s)
{
	s->count = 0;
}

static unsigned
place_of(struct heavy *s, uint64_t hash, struct bytes name, bool *found)
{
	unsigned lightest = 0;

	*found = false;
	for (unsigned i = 0; i < s->count; i++) {
		if (s->hash[i] == hash &&
		    bytes_eq(
			bytes_of(s->items[i].name, s->items[i].size), name)) {
			*found = true;
			return i;
		}
		if (s->weight[i] < s->weight[lightest])
			lightest = i;
	}
	return s->count < HEAVY_MAX ? s->count++ : lightest;
}

void
heavy_add(struct heavy *s, struct bytes name, const struct tally_counts *counts,
    uint64_t error)
{
	struct heavy_item *item;
	uint64_t hash;
	unsigned at, before = s->count;
	bool found;

	if (name.n > sizeof(item->name))
		name.n = sizeof(item->name);
	hash = XXH3_64bits(name.p, name.n);
	at = place_of(s, hash, name, &found);
	item = &s->items[at];
	if (!found) {
		uint64_t taken = before == s->count ? s->weight[at] : 0;

		*item = (struct heavy_item){
		    .size = (uint16_t)name.n, .error = taken};
		if (name.n > 0)
			memcpy(item->name, name.p, name.n);
		s->hash[at] = hash;
		s->weight[at] = taken;
	}
	tally_add(&item->counts, counts);
	item->error += error;
	s->weight[at] += weight_of(counts) + error;
}

unsigned
heavy_top(const struct heavy *s, unsigned *out, unsigned n)
{
	unsigned count = 0;

	/* Insertion: n is small, and this is for people. */
	for (unsigned i = 0; i < s->count; i++) {
		uint64_t w = weight_of(&s->items[i].counts);
		unsigned at = count;

		while (at > 0 && weight_of(&s->items[out[at - 1]].counts) < w)
			at--;
		if (at == n)
			continue;
		if (count < n)
			count++;
		memmove(
		    out + at + 1, out + at, (count - at - 1) * sizeof(*out));
		out[at] = i;
	}
	return count;
}

json_t *
heavy_counts_json(const struct tally_counts *counts)
{
	const char *base = (const char *)counts;
	json_t *o = json_object();

	for (size_t i = 0; o && i < ARRAY_SIZE(members); i++) {
		uint64_t n;

		memcpy(&n, base + members[i].offset, sizeof(n));
		json_object_set_new(
		    o, members[i].name, json_integer((json_int_t)n));
	}
	return o;
}

json_t *
heavy_json(const struct heavy_item *item)
{
	json_t *o = heavy_counts_json(&item->counts);

	if (o == NULL)
		return NULL;
	json_object_set_new(
	    o, "name", job_text(bytes_of(item->name, item->size)));
	if (item->error)
		json_object_set_new(
		    o, "error_bytes", json_integer((json_int_t)item->error));
	return o;
}

char *
heavy_write(const struct heavy *s, unsigned n)
{
	unsigned top[HEAVY_MAX];
	json_t *list = json_array();
	char *text;

	n = heavy_top(s, top, n < HEAVY_MAX ? n : HEAVY_MAX);
	for (unsigned i = 0; list && i < n; i++)
		json_array_append_new(list, heavy_json(&s->items[top[i]]));
	text = list ? json_dumps(list, JSON_COMPACT) : NULL;
	json_decref(list);
	return text;
}

static uint64_t
number_of(const json_t *o, const char *name)
{
	json_int_t n = json_integer_value(json_object_get(o, name));

	return n > 0 ? (uint64_t)n : 0;
}

void
heavy_read(struct heavy *s, struct bytes text)
{
	json_t *list = json_loadb(text.p, text.n, 0, NULL);

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *o = json_array_get(list, i);
		const json_t *name = json_object_get(o, "name");
		struct tally_counts counts;

		if (!json_is_string(name))
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(members); j++) {
			uint64_t n = number_of(o, members[j].name);

			memcpy(
			    (char *)&counts + members[j].offset, &n, sizeof(n));
		}
		heavy_add(s,
		    bytes_of(json_string_value(name), json_string_length(name)),
		    &counts, number_of(o, "error_bytes"));
	}
	json_decref(list);
}
