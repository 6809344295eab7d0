/*
 * mincore() looks for each page by itself: a tenth of what it costs to send
 * it. So what was found is believed for a moment. Who asks sends it, and the
 * kernel drops first what was used longest ago; where something is dropped by
 * an order at that very time, who sends it waits for the disk once.
 */
#include "warm.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "disk.h"
#include "larder/clock.h"

/* What is asked about and believed as one, bytes. */
#define GRAIN	   (128u * 1024)
/* Of them so many at once: what one answer of mincore() has room for. */
#define GRAINS_MAX 8u

struct warm {
	void *map;
	uint64_t size;
	/* A grain: when all of it was, clock_mono_ms(). */
	_Atomic uint32_t seen[];
};

struct warm *
warm_new(int fd, uint64_t size)
{
	uint64_t grains = size / GRAIN + 1;
	uint32_t never = (uint32_t)clock_mono_ms() - WARM_MS;
	void *map = disk_map(fd, size);
	struct warm *w = NULL;

	if (map)
		w = calloc(1, sizeof(*w) + grains * sizeof(w->seen[0]));
	if (map && !w)
		disk_unmap(map, size);
	if (!w)
		return NULL;
	w->map = map;
	w->size = size;
	for (uint64_t i = 0; i < grains; i++)
		atomic_init(&w->seen[i], never);
	return w;
}

void
warm_free(struct warm *w)
{
	if (!w)
		return;
	disk_unmap(w->map, w->size);
	free(w);
}

static bool
is_believed(struct warm *w, uint64_t grain, uint32_t now)
{
	return now -
		   atomic_load_explicit(&w->seen[grain], memory_order_relaxed) <
	       WARM_MS;
}

/* Asks about the grains from..to: an offset up to which they are. */
static uint64_t
ask(struct warm *w, uint64_t from, uint64_t to, uint32_t now)
{
	uint64_t at = from * GRAIN;
	uint64_t end = to * GRAIN < w->size ? to * GRAIN : w->size;
	uint64_t upto = at + disk_warm(w->map, at, end - at);

	for (uint64_t i = from; i < to; i++)
		if (upto == end || (i + 1) * GRAIN <= upto)
			atomic_store_explicit(
			    &w->seen[i], now, memory_order_relaxed);
	return upto;
}

uint64_t
warm_run(struct warm *w, uint64_t offset, uint64_t n)
{
	uint32_t now = (uint32_t)clock_mono_ms();
	uint64_t end = offset + n, upto = offset;

	while (upto < end) {
		uint64_t from = upto / GRAIN, to = from;

		while (to * GRAIN < end && to - from < GRAINS_MAX &&
		       !is_believed(w, to, now))
			to++;
		if (to == from) {
			upto = (from + 1) * GRAIN;
			continue;
		}
		upto = ask(w, from, to, now);
		if (upto < to * GRAIN)
			break; /* where the file ends, or it is cold */
	}
	/* Of its first grain something is cold; that may lie before it. */
	if (upto <= offset)
		return disk_warm(w->map, offset, n);
	return upto < end ? upto - offset : n;
}
