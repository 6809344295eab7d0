#include "net/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "larder/bytes.h"
#include "larder/err.h"
#include "net/listener.h"

#define FIRST 3
#define MOST  64

/* Written by inherit_take(), before there are threads. */
static union addr addresses[MOST];
static unsigned count;

/* The listening socket's own address, as the configuration would have it. */
static bool
read_address(int fd, union addr *out)
{
	int type = 0, listening = 0, only = 1;
	socklen_t n = sizeof(type), len = sizeof(*out);

	memset(out, 0, sizeof(*out));
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) != 0 ||
	    getsockname(fd, &out->sa, &len) != 0)
		return false;
	if (type != SOCK_STREAM || !listening)
		return false;
	switch (out->sa.sa_family) {
	case AF_UNIX:
		/* Neither unnamed nor abstract. */
		return out->un.sun_path[0] != '\0';
	case AF_INET:
		return true;
	case AF_INET6:
		n = sizeof(only);
		if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) != 0)
			return false;
		if (!only && IN6_IS_ADDR_UNSPECIFIED(&out->v6.sin6_addr))
			out->v6.sin6_flowinfo = ADDR_DUAL;
		return true;
	default:
		return false;
	}
}

static bool
take_one(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || !read_address(fd, &addresses[count]))
		return false;
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
	    fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
	    !listener_tune(fd, &addresses[count]))
		return false;
	count++;
	return true;
}

/* A number in the environment, which is gone then. */
static bool
take_number(const char *name, uint64_t most, uint64_t *out)
{
	const char *text = getenv(name);
	bool good = text && bytes_decimal(bytes_str(text), most, out);

	unsetenv(name);
	return good;
}

int
inherit_take(char *why, size_t why_size)
{
	bool announced = getenv("LISTEN_FDS") != NULL;
	uint64_t pid = 0, n = 0;
	bool ours = take_number("LISTEN_PID", INT32_MAX, &pid) &&
		    (pid_t)pid == getpid();
	bool good = take_number("LISTEN_FDS", MOST, &n);

	unsetenv("LISTEN_FDNAMES");
	count = 0;
	if (!announced || !ours)
		return 0;
	if (!good) {
		snprintf(why, why_size,
		    "LISTEN_FDS is no number of sockets up to %d", MOST);
		return LARDER_INVALID;
	}
	for (int fd = FIRST; fd < FIRST + (int)n; fd++) {
		if (take_one(fd))
			continue;
		snprintf(why, why_size,
		    "descriptor %d, which was handed over, is no listening "
		    "TCP or Unix socket",
		    fd);
		return LARDER_INVALID;
	}
	return 0;
}

const union addr *
inherit_address(unsigned i)
{
	return i < count ? &addresses[i] : NULL;
}

static int
find(const union addr *address)
{
	for (unsigned i = 0; i < count; i++)
		if (addr_equal(&addresses[i], address, true))
			return FIRST + (int)i;
	return -1;
}

bool
inherit_has(const union addr *address)
{
	return find(address) >= 0;
}

int
inherit_dup(const union addr *address)
{
	int fd = find(address);

	if (fd < 0) {
		errno = ENOENT;
		return -1;
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, FIRST);
}
