/*
 * Sites: the Host that one stands for, and the origin behind it.
 */
#include "conf/option.h"

#include <stdlib.h>
#include <string.h>

#include "larder/err.h"

static const char origin_advice[] =
    "write \"http://host\" or \"https://host:port\"";
static const char title_advice[] =
    "write a Host as in site \"mirror.example\", with :port if only that "
    "one is meant, or \"*\" for any other";

static int
refuse(char why[CONF_WHY_MAX], const char *text)
{
	snprintf(why, CONF_WHY_MAX, "%s", text);
	return LARDER_INVALID;
}

static bool
is_name(struct bytes b)
{
	if (b.n == 0 || b.n > 253)
		return false;
	for (size_t i = 0; i < b.n; i++) {
		char c = bytes_lower(b.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '-' && c != '.' && c != '_')
			return false;
	}
	return true;
}

/* "host", "host:port", "[v6]:port". host is a view of text; *port is -1 when
 * none is there. */
static int
split(const char *text, struct bytes *host, int *port)
{
	const char *p = text, *colon;
	union addr a;
	uint64_t n;

	if (*p == '[') {
		const char *end = strchr(p, ']');

		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return LARDER_INVALID;
		*host = bytes_of(p + 1, (size_t)(end - p) - 1);
		if (addr_parse_ip(*host, 0, &a) < 0 ||
		    a.sa.sa_family != AF_INET6)
			return LARDER_INVALID;
		colon = end[1] ? end + 1 : NULL;
	} else {
		colon = strchr(p, ':');
		*host = bytes_of(p, colon ? (size_t)(colon - p) : strlen(p));
		if (!is_name(*host))
			return LARDER_INVALID;
	}
	*port = -1;
	if (colon == NULL)
		return 0;
	if (!bytes_decimal(bytes_str(colon + 1), 65535, &n) || n == 0)
		return LARDER_INVALID;
	*port = (int)n;
	return 0;
}

static char *
lower_copy(struct bytes b)
{
	char *copy = strndup(b.p, b.n);

	for (char *p = copy; p && *p; p++)
		*p = bytes_lower(*p);
	return copy;
}

int
conf_site_title(
    const char *title, struct conf_site *site, char why[CONF_WHY_MAX])
{
	struct bytes host = BYTES("*");
	int port = -1;

	if (strcmp(title, "*") != 0 && split(title, &host, &port) < 0)
		return refuse(why, title_advice);
	free(site->host);
	site->host = lower_copy(host);
	site->port = port < 0 ? 0 : port;
	return site->host ? 0 : LARDER_NOMEM;
}

static int
set_origin(const struct conf_option *o, void *base, const char *value,
    char why[CONF_WHY_MAX])
{
	struct conf_site *site = base;
	const char *rest;
	struct bytes host;
	int port;

	(void)o;
	if (strncasecmp(value, "http://", 7) == 0)
		rest = value + 7;
	else if (strncasecmp(value, "https://", 8) == 0)
		rest = value + 8;
	else
		return refuse(why, origin_advice);
	if (strchr(rest, '@') != NULL)
		return refuse(why, "leave user and password out");
	if (strpbrk(rest, "/?#") != NULL)
		return refuse(why, "leave the path out: each request has its "
				   "own; write \"http://host[:port]\"");
	if (split(rest, &host, &port) < 0)
		return refuse(why, origin_advice);
	free(site->origin);
	free(site->origin_host);
	site->origin = strdup(value);
	site->origin_host = lower_copy(host);
	site->origin_tls = rest == value + 8;
	site->origin_port = (uint16_t)(port > 0		  ? port
				       : site->origin_tls ? 443
							  : 80);
	return site->origin && site->origin_host ? 0 : LARDER_NOMEM;
}

static void
put_origin(const struct conf_option *o, const void *base, unsigned i, FILE *out)
{
	const struct conf_site *site = base;

	(void)o;
	(void)i;
	/* It has been read as a URL: nothing in it needs to be escaped. */
	fprintf(out, "\"%s\"", site->origin);
}

const struct conf_type conf_type_origin = {false, set_origin, put_origin, NULL};

/* Exact with port before exact before "*". */
static int
rank(const struct conf_site *site, struct bytes host, uint16_t port)
{
	if (strcmp(site->host, "*") == 0)
		return 1;
	if (!bytes_eq(bytes_str(site->host), host))
		return 0;
	if (site->port == 0)
		return 2;
	return site->port == port ? 3 : 0;
}

const struct conf_site *
conf_site_for(const struct conf *conf, struct bytes host, uint16_t port)
{
	const struct conf_site *best = NULL;
	int best_rank = 0;

	for (unsigned i = 0; i < conf->sites_count; i++) {
		int r = rank(&conf->sites[i], host, port);

		if (r > best_rank) {
			best = &conf->sites[i];
			best_rank = r;
		}
	}
	return best;
}

void
conf_site_release(struct conf_site *site)
{
	free(site->host);
	free(site->origin);
	free(site->origin_host);
}

bool
conf_is_admin_address(const struct conf *conf, const union addr *address)
{
	for (unsigned i = conf->listen_proxies; i < conf->listen_count; i++)
		if (addr_equal(&conf->listen_addr[i], address, true))
			return true;
	return false;
}
