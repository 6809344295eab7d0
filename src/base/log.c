/*
 * One message is one line and one write(2), so that the lines of several
 * threads never mix. What a message quotes may come from outside: control
 * characters are escaped, or a request could forge lines and drive terminals.
 */
#include "larder/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/err.h"

#define TEXT_MAX 2048

static _Atomic int threshold = LOG_LEVEL_INFO;

static const char *const words[] = {"error", "warn", "info", "debug"};

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

enum log_level
log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(
	    &threshold, memory_order_relaxed);
}

int
log_level_parse(const char *word, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(word, words[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return LARDER_INVALID;
}

static bool
is_control(const unsigned char *p)
{
	/* The second test: U+0080 to U+009F in UTF-8, which terminals obey. */
	return p[0] < 0x20 || p[0] == 0x7f ||
	       (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f);
}

/* Writes at most 4 bytes for each of text; returns the end. */
static char *
escape(char *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; *p; p++) {
		if (!is_control(p)) {
			*out++ = (char)*p;
			continue;
		}
		out += sprintf(out, "\\x%02x", *p);
		if (*p == 0xc2)
			out += sprintf(out, "\\x%02x", *++p);
	}
	return out;
}

static void __attribute__((format(printf, 3, 0)))
emit(enum log_level level, int error, const char *format, va_list ap)
{
	char text[TEXT_MAX], line[TEXT_MAX * 4 + 64];
	char *end;
	size_t at;
	struct tm tm;
	time_t now = time(NULL);
	int n = vsnprintf(text, sizeof(text), format, ap);

	if (n < 0)
		return;
	at = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
	if (error)
		snprintf(text + at, sizeof(text) - at, ": %s",
		    strerrordesc_np(error) ? strerrordesc_np(error)
					   : "unknown error");
	gmtime_r(&now, &tm);
	at = strftime(line, 32, "%Y-%m-%dT%H:%M:%SZ ", &tm);
	end = line + at + sprintf(line + at, "%s ", words[level]);
	end = escape(end, text);
	*end++ = '\n';
	/* There is nobody to tell when standard error is gone. */
	if (write(STDERR_FILENO, line, (size_t)(end - line)) < 0)
		return;
}

#define LOG_BODY(level, with_error)                        \
	int saved = errno;                                 \
	va_list ap;                                        \
                                                           \
	if ((level) > log_get_level())                     \
		return;                                    \
	va_start(ap, format);                              \
	emit(level, (with_error) ? saved : 0, format, ap); \
	va_end(ap);                                        \
	errno = saved

void
log_error(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR, true);
}

void
log_warn(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_WARN, true);
}

void
log_errorx(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_ERROR, false);
}

void
log_warnx(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_WARN, false);
}

void
log_info(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_INFO, false);
}

void
log_debug(const char *format, ...)
{
	LOG_BODY(LOG_LEVEL_DEBUG, false);
}
