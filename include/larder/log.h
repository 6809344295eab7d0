/*
 * The daemon's own log, on standard error, one line a message. Who handles an
 * error logs it, once. Thread-safe. storage/, http/ and cache/ never log.
 */
#ifndef LARDER_LOG_H
#define LARDER_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "error", "warn", "info", "debug": 0, or LARDER_INVALID. */
int log_level_parse(const char *word, enum log_level *out);

/* With ": strerror(errno)" behind it. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Without. */
void log_errorx(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warnx(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
