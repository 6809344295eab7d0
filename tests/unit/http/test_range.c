#include "parse.h"

#include "http/range.h"

#define PARTS  HTTP_RANGE_PARTS
#define IGNORE HTTP_RANGE_IGNORE
#define NONE   HTTP_RANGE_NONE

/* RFC 9110 14.1.2, 14.2, against a length; up to three of the ranges. */
static const struct {
	const char *value;
	uint64_t length;
	enum http_range_verdict verdict;
	unsigned count;
	struct http_range range[3];
} rows[] = {
    {"bytes=0-4", 10, PARTS, 1, {{0, 5}}},
    {"bytes=0-", 10, PARTS, 1, {{0, 10}}},
    {"bytes=9-", 10, PARTS, 1, {{9, 10}}},
    {"bytes=9-9", 10, PARTS, 1, {{9, 10}}},
    {"bytes=5-100", 10, PARTS, 1, {{5, 10}}},
    {"bytes=-3", 10, PARTS, 1, {{7, 10}}},
    {"bytes=-10", 10, PARTS, 1, {{0, 10}}},
    {"bytes=-100", 10, PARTS, 1, {{0, 10}}},
    {"BYTES=0-4", 10, PARTS, 1, {{0, 5}}},
    {"bytes=0-0", 1, PARTS, 1, {{0, 1}}},
    /* beyond 64 bits */
    {"bytes=0-18446744073709551615", 10, PARTS, 1, {{0, 10}}},
    {"bytes=0-99999999999999999999999", 10, PARTS, 1, {{0, 10}}},
    {"bytes=-99999999999999999999999", 10, PARTS, 1, {{0, 10}}},
    {"bytes=99999999999999999999999-", 10, NONE, 0, {{0, 0}}},
    {"bytes=18446744073709551615-", UINT64_MAX, NONE, 0, {{0, 0}}},
    {"bytes=0-18446744073709551614", UINT64_MAX, PARTS, 1, {{0, UINT64_MAX}}},
    /* not satisfiable */
    {"bytes=10-", 10, NONE, 0, {{0, 0}}},
    {"bytes=10-20", 10, NONE, 0, {{0, 0}}},
    {"bytes=-0", 10, NONE, 0, {{0, 0}}},
    {"bytes=0-", 0, NONE, 0, {{0, 0}}},
    {"bytes=-1", 0, IGNORE, 0, {{0, 0}}},
    {"bytes=10-,-0", 10, NONE, 0, {{0, 0}}},
    /* malformed, or of another unit: as if it were not there */
    {"", 10, IGNORE, 0, {{0, 0}}},
    {"bytes", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=,", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=-", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=4", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=4-3", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=0-4,4-3", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=a-b", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=0x0-4", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=+0-4", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=0 -4", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=0-4-5", 10, IGNORE, 0, {{0, 0}}},
    {"bytes=--4", 10, IGNORE, 0, {{0, 0}}},
    {"bytes =0-4", 10, IGNORE, 0, {{0, 0}}},
    {"byte=0-4", 10, IGNORE, 0, {{0, 0}}},
    {"items=0-4", 10, IGNORE, 0, {{0, 0}}},
    {"bytes:0-4", 10, IGNORE, 0, {{0, 0}}},
    /* several */
    {"bytes=0-1,4-5", 10, PARTS, 2, {{0, 2}, {4, 6}}},
    {"bytes=0-1 , 4-5,,-1", 10, PARTS, 3, {{0, 2}, {4, 6}, {9, 10}}},
    {"bytes=4-5,0-1", 10, PARTS, 2, {{4, 6}, {0, 2}}},
    {"bytes=0-1,20-30", 10, PARTS, 1, {{0, 2}}},
    /* what overlaps or is adjacent is one (15.3.7.2) */
    {"bytes=0-5,3-8", 10, PARTS, 1, {{0, 9}}},
    {"bytes=0-,0-", 10, PARTS, 1, {{0, 10}}},
    {"bytes=0-1,1-2", 10, PARTS, 1, {{0, 3}}},
    {"bytes=0-1,2-3", 10, PARTS, 1, {{0, 4}}},
    {"bytes=0-1,3-3", 10, PARTS, 2, {{0, 2}, {3, 4}}},
    {"bytes=0-,-1", 10, PARTS, 1, {{0, 10}}},
    {"bytes=6-7,0-1,3-4,1-3", 10, PARTS, 2, {{6, 8}, {0, 5}}},
    {"bytes=4-4,0-0,8-8,0-9", 10, PARTS, 1, {{0, 10}}},
    {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,0-14", 99, PARTS, 1,
	{{0, 15}}},
    {"bytes=0-18446744073709551614,18446744073709551614-", UINT64_MAX, PARTS, 1,
	{{0, UINT64_MAX}}},
    {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14", 16, PARTS, 8,
	{{0, 1}, {2, 3}, {4, 5}}},
    {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", 99, IGNORE, 0,
	{{0, 0}}},
};

static void
ranges_are_resolved(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_ranges out;

		row_check(i, rows[i].value,
		    http_range_resolve(bytes_str(rows[i].value), rows[i].length,
			&out) == rows[i].verdict);
		row_check(i, rows[i].value, out.count == rows[i].count);
		for (unsigned j = 0; j < out.count && j < 3; j++) {
			row_check(i, rows[i].value,
			    out.range[j].from == rows[i].range[j].from);
			row_check(i, rows[i].value,
			    out.range[j].to == rows[i].range[j].to);
		}
	}
}

static void
a_single_one_is_told(void **state)
{
	static const struct {
		const char *value;
		bool single;
		struct http_range_spec spec;
	} singles[] = {
	    {"bytes=0-", true, {false, 0, UINT64_MAX}},
	    {"bytes=3-7", true, {false, 3, 7}},
	    {"bytes=-7", true, {true, 7, UINT64_MAX}},
	    {"Bytes=0-0", true, {false, 0, 0}},
	    {"bytes=0-1,2-3", false, {false, 0, 0}},
	    {"bytes=7-3", false, {false, 0, 0}},
	    {"bytes=", false, {false, 0, 0}},
	    {"items=0-1", false, {false, 0, 0}},
	    {"0-1", false, {false, 0, 0}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(singles) / sizeof(*singles); i++) {
		struct http_range_spec spec;
		bool single =
		    http_range_single(bytes_str(singles[i].value), &spec);

		row_check(i, singles[i].value, single == singles[i].single);
		if (!single)
			continue;
		assert_int_equal(spec.suffix, singles[i].spec.suffix);
		assert_int_equal(spec.first, singles[i].spec.first);
		assert_int_equal(spec.last, singles[i].spec.last);
	}
}

/* RFC 9110 14.4 */
static void
content_ranges_are_read(void **state)
{
	static const struct {
		const char *value;
		bool good;
		uint64_t from, to, length;
	} parts[] = {
	    {"bytes 0-4/10", true, 0, 5, 10},
	    {"bytes 9-9/10", true, 9, 10, 10},
	    {"BYTES 0-4/*", true, 0, 5, UINT64_MAX},
	    {"bytes 0-10/10", false, 0, 0, 0},
	    {"bytes 4-3/10", false, 0, 0, 0},
	    {"bytes */10", false, 0, 0, 0},
	    {"bytes 0-/10", false, 0, 0, 0},
	    {"bytes -4/10", false, 0, 0, 0},
	    {"bytes 0-4", false, 0, 0, 0},
	    {"bytes 0-4/", false, 0, 0, 0},
	    {"bytes 0-4/x", false, 0, 0, 0},
	    {"bytes=0-4/10", false, 0, 0, 0},
	    {"bytes  0-4/10", false, 0, 0, 0},
	    {"items 0-4/10", false, 0, 0, 0},
	    {"bytes 0-4/99999999999999999999", false, 0, 0, 0},
	    {"bytes 0-99999999999999999999/*", false, 0, 0, 0},
	    {"bytes 0-18446744073709551615/*", false, 0, 0, 0},
	    {"", false, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		struct http_range r;
		uint64_t length;
		int err =
		    http_content_range(bytes_str(parts[i].value), &r, &length);

		row_check(i, parts[i].value, (err == 0) == parts[i].good);
		if (err < 0)
			continue;
		assert_int_equal(r.from, parts[i].from);
		assert_int_equal(r.to, parts[i].to);
		assert_int_equal(length, parts[i].length);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ranges_are_resolved),
	    cmocka_unit_test(a_single_one_is_told),
	    cmocka_unit_test(content_ranges_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
