/*
 * A coder is a decoder, an encoder, or both with a buffer between them.
 */
#include "http/coding.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "larder/check.h"

/* RFC 1952 in zlib's windowBits, with the largest window it has. */
#define GZIP_BITS	 (15 + 16)
#define GZIP_LEVEL	 5
#define GZIP_MEMORY	 7 /* of 9: a third less than the default, and as good */
/* Small enough that an encoder costs no more than gzip's: of C sources it makes
 * an eighth more than that, in a third of the time. */
#define ZSTD_LEVEL	 3
#define ZSTD_WINDOW_LOG	 14
#define ZSTD_TABLE_LOG	 13
/* RFC 9659: 8 MiB. */
#define ZSTD_WINDOW_MOST 23

struct decoder {
	enum http_coding coding; /* IDENTITY: there is none */
	z_stream gzip;
	ZSTD_DCtx *zstd;
	bool within;	/* a member or frame */
	bool full;	/* the last call might have given more */
	unsigned magic; /* bytes of the frame's magic number seen */
	bool skips;	/* it is a skippable frame's */
	uint64_t left;	/* what it may still decode to */
};

struct encoder {
	enum http_coding coding; /* IDENTITY: there is none */
	z_stream gzip;
	ZSTD_CCtx *zstd;
	bool owes; /* it took bytes that it was not told to give out yet */
};

struct http_coder {
	struct decoder decoder;
	struct encoder encoder;
	size_t zlib_memory;
	bool decoded; /* all of it, with both */
	size_t at, n; /* of between */
	char between[];
};

struct bytes
http_coding_name(enum http_coding coding)
{
	switch (coding) {
	case HTTP_CODING_IDENTITY:
		return BYTES("identity");
	case HTTP_CODING_GZIP:
		return BYTES("gzip");
	case HTTP_CODING_ZSTD:
		return BYTES("zstd");
	case HTTP_CODING_OTHER:
		break;
	}
	return BYTES("");
}

enum http_coding
http_coding_parse(struct bytes name)
{
	if (bytes_ieq(name, BYTES("gzip")) || bytes_ieq(name, BYTES("x-gzip")))
		return HTTP_CODING_GZIP;
	if (bytes_ieq(name, BYTES("zstd")))
		return HTTP_CODING_ZSTD;
	if (bytes_ieq(name, BYTES("identity")))
		return HTTP_CODING_IDENTITY;
	return HTTP_CODING_OTHER;
}

/* ---- decoding --------------------------------------------------------- */

static int
gzip_error(int z)
{
	return z == Z_MEM_ERROR ? LARDER_NOMEM : LARDER_INVALID;
}

static int
decode_gzip(
    struct decoder *d, struct bytes *in, char *out, size_t room, size_t *put)
{
	z_stream *z = &d->gzip;
	int result;

	z->next_in = (Bytef *)(uintptr_t)in->p;
	z->avail_in = (uInt)in->n;
	z->next_out = (Bytef *)out;
	z->avail_out = (uInt)room;
	d->within = true;
	result = inflate(z, Z_NO_FLUSH);
	*in = bytes_skip(*in, in->n - z->avail_in);
	*put = room - z->avail_out;
	d->full = z->avail_out == 0;
	if (result == Z_STREAM_END) {
		/* RFC 1952 2.2: another member may follow. */
		d->within = d->full = false;
		result = inflateReset(z);
	}
	return result == Z_OK || result == Z_BUF_ERROR ? 0 : gzip_error(result);
}

/*
 * Only frames of RFC 8878 3.1: the library knows older formats as well, whose
 * windows it does not bound.
 */
static bool
zstd_magic(struct decoder *d, struct bytes in)
{
	static const unsigned char frame[4] = {0x28, 0xb5, 0x2f, 0xfd};
	static const unsigned char skippable[4] = {0x50, 0x2a, 0x4d, 0x18};

	for (size_t i = 0; i < in.n && d->magic < 4; i++, d->magic++) {
		unsigned char c = (unsigned char)in.p[i];

		if (d->magic == 0) {
			d->skips = (c & 0xf0) == skippable[0];
			if (d->skips)
				continue;
		}
		if (c != (d->skips ? skippable : frame)[d->magic])
			return false;
	}
	return true;
}

static int
zstd_error(size_t result)
{
	switch ((unsigned)ZSTD_getErrorCode(result)) {
	case ZSTD_error_memory_allocation:
		return LARDER_NOMEM;
	case ZSTD_error_frameParameter_windowTooLarge:
		return LARDER_TOOBIG;
	default:
		return LARDER_INVALID;
	}
}

static int
decode_zstd(
    struct decoder *d, struct bytes *in, char *out, size_t room, size_t *put)
{
	ZSTD_inBuffer from = {in->p, in->n, 0};
	ZSTD_outBuffer to = {out, room, 0};
	size_t result;

	if (!zstd_magic(d, *in))
		return LARDER_INVALID;
	result = ZSTD_decompressStream(d->zstd, &to, &from);
	*in = bytes_skip(*in, from.pos);
	*put = to.pos;
	if (ZSTD_isError(result))
		return zstd_error(result);
	d->within = result != 0;
	d->full = d->within && to.pos == to.size;
	if (!d->within)
		d->magic = 0;
	return 0;
}

/* As http_coder_step(). */
static int
decode(struct decoder *d, struct bytes *in, bool end, char *out, size_t room,
    size_t *put)
{
	int err;

	*put = 0;
	if (in->n == 0 && !d->full) {
		if (!end)
			return LARDER_AGAIN;
		return d->within ? LARDER_CLOSED : LARDER_ABSENT;
	}
	if (d->coding == HTTP_CODING_GZIP)
		err = decode_gzip(d, in, out, room, put);
	else
		err = decode_zstd(d, in, out, room, put);
	if (err == 0 && *put > d->left)
		err = LARDER_TOOBIG;
	if (err < 0) {
		*put = 0;
		return err;
	}
	d->left -= *put;
	return 0;
}

/* ---- encoding --------------------------------------------------------- */

/* 0: out is full, and there is more. */
static int
encode_gzip(struct encoder *e, struct bytes *in, enum http_coder_more more,
    char *out, size_t room, size_t *put)
{
	z_stream *z = &e->gzip;
	int flush = Z_NO_FLUSH, result;

	if (more == HTTP_CODER_END)
		flush = Z_FINISH;
	else if (more == HTTP_CODER_LATER)
		flush = Z_SYNC_FLUSH;
	z->next_in = (Bytef *)(uintptr_t)in->p;
	z->avail_in = (uInt)in->n;
	z->next_out = (Bytef *)out;
	z->avail_out = (uInt)room;
	result = deflate(z, flush);
	*in = bytes_skip(*in, in->n - z->avail_in);
	*put = room - z->avail_out;
	if (result == Z_STREAM_END)
		return LARDER_ABSENT;
	if (result != Z_OK && result != Z_BUF_ERROR)
		return LARDER_NOMEM;
	return z->avail_out == 0 || in->n > 0 ? 0 : LARDER_AGAIN;
}

static int
encode_zstd(struct encoder *e, struct bytes *in, enum http_coder_more more,
    char *out, size_t room, size_t *put)
{
	ZSTD_inBuffer from = {in->p, in->n, 0};
	ZSTD_outBuffer to = {out, room, 0};
	ZSTD_EndDirective flush = ZSTD_e_continue;
	size_t left;

	if (more == HTTP_CODER_END)
		flush = ZSTD_e_end;
	else if (more == HTTP_CODER_LATER)
		flush = ZSTD_e_flush;
	left = ZSTD_compressStream2(e->zstd, &to, &from, flush);
	*in = bytes_skip(*in, from.pos);
	*put = to.pos;
	if (ZSTD_isError(left))
		return LARDER_NOMEM;
	if (more == HTTP_CODER_END)
		return left == 0 ? LARDER_ABSENT : 0;
	if (in->n > 0 || (more == HTTP_CODER_LATER && left > 0))
		return 0;
	return LARDER_AGAIN;
}

static int
encode(struct encoder *e, struct bytes *in, enum http_coder_more more,
    char *out, size_t room, size_t *put)
{
	int result;

	*put = 0;
	if (in->n > 0)
		e->owes = true;
	/* Flushing twice would write a marker for nothing. */
	else if (!e->owes && more != HTTP_CODER_END)
		return LARDER_AGAIN;
	if (e->coding == HTTP_CODING_GZIP)
		result = encode_gzip(e, in, more, out, room, put);
	else
		result = encode_zstd(e, in, more, out, room, put);
	if (result == LARDER_AGAIN && more == HTTP_CODER_LATER)
		e->owes = false;
	return result;
}

/* ---- both ------------------------------------------------------------- */

static int
recode(struct http_coder *c, struct bytes *in, enum http_coder_more more,
    char *out, size_t room, size_t *put)
{
	int had = 0, gave;
	struct bytes rest;

	if (c->at == c->n && !c->decoded) {
		c->at = 0;
		had = decode(&c->decoder, in, more == HTTP_CODER_END,
		    c->between, HTTP_CODER_PIECE, &c->n);
		if (had == LARDER_ABSENT)
			c->decoded = true;
		else if (had < 0 && had != LARDER_AGAIN)
			return had;
	}
	if (c->decoded)
		more = HTTP_CODER_END;
	else if (had != LARDER_AGAIN)
		more = HTTP_CODER_MORE;
	rest = bytes_of(c->between + c->at, c->n - c->at);
	gave = encode(&c->encoder, &rest, more, out, room, put);
	c->at = c->n - rest.n;
	if (gave == LARDER_AGAIN && had != LARDER_AGAIN)
		return 0;
	return gave;
}

int
http_coder_step(struct http_coder *c, struct bytes *in,
    enum http_coder_more more, char *out, size_t room, size_t *put)
{
	struct bytes piece = *in;
	int result;

	check(room >= HTTP_CODER_ROOM);
	*put = 0;
	if (piece.n > HTTP_CODER_PIECE) {
		piece.n = HTTP_CODER_PIECE;
		more = HTTP_CODER_MORE;
	}
	if (room > HTTP_CODER_PIECE)
		room = HTTP_CODER_PIECE;
	if (c->encoder.coding == HTTP_CODING_IDENTITY)
		result = decode(&c->decoder, &piece, more == HTTP_CODER_END,
		    out, room, put);
	else if (c->decoder.coding == HTTP_CODING_IDENTITY)
		result = encode(&c->encoder, &piece, more, out, room, put);
	else
		result = recode(c, &piece, more, out, room, put);
	*in = bytes_skip(*in, (size_t)(piece.p - in->p));
	return result == LARDER_AGAIN && in->n > 0 ? 0 : result;
}

/* ---- making ----------------------------------------------------------- */

/* Nothing that zlib takes is given back before its end. */
static void *
zlib_alloc(void *arg, unsigned items, unsigned size)
{
	struct http_coder *c = arg;

	c->zlib_memory += (size_t)items * size;
	return calloc(items, size);
}

static void
zlib_free(void *arg, void *p)
{
	(void)arg;
	free(p);
}

static bool
decoder_begin(struct http_coder *c, uint64_t limit)
{
	struct decoder *d = &c->decoder;

	d->left = limit;
	if (d->coding == HTTP_CODING_GZIP) {
		d->gzip.zalloc = zlib_alloc;
		d->gzip.zfree = zlib_free;
		d->gzip.opaque = c;
		return inflateInit2(&d->gzip, GZIP_BITS) == Z_OK;
	}
	if (d->coding == HTTP_CODING_IDENTITY)
		return true;
	d->zstd = ZSTD_createDCtx();
	return d->zstd != NULL && !ZSTD_isError(ZSTD_DCtx_setParameter(d->zstd,
				      ZSTD_d_windowLogMax, ZSTD_WINDOW_MOST));
}

static bool
zstd_parameters(ZSTD_CCtx *zstd)
{
	static const struct {
		ZSTD_cParameter name;
		int value;
	} parameters[] = {
	    {ZSTD_c_compressionLevel, ZSTD_LEVEL},
	    {ZSTD_c_strategy, ZSTD_greedy},
	    {ZSTD_c_windowLog, ZSTD_WINDOW_LOG},
	    {ZSTD_c_hashLog, ZSTD_TABLE_LOG},
	    {ZSTD_c_chainLog, ZSTD_TABLE_LOG},
	    /* What goes over a network, to clients that check nothing else. */
	    {ZSTD_c_checksumFlag, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		if (ZSTD_isError(ZSTD_CCtx_setParameter(
			zstd, parameters[i].name, parameters[i].value)))
			return false;
	return true;
}

static bool
encoder_begin(struct http_coder *c)
{
	struct encoder *e = &c->encoder;

	if (e->coding == HTTP_CODING_GZIP) {
		e->gzip.zalloc = zlib_alloc;
		e->gzip.zfree = zlib_free;
		e->gzip.opaque = c;
		return deflateInit2(&e->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_BITS,
			   GZIP_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
	}
	if (e->coding == HTTP_CODING_IDENTITY)
		return true;
	e->zstd = ZSTD_createCCtx();
	return e->zstd != NULL && zstd_parameters(e->zstd);
}

static size_t
size_of(const struct http_coder *c)
{
	bool both = c->decoder.coding != HTTP_CODING_IDENTITY &&
		    c->encoder.coding != HTTP_CODING_IDENTITY;

	return sizeof(*c) + (both ? HTTP_CODER_PIECE : 0);
}

int
http_coder_new(enum http_coding from, enum http_coding to, uint64_t limit,
    struct http_coder **out)
{
	struct http_coder kinds = {
	    .decoder.coding = from, .encoder.coding = to};
	struct http_coder *c;

	check(from != to && from < HTTP_CODING_OTHER && to < HTTP_CODING_OTHER);
	c = calloc(1, size_of(&kinds));
	*out = c;
	if (c == NULL)
		return LARDER_NOMEM;
	c->decoder.coding = from;
	c->encoder.coding = to;
	if (decoder_begin(c, limit) && encoder_begin(c))
		return 0;
	http_coder_free(out);
	return LARDER_NOMEM;
}

void
http_coder_free(struct http_coder **coder)
{
	struct http_coder *c = *coder;

	*coder = NULL;
	if (c == NULL)
		return;
	/* Of one that was not begun they do nothing. */
	(void)inflateEnd(&c->decoder.gzip);
	(void)deflateEnd(&c->encoder.gzip);
	ZSTD_freeDCtx(c->decoder.zstd);
	ZSTD_freeCCtx(c->encoder.zstd);
	free(c);
}

size_t
http_coder_memory(const struct http_coder *c)
{
	size_t n = size_of(c) + c->zlib_memory;

	if (c->decoder.zstd != NULL)
		n += ZSTD_sizeof_DCtx(c->decoder.zstd);
	if (c->encoder.zstd != NULL)
		n += ZSTD_sizeof_CCtx(c->encoder.zstd);
	return n;
}
