/*
 * The first step: may they, what do they want, and where does it lie?
 */
#include "cache/key.h"
#include "http/list.h"
#include "proxy/acl.h"
#include "proxy/client.h"
#include "proxy/exchange.h"
#include "proxy/policy.h"
#include "proxy/tunnel.h"
#include "proxy/via.h"

#define ALLOWED \
	"Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS, CONNECT\r\n"

/*
 * RFC 9112 9.3. With HTTP/1.0 a proxy keeps no connection: what asks for it may
 * have come through an older proxy that does not know what it passed on (C.2.2)
 * and waits for the end. To the clients of a site larder is the server.
 */
static bool
wants_to_keep(const struct exchange *x)
{
	/* What follows a CONNECT is the tunnel's, and nobody's if there is
	 * none: never a request. */
	if (x->head.method == HTTP_CONNECT ||
	    http_connection_has(&x->head, BYTES("close")))
		return false;
	return x->head.minor >= 1 ||
	       (x->target.form == HTTP_FORM_ORIGIN &&
		   http_connection_has(&x->head, BYTES("keep-alive")));
}

static enum step
deny(struct exchange *x, int status, const char *detail, const char *text)
{
	x->result = RESULT_DENIED;
	return answer_own(x, status, detail, text);
}

/* 0, or 417: only one expectation is known (RFC 9110 10.1.1). */
static bool
understands_expect(struct exchange *x)
{
	const struct http_field *f = http_next(&x->head, HTTP_F_EXPECT, NULL);

	if (f == NULL || x->head.minor < 1)
		return true;
	x->expects = bytes_ieq(f->value, BYTES("100-continue"));
	return x->expects && http_count(&x->head, HTTP_F_EXPECT) == 1;
}

/* Max-Forwards says that the answer is ours (RFC 9110 7.6.2). */
static bool
is_last_hop(const struct exchange *x)
{
	uint64_t n;

	return x->head.method == HTTP_OPTIONS &&
	       bytes_decimal(
		   http_value(&x->head, HTTP_F_MAX_FORWARDS), UINT64_MAX, &n) &&
	       n == 0;
}

/* Of an address of admin_listen nothing else is to be had. */
static enum step
answer_admin(struct exchange *x)
{
	enum step next = STEP_LOOKUP;

	if (x->target.form == HTTP_FORM_ORIGIN)
		next = local_step(x);
	if (next != STEP_LOOKUP)
		return next;
	return answer_own(x, 404, "not-found",
	    "This address has larder's page, and nothing else. The proxy is "
	    "on those of listen in larder.conf. If it is the page that you "
	    "look for: ask for it by address, or put this name into "
	    "admin_names.");
}

static enum step
find_site(struct exchange *x)
{
	enum step next;

	x->site = conf_site_for(x->conf, x->target.host, x->target.port);
	if (x->site != NULL && x->target.host.n > 0)
		return STEP_LOOKUP;
	x->site = NULL;
	next = local_step(x);
	if (next != STEP_LOOKUP)
		return next;
	return answer_own(x, 400, "no-site",
	    "This is larder, a caching proxy. It serves no site of that "
	    "name.\n\n"
	    "To use it as a proxy:\n"
	    "    curl       curl -x http://HOST:PORT URL\n"
	    "    apt        Acquire::http::Proxy \"http://HOST:PORT\";\n"
	    "               in /etc/apt/apt.conf.d/30larder\n"
	    "    the rest   http_proxy=http://HOST:PORT "
	    "https_proxy=http://HOST:PORT\n\n"
	    "What it saves is shown at http://ADDRESS:PORT/, with its address "
	    "or this machine's\nname; by other names once they are in "
	    "admin_names in larder.conf.\n\n"
	    "To serve a site by its name, in larder.conf:\n"
	    "    site \"NAME\" { origin = \"http://ORIGIN\" }");
}

static enum step
check_request(struct exchange *x)
{
	if (!acl_allows_client(x->conf, &x->client->peer))
		return deny(x, 403, "client-refused",
		    "This address may not use this proxy. The rule is "
		    "access.clients in larder.conf.");
	if (!understands_expect(x))
		return answer_own(x, 417, "expect",
		    "The only expectation that is met is 100-continue.");
	if (via_is_loop(&x->head, proxy_id(x->w->proxy)))
		return answer_own(x, 508, "loop",
		    "This request has come through this proxy before. Look "
		    "for a site or a proxy setting that leads back here.");
	if (x->head.method == HTTP_TRACE)
		return answer_plain(
		    x, 405, ALLOWED, BYTES("TRACE is not passed on.\n"));
	return STEP_LOOKUP;
}

enum step
route_step(struct exchange *x)
{
	const struct conf_rule *rule;
	enum step next;

	if (x->tunnel != NULL)
		return STEP_WAIT;
	x->keep = wants_to_keep(x);
	/* RFC 9110 6.5.1 */
	x->takes_trailers =
	    http_list_has(&x->head, HTTP_F_TE, BYTES("trailers"));
	x->key = cache_key(&x->target, &x->arena);
	/* A little less, for policy_key(). */
	if (x->key.p == NULL || x->key.n > STORE_KEY_MAX - 16)
		return answer_own(x, 414, "uri-too-long",
		    "The address is longer than this proxy allows.");
	next = check_request(x);
	if (next != STEP_LOOKUP)
		return next;
	if (x->client->admin)
		return answer_admin(x);
	if (x->head.method == HTTP_CONNECT) {
		x->key = x->head.target;
		return tunnel_start(x);
	}
	if (x->target.form == HTTP_FORM_ASTERISK || is_last_hop(x))
		return answer_plain(x, 200, ALLOWED, bytes_of(NULL, 0));
	if (x->target.form == HTTP_FORM_ORIGIN)
		next = find_site(x);
	if (next == STEP_GONE)
		return next;
	rule = policy_rule(x->conf, x->key);
	x->key = policy_key(x->conf, x->site, rule, &x->target, &x->arena);
	cache_request_init(&x->request, &x->head);
	policy_make(x->conf, x->site, rule, &x->policy);
	if (x->key.p == NULL ||
	    cache_coding_ask(&x->request, &x->policy, false, &x->arena) < 0)
		return answer_own(x, 431, "no-memory",
		    "The request's head is larger than this proxy allows.");
	return next;
}
