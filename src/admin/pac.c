#include "admin/pac.h"

#include <string.h>

/* Names without a dot and private addresses go directly, and so do ports that
 * no tunnel may go to: larder would refuse them. Everything else may go
 * directly where larder does not answer. */
static const char text[] =
    "// larder: for a browser's automatic proxy configuration\n"
    "var LARDER = \"PROXY %s; DIRECT\";\n"
    "var TUNNELS = [%s];\n"
    "\n"
    "function isPrivate(ip) {\n"
    "  var p = ip.split(\".\");\n"
    "  if (ip.indexOf(\":\") >= 0)\n"
    "    return /^\\[?(::1\\]?$|::$|f[cd]|fe[89ab])/i.test(ip);\n"
    "  return p[0] == 0 || p[0] == 10 || p[0] == 127 ||\n"
    "    (p[0] == 100 && p[1] >= 64 && p[1] < 128) ||\n"
    "    (p[0] == 169 && p[1] == 254) ||\n"
    "    (p[0] == 172 && p[1] >= 16 && p[1] < 32) ||\n"
    "    (p[0] == 192 && p[1] == 168);\n"
    "}\n"
    "\n"
    "function isAddress(host) {\n"
    "  return host.indexOf(\":\") >= 0 || /^[0-9.]+$/.test(host);\n"
    "}\n"
    "\n"
    "function FindProxyForURL(url, host) {\n"
    "  var scheme = url.substring(0, url.indexOf(\":\")).toLowerCase();\n"
    "  var port = /^[a-z]+:\\/\\/(?:[^\\/@]*@)?(?:\\[[^\\]]*\\]|[^\\/:]*)"
    ":([0-9]+)/i.exec(url);\n"
    "  var ip;\n"
    "  if (scheme != \"http\" && scheme != \"https\" && scheme != \"ws\" &&\n"
    "      scheme != \"wss\")\n"
    "    return \"DIRECT\";\n"
    "  host = host.toLowerCase();\n"
    "  if (!isAddress(host) && (host.indexOf(\".\") < 0 ||\n"
    "      /\\.(local|localhost)\\.?$/.test(host)))\n"
    "    return \"DIRECT\";\n"
    "  if (scheme != \"http\") {\n"
    "    port = port ? +port[1] : scheme == \"ws\" ? 80 : 443;\n"
    "    if (TUNNELS.indexOf(port) < 0)\n"
    "      return \"DIRECT\";\n"
    "  }\n"
    "  ip = isAddress(host) ? host : dnsResolve(host);\n"
    "  if (ip && isPrivate(ip))\n"
    "    return \"DIRECT\";\n"
    "  return LARDER;\n"
    "}\n";

static bool
is_any(const union addr *a)
{
	return a->sa.sa_family == AF_INET
		   ? a->v4.sin_addr.s_addr == 0
		   : IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

static bool
reaches(const union addr *listening, const union addr *here)
{
	bool dual = listening->sa.sa_family == AF_INET6 &&
		    listening->v6.sin6_flowinfo == ADDR_DUAL;

	if (listening->sa.sa_family == AF_UNIX)
		return false;
	if (dual)
		return true;
	return listening->sa.sa_family == here->sa.sa_family &&
	       (is_any(listening) || addr_equal(listening, here, false));
}

/* A proxy's port at which an address can be reached; 0: none. */
static uint16_t
port_at(const struct conf *conf, const union addr *here)
{
	uint16_t port = 0;

	for (unsigned i = 0; i < conf->listen_proxies; i++) {
		const union addr *l = &conf->listen_addr[i];

		if (!reaches(l, here))
			continue;
		if (addr_port(l) == addr_port(here))
			return addr_port(l);
		if (port == 0)
			port = addr_port(l);
	}
	return port;
}

/* "10.0.0.1:3128", "[fd00::1]:3128" */
static void
write_address(
    const struct conf *conf, const union addr *here, char out[ADDR_TEXT + 8])
{
	union addr a = *here;
	char host[ADDR_TEXT];
	uint16_t port;

	/* A v6 socket for both: what it says of a v4 client. */
	addr_format_host(here, host);
	if (here->sa.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&here->v6.sin6_addr) &&
	    addr_parse_ip(bytes_str(host), addr_port(here), &a) < 0)
		a = *here;
	if (a.sa.sa_family != AF_INET && a.sa.sa_family != AF_INET6) {
		/* A Unix socket: the client is on this machine. */
		addr_parse_ip(BYTES("127.0.0.1"), 0, &a);
		strcpy(host, "127.0.0.1");
	}
	port = port_at(conf, &a);
	if (port == 0)
		for (unsigned i = 0; i < conf->listen_proxies && port == 0; i++)
			if (conf->listen_addr[i].sa.sa_family != AF_UNIX)
				port = addr_port(&conf->listen_addr[i]);
	if (a.sa.sa_family == AF_INET6)
		snprintf(out, ADDR_TEXT + 8, "[%s]:%u", host, port);
	else
		snprintf(out, ADDR_TEXT + 8, "%s:%u", host, port);
}

struct bytes
pac_make(const struct conf *conf, const union addr *here, struct arena *arena)
{
	char address[ADDR_TEXT + 8];
	struct bytes ports = BYTES("");

	write_address(conf, here, address);
	for (unsigned i = 0; i < conf->connect_ports_count; i++) {
		ports = arena_printf(arena, "%.*s%s%u", BYTES_FMT(ports),
		    i ? ", " : "", conf->connect_ports[i]);
		if (ports.p == NULL)
			return ports;
	}
	return arena_printf(arena, text, address, ports.p);
}
