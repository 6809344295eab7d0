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

bool
errors_place(struct conf_errors *errors, int line, const char *file, int at)
{
	struct conf_place *grown = reallocarray(
	    errors->places, errors->places_count + 1, sizeof(*grown));
	char *copy = strdup(file);

	if (grown != NULL)
		errors->places = grown;
	if (grown == NULL || copy == NULL) {
		free(copy);
		return false;
	}
	grown[errors->places_count++] = (struct conf_place){line, copy, at};
	return true;
}

void
errors_find(
    const struct conf_errors *errors, int line, const char **file, int *at)
{
	*file = NULL;
	*at = line;
	for (unsigned i = 0; i < errors->places_count; i++) {
		const struct conf_place *p = &errors->places[i];

		if (p->line > line)
			break;
		*file = p->file;
		*at = p->at + (line - p->line);
	}
}

const char *
errors_where(const struct conf_errors *errors, int line, int here, char *out,
    size_t size)
{
	const char *file, *ours;
	int at, ignored;

	errors_find(errors, line, &file, &at);
	errors_find(errors, here, &ours, &ignored);
	if (file == NULL || ours == NULL || strcmp(file, ours) == 0)
		snprintf(out, size, "line %d", at);
	else
		snprintf(out, size, "line %d of %s", at, file);
	return out;
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
		const char *from = NULL;
		int at = 0;

		if (e->line)
			errors_find(errors, e->line, &from, &at);
		fprintf(stream, "%s%s:", i ? "\n" : "", from ? from : file);
		if (e->line)
			fprintf(stream, "%d:", at);
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
	for (unsigned i = 0; i < errors->places_count; i++)
		free(errors->places[i].file);
	free(errors->places);
	errors->places = NULL;
	errors->places_count = 0;
	errors->count = 0;
}
