/*
 * evdns, with what is known to go wrong in it kept out of the way:
 *   - A request for which no server is left waits for ever: a query has a
 *     deadline of its own, and a base without servers is not made.
 *   - A cancelled request calls back all the same, perhaps with its answer: a
 *     question is freed by its callback and only by that, and knows whether
 *     anybody still waits.
 *   - Freeing a base whose requests wait in its queue has crashed: it may have
 *     more requests in flight than a resolver has questions.
 *   - Clearing and resuming servers under a probe reads freed memory: a change
 *     of resolv.conf makes a new base, and the old one goes when its last
 *     question is answered.
 *   - Truncated answers are not asked for again by TCP: that is a failure, and
 *     getaddrinfo()'s turn.
 */
#include "net/resolve_internal.h"

#include <event2/dns.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"

struct resolve_dns *
resolve_dns_new(struct loop *loop, const char *path)
{
	struct resolve_dns *dns = calloc(1, sizeof(*dns));

	if (dns == NULL)
		return NULL;
	list_init(&dns->node);
	list_init(&dns->questions);
	dns->base = evdns_base_new(loop_base(loop), 0);
	if (dns->base == NULL) {
		free(dns);
		return NULL;
	}
	/* Before the file, whose own options win. */
	evdns_base_set_option(dns->base, "timeout", "2");
	evdns_base_set_option(dns->base, "attempts", "3");
	evdns_base_set_option(dns->base, "initial-probe-timeout", "2");
	evdns_base_resolv_conf_parse(dns->base,
	    DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC |
		DNS_OPTION_NAMESERVERS_NO_DEFAULT,
	    path);
	evdns_base_set_option(dns->base, "max-inflight", "4096");
	if (evdns_base_count_nameservers(dns->base) == 0)
		resolve_dns_free(&dns);
	return dns;
}

void
resolve_dns_free(struct resolve_dns **out)
{
	struct resolve_dns *dns = *out;
	struct list *node;

	*out = NULL;
	if (dns == NULL)
		return;
	list_remove(&dns->node);
	evdns_base_free(dns->base, 0);
	while ((node = list_shift(&dns->questions)))
		free(container_of(node, struct resolve_question, node));
	free(dns);
}

static enum resolve_outcome
outcome_of(int result, int count)
{
	switch (result) {
	case DNS_ERR_NONE:
		return count > 0 ? RESOLVE_FOUND : RESOLVE_EMPTY;
	case DNS_ERR_NODATA:
		return RESOLVE_EMPTY;
	case DNS_ERR_NOTEXIST:
		return RESOLVE_UNKNOWN;
	case DNS_ERR_TIMEOUT:
		return RESOLVE_TIMEOUT;
	default:
		return RESOLVE_FAILED;
	}
}

static void
on_answer(int result, char type, int count, int ttl, void *addresses, void *arg)
{
	struct resolve_question *question = arg;
	struct resolve_query *query = question->query;
	enum resolve_outcome outcome = outcome_of(result, count);
	const char wanted = question->v6 ? DNS_IPv6_AAAA : DNS_IPv4_A;

	if (outcome == RESOLVE_FOUND && type != wanted)
		outcome = RESOLVE_FAILED;
	if (query)
		resolve_answered(query, question, outcome, addresses,
		    count > 0 ? (unsigned)count : 0, ttl);
	/* Only now: a base with questions is not freed, and this is one of its
	 * callbacks. */
	list_remove(&question->node);
	free(question);
}

struct resolve_question *
resolve_ask(struct resolve_dns *dns, struct resolve_query *query,
    const char *name, bool v6)
{
	struct resolve_question *question = calloc(1, sizeof(*question));
	/* A name with dots is complete. Were the search list tried on it, what
	 * is cached under it might come from another host. */
	const int flags = strchr(name, '.') ? DNS_QUERY_NO_SEARCH : 0;

	if (question == NULL)
		return NULL;
	question->dns = dns;
	question->query = query;
	question->v6 = v6;
	question->request = v6 ? evdns_base_resolve_ipv6(dns->base, name, flags,
				     on_answer, question)
			       : evdns_base_resolve_ipv4(dns->base, name, flags,
				     on_answer, question);
	if (question->request == NULL) {
		free(question);
		return NULL;
	}
	list_append(&dns->questions, &question->node);
	return question;
}

void
resolve_drop_question(struct resolve_question **out)
{
	struct resolve_question *question = *out;

	*out = NULL;
	if (question == NULL)
		return;
	question->query = NULL;
	evdns_cancel_request(question->dns->base, question->request);
}
