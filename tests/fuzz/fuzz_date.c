/* HTTP-date: what parses is the date that its form says. */
#include "fuzz.h"

#include "http/date.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[HTTP_DATE_SIZE];
	int64_t now = 1700000000, t;

	if (size > 4) {
		uint32_t seed;

		memcpy(&seed, data, 4);
		now = (int64_t)seed * 4;
		data += 4;
		size -= 4;
	}
	t = http_date_parse(
	    bytes_of(data ? (const char *)data : "", size), now);
	if (t == HTTP_DATE_INVALID)
		return 0;
	check(http_date_format(t, text) == 29);
	/* A leap second of the last year has no form. */
	if (t <= INT64_C(253402300799))
		check(http_date_parse(bytes_of(text, 29), now) == t);
	return 0;
}
