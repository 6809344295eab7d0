#include "admin/ctl_origin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 16384u
#define SECONDS	 5

struct ctl_origin {
	int fd;
	uint16_t port;
	char path[128], body[128];
	_Atomic unsigned asked;
	_Atomic bool ending;
	pthread_t thread;
};

static bool
read_head(int fd, char head[HEAD_MAX])
{
	size_t n = 0;

	head[0] = '\0';
	while (strstr(head, "\r\n\r\n") == NULL) {
		ssize_t got;

		if (n == HEAD_MAX - 1)
			return false;
		got = recv(fd, head + n, HEAD_MAX - 1 - n, 0);
		if (got <= 0)
			return false;
		n += (size_t)got;
		head[n] = '\0';
	}
	return true;
}

static void
answer(struct ctl_origin *o, int fd)
{
	char head[HEAD_MAX], wanted[160], text[512];
	struct timeval patience = {.tv_sec = SECONDS};
	bool ours;
	int n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (!read_head(fd, head))
		return;
	snprintf(wanted, sizeof(wanted), "GET %s HTTP/1.", o->path);
	ours = strncmp(head, wanted, strlen(wanted)) == 0;
	if (ours)
		atomic_fetch_add(&o->asked, 1);
	n = snprintf(text, sizeof(text),
	    "HTTP/1.1 %s\r\nContent-Length: %zu\r\nContent-Type: text/plain\r\n"
	    "Cache-Control: max-age=60\r\nConnection: close\r\n\r\n%s",
	    ours ? "200 OK" : "404 Not Found", ours ? strlen(o->body) : 0,
	    ours ? o->body : "");
	(void)send(fd, text, (size_t)n, MSG_NOSIGNAL);
}

static void *
thread_main(void *arg)
{
	struct ctl_origin *o = arg;

	while (!atomic_load(&o->ending)) {
		int fd = accept4(o->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
			break;
		if (fd < 0)
			continue;
		answer(o, fd);
		close(fd);
	}
	return NULL;
}

static bool
listens(struct ctl_origin *o)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);

	o->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (o->fd < 0 || bind(o->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(o->fd, 8) < 0 ||
	    getsockname(o->fd, (struct sockaddr *)&a, &n) < 0)
		return false;
	o->port = ntohs(a.sin_port);
	return true;
}

struct ctl_origin *
ctl_origin_start(const char *path, const char *body)
{
	struct ctl_origin *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	snprintf(o->path, sizeof(o->path), "%s", path);
	snprintf(o->body, sizeof(o->body), "%s", body);
	if (listens(o) && pthread_create(&o->thread, NULL, thread_main, o) == 0)
		return o;
	if (o->fd >= 0)
		close(o->fd);
	free(o);
	return NULL;
}

uint16_t
ctl_origin_port(const struct ctl_origin *o)
{
	return o->port;
}

unsigned
ctl_origin_asked(const struct ctl_origin *o)
{
	return atomic_load(&o->asked);
}

void
ctl_origin_stop(struct ctl_origin **origin)
{
	struct ctl_origin *o = *origin;

	*origin = NULL;
	if (o == NULL)
		return;
	atomic_store(&o->ending, true);
	/* It wakes accept4(). */
	shutdown(o->fd, SHUT_RDWR);
	pthread_join(o->thread, NULL);
	close(o->fd);
	free(o);
}
