/*
 * Both sides of larder's conversations, made from the fuzzer's bytes and held
 * against what may be said.
 *
 * What the origin sends in earnest is a representation: a body of which each
 * byte is known from its number, which travels in X-Rep. So whatever a client
 * gets tells whether it is the right answer to its question, all of it, and of
 * one piece. What is sent in jest (fields or bytes that change what a message
 * means) has no such number and is only checked for form.
 */
#ifndef EXCHANGE_TALK_H
#define EXCHANGE_TALK_H

#include "exchange_wire.h"
#include "exchange_world.h"

/* What makes and compares bodies has nothing to teach the fuzzer. */
#define TALK_PLAIN __attribute__((no_sanitize("coverage")))

/* The input, from its front; 0 behind its end. */
struct feed {
	const uint8_t *p;
	size_t n;
};

static inline uint8_t
feed_u8(struct feed *feed)
{
	if (feed->n == 0)
		return 0;
	feed->n--;
	return *feed->p++;
}

struct text {
	char p[16384];
	size_t n;
	bool jest; /* it may mean anything */
};

void text_put(struct text *t, const char *s);
void text_format(struct text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What stands for what in a table's lines. */
struct words {
	const char *etag, *modified; /* "" if there is none */
};

/* Field lines chosen by bytes from a table ("!" before a line: in jest), or
 * taken as they are, up to a byte 0xff. */
void text_fields(struct text *t, struct feed *feed, const char *const *table,
    unsigned count, const struct words *words);

extern const char *const talk_request_fields[], *const talk_response_fields[];
extern const unsigned talk_request_field_count, talk_response_field_count;

/* Where requests go: as the client says it, and as the origin hears it. */
struct place {
	const char *target, *host; /* host NULL: as the absolute form says */
	const char *at_host, *at_path; /* NULL: never gets there */
};
extern const struct place talk_places[];
extern const unsigned talk_place_count;

/* ---- representations -------------------------------------------------- */

struct rep {
	uint64_t place; /* a hash of host and path */
	unsigned version, class;
	uint32_t salt;
	bool text;	/* compresses well */
	bool validated; /* rep_validate() */
	size_t length;
	char etag[40], modified[40], number[24];
};

uint64_t talk_hash(struct bytes host, struct bytes path);
void rep_start(void);
void rep_change(void); /* all of them get a new version */
/* class: 0 for GET and HEAD. NULL: there are too many. */
const struct rep *rep_of(uint64_t place, unsigned class);
const struct rep *rep_by_number(struct bytes number);
/* The origin said 304 for this place: whatever is stored of it may answer, for
 * any selector that it was asked with. */
void rep_validate(const struct rep *rep);
bool rep_is_validated(const struct rep *rep);
char rep_byte(const struct rep *rep, size_t at);
/* [from, to) of it; valid until the next call. */
struct bytes rep_bytes(const struct rep *rep, size_t from, size_t to);

/* ---- the two sides ---------------------------------------------------- */

/* A request in earnest, by its number in X-Req. */
struct asked {
	const struct place *place;
	char method[12];
	char selector[8]; /* its X-V */
	unsigned minor;
	bool has_body, jest;
	size_t body;
};
struct asked *asked_by_number(struct bytes number, unsigned *index);

void client_start(void);
/* A request, or a piece of jest, from one of the clients. */
void client_says(struct feed *feed, bool raw);
void client_ends(struct feed *feed);
void client_pauses(struct feed *feed);
bool client_check(void);   /* did anything come? */
void client_release(void); /* what was held back goes */
void client_stop(void);	   /* everything is over */

void origin_start(void);
/* How the next request is to be answered. */
void origin_plans(struct feed *feed);
void origin_ends(struct feed *feed);
void origin_holds(bool hold);
bool origin_serve(void); /* did anything happen? */
void origin_release(void);
void origin_stop(void);

/* A body of a request or of a representation: its byte at a place. */
char talk_pattern(uint32_t salt, bool text, size_t at);

#endif
