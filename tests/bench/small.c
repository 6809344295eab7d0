/*
 * What small bodies take in a pack, and a dictionary for them.
 *
 *	small FOLDER...
 *	small -t NAME TEXT FOLDER...
 *
 * The first tells, of all files of at most 16 KiB below the folders, by their
 * size: how many, how long they are, bytes on disk a byte of body without a
 * dictionary and with the newest, and us of CPU to press and to unpress one.
 *
 * The second prints a dictionary as storage/dictionary_1.c has them: tables of
 * how often what occurs in those files, each of them a sample (of a front, too:
 * then they are what record_encode() is to press), and the text, what is
 * likeliest last.
 */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zdict.h>

#include "larder/check.h"
#include "record.h"

#define FILE_MAX (16u * 1024)
#define ALL_MAX	 (256u * 1024 * 1024)
#define MANY	 200000u
/* Of what the tables count, and what C allows of a string, less escapes. */
#define LEVEL	 4
#define PIECE	 3500u
#define WIDTH	 68u

static char *all;
static size_t sizes[MANY];
static unsigned count;
static size_t filled;

static void
die(const char *what)
{
	fprintf(stderr, "small: %s\n", what);
	exit(1);
}

static size_t
load(const char *path, char *to, size_t max)
{
	FILE *f = fopen(path, "rb");
	size_t n = f ? fread(to, 1, max, f) : 0;

	if (f)
		fclose(f);
	return n;
}

static int
on_file(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	size_t n;

	(void)ftw;
	if (flag != FTW_F || st->st_size < 1 || st->st_size > FILE_MAX ||
	    count == MANY || filled + FILE_MAX > ALL_MAX)
		return 0;
	n = load(path, all + filled, FILE_MAX);
	if (n) {
		sizes[count++] = n;
		filled += n;
	}
	return 0;
}

/* ---- what they take ------------------------------------------------------ */

static double
cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Of one size, and one way. */
struct row {
	unsigned count;
	uint64_t raw, stored;
	double press, unpress;
};

static void
add(struct frame_coder *coder, struct row *row, struct bytes body, bool fold)
{
	static char room[STORE_SMALL + 4096], back[FILE_MAX];
	struct record r = {
	    .plain.info = {.body_size = body.n, .body.kind = PLACE_SELF}};
	double before = cpu_us(), between;
	size_t put;
	int err = 0;

	r.dictionary = DICTIONARY_NEWEST;
	if (fold) {
		record_press_body(coder, &r, body, room);
	} else if ((put = frame_press(
			coder, room, sizeof(room), body.p, body.n)) != 0) {
		r.plain.info.body.encoding = ENCODING_ZSTD;
		r.payload = bytes_of(room, put);
	} else {
		r.payload = body;
	}
	between = cpu_us();
	if (r.plain.info.body.encoding == ENCODING_ZSTD)
		err = record_body(coder, &r, back);
	row->unpress += cpu_us() - between;
	row->press += between - before;
	if (err || (r.plain.info.body.encoding == ENCODING_ZSTD &&
		       memcmp(back, body.p, body.n) != 0))
		die("what was pressed is something else now");
	row->count++;
	row->raw += body.n;
	row->stored += r.payload.n;
}

static void
tell(void)
{
	static const size_t bounds[] = {512, 1024, 2048, 4096, 8192, FILE_MAX};
	struct row rows[ARRAY_SIZE(bounds)][2] = {{{.count = 0}}};
	struct frame_coder coder = {0};
	const char *p = all;

	for (unsigned i = 0; i < count; p += sizes[i++]) {
		unsigned k = 0;

		while (sizes[i] > bounds[k])
			k++;
		for (unsigned way = 0; way < 2; way++)
			add(&coder, &rows[k][way], bytes_of(p, sizes[i]), way);
	}
	printf("%8s %7s %7s %15s %17s %17s\n", "", "", "mean", "on disk a byte",
	    "press, us", "unpress, us");
	printf("%8s %7s %7s %7s %7s %8s %8s %8s %8s\n", "up to", "files",
	    "bytes", "without", "with", "without", "with", "without", "with");
	for (unsigned k = 0; k < ARRAY_SIZE(bounds); k++) {
		const struct row *a = &rows[k][0], *b = &rows[k][1];
		double n = a->count, raw = (double)a->raw;

		if (a->count)
			printf("%8zu %7u %7.0f %7.3f %7.3f %8.1f %8.1f %8.1f "
			       "%8.1f\n",
			    bounds[k], a->count, raw / n,
			    (double)a->stored / raw, (double)b->stored / raw,
			    a->press / n, b->press / n, a->unpress / n,
			    b->unpress / n);
	}
	frame_release(&coder);
}

/* ---- a dictionary -------------------------------------------------------- */

/* One byte as C writes it in a string; how many characters that are. */
static size_t
escape(char c, char last, char out[8])
{
	unsigned char u = (unsigned char)c;

	if (c == '\n' || c == '\r')
		return (size_t)sprintf(out, "\\%c", c == '\n' ? 'n' : 'r');
	/* Two question marks may begin something else. */
	if (c == '"' || c == '\\' || (c == '?' && last == '?'))
		return (size_t)sprintf(out, "\\%c", c);
	return (size_t)sprintf(out, u < ' ' || u > '~' ? "\\%03o" : "%c",
	    u < ' ' || u > '~' ? u : c);
}

static void
print_piece(struct bytes b)
{
	size_t column = 0;

	printf("    PIECE(");
	for (size_t i = 0; i < b.n; i++) {
		char text[8];
		size_t n = escape(b.p[i], i ? b.p[i - 1] : 0, text);

		if (!column)
			printf("\n\t\"");
		fwrite(text, 1, n, stdout);
		column += n;
		if (column > WIDTH - 4 || i + 1 == b.n ||
		    (b.p[i] == '\n' && column > WIDTH / 2)) {
			putchar('"');
			column = 0;
		}
	}
	printf("),\n");
}

static void
make(const char *name, const char *path)
{
	static char text[128 * 1024], out[256 * 1024];
	size_t n = load(path, text, sizeof(text)), size, tables;
	/* Any number will do: no frame says it. */
	ZDICT_params_t params = {.compressionLevel = LEVEL, .dictID = 32768};

	size = ZDICT_finalizeDictionary(
	    out, sizeof(out), text, n, all, sizes, count, params);
	if (ZDICT_isError(size))
		die(ZDICT_getErrorName(size));
	tables = ZDICT_getDictHeaderSize(out, size);
	printf("static const struct bytes %s[] = {\n", name);
	print_piece(bytes_of(out, tables));
	for (size_t at = tables; at < size; at += PIECE)
		print_piece(
		    bytes_of(out + at, size - at < PIECE ? size - at : PIECE));
	printf("};\n");
}

int
main(int argc, char **argv)
{
	bool table = argc > 1 && strcmp(argv[1], "-t") == 0;
	int first = table ? 4 : 1;

	if (argc <= first) {
		fprintf(stderr, "small FOLDER... | -t NAME TEXT FOLDER...\n");
		return 2;
	}
	all = malloc(ALL_MAX);
	if (!all)
		die("no memory");
	for (int i = first; i < argc; i++)
		nftw(argv[i], on_file, 32, FTW_PHYS);
	if (!count)
		die("no files of at most 16 KiB there");
	if (table)
		make(argv[2], argv[3]);
	else
		tell();
	free(all);
	return 0;
}
