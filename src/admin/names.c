#include "admin/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "larder/err.h"

#define NAMES_MAX  64u
#define NAME_MAX_N 254
#define FILE_MAX   (64u * 1024)

struct names {
	unsigned count;
	char list[NAMES_MAX][NAME_MAX_N];
};

static bool
knows(const struct names *n, struct bytes host)
{
	for (unsigned i = 0; i < n->count; i++)
		if (bytes_ieq(bytes_str(n->list[i]), host))
			return true;
	return false;
}

/* "host", or "host.domain" where domain.n > 0. */
static void
add(struct names *n, struct bytes host, struct bytes domain)
{
	char name[NAME_MAX_N];
	int size = snprintf(name, sizeof(name), "%.*s%s%.*s", BYTES_FMT(host),
	    domain.n ? "." : "", BYTES_FMT(domain));

	while (size > 0 && size < NAME_MAX_N && name[size - 1] == '.')
		name[--size] = '\0';
	if (size <= 0 || size >= NAME_MAX_N || n->count == NAMES_MAX ||
	    knows(n, bytes_str(name)))
		return;
	memcpy(n->list[n->count++], name, (size_t)size + 1);
}

/* The next word of a line, and what is behind it. */
static bool
next_word(struct bytes *line, struct bytes *word)
{
	while (line->n > 0 && (*line->p == ' ' || *line->p == '\t'))
		*line = bytes_skip(*line, 1);
	*word = bytes_of(line->p, 0);
	while (word->n < line->n && strchr(" \t#;", line->p[word->n]) == NULL)
		word->n++;
	*line = bytes_skip(*line, word->n);
	return word->n > 0;
}

static bool
next_line(struct bytes *text, struct bytes *line)
{
	const char *end;

	if (text->n == 0)
		return false;
	end = memchr(text->p, '\n', text->n);
	*line = bytes_of(text->p, end ? (size_t)(end - text->p) : text->n);
	*text = bytes_skip(*text, line->n + (end != NULL));
	return true;
}

/* "search a.example b.example", "domain a.example" */
static void
add_domains(struct names *n, struct bytes machine, struct bytes text)
{
	struct bytes line, word;

	while (next_line(&text, &line)) {
		if (!next_word(&line, &word) ||
		    (!bytes_eq(word, BYTES("search")) &&
			!bytes_eq(word, BYTES("domain"))))
			continue;
		while (next_word(&line, &word))
			if (!bytes_eq(word, BYTES(".")))
				add(n, machine, word);
	}
}

/* "127.0.1.1 full.name name": all of a line that has the machine's. */
static void
add_hosts(struct names *n, struct bytes machine, struct bytes text)
{
	struct bytes line, word, again;

	while (next_line(&text, &line)) {
		bool own = false;

		again = line;
		if (!next_word(&line, &word))
			continue;
		while (next_word(&line, &word))
			own |= bytes_ieq(word, machine);
		if (!own || !next_word(&again, &word))
			continue;
		while (next_word(&again, &word))
			add(n, word, bytes_of(NULL, 0));
	}
}

int
names_make(struct names **out, const char *machine, const char *resolv,
    const char *hosts)
{
	struct names *n = calloc(1, sizeof(*n));
	struct bytes whole = bytes_str(machine), label = whole;
	const char *dot = strchr(machine, '.');

	*out = n;
	if (n == NULL)
		return LARDER_NOMEM;
	add(n, BYTES("localhost"), bytes_of(NULL, 0));
	if (whole.n == 0)
		return 0;
	if (dot)
		label.n = (size_t)(dot - machine);
	add(n, whole, bytes_of(NULL, 0));
	add(n, label, bytes_of(NULL, 0));
	add(n, label, BYTES("local"));
	add_domains(n, label, bytes_str(resolv));
	add_hosts(n, label, bytes_str(hosts));
	add_hosts(n, whole, bytes_str(hosts));
	return 0;
}

/* What there is of it; the caller frees it. NULL: no memory. */
static char *
read_text(const char *path)
{
	char *text = calloc(1, FILE_MAX + 1);
	FILE *in = fopen(path, "re");

	if (in && text)
		text[fread(text, 1, FILE_MAX, in)] = '\0';
	if (in)
		fclose(in);
	return text;
}

int
names_load(struct names **out)
{
	char machine[NAME_MAX_N] = "";
	char *resolv = read_text("/etc/resolv.conf");
	char *hosts = read_text("/etc/hosts");
	int rc = LARDER_NOMEM;

	*out = NULL;
	if (gethostname(machine, sizeof(machine) - 1) < 0)
		machine[0] = '\0';
	if (resolv && hosts)
		rc = names_make(out, machine, resolv, hosts);
	free(resolv);
	free(hosts);
	return rc;
}

void
names_free(struct names **names)
{
	free(*names);
	*names = NULL;
}

bool
names_know(const struct names *n, const struct conf *conf, struct bytes host,
    bool is_address)
{
	if (host.n == 0 || is_address)
		return true;
	if (host.p[host.n - 1] == '.')
		host.n--;
	if (knows(n, host))
		return true;
	for (unsigned i = 0; i < conf->admin_names_count; i++)
		if (bytes_ieq(bytes_str(conf->admin_names[i]), host))
			return true;
	return false;
}
