#include "conf/values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "larder/check.h"
#include "larder/err.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Ascending, so that formatting finds the largest that divides. */
static const struct unit sizes[] = {
    {"", 1},
    {"K", UINT64_C(1) << 10},
    {"M", UINT64_C(1) << 20},
    {"G", UINT64_C(1) << 30},
    {"T", UINT64_C(1) << 40},
};

static const struct unit times[] = {
    {"ms", 1},
    {"s", 1000},
    {"m", 60 * 1000},
    {"h", 60 * 60 * 1000},
    {"d", 24 * 60 * 60 * 1000},
};

static const char size_advice[] =
    "write a number of bytes, or one with K, M, G or T, like \"20G\"";
static const char time_advice[] =
    "write a number with ms, s, m, h or d, like \"30s\"";

/*
 * "12" or "1.5" from *text on, which is moved behind it: whole part, and what
 * is behind the point as numerator over *scale.
 */
static int
parse_number(
    const char **text, uint64_t *whole, uint64_t *part, uint64_t *scale)
{
	const char *p = *text;
	size_t n = strspn(p, "0123456789");

	*part = 0;
	*scale = 1;
	if (!bytes_decimal(bytes_of(p, n), UINT64_MAX, whole))
		return LARDER_INVALID;
	p += n;
	if (*p == '.') {
		n = strspn(++p, "0123456789");
		if (n > 6 || !bytes_decimal(bytes_of(p, n), UINT64_MAX, part))
			return LARDER_INVALID;
		p += n;
		while (n--)
			*scale *= 10;
	}
	*text = p;
	return 0;
}

/* A number and one of the units, exact, up to max. */
static int
parse_quantity(const char *text, const struct unit *units, size_t count,
    uint64_t max, uint64_t *out)
{
	uint64_t whole, part, scale, factor = 0;

	if (parse_number(&text, &whole, &part, &scale) < 0)
		return LARDER_INVALID;
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, units[i].name) == 0)
			factor = units[i].factor;
	if (factor == 0 || whole > max / factor)
		return LARDER_INVALID;
	/* part < 10^6 and factor <= 2^40: the product does not wrap. */
	if (part * factor % scale != 0)
		return LARDER_INVALID;
	part = part * factor / scale;
	if (part > max - whole * factor)
		return LARDER_INVALID;
	*out = whole * factor + part;
	return 0;
}

int
conf_parse_size(const char *text, uint64_t *out, const char **why)
{
	*why = size_advice;
	return parse_quantity(text, sizes, ARRAY_SIZE(sizes), INT64_MAX, out);
}

int
conf_parse_time(const char *text, int64_t *out, const char **why)
{
	uint64_t ms;

	*why = time_advice;
	if (parse_quantity(text, times, ARRAY_SIZE(times), INT64_MAX, &ms) < 0)
		return LARDER_INVALID;
	*out = (int64_t)ms;
	return 0;
}

static const char *
format(uint64_t value, const struct unit *units, size_t count, char *out)
{
	size_t i = count - 1;

	while (i > 0 && (value == 0 || value % units[i].factor != 0))
		i--;
	snprintf(out, CONF_VALUE_TEXT, "%" PRIu64 "%s", value / units[i].factor,
	    units[i].name);
	return out;
}

const char *
conf_format_size(uint64_t bytes, char out[CONF_VALUE_TEXT])
{
	return format(bytes, sizes, ARRAY_SIZE(sizes), out);
}

const char *
conf_format_time(int64_t ms, char out[CONF_VALUE_TEXT])
{
	check(ms >= 0);
	return format((uint64_t)ms, times, ARRAY_SIZE(times), out);
}
