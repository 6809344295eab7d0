#include "admin/census.h"

#include <stdio.h>
#include <stdlib.h>

#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "larder/log.h"
#include "net/loop.h"
#include "net/mailbox.h"
#include "proxy/proxy.h"

#define ROUND_MS  1000
/* What a crash may lose. */
#define SAVE_MS	  (60 * 1000)
#define STATE_MAX (64u * 1024)
#define NAME_SIZE 32
/* Names that are kept of a day that is over. */
#define DAY_MAX	  64u

struct census {
	struct loop *loop; /* NULL: nothing runs */
	struct store *store;
	struct proxy *proxy; /* NULL: no rounds */
	struct mailbox *box;
	struct mailbox_note collected;
	struct loop_timer round;
	int64_t saved_at;	 /* loop_mono_ms() */
	int64_t asked_at;	 /* ditto: when the last round began */
	bool asking;		 /* and it is not over */
	struct list waits, next; /* for the end of this round, and its next */
	struct counters counters;
	struct history history;
	int64_t today; /* when the day of `day` began */
	struct heavy ever[TALLY_KINDS], day[TALLY_KINDS];
	bool changed; /* those, since they were saved */
	struct census_flights flights;
};

static const char *const kinds[TALLY_KINDS] = {
    [TALLY_HOST] = "host",
    [TALLY_CLIENT] = "client",
    [TALLY_URL] = "url",
};

static int64_t
now_seconds(void)
{
	return clock_wall_ms() / 1000;
}

/* ---- kept ------------------------------------------------------------- */

/* "top-host-ever", "top-host-17" of a day. */
static void
name_of(enum tally_kind kind, int64_t day, char name[NAME_SIZE])
{
	if (day == 0)
		snprintf(name, NAME_SIZE, "top-%s-ever", kinds[kind]);
	else
		snprintf(name, NAME_SIZE, "top-%s-%d", kinds[kind],
		    (int)(history_day_number(day) % CENSUS_DAYS));
}

/* Its day goes before it: places are used again. `most` of it are kept. */
static int
save_heavy(struct store *store, enum tally_kind kind, int64_t day,
    const struct heavy *s, unsigned most)
{
	char name[NAME_SIZE], *text, *both;
	int rc = LARDER_TOOBIG;

	name_of(kind, day, name);
	/* As many as there is room for. */
	for (unsigned n = most; rc == LARDER_TOOBIG && n > 0; n /= 2) {
		text = heavy_write(s, n);
		if (text == NULL ||
		    asprintf(&both, "%lld %s", (long long)day, text) < 0) {
			free(text);
			return LARDER_NOMEM;
		}
		if (strlen(both) <= STATE_MAX)
			rc = store_state_set(store, name, bytes_str(both));
		free(text);
		free(both);
	}
	return rc;
}

static void
load_heavy(
    struct store *store, enum tally_kind kind, int64_t day, struct heavy *s)
{
	char name[NAME_SIZE];
	struct arena arena;
	struct bytes text;
	const char *space;

	name_of(kind, day, name);
	arena_init(&arena, 2 * STATE_MAX);
	if (store_state_get(store, name, &arena, &text) == 0 &&
	    (space = memchr(text.p, ' ', text.n)) != NULL) {
		uint64_t kept;

		if (bytes_decimal(bytes_of(text.p, (size_t)(space - text.p)),
			INT64_MAX, &kept) &&
		    (int64_t)kept == day)
			heavy_read(
			    s, bytes_skip(text, (size_t)(space - text.p) + 1));
	}
	arena_release(&arena);
}

static int
save_heavies(struct census *c)
{
	int rc = 0;

	for (unsigned kind = 0; rc == 0 && kind < TALLY_KINDS; kind++) {
		rc = save_heavy(c->store, kind, 0, &c->ever[kind], HEAVY_MAX);
		if (rc == 0)
			rc = save_heavy(
			    c->store, kind, c->today, &c->day[kind], HEAVY_MAX);
	}
	c->changed = rc != 0;
	return rc;
}

static void
save(struct census *c)
{
	uint64_t current[COUNTER_COUNT], total[COUNTER_COUNT];
	int rc;

	census_totals(c, current, total);
	rc = counters_save(&c->counters, c->store, total);
	if (rc == 0)
		rc = history_save(&c->history, c->store);
	if (rc == 0 && c->changed)
		rc = save_heavies(c);
	if (rc < 0)
		log_warnx(
		    "the counters were not saved: %s", larder_strerror(rc));
}

/* ---- rounds ----------------------------------------------------------- */

static void
merge_table(
    struct heavy *ever, struct heavy *day, const struct tally_table *table)
{
	for (unsigned i = 0; i < TALLY_SLOTS; i++) {
		const struct tally_slot *slot = &table->slots[i];
		struct bytes name = bytes_of(slot->text, slot->size);

		if (table->hash[i] == 0)
			continue;
		heavy_add(ever, name, &slot->counts, 0);
		heavy_add(day, name, &slot->counts, 0);
	}
}

static void
merge(void *arg, const struct tally *tally)
{
	struct census *c = arg;

	for (int kind = 0; kind < TALLY_KINDS; kind++)
		merge_table(
		    &c->ever[kind], &c->day[kind], &tally->tables[kind]);
	for (unsigned i = 0; i < tally->flight_count; i++)
		if (c->flights.count < TALLY_FLIGHTS)
			c->flights.flights[c->flights.count++] =
			    tally->flights[i];
}

/* The day's heavies are another day's from now on. */
static void
turn_day(struct census *c)
{
	int64_t day = history_day(now_seconds(), 0);

	if (day == c->today)
		return;
	/* Of a day that is over fewer are worth their place on the disk. */
	for (unsigned kind = 0; c->today != 0 && kind < TALLY_KINDS; kind++)
		save_heavy(c->store, kind, c->today, &c->day[kind], DAY_MAX);
	c->today = day;
	for (unsigned kind = 0; kind < TALLY_KINDS; kind++) {
		heavy_clear(&c->day[kind]);
		load_heavy(c->store, kind, day, &c->day[kind]);
	}
}

static bool
has_moved(const struct census *c, const uint64_t total[COUNTER_COUNT])
{
	return memcmp(total, c->history.last, sizeof(c->history.last)) != 0;
}

static void
take_in(struct census *c)
{
	uint64_t current[COUNTER_COUNT], total[COUNTER_COUNT];

	turn_day(c);
	census_totals(c, current, total);
	if (has_moved(c, total))
		c->changed = true;
	history_add(&c->history, now_seconds(), total);
	c->flights.count = 0;
	proxy_take_tallies(c->proxy, merge, c);
}

static void
tell(struct census *c)
{
	struct list due, *node;

	list_init(&due);
	list_splice(&due, &c->waits);
	while ((node = list_shift(&due)) != NULL) {
		struct census_wait *w =
		    container_of(node, struct census_wait, node);

		w->fn(w->arg);
	}
}

static void
ask(struct census *c)
{
	if (c->asking)
		return;
	c->asking = true;
	c->asked_at = loop_mono_ms(c->loop);
	list_splice(&c->waits, &c->next);
	proxy_collect(c->proxy, &c->collected);
}

static void
on_collected(void *arg)
{
	struct census *c = arg;

	if (c->proxy == NULL)
		return;
	c->asking = false;
	take_in(c);
	tell(c);
	if (!list_empty(&c->next))
		ask(c);
}

static void
on_round(void *arg)
{
	struct census *c = arg;
	uint64_t current[COUNTER_COUNT], total[COUNTER_COUNT];
	int64_t now = loop_mono_ms(c->loop);

	/* A worker that does not come to it: they get what there is. */
	if (now - c->asked_at >= ROUND_MS) {
		list_splice(&c->waits, &c->next);
		tell(c);
	}
	census_totals(c, current, total);
	if (has_moved(c, total) || c->flights.count > 0)
		ask(c);
	if (now - c->saved_at >= SAVE_MS) {
		c->saved_at = now;
		save(c);
	}
	loop_timer_start(&c->round, ROUND_MS);
}

void
census_wait(struct census *c, struct census_wait *wait, void (*fn)(void *arg),
    void *arg)
{
	wait->fn = fn;
	wait->arg = arg;
	list_append(&c->next, &wait->node);
	ask(c);
}

void
census_forget(struct census_wait *wait)
{
	list_remove(&wait->node);
}

void
census_purged(struct census *c, const struct store_removed *what)
{
	c->counters.purged.objects += what->objects;
	c->counters.purged.bytes += what->bytes;
}

/* ---- told ------------------------------------------------------------- */

const struct history *
census_history(const struct census *c)
{
	return &c->history;
}

const struct census_flights *
census_flights(const struct census *c)
{
	return &c->flights;
}

int64_t
census_since(const struct census *c)
{
	return c->counters.since;
}

void
census_totals(struct census *c, uint64_t current[COUNTER_COUNT],
    uint64_t total[COUNTER_COUNT])
{
	uint64_t stats[STAT_COUNT];

	if (c->proxy)
		proxy_stats(c->proxy, stats);
	counters_current(
	    &c->counters, c->proxy ? stats : NULL, c->store, current);
	counters_total(&c->counters, current, total);
}

static void
add_all(struct heavy *to, const struct heavy *from)
{
	for (unsigned i = 0; i < from->count; i++)
		heavy_add(to,
		    bytes_of(from->items[i].name, from->items[i].size),
		    &from->items[i].counts, from->items[i].error);
}

int
census_top(const struct census *c, enum tally_kind kind, int64_t from,
    struct heavy **out)
{
	struct heavy *s = calloc(1, sizeof(*s));

	*out = s;
	if (s == NULL)
		return LARDER_NOMEM;
	if (from == 0) {
		add_all(s, &c->ever[kind]);
		return 0;
	}
	add_all(s, &c->day[kind]);
	for (int back = 1; back < CENSUS_DAYS; back++) {
		int64_t day = history_day(c->today, back);

		if (day < history_day(from, 0))
			break;
		load_heavy(c->store, kind, day, s);
	}
	return 0;
}

/* ---- life ------------------------------------------------------------- */

int
census_open(struct census **out, struct loop *loop, struct store *store)
{
	struct census *c = calloc(1, sizeof(*c));

	*out = NULL;
	if (c == NULL)
		return LARDER_NOMEM;
	c->store = store;
	c->loop = loop;
	list_init(&c->waits);
	list_init(&c->next);
	counters_load(&c->counters, store);
	history_load(&c->history, store, c->counters.before);
	for (unsigned kind = 0; kind < TALLY_KINDS; kind++)
		load_heavy(store, kind, 0, &c->ever[kind]);
	turn_day(c);
	if (loop && mailbox_new(&c->box, loop) < 0) {
		free(c);
		return LARDER_NOMEM;
	}
	if (loop) {
		mailbox_note_init(&c->collected, c->box, on_collected, c);
		loop_timer_init(&c->round, loop, on_round, c);
		c->saved_at = loop_mono_ms(loop);
	}
	*out = c;
	return 0;
}

void
census_start(struct census *c, struct proxy *proxy)
{
	c->proxy = proxy;
	loop_timer_start(&c->round, ROUND_MS);
}

void
census_stop(struct census *c)
{
	if (c->proxy == NULL)
		return;
	loop_timer_stop(&c->round);
	take_in(c);
	save(c);
	list_splice(&c->waits, &c->next);
	tell(c);
	mailbox_cancel(&c->collected);
	/* What it has counted stays told. */
	c->proxy = NULL;
}

void
census_free(struct census **census)
{
	struct census *c = *census;

	*census = NULL;
	if (c == NULL)
		return;
	if (c->loop) {
		loop_timer_release(&c->round);
		mailbox_cancel(&c->collected);
		mailbox_free(&c->box);
	}
	free(c);
}
