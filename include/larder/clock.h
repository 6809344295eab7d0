/*
 * Time. Only rooms that may see a clock include this (net, proxy, admin,
 * storage's threads); http and cache get now as an argument.
 */
#ifndef LARDER_CLOCK_H
#define LARDER_CLOCK_H

#include <stdint.h>

/* Milliseconds since 1970-01-01 UTC; may jump when the clock is set. */
int64_t clock_wall_ms(void);
/* Milliseconds from some start; never goes back. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* Microseconds of the processor that this thread has had. */
int64_t clock_cpu_us(void);

#endif
