/*
 * The kinds of values: how each is read, checked and written again.
 */
#include "conf/option.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conf/values.h"
#include "larder/check.h"
#include "larder/err.h"

#define FIELD(type, base, o) ((type *)(void *)((char *)(base) + (o)->offset))
#define FIELD_OF(type, base, o) \
	((const type *)(const void *)((const char *)(base) + (o)->offset))

static int __attribute__((format(printf, 2, 3)))
refuse(char why[CONF_WHY_MAX], const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(why, CONF_WHY_MAX, format, ap);
	va_end(ap);
	return LARDER_INVALID;
}

static int
replace(char **field, const char *value)
{
	char *copy = strdup(value);

	if (copy == NULL)
		return LARDER_NOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* In quotes, as libconfuse reads it; "${" would name a variable to it. */
static void
put_quoted(const char *s, FILE *out)
{
	putc('"', out);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\' || *s == '$')
			putc('\\', out);
		putc(*s, out);
	}
	putc('"', out);
}

void *
conf_grow(void *array, unsigned count, size_t element)
{
	char *grown = reallocarray(array, (size_t)count + 1, element);

	if (grown)
		memset(grown + (size_t)count * element, 0, element);
	return grown;
}

static unsigned
count_of(const struct conf_option *o, const void *base)
{
	return *(const unsigned *)(const void *)((const char *)base +
						 o->offset_count);
}

/* ---- lists ------------------------------------------------------------ */

static int
set_listen(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	struct conf *conf = base;
	union addr a, *addrs;
	const char *advice;
	char **texts;

	if (addr_parse_listen(value, &a, &advice) < 0)
		return refuse(why, "%s", advice);
	for (unsigned i = 0; i < conf->listen_count; i++)
		if (addr_equal(&conf->listen_addr[i], &a, true))
			return refuse(why, "it is in the list already");
	texts = conf_grow(conf->listen, conf->listen_count, sizeof(*texts));
	if (texts == NULL)
		return LARDER_NOMEM;
	conf->listen = texts;
	addrs = conf_grow(conf->listen_addr, conf->listen_count, sizeof(a));
	if (addrs == NULL)
		return LARDER_NOMEM;
	conf->listen_addr = addrs;
	if (replace(&texts[conf->listen_count], value) < 0)
		return LARDER_NOMEM;
	addrs[conf->listen_count++] = a;
	/* It stands before admin_listen in the table. */
	if (o->type == &conf_type_listen)
		conf->listen_proxies = conf->listen_count;
	return 0;
}

static void
put_listen(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	const struct conf *conf = base;

	if (o->type == &conf_type_admin_listen)
		i += conf->listen_proxies;
	put_quoted(conf->listen[i], out);
}

static unsigned
count_listen(const struct conf_option *o, const void *base)
{
	const struct conf *conf = base;

	return o->type == &conf_type_listen
		   ? conf->listen_proxies
		   : conf->listen_count - conf->listen_proxies;
}

static int
set_name(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	char ***array = FIELD(char **, base, o), **grown;
	unsigned *count = (void *)((char *)base + o->offset_count);

	if (value[0] == '\0' || strlen(value) > 253 ||
	    value[strspn(value, "abcdefghijklmnopqrstuvwxyz"
				"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")])
		return refuse(
		    why, "write a host name alone, like \"larder.example\"");
	grown = conf_grow(*array, *count, sizeof(*grown));
	if (grown == NULL)
		return LARDER_NOMEM;
	*array = grown;
	if (replace(&grown[*count], value) < 0)
		return LARDER_NOMEM;
	for (char *c = grown[(*count)++]; *c; c++)
		*c = bytes_lower(*c);
	return 0;
}

static void
put_name(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	put_quoted((*FIELD_OF(char **const, base, o))[i], out);
}

static int
set_cidr(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	struct cidr block, **array = FIELD(struct cidr *, base, o), *grown;
	unsigned *count = (void *)((char *)base + o->offset_count);
	const char *advice;

	if (cidr_parse(value, &block, &advice) < 0)
		return refuse(why, "%s", advice);
	grown = conf_grow(*array, *count, sizeof(block));
	if (grown == NULL)
		return LARDER_NOMEM;
	grown[(*count)++] = block;
	*array = grown;
	return 0;
}

static void
put_cidr(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	const struct cidr *block = &(*FIELD_OF(struct cidr *const, base, o))[i];
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[ADDR_TEXT];
	union addr a = {0};
	unsigned bits = block->bits;

	if (bits >= 96 && memcmp(block->ip, mapped, sizeof(mapped)) == 0) {
		a.v4.sin_family = AF_INET;
		memcpy(&a.v4.sin_addr, block->ip + 12, 4);
		bits -= 96;
	} else {
		a.v6.sin6_family = AF_INET6;
		memcpy(&a.v6.sin6_addr, block->ip, 16);
	}
	fprintf(out, "\"%s/%u\"", addr_format_host(&a, text), bits);
}

static int
set_port(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	struct conf *conf = base;
	uint16_t *grown;
	uint64_t port;

	(void)o;
	if (!bytes_decimal(bytes_str(value), 65535, &port) || port == 0)
		return refuse(why, "write a port from 1 to 65535, like 443");
	grown = conf_grow(
	    conf->connect_ports, conf->connect_ports_count, sizeof(*grown));
	if (grown == NULL)
		return LARDER_NOMEM;
	grown[conf->connect_ports_count++] = (uint16_t)port;
	conf->connect_ports = grown;
	return 0;
}

static void
put_port(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	const struct conf *conf = base;

	(void)o;
	fprintf(out, "%u", conf->connect_ports[i]);
}

const struct conf_type conf_type_listen = {
    true, set_listen, put_listen, count_listen};
const struct conf_type conf_type_admin_listen = {
    true, set_listen, put_listen, count_listen};
const struct conf_type conf_type_names = {true, set_name, put_name, count_of};
const struct conf_type conf_type_cidrs = {true, set_cidr, put_cidr, count_of};
const struct conf_type conf_type_ports = {true, set_port, put_port, count_of};

/* ---- numbers ---------------------------------------------------------- */

static int
set_number(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	uint64_t n;

	if (!bytes_decimal(bytes_str(value), o->max, &n) || n < o->min)
		return refuse(why,
		    "write a number from %" PRIu64 " to %" PRIu64, o->min,
		    o->max);
	*FIELD(unsigned, base, o) = (unsigned)n;
	return 0;
}

static void
put_number(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	(void)i;
	fprintf(out, "%u", *FIELD_OF(unsigned, base, o));
}

static int
set_size(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	char low[CONF_VALUE_TEXT], high[CONF_VALUE_TEXT];
	const char *advice;
	uint64_t bytes;

	if (conf_parse_size(value, &bytes, &advice) < 0)
		return refuse(why, "%s", advice);
	if (bytes < o->min || bytes > o->max)
		return refuse(why, "it must lie between %s and %s",
		    conf_format_size(o->min, low),
		    conf_format_size(o->max, high));
	*FIELD(uint64_t, base, o) = bytes;
	return 0;
}

static void
put_size(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	char text[CONF_VALUE_TEXT];

	(void)i;
	put_quoted(conf_format_size(*FIELD_OF(uint64_t, base, o), text), out);
}

static int
set_time(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	char low[CONF_VALUE_TEXT], high[CONF_VALUE_TEXT];
	const char *advice;
	int64_t ms;

	if (o->may_be_empty && value[0] == '\0') {
		*FIELD(int64_t, base, o) = 0;
		return 0;
	}
	if (conf_parse_time(value, &ms, &advice) < 0)
		return refuse(why, "%s", advice);
	if (ms < (int64_t)o->min || ms > (int64_t)o->max)
		return refuse(why, "it must lie between %s and %s",
		    conf_format_time((int64_t)o->min, low),
		    conf_format_time((int64_t)o->max, high));
	*FIELD(int64_t, base, o) = ms;
	return 0;
}

static void
put_time(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	int64_t ms = *FIELD_OF(int64_t, base, o);
	char text[CONF_VALUE_TEXT];

	(void)i;
	put_quoted(
	    o->may_be_empty && ms == 0 ? "" : conf_format_time(ms, text), out);
}

const struct conf_type conf_type_number = {false, set_number, put_number, NULL};
const struct conf_type conf_type_size = {false, set_size, put_size, NULL};
const struct conf_type conf_type_time = {false, set_time, put_time, NULL};

/* ---- words ------------------------------------------------------------ */

static int
set_flag(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	bool yes = strcmp(value, "true") == 0;

	if (!yes && strcmp(value, "false") != 0)
		return refuse(why, "write true or false");
	*FIELD(bool, base, o) = yes;
	return 0;
}

static void
put_flag(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	(void)i;
	fputs(*FIELD_OF(bool, base, o) ? "true" : "false", out);
}

static int
set_path(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;

	if (value[0] == '\0' && !o->may_be_empty)
		return refuse(why, "write a path from / on");
	if (value[0] != '\0' && value[0] != '/')
		return refuse(why, "write the whole path, from / on");
	if (o->offset == offsetof(struct conf, admin_socket) &&
	    strlen(value) > most)
		return refuse(why,
		    "the path of a socket has at most %zu characters", most);
	return replace(FIELD(char *, base, o), value);
}

static void
put_string(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	(void)i;
	put_quoted(*FIELD_OF(char *const, base, o), out);
}

static int
set_pattern(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	if (value[0] == '\0')
		return refuse(why, "write a pattern like \"*/debian/pool/*\"");
	return replace(FIELD(char *, base, o), value);
}

static int
set_password(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	size_t n = strlen(value);

	for (size_t i = 0; i < n; i++)
		if (value[i] <= 0x20 || value[i] >= 0x7f)
			return refuse(
			    why, "write letters, digits and signs, no blanks");
	if (n > 0 && (n < 8 || n > 128))
		return refuse(why, "write 8 to 128 characters, or \"\"");
	return replace(FIELD(char *, base, o), value);
}

static const char *const levels[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARN] = "warn",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

static int
set_level(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	if (log_level_parse(value, FIELD(enum log_level, base, o)) < 0)
		return refuse(
		    why, "write \"error\", \"warn\", \"info\" or \"debug\"");
	return 0;
}

static void
put_level(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	(void)i;
	put_quoted(levels[*FIELD_OF(enum log_level, base, o)], out);
}

static const char *const formats[] = {
    [CONF_LOG_SQUID] = "squid",
    [CONF_LOG_COMBINED] = "combined",
    [CONF_LOG_JSON] = "json",
};

static int
set_format(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		if (strcmp(value, formats[i]) == 0) {
			*FIELD(enum conf_log_format, base, o) =
			    (enum conf_log_format)i;
			return 0;
		}
	}
	return refuse(why, "write \"squid\", \"combined\" or \"json\"");
}

static void
put_format(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	(void)i;
	put_quoted(formats[*FIELD_OF(enum conf_log_format, base, o)], out);
}

static int
set_targeted(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	bool ours = strcmp(value, "CDN-Cache-Control") == 0;

	if (!ours && value[0] != '\0')
		return refuse(why, "write \"CDN-Cache-Control\" or \"\"");
	*FIELD(bool, base, o) = ours;
	return 0;
}

static void
put_targeted(
    const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	(void)i;
	put_quoted(*FIELD_OF(bool, base, o) ? "CDN-Cache-Control" : "", out);
}

const struct conf_type conf_type_flag = {false, set_flag, put_flag, NULL};
const struct conf_type conf_type_path = {false, set_path, put_string, NULL};
const struct conf_type conf_type_pattern = {
    false, set_pattern, put_string, NULL};
const struct conf_type conf_type_password = {
    false, set_password, put_string, NULL};
const struct conf_type conf_type_log_level = {
    false, set_level, put_level, NULL};
const struct conf_type conf_type_log_format = {
    false, set_format, put_format, NULL};
const struct conf_type conf_type_targeted = {
    false, set_targeted, put_targeted, NULL};
