#include "admin/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "larder/bytes.h"
#include "larder/clock.h"
#include "larder/log.h"

#define TEXT_MAX 1024

struct notify {
	int fd;
	struct sockaddr_un to;
	socklen_t to_len;
	int64_t watchdog_ms;
};

/* "/path", or "@name" in the abstract namespace. */
static int
read_socket(struct notify *n, const char *text)
{
	size_t length = strlen(text);

	if ((*text != '/' && *text != '@') || length < 2 ||
	    length >= sizeof(n->to.sun_path)) {
		errno = EINVAL;
		return -1;
	}
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, text, length);
	n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				length + (*text == '/'));
	if (*text == '@')
		n->to.sun_path[0] = '\0';
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return n->fd < 0 ? -1 : 0;
}

/* WATCHDOG_PID tells whom it is for, where it is not for everyone. */
static int64_t
read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t n = 0, who = 0;
	bool ours =
	    pid == NULL || (bytes_decimal(bytes_str(pid), INT32_MAX, &who) &&
			       (pid_t)who == getpid());

	if (usec == NULL || !ours)
		return 0;
	return bytes_decimal(bytes_str(usec), INT64_MAX, &n) ? (int64_t)n / 1000
							     : 0;
}

struct notify *
notify_open(void)
{
	const struct timeval patience = {.tv_sec = 1};
	const char *text = getenv("NOTIFY_SOCKET");
	struct notify *n = NULL;

	if (text && (n = calloc(1, sizeof(*n))) != NULL) {
		n->fd = -1;
		n->watchdog_ms = read_watchdog();
		if (read_socket(n, text) != 0 ||
		    setsockopt(n->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
			sizeof(patience)) != 0) {
			log_warn("NOTIFY_SOCKET %s", text);
			notify_close(&n);
		}
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return n;
}

void
notify_close(struct notify **notify)
{
	struct notify *n = *notify;

	*notify = NULL;
	if (n == NULL)
		return;
	if (n->fd >= 0)
		close(n->fd);
	free(n);
}

void
notify_send(const struct notify *n, const char *format, ...)
{
	char text[TEXT_MAX];
	va_list ap;
	int length;

	if (n == NULL)
		return;
	va_start(ap, format);
	length = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (length < 0)
		return;
	if ((size_t)length >= sizeof(text))
		length = (int)sizeof(text) - 1;
	if (sendto(n->fd, text, (size_t)length, MSG_NOSIGNAL,
		(const struct sockaddr *)&n->to, n->to_len) < 0)
		log_warn("the supervisor was not told '%.40s'", text);
}

void
notify_reloading(const struct notify *n)
{
	notify_send(n, "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)clock_mono_ms() * 1000);
}

int64_t
notify_watchdog_ms(const struct notify *n)
{
	return n ? n->watchdog_ms : 0;
}
