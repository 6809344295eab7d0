/*
 * The configuration: read from a file by libconfuse, checked whole, then never
 * changed. Threads share one by reference; a reload makes another.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "larder/bytes.h"
#include "larder/log.h"
#include "net/addr.h"

#define CONF_DEFAULT_FILE LARDER_SYSCONFDIR "/larder/larder.conf"

enum conf_log_format { CONF_LOG_SQUID, CONF_LOG_COMBINED, CONF_LOG_JSON };

/* site "host[:port]" { origin = "http[s]://host[:port]" targeted = "..." } */
struct conf_site {
	char *host;   /* lower case, without port; "*": any other */
	int port;     /* 0: whatever the Host said */
	char *origin; /* as written */
	bool origin_tls;
	char *origin_host; /* lower case, v6 without brackets */
	uint16_t origin_port;
	bool targeted;	      /* CDN-Cache-Control is for larder */
	bool strict_cookies;  /* nothing with a cookie is stored, or answered
			       * from the store */
	bool override_fields; /* X-Forwarded-Host and the like pass */
};

/* What a rule may force, as bits; in the words of the fields. */
enum {
	CONF_FORCE_NO_STORE = 1,
	CONF_FORCE_NO_CACHE = 2,
	CONF_FORCE_PRIVATE = 4,
	CONF_FORCE_AUTHORIZATION = 8,
};

/* rule { match = "glob" ... }: the first that matches a key holds. */
struct conf_rule {
	char *match;
	struct bytes literal; /* in match: what a URL must have in it */
	char *file;	      /* where it stands; "": not in a file */
	int line;
	bool never;	   /* not stored, not answered from the store */
	bool revalidate;   /* the origin is asked each time */
	bool immutable;	   /* it never is */
	int64_t min_fresh; /* ms; 0: as the origin says */
	int64_t max_fresh; /* ditto */
	bool ignore_query; /* "?..." is not of the key */
	char **strip;	   /* fields that responses lose */
	unsigned strip_count;
	char **tags; /* what it brings has them, for purge --tag */
	unsigned tags_count;
	unsigned force;
	bool ignore_reload; /* clients' no-cache and max-age do not count */
	bool fetch_whole;   /* behind a range the rest is fetched, too */
	bool compress;	    /* coded anew towards clients and from origins */
};

struct conf {
	char *file;

	char **listen; /* as written */
	union addr *listen_addr;
	unsigned listen_count;
	/* Of these, so many at the front are for clients: the rest are those of
	 * admin_listen, which serve larder's page alone. */
	unsigned listen_proxies;
	char *admin_password; /* "": none */
	char **admin_names;   /* lower case; besides the machine's own */
	unsigned admin_names_count;
	unsigned workers; /* never 0: one a CPU is resolved here */
	char *admin_socket;
	char *access_log; /* "": none */
	enum conf_log_format access_log_format;
	enum log_level log_level;

	char *cache_path;
	uint64_t cache_size, cache_memory, cache_max_object; /* bytes */
	int64_t stale_if_error;				     /* ms */
	int64_t heuristic_max;				     /* ms */
	unsigned heuristic_percent; /* of the time since Last-Modified */

	struct cidr *clients;
	unsigned clients_count;
	struct cidr *destinations;
	unsigned destinations_count;
	uint16_t *connect_ports;
	unsigned connect_ports_count;

	/* ms */
	int64_t header_timeout, idle_timeout, connect_timeout, response_timeout,
	    drain_timeout;

	/* Of requests, in bytes and fields. */
	uint64_t limit_request_line, limit_field, limit_head;
	unsigned limit_fields;
	unsigned max_connections; /* of clients */
	unsigned client_share;	  /* of these, in percent */

	struct conf_site *sites;
	unsigned sites_count;
	struct conf_rule *rules;
	unsigned rules_count;
};

/*
 * Reads and checks. 0: the caller owns one reference. LARDER_INVALID,
 * LARDER_ABSENT, LARDER_ACCESS: nothing is changed, and *why (malloc'ed, the
 * caller frees it) has one line an error: "FILE:LINE: what is wrong; what would
 * have been right". file NULL: the defaults alone.
 */
int conf_load(const char *file, struct conf **out, char **why);

struct conf *conf_ref(struct conf *conf); /* thread-safe */
void conf_unref(struct conf **conf);

/* The effective configuration, every default written out; conf_load() reads it
 * back to the same. */
void conf_print(const struct conf *conf, FILE *out);

/* The site for a Host (lower case) and port: exact with port, exact, "*"; or
 * NULL. */
const struct conf_site *conf_site_for(
    const struct conf *conf, struct bytes host, uint16_t port);

/* Is it one of admin_listen's? */
bool conf_is_admin_address(const struct conf *conf, const union addr *address);

/* "20G", "1.5K"...: an exact number of bytes; "10s", "1d": milliseconds.
 * LARDER_INVALID with *why, a static phrase that says what would be right. */
int conf_parse_size(const char *text, uint64_t *out, const char **why);
int conf_parse_time(const char *text, int64_t *out, const char **why);

#endif
