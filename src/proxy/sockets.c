/*
 * Listening sockets of a configuration: all of them are bound before anything
 * changes, or none is.
 */
#include "proxy/sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "larder/err.h"
#include "larder/log.h"
#include "net/inherit.h"
#include "net/listener.h"

static bool
has_address(const struct conf *conf, const union addr *address)
{
	for (unsigned i = 0; conf != NULL && i < conf->listen_count; i++)
		if (addr_equal(&conf->listen_addr[i], address, true))
			return true;
	return false;
}

void
sockets_close(struct orders *orders, unsigned count)
{
	for (unsigned w = 0; w < count; w++) {
		for (unsigned i = 0; i < orders[w].socket_count; i++)
			close(orders[w].sockets[i].fd);
		free(orders[w].sockets);
	}
	free(orders);
}

/* A socket that a supervisor holds and nobody accepts on would let its clients
 * wait for ever. */
static int
check_inherited(const struct conf *conf, char *why, size_t why_size)
{
	const union addr *a;
	char text[ADDR_TEXT];

	for (unsigned i = 0; (a = inherit_address(i)) != NULL; i++) {
		if (has_address(conf, a))
			continue;
		snprintf(why, why_size,
		    "%s was handed over by the supervisor (systemd: "
		    "larder.socket), but listen does not name it; both must "
		    "say the same",
		    addr_format(a, text));
		return LARDER_INVALID;
	}
	return 0;
}

static bool
is_every_v6(const union addr *address)
{
	return address->sa.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

/* One socket a worker: of its own for TCP; the same one for a Unix socket, and
 * for what was handed over. "[::]:port" is no error on a machine without v6:
 * the default configuration has it. */
static int
bind_one(struct orders *orders, unsigned count, const union addr *address,
    char *why, size_t why_size)
{
	int first = -1;

	for (unsigned w = 0; w < count; w++) {
		struct orders *o = &orders[w];
		int fd;

		if (inherit_has(address) ||
		    (address->sa.sa_family == AF_UNIX && first >= 0)) {
			fd = first < 0 ? inherit_dup(address) : dup(first);
			if (fd < 0)
				snprintf(
				    why, why_size, "dup: %s", strerror(errno));
		} else {
			fd = listener_socket(address, why, why_size);
		}
		if (fd < 0 && errno == EAFNOSUPPORT && is_every_v6(address)) {
			log_warnx("%s; it is left out", why);
			return 0;
		}
		if (fd < 0)
			return LARDER_IO;
		first = fd;
		o->sockets[o->socket_count++] =
		    (struct orders_socket){*address, fd};
	}
	return 0;
}

/* Binds what conf has and old has not, for every worker, or nothing. */
int
sockets_bind(struct orders **out, unsigned count, const struct conf *conf,
    const struct conf *old, char *why, size_t why_size)
{
	struct orders *orders;
	int rc = check_inherited(conf, why, why_size);

	if (rc < 0)
		return rc;
	orders = calloc(count, sizeof(*orders));
	for (unsigned w = 0; orders != NULL && w < count; w++) {
		orders[w].sockets =
		    calloc(conf->listen_count, sizeof(*orders->sockets));
		if (orders[w].sockets == NULL) {
			sockets_close(orders, count);
			orders = NULL;
		}
	}
	if (orders == NULL) {
		snprintf(why, why_size, "out of memory");
		return LARDER_NOMEM;
	}
	for (unsigned i = 0; i < conf->listen_count; i++) {
		const union addr *address = &conf->listen_addr[i];
		int err;

		if (has_address(old, address))
			continue;
		err = bind_one(orders, count, address, why, why_size);
		/* Who reaches it may purge: as on admin_socket. */
		if (err == 0 && address->sa.sa_family == AF_UNIX &&
		    conf_is_admin_address(conf, address) &&
		    chmod(address->un.sun_path, 0660) < 0)
			log_warn("%s: chmod", address->un.sun_path);
		if (err < 0) {
			sockets_close(orders, count);
			return err;
		}
	}
	*out = orders;
	return 0;
}

void
sockets_unlink(const struct conf *old, const struct conf *conf)
{
	for (unsigned i = 0; i < old->listen_count; i++) {
		const union addr *a = &old->listen_addr[i];

		if (a->sa.sa_family == AF_UNIX && !has_address(conf, a) &&
		    !inherit_has(a))
			unlink(a->un.sun_path);
	}
}

/* Sockets of an earlier reload that the worker has not taken yet stay. */
void
sockets_add(struct orders *to, struct orders *fresh)
{
	unsigned n = to->socket_count + fresh->socket_count;
	struct orders_socket *both =
	    reallocarray(to->sockets, n + 1, sizeof(*both));

	if (both == NULL) {
		for (unsigned i = 0; i < fresh->socket_count; i++)
			close(fresh->sockets[i].fd);
		log_warnx("a worker does not get new sockets: no memory");
	} else {
		memcpy(both + to->socket_count, fresh->sockets,
		    fresh->socket_count * sizeof(*both));
		to->sockets = both;
		to->socket_count = n;
	}
	free(fresh->sockets);
}
