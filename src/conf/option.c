#include "conf/option.h"

#include <string.h>

#include "larder/check.h"

#define KB  UINT64_C(1024)
#define MB  (1024 * KB)
#define GB  (1024 * MB)
#define TB  (1024 * GB)
#define SEC UINT64_C(1000)
#define DAY (24 * 3600 * SEC)

#define AT(field) .offset = offsetof(struct conf, field)
#define LIST(field)                             \
	.offset = offsetof(struct conf, field), \
	.offset_count = offsetof(struct conf, field##_count)
#define IN_SITE(field) .offset = offsetof(struct conf_site, field)
#define IN_RULE(field) .offset = offsetof(struct conf_rule, field)
#define IN_RULE_LIST(field)                          \
	.offset = offsetof(struct conf_rule, field), \
	.offset_count = offsetof(struct conf_rule, field##_count)

const struct conf_option conf_options[] = {
    {"root", "listen", &conf_type_listen,
	"{\"0.0.0.0:3128\", \"[::]:3128\", \"0.0.0.0:3142\"}",
	.offset = offsetof(struct conf, listen),
	.offset_count = offsetof(struct conf, listen_count),
	.text = "Addresses to accept clients on: \"host:port\", \"[v6]:port\" "
		"or \"unix:/path\"."},
    {"root", "admin_listen", &conf_type_admin_listen, "",
	.offset = offsetof(struct conf, listen), .may_be_empty = true,
	.text = "Addresses that serve larder's page and nothing else; it is "
		"also on those of listen, where no site takes the Host."},
    {"root", "admin_names", &conf_type_names, "", LIST(admin_names),
	.may_be_empty = true,
	.text = "Host names by which the page may be asked for, besides "
		"addresses, localhost and the machine's own."},
    {"root", "admin_password", &conf_type_password, "", AT(admin_password),
	.may_be_empty = true,
	.text = "With it, objects can be purged from the page; \"\": only "
		"over a Unix socket."},
    {"root", "workers", &conf_type_number, "0", 0, 256, AT(workers),
	.text = "Threads that serve requests; 0: one a CPU."},
    {"root", "admin_socket", &conf_type_path, "/run/larder/admin.sock",
	AT(admin_socket), .text = "The Unix socket that larderctl talks to."},
    {"root", "access_log", &conf_type_path, "/var/log/larder/access.log",
	AT(access_log), .may_be_empty = true,
	.text = "One line a request; \"\": none."},
    {"root", "access_log_format", &conf_type_log_format, "squid",
	AT(access_log_format),
	.text = "\"squid\" (its native format), \"combined\" or \"json\"."},
    {"root", "log_level", &conf_type_log_level, "info", AT(log_level),
	.text = "What goes to standard error: \"error\", \"warn\", \"info\" "
		"or \"debug\"."},

    {"cache", "path", &conf_type_path, "/var/cache/larder", AT(cache_path),
	.text = "The folder of the cache."},
    {"cache", "size", &conf_type_size, "20G", 16 * MB, 4096 * TB,
	AT(cache_size),
	.text = "A hard budget on the disk, all files in the folder counted."},
    {"cache", "memory", &conf_type_size, "128M", 0, 64 * TB, AT(cache_memory),
	.text = "The tier in memory; 0: none, but for 1M of what is known of "
		"keys."},
    {"cache", "max_object", &conf_type_size, "10G", 1, 4096 * TB,
	AT(cache_max_object),
	.text = "Longer bodies pass through and are not stored."},
    {"cache", "stale_if_error", &conf_type_time, "1d", 0, 3650 * DAY,
	AT(stale_if_error),
	.text = "How long a stale object may stand in for a failing origin."},
    {"cache", "heuristic_percent", &conf_type_number, "10", 0, 100,
	AT(heuristic_percent),
	.text = "Where an origin gives no lifetime: this share of the time "
		"since Last-Modified."},
    {"cache", "heuristic_max", &conf_type_time, "1d", 0, 3650 * DAY,
	AT(heuristic_max), .text = "But no longer than this."},

    {"access", "clients", &conf_type_cidrs,
	"{\"127.0.0.0/8\", \"::1/128\", \"10.0.0.0/8\", \"172.16.0.0/12\", "
	"\"192.168.0.0/16\", \"fc00::/7\", \"fe80::/10\"}",
	LIST(clients), .text = "Who may use the proxy."},
    {"access", "destinations", &conf_type_cidrs, "", LIST(destinations),
	.may_be_empty = true,
	.text = "Private, loopback and link-local addresses that requests may "
		"go to; public ones always may."},
    {"access", "connect_ports", &conf_type_ports, "{443}", LIST(connect_ports),
	.may_be_empty = true,
	.text = "Ports that CONNECT may open a tunnel to."},

    {"timeouts", "header", &conf_type_time, "10s", SEC, DAY, AT(header_timeout),
	.text = "For a client to send the head of a request."},
    {"timeouts", "idle", &conf_type_time, "60s", SEC, DAY, AT(idle_timeout),
	.text = "For a connection on which nothing moves."},
    {"timeouts", "connect", &conf_type_time, "10s", 100, DAY,
	AT(connect_timeout), .text = "For an origin to accept a connection."},
    {"timeouts", "response", &conf_type_time, "60s", 100, DAY,
	AT(response_timeout), .text = "For an origin to begin its answer."},
    {"timeouts", "drain", &conf_type_time, "30s", 0, DAY, AT(drain_timeout),
	.text = "For what is in flight when the daemon is told to stop."},

    {"limits", "request_line", &conf_type_size, "32K", KB, 128 * KB,
	AT(limit_request_line), .text = "A longer request line is 414."},
    {"limits", "field", &conf_type_size, "32K", KB, 128 * KB, AT(limit_field),
	.text = "A longer field line in a request is 431."},
    {"limits", "head", &conf_type_size, "64K", KB, 128 * KB, AT(limit_head),
	.text = "A longer head of a request is 431."},
    {"limits", "fields", &conf_type_number, "200", 8, 1000, AT(limit_fields),
	.text = "A request with more fields is 431."},
    {"limits", "max_connections", &conf_type_number, "8192", 8, 1000000,
	AT(max_connections),
	.text = "Client connections in all, tunnels counted; fewer where the "
		"limit on open files does not allow them. Beyond it: 503."},
    {"limits", "client_share", &conf_type_number, "25", 1, 100,
	AT(client_share),
	.text = "Percent of these that one client address (of v6: one /64) "
		"may hold. Beyond it: 429."},

    {"site", "origin", &conf_type_origin, NULL, IN_SITE(origin),
	.text = "Where requests for this Host go: \"http[s]://host[:port]\"."},
    {"site", "targeted", &conf_type_targeted, "", IN_SITE(targeted),
	.text = "\"CDN-Cache-Control\": this site's CDN is larder "
		"(RFC 9213)."},
    {"site", "strict_cookies", &conf_type_flag, "false",
	IN_SITE(strict_cookies),
	.text = "Requests with a Cookie are not answered from the store, and "
		"neither their answers nor those with Set-Cookie are stored."},
    {"site", "override_fields", &conf_type_flag, "false",
	IN_SITE(override_fields),
	.text = "Let X-Forwarded-Host, X-Original-URL and the like pass to "
		"this origin; what it answers to them is not stored."},

    {"rule", "match", &conf_type_pattern, NULL, IN_RULE(match),
	.text = "A glob over \"host/path\": * any bytes, ? one, [a-z] a "
		"class."},
    {"rule", "never", &conf_type_flag, "false", IN_RULE(never),
	.text = "What matches is not stored, nor answered from the store."},
    {"rule", "revalidate", &conf_type_flag, "false", IN_RULE(revalidate),
	.text = "The origin is asked each time whether what is stored still "
		"holds, and nothing stale stands in for it."},
    {"rule", "immutable", &conf_type_flag, "false", IN_RULE(immutable),
	.text = "What matches never changes and is not asked about again."},
    {"rule", "min_fresh", &conf_type_time, "", SEC, 3650 * DAY,
	IN_RULE(min_fresh), .may_be_empty = true,
	.text = "A 200 is fresh for this long at least, whatever lifetime the "
		"origin gives it; \"\": as the origin says."},
    {"rule", "max_fresh", &conf_type_time, "", SEC, 3650 * DAY,
	IN_RULE(max_fresh), .may_be_empty = true,
	.text = "Fresh for this long at most; \"\": as the origin says."},
    {"rule", "ignore_query", &conf_type_flag, "false", IN_RULE(ignore_query),
	.text = "URLs that differ behind their \"?\" alone are one. The "
		"origin gets the query of whoever comes first, and all others "
		"get its answer: only for origins that ignore it. Only a 200 "
		"is stored."},
    {"rule", "strip", &conf_type_fields, "", IN_RULE_LIST(strip),
	.may_be_empty = true,
	.text = "Fields that responses lose, in the store and towards "
		"clients; none that caching or framing goes by."},
    {"rule", "tag", &conf_type_tags, "", IN_RULE_LIST(tags),
	.may_be_empty = true,
	.text = "What is stored gets these tags, for larderctl purge --tag."},
    {"rule", "force", &conf_type_force, "", .may_be_empty = true,
	.text = "What the other options of this rule override besides: "
		"\"no-store\", \"no-cache\" and \"private\" of responses, and "
		"\"authorization\": that what a request with credentials got "
		"is for all."},
    {"rule", "ignore_reload", &conf_type_flag, "false", IN_RULE(ignore_reload),
	.text = "A client's reload (no-cache, max-age) is answered from the "
		"store like any other request."},
    {"rule", "fetch_whole", &conf_type_flag, "false", IN_RULE(fetch_whole),
	.text = "When a client asks for a part, the rest is fetched behind "
		"it."},
    {"rule", "compress", &conf_type_flag, "true", IN_RULE(compress),
	.text = "Ask origins for zstd or gzip, and code bodies anew for "
		"clients as they accept it."},
};
const size_t conf_options_count = ARRAY_SIZE(conf_options);

const struct conf_section conf_sections[] = {
    {"root", false, false},
    {"cache", false, false},
    {"access", false, false},
    {"timeouts", false, false},
    {"limits", false, false},
    {"site", true, true},
    {"rule", false, true},
};
const size_t conf_sections_count = ARRAY_SIZE(conf_sections);

const struct conf_option *
conf_option_find(const char *section, const char *name)
{
	for (size_t i = 0; i < conf_options_count; i++) {
		const struct conf_option *o = &conf_options[i];

		if (strcmp(o->section, section) == 0 &&
		    strcmp(o->name, name) == 0)
			return o;
	}
	return NULL;
}
