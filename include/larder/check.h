/*
 * Assertions that ship. For what the program itself must hold; never for what
 * came from the network, the disk or the configuration.
 */
#ifndef LARDER_CHECK_H
#define LARDER_CHECK_H

#include <stddef.h>

/* Says what failed on standard error and aborts. */
_Noreturn void check_failed(const char *what, const char *file, int line);

#define check(expr) ((expr) ? (void)0 : check_failed(#expr, __FILE__, __LINE__))

/* A struct that travels as void * starts with or holds `uint32_t magic`. */
#define check_magic(ptr, value) check((ptr) != NULL && (ptr)->magic == (value))

#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
