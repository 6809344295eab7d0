/*
 * What is asked for right now, for `larderctl top`. Thread-safe.
 */
#ifndef PROXY_RECENT_H
#define PROXY_RECENT_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"

/* What is told is of the last so many seconds. */
#define RECENT_SECONDS 10
/* Nobody has looked for so long: nothing is counted any more. */
#define RECENT_WATCH   30
/* Of hosts, of URLs, of clients. */
#define RECENT_ENTRIES 128u
/* Longer names are cut, and end in "..." then. */
#define RECENT_NAME    256u

enum recent_table { RECENT_HOSTS, RECENT_URLS, RECENT_CLIENTS, RECENT_TABLES };

struct recent;

struct recent_count {
	uint64_t requests, hits; /* that have ended */
	uint64_t bytes;		 /* to clients, heads included */
};

struct recent_entry {
	char name[RECENT_NAME];
	struct recent_count count;
};

struct recent_report {
	int64_t ms; /* of how long it is: at most RECENT_SECONDS */
	struct recent_count all;
	unsigned count[RECENT_TABLES];
	/* Those with most requests first. */
	struct recent_entry entries[RECENT_TABLES][RECENT_ENTRIES];
};

/* LARDER_NOMEM. */
int recent_new(struct recent **out);
void recent_free(struct recent **recent);

/* Times: clock_mono_ms(). */

/* Is it worth calling recent_note()? No lock, no wait. */
bool recent_is_watched(const struct recent *recent, int64_t now);
/* names: by enum recent_table; of n == 0 none is counted. Holds a lock for
 * less than a microsecond or two. */
void recent_note(struct recent *recent, const struct bytes names[RECENT_TABLES],
    bool hit, uint64_t bytes, int64_t now);

/* Somebody looks, and will again: counts from now on. */
void recent_watch(struct recent *recent, int64_t now);
void recent_report(
    struct recent *recent, int64_t now, struct recent_report *out);

#endif
