/*
 * Content codings (RFC 9110 8.4.1): gzip (RFC 1952) and zstd (RFC 8878, within
 * RFC 9659's window), undone, made, or one turned into the other, a piece at a
 * time between the caller's buffers. Pure but for the memory of a coder, which
 * is its libraries' own.
 *
 * What always holds
 *   - A call takes at most HTTP_CODER_PIECE bytes of input and decodes to no
 *     more than as many; what it costs is bounded, whatever comes in.
 *   - A coded body is whole only if its last member or frame is, and nothing
 *     else stands behind it.
 *
 * A coder's memory, measured by http_coder_memory():
 *   decoding gzip  40 KiB
 *   decoding zstd  222 KiB and the frame's window, which may be up to 8 MiB
 *   making gzip    198 KiB
 *   making zstd    197 KiB
 * and HTTP_CODER_PIECE more where one is turned into the other.
 */
#ifndef HTTP_CODING_H
#define HTTP_CODING_H

#include <stdbool.h>
#include <stdint.h>

#include "larder/bytes.h"
#include "larder/err.h"

enum http_coding {
	HTTP_CODING_IDENTITY,
	HTTP_CODING_GZIP, /* x-gzip is the same, RFC 9110 8.4.1.3 */
	HTTP_CODING_ZSTD,
	HTTP_CODING_OTHER, /* unknown, or several */
};

#define HTTP_CODER_PIECE (16u * 1024)
/* The least room for output. */
#define HTTP_CODER_ROOM	 64u

struct http_coder;

/* "gzip", "zstd", "identity": as they stand in Content-Encoding. */
struct bytes http_coding_name(enum http_coding coding);
/* Of one name, in any case. */
enum http_coding http_coding_parse(struct bytes name);

/*
 * From one coding to another one, neither of them OTHER. limit: what is decoded
 * may reach so many bytes. The caller owns it. LARDER_NOMEM.
 */
int http_coder_new(enum http_coding from, enum http_coding to, uint64_t limit,
    struct http_coder **out);
void http_coder_free(struct http_coder **coder);

/* What stands behind the bytes given. */
enum http_coder_more {
	HTTP_CODER_MORE,  /* more bytes, at once */
	HTTP_CODER_LATER, /* more, in a while: all of these are to come out */
	HTTP_CODER_END,	  /* nothing: they are the last */
};

/*
 * Takes bytes off *in and writes to out, *put bytes, at most room.
 *   0              there may be more output: call again, with the rest of *in
 *   LARDER_AGAIN   *in is all taken (and with LATER all of it is out)
 *   LARDER_ABSENT  the output is whole
 *   LARDER_INVALID it is not in that coding, or its checksum says no
 *   LARDER_CLOSED  it ends too early
 *   LARDER_TOOBIG  it decodes to more than the limit, or wants a larger window
 *   LARDER_NOMEM
 * After an error (*put is 0 then) the coder can only be freed.
 */
int http_coder_step(struct http_coder *coder, struct bytes *in,
    enum http_coder_more more, char *out, size_t room, size_t *put);

/* Bytes that it holds now. */
size_t http_coder_memory(const struct http_coder *coder);

#endif
