/*
 * What libconfuse's scanner lets through or miscounts, put right in the text
 * before it gets it. Pure.
 */
#ifndef CONF_SCAN_H
#define CONF_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct scan_fault {
	int line;
	char text[160]; /* what is wrong; what would have been right */
};

/*
 * Blanks comments in text (n bytes and a NUL), so that lines keep their
 * numbers. LARDER_INVALID with *fault: a NUL, a string, comment or section
 * that does not end, a character that must stand in quotes.
 */
int scan_prepare(char *text, size_t n, struct scan_fault *fault);

/* include("name"), in a prepared text. */
struct scan_include {
	const char *from, *to; /* the statement */
	const char *wrong;     /* what would have been right; or NULL: */
	char name[1024];
};
/* The first one; false: there is none. */
bool scan_include(const char *text, struct scan_include *out);

/* Blanks the statement that starts with name on that line; false: it is not
 * there. */
bool scan_drop(char *text, int line, const char *name);

/* The last line up to `line` on which word stands outside quotes, or `line`. */
int scan_line_of(const char *text, int line, const char *word);

#endif
