#include "larder/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
check_failed(const char *what, const char *file, int line)
{
	/* No stdio buffer: its lock may be held by who failed. */
	dprintf(STDERR_FILENO, "larder: %s:%d: check failed: %s\n", file, line,
	    what);
	abort();
}
