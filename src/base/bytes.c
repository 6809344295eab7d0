#include "larder/bytes.h"

bool
bytes_decimal(struct bytes b, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;

	if (b.n == 0)
		return false;
	for (size_t i = 0; i < b.n; i++) {
		uint64_t digit = (unsigned char)b.p[i] - (uint64_t)'0';

		if (digit > 9)
			return false;
		/* value * 10 + digit <= max, said without wrapping */
		if (digit > max || value > (max - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return true;
}
