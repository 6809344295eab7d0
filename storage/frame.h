/*
 * zstd, one frame at a time. A coder belongs to one thread and keeps its
 * contexts, so that coding allocates nothing after the first time.
 */
#ifndef STORAGE_FRAME_H
#define STORAGE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "larder/err.h"

struct frame_coder {
	struct ZSTD_CCtx_s *compressor;
	struct ZSTD_DCtx_s *decompressor;
};

void frame_release(struct frame_coder *coder);
/* Room that frame_press() needs for n bytes. */
size_t frame_bound(size_t n);
/* Whether a sample of these bytes shrinks by enough to be worth it. */
bool frame_gains(struct frame_coder *coder, const char *p, size_t n);
/* Bytes of the frame, or 0 when it would not be clearly smaller. */
size_t frame_press(struct frame_coder *coder, char *to, size_t room,
    const char *from, size_t n);
/* The same whether that gains or not; 0: no memory. It is at its leisure, and
 * presses harder. */
size_t frame_wrap(struct frame_coder *coder, char *to, size_t room,
    const char *from, size_t n);
/* Is it so much smaller that a large body is pressed? */
bool frame_worth(uint64_t pressed, uint64_t raw);
/* Exactly raw bytes, or LARDER_DAMAGED; LARDER_NOMEM. */
int frame_unpress(struct frame_coder *coder, char *to, size_t raw,
    const char *from, size_t n);

#endif
