/*
 * Stored objects as they are known in memory, and all that stand under one key.
 * Both are counted by reference and constant, but for what memory.h says.
 */
#include <stdlib.h>

#include "internal.h"
#include "larder/zeroed.h"

struct bytes
image_put_bytes(char **at, struct bytes b)
{
	struct bytes copy = {*at, b.n};

	if (b.n)
		memcpy(*at, b.p, b.n);
	*at += b.n;
	return copy;
}

struct object *
object_new(struct bytes key, const struct object_info *info)
{
	size_t n =
	    sizeof(struct object) + key.n + info->variant.n + info->meta.n;
	struct object *o = malloc(n);
	char *at;

	if (!o)
		return NULL;
	memset(o, 0, sizeof(*o));
	o->refs = 1;
	o->info = *info;
	o->cost = n;
	at = o->data;
	o->key = image_put_bytes(&at, key);
	o->info.variant = image_put_bytes(&at, info->variant);
	o->info.meta = image_put_bytes(&at, info->meta);
	return o;
}

struct object *
object_copy(const struct object *o)
{
	struct object *copy = object_new(o->key, &o->info);

	if (!copy)
		return NULL;
	copy->move = o->move;
	copy->unpress = o->unpress;
	copy->told = o->told;
	copy->blob = o->blob ? blob_ref(o->blob) : NULL;
	copy->head = o->head ? chunk_ref(o->head) : NULL;
	copy->pressed = o->pressed ? pressed_ref(o->pressed) : NULL;
	return copy;
}

struct object *
object_ref(struct object *o)
{
	atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
	return o;
}

void
object_unref(struct object **p)
{
	struct object *o = *p;

	*p = NULL;
	if (!o ||
	    atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
		return;
	blob_unref(&o->blob);
	chunk_unref(&o->head);
	pressed_unref(&o->pressed);
	free(o);
}

struct image *
image_new(void)
{
	struct image *image = zeroed(sizeof(*image));

	if (image)
		image->refs = 1;
	return image;
}

struct image *
image_ref(struct image *image)
{
	atomic_fetch_add_explicit(&image->refs, 1, memory_order_relaxed);
	return image;
}

void
image_unref(struct image **p)
{
	struct image *image = *p;

	*p = NULL;
	if (!image || atomic_fetch_sub_explicit(
			  &image->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (unsigned i = 0; i < image->count; i++)
		object_unref(&image->objects[i]);
	free(image);
}

struct image *
image_with(const struct image *old, struct object *with,
    bool (*drop)(void *arg, const struct object *o), void *arg)
{
	struct image *image = image_new();

	if (!image)
		return NULL;
	if (with)
		image->objects[image->count++] = object_ref(with);
	for (unsigned i = 0; i < old->count; i++) {
		struct object *o = old->objects[i];

		if (with && bytes_eq(o->info.variant, with->info.variant))
			continue;
		if (drop && drop(arg, o))
			continue;
		/* The oldest goes for the newest. */
		if (image->count < STORE_VARIANTS_MAX)
			image->objects[image->count++] = object_ref(o);
	}
	return image;
}

int
image_replace(
    const struct image *old, unsigned i, struct object *now, struct image **out)
{
	*out = now ? image_with(old, NULL, NULL, NULL) : NULL;
	if (!*out) {
		object_unref(&now);
		return LARDER_NOMEM;
	}
	object_unref(&(*out)->objects[i]);
	(*out)->objects[i] = now;
	return 1;
}

int
image_decode(struct bytes in, struct bytes key, struct image **out)
{
	struct object_value value;
	struct image *image;
	int err = object_value_decode(in, key, &value);

	if (err)
		return err;
	image = image_new();
	if (!image)
		return LARDER_NOMEM;
	for (unsigned i = 0; i < value.count; i++) {
		struct object *o = object_new(value.key, &value.infos[i]);

		if (!o) {
			image_unref(&image);
			return LARDER_NOMEM;
		}
		image->objects[image->count++] = o;
	}
	*out = image;
	return 0;
}
