/*
 * A second, strict reader of HTTP/1.1, written without a look at src/http: what
 * larder writes towards either side is held against it.
 */
#ifndef EXCHANGE_WIRE_H
#define EXCHANGE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"

#define WIRE_FIELDS 512

enum wire_framing { WIRE_NONE, WIRE_LENGTH, WIRE_CHUNKED, WIRE_CLOSE };

struct wire_message {
	/* of a request */
	struct bytes method, target;
	/* of a response */
	int status;

	size_t head; /* bytes */
	enum wire_framing framing;
	struct bytes body; /* what came of it, without framing; valid until the
			    * next call */
	size_t size;	   /* of the whole message, or what came of it */
	bool complete;	   /* never of WIRE_CLOSE: that is for the caller */

	unsigned count;
	struct bytes name[WIRE_FIELDS], value[WIRE_FIELDS];
};

/* Says what is wrong, shows the bytes, and ends the process. */
void wire_fail(const char *what, struct bytes bytes) __attribute__((noreturn));

#define wire_must(cond, what, bytes)            \
	do {                                    \
		if (!(cond))                    \
			wire_fail(what, bytes); \
	} while (0)

/* Reads one message off the front of in; false: its head is not there yet. Bad
 * ones end the process. */
bool wire_request(struct bytes in, struct wire_message *out);
/* to_head: of the answer to HEAD. */
bool wire_response(struct bytes in, bool to_head, struct wire_message *out);

/* The only value of that name, or p == NULL; several end the process. */
struct bytes wire_value(const struct wire_message *m, const char *name);
unsigned wire_count(const struct wire_message *m, const char *name);

#endif
