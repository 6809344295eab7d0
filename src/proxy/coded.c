#include "proxy/coded.h"

#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"

#define SLOTS 1024u

struct coded {
	struct coded_body *slots[SLOTS];
	struct list used; /* the longest unused first */
	size_t bytes;
};

int
coded_new(struct coded **out)
{
	struct coded *c = calloc(1, sizeof(*c));

	*out = c;
	if (c == NULL)
		return LARDER_NOMEM;
	list_init(&c->used);
	return 0;
}

/* Ids are given one after another. */
static struct coded_body **
slot_of(struct coded *c, uint64_t id, enum http_coding to)
{
	return &c->slots[(id * 4 + to) % SLOTS];
}

static size_t
cost(const struct coded_body *b)
{
	return sizeof(*b) + b->n;
}

void
coded_unref(struct coded_body **body)
{
	struct coded_body *b = *body;

	*body = NULL;
	if (b == NULL || --b->refs > 0)
		return;
	check(list_empty(&b->node));
	free(b);
}

static void
drop_oldest(struct coded *c)
{
	struct coded_body *b =
	    container_of(list_shift(&c->used), struct coded_body, node);
	struct coded_body **at = slot_of(c, b->id, b->to);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	c->bytes -= cost(b);
	coded_unref(&b);
}

void
coded_free(struct coded **coded)
{
	struct coded *c = *coded;

	*coded = NULL;
	while (c != NULL && !list_empty(&c->used))
		drop_oldest(c);
	free(c);
}

static struct coded_body *
look(struct coded *c, uint64_t id, enum http_coding to)
{
	struct coded_body *b = *slot_of(c, id, to);

	while (b != NULL && (b->id != id || b->to != to))
		b = b->next;
	return b;
}

struct coded_body *
coded_find(struct coded *c, uint64_t id, enum http_coding to)
{
	struct coded_body *b = look(c, id, to);

	if (b == NULL)
		return NULL;
	list_remove(&b->node);
	list_append(&c->used, &b->node);
	b->refs++;
	return b;
}

void
coded_keep(struct coded *c, uint64_t id, enum http_coding to, uint64_t raw,
    const char *p, size_t n, size_t most)
{
	struct coded_body *b;

	check(n <= CODED_MAX);
	/* There may be less room for all of it than there was. */
	while (c->bytes > most)
		drop_oldest(c);
	/* Two clients may have had it coded at the same time. */
	if (sizeof(*b) + n > most || look(c, id, to) != NULL)
		return;
	b = malloc(sizeof(*b) + n);
	if (b == NULL)
		return;
	*b = (struct coded_body){.refs = 1, .id = id, .to = to, .raw = raw};
	b->n = n;
	if (n > 0)
		memcpy(b->data, p, n);
	while (!list_empty(&c->used) && c->bytes + cost(b) > most)
		drop_oldest(c);
	list_init(&b->node);
	list_append(&c->used, &b->node);
	b->next = *slot_of(c, id, to);
	*slot_of(c, id, to) = b;
	c->bytes += cost(b);
}
