/*
 * The client's side of the admin server: one request of HTTP/1.0, blocking.
 */
#include "admin/ctl.h"

#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/socket.h"
#include "larder/bytes.h"
#include "larder/err.h"

#define PROMPT_SECONDS 10
#define BAR_MS	       200

/* "a=1&b=2", escaped; the caller frees it. */
static char *
form_of(struct evkeyvalq *args)
{
	char *out = NULL;
	size_t n = 0;
	FILE *stream = open_memstream(&out, &n);

	if (stream == NULL)
		return NULL;
	for (struct evkeyval *a = args->tqh_first; a; a = a->next.tqe_next) {
		char *value = evhttp_uriencode(a->value, -1, 0);

		fprintf(stream, "%s%s=%s", a == args->tqh_first ? "" : "&",
		    a->key, value ? value : "");
		free(value);
	}
	if (fclose(stream) == 0)
		return out;
	free(out);
	return NULL;
}

static char *
request_of(const struct ctl_question *q, struct evkeyvalq *args)
{
	char *form = form_of(args), *text = NULL;

	if (form == NULL)
		return NULL;
	if (q->post
		? asprintf(&text,
		      "POST %s HTTP/1.0\r\nHost: larder\r\n"
		      "Content-Type: application/x-www-form-urlencoded\r\n"
		      "Content-Length: %zu\r\n\r\n%s",
		      q->path, strlen(form), form) < 0
		: asprintf(&text, "GET %s%s%s HTTP/1.0\r\nHost: larder\r\n\r\n",
		      q->path, *form ? "?" : "", form) < 0)
		text = NULL;
	free(form);
	return text;
}

static int
send_all(int fd, const char *text)
{
	size_t n = strlen(text);

	while (n > 0) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EPIPE ? LARDER_CLOSED : LARDER_IO;
		text += sent;
		n -= (size_t)sent;
	}
	return 0;
}

/* What takes long, drawn until the answer comes. */
static void
show_progress(const struct ctl *ctl, int fd, const char *doing)
{
	static const struct ctl_question progress = {
	    "/progress", .prompt = true};
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	bool drawn = false;

	while (poll(&poller, 1, BAR_MS) == 0) {
		struct evkeyvalq none;
		json_t *answer = NULL;
		int status;

		TAILQ_INIT(&none);
		if (ctl_http(ctl, &progress, &none, &status, &answer) == 0) {
			const json_t *p = json_object_get(answer, doing);

			ctl_bar_draw(doing, &(struct ctl_progress){
						(uint64_t)ctl_number(p, "done"),
						(uint64_t)ctl_number(p, "of")});
			drawn = true;
		}
		json_decref(answer);
	}
	if (drawn)
		ctl_bar_clear();
}

/* All that comes until the end, with a NUL behind it. */
static int
receive_all(int fd, char **out, size_t *size)
{
	size_t room = 0, n = 0;
	ssize_t got;

	*out = NULL;
	do {
		if (room - n < 2) {
			char *grown = realloc(*out, room * 2 + 65536);

			if (grown == NULL)
				return LARDER_NOMEM;
			*out = grown;
			room = room * 2 + 65536;
		}
		got = recv(fd, *out + n, room - n - 1, 0);
		if (got > 0)
			n += (size_t)got;
	} while (got > 0 || (got < 0 && errno == EINTR));
	(*out)[n] = '\0';
	*size = n;
	if (got < 0)
		return errno == EAGAIN	     ? LARDER_TIMEOUT
		       : errno == ECONNRESET ? LARDER_CLOSED
					     : LARDER_IO;
	return 0;
}

static int
take_apart(const char *text, size_t n, int *status, json_t **out)
{
	const char *body = memmem(text, n, "\r\n\r\n", 4);

	if (body == NULL || sscanf(text, "HTTP/1.%*d %d", status) != 1)
		return LARDER_CLOSED;
	*out = json_loads(body + 4, 0, NULL);
	return *out ? 0 : LARDER_CLOSED;
}

int
ctl_http(const struct ctl *ctl, const struct ctl_question *question,
    struct evkeyvalq *args, int *status, json_t **out)
{
	struct timeval patience = {.tv_sec = PROMPT_SECONDS};
	char *text = NULL;
	size_t n = 0;
	int fd, rc = socket_connect(ctl->socket, &fd);

	*out = NULL;
	if (rc != 0)
		return rc;
	if (question->prompt)
		setsockopt(
		    fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	text = request_of(question, args);
	rc = text ? send_all(fd, text) : LARDER_NOMEM;
	free(text);
	text = NULL;
	if (rc == 0 && question->doing && ctl_bar_wanted(ctl))
		show_progress(ctl, fd, question->doing);
	if (rc == 0)
		rc = receive_all(fd, &text, &n);
	if (rc == 0)
		rc = take_apart(text, n, status, out);
	free(text);
	close(fd);
	return rc;
}
