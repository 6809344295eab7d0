/*
 * Records of packs: a front, which says what it is, and a payload. See the
 * table at the top of object.c, and record.c.
 */
#ifndef STORAGE_RECORD_H
#define STORAGE_RECORD_H

#include "frame.h"
#include "object.h"

/* Bytes that say how long a record is; none is shorter. */
#define RECORD_MIN   24u
/* Bytes of a front before it is pressed, and of one on disk, at most. */
#define RECORD_PLAIN (512u * 1024)
#define RECORD_FRONT (RECORD_MIN + RECORD_PLAIN)
/* Of all of it. */
#define RECORD_MAX   (RECORD_FRONT + STORE_SMALL)

struct record {
	struct object_plain plain;
	bool moved;	     /* in the pack of those that moved or changed */
	bool folded;	     /* the payload is pressed with the dictionary */
	unsigned dictionary; /* that its parts are pressed with */
	size_t front;	     /* bytes before the payload */
	/* As on disk: a body, or nothing. Of a front alone p is no place. */
	struct bytes payload;
	/* The front's last part, as it was decoded and as it is on disk. */
	struct bytes said, pressed;
};

/* The body becomes its payload, pressed where that gains: in room of
 * frame_bound(STORE_SMALL) bytes, or else where it is. dictionary is given; the
 * body's encoding is set. */
void record_press_body(
    struct frame_coder *coder, struct record *r, struct bytes body, char *room);
/* Bytes that it takes at most. */
size_t record_bound(const struct record *r);
/* plain, moved, dictionary and payload as they are to be; was: one that was
 * decoded, by the same coder perhaps, or NULL: where it says the same it is not
 * pressed anew. buf holds at least the bound. Returns the bytes used, or 0: no
 * memory.
 */
size_t record_encode(struct frame_coder *coder, struct record *r,
    const struct record *was, char *buf);
/* The same but for the payload, which is to stand behind it. */
size_t record_encode_front(struct frame_coder *coder, struct record *r,
    const struct record *was, char *buf);

/* How long it is, of its first RECORD_MIN bytes or more. 0 or LARDER_DAMAGED.
 */
int record_peek(struct bytes in, uint64_t *front, uint64_t *stored);
/* Is it in the pack of those that moved or changed, once it was peeked at? */
bool record_is_moved(struct bytes in);
/* Where the first one may begin, or NULL: the last 3 bytes may be part of one
 * that goes on behind them. */
const char *record_find(struct bytes in);

/*
 * A front, and all of a record: what is not under sums that fit is
 * LARDER_DAMAGED; LARDER_NOMEM. The views are into `in`, and into the coder
 * until that decodes the next one.
 */
int record_decode_front(
    struct frame_coder *coder, struct bytes in, struct record *out);
int record_decode(
    struct frame_coder *coder, struct bytes in, struct record *out);
/* Is it the one of this object that has its head, its body, or both? */
bool record_holds(const struct record *r, const struct object_info *info,
    bool head, bool body);
/* The body out of a payload that is ENCODING_ZSTD: body_size bytes, or
 * LARDER_DAMAGED; LARDER_NOMEM. */
int record_body(struct frame_coder *coder, const struct record *r, char *to);

#endif
