#include "conf/errors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void __attribute__((format(printf, 4, 0)))
add(struct conf_errors *errors, int line, bool keep, const char *format,
    va_list ap)
{
	struct conf_error *e = &errors->list[errors->count];

	if (errors->count == CONF_ERRORS_MAX)
		return;
	if (vasprintf(&e->text, format, ap) < 0)
		e->text = NULL;
	/* It quotes the file: no byte of it shall drive a terminal or make a
	 * line of its own. */
	for (char *p = e->text; p && *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	e->line = line;
	e->keep = keep;
	errors->count++;
}

void
errors_add(struct conf_errors *errors, int line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(errors, line, false, format, ap);
	va_end(ap);
}

void
errors_keep(struct conf_errors *errors, int line, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(errors, line, true, format, ap);
	va_end(ap);
}

void
errors_restart(struct conf_errors *errors)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < errors->count; i++) {
		if (errors->list[i].keep)
			errors->list[kept++] = errors->list[i];
		else
			free(errors->list[i].text);
	}
	errors->count = kept;
}

bool
errors_full(const struct conf_errors *errors)
{
	return errors->count == CONF_ERRORS_MAX;
}

/* An insertion sort: it keeps the order within a line. */
static void
sort(struct conf_errors *errors)
{
	for (unsigned i = 1; i < errors->count; i++) {
		struct conf_error e = errors->list[i];
		unsigned j = i;

		for (; j > 0 && errors->list[j - 1].line > e.line; j--)
			errors->list[j] = errors->list[j - 1];
		errors->list[j] = e;
	}
}

char *
errors_text(struct conf_errors *errors, const char *file)
{
	char *out = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&out, &size);

	if (stream == NULL)
		return NULL;
	sort(errors);
	for (unsigned i = 0; i < errors->count; i++) {
		const struct conf_error *e = &errors->list[i];

		fprintf(stream, "%s%s:", i ? "\n" : "", file);
		if (e->line)
			fprintf(stream, "%d:", e->line);
		fprintf(stream, " %s", e->text ? e->text : "out of memory");
	}
	if (fclose(stream) != 0) {
		free(out);
		return NULL;
	}
	return out;
}

void
errors_release(struct conf_errors *errors)
{
	for (unsigned i = 0; i < errors->count; i++)
		free(errors->list[i].text);
	errors->count = 0;
}
