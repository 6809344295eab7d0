#include "proxy/local.h"

#include "larder/check.h"
#include "net/conn.h"
#include "proxy/client.h"

static bool
is_address(const struct http_target *target)
{
	union addr a;

	return target->v6 || addr_parse_ip(target->host, 0, &a) == 0;
}

static void
split_query(struct local_request *r, struct bytes path)
{
	const char *query = memchr(path.p, '?', path.n);

	r->path = path;
	r->query = bytes_of(NULL, 0);
	if (query == NULL)
		return;
	r->path.n = (size_t)(query - path.p);
	r->query = bytes_skip(path, r->path.n + 1);
}

/* AF_UNSPEC where the kernel does not say. */
static void
local_address(const struct client *c, union addr *out)
{
	socklen_t n = sizeof(*out);

	*out = (union addr){0};
	if (getsockname(conn_fd(c->conn), &out->sa, &n) < 0)
		*out = (union addr){0};
}

enum step
local_step(struct exchange *x)
{
	const struct local_door *door = proxy_door(x->w->proxy);
	struct own_answer answer = {.status = 200, .fields = ""};
	union addr here;
	struct local_request request = {
	    .head = &x->head,
	    .host = x->target.host,
	    .host_is_address = is_address(&x->target),
	    .has_body = !http_body_done(&x->body),
	    .admin = x->client->admin,
	    .draining = x->w->draining,
	    .here = &here,
	    .conf = x->conf,
	    .arena = &x->arena,
	};
	void *taken = NULL;

	if (door == NULL)
		return STEP_LOOKUP;
	local_address(x->client, &here);
	request.admin_unix = request.admin && here.sa.sa_family == AF_UNIX;
	split_query(&request, x->target.path);
	switch (door->ask(door->arg, &request, &answer, &taken)) {
	case LOCAL_ANSWER:
		return answer_with(x, &answer);
	case LOCAL_TAKE:
		x->status = 200;
		door->take(door->arg, taken, exchange_give_away(x));
		return STEP_GONE;
	case LOCAL_UNKNOWN:
		break;
	}
	return STEP_LOOKUP;
}
