/*
 * What the parts of the benchmark of scale share.
 */
#ifndef BENCH_SCALE_H
#define BENCH_SCALE_H

#include "catalog.h"

#define BODY  2048u
#define URL   80u
#define FINDS 200000u

extern unsigned meta_size; /* bytes of each object's meta */

/* Says why (err: an error of larder's, or 0: errno) and ends. */
void die(const char *what, int err) __attribute__((noreturn));
double cpu_us(void);

uint64_t mix(uint64_t x);
void url_of(uint64_t i, char url[URL + 1]);
void body_of(uint64_t i, char body[BODY]);
/* Bytes written. */
size_t head_of(uint64_t i, char *buf, size_t size);
size_t meta_of(uint64_t i, char *buf);

/* Puts so many into a catalog in the folder, and tells at each power of ten. */
void catalog_alone(const char *path, uint64_t count);

#endif
