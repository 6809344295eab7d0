/*
 * libconfuse's own include() opens files behind the back of scan.c and loses
 * their lines. Its syntax is kept; the files are put together here.
 *
 * What always holds: the text has at most SIZE_MAX_ALL bytes, of at most
 * FILES_MAX files, DEPTH_MAX deep; so that a file that includes itself ends.
 */
#include "conf/include.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/scan.h"
#include "larder/err.h"

#define SIZE_MAX_ALL (4u << 20)
#define FILES_MAX    64u
#define DEPTH_MAX    8

struct loader {
	struct conf_errors *errors;
	FILE *out;
	size_t left; /* bytes that may still be read */
	unsigned files;
	int line; /* the next one of the whole */
};

static int
refuse_to_open(struct loader *l, int line, const char *file, bool main_file)
{
	const char *advice = main_file ? "name a file that can be read, with -c"
				       : "name a file that can be read";
	int error = errno;

	if (main_file)
		errors_add(
		    l->errors, 0, "%s; %s", strerrordesc_np(error), advice);
	else
		errors_add(l->errors, line, "%s: %s; %s", file,
		    strerrordesc_np(error), advice);
	if (!main_file)
		return LARDER_INVALID;
	return error == ENOENT	 ? LARDER_ABSENT
	       : error == EACCES ? LARDER_ACCESS
				 : LARDER_INVALID;
}

/* The whole file with a NUL behind it; the caller frees it. line: of the whole,
 * where it is asked for. */
static int
read_file(struct loader *l, const char *file, int line, bool main_file,
    char **out, size_t *size)
{
	FILE *in = fopen(file, "re");
	char *text;

	*out = NULL;
	if (in == NULL)
		return refuse_to_open(l, line, file, main_file);
	text = malloc(l->left + 2);
	if (text == NULL) {
		fclose(in);
		return LARDER_NOMEM;
	}
	errno = EIO;
	*size = fread(text, 1, l->left + 1, in);
	if (ferror(in)) {
		int rc = refuse_to_open(l, line, file, main_file);

		fclose(in);
		free(text);
		return rc;
	}
	fclose(in);
	if (*size > l->left) {
		errors_add(l->errors, main_file ? 0 : line,
		    "%s%stoo large; a configuration has a few kilobytes",
		    main_file ? "" : file, main_file ? "" : ": ");
		free(text);
		return LARDER_INVALID;
	}
	l->left -= *size;
	text[*size] = '\0';
	*out = text;
	return 0;
}

static void
emit(struct loader *l, const char *from, const char *to)
{
	fwrite(from, 1, (size_t)(to - from), l->out);
	for (; from < to; from++)
		l->line += *from == '\n';
}

/* name as seen from the file that includes it; the caller frees it. */
static char *
path_of(const char *name, const char *file)
{
	const char *slash = strrchr(file, '/');
	char *path;

	if (name[0] == '/' || slash == NULL)
		return strdup(name);
	if (asprintf(&path, "%.*s/%s", (int)(slash - file), file, name) < 0)
		return NULL;
	return path;
}

static int expand(struct loader *l, const char *file, int line, int depth);

/* What an include statement names, in its place. */
static int
include(struct loader *l, const char *file, const struct scan_include *found,
    int depth)
{
	static const char newline[] = "\n";
	int line = l->line;
	char *path;
	int rc;

	if (found->wrong != NULL) {
		errors_add(l->errors, line, "%s", found->wrong);
		return LARDER_INVALID;
	}
	if (depth == DEPTH_MAX || l->files == FILES_MAX) {
		errors_add(l->errors, line,
		    "%s; does one of these files include itself?",
		    depth == DEPTH_MAX ? "the includes are nested too deep"
				       : "too many files are included");
		return LARDER_INVALID;
	}
	path = path_of(found->name, file);
	if (path == NULL)
		return LARDER_NOMEM;
	emit(l, newline, newline + 1);
	rc = expand(l, path, line, depth + 1);
	emit(l, newline, newline + 1);
	free(path);
	return rc;
}

/* The text, prepared, with what it includes. first: its first line in the
 * whole. */
static int
expand_text(struct loader *l, const char *file, const char *text, int depth)
{
	struct scan_include found;
	int start = 1, rc = 0;

	for (;;) {
		if (!errors_place(l->errors, l->line, file, start))
			return LARDER_NOMEM;
		if (!scan_include(text, &found))
			break;
		emit(l, text, found.from);
		for (const char *p = text; p < found.from; p++)
			start += *p == '\n';
		rc = include(l, file, &found, depth);
		if (rc != 0)
			return rc;
		for (const char *p = found.from; p < found.to; p++)
			start += *p == '\n';
		text = found.to;
	}
	emit(l, text, text + strlen(text));
	return 0;
}

static int
expand(struct loader *l, const char *file, int line, int depth)
{
	struct scan_fault fault;
	char *text;
	size_t size = 0;
	int rc = read_file(l, file, line, depth == 0, &text, &size);

	if (rc != 0)
		return rc;
	l->files++;
	rc = scan_prepare(text, size, &fault);
	if (rc == LARDER_INVALID) {
		if (!errors_place(l->errors, l->line, file, 1))
			rc = LARDER_NOMEM;
		errors_add(
		    l->errors, l->line + fault.line - 1, "%s", fault.text);
	}
	if (rc == 0)
		rc = expand_text(l, file, text, depth);
	free(text);
	return rc;
}

int
include_load(const char *file, struct conf_errors *errors, char **text)
{
	struct loader l = {.errors = errors, .left = SIZE_MAX_ALL, .line = 1};
	size_t size = 0;
	int rc;

	*text = NULL;
	l.out = open_memstream(text, &size);
	if (l.out == NULL)
		return LARDER_NOMEM;
	rc = expand(&l, file, 0, 0);
	if (fclose(l.out) != 0 && rc == 0)
		rc = LARDER_NOMEM;
	if (rc != 0) {
		free(*text);
		*text = NULL;
	}
	return rc;
}
