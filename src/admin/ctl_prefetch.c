/*
 * `prefetch`: URLs through the running daemon's own listener, some at a time,
 * in threads that share one queue.
 */
#include "admin/ctl_command.h"

#include <errno.h>
#include <event2/keyvalq_struct.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "admin/ctl_client.h"
#include "conf/conf.h"
#include "http/target.h"
#include "larder/check.h"

#define JOBS_MAX    64u
#define URL_MAX	    (64u * 1024)
#define HEADERS_MAX 64u
/* Of a list; a million URLs of 100 bytes are 100 MB of memory here. */
#define URLS_MAX    1000000u
#define SECONDS	    300

enum outcome { FETCHED, HIT, NOT_STORED, FAILED, OUTCOMES };

static const struct {
	const char *name; /* in JSON */
	const char *text;
	enum ctl_style style;
} outcomes[] = {
    [FETCHED] = {"fetched", "fetched", CTL_GOOD},
    [HIT] = {"hit", "hit", CTL_GOOD},
    [NOT_STORED] = {"not-stored", "not stored", CTL_WARN},
    [FAILED] = {"failed", "failed", CTL_BAD},
};

struct prefetch {
	struct ctl *ctl;
	char **urls;
	unsigned count, room;
	const char *headers[HEADERS_MAX];
	unsigned headers_count;
	union addr to;
	pthread_mutex_t lock;
	/* under the lock */
	unsigned next, done;
	unsigned by[OUTCOMES];
	uint64_t bytes;
	json_t *list; /* NULL: not wanted */
};

/* ---- one -------------------------------------------------------------- */

static enum outcome
judge(const struct ctl_fetched *f, int rc)
{
	if (rc != 0 || f->status < 200 || f->status >= 400)
		return FAILED;
	if (f->hit)
		return HIT;
	if (f->stored || f->fwd_status == 304 || f->collapsed)
		return FETCHED;
	return NOT_STORED;
}

static void
explain_outcome(const struct ctl_fetched *f, enum outcome outcome, int rc,
    char out[CTL_DETAIL])
{
	const char *text = "";

	if (rc != 0)
		text = f->why;
	else if (outcome == FETCHED && f->fwd_status == 304)
		text = "it still holds";
	else if (outcome == FAILED || outcome == NOT_STORED)
		text = f->detail;
	if (rc == 0 && outcome == NOT_STORED && *text == '\0')
		text = "the origin does not let it be";
	snprintf(out, CTL_DETAIL, "%s", text);
}

/* Under the lock. */
static void
tell(struct prefetch *p, const char *url, const struct ctl_fetched *f,
    enum outcome outcome, int rc)
{
	const struct ctl *ctl = p->ctl;
	bool bad = outcome == FAILED || outcome == NOT_STORED;
	char why[CTL_DETAIL], text[CTL_DETAIL + 16], size[CTL_TEXT];

	explain_outcome(f, outcome, rc, why);
	if (p->list) {
		json_array_append_new(p->list,
		    json_pack("{s:o, s:s, s:i, s:I, s:s?}", "url",
			job_text(bytes_str(url)), "outcome",
			outcomes[outcome].name, "status", f->status, "bytes",
			(json_int_t)f->bytes, "detail", *why ? why : NULL));
		return;
	}
	if (rc == 0 && outcome == FAILED)
		snprintf(text, sizeof(text), "%d%s%s", f->status,
		    *why ? ", " : "", why);
	else
		snprintf(text, sizeof(text), "%s", why);
	if (ctl->quiet && bad) {
		ctl_error("%s: %s%s%s", url, outcomes[outcome].text,
		    *text ? ": " : "", text);
		return;
	}
	if (ctl->quiet)
		return;
	if (ctl_bar_wanted(ctl))
		ctl_bar_clear();
	printf("%s%-10s%s %11s  ", ctl_style(ctl, outcomes[outcome].style),
	    outcomes[outcome].text, ctl_style(ctl, CTL_PLAIN),
	    ctl_size((json_int_t)f->bytes, size));
	ctl_print(url);
	if (*text) {
		fputs("  (", stdout);
		ctl_print(text);
		putchar(')');
	}
	putchar('\n');
	fflush(stdout);
}

/* A named site's URLs are asked of the site, as its clients do. */
static bool
is_of_site(const struct prefetch *p, const char *url)
{
	const struct conf_site *site = NULL;
	struct http_target target;
	struct arena arena;
	const char *why;

	arena_init(&arena, 4 * URL_MAX);
	if (http_target_of_url(bytes_str(url), &arena, &target, &why) == 0)
		site = conf_site_for(p->ctl->conf, target.host, target.port);
	arena_release(&arena);
	return site != NULL &&
	       (p->ctl->as_site || strcmp(site->host, "*") != 0);
}

static void
fetch_one(struct prefetch *p, const char *url)
{
	struct ctl_fetch fetch = {.to = p->to,
	    .url = url,
	    .headers = p->headers,
	    .headers_count = p->headers_count,
	    .as_site = is_of_site(p, url),
	    .seconds = SECONDS};
	struct ctl_fetched got;
	int rc = ctl_client_get(&fetch, &got);
	enum outcome outcome = judge(&got, rc);

	pthread_mutex_lock(&p->lock);
	p->done++;
	p->by[outcome]++;
	p->bytes += got.bytes;
	tell(p, url, &got, outcome, rc);
	if (ctl_bar_wanted(p->ctl) && p->count > 1)
		ctl_bar_draw(
		    "prefetch", &(struct ctl_progress){p->done, p->count});
	pthread_mutex_unlock(&p->lock);
}

static void *
thread_main(void *arg)
{
	struct prefetch *p = arg;

	for (;;) {
		const char *url = NULL;

		pthread_mutex_lock(&p->lock);
		if (p->next < p->count)
			url = p->urls[p->next++];
		pthread_mutex_unlock(&p->lock);
		if (url == NULL)
			return NULL;
		fetch_one(p, url);
	}
}

/* ---- what is to be fetched -------------------------------------------- */

static enum ctl_exit
add_url(struct prefetch *p, const char *url)
{
	if (!ctl_is_url(url))
		return CTL_USAGE;
	if (p->count == URLS_MAX) {
		ctl_error("more than %u URLs; split the list", URLS_MAX);
		return CTL_USAGE;
	}
	if (p->count == p->room) {
		unsigned room = p->room * 2 + 64;
		char **grown = reallocarray(p->urls, room, sizeof(*grown));

		if (grown == NULL)
			goto no_memory;
		p->urls = grown;
		p->room = room;
	}
	p->urls[p->count] = strdup(url);
	if (p->urls[p->count] == NULL)
		goto no_memory;
	p->count++;
	return CTL_DONE;
no_memory:
	ctl_error("out of memory");
	return CTL_FAILED;
}

static enum ctl_exit
read_lines(struct prefetch *p, FILE *in)
{
	enum ctl_exit rc = CTL_DONE;
	char *line = NULL;
	size_t room = 0;
	ssize_t n;

	while (rc == CTL_DONE && (n = getline(&line, &room, in)) >= 0) {
		struct bytes text = {line, (size_t)n};

		if (text.n > URL_MAX) {
			ctl_error("a line of the list is too long");
			rc = CTL_USAGE;
			break;
		}
		while (text.n > 0 && (text.p[text.n - 1] == '\n' ||
					 text.p[text.n - 1] == '\r'))
			text.n--;
		text = bytes_trim(text);
		if (text.n == 0 || text.p[0] == '#')
			continue;
		line[text.p - line + (ssize_t)text.n] = '\0';
		rc = add_url(p, text.p);
	}
	free(line);
	if (rc == CTL_DONE && ferror(in)) {
		ctl_error("the list cannot be read");
		rc = CTL_FAILED;
	}
	return rc;
}

static enum ctl_exit
read_list(struct prefetch *p, const char *file)
{
	enum ctl_exit rc;
	FILE *in;

	if (strcmp(file, "-") == 0)
		return read_lines(p, stdin);
	in = fopen(file, "re");
	if (in == NULL) {
		ctl_error("%s: %s", file, strerrordesc_np(errno));
		return CTL_FAILED;
	}
	rc = read_lines(p, in);
	fclose(in);
	return rc;
}

static enum ctl_exit
collect(struct prefetch *p, int count, char **words, struct evkeyvalq *args)
{
	enum ctl_exit rc = CTL_DONE;

	for (struct evkeyval *a = args->tqh_first; a; a = a->next.tqe_next) {
		if (strcmp(a->key, "header") != 0)
			continue;
		if (p->headers_count == HEADERS_MAX ||
		    strchr(a->value, ':') == NULL) {
			ctl_error("-H '%s': write 'Name: value'", a->value);
			return CTL_USAGE;
		}
		p->headers[p->headers_count++] = a->value;
	}
	for (int i = 0; rc == CTL_DONE && i < count; i++)
		rc = strcmp(words[i], "-") == 0 ? read_list(p, "-")
						: add_url(p, words[i]);
	if (rc == CTL_DONE && p->ctl->list)
		rc = read_list(p, p->ctl->list);
	if (rc == CTL_DONE && p->count == 0 && !p->ctl->list && count == 0) {
		ctl_error("which URLs? --list - reads them from standard "
			  "input");
		rc = CTL_USAGE;
	}
	return rc;
}

static enum ctl_exit
find_listener(struct prefetch *p)
{
	const struct conf *conf = p->ctl->conf;

	if (conf == NULL) {
		ctl_error("with -s, give -c FILE as well: it says where the "
			  "proxy listens");
		return CTL_USAGE;
	}
	p->to = ctl_client_address(&conf->listen_addr[0]);
	return CTL_DONE;
}

/* ---- all -------------------------------------------------------------- */

static void
run_threads(struct prefetch *p)
{
	pthread_t threads[JOBS_MAX];
	unsigned wanted = p->ctl->jobs, started = 0;

	if (wanted > p->count)
		wanted = p->count;
	while (started + 1 < wanted &&
	       pthread_create(&threads[started], NULL, thread_main, p) == 0)
		started++;
	thread_main(p);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
}

static void
summarize(struct prefetch *p)
{
	char size[CTL_TEXT];
	json_t *o;

	if (ctl_bar_wanted(p->ctl))
		ctl_bar_clear();
	if (p->list) {
		o = json_pack("{s:O, s:i, s:i, s:i, s:i, s:I}", "urls", p->list,
		    "fetched", p->by[FETCHED], "hit", p->by[HIT], "not_stored",
		    p->by[NOT_STORED], "failed", p->by[FAILED], "bytes",
		    (json_int_t)p->bytes);
		ctl_print_json(o);
		json_decref(o);
	} else if (!p->ctl->quiet) {
		printf("%u fetched, %u hit%s, %u not stored, %u failed; %s\n",
		    p->by[FETCHED], p->by[HIT], ctl_plural(p->by[HIT]),
		    p->by[NOT_STORED], p->by[FAILED],
		    ctl_size((json_int_t)p->bytes, size));
	}
}

enum ctl_exit
ctl_run_prefetch(struct ctl *ctl, const struct ctl_command *c, int count,
    char **words, struct evkeyvalq *args)
{
	struct prefetch p = {.ctl = ctl, .lock = PTHREAD_MUTEX_INITIALIZER};
	struct evkeyvalq none;
	json_t *answer = NULL;
	enum ctl_exit rc = collect(&p, count, words, args);

	TAILQ_INIT(&none);
	if (rc == CTL_DONE)
		rc = find_listener(&p);
	if (rc == CTL_USAGE)
		rc = ctl_bad_usage(c);
	/* A daemon that is down is told as such, not as so many failures. */
	if (rc == CTL_DONE)
		rc = ctl_ask(ctl, &c->question, &none, &answer);
	json_decref(answer);
	if (rc == CTL_DONE) {
		p.list = ctl->json ? json_array() : NULL;
		run_threads(&p);
		summarize(&p);
		json_decref(p.list);
		if (p.by[FAILED] + p.by[NOT_STORED] > 0)
			rc = CTL_FAILED;
	}
	for (unsigned i = 0; i < p.count; i++)
		free(p.urls[i]);
	free(p.urls);
	return ctl_flush(rc);
}
