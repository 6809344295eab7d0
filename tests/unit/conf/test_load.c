#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/option.h"
#include "larder/check.h"
#include "larder/err.h"

static char path[] = "/tmp/larder-conf-XXXXXX";

static int
make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int
remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static int
load_bytes(const char *text, size_t n, struct conf **conf, char **why)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, n, out), n);
	assert_int_equal(fclose(out), 0);
	return conf_load(path, conf, why);
}

static struct conf *
load(const char *text)
{
	struct conf *conf;
	char *why;
	int rc = load_bytes(text, strlen(text), &conf, &why);

	if (rc != 0)
		print_error("%s\n", why);
	assert_int_equal(rc, 0);
	assert_null(why);
	return conf;
}

/* What is said, with the file's name cut off each line. */
static char *
load_wrong(const char *text, size_t n)
{
	struct conf *conf = (void *)path;
	char *why, *out, *to;

	assert_int_equal(load_bytes(text, n, &conf, &why), LARDER_INVALID);
	assert_null(conf);
	assert_non_null(why);
	out = to = calloc(1, strlen(why) + 1);
	for (char *line = why, *next; line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		assert_memory_equal(line, path, strlen(path));
		assert_int_equal(line[strlen(path)], ':');
		to = stpcpy(to, line + strlen(path) + 1);
		if (next)
			*to++ = '\n';
	}
	free(why);
	return out;
}

static void
defaults(void **state)
{
	struct conf *conf;
	char *why;
	union addr a = {.v4 = {.sin_family = AF_INET}};

	(void)state;
	assert_int_equal(conf_load(NULL, &conf, &why), 0);
	assert_null(conf->file);
	assert_int_equal(conf->listen_count, 3);
	assert_string_equal(conf->listen[1], "[::]:3128");
	assert_int_equal(addr_port(&conf->listen_addr[2]), 3142);
	assert_int_equal(conf->listen_proxies, 3);
	assert_int_equal(conf->admin_names_count, 0);
	assert_string_equal(conf->admin_password, "");
	assert_true(conf->workers >= 1);
	assert_string_equal(conf->admin_socket, "/run/larder/admin.sock");
	assert_string_equal(conf->access_log, "/var/log/larder/access.log");
	assert_int_equal(conf->access_log_format, CONF_LOG_SQUID);
	assert_int_equal(conf->log_level, LOG_LEVEL_INFO);
	assert_string_equal(conf->cache_path, "/var/cache/larder");
	assert_true(conf->cache_size == UINT64_C(20) << 30);
	assert_true(conf->cache_memory == UINT64_C(128) << 20);
	assert_true(conf->cache_max_object == UINT64_C(10) << 30);
	assert_true(conf->stale_if_error == 86400000);
	assert_int_equal(conf->clients_count, 7);
	a.v4.sin_addr.s_addr = htonl(0x0a010203);
	assert_true(cidr_contains(&conf->clients[2], &a));
	assert_int_equal(conf->destinations_count, 0);
	assert_int_equal(conf->connect_ports_count, 1);
	assert_int_equal(conf->connect_ports[0], 443);
	assert_true(conf->header_timeout == 10000);
	assert_true(conf->idle_timeout == 60000);
	assert_true(conf->connect_timeout == 10000);
	assert_true(conf->response_timeout == 60000);
	assert_true(conf->drain_timeout == 30000);
	assert_int_equal(conf->sites_count + conf->rules_count, 0);
	conf_unref(&conf);
	assert_null(conf);
}

/* Every option with another value than its default. */
static const char full[] =
    "# comments /* of */ every kind\n"
    "listen = {\"127.0.0.1:8080\", # in a list\n"
    "          \"[::1]:8080\", \"unix:/tmp/l.sock\"} // and behind it\n"
    "admin_listen = {\"127.0.0.1:8081\"} admin_names = {\"Larder.Example\"}\n"
    "admin_password = \"\\${secret\\\"\"\n"
    "workers = 3 /* here\n too */\n"
    "admin_socket = \"/tmp/admin.sock\"\n"
    "access_log = \"\"\n"
    "access_log_format = \"json\"\n"
    "log_level = debug\n"
    "cache { path = \"/tmp/a \\\"b\\\" \\${HOME}\" size = 64M memory = \"0\"\n"
    "  max_object = \"1.5M\" stale_if_error = \"0s\" }\n"
    "access { clients = {\"10.0.0.0/8\"} destinations = {\"192.168.1.1\", "
    "\"fc00::/7\"}\n connect_ports = {443, 8443} }\n"
    "timeouts { header = \"1s\" idle = \"2m\" connect = \"250ms\" "
    "response = \"1h\" drain = \"1d\" }\n"
    "limits { request_line = 8K field = 4K head = 16K fields = 50\n"
    "  max_connections = 100 client_share = 10 }\n"
    "site \"Mirror.Example\" { origin = \"https://Deb.example.org\" }\n"
    "site \"mirror.example:8080\" { origin = \"http://127.0.0.1:8000\" "
    "targeted = \"CDN-Cache-Control\" }\n"
    "site \"[::1]:81\" { origin = \"http://[fc00::2]:82\" }\n"
    "site \"*\" { origin = \"http://other\" }\n"
    "rule { match = \"*/debian/pool/*\" immutable = true }\n"
    "rule { match = \"a/*\" }\n"
    "rule {\n"
    "  match = \"b/*\" min_fresh = 1h max_fresh = \"1d\" ignore_query = true\n"
    "  strip = {\"Set-Cookie\", X-Served-By} tag = \"b\"\n"
    "  force = {\"no-store\", \"authorization\"} }\n"
    "rule { match = \"c/*\" never = true }\n"
    "rule { match = \"d/*\" revalidate = true tag = {d, \"e:1\"} }\n";

static void
every_option(void **state)
{
	struct conf *c = load(full);

	(void)state;
	assert_string_equal(c->file, path);
	assert_int_equal(c->listen_count, 4);
	assert_int_equal(c->listen_proxies, 3);
	assert_true(conf_is_admin_address(c, &c->listen_addr[3]));
	assert_false(conf_is_admin_address(c, &c->listen_addr[2]));
	assert_string_equal(c->admin_names[0], "larder.example");
	assert_string_equal(c->admin_password, "${secret\"");
	assert_string_equal(c->listen[2], "unix:/tmp/l.sock");
	assert_int_equal(c->listen_addr[2].sa.sa_family, AF_UNIX);
	assert_int_equal(c->workers, 3);
	assert_string_equal(c->access_log, "");
	assert_int_equal(c->access_log_format, CONF_LOG_JSON);
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(c->cache_path, "/tmp/a \"b\" ${HOME}");
	assert_true(c->cache_size == 64u << 20);
	assert_true(c->cache_memory == 0);
	assert_true(c->cache_max_object == 1536 * 1024);
	assert_true(c->stale_if_error == 0);
	assert_int_equal(c->clients_count, 1);
	assert_int_equal(c->destinations_count, 2);
	assert_int_equal(c->connect_ports_count, 2);
	assert_int_equal(c->connect_ports[1], 8443);
	assert_true(c->connect_timeout == 250);
	assert_true(c->drain_timeout == 86400000);
	assert_true(c->limit_request_line == 8192 && c->limit_field == 4096);
	assert_true(c->limit_head == 16384);
	assert_int_equal(c->limit_fields, 50);
	assert_int_equal(c->max_connections, 100);
	assert_int_equal(c->client_share, 10);
	assert_int_equal(c->sites_count, 4);
	assert_string_equal(c->sites[0].host, "mirror.example");
	assert_true(c->sites[0].origin_tls);
	assert_string_equal(c->sites[0].origin_host, "deb.example.org");
	assert_int_equal(c->sites[0].origin_port, 443);
	assert_false(c->sites[0].targeted);
	assert_int_equal(c->sites[1].port, 8080);
	assert_true(c->sites[1].targeted);
	assert_int_equal(c->sites[1].origin_port, 8000);
	assert_string_equal(c->sites[2].host, "::1");
	assert_string_equal(c->sites[2].origin_host, "fc00::2");
	assert_int_equal(c->rules_count, 5);
	assert_string_equal(c->rules[0].file, path);
	assert_int_equal(c->rules[1].line - c->rules[0].line, 1);
	assert_int_equal(c->rules[3].line - c->rules[2].line, 4);
	assert_int_equal(c->rules[2].min_fresh, 3600 * 1000);
	assert_int_equal(c->rules[2].max_fresh, 86400 * 1000);
	assert_true(c->rules[2].ignore_query);
	assert_int_equal(c->rules[2].strip_count, 2);
	assert_string_equal(c->rules[2].strip[1], "X-Served-By");
	assert_int_equal(c->rules[2].tags_count, 1);
	assert_string_equal(c->rules[2].tags[0], "b");
	assert_int_equal(
	    c->rules[2].force, CONF_FORCE_NO_STORE | CONF_FORCE_AUTHORIZATION);
	assert_true(c->rules[3].never);
	assert_true(c->rules[4].revalidate);
	assert_string_equal(c->rules[4].tags[1], "e:1");
	assert_int_equal(c->rules[0].min_fresh + c->rules[0].max_fresh, 0);
	assert_string_equal(c->rules[0].match, "*/debian/pool/*");
	assert_true(c->rules[0].immutable);
	assert_false(c->rules[1].immutable);
	conf_unref(&c);
}

static void
printed_reads_back_to_the_same(void **state)
{
	static const char *const texts[] = {"", full};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char *once = NULL, *twice = NULL;
		size_t n;
		struct conf *conf = load(texts[i]);
		FILE *out = open_memstream(&once, &n);

		conf_print(conf, out);
		fclose(out);
		conf_unref(&conf);
		conf = load(once);
		out = open_memstream(&twice, &n);
		conf_print(conf, out);
		fclose(out);
		assert_string_equal(once, twice);
		for (size_t o = 0; o < conf_options_count; o++)
			if (i == 1)
				assert_non_null(
				    strstr(once, conf_options[o].name));
		conf_unref(&conf);
		free(once);
		free(twice);
	}
}

static void
sites_by_host_and_port(void **state)
{
	struct conf *c = load(full);
	const struct conf_site *s;

	(void)state;
	s = conf_site_for(c, BYTES("mirror.example"), 80);
	assert_ptr_equal(s, &c->sites[0]);
	s = conf_site_for(c, BYTES("mirror.example"), 8080);
	assert_ptr_equal(s, &c->sites[1]);
	assert_ptr_equal(conf_site_for(c, BYTES("::1"), 81), &c->sites[2]);
	assert_ptr_equal(conf_site_for(c, BYTES("::1"), 80), &c->sites[3]);
	assert_ptr_equal(conf_site_for(c, BYTES("x"), 80), &c->sites[3]);
	conf_unref(&c);
	c = load("site \"a\" { origin = \"http://b\" }");
	assert_null(conf_site_for(c, BYTES("b"), 80));
	assert_null(conf_site_for(c, BYTES(""), 80));
	conf_unref(&c);
}

static void
lists_replace_and_append(void **state)
{
	struct conf *c = load("access { connect_ports += {8443} "
			      "destinations = {} }");

	(void)state;
	assert_int_equal(c->connect_ports_count, 2);
	assert_int_equal(c->connect_ports[0], 443);
	assert_int_equal(c->connect_ports[1], 8443);
	conf_unref(&c);
	c = load("access { connect_ports = {} }");
	assert_int_equal(c->connect_ports_count, 0);
	conf_unref(&c);
}

static void
a_default_follows_the_budget(void **state)
{
	struct conf *c = load("cache { size = \"1G\" }");

	(void)state;
	assert_true(c->cache_max_object == 1u << 30);
	conf_unref(&c);
}

#define SITE "{ origin = \"http://o\" }"

/* Each is wrong in the way that `says` names, on that line. */
static const struct {
	const char *text, *says;
} wrong[] = {
    {"lisen = {\"1.2.3.4:80\"}",
	"1: unknown option 'lisen'; did you mean 'listen'?"},
    {"\n\nchache { size = 1G }\n",
	"3: unknown option 'chache'; did you mean 'cache'?"},
    {"cache {\n  siez = \"1G\"\n}",
	"2: unknown option 'siez'; did you mean 'size'?"},
    {"size = \"1G\"", "1: unknown option 'size'; write cache { size = ... }"},
    {"cache { workers = 2 }", "1: unknown option 'workers' in cache; write it "
			      "outside of any section"},
    {"zzzzz = 1", "1: unknown option 'zzzzz'; `larderd -n` prints all"},
    {"listen = {\"1.2.3.4:80\",\n\"nonsense\"}",
	"2: listen = \"nonsense\" is "},
    {"listen = {\"127.0.0.1:1\", \"127.0.0.1:1\"}",
	"1: listen = \"127.0.0.1:1\" is wrong; it is in the list already"},
    {"admin_listen = {\"127.0.0.1:1\"} listen = {\"127.0.0.1:1\"}",
	"1: admin_listen = \"127.0.0.1:1\" is wrong; it is in the list "
	"already"},
    {"admin_password = \"short\"", "1: admin_password = \"short\" is wrong; "
				   "write 8 to 128 characters, or \"\""},
    {"admin_names = {\"*\"}", "1: admin_names = \"*\" is wrong; write a host "
			      "name alone, like \"larder.example\""},
    {"\nlisten = {}", "2: listen is empty"},
    {"access { clients = {} }", "1: clients is empty"},
    {"access { clients = {\"10.0.0.0/33\"} }",
	"1: access.clients = \"10.0.0.0/33\" is wrong; "},
    {"access { connect_ports = {0} }", "1: access.connect_ports = \"0\" is "
				       "wrong; write a port from 1 to 65535"},
    {"access { connect_ports = {65536} }", "1: access.connect_ports"},
    {"workers = many", "1: workers = \"many\" is wrong; write a number from 0"},
    {"workers = 5;", "1: workers = \"5;\" is wrong"},
    {"log_level = loud", "1: log_level = \"loud\" is wrong; write \"error\""},
    {"access_log_format = x", "1: access_log_format = \"x\" is wrong; write "
			      "\"squid\", \"combined\" or \"json\""},
    {"admin_socket = \"x.sock\"", "1: admin_socket = \"x.sock\" is wrong; "
				  "write the whole path"},
    {"admin_socket = \"\"", "1: admin_socket = \"\" is wrong"},
    {"cache { path = cache }", "1: cache.path = \"cache\" is wrong; write the"},
    {"cache { size = \"20X\" }", "1: cache.size = \"20X\" is wrong; write a "
				 "number of bytes, or one with K, M, G or T"},
    {"cache { size = 15M }",
	"1: cache.size = \"15M\" is wrong; it must lie between 16M and"},
    {"cache { size = 1G\n max_object = 2G }",
	"2: cache.max_object is larger than cache.size"},
    {"timeouts { idle = 60 }", "1: timeouts.idle = \"60\" is wrong; write a "
			       "number with ms, s, m, h or d"},
    {"timeouts { idle = 0s }", "1: timeouts.idle = \"0s\" is wrong; it must"},
    {"limits { head = 1 }", "1: limits.head = \"1\" is wrong; it must lie"},
    {"limits { head = 1M }", "1: limits.head = \"1M\" is wrong; it must lie"},
    {"limits { request_line = 129K }", "1: limits.request_line = \"129K\""},
    {"limits { field = 0 }", "1: limits.field = \"0\" is wrong; it must lie"},
    {"limits { fields = 7 }", "1: limits.fields = \"7\" is wrong; write a "
			      "number from 8 to 1000"},
    {"limits { max_connections = 0 }",
	"1: limits.max_connections = \"0\" is wrong; write a number from 8 to"},
    {"limits { client_share = 101 }",
	"1: limits.client_share = \"101\" is wrong; write a number from 1 to"},
    {"cache { stale_if_error = 1w }", "1: cache.stale_if_error = \"1w\""},
    {"/* a\n b */ workers = x", "2: workers = \"x\" is wrong"},
    {"workers = 1 # one\nworkers = 2",
	"2: option 'workers' was given on line 1 already"},
    {"listen = {\"1.1.1.1:1\"}\nlisten = {\"1.1.1.1:2\"}",
	"2: option 'listen' was given on line 1 already"},
    {"site \"a\" {\n}", "1: site \"a\" has no 'origin'; add origin = "},
    {"rule {\n immutable = true\n}", "1: rule has no 'match'"},
    {"rule { match = \"\" }", "1: rule.match = \"\" is wrong"},
    {"rule { match = \"a\" immutable = si }",
	"1: rule.immutable = \"si\" is wrong; write true or false"},
    {"site \"a\" " SITE "\nsite \"A\" " SITE,
	"2: site \"A\" was given on line 1 already"},
    {"site \"a\" " SITE "\nsite \"a\" " SITE,
	"2: site \"a\" was given on line 1 already"},
    {"site \"a/b\" " SITE, "1: site \"a/b\" is wrong; write a Host"},
    {"site \"a:0\" " SITE, "1: site \"a:0\" is wrong"},
    {"site \"a\" { origin = \"ftp://x\" }",
	"1: site.origin = \"ftp://x\" is wrong; write \"http://host\""},
    {"site \"a\" { origin = \"http://x/y\" }",
	"1: site.origin = \"http://x/y\" is wrong; leave the path out"},
    {"site \"a\" { origin = \"http://u:p@x\" }", "leave user and password out"},
    {"site \"a\" { origin = \"http://x:99999\" }", "1: site.origin"},
    {"site \"a\" { origin = \"http://x\" targeted = \"Surrogate\" }",
	"1: site.targeted = \"Surrogate\" is wrong; write \"CDN-Cache-Contr"},
    {"site " SITE, "1: missing title for section 'site'; write site \"host\""},
    {"workers 3", "1: missing equal sign after option 'workers'; write NAME ="},
    {"workers\n\nlog_level = info", "1: missing equal sign after option"},
    {"workers = ", "1: premature end of file; the last statement needs"},
    {"workers += 1", "1: attempt to append to non-list option 'workers'"},
    {"workers = }", "1: nothing is open here; remove the '}'"},
    {"cache { size = 1G }\n}", "2: nothing is open here"},
    {"\ncache {\n size = 1G\n", "2: the '{' on this line is not closed"},
    {"\nadmin_socket = \"/tmp/x\n", "2: the string does not end on its line"},
    {"admin_socket = '/tmp/x", "1: the string does not end on its line"},
    {"/* x", "1: the comment does not end"},
    {"rule { match = */x }", "1: '*' cannot stand alone; put the value in"},
    {"cache|size = 1G", "1: '|' cannot stand alone"},
    {"workers = 1+1", "1: '+' cannot stand alone"},
    {"\ninclude(\"no/such\")", "2: /tmp/no/such: No such file or directory"},
    {"include(no)", "1: write include(\"/path/of/a/file\")"},
    {"include \"no\"", "1: write include("},
    {"include(\"\")", "1: write a path without quoting"},
    {"cache {\n include(\"x\") }", "2: include stands in a section"},
    {"rule { match = a min_fresh = 5 }", "1: rule.min_fresh = \"5\" is wrong"},
    {"rule { match = a min_fresh = 5ms }", "1: rule.min_fresh = \"5ms\" is"},
    {"rule { match = a strip = {\"Cache-Control\"} }",
	"1: rule.strip = \"Cache-Control\" is wrong; caching or framing goes "
	"by"},
    {"rule { match = a strip = {\"content-length\"} }", "1: rule.strip"},
    {"rule { match = a strip = {\"Two Words\"} }", "1: rule.strip"},
    {"rule { match = a tag = {\"a b\"} }", "1: rule.tag = \"a b\" is wrong"},
    {"rule { match = a force = {\"all\"} }",
	"1: rule.force = \"all\" is wrong; write \"no-store\", \"no-cache\""},
    {"\nrule { match = a\n never = true immutable = true }",
	"2: this rule has never, and something"},
    {"rule { match = a\n revalidate = true min_fresh = 1h }",
	"1: this rule has revalidate, and a lifetime"},
    {"rule { match = a immutable = true max_fresh = 1h }",
	"1: this rule has immutable and max_fresh"},
    {"rule { match = a min_fresh = 2h max_fresh = 1h }",
	"1: this rule has a min_fresh above its max_fresh"},
};

static void
rules_know_what_a_url_must_have(void **state)
{
	static const char *const rows[][2] = {
	    {"*/debian/pool/*", "/debian/pool/"},
	    {"*", ""},
	    {"a?bc?d", "bc"},
	    {"exact/path", "exact/path"},
	    {"*/repodata/[0-9a-f]*-*-long-behind-it", "/repodata/"},
	    {"[*]abc", ""},
	    {"ab\\\\*cdef", "ab"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[128];
		struct conf *c;

		snprintf(
		    text, sizeof(text), "rule { match = \"%s\" }", rows[i][0]);
		c = load(text);
		if (!bytes_eq(c->rules[0].literal, bytes_str(rows[i][1])))
			fail_msg("%s: %.*s", rows[i][0],
			    BYTES_FMT(c->rules[0].literal));
		conf_unref(&c);
	}
}

/* ---- what a file includes --------------------------------------------- */

static void
write_file(const char *folder, const char *name, const char *text)
{
	char file[256];
	FILE *out;

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	out = fopen(file, "w");
	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static int
load_in(const char *folder, struct conf **conf, char **why)
{
	char file[256];

	snprintf(file, sizeof(file), "%s/main", folder);
	return conf_load(file, conf, why);
}

/* What is said has this, with FOLDER/ before it. */
static void
expect_said(const char *folder, const char *says)
{
	struct conf *conf;
	char *why, expected[512];

	assert_int_equal(load_in(folder, &conf, &why), LARDER_INVALID);
	snprintf(expected, sizeof(expected), "%s/%s", folder, says);
	if (strstr(why, expected) == NULL)
		fail_msg("expected: %s\nsaid: %s", expected, why);
	free(why);
}

static void
files_include_others(void **state)
{
	char folder[] = "/tmp/larder-include-XXXXXX", command[64];
	struct conf *c;
	char *why;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(command, sizeof(command), "mkdir %s/sub", folder);
	assert_int_equal(system(command), 0);
	write_file(folder, "main",
	    "# include(\"not/this\")\n"
	    "rule { match = \"first/*\" }\n"
	    "include(\"sub/one\") workers = 3\n"
	    "rule { match = \"last/*\" }\n");
	/* Relative to the one that says so; without an end of its line. */
	write_file(folder, "sub/one",
	    "\ninclude ( 'two' )\nrule { match = \"one/*\" }");
	write_file(folder, "sub/two", "/* a\nb */ rule { match = \"two/*\" }");
	if (load_in(folder, &c, &why) != 0)
		fail_msg("%s", why);
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->rules_count, 4);
	assert_string_equal(c->rules[1].match, "two/*");
	assert_int_equal(c->rules[1].line, 2);
	assert_non_null(strstr(c->rules[1].file, "/sub/two"));
	assert_int_equal(c->rules[2].line, 3);
	assert_non_null(strstr(c->rules[2].file, "/sub/one"));
	assert_int_equal(c->rules[3].line, 4);
	assert_non_null(strstr(c->rules[3].file, "/main"));
	conf_unref(&c);

	write_file(folder, "sub/two", "\n\nwokers = 1\n");
	expect_said(folder, "sub/two:3: unknown option 'wokers'");
	write_file(folder, "sub/two", "\nworkers = 1\n");
	expect_said(folder, "main:3: option 'workers' was given on line 2 of ");
	write_file(folder, "sub/two", "\ncache {\n");
	expect_said(folder, "sub/two:2: the '{' on this line is not closed");
	write_file(folder, "sub/two", "workers = \"");
	expect_said(folder, "sub/two:1: the string does not end");
	write_file(folder, "sub/two", "include(\"none\")\n");
	expect_said(folder, "sub/two:1: ");
	/* A circle, and a bush. */
	write_file(folder, "sub/two", "\ninclude(\"one\")\n");
	expect_said(folder, "sub/two:2: the includes are nested too deep");
	write_file(folder, "sub/two",
	    "include(\"../main\") include(\"../main\") "
	    "include(\"../main\")\n");
	expect_said(folder, "sub/../sub/../sub/two:1: the includes are nested");
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
}

static void
wrong_ones_say_where_and_what(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		char *said = load_wrong(wrong[i].text, strlen(wrong[i].text));

		if (strstr(said, wrong[i].says) == NULL || strchr(said, '\n'))
			fail_msg("for:\n%s\nexpected: %s\nsaid: %s",
			    wrong[i].text, wrong[i].says, said);
		free(said);
	}
}

static void
all_errors_are_told_in_order(void **state)
{
	const char *text = "wrokers = 1\n"
			   "workers = x\n"
			   "cahce \"t\" { a = {1, {2}} b = \"}\" }\n"
			   "cache { sieze = 1 size = 1 }\n"
			   "timeouts { idle = 5 header = 5 }\n"
			   "log_level = loud\n";
	char *said = load_wrong(text, strlen(text));
	const char *at = said;
	static const char *const parts[] = {"1: unknown option 'wrokers'",
	    "\n2: workers = \"x\"", "\n3: unknown option 'cahce'",
	    "\n4: unknown option 'sieze'", "\n4: cache.size = \"1\"",
	    "\n5: timeouts.idle", "\n5: timeouts.header", "\n6: log_level"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		at = strstr(at, parts[i]);
		if (at == NULL)
			fail_msg("no '%s' in order in:\n%s", parts[i], said);
	}
	free(said);
}

static void
bytes_that_are_no_text(void **state)
{
	static const char nul[] = "workers = 1\n\0workers = 2";
	static const char control[] = "log_level = \"\033[31mx\"\n";
	char *said = load_wrong(nul, sizeof(nul) - 1);

	(void)state;
	assert_string_equal(
	    said, "2: a NUL byte; write the file as plain text");
	free(said);
	said = load_wrong(control, sizeof(control) - 1);
	assert_null(strchr(said, '\033'));
	free(said);
}

static void
no_file(void **state)
{
	struct conf *conf;
	char *why;

	(void)state;
	assert_int_equal(
	    conf_load("/nonexistent/larder.conf", &conf, &why), LARDER_ABSENT);
	assert_null(conf);
	assert_non_null(strstr(why, "/nonexistent/larder.conf: No such file"));
	free(why);
	assert_int_equal(conf_load("/tmp", &conf, &why), LARDER_INVALID);
	assert_non_null(strstr(why, "/tmp: "));
	free(why);
}

static void
an_error_leaves_no_trace(void **state)
{
	char *said = load_wrong("admin_socket = \"/x", 18);
	struct conf *conf;

	(void)state;
	free(said);
	said = load_wrong("workers =", 9);
	free(said);
	conf = load("workers = 2");
	assert_int_equal(conf->workers, 2);
	conf_unref(&conf);
}

static void
references(void **state)
{
	struct conf *a = load(""), *b = conf_ref(a);

	(void)state;
	conf_unref(&a);
	assert_null(a);
	assert_string_equal(b->cache_path, "/var/cache/larder");
	conf_unref(&b);
	conf_unref(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(defaults),
	    cmocka_unit_test(every_option),
	    cmocka_unit_test(printed_reads_back_to_the_same),
	    cmocka_unit_test(sites_by_host_and_port),
	    cmocka_unit_test(lists_replace_and_append),
	    cmocka_unit_test(a_default_follows_the_budget),
	    cmocka_unit_test(rules_know_what_a_url_must_have),
	    cmocka_unit_test(files_include_others),
	    cmocka_unit_test(wrong_ones_say_where_and_what),
	    cmocka_unit_test(all_errors_are_told_in_order),
	    cmocka_unit_test(bytes_that_are_no_text),
	    cmocka_unit_test(no_file),
	    cmocka_unit_test(an_error_leaves_no_trace),
	    cmocka_unit_test(references),
	};

	return cmocka_run_group_tests_name(
	    "conf", tests, make_file, remove_file);
}
