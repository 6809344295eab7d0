#include "proxy/acl.h"
#include "proxy/worker.h"

const char acl_destination_text[] =
    "This proxy may not connect to that address: it is a private one, or the "
    "proxy's own. The rule is access.destinations in larder.conf.";

static bool
contains(const struct cidr *blocks, unsigned count, const union addr *address)
{
	for (unsigned i = 0; i < count; i++)
		if (cidr_contains(&blocks[i], address))
			return true;
	return false;
}

bool
acl_allows_client(const struct conf *conf, const union addr *client)
{
	return client->sa.sa_family == AF_UNIX ||
	       contains(conf->clients, conf->clients_count, client);
}

bool
acl_allows_destination(const struct conf *conf, struct proxy *proxy,
    bool is_site, const union addr *address)
{
	if (proxy_is_self(proxy, address))
		return false;
	return is_site || !addr_is_special(address) ||
	       proxy_is_probe(proxy, address) ||
	       contains(conf->destinations, conf->destinations_count, address);
}

bool
acl_allows_connect_port(const struct conf *conf, uint16_t port)
{
	for (unsigned i = 0; i < conf->connect_ports_count; i++)
		if (conf->connect_ports[i] == port)
			return true;
	return false;
}
