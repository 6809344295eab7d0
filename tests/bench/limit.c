/*
 * The limit: what answering from ready buffers costs when nothing else is done.
 * One thread, epoll, one recv and one send a request, no parsing but for the
 * number in "GET /o/NUMBER". What a server needs beyond this is its own doing.
 *
 *	limit PORT FILE...	answers /o/N with FILE number N
 *
 * Only for benchmarks: it trusts whoever asks, and a request must come whole.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS	 256
#define HEAD_MAX 256
#define FDS_MAX	 16384

struct answer {
	char *bytes; /* head and body */
	size_t n;
};

/* What a connection still has to send: an answer may not fit the socket. */
struct pending {
	const char *p;
	size_t n;
};

static struct answer *answers;
static unsigned long answer_count;
static struct pending pending[FDS_MAX];

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static void
load(const char *path, struct answer *out)
{
	FILE *f = fopen(path, "rb");
	long size;
	int head;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0)
		fail(path);
	rewind(f);
	out->bytes = malloc(HEAD_MAX + (size_t)size);
	if (out->bytes == NULL)
		fail("malloc");
	head = snprintf(out->bytes, HEAD_MAX,
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	    "Cache-Control: max-age=3600\r\nAge: 1\r\n"
	    "Content-Length: %ld\r\n\r\n",
	    size);
	if (fread(out->bytes + head, 1, (size_t)size, f) != (size_t)size)
		fail(path);
	out->n = (size_t)head + (size_t)size;
	fclose(f);
}

static int
listen_on(const char *port)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(fd, 4096) < 0)
		fail("listen");
	return fd;
}

static void
accept_all(int listener, int epoll)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		struct epoll_event e = {
		    .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};

		if (fd >= FDS_MAX) {
			close(fd);
			continue;
		}
		pending[fd] = (struct pending){NULL, 0};
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
	}
}

/* False: the socket takes no more, or is gone. */
static bool
send_pending(int fd)
{
	struct pending *w = &pending[fd];

	while (w->n > 0) {
		ssize_t n = send(fd, w->p, w->n, MSG_NOSIGNAL);

		if (n < 0)
			return false;
		w->p += n;
		w->n -= (size_t)n;
	}
	return true;
}

static void
answer(int fd)
{
	char in[4096];
	ssize_t n;

	if (!send_pending(fd))
		return;
	/* The load waits for an answer before it asks again: one request is
	 * all that can be there. */
	n = recv(fd, in, sizeof(in) - 1, 0);
	if (n == 0)
		close(fd);
	if (n <= 0)
		return;
	in[n] = '\0';
	if (strncmp(in, "GET /o/", 7) == 0) {
		const struct answer *a =
		    &answers[strtoul(in + 7, NULL, 10) % answer_count];

		pending[fd] = (struct pending){a->bytes, a->n};
	}
	send_pending(fd);
}

int
main(int argc, char **argv)
{
	struct epoll_event e = {.events = EPOLLIN}, events[EVENTS];
	int listener, epoll;

	if (argc < 3) {
		fprintf(stderr, "usage: limit PORT FILE...\n");
		return 2;
	}
	answer_count = (unsigned long)argc - 2;
	answers = calloc(answer_count, sizeof(*answers));
	if (answers == NULL)
		fail("calloc");
	for (int i = 2; i < argc; i++)
		load(argv[i], &answers[i - 2]);
	listener = listen_on(argv[1]);
	epoll = epoll_create1(0);
	e.data.fd = listener;
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++)
			if (events[i].data.fd == listener)
				accept_all(listener, epoll);
			else
				answer(events[i].data.fd);
	}
}
