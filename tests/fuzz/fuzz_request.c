/* A request's head, its framing and its target. */
#include "fuzz_head.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_whole_head(bytes_of(data ? (const char *)data : "", size), true);
	return 0;
}
