/*
 * zstd frames.
 *
 * What always holds: decoding writes no more than the caller's record says it
 * may, whatever the frame claims of itself; zstd's own checksum is off, for
 * ours covers the stored bytes.
 */
#include "frame.h"

#include <string.h>
#include <zstd.h>

/* A sample tells text from what is packed already; more would cost as much as
 * pressing it. */
#define SAMPLE (32u * 1024)
#define LEVEL  3
#define HARDER 6

void
frame_release(struct frame_coder *coder)
{
	ZSTD_freeCCtx(coder->compressor);
	ZSTD_freeDCtx(coder->decompressor);
	memset(coder, 0, sizeof(*coder));
}

size_t
frame_bound(size_t n)
{
	return ZSTD_compressBound(n);
}

/* What a sixteenth does not save is not worth a decoder on every hit. */
static bool
smaller(size_t pressed, size_t n)
{
	return pressed + n / 16 + 16 < n;
}

static size_t
press(struct frame_coder *coder, char *to, size_t room, const char *from,
    size_t n, int level)
{
	size_t put;

	if (!coder->compressor)
		coder->compressor = ZSTD_createCCtx();
	if (!coder->compressor)
		return 0;
	put = ZSTD_compressCCtx(coder->compressor, to, room, from, n, level);
	return ZSTD_isError(put) || !smaller(put, n) ? 0 : put;
}

bool
frame_gains(struct frame_coder *coder, const char *p, size_t n)
{
	char to[SAMPLE];
	size_t from = n > 2 * SAMPLE ? n / 2 : 0;

	n = n > SAMPLE ? SAMPLE : n;
	/* Too little room for what does not shrink is an error: no gain. */
	return press(coder, to, sizeof(to), p + from, n, 1) > 0;
}

size_t
frame_press(struct frame_coder *coder, char *to, size_t room, const char *from,
    size_t n)
{
	if (n < 64 || (n > 2 * SAMPLE && !frame_gains(coder, from, n)))
		return 0;
	return press(coder, to, room, from, n, LEVEL);
}

size_t
frame_wrap(struct frame_coder *coder, char *to, size_t room, const char *from,
    size_t n)
{
	size_t put;

	if (!coder->compressor)
		coder->compressor = ZSTD_createCCtx();
	if (!coder->compressor)
		return 0;
	put = ZSTD_compressCCtx(coder->compressor, to, room, from, n, HARDER);
	return ZSTD_isError(put) ? 0 : put;
}

bool
frame_worth(uint64_t pressed, uint64_t raw)
{
	return pressed <= raw - raw / 10;
}

int
frame_unpress(
    struct frame_coder *coder, char *to, size_t raw, const char *from, size_t n)
{
	if (!coder->decompressor)
		coder->decompressor = ZSTD_createDCtx();
	if (!coder->decompressor)
		return LARDER_NOMEM;
	return ZSTD_decompressDCtx(coder->decompressor, to, raw, from, n) == raw
		   ? 0
		   : LARDER_DAMAGED;
}
