/*
 * The three forms of HTTP-date (RFC 9110 5.6.7) by one pattern each. Names of
 * days and months in any case, as other caches take them; nothing else is
 * bent. That the weekday fits the date is not asked for.
 */
#include "http/date.h"

#include <string.h>

#include "http/chars.h"

static const char days[7][10] = {"Sunday", "Monday", "Tuesday", "Wednesday",
    "Thursday", "Friday", "Saturday"};
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct civil {
	int year, month, day; /* month and day from 1 */
	int hour, minute, second;
};

/* Days since 1970-01-01 in the Gregorian calendar. Years begin in March here,
 * so that the leap day comes last. */
static int64_t
days_of(int year, int month, int day)
{
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t in_era = y - era * 400;
	int64_t in_year =
	    (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 +
	       in_year - 719468;
}

static void
civil_of(int64_t t, struct civil *out)
{
	int64_t d = t / 86400, second = t % 86400, era, in_era, y, in_year, m;

	if (second < 0)
		second += 86400, d--;
	d += 719468;
	era = (d >= 0 ? d : d - 146096) / 146097;
	in_era = d - era * 146097;
	y = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
	in_year = in_era - (365 * y + y / 4 - y / 100);
	m = (5 * in_year + 2) / 153;
	out->day = (int)(in_year - (153 * m + 2) / 5 + 1);
	out->month = (int)(m < 10 ? m + 3 : m - 9);
	out->year = (int)(y + era * 400 + (out->month <= 2));
	out->hour = (int)(second / 3600);
	out->minute = (int)(second / 60 % 60);
	out->second = (int)(second % 60);
}

static int64_t
seconds_of(const struct civil *c)
{
	return days_of(c->year, c->month, c->day) * 86400 + c->hour * 3600 +
	       c->minute * 60 + c->second;
}

static int
month_days(int year, int month)
{
	static const int n[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return n[month - 1] + (month == 2 && year % 4 == 0 &&
				  (year % 100 != 0 || year % 400 == 0));
}

/* Takes n digits. */
static bool
digits(struct bytes *b, int n, int *out)
{
	int value = 0;

	if (http_span(*b, HTTP_C_DIGIT) < (size_t)n)
		return false;
	for (int i = 0; i < n; i++)
		value = value * 10 + (b->p[i] - '0');
	*b = bytes_skip(*b, (size_t)n);
	*out = value;
	return true;
}

static bool
literal(struct bytes *b, struct bytes text)
{
	if (b->n < text.n || !bytes_ieq((struct bytes){b->p, text.n}, text))
		return false;
	*b = bytes_skip(*b, text.n);
	return true;
}

static bool
month(struct bytes *b, int *out)
{
	for (int i = 0; i < 12; i++)
		if (literal(b, (struct bytes){months + i * 3, 3})) {
			*out = i + 1;
			return true;
		}
	return false;
}

static bool
time_of_day(struct bytes *b, struct civil *out)
{
	return digits(b, 2, &out->hour) && literal(b, BYTES(":")) &&
	       digits(b, 2, &out->minute) && literal(b, BYTES(":")) &&
	       digits(b, 2, &out->second);
}

/* "06 Nov 1994 08:49:37 GMT" */
static bool
imf_fixdate(struct bytes b, struct civil *out)
{
	return digits(&b, 2, &out->day) && literal(&b, BYTES(" ")) &&
	       month(&b, &out->month) && literal(&b, BYTES(" ")) &&
	       digits(&b, 4, &out->year) && literal(&b, BYTES(" ")) &&
	       time_of_day(&b, out) && literal(&b, BYTES(" GMT")) && b.n == 0;
}

/* "06-Nov-94 08:49:37 GMT" */
static bool
rfc850_date(struct bytes b, struct civil *out)
{
	return digits(&b, 2, &out->day) && literal(&b, BYTES("-")) &&
	       month(&b, &out->month) && literal(&b, BYTES("-")) &&
	       digits(&b, 2, &out->year) && literal(&b, BYTES(" ")) &&
	       time_of_day(&b, out) && literal(&b, BYTES(" GMT")) && b.n == 0;
}

/* "Nov  6 08:49:37 1994" */
static bool
asctime_date(struct bytes b, struct civil *out)
{
	return month(&b, &out->month) && literal(&b, BYTES(" ")) &&
	       (literal(&b, BYTES(" ")) ? digits(&b, 1, &out->day)
					: digits(&b, 2, &out->day)) &&
	       literal(&b, BYTES(" ")) && time_of_day(&b, out) &&
	       literal(&b, BYTES(" ")) && digits(&b, 4, &out->year) && b.n == 0;
}

/* The latest year with these two digits that is not more than 50 years from
 * now. */
static void
full_year(struct civil *c, int64_t now)
{
	struct civil today, before = *c;

	civil_of(now, &today);
	c->year += today.year / 100 * 100 + 100;
	do {
		c->year -= 100;
		before.year = c->year - 50;
	} while (seconds_of(&before) > now);
	if (c->year + 100 - 50 <= today.year) {
		before.year = c->year + 100 - 50;
		if (seconds_of(&before) <= now)
			c->year += 100;
	}
}

int64_t
http_date_parse(struct bytes text, int64_t now)
{
	struct civil c = {0};
	bool ok = false;

	for (int i = 0; i < 7 && !ok; i++) {
		struct bytes day = bytes_str(days[i]), rest = text;

		if (!literal(&rest, (struct bytes){day.p, 3}))
			continue;
		if (literal(&rest, BYTES(", ")))
			ok = imf_fixdate(rest, &c);
		else if (literal(&rest, BYTES(" ")))
			ok = asctime_date(rest, &c);
		else if (literal(&rest, bytes_skip(day, 3)) &&
			 literal(&rest, BYTES(", ")) && rfc850_date(rest, &c)) {
			full_year(&c, now);
			ok = true;
		}
	}
	/* A second 60 is a leap second's. */
	if (!ok || c.day < 1 || c.day > month_days(c.year, c.month) ||
	    c.hour > 23 || c.minute > 59 || c.second > 60)
		return HTTP_DATE_INVALID;
	return seconds_of(&c);
}

static char *
put_text(char *to, const char *text, size_t n)
{
	memcpy(to, text, n);
	return to + n;
}

static char *
put_digits(char *to, int value, size_t n)
{
	for (size_t i = n; i-- > 0; value /= 10)
		to[i] = (char)('0' + value % 10);
	return to + n;
}

/* For each response that is stored: so without printf(). */
size_t
http_date_format(int64_t t, char out[HTTP_DATE_SIZE])
{
	const int64_t first = INT64_C(-62167219200); /* of year 0 */
	const int64_t last = INT64_C(253402300799);  /* of year 9999 */
	struct civil c;
	char *to = out;
	int64_t day;

	t = t < first ? first : t > last ? last : t;
	civil_of(t, &c);
	day =
	    days_of(c.year, c.month, c.day) % 7 + 4; /* 1970 began a Thursday */
	to = put_text(to, days[(day + 7) % 7], 3);
	to = put_text(to, ", ", 2);
	to = put_digits(to, c.day, 2);
	*to++ = ' ';
	to = put_text(to, months + (c.month - 1) * 3, 3);
	*to++ = ' ';
	to = put_digits(to, c.year, 4);
	*to++ = ' ';
	to = put_digits(to, c.hour, 2);
	*to++ = ':';
	to = put_digits(to, c.minute, 2);
	*to++ = ':';
	to = put_digits(to, c.second, 2);
	to = put_text(to, " GMT", sizeof(" GMT"));
	return (size_t)(to - out) - 1;
}
