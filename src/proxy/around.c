#include "proxy/around.h"

int
around_look(struct store_view *view, struct bytes key, struct bytes selecting,
    struct arena *arena, struct store_found *found,
    struct cache_stored **stored)
{
	unsigned n = 0;
	int err = store_look(view, key, arena, found);

	if (err != 0)
		return err;
	*stored = arena_alloc(arena, found->count * sizeof(**stored));
	if (*stored == NULL)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < found->count; i++) {
		struct store_record *r = &found->records[i];

		if (cache_stored_decode(
			r->meta, r->variant, r->body_size, &(*stored)[n]) < 0 ||
		    !bytes_eq((*stored)[n].variant, selecting))
			continue;
		found->records[n++] = *r;
	}
	found->count = n;
	return n > 0 ? 0 : LARDER_ABSENT;
}

int
around_find(const struct store_found *found, struct bytes variant)
{
	for (unsigned i = 0; i < found->count; i++)
		if (bytes_eq(found->records[i].variant, variant))
			return (int)i;
	return -1;
}
