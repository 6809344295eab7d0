/*
 * Numbers and text as people read them.
 */
#include "admin/ctl.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "larder/check.h"

const char *
ctl_size(json_int_t bytes, char out[CTL_TEXT])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
	double n = (double)bytes / 1024;
	size_t i = 0;

	if (bytes < 1024) {
		snprintf(out, CTL_TEXT, "%" PRId64 " B", (int64_t)bytes);
		return out;
	}
	while (n >= 1023.95 && i + 1 < ARRAY_SIZE(units)) {
		n /= 1024;
		i++;
	}
	snprintf(out, CTL_TEXT, "%.1f %s", n, units[i]);
	return out;
}

const char *
ctl_time(json_int_t seconds, char out[CTL_TEXT])
{
	static const struct {
		json_int_t below, unit;
		const char *name;
	} t[] = {
	    {120, 1, "s"},
	    {120 * 60, 60, "min"},
	    {48 * 3600, 3600, "h"},
	    {INT64_MAX, 86400, "d"},
	};
	json_int_t n =
	    seconds < 0 ? -(seconds + (seconds == INT64_MIN)) : seconds;
	size_t i = 0;

	while (n >= t[i].below && i + 1 < ARRAY_SIZE(t))
		i++;
	snprintf(out, CTL_TEXT, "%s%" PRId64 " %s", seconds < 0 ? "-" : "",
	    (int64_t)(n / t[i].unit), t[i].name);
	return out;
}

const char *
ctl_count(json_int_t n, char out[CTL_TEXT])
{
	char digits[CTL_TEXT];
	int length = snprintf(digits, sizeof(digits), "%" PRId64, (int64_t)n);
	char *to = out;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return out;
}

const char *
ctl_when(json_int_t seconds, char out[CTL_WHEN])
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL ||
	    strftime(out, CTL_WHEN, "%F %T %z", &tm) == 0)
		snprintf(out, CTL_WHEN, "%" PRId64, (int64_t)seconds);
	return out;
}

void
ctl_print(const char *text)
{
	ctl_print_cut(text, UINT_MAX);
}

void
ctl_print_cut(const char *text, unsigned width)
{
	const unsigned char *p = (const unsigned char *)text;

	for (; p && *p && width > 0; p++) {
		/* Behind the first byte of a character it takes no room. */
		if ((*p & 0xc0) != 0x80)
			width--;
		/* U+0080 to U+009F are controls as well. */
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;

		if (*p >= 0x20 && *p != 0x7f && !c1)
			putchar(*p);
		else
			printf("\\x%02x", c1 ? *++p : *p);
	}
}
