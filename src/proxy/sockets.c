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

/* One socket a worker: of its own for TCP, the same one for a Unix socket. */
static int
bind_one(struct orders *orders, unsigned count, const union addr *address,
    char *why, size_t why_size)
{
	int first = -1;

	for (unsigned w = 0; w < count; w++) {
		struct orders *o = &orders[w];
		int fd;

		if (address->sa.sa_family == AF_UNIX && first >= 0) {
			fd = dup(first);
			if (fd < 0)
				snprintf(
				    why, why_size, "dup: %s", strerror(errno));
		} else {
			fd = listener_socket(address, why, why_size);
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
	struct orders *orders = calloc(count, sizeof(*orders));

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

		if (a->sa.sa_family == AF_UNIX && !has_address(conf, a))
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
