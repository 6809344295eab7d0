#include "admin/page.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/asset.h"
#include "admin/names.h"
#include "admin/pac.h"
#include "admin/visits.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"
#include "net/loop.h"

/* Between two attempts at the password, whosever they are. */
#define ATTEMPT_MS  1000
#define FIELDS_SIZE 1024
#define NAMES_MS    (60 * 1000)

struct page {
	struct local_door door;
	struct visits *visits;
	pthread_mutex_t lock;
	struct names *names;	 /* under lock */
	struct loop_timer again; /* to read them: the network may come later */
	char *html;
	size_t html_size;
	char fields[FIELDS_SIZE]; /* of the page: PAGE_FIELDS, and its CSP */
	_Atomic int64_t next_attempt; /* clock_mono_ms() */
};

/* ---- the page --------------------------------------------------------- */

/* base64(SHA-256), for Content-Security-Policy. */
static void
hash_of(struct bytes text, char out[64])
{
	unsigned char sum[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)text.p, text.n, sum);
	EVP_EncodeBlock((unsigned char *)out, sum, sizeof(sum));
}

static int
make_html(struct page *p)
{
	static const struct {
		const char *mark;
		struct bytes (*text)(void);
	} parts[] = {{"@STYLE@", asset_css}, {"@SCRIPT@", asset_js}};
	struct bytes rest = asset_html();
	FILE *out = open_memstream(&p->html, &p->html_size);

	if (out == NULL)
		return LARDER_NOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		size_t n = strlen(parts[i].mark);
		const char *at = memmem(rest.p, rest.n, parts[i].mark, n);
		struct bytes text = parts[i].text();

		check(at != NULL);
		fwrite(rest.p, 1, (size_t)(at - rest.p), out);
		fwrite(text.p, 1, text.n, out);
		rest = bytes_skip(rest, (size_t)(at - rest.p) + n);
	}
	fwrite(rest.p, 1, rest.n, out);
	return fclose(out) == 0 ? 0 : LARDER_NOMEM;
}

static void
make_fields(struct page *p)
{
	char style[64], script[64];
	int n;

	hash_of(asset_css(), style);
	hash_of(asset_js(), script);
	n = snprintf(p->fields, sizeof(p->fields),
	    PAGE_FIELDS "Content-Security-Policy: default-src 'none'; "
			"style-src 'sha256-%s'; script-src 'sha256-%s'; "
			"connect-src 'self'; img-src data:; base-uri 'none'; "
			"form-action 'none'; frame-ancestors 'none'\r\n",
	    style, script);
	check(n > 0 && (size_t)n < sizeof(p->fields));
}

/* ---- answered here ---------------------------------------------------- */

static bool
is_apt(const struct local_request *r)
{
	return bytes_starts(
	    http_value(r->head, HTTP_F_USER_AGENT), BYTES("Debian APT-HTTP/"));
}

static enum local_verdict
answer_root(
    struct page *p, const struct local_request *r, struct own_answer *answer)
{
	if (is_apt(r)) {
		*answer = (struct own_answer){
		    .status = 406,
		    .reason = "Usage Information",
		    .fields = PAGE_FIELDS,
		    .body = BYTES("This is larder, a proxy for apt:\n"
				  "    Acquire::http::Proxy "
				  "\"http://HOST:PORT\";\n"),
		};
		return LOCAL_ANSWER;
	}
	answer->type = "text/html; charset=utf-8";
	answer->fields = p->fields;
	answer->body = bytes_of(p->html, p->html_size);
	return LOCAL_ANSWER;
}

static enum local_verdict
answer_health(
    struct page *p, const struct local_request *r, struct own_answer *answer)
{
	(void)p;
	answer->status = r->draining ? 503 : 200;
	answer->fields = PAGE_FIELDS;
	answer->body = r->draining ? BYTES("draining\n") : BYTES("ok\n");
	return LOCAL_ANSWER;
}

static enum local_verdict
answer_pac(
    struct page *p, const struct local_request *r, struct own_answer *answer)
{
	(void)p;
	answer->type = "application/x-ns-proxy-autoconfig";
	answer->fields = "Cache-Control: max-age=3600\r\n"
			 "X-Content-Type-Options: nosniff\r\n";
	answer->body = pac_make(r->conf, r->here, r->arena);
	if (answer->body.p == NULL)
		answer->status = 503;
	return LOCAL_ANSWER;
}

static enum local_verdict
refuse(struct own_answer *answer, int status, const char *fields,
    const char *detail, struct bytes text)
{
	*answer = (struct own_answer){
	    .status = status, .fields = fields, .detail = detail, .body = text};
	return LOCAL_ANSWER;
}

/* ---- answered by the main thread -------------------------------------- */

static struct bytes
field(const struct local_request *r, const char *name)
{
	http_each_field (f, r->head)
		if (bytes_ieq(f->name, bytes_str(name)))
			return f->value;
	return bytes_of(NULL, 0);
}

/* Asked for by somebody else's page? Browsers say so (Fetch Metadata). */
static bool
is_from_elsewhere(const struct local_request *r)
{
	struct bytes site = field(r, "Sec-Fetch-Site");

	return site.n > 0 && !bytes_eq(site, BYTES("same-origin")) &&
	       !bytes_eq(site, BYTES("none"));
}

static enum local_verdict
take(const struct local_request *r, enum visit_kind kind, void **taken,
    struct own_answer *answer)
{
	if (is_from_elsewhere(r))
		return refuse(answer, 403, PAGE_FIELDS, "cross-site",
		    BYTES("Not for other sites' pages.\n"));
	*taken = visit_new(kind, r->head->method == HTTP_HEAD, r->query);
	if (*taken == NULL)
		return refuse(answer, 503, PAGE_FIELDS "Retry-After: 5\r\n",
		    "no-memory", BYTES("There is no memory left.\n"));
	return LOCAL_TAKE;
}

static bool
is_password(const struct conf *conf, struct bytes given)
{
	size_t n = strlen(conf->admin_password);

	return n > 0 && given.n == n &&
	       CRYPTO_memcmp(given.p, conf->admin_password, n) == 0;
}

/*
 * No cookie and nothing else that a browser adds by itself lets anybody in: so
 * another site's page can do nothing with it (CSRF). It may not even ask: the
 * field X-Larder needs a permission (CORS) that is never given.
 */
static enum local_verdict
answer_purge(struct page *p, const struct local_request *r,
    struct own_answer *answer, void **taken)
{
	struct bytes authorization = http_value(r->head, HTTP_F_AUTHORIZATION);
	int64_t now = clock_mono_ms(), next = atomic_load(&p->next_attempt);

	if (r->has_body || field(r, "X-Larder").n == 0)
		return refuse(answer, 400, PAGE_FIELDS, "purge",
		    BYTES("Write what to purge into the query, send no body, "
			  "and the field \"X-Larder: purge\".\n"));
	if (r->admin_unix)
		return take(r, VISIT_PURGE, taken, answer);
	if (r->conf->admin_password[0] == '\0')
		return refuse(answer, 403, PAGE_FIELDS, "purge",
		    BYTES("Purging from here needs admin_password in "
			  "larder.conf; larderctl purge does not.\n"));
	/* One attempt at a time, so that guessing takes its time. */
	if (now < next || !atomic_compare_exchange_strong(
			      &p->next_attempt, &next, now + ATTEMPT_MS))
		return refuse(answer, 429, PAGE_FIELDS "Retry-After: 1\r\n",
		    "purge", BYTES("One at a time: try again in a second.\n"));
	if (!bytes_starts(authorization, BYTES("Bearer ")) ||
	    !is_password(r->conf, bytes_skip(authorization, 7)))
		return refuse(answer, 401,
		    PAGE_FIELDS "WWW-Authenticate: Bearer realm=\"larder\"\r\n",
		    "purge", BYTES("This is not admin_password.\n"));
	/* Who knows it need not wait. */
	atomic_store(&p->next_attempt, now);
	return take(r, VISIT_PURGE, taken, answer);
}

/* ---- the door --------------------------------------------------------- */

static const struct route {
	const char *path;
	enum local_verdict (*answer)(struct page *p,
	    const struct local_request *r, struct own_answer *answer);
	enum visit_kind visit; /* with answer NULL */
	bool post;
	bool open; /* there is nothing in it: any name will do */
} routes[] = {
    {"/", .answer = answer_root},
    {"/api/stats", .visit = VISIT_STATS},
    {"/api/events", .visit = VISIT_EVENTS},
    {"/api/purge", .visit = VISIT_PURGE, .post = true},
    {"/metrics", .visit = VISIT_METRICS},
    {"/healthz", .answer = answer_health, .open = true},
    {"/proxy.pac", .answer = answer_pac, .open = true},
    {"/wpad.dat", .answer = answer_pac, .open = true},
};

static const struct route *
find_route(struct bytes path)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (bytes_eq(path, bytes_str(routes[i].path)))
			return &routes[i];
	return NULL;
}

static bool
is_ours(struct page *p, const struct local_request *r)
{
	bool known;

	pthread_mutex_lock(&p->lock);
	known = names_know(p->names, r->conf, r->host, r->host_is_address);
	pthread_mutex_unlock(&p->lock);
	return known;
}

static enum local_verdict
ask(void *arg, const struct local_request *r, struct own_answer *answer,
    void **taken)
{
	struct page *p = arg;
	const struct route *route = find_route(r->path);
	bool get = r->head->method == HTTP_GET || r->head->method == HTTP_HEAD;

	if (route == NULL)
		return LOCAL_UNKNOWN;
	/* auto-apt-proxy asks by address, or by a name that it was given. */
	if (!route->open && !(route->answer == answer_root && is_apt(r)) &&
	    !is_ours(p, r))
		return LOCAL_UNKNOWN;
	if (route->post ? r->head->method != HTTP_POST : !get)
		return refuse(answer, 405,
		    route->post ? PAGE_FIELDS "Allow: POST\r\n"
				: PAGE_FIELDS "Allow: GET, HEAD\r\n",
		    NULL,
		    route->post ? BYTES("Use POST.\n") : BYTES("Use GET.\n"));
	if (route->post)
		return answer_purge(p, r, answer, taken);
	if (route->answer)
		return route->answer(p, r, answer);
	if (r->has_body)
		return refuse(
		    answer, 400, PAGE_FIELDS, NULL, BYTES("Send no body.\n"));
	return take(r, route->visit, taken, answer);
}

static void
on_take(void *arg, void *taken, int fd)
{
	struct page *p = arg;
	struct visit *visit = taken;

	visits_receive(p->visits, &visit, fd);
}

const struct local_door *
page_door(const struct page *p)
{
	return &p->door;
}

static void
on_again(void *arg)
{
	struct page *p = arg;
	struct names *old, *fresh;

	if (names_load(&fresh) == 0) {
		pthread_mutex_lock(&p->lock);
		old = p->names;
		p->names = fresh;
		pthread_mutex_unlock(&p->lock);
		names_free(&old);
	}
	loop_timer_start(&p->again, NAMES_MS);
}

int
page_open(struct page **out, struct loop *loop, struct visits *visits)
{
	struct page *p = calloc(1, sizeof(*p));

	*out = NULL;
	if (p == NULL)
		return LARDER_NOMEM;
	pthread_mutex_init(&p->lock, NULL);
	loop_timer_init(&p->again, loop, on_again, p);
	p->visits = visits;
	p->door = (struct local_door){ask, on_take, p};
	make_fields(p);
	if (make_html(p) < 0 || names_load(&p->names) < 0) {
		page_free(&p);
		return LARDER_NOMEM;
	}
	loop_timer_start(&p->again, NAMES_MS);
	*out = p;
	return 0;
}

void
page_free(struct page **page)
{
	struct page *p = *page;

	*page = NULL;
	if (p == NULL)
		return;
	loop_timer_release(&p->again);
	pthread_mutex_destroy(&p->lock);
	names_free(&p->names);
	free(p->html);
	free(p);
}
