/*
 * Memory of zeros, for what comes and goes with each request: glibc's calloc()
 * passes by what the thread has freed lately, and takes several times as long
 * as its malloc().
 */
#ifndef LARDER_ZEROED_H
#define LARDER_ZEROED_H

#include <stdlib.h>
#include <string.h>

/* To be freed by free(); NULL: there is none. */
static inline void *
zeroed(size_t n)
{
	void *p = malloc(n);

	/* Or the compiler makes it a calloc() again. */
	__asm__("" : "+r"(p));
	if (p)
		memset(p, 0, n);
	return p;
}

#endif
