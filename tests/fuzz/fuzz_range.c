/* Range and Content-Range against any length. */
#include "fuzz.h"

#include "http/range.h"

/* One range alone, against what it says. */
static void
check_single(struct bytes value, uint64_t length, const struct http_ranges *out)
{
	struct http_range_spec spec;
	uint64_t from, to;

	if (!http_range_single(value, &spec))
		return;
	check(spec.suffix || spec.first <= spec.last);
	check(out->count <= 1);
	if (spec.suffix) {
		from = spec.first < length ? length - spec.first : 0;
		to = length;
	} else {
		from = spec.first;
		to = spec.last < length ? spec.last + 1 : length;
	}
	if (out->count == 1)
		check(out->range[0].from == from && out->range[0].to == to);
	else
		check(from >= to);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_ranges out;
	struct http_range part;
	struct bytes value;
	uint64_t length, sum = 0;

	if (size < 8)
		return 0;
	memcpy(&length, data, 8);
	value = bytes_of((const char *)data + 8, size - 8);
	if (http_range_resolve(value, length, &out) == HTTP_RANGE_PARTS)
		check(out.count > 0);
	else
		check(out.count == 0);
	check(out.count <= HTTP_RANGES_MAX);
	for (unsigned i = 0; i < out.count; i++) {
		check(out.range[i].from < out.range[i].to);
		check(out.range[i].to <= length);
		sum += out.range[i].to - out.range[i].from;
	}
	check(sum <= length);
	check_single(value, length, &out);
	if (http_content_range(value, &part, &length) == 0)
		check(part.from < part.to && part.to <= length);
	return 0;
}
