/*
 * HTTP-date (RFC 9110 5.6.7): all three forms, nothing near to them. Pure.
 */
#ifndef HTTP_DATE_H
#define HTTP_DATE_H

#include "larder/bytes.h"

#define HTTP_DATE_INVALID INT64_MIN
#define HTTP_DATE_SIZE	  30 /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

/* Seconds since 1970, or HTTP_DATE_INVALID. now (seconds) is for the two-digit
 * years' 50-year rule. */
int64_t http_date_parse(struct bytes text, int64_t now);
/* IMF-fixdate; returns 29. */
size_t http_date_format(int64_t t, char out[HTTP_DATE_SIZE]);

#endif
