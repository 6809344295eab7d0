/*
 * Blocks in a list, newest first; only the newest gives. Each new block is
 * twice the one before, up to BLOCK_MAX, so that a long exchange costs few
 * calls of malloc and a short one costs one small block, which
 * arena_reset() keeps.
 *
 * Always: used <= limit; `first` is the oldest block, if there is one.
 */
#include "larder/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include "larder/check.h"

#define BLOCK_MIN ((size_t)4096)
#define BLOCK_MAX ((size_t)64 * 1024)

struct arena_block {
	struct arena_block *older;
	size_t size; /* of data */
	size_t at;   /* the first byte of data that is free */
	alignas(max_align_t) char data[];
};

void
arena_init(struct arena *a, size_t limit)
{
	*a = (struct arena){.limit = limit};
}

/* Frees all blocks newer than keep. */
static void
drop(struct arena *a, struct arena_block *keep)
{
	while (a->block != keep) {
		struct arena_block *older = a->block->older;

		free(a->block);
		a->block = older;
	}
}

void
arena_reset(struct arena *a)
{
	drop(a, a->first);
	/* A first block made for one huge request is not worth keeping. */
	if (a->first && a->first->size > BLOCK_MAX) {
		free(a->first);
		a->first = a->block = NULL;
	}
	if (a->first)
		a->first->at = 0;
	a->used = 0;
}

void
arena_release(struct arena *a)
{
	drop(a, NULL);
	a->first = NULL;
	a->used = 0;
}

static struct arena_block *
grow(struct arena *a, size_t n)
{
	const size_t header = sizeof(struct arena_block);
	size_t size = BLOCK_MIN - header;
	struct arena_block *block;

	if (a->block) {
		size = (a->block->size + header) * 2;
		size = (size < BLOCK_MAX ? size : BLOCK_MAX) - header;
	}
	if (size < n)
		size = n;
	if (size > SIZE_MAX - header)
		return NULL;
	block = malloc(header + size);
	if (block == NULL)
		return NULL;
	block->older = a->block;
	block->size = size;
	block->at = 0;
	a->block = block;
	if (a->first == NULL)
		a->first = block;
	return block;
}

static char *
give(struct arena *a, size_t n, size_t align)
{
	struct arena_block *block = a->block;
	size_t at;

	if (n > a->limit - a->used)
		return NULL;
	if (block) {
		at = (block->at + align - 1) & ~(align - 1);
		if (at <= block->size && n <= block->size - at)
			goto found;
	}
	block = grow(a, n);
	if (block == NULL)
		return NULL;
	at = 0;
found:
	block->at = at + n;
	a->used += n;
	return block->data + at;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	return give(a, n, alignof(max_align_t));
}

void *
arena_zalloc(struct arena *a, size_t n)
{
	void *p = arena_alloc(a, n);

	if (p && n)
		memset(p, 0, n);
	return p;
}

struct bytes
arena_copy(struct arena *a, struct bytes b)
{
	char *p = b.n < SIZE_MAX ? give(a, b.n + 1, 1) : NULL;

	if (p == NULL)
		return (struct bytes){NULL, 0};
	if (b.n)
		memcpy(p, b.p, b.n);
	p[b.n] = '\0';
	return (struct bytes){p, b.n};
}

struct bytes
arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	int n;
	char *p;

	va_start(ap, format);
	n = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	p = n < 0 ? NULL : give(a, (size_t)n + 1, 1);
	if (p == NULL)
		return (struct bytes){NULL, 0};
	va_start(ap, format);
	vsnprintf(p, (size_t)n + 1, format, ap);
	va_end(ap);
	return (struct bytes){p, (size_t)n};
}
