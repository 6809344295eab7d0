/* A response's head and its framing. */
#include "fuzz_head.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_whole_head(bytes_of(data ? (const char *)data : "", size), false);
	return 0;
}
