/*
 * Lines are formatted by the worker and appended to a buffer under a lock; the
 * log's thread swaps the buffer and writes it, some ten times a second at the
 * most. When the disk does not keep up, lines are dropped and counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "larder/check.h"
#include "larder/log.h"
#include "larder/thread.h"
#include "proxy/access.h"

#define LINE_MAX_SIZE 8192
#define BUFFER_MAX    (1024u * 1024)
#define FLUSH_MS      100

struct access_log {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	_Atomic bool wanted;
	_Atomic int format; /* enum conf_log_format */
	/* under the lock */
	char *lines; /* BUFFER_MAX */
	size_t used;
	uint64_t dropped;
	bool reopened; /* the thread is to go on with next_fd */
	int next_fd;   /* -1: no log */
	bool ending;
	/* the thread's own */
	int fd; /* -1: no log */
	char *writing;
};

/* ---- the file --------------------------------------------------------- */

static int
open_file(const char *path, char *why, size_t why_size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	if (fd < 0)
		snprintf(why, why_size,
		    "cannot open the access log %s: %s; make its folder "
		    "writable, or set access_log",
		    path, strerror(errno));
	return fd;
}

static void
write_all(int fd, const char *p, size_t n)
{
	static bool complained;

	while (n > 0) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			if (!complained)
				log_warn("cannot write the access log");
			complained = true;
			return;
		}
		complained = false;
		p += done;
		n -= (size_t)done;
	}
}

/* Swaps the buffers and writes; with the lock held at entry and at return. */
static void
flush(struct access_log *log)
{
	char *full = log->lines;
	size_t n = log->used;
	uint64_t dropped = log->dropped;
	int old = -1;

	log->lines = log->writing;
	log->writing = full;
	log->used = 0;
	log->dropped = 0;
	if (log->reopened) {
		old = log->fd;
		log->fd = log->next_fd;
		log->reopened = false;
	}
	pthread_mutex_unlock(&log->lock);
	if (old >= 0)
		close(old);
	if (log->fd >= 0)
		write_all(log->fd, full, n);
	if (dropped > 0)
		log_warnx("the access log's disk is too slow: %llu lines "
			  "are missing",
		    (unsigned long long)dropped);
	pthread_mutex_lock(&log->lock);
}

static void *
run(void *arg)
{
	struct access_log *log = arg;
	const struct timespec pause = {.tv_nsec = FLUSH_MS * 1000000L};

	pthread_mutex_lock(&log->lock);
	for (;;) {
		while (log->used == 0 && !log->reopened && !log->ending)
			pthread_cond_wait(&log->wake, &log->lock);
		if (!log->ending) {
			/* What comes in the next moment goes with it. */
			pthread_mutex_unlock(&log->lock);
			nanosleep(&pause, NULL);
			pthread_mutex_lock(&log->lock);
		}
		flush(log);
		if (log->ending && log->used == 0)
			break;
	}
	pthread_mutex_unlock(&log->lock);
	return NULL;
}

int
access_log_open(struct access_log **out, const char *path,
    enum conf_log_format format, char *why, size_t why_size)
{
	struct access_log *log = calloc(1, sizeof(*log));

	if (log == NULL)
		goto no_memory;
	log->fd = -1;
	log->format = (int)format;
	log->wanted = path[0] != '\0';
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->wake, NULL);
	log->lines = malloc(BUFFER_MAX);
	log->writing = malloc(BUFFER_MAX);
	if (log->lines == NULL || log->writing == NULL)
		goto no_memory;
	if (path[0] != '\0' && (log->fd = open_file(path, why, why_size)) < 0) {
		free(log->lines);
		free(log->writing);
		free(log);
		return LARDER_IO;
	}
	if (thread_start(&log->thread, "access-log", run, log) != 0)
		goto no_memory;
	*out = log;
	return 0;
no_memory:
	snprintf(why, why_size, "out of memory");
	if (log != NULL) {
		if (log->fd >= 0)
			close(log->fd);
		free(log->lines);
		free(log->writing);
	}
	free(log);
	return LARDER_NOMEM;
}

void
access_log_close(struct access_log **out)
{
	struct access_log *log = *out;

	*out = NULL;
	if (log == NULL)
		return;
	pthread_mutex_lock(&log->lock);
	log->ending = true;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->lock);
	pthread_join(log->thread, NULL);
	if (log->reopened && log->next_fd >= 0)
		close(log->next_fd);
	if (log->fd >= 0)
		close(log->fd);
	pthread_mutex_destroy(&log->lock);
	pthread_cond_destroy(&log->wake);
	free(log->lines);
	free(log->writing);
	free(log);
}

int
access_log_reopen(struct access_log *log, const char *path,
    enum conf_log_format format, char *why, size_t why_size)
{
	int fd = -1;

	if (path[0] != '\0' && (fd = open_file(path, why, why_size)) < 0)
		return LARDER_IO;
	pthread_mutex_lock(&log->lock);
	/* One that the thread has not got to yet is not used at all. */
	if (log->reopened && log->next_fd >= 0)
		close(log->next_fd);
	log->reopened = true;
	log->next_fd = fd;
	log->wanted = fd >= 0;
	log->format = (int)format;
	pthread_cond_signal(&log->wake);
	pthread_mutex_unlock(&log->lock);
	return 0;
}

bool
access_log_wanted(const struct access_log *log)
{
	return atomic_load_explicit(&log->wanted, memory_order_relaxed);
}

void
access_log_write(struct access_log *log, const struct access_record *record)
{
	char line[LINE_MAX_SIZE];
	size_t n = access_format(
	    record, (enum conf_log_format)log->format, line, sizeof(line) - 1);

	line[n++] = '\n';
	pthread_mutex_lock(&log->lock);
	if (log->used + n > BUFFER_MAX) {
		log->dropped++;
	} else {
		if (log->used == 0)
			pthread_cond_signal(&log->wake);
		memcpy(log->lines + log->used, line, n);
		log->used += n;
	}
	pthread_mutex_unlock(&log->lock);
}
