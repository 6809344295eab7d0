/*
 * Doctor's requests through the running daemon.
 *
 * Is what listens there the larderd that answers on the socket, and does it
 * cache? Fields can say anything, and so can whoever else has the port. So the
 * origin is doctor's own, under a name and with a body that nobody can guess:
 * the first request must reach it, the next ones must bring the same bytes
 * without it being asked. The daemon is told by its socket that this one origin
 * on loopback is allowed: another larderd would refuse it.
 */
#include "admin/ctl_doctor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "admin/ctl_client.h"
#include "admin/ctl_origin.h"
#include "conf/conf.h"
#include "http/target.h"
#include "larder/clock.h"

#define SECONDS	 20
/* What clocks may differ by before anything depends on it. */
#define SKEW_MAX 60

struct probe {
	struct doctor *d;
	struct ctl_origin *origin;
	char url[160], body[80];
	const char *text; /* of the address */
	union addr to;
};

static int
get(const struct probe *p, struct ctl_fetched *out)
{
	struct ctl_fetch fetch = {
	    .to = p->to, .url = p->url, .seconds = SECONDS};

	return ctl_client_get(&fetch, out);
}

static bool
is_body(const struct probe *p, const struct ctl_fetched *f)
{
	return f->status == 200 && f->bytes == strlen(p->body) &&
	       f->sum == ctl_client_sum(p->body, strlen(p->body));
}

/* What was refused, and how that is to be understood. */
static void
tell_refusal(const struct probe *p, const struct ctl_fetched *f, int rc)
{
	struct doctor *d = p->d;

	if (rc != 0)
		doctor_say(d, "cache", DOCTOR_FAIL,
		    "journalctl -u larder; is it a proxy that listens there?",
		    "%s: %s", p->text, f->why);
	else if (!f->larder)
		doctor_say(d, "cache", DOCTOR_FAIL,
		    "`ss -ltnp` shows which program has that port",
		    "%s: what answers there (%d) is no larder", p->text,
		    f->status);
	else if (strcmp(f->detail, "client-refused") == 0)
		doctor_say(d, "cache", DOCTOR_WARN,
		    "put the address of this machine into access.clients, if "
		    "only for this check",
		    "%s: this machine itself may not use the proxy", p->text);
	else if (strcmp(f->detail, "destination-refused") == 0)
		doctor_say(d, "cache", DOCTOR_FAIL,
		    "`ss -ltnp` shows the processes; stop the other, or name "
		    "the right configuration with -c",
		    "%s: another larderd answers there than on %s", p->text,
		    d->ctl->socket);
	else
		doctor_say(d, "cache", DOCTOR_FAIL,
		    "journalctl -u larder says more",
		    "%s: the origin on this machine could not be fetched: %d "
		    "%s",
		    p->text, f->status, f->detail);
}

/* The first request: it must have come from the origin. */
static bool
check_miss(const struct probe *p)
{
	struct ctl_fetched f;
	int rc = get(p, &f);

	if (rc != 0 || !f.larder || f.status != 200) {
		tell_refusal(p, &f, rc);
		return false;
	}
	if (!is_body(p, &f) || ctl_origin_asked(p->origin) != 1) {
		doctor_say(p->d, "cache", DOCTOR_FAIL,
		    "`ss -ltnp` shows which program has that port",
		    "%s: what came is not what the origin sent", p->text);
		return false;
	}
	if (!f.stored) {
		doctor_say(p->d, "cache", DOCTOR_FAIL,
		    "is there a rule with never for it? larderctl stats says "
		    "whether there is no room",
		    "%s: a plain answer was fetched, but not stored%s%s",
		    p->text, *f.detail ? ": " : "", f.detail);
		return false;
	}
	doctor_say(p->d, "cache", DOCTOR_OK, NULL,
	    "%s: a miss, fetched from an origin on this machine and stored",
	    p->text);
	return true;
}

/* The others: without it. */
static void
check_hit(const struct probe *p)
{
	struct ctl_fetched f;
	int rc = get(p, &f);

	if (rc != 0 || !f.larder || f.status != 200)
		tell_refusal(p, &f, rc);
	else if (!is_body(p, &f))
		doctor_say(p->d, "cache", DOCTOR_FAIL,
		    "larderctl verify; if that finds nothing, `ss -ltnp` shows "
		    "whether another program has that port",
		    "%s: what came is not what was stored", p->text);
	else if (ctl_origin_asked(p->origin) != 1 || !f.hit)
		doctor_say(p->d, "cache", DOCTOR_FAIL,
		    "larderctl explain says why a URL is not a hit; "
		    "larderctl stats, whether there are disk errors",
		    "%s: asked again, it was fetched again (%s)", p->text,
		    f.hit ? "though called a hit" : f.fwd);
	else
		doctor_say(p->d, "cache", DOCTOR_OK, NULL,
		    "%s: a hit, the origin was not asked again", p->text);
}

static void
use_address(struct probe *p, unsigned i)
{
	const struct conf *conf = p->d->ctl->conf;

	p->text = conf->listen[i];
	p->to = ctl_client_address(&conf->listen_addr[i]);
}

static void
check_all(struct probe *p)
{
	unsigned count = p->d->ctl->conf->listen_proxies;

	use_address(p, 0);
	if (!check_miss(p))
		return;
	for (unsigned i = 0; i < count; i++) {
		use_address(p, i);
		check_hit(p);
	}
}

static bool
start(struct probe *p)
{
	unsigned char random[24];
	char name[2 * sizeof(random) + 1], path[96], port[8];
	json_t *answer = NULL;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return false;
	for (unsigned i = 0; i < sizeof(random); i++)
		snprintf(name + 2 * i, 3, "%02x", random[i]);
	snprintf(path, sizeof(path), "/larder-doctor/%.24s", name);
	snprintf(p->body, sizeof(p->body), "%s\n", name + 24);
	p->origin = ctl_origin_start(path, p->body);
	if (p->origin == NULL)
		return false;
	snprintf(port, sizeof(port), "%u", ctl_origin_port(p->origin));
	snprintf(p->url, sizeof(p->url), "http://127.0.0.1:%s%s", port, path);
	if (!doctor_ask(p->d, "/probe", true, "port", port, &answer))
		return false;
	json_decref(answer);
	return true;
}

static void
tidy(struct probe *p)
{
	json_t *answer = NULL;

	if (p->origin == NULL)
		return;
	if (doctor_ask(p->d, "/probe", true, "port", "0", &answer))
		json_decref(answer);
	answer = NULL;
	if (doctor_ask(p->d, "/purge", true, "url", p->url, &answer))
		json_decref(answer);
	ctl_origin_stop(&p->origin);
}

void
doctor_check_cache(struct doctor *d)
{
	struct probe p = {.d = d};

	if (!d->running) {
		doctor_say(d, "cache", DOCTOR_SKIPPED, NULL,
		    "a miss and a hit: larderd does not run");
		return;
	}
	if (start(&p))
		check_all(&p);
	else
		doctor_say(d, "cache", DOCTOR_FAIL, "run it again",
		    "an origin on this machine could not be set up");
	tidy(&p);
}

/* ---- an origin outside ------------------------------------------------ */

static bool
is_of_site(const struct doctor *d)
{
	const struct conf_site *site = NULL;
	struct http_target target;
	struct arena arena;
	const char *why;

	arena_init(&arena, 256 * 1024);
	if (http_target_of_url(bytes_str(d->url), &arena, &target, &why) == 0)
		site = conf_site_for(d->ctl->conf, target.host, target.port);
	arena_release(&arena);
	return site != NULL && strcmp(site->host, "*") != 0;
}

static void
tell_origin(struct doctor *d, const struct ctl_fetched *f)
{
	int64_t skew = f->date - clock_wall_ms() / 1000;
	char size[CTL_TEXT];

	/* Of what was stored long ago the date says nothing. */
	if (!f->hit && f->date > 0 && (skew > SKEW_MAX || skew < -SKEW_MAX))
		doctor_say(d, "clock", DOCTOR_WARN, "timedatectl set-ntp true",
		    "the origin's clock differs from this one by %" PRId64
		    " seconds",
		    skew);
	doctor_say(d, "origin", DOCTOR_OK, NULL, "%s: %d, %s%s", d->url,
	    f->status, ctl_size((json_int_t)f->bytes, size),
	    f->hit ? ", from the cache" : "");
}

void
doctor_check_origin(struct doctor *d)
{
	static const char *const headers[] = {"Cache-Control: no-cache"};
	enum verdict bad = d->url_given ? DOCTOR_FAIL : DOCTOR_WARN;
	struct ctl_fetch fetch = {.url = d->url,
	    .headers = headers,
	    .headers_count = 1,
	    .seconds = SECONDS};
	struct ctl_fetched f;
	int rc;

	if (!d->running) {
		doctor_say(d, "origin", DOCTOR_SKIPPED, NULL,
		    "a fetch from outside: larderd does not run");
		return;
	}
	fetch.to = ctl_client_address(&d->ctl->conf->listen_addr[0]);
	fetch.as_site = is_of_site(d);
	rc = ctl_client_get(&fetch, &f);
	if (rc == 0 && f.larder && f.status < 500 &&
	    strcmp(f.detail, "destination-refused") != 0 &&
	    strcmp(f.detail, "client-refused") != 0)
		tell_origin(d, &f);
	else if (strcmp(f.detail, "destination-refused") == 0)
		doctor_say(d, "origin", bad,
		    "add its address to access.destinations, if requests may "
		    "go there",
		    "%s: larderd may not connect there", d->url);
	else
		doctor_say(d, "origin", bad,
		    "name another URL, if this one is not to be reached from "
		    "here: larderctl doctor URL; else look at routes, "
		    "packet filters and name service",
		    "%s: %s", d->url,
		    rc != 0	? f.why
		    : *f.detail ? f.detail
				: "the origin failed");
}
