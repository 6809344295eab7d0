#include "http/coding.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "parse.h"

#define BIG	 (200u * 1024)
#define NO_LIMIT UINT64_MAX

/* Text-like, and the same each time. */
static char *
make_text(size_t n)
{
	char *p = malloc(n + 1);
	uint32_t x = 12345;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = "etaoin shrdlu,\n"[x >> 24 & 15 & (x >> 20)];
	}
	return p;
}

/* By the libraries in one go: what ours is held against. */
static size_t
code(enum http_coding coding, const char *p, size_t n, char *to, size_t room)
{
	z_stream z = {0};
	size_t put;

	if (coding == HTTP_CODING_IDENTITY) {
		memcpy(to, p, n);
		return n;
	}
	if (coding == HTTP_CODING_ZSTD) {
		ZSTD_CCtx *c = ZSTD_createCCtx();

		ZSTD_CCtx_setParameter(c, ZSTD_c_checksumFlag, 1);
		put = ZSTD_compress2(c, to, room, p, n);
		ZSTD_freeCCtx(c);
		assert_false(ZSTD_isError(put));
		return put;
	}
	assert_int_equal(
	    deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)to;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	put = room - z.avail_out;
	deflateEnd(&z);
	return put;
}

/* Of one member or frame. */
static size_t
uncode(enum http_coding coding, const char *p, size_t n, char *to, size_t room)
{
	z_stream z = {0};
	size_t put;

	if (coding == HTTP_CODING_IDENTITY) {
		memcpy(to, p, n);
		return n;
	}
	if (coding == HTTP_CODING_ZSTD) {
		put = ZSTD_decompress(to, room, p, n);
		assert_false(ZSTD_isError(put));
		return put;
	}
	assert_int_equal(inflateInit2(&z, 31), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)p;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)to;
	z.avail_out = (uInt)room;
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.avail_in, 0);
	put = room - z.avail_out;
	inflateEnd(&z);
	return put;
}

/* All of it, `give` bytes of input and `room` of output at a time. The last
 * result; *put: bytes in out. */
static int
run(enum http_coding from, enum http_coding to, uint64_t limit, struct bytes in,
    size_t give, size_t room, bool flush, char *out, size_t out_room,
    size_t *put)
{
	struct http_coder *c;
	int result = 0;

	*put = 0;
	assert_int_equal(http_coder_new(from, to, limit, &c), 0);
	for (size_t at = 0; result == 0 || result == LARDER_AGAIN;) {
		size_t left = in.n - at, n = left < give ? left : give, made;
		struct bytes piece = bytes_of(in.p + at, n);
		char *exact = malloc(n + 1), *to_exact = malloc(room);

		/* So that a sanitizer sees what looks too far. */
		memcpy(exact, piece.p, n);
		piece.p = exact;
		result = http_coder_step(c, &piece,
		    n == left ? HTTP_CODER_END
		    : flush   ? HTTP_CODER_LATER
			      : HTTP_CODER_MORE,
		    to_exact, room, &made);
		at += n - piece.n;
		assert_true(made <= room && *put + made <= out_room);
		memcpy(out + *put, to_exact, made);
		*put += made;
		if (result == LARDER_AGAIN)
			assert_true(piece.n == 0 && n < left);
		free(exact);
		free(to_exact);
	}
	http_coder_free(&c);
	assert_null(c);
	return result;
}

static const enum http_coding all[] = {
    HTTP_CODING_IDENTITY, HTTP_CODING_GZIP, HTTP_CODING_ZSTD};

static void
check_trip(enum http_coding from, enum http_coding to, const char *text,
    size_t n, size_t give, size_t room, bool flush)
{
	static char coded[2 * BIG], out[8 * BIG], back[2 * BIG];
	size_t put, coded_n = code(from, text, n, coded, sizeof(coded));
	int result = run(from, to, n, bytes_of(coded, coded_n), give, room,
	    flush, out, sizeof(out), &put);

	if (result != LARDER_ABSENT)
		fail_msg("%d to %d, %zu bytes by %zu, %zu: %d", from, to, n,
		    give, room, result);
	put = uncode(to, out, put, back, sizeof(back));
	assert_int_equal(put, n);
	assert_memory_equal(back, text, n);
}

static void
every_coding_becomes_every_other(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 5000, BIG};
	static const size_t gives[] = {1, 7, 1000, 16384, BIG * 2};
	static const size_t rooms[] = {64, 1000, 16384, 100000};
	char *text = make_text(BIG);

	(void)state;
	for (unsigned pair = 0; pair < 9; pair++)
		for (unsigned k = 0; k < 5 * 5 * 4 * 2; k++) {
			size_t n = sizes[k % 5], give = gives[k / 5 % 5];
			bool flush = k / 100 != 0;

			if (all[pair / 3] == all[pair % 3] ||
			    (n == BIG && give < 1000 && flush))
				continue;
			check_trip(all[pair / 3], all[pair % 3], text, n, give,
			    rooms[k / 25 % 4], flush);
		}
	free(text);
}

/* Each byte of input alone, and all there is after each of them. */
static void
what_came_is_out_before_more_comes(void **state)
{
	char text[] = "slowly, but it grows and grows and grows", out[4096];

	(void)state;
	for (unsigned k = 1; k < 3; k++) {
		struct http_coder *c, *d;
		size_t at = 0, put, seen = 0;

		http_coder_new(all[0], all[k], NO_LIMIT, &c);
		http_coder_new(all[k], all[0], NO_LIMIT, &d);
		for (at = 0; at < sizeof(text); at++) {
			struct bytes in = bytes_of(text + at, 1), mid;
			char plain[64];

			assert_int_equal(
			    http_coder_step(c, &in, HTTP_CODER_LATER, out,
				sizeof(out), &put),
			    LARDER_AGAIN);
			mid = bytes_of(out, put);
			while (http_coder_step(d, &mid, HTTP_CODER_LATER, plain,
				   sizeof(plain), &put) == 0) {
				assert_int_equal(put, 1);
				assert_int_equal(plain[0], text[at]);
				seen += put;
			}
			assert_int_equal(seen, at + 1);
			/* Asked again, nothing is made for nothing. */
			assert_int_equal(
			    http_coder_step(c, &in, HTTP_CODER_LATER, out,
				sizeof(out), &put),
			    LARDER_AGAIN);
			assert_int_equal(put, 0);
		}
		assert_int_equal(seen, sizeof(text));
		http_coder_free(&c);
		http_coder_free(&d);
	}
}

/* RFC 1952 2.2, RFC 8878 3.1 */
static void
members_and_frames_follow_each_other(void **state)
{
	static const char skippable[] = "\x5f\x2a\x4d\x18\x03\0\0\0abc";
	char in[1000], out[100];
	size_t n, put;

	(void)state;
	for (unsigned k = 1; k < 3; k++)
		for (size_t give = 1; give < 200; give += 13) {
			n = code(all[k], "one,", 4, in, sizeof(in));
			if (all[k] == HTTP_CODING_ZSTD) {
				memcpy(in + n, skippable, 11);
				n += 11;
			}
			n += code(all[k], "", 0, in + n, sizeof(in) - n);
			n += code(all[k], "two", 3, in + n, sizeof(in) - n);
			assert_int_equal(
			    run(all[k], all[0], 7, bytes_of(in, n), give, 64,
				false, out, sizeof(out), &put),
			    LARDER_ABSENT);
			assert_int_equal(put, 7);
			assert_memory_equal(out, "one,two", 7);
		}
}

static void
what_ends_early_is_an_error(void **state)
{
	char *text = make_text(3000), in[4000], out[4000];
	size_t put;

	(void)state;
	for (unsigned k = 1; k < 3; k++) {
		size_t n = code(all[k], text, 3000, in, sizeof(in));

		for (size_t cut = 1; cut < n; cut++)
			assert_int_equal(
			    run(all[k], all[0], NO_LIMIT, bytes_of(in, cut),
				500, 512, false, out, sizeof(out), &put),
			    LARDER_CLOSED);
	}
	free(text);
}

/* A changed bit is found, or changed nothing (as in gzip's time stamp). */
static void
damage_is_found(void **state)
{
	char *text = make_text(700), in[2000], out[100000];
	size_t put, found = 0;

	(void)state;
	for (unsigned k = 1; k < 3; k++) {
		size_t n = code(all[k], text, 700, in, sizeof(in));

		for (size_t bit = 0; bit < n * 8; bit++) {
			int result;

			in[bit / 8] ^= (char)(1 << bit % 8);
			result =
			    run(all[k], all[0], sizeof(out), bytes_of(in, n), n,
				16384, false, out, sizeof(out), &put);
			in[bit / 8] ^= (char)(1 << bit % 8);
			if (result == LARDER_ABSENT) {
				assert_int_equal(put, 700);
				assert_memory_equal(out, text, 700);
			} else {
				found++;
			}
		}
		assert_true(found > n * 7);
		found = 0;
	}
	free(text);
}

static bool
is_refused(enum http_coding coding, struct bytes in, size_t give)
{
	char out[1000];
	size_t put;
	int result = run(coding, HTTP_CODING_IDENTITY, 100, in, give, 100,
	    false, out, sizeof(out), &put);

	/* A byte alone may have been the first of a header. */
	return result == LARDER_INVALID ||
	       (in.p[in.n - 1] == 'x' && result == LARDER_CLOSED);
}

static void
what_is_not_coded_is_refused(void **state)
{
	static const struct {
		const char *p;
		size_t n;
	} behind[] = {
	    {"x", 1},
	    {"\0\0\0\0", 4},
	    {"\x1f\x8b\x07\x00", 4},	 /* another method */
	    {"\x27\xb5\x2f\xfd\x00", 5}, /* zstd 0.7's magic number */
	    {"\x28\xb5\x2f\xfe", 4},
	    {"\x50\x2a\x4d\x19", 4},
	    {"\x28\x2a\x4d\x18", 4},
	    {"plain text", 10},
	};
	char in[1000];

	(void)state;
	for (unsigned k = 1; k < 3; k++)
		for (size_t i = 0; i < sizeof(behind) / sizeof(*behind); i++)
			for (size_t give = 1; give < 100; give += 98) {
				struct bytes b =
				    bytes_of(behind[i].p, behind[i].n);
				size_t n = code(all[k], "good", 4, in, 900);

				memcpy(in + n, b.p, b.n);
				row_check(i, "behind the end",
				    is_refused(
					all[k], bytes_of(in, n + b.n), give));
				row_check(
				    i, "alone", is_refused(all[k], b, give));
			}
}

static void
bombs_reach_the_limit_and_no_more(void **state)
{
	static char zeros[4 << 20], in[64 << 10], out[1 << 20];

	(void)state;
	for (unsigned k = 1; k < 3; k++)
		for (unsigned to = 0; to < 3; to++) {
			size_t put, n = code(all[k], zeros, sizeof(zeros), in,
					sizeof(in));

			if (k == to)
				continue;
			assert_int_equal(
			    run(all[k], all[to], 100000, bytes_of(in, n), n,
				16384, false, out, sizeof(out), &put),
			    LARDER_TOOBIG);
			assert_true(put <= 100000);
		}
}

/* RFC 9659 3 */
static void
windows_above_8_mib_are_refused(void **state)
{
	char in[200], out[200];

	(void)state;
	for (int log = 22; log < 27; log++) {
		ZSTD_CCtx *c = ZSTD_createCCtx();
		ZSTD_inBuffer from = {"abcabcabcabcabc", 15, 0};
		ZSTD_outBuffer to = {in, sizeof(in), 0};
		size_t put;
		int result;

		ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log);
		/* Before the end is known, so that the window is written. */
		ZSTD_compressStream2(c, &to, &from, ZSTD_e_flush);
		assert_int_equal(
		    ZSTD_compressStream2(c, &to, &from, ZSTD_e_end), 0);
		ZSTD_freeCCtx(c);
		result = run(HTTP_CODING_ZSTD, HTTP_CODING_IDENTITY, NO_LIMIT,
		    bytes_of(in, to.pos), 3, 64, false, out, sizeof(out), &put);
		assert_int_equal(
		    result, log <= 23 ? LARDER_ABSENT : LARDER_TOOBIG);
	}
}

static size_t
memory_of(enum http_coding from, enum http_coding to)
{
	char *text = make_text(BIG), *coded = malloc(2 * BIG), out[16384];
	struct http_coder *c;
	struct bytes in;
	size_t put, memory;
	int result;

	in = bytes_of(coded, code(from, text, BIG, coded, 2 * BIG));
	assert_int_equal(http_coder_new(from, to, NO_LIMIT, &c), 0);
	do
		result = http_coder_step(
		    c, &in, HTTP_CODER_END, out, sizeof(out), &put);
	while (result == 0);
	assert_int_equal(result, LARDER_ABSENT);
	memory = http_coder_memory(c);
	http_coder_free(&c);
	free(text);
	free(coded);
	return memory;
}

/* As the header says. */
static void
a_coder_costs_what_it_may(void **state)
{
	static const struct {
		enum http_coding from, to;
		size_t kib;
	} rows[] = {
	    {HTTP_CODING_GZIP, HTTP_CODING_IDENTITY, 48},
	    /* The window here is the body, 200 KiB. */
	    {HTTP_CODING_ZSTD, HTTP_CODING_IDENTITY, 200 + 290},
	    {HTTP_CODING_IDENTITY, HTTP_CODING_GZIP, 256},
	    {HTTP_CODING_IDENTITY, HTTP_CODING_ZSTD, 256},
	    {HTTP_CODING_GZIP, HTTP_CODING_ZSTD, 48 + 16 + 256},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t n = memory_of(rows[i].from, rows[i].to);

		print_message("# %d to %d: %zu KiB\n", rows[i].from, rows[i].to,
		    n / 1024);
		row_check(i, "memory", n <= rows[i].kib * 1024);
		row_check(i, "counted", n > 30 * 1024);
	}
}

static void
names_are_read_in_any_case(void **state)
{
	static const struct {
		const char *name;
		enum http_coding coding;
	} rows[] = {
	    {"gzip", HTTP_CODING_GZIP},
	    {"X-GZip", HTTP_CODING_GZIP},
	    {"ZSTD", HTTP_CODING_ZSTD},
	    {"identity", HTTP_CODING_IDENTITY},
	    {"br", HTTP_CODING_OTHER},
	    {"deflate", HTTP_CODING_OTHER},
	    {"gzip2", HTTP_CODING_OTHER},
	    {"", HTTP_CODING_OTHER},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_check(i, rows[i].name,
		    http_coding_parse(bytes_str(rows[i].name)) ==
			rows[i].coding);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_coding_becomes_every_other),
	    cmocka_unit_test(what_came_is_out_before_more_comes),
	    cmocka_unit_test(members_and_frames_follow_each_other),
	    cmocka_unit_test(what_ends_early_is_an_error),
	    cmocka_unit_test(damage_is_found),
	    cmocka_unit_test(what_is_not_coded_is_refused),
	    cmocka_unit_test(bombs_reach_the_limit_and_no_more),
	    cmocka_unit_test(windows_above_8_mib_are_refused),
	    cmocka_unit_test(a_coder_costs_what_it_may),
	    cmocka_unit_test(names_are_read_in_any_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
