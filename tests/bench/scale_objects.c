/*
 * The objects that are stored: the i-th is always the same.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "scale.h"

unsigned meta_size = 60;

void
die(const char *what, int err)
{
	fprintf(stderr, "scale: %s: %s\n", what,
	    err < 0 ? larder_strerror(err) : strerror(errno));
	exit(1);
}

/* Of all threads, in us: what others on the machine do is no part of it. */
double
cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* In no order, over twenty hosts and a quarter million folders. */
void
url_of(uint64_t i, char url[URL + 1])
{
	uint64_t r = mix(i);
	unsigned folder = (unsigned)(r % 250000);

	snprintf(url, URL + 1,
	    "http://mirror%02u.example.org/debian/pool/main/%c/lib%05x/"
	    "lib%05x-%08x_%u.%u.xz",
	    (unsigned)(r >> 20) % 20, 'a' + (int)(folder % 26), folder, folder,
	    (unsigned)(r >> 32), (unsigned)(i / 7 % 10), (unsigned)(i % 10));
}

void
body_of(uint64_t i, char body[BODY])
{
	for (unsigned k = 0; k < BODY / 8; k++) {
		uint64_t v = mix(i * (BODY / 8) + k);

		memcpy(body + 8 * k, &v, 8);
	}
}

size_t
head_of(uint64_t i, char *buf, size_t size)
{
	uint64_t r = mix(~i);

	return (size_t)snprintf(buf, size,
	    "HTTP/1.1 200 OK\r\nServer: nginx\r\n"
	    "Date: Fri, 27 Nov 2026 %02u:%02u:%02u GMT\r\n"
	    "Content-Type: application/x-xz\r\nContent-Length: %u\r\n"
	    "Last-Modified: Mon, %02u Oct 2026 %02u:%02u:%02u GMT\r\n"
	    "ETag: \"%08x-%x\"\r\nAccept-Ranges: bytes\r\n\r\n",
	    (unsigned)(i / 3600 % 24), (unsigned)(i / 60 % 60),
	    (unsigned)(i % 60), BODY, (unsigned)(r % 28) + 1,
	    (unsigned)(r >> 8) % 24, (unsigned)(r >> 16) % 60,
	    (unsigned)(r >> 24) % 60, (unsigned)(r >> 32), BODY);
}

/* Numbers, then a validator, as src/cache/meta.c has them. */
size_t
meta_of(uint64_t i, char *buf)
{
	uint64_t r = mix(~i);
	char etag[2 * 64];

	memset(buf, 3, meta_size);
	for (unsigned k = 0; k < 8 && k + 8 < meta_size; k++)
		buf[k + 4] = (char)(r >> 8 * k);
	snprintf(etag, sizeof(etag), "\"%08x-%x\"%016llx%016llx%016llx",
	    (unsigned)(r >> 32), BODY, (unsigned long long)mix(r),
	    (unsigned long long)mix(r + 1), (unsigned long long)mix(r + 2));
	for (unsigned k = 24; k < meta_size && etag[k - 24]; k++)
		buf[k] = etag[k - 24];
	return meta_size;
}
