/*
 * Many clients at once on one URL, and when each had what: for benchmarks of
 * large transfers, where what counts is the server. Received bytes are thrown
 * away in the kernel (MSG_TRUNC), so that the load costs next to nothing.
 *
 *	fan PORT PATH CLIENTS ROUNDS [CONNECT-AUTHORITY]
 *
 * Each of CLIENTS connections asks ROUNDS times for PATH, through a tunnel if
 * an authority is given. Prints a line a request: milliseconds since the start
 * to its first and last byte, and the bytes of its body. Exit 1: an answer was
 * not 200, or was short.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS	256
#define HEAD	8192
#define CHUNK	(4u << 20)
#define TIMEOUT 120000

struct client {
	int fd;
	bool tunnelled; /* or none was asked for */
	unsigned rounds;
	char head[HEAD + 1];
	size_t head_size;
	uint64_t size, left; /* of the body; size is set with the head */
	double first;
};

static const char *port, *path, *authority;
static double start;
static unsigned running;

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
fail(const char *what)
{
	fprintf(stderr, "fan: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void
ask(struct client *c)
{
	char request[1024];
	int n;

	if (c->tunnelled)
		n = snprintf(request, sizeof(request),
		    "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", path,
		    port);
	else
		n = snprintf(request, sizeof(request),
		    "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", authority,
		    authority);
	c->head_size = 0;
	c->first = 0;
	if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n)
		fail("send");
}

static void
open_client(struct client *c, int epoll, unsigned rounds)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		fail("connect");
	c->tunnelled = authority == NULL;
	c->rounds = rounds;
}

static void
finish(struct client *c)
{
	printf("%.3f %.3f %llu\n", c->first - start, now() - start,
	    (unsigned long long)c->size);
	if (--c->rounds > 0) {
		ask(c);
		return;
	}
	close(c->fd);
	running--;
}

/* The head has come, and perhaps the beginning of the body. */
static void
on_head(struct client *c, const char *end)
{
	const char *length = strcasestr(c->head, "\r\nContent-Length:");

	if (strncmp(c->head, "HTTP/1.1 200 ", 13) != 0) {
		fprintf(stderr, "fan: %.60s\n", c->head);
		exit(1);
	}
	if (!c->tunnelled) {
		c->tunnelled = true;
		ask(c);
		return;
	}
	if (length == NULL || length > end) {
		fprintf(stderr, "fan: an answer without Content-Length\n");
		exit(1);
	}
	c->size = c->left = strtoull(length + 17, NULL, 10);
	c->left -= c->head_size - (size_t)(end + 4 - c->head);
	c->first = now();
	if (c->left == 0)
		finish(c);
}

static void
on_readable(struct client *c)
{
	ssize_t n;
	char *end;

	if (c->first > 0) {
		n = recv(c->fd, NULL, c->left < CHUNK ? c->left : CHUNK,
		    MSG_TRUNC | MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			fail("a body ended short");
		c->left -= (size_t)n;
		if (c->left == 0)
			finish(c);
		return;
	}
	n = recv(c->fd, c->head + c->head_size, HEAD - c->head_size, 0);
	if (n <= 0)
		fail("a head ended short");
	c->head_size += (size_t)n;
	c->head[c->head_size] = '\0';
	end = strstr(c->head, "\r\n\r\n");
	if (end != NULL)
		on_head(c, end);
	else if (c->head_size == HEAD)
		fail("a head too long");
}

int
main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	struct client *clients;
	int epoll = epoll_create1(0);

	if (argc < 5) {
		fprintf(stderr,
		    "usage: fan PORT PATH CLIENTS ROUNDS [AUTHORITY]\n");
		return 2;
	}
	port = argv[1];
	path = argv[2];
	running = (unsigned)strtoul(argv[3], NULL, 10);
	authority = argc > 5 ? argv[5] : NULL;
	clients = calloc(running, sizeof(*clients));
	if (clients == NULL)
		fail("calloc");
	for (unsigned i = 0; i < running; i++)
		open_client(
		    &clients[i], epoll, (unsigned)strtoul(argv[4], NULL, 10));
	start = now();
	for (unsigned i = 0, n = running; i < n; i++)
		ask(&clients[i]);
	while (running > 0) {
		int n = epoll_wait(epoll, events, EVENTS, TIMEOUT);

		if (n == 0) {
			fprintf(stderr, "fan: nothing moves\n");
			return 1;
		}
		for (int i = 0; i < n; i++)
			on_readable(events[i].data.ptr);
	}
	free(clients);
	return 0;
}
