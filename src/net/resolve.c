/*
 * A request is answered, in this order: as a numeric address, as localhost,
 * from /etc/hosts, from the cache, by a query that is under way, by a new one.
 *
 * The cache is a table of fixed size, one name a slot: a newcomer takes the
 * slot's place. It is emptied when resolv.conf or hosts change.
 */
#include "net/resolve.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "larder/err.h"
#include "larder/log.h"
#include "net/resolve_internal.h"

#define CACHE_SLOTS 1024u
#define TTL_MIN	    5 /* seconds */
#define TTL_MAX	    300
#define FAILURE_MS  3000
#define REFRESH_MS  1000

struct resolve_entry {
	int64_t expires; /* loop_mono_ms() */
	int err;
	struct resolve_ips ips;
	char name[]; /* NUL-terminated */
};

/* ---- names ------------------------------------------------------------ */

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_';
}

/*
 * All digits, or 0x and hexadecimal digits: what inet_aton() and browsers
 * would read as (the end of) an address, and we never do.
 */
static bool
is_number(const char *label, size_t n)
{
	size_t i = 0;

	if (n >= 2 && label[0] == '0' && label[1] == 'x') {
		for (i = 2; i < n; i++)
			if (!strchr("0123456789abcdef", label[i]))
				return false;
		return true;
	}
	while (i < n && label[i] >= '0' && label[i] <= '9')
		i++;
	return i == n;
}

/* Into lower case and without the root's dot. False: no host name. */
static bool
normalize(struct bytes host, char out[RESOLVE_NAME])
{
	size_t label = 0;

	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n == 0 || host.n > 253)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		out[i] = bytes_lower(host.p[i]);
		if (out[i] == '.') {
			if (i == label || i - label > 63)
				return false;
			label = i + 1;
		} else if (!is_name_char(out[i])) {
			return false;
		}
	}
	out[host.n] = '\0';
	return host.n > label && host.n - label <= 63 &&
	       !is_number(out + label, host.n - label);
}

static bool
is_localhost(const char *name)
{
	const char *end = strrchr(name, '.');

	return strcmp(end ? end + 1 : name, "localhost") == 0;
}

/* ---- addresses -------------------------------------------------------- */

void
resolve_ips_add4(struct resolve_ips *ips, const void *v4)
{
	for (unsigned i = 0; i < ips->n4; i++)
		if (memcmp(ips->v4[i], v4, 4) == 0)
			return;
	if (ips->n4 < RESOLVE_MAX)
		memcpy(ips->v4[ips->n4++], v4, 4);
}

void
resolve_ips_add6(struct resolve_ips *ips, const void *v6)
{
	static const uint8_t mapped[12] = {
	    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (memcmp(v6, mapped, 12) == 0) {
		resolve_ips_add4(ips, (const uint8_t *)v6 + 12);
		return;
	}
	for (unsigned i = 0; i < ips->n6; i++)
		if (memcmp(ips->v6[i], v6, 16) == 0)
			return;
	if (ips->n6 < RESOLVE_MAX)
		memcpy(ips->v6[ips->n6++], v6, 16);
}

static void
add_v4(struct resolve_answer *answer, const uint8_t *ip, uint16_t port)
{
	struct sockaddr_in *v4 = &answer->addr[answer->count++].v4;

	memset(v4, 0, sizeof(union addr));
	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	memcpy(&v4->sin_addr, ip, 4);
}

static void
add_v6(struct resolve_answer *answer, const uint8_t *ip, uint16_t port)
{
	struct sockaddr_in6 *v6 = &answer->addr[answer->count++].v6;

	memset(v6, 0, sizeof(union addr));
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	memcpy(&v6->sin6_addr, ip, 16);
}

static void
interleave(
    const struct resolve_ips *ips, uint16_t port, struct resolve_answer *answer)
{
	answer->count = 0;
	for (unsigned i = 0; i < RESOLVE_MAX; i++) {
		if (i < ips->n6 && answer->count < RESOLVE_MAX)
			add_v6(answer, ips->v6[i], port);
		if (i < ips->n4 && answer->count < RESOLVE_MAX)
			add_v4(answer, ips->v4[i], port);
	}
}

/* ---- the cache -------------------------------------------------------- */

static struct resolve_entry **
slot_of(struct resolver *r, const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a: a collision only costs */

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return &r->cache[(hash ^ hash >> 16) % CACHE_SLOTS];
}

void
resolve_cache_put(struct resolver *r, const char *name, int err,
    const struct resolve_ips *ips, int ttl)
{
	struct resolve_entry **slot = slot_of(r, name);
	size_t n = strlen(name) + 1;
	struct resolve_entry *entry = malloc(sizeof(*entry) + n);

	if (entry == NULL)
		return;
	if (ttl < TTL_MIN)
		ttl = TTL_MIN;
	if (ttl > TTL_MAX)
		ttl = TTL_MAX;
	entry->expires =
	    loop_mono_ms(r->loop) + (err ? FAILURE_MS : ttl * 1000);
	entry->err = err;
	entry->ips = *ips;
	memcpy(entry->name, name, n);
	free(*slot);
	*slot = entry;
}

static const struct resolve_entry *
cache_find(struct resolver *r, const char *name)
{
	const struct resolve_entry *entry = *slot_of(r, name);

	if (entry && strcmp(entry->name, name) == 0 &&
	    loop_mono_ms(r->loop) < entry->expires)
		return entry;
	return NULL;
}

static void
cache_clear(struct resolver *r)
{
	for (unsigned i = 0; i < CACHE_SLOTS; i++) {
		free(r->cache[i]);
		r->cache[i] = NULL;
	}
}

/* ---- the files -------------------------------------------------------- */

bool
resolve_file_changed(struct resolve_file *file)
{
	struct stat st;
	bool changed;

	/* One that is not there is all zeros. */
	if (stat(file->path, &st) != 0)
		memset(&st, 0, sizeof(st));
	changed = !file->known || st.st_ino != file->st.st_ino ||
		  st.st_dev != file->st.st_dev ||
		  st.st_size != file->st.st_size ||
		  st.st_mtim.tv_sec != file->st.st_mtim.tv_sec ||
		  st.st_mtim.tv_nsec != file->st.st_mtim.tv_nsec;
	file->st = st;
	file->known = true;
	return changed;
}

static void
free_unused(struct resolver *r)
{
	list_each_safe (node, &r->retired) {
		struct resolve_dns *dns =
		    container_of(node, struct resolve_dns, node);

		if (list_empty(&dns->questions))
			resolve_dns_free(&dns);
	}
}

static void
use_new_conf(struct resolver *r)
{
	if (r->dns)
		list_append(&r->retired, &r->dns->node);
	r->dns = resolve_dns_new(r->loop, r->conf_file.path);
	if (r->dns == NULL)
		log_debug("%s names no server: the system's resolver is asked",
		    r->conf_file.path);
}

void
resolve_refresh(struct resolver *r)
{
	int64_t now = loop_mono_ms(r->loop);
	bool first = r->checked == 0;

	if (!first && now - r->checked < REFRESH_MS)
		return;
	r->checked = now;
	free_unused(r);
	if (resolve_file_changed(&r->hosts_file)) {
		resolve_hosts_free(&r->hosts);
		r->hosts = resolve_hosts_read(r->hosts_file.path);
		cache_clear(r);
	}
	if (resolve_file_changed(&r->conf_file)) {
		if (!first)
			log_debug("%s has changed", r->conf_file.path);
		use_new_conf(r);
		cache_clear(r);
	}
}

/* ---- the resolver ----------------------------------------------------- */

int
resolver_new(struct resolver **out, struct loop *loop)
{
	const struct resolver_options defaults = {0};

	return resolver_new_with(out, loop, &defaults);
}

int
resolver_new_with(struct resolver **out, struct loop *loop,
    const struct resolver_options *options)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int err;

	*out = NULL;
	if (r == NULL)
		return LARDER_NOMEM;
	r->loop = loop;
	r->system = options->system ? options->system : getaddrinfo;
	r->conf_file.path =
	    options->resolv_conf ? options->resolv_conf : "/etc/resolv.conf";
	r->hosts_file.path = options->hosts ? options->hosts : "/etc/hosts";
	list_init(&r->retired);
	list_init(&r->queries);
	r->cache = calloc(CACHE_SLOTS, sizeof(struct resolve_entry *));
	err = r->cache ? mailbox_new(&r->box, loop) : LARDER_NOMEM;
	if (err) {
		free(r->cache);
		free(r);
		return err;
	}
	*out = r;
	return 0;
}

void
resolver_free(struct resolver **out)
{
	struct resolver *r = *out;

	*out = NULL;
	if (r == NULL)
		return;
	list_each_safe (node, &r->queries) {
		struct resolve_query *query =
		    container_of(node, struct resolve_query, node);

		check(list_empty(&query->waiters));
		/* resolve_dns_free() has them: a cancelled request would wait
		 * for a turn of the loop that does not come. */
		query->question[0] = query->question[1] = NULL;
		resolve_query_drop(query);
	}
	resolve_dns_free(&r->dns);
	list_each_safe (node, &r->retired) {
		struct resolve_dns *dns =
		    container_of(node, struct resolve_dns, node);

		resolve_dns_free(&dns);
	}
	mailbox_free(&r->box);
	resolve_hosts_free(&r->hosts);
	cache_clear(r);
	free(r->cache);
	free(r);
}

/* ---- requests --------------------------------------------------------- */

/* Without asking anybody: 0, an error, or LARDER_AGAIN. */
static int
answer_now(struct resolver *r, const char *name, struct resolve_ips *ips)
{
	static const uint8_t loop4[4] = {127, 0, 0, 1}, loop6[16] = {[15] = 1};
	const struct resolve_entry *entry;

	memset(ips, 0, sizeof(*ips));
	/* RFC 6761 6.3 */
	if (is_localhost(name)) {
		resolve_ips_add6(ips, loop6);
		resolve_ips_add4(ips, loop4);
		return 0;
	}
	if (resolve_hosts_find(r->hosts, name, ips))
		return 0;
	entry = cache_find(r, name);
	if (entry == NULL)
		return LARDER_AGAIN;
	*ips = entry->ips;
	return entry->err;
}

int
resolve_start(struct resolver *resolver, struct bytes host, uint16_t port,
    struct resolve_answer *answer, struct resolve **out, resolve_fn *fn,
    void *arg)
{
	struct resolve_query *query;
	struct resolve_ips ips;
	char name[RESOLVE_NAME];
	struct resolve *waiter;
	int err;

	*out = NULL;
	answer->count = 0;
	if (addr_parse_ip(host, port, &answer->addr[0]) == 0) {
		answer->count = 1;
		return 0;
	}
	if (!normalize(host, name))
		return LARDER_NONAME;
	resolve_refresh(resolver);
	err = answer_now(resolver, name, &ips);
	if (err == 0)
		interleave(&ips, port, answer);
	if (err != LARDER_AGAIN)
		return err;
	waiter = calloc(1, sizeof(*waiter));
	query = waiter ? resolve_query_get(resolver, name) : NULL;
	if (query == NULL) {
		free(waiter);
		return LARDER_NOMEM;
	}
	waiter->port = port;
	waiter->fn = fn;
	waiter->arg = arg;
	list_append(&query->waiters, &waiter->node);
	*out = waiter;
	return LARDER_AGAIN;
}

void
resolve_tell(struct resolve *waiter, int err, const struct resolve_ips *ips)
{
	struct resolve_answer answer;

	if (err == 0)
		interleave(ips, waiter->port, &answer);
	waiter->fn(waiter->arg, err, err ? NULL : &answer);
	free(waiter);
}

void
resolve_cancel(struct resolve **out)
{
	struct resolve *waiter = *out;

	*out = NULL;
	if (waiter == NULL)
		return;
	list_remove(&waiter->node);
	free(waiter);
}
