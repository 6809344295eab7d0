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

#include "object.h"

/* A sample tells text from what is packed already; more would cost as much as
 * pressing it. */
#define SAMPLE (32u * 1024)
/* How often each byte occurs is counted in some pieces: one for so many bytes,
 * and no fewer than four. */
#define PIECE  128u
#define STRIDE (8u * 1024)
#define PIECES 4u
/* What is even is looked through for repeats in a part only: it hardly ever
 * has any, and all of it would be a twelfth of a miss. Finds nothing but long
 * matches, in a fifth of the time. */
#define PART   4096u
#define GLANCE (-10)
#define QUICK  1
#define LEVEL  3
#define HARDER 6

/* Of a frame that was folded (RFC 8878, 3.1.1): the magic number, a descriptor
 * (one segment, its size in four bytes), that size, and the header of a block
 * that is the last one, compressed. */
#define MAGIC	     4u
#define HEADER	     12u
#define DESCRIPTOR   0xa0
#define BLOCK_HEADER 3u
#define BLOCK_LAST   5u

void
frame_release(struct frame_coder *coder)
{
	ZSTD_freeCCtx(coder->compressor);
	ZSTD_freeCCtx(coder->folder);
	ZSTD_freeDCtx(coder->decompressor);
	for (unsigned i = 0; i < DICTIONARY_KINDS; i++)
		ZSTD_freeDCtx(coder->unfolders[i]);
	free(coder->frame.p);
	free(coder->stored.p);
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

/* Do its bytes occur as often as each other, as in what is packed already? */
static bool
is_even(struct bytes in)
{
	size_t pieces = in.n / STRIDE < PIECES ? PIECES : in.n / STRIDE;
	size_t piece = in.n > pieces * PIECE ? PIECE : in.n;
	size_t step = piece < in.n ? (in.n - piece) / (pieces - 1) : in.n;
	uint32_t counts[256] = {0};
	uint64_t n = 0, sum = 0, even;

	for (size_t at = 0; at + piece <= in.n && piece; at += step) {
		for (size_t i = 0; i < piece; i++)
			counts[(unsigned char)in.p[at + i]]++;
		n += piece;
	}
	for (unsigned i = 0; i < 256; i++)
		sum += (uint64_t)counts[i] * counts[i];
	even = n + n * n / 256;
	return sum < even + even / 4;
}

bool
frame_gains(struct frame_coder *coder, struct bytes in)
{
	/* What it repeats would be found in what is packed, too. */
	bool even = is_even(in);
	size_t most = even ? PART : SAMPLE, n = in.n > most ? most : in.n;
	char to[SAMPLE];

	if (!even && in.n <= 2 * SAMPLE)
		return true;
	/* Too little room for what does not shrink is an error: no gain. */
	return press(coder, to, sizeof(to), in.p + (in.n - n) / 2, n,
		   even ? GLANCE : QUICK) > 0;
}

size_t
frame_press(struct frame_coder *coder, char *to, size_t room, const char *from,
    size_t n)
{
	if (n < 64)
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
has_decompressor(ZSTD_DCtx **d)
{
	if (!*d)
		*d = ZSTD_createDCtx();
	return *d != NULL;
}

int
frame_unpress(
    struct frame_coder *coder, char *to, size_t raw, const char *from, size_t n)
{
	if (!has_decompressor(&coder->decompressor))
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

static uint32_t
get24(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16;
}

/* The one block of a frame, if it is of the kind that can be made again. */
static bool
cut(struct bytes frame, struct bytes *block)
{
	static const unsigned sizes[] = {0, 2, 4, 8};
	unsigned descriptor = (unsigned char)frame.p[MAGIC], skip;

	/* One segment: no window is told, and a size of one byte at least. */
	if (!(descriptor & 0x20) || descriptor & 0x1f)
		return false;
	skip = descriptor >> 6 ? sizes[descriptor >> 6] : 1;
	*block = bytes_skip(frame, MAGIC + 1 + skip + BLOCK_HEADER);
	return get24(block->p - BLOCK_HEADER) == (block->n << 3 | BLOCK_LAST);
}

bool
frame_fold(struct frame_coder *coder, unsigned dictionary,
    enum dictionary_kind kind, struct bytes in, struct bytes *block)
{
	const ZSTD_CDict *dict = dictionary_to_press(dictionary, kind);
	struct bytes b;
	size_t put;

	if (!dict || !has_folder(coder) ||
	    !frame_reserve(&coder->frame, frame_bound(in.n)) ||
	    ZSTD_isError(ZSTD_CCtx_refCDict(coder->folder, dict)))
		return false;
	put = ZSTD_compress2(
	    coder->folder, coder->frame.p, coder->frame.n, in.p, in.n);
	if (ZSTD_isError(put) || put <= HEADER + 4 ||
	    !cut(bytes_of(coder->frame.p, put), &b) || b.n >= in.n)
		return false;
	*block = b;
	return true;
}

/* A whole frame again, in the coder's memory. */
static int
mend(struct frame_coder *coder, struct bytes block, size_t n,
    struct bytes *frame)
{
	char *p;

	if (block.n > ZSTD_BLOCKSIZE_MAX || n > UINT32_MAX)
		return LARDER_DAMAGED;
	if (!frame_reserve(&coder->frame, HEADER + block.n))
		return LARDER_NOMEM;
	p = coder->frame.p;
	object_put32(p, ZSTD_MAGICNUMBER);
	p[MAGIC] = (char)DESCRIPTOR;
	object_put32(p + MAGIC + 1, (uint32_t)n);
	/* Its fourth byte is written over. */
	object_put32(
	    p + HEADER - BLOCK_HEADER, (uint32_t)block.n << 3 | BLOCK_LAST);
	if (block.n)
		memcpy(p + HEADER, block.p, block.n);
	*frame = bytes_of(p, HEADER + block.n);
	return 0;
}

int
frame_unfold(struct frame_coder *coder, unsigned dictionary,
    enum dictionary_kind kind, struct bytes block, char *to, size_t n)
{
	const ZSTD_DDict *dict = dictionary_to_unpress(dictionary, kind);
	struct bytes frame;
	int err;

	if (!dict)
		return dictionary_exists(dictionary) ? LARDER_NOMEM
						     : LARDER_DAMAGED;
	if (!has_decompressor(&coder->unfolders[kind]))
		return LARDER_NOMEM;
	err = mend(coder, block, n, &frame);
	if (err)
		return err;
	return ZSTD_decompress_usingDDict(
		   coder->unfolders[kind], to, n, frame.p, frame.n, dict) == n
		   ? 0
		   : LARDER_DAMAGED;
}
