/*
 * zstd, one frame at a time. A coder belongs to one thread and keeps its
 * contexts, so that coding allocates nothing after the first time.
 */
#ifndef STORAGE_FRAME_H
#define STORAGE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dictionary.h"
#include "larder/bytes.h"
#include "larder/err.h"

/* Memory that is kept for the next time. */
struct frame_room {
	char *p;
	size_t n;
};

struct frame_coder {
	struct ZSTD_CCtx_s *compressor, *folder;
	/* One a dictionary: to zstd one that changes is one that is not in the
	 * processor's caches, and it goes the long way round. */
	struct ZSTD_DCtx_s *decompressor, *unfolders[DICTIONARY_KINDS];
	struct frame_room frame;  /* what was folded */
	struct frame_room stored; /* load.c's: what was read */
	/* record.c's: what was unfolded, what is to be folded. */
	struct frame_room said, plain;
};

void frame_release(struct frame_coder *coder);
/* So many bytes at least, or false: no memory. */
bool frame_reserve(struct frame_room *room, size_t n);
/* Room that frame_press() needs for n bytes. */
size_t frame_bound(size_t n);
/* Whether they may shrink by enough to be worth it, as a sample of them says.
 */
bool frame_gains(struct frame_coder *coder, struct bytes in);
/* Bytes of the frame, or 0 when it would not be clearly smaller. */
size_t frame_press(struct frame_coder *coder, char *to, size_t room,
    const char *from, size_t n);
/* The same whether that gains or not; 0: no memory. It is at its leisure, and
 * presses harder. */
size_t frame_wrap(struct frame_coder *coder, char *to, size_t room,
    const char *from, size_t n);
/* Is it so much smaller that it is worth a decoder on every hit? */
bool frame_smaller(size_t pressed, size_t n);
/* Is it so much smaller that a large body is pressed? */
bool frame_worth(uint64_t pressed, uint64_t raw);
/* Exactly raw bytes, or LARDER_DAMAGED; LARDER_NOMEM. */
int frame_unpress(struct frame_coder *coder, char *to, size_t raw,
    const char *from, size_t n);

/*
 * Small things, by the dictionary of that number and kind: one block of a
 * frame, without what can be told from how long the two are. It is the coder's
 * until that codes the next one; false where it is not smaller, or there is no
 * memory.
 */
bool frame_fold(struct frame_coder *coder, unsigned dictionary,
    enum dictionary_kind kind, struct bytes in, struct bytes *block);
/* Back to exactly n bytes. 0, LARDER_DAMAGED (also: no such dictionary),
 * LARDER_NOMEM. */
int frame_unfold(struct frame_coder *coder, unsigned dictionary,
    enum dictionary_kind kind, struct bytes block, char *to, size_t n);

#endif
