/*
 * Which bytes of a file that does not change any more are in the page cache.
 */
#ifndef STORAGE_WARM_H
#define STORAGE_WARM_H

#include <stdint.h>

struct warm;

/* Of the file's `size` bytes; fd is not needed afterwards. NULL: this system
 * cannot tell, or there is no memory for it. */
struct warm *warm_new(int fd, uint64_t size);
void warm_free(struct warm *w);

/* How many of the n bytes from offset on are, up to the first that is not: as
 * it is now, or as it was up to WARM_MS ago. offset + n is at most the file's
 * size. Never blocks. From any thread. */
uint64_t warm_run(struct warm *w, uint64_t offset, uint64_t n);

#define WARM_MS 100u

#endif
