/*
 * Which part of the representation a client gets: all of it, one range, or
 * several as multipart/byteranges (RFC 9110 14, 15.3.7, 15.5.17).
 */
#ifndef PROXY_PARTIAL_H
#define PROXY_PARTIAL_H

#include "http/forward.h"
#include "proxy/exchange.h"

/*
 * What x's Range makes of the 200 that x is about to answer, whose source is
 * open: sets its status to 206 or 416, its length and its source's range, and
 * writes Content-Range (or Content-Type) to out. *fields: the form's field
 * lines that go out with it. False: it stays as it was.
 */
bool partial_answer(
    struct exchange *x, struct http_out *out, struct bytes *fields);

#endif
