/*
 * What is wrong with a configuration, a line each.
 */
#ifndef CONF_ERRORS_H
#define CONF_ERRORS_H

#include <stdbool.h>
#include <stddef.h>

#define CONF_ERRORS_MAX 50u

/* From this line of the whole text on, up to the next place: which file's line
 * it is. */
struct conf_place {
	int line;
	char *file;
	int at;
};

struct conf_errors {
	unsigned places_count;
	struct conf_place *places; /* ascending; none: one file */
	unsigned count;
	struct conf_error {
		int line;  /* 0: of the file as a whole */
		bool keep; /* errors_restart() leaves it */
		char *text;
	} list[CONF_ERRORS_MAX];
};

void errors_add(struct conf_errors *errors, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* One that a second parse will not find again. */
void errors_keep(struct conf_errors *errors, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void errors_restart(struct conf_errors *errors);
bool errors_full(const struct conf_errors *errors);

/* False: no memory. file is copied. */
bool errors_place(
    struct conf_errors *errors, int line, const char *file, int at);
/* Where a line of the whole text is from; *file NULL: it has one file only. */
void errors_find(
    const struct conf_errors *errors, int line, const char **file, int *at);
/* "line 7", or "line 7 of FILE" where that is another file than `here` is of.
 */
const char *errors_where(const struct conf_errors *errors, int line, int here,
    char *out, size_t size);

/* "FILE:LINE: text\n..." in order of lines, the last without newline; the
 * caller frees it; NULL: no memory. */
char *errors_text(struct conf_errors *errors, const char *file);
void errors_release(struct conf_errors *errors);

#endif
