/*
 * The chunked coding for body.c. Pure.
 */
#ifndef HTTP_CHUNK_H
#define HTTP_CHUNK_H

#include "http/body.h"

/* As http_body_next() and http_body_done(). */
int http_chunk_next(
    struct http_body *body, struct bytes in, size_t *used, struct bytes *data);
bool http_chunk_done(const struct http_body *body);

#endif
