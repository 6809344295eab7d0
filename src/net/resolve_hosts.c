/*
 * /etc/hosts: its text with NULs put behind each name, and an index of the
 * names, sorted: some keep a hundred thousand there.
 */
#include "net/resolve_internal.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is longer is read up to here. */
#define HOSTS_MAX ((size_t)16 * 1024 * 1024)

struct host {
	const char *name; /* in the text, lower case */
	unsigned line;	  /* keeps the file's order among equals */
	bool v6;
	uint8_t ip[16];
};

struct resolve_hosts {
	char *text;
	size_t count, room;
	struct host *host;
};

static int
compare(const void *x, const void *y)
{
	const struct host *a = x, *b = y;
	int order = strcmp(a->name, b->name);

	return order ? order : (a->line > b->line) - (a->line < b->line);
}

static bool
add(struct resolve_hosts *hosts, const struct host *host)
{
	if (hosts->count == hosts->room) {
		size_t room = hosts->room ? hosts->room * 2 : 16;
		struct host *more = realloc(hosts->host, room * sizeof(*more));

		if (more == NULL)
			return false;
		hosts->host = more;
		hosts->room = room;
	}
	hosts->host[hosts->count++] = *host;
	return true;
}

static bool
parse_line(struct resolve_hosts *hosts, char *line, unsigned number)
{
	struct host host = {.line = number};
	char *save, *word;

	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, " \t\r", &save);
	if (word == NULL)
		return true;
	host.v6 = strchr(word, ':') != NULL;
	if (inet_pton(host.v6 ? AF_INET6 : AF_INET, word, host.ip) != 1)
		return true;
	while ((word = strtok_r(NULL, " \t\r", &save))) {
		for (char *p = word; *p; p++)
			*p = bytes_lower(*p);
		host.name = word;
		if (!add(hosts, &host))
			return false;
	}
	return true;
}

static char *
read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t size, got = 0;
	char *text = NULL;
	ssize_t n;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		size = (size_t)st.st_size;
		if (size > HOSTS_MAX)
			size = HOSTS_MAX;
		text = malloc(size + 1);
		while (text && got < size &&
		       (n = read(fd, text + got, size - got)) > 0)
			got += (size_t)n;
		if (text)
			text[got] = '\0';
	}
	close(fd);
	return text;
}

struct resolve_hosts *
resolve_hosts_read(const char *path)
{
	struct resolve_hosts *hosts = calloc(1, sizeof(*hosts));
	char *save, *line;
	unsigned number = 0;

	if (hosts == NULL)
		return NULL;
	hosts->text = read_text(path);
	if (hosts->text == NULL) {
		resolve_hosts_free(&hosts);
		return NULL;
	}
	line = strtok_r(hosts->text, "\n", &save);
	for (; line; line = strtok_r(NULL, "\n", &save))
		if (!parse_line(hosts, line, number++))
			break;
	if (hosts->count)
		qsort(hosts->host, hosts->count, sizeof(*hosts->host), compare);
	return hosts;
}

void
resolve_hosts_free(struct resolve_hosts **out)
{
	struct resolve_hosts *hosts = *out;

	*out = NULL;
	if (hosts == NULL)
		return;
	free(hosts->text);
	free(hosts->host);
	free(hosts);
}

bool
resolve_hosts_find(const struct resolve_hosts *hosts, const char *name,
    struct resolve_ips *out)
{
	size_t low = 0, high = hosts ? hosts->count : 0;
	bool found = false;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(hosts->host[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; hosts && low < hosts->count; low++) {
		const struct host *host = &hosts->host[low];

		if (strcmp(host->name, name) != 0)
			break;
		found = true;
		if (host->v6)
			resolve_ips_add6(out, host->ip);
		else
			resolve_ips_add4(out, host->ip);
	}
	return found;
}
