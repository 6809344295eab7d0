/*
 * zstd frames.
 *
 * What always holds: decoding writes no more than the caller's record says it
 * may, whatever the frame claims of itself; zstd's own checksum is off, for
 * ours covers the stored bytes.
 */
#include "frame.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

/* A sample tells text from what is packed already; more would cost as much as
 * pressing it. */
#define SAMPLE (32u * 1024)
#define LEVEL  3
#define HARDER 6

/* What each frame begins with, as it is written. */
static const char magic[4] = {'\x28', '\xb5', '\x2f', '\xfd'};

void
frame_release(struct frame_coder *coder)
{
	ZSTD_freeCCtx(coder->compressor);
	ZSTD_freeCCtx(coder->folder);
	ZSTD_freeDCtx(coder->decompressor);
	free(coder->frame.p);
	free(coder->said.p);
	free(coder->plain.p);
	memset(coder, 0, sizeof(*coder));
}

bool
frame_reserve(struct frame_room *room, size_t n)
{
	size_t size = room->n ? room->n : 4096;
	char *p;

	if (n <= room->n)
		return true;
	while (size < n)
		size *= 2;
	p = malloc(size);
	if (!p)
		return false;
	free(room->p);
	*room = (struct frame_room){p, size};
	return true;
}

size_t
frame_bound(size_t n)
{
	return ZSTD_compressBound(n);
}

bool
frame_smaller(size_t pressed, size_t n)
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
	return ZSTD_isError(put) || !frame_smaller(put, n) ? 0 : put;
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

static bool
has_decompressor(struct frame_coder *coder)
{
	if (!coder->decompressor)
		coder->decompressor = ZSTD_createDCtx();
	return coder->decompressor != NULL;
}

int
frame_unpress(
    struct frame_coder *coder, char *to, size_t raw, const char *from, size_t n)
{
	if (!has_decompressor(coder))
		return LARDER_NOMEM;
	return ZSTD_decompressDCtx(coder->decompressor, to, raw, from, n) == raw
		   ? 0
		   : LARDER_DAMAGED;
}

/* ---- with a dictionary --------------------------------------------------- */

static bool
has_folder(struct frame_coder *coder)
{
	ZSTD_CCtx *c = coder->folder ? coder->folder : ZSTD_createCCtx();

	/* The record says which dictionary. */
	if (c && !coder->folder &&
	    ZSTD_isError(ZSTD_CCtx_setParameter(c, ZSTD_c_dictIDFlag, 0))) {
		ZSTD_freeCCtx(c);
		c = NULL;
	}
	coder->folder = c;
	return c != NULL;
}

bool
frame_fold(struct frame_coder *coder, unsigned dictionary,
    enum dictionary_kind kind, struct bytes in, struct bytes *frame)
{
	const ZSTD_CDict *dict = dictionary_to_press(dictionary, kind);
	size_t put;

	if (!dict || !has_folder(coder) ||
	    !frame_reserve(&coder->frame, frame_bound(in.n)) ||
	    ZSTD_isError(ZSTD_CCtx_refCDict(coder->folder, dict)))
		return false;
	put = ZSTD_compress2(
	    coder->folder, coder->frame.p, coder->frame.n, in.p, in.n);
	if (ZSTD_isError(put) || put >= in.n + sizeof(magic))
		return false;
	*frame = bytes_of(coder->frame.p + sizeof(magic), put - sizeof(magic));
	return true;
}

/* With its magic number: in the coder's memory. */
static int
whole(struct frame_coder *coder, struct bytes frame, struct bytes *out)
{
	if (!frame_reserve(&coder->frame, frame.n + sizeof(magic)))
		return LARDER_NOMEM;
	memcpy(coder->frame.p, magic, sizeof(magic));
	if (frame.n)
		memcpy(coder->frame.p + sizeof(magic), frame.p, frame.n);
	*out = bytes_of(coder->frame.p, frame.n + sizeof(magic));
	return 0;
}

static int
unfold(struct frame_coder *coder, unsigned dictionary,
    enum dictionary_kind kind, struct bytes frame, char *to, size_t n)
{
	const ZSTD_DDict *dict = dictionary_to_unpress(dictionary, kind);

	if (!dict)
		return dictionary_exists(dictionary) ? LARDER_NOMEM
						     : LARDER_DAMAGED;
	if (!has_decompressor(coder))
		return LARDER_NOMEM;
	return ZSTD_decompress_usingDDict(
		   coder->decompressor, to, n, frame.p, frame.n, dict) == n
		   ? 0
		   : LARDER_DAMAGED;
}

int
frame_unfold(struct frame_coder *coder, unsigned dictionary, struct bytes frame,
    size_t max, struct bytes *out)
{
	unsigned long long n;
	int err = whole(coder, frame, &frame);

	if (err)
		return err;
	/* Larger than anything where it does not say. */
	n = ZSTD_getFrameContentSize(frame.p, frame.n);
	if (n > max)
		return LARDER_DAMAGED;
	if (!frame_reserve(&coder->said, n))
		return LARDER_NOMEM;
	*out = bytes_of(coder->said.p, n);
	return unfold(
	    coder, dictionary, DICTIONARY_FRONT, frame, coder->said.p, n);
}

int
frame_unfold_to(struct frame_coder *coder, unsigned dictionary,
    struct bytes frame, char *to, size_t n)
{
	int err = whole(coder, frame, &frame);

	return err ? err
		   : unfold(coder, dictionary, DICTIONARY_BODY, frame, to, n);
}
