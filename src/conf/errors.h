/*
 * What is wrong with a configuration, a line each.
 */
#ifndef CONF_ERRORS_H
#define CONF_ERRORS_H

#include <stdbool.h>

#define CONF_ERRORS_MAX 50u

struct conf_errors {
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

/* "FILE:LINE: text\n..." in order of lines, the last without newline; the
 * caller frees it; NULL: no memory. */
char *errors_text(struct conf_errors *errors, const char *file);
void errors_release(struct conf_errors *errors);

#endif
