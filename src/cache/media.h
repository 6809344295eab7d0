/*
 * What is known of a body by its media type (RFC 9110 8.3.1), or where that
 * says nothing by its name. Pure.
 */
#ifndef CACHE_MEDIA_H
#define CACHE_MEDIA_H

#include "larder/bytes.h"

/* type: Content-Type's value, n == 0 if there is none; target: the request's,
 * in any form. */

/* Text, more or less: it gets clearly smaller by a content coding. */
bool media_gains(struct bytes type, struct bytes target);
/* A file that is compressed itself. */
bool media_is_packed(struct bytes type, struct bytes target);

#endif
