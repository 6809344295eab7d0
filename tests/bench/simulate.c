/*
 * Runs a trace through larder's policy and through those it is held against,
 * at one budget, and prints the shares of requests and of bytes that were hits.
 *
 *   simulate [OPTION]... TRACE
 *
 * TRACE is a file ("key size" a line, or libCacheSim's oracleGeneral; "-" is
 * standard input), or zipf, scan, loop or shift: made here, see trace.h.
 *   --budget N|S%     bytes (K, M, G), or a share of the footprint (10%)
 *   --text S%         share of objects that compression gains on (0%)
 *   --ratio R         and by how much (3.5)
 *   --warm S%         share of the requests that are not counted (0%)
 *   --objects N, --requests N, --skew A, --spread S, --median N, --cap N,
 *   --seed N          of a made one (50,000; 120,000; 0.9; 2; 8K; 5M; 1)
 *   --rivals 0        larder alone
 *   --write FILE      writes the trace as "key size" lines, and no more
 *
 * The footprint of a made trace is that of all its objects, asked for or not.
 * larder's own line counts what its rivals are forgiven: blocks, records, the
 * index, room that is kept free.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "larder/check.h"
#include "model.h"
#include "rivals.h"
#include "trace.h"

/* What an object takes beside its body, catalog included; and what is kept
 * free: see storage/budget.c. */
#define RECORD	 500u
#define OVERHEAD 0.06

struct options {
	struct trace_shape shape;
	const char *write;
	double share; /* of the footprint; 0: budget */
	uint64_t budget;
	double text, ratio, warm;
	bool alone;
};

struct score {
	double hits, asked, hit_bytes, asked_bytes;
};

static void
score(struct score *s, bool counts, bool hit, uint64_t size)
{
	if (!counts)
		return;
	s->asked++;
	s->asked_bytes += (double)size;
	s->hits += hit;
	s->hit_bytes += hit ? (double)size : 0;
}

static void
say(const char *name, const struct score *s)
{
	printf("%-24s %8.4f %8.4f", name, s->hits / s->asked,
	    s->hit_bytes / s->asked_bytes);
}

static void
run_rival(const struct trace *t, const struct options *o, enum rival policy)
{
	struct cache *c = cache_new(policy, o->budget);
	struct score s = {0, 0, 0, 0};

	for (size_t i = 0; i < t->count; i++) {
		const struct request *r = &t->requests[i];
		bool hit = cache_ask(c, r->key, r->size);

		score(
		    &s, (double)i >= o->warm * (double)t->count, hit, r->size);
	}
	say(rival_names[policy], &s);
	printf("\n");
	cache_free(c);
}

static void
run_larder(const struct trace *t, const struct options *o, const char *name,
    double text)
{
	struct model_options mo = {o->budget, OVERHEAD, RECORD, text, o->ratio};
	struct model *m = model_new(&mo);
	struct model_stats before = {0, 0, 0, 0, 0}, after;
	struct score s = {0, 0, 0, 0};

	for (size_t i = 0; i < t->count; i++) {
		const struct request *r = &t->requests[i];
		bool hit = model_ask(m, r->key, r->size);

		score(
		    &s, (double)i >= o->warm * (double)t->count, hit, r->size);
		if (i == t->count / 2)
			model_stats(m, &before);
	}
	model_stats(m, &after);
	say(name, &s);
	/* The second half is as steady as it gets. */
	printf("   rewritten/stored %.3f, disk at most %.1f%%\n",
	    (double)(after.rewritten - before.rewritten) /
		(double)(after.stored - before.stored),
	    100 * (double)after.most / (double)o->budget);
	model_free(m);
}

static _Noreturn void
usage(const char *wrong)
{
	fprintf(stderr,
	    "simulate: %s\n"
	    "usage: simulate [OPTION]... FILE|zipf|scan|loop|shift\n"
	    "  --budget N|S%%  --text S%%  --ratio R  --warm S%%  --write "
	    "FILE\n"
	    "  --objects N  --requests N  --skew A  --spread S  --median N\n"
	    "  --cap N  --seed N\n",
	    wrong);
	exit(2);
}

/* A number with K, M, G behind it, or a share with %. */
static double
number(const char *text, bool *share)
{
	char *end;
	double n = strtod(text, &end);

	*share = *end == '%';
	n *= *end == '%'   ? 0.01
	     : *end == 'K' ? 1024
	     : *end == 'M' ? 1024 * 1024
	     : *end == 'G' ? 1024 * 1024 * 1024
			   : 1;
	if (end == text || n < 0 || (*end && end[1]))
		usage(text);
	return n;
}

static void
set(struct options *o, int option, const char *text)
{
	bool share;
	double n;

	if (!text)
		usage("no such option, or nothing behind it");
	n = option == 'w' ? 0 : number(text, &share);

	switch (option) {
	case 'w':
		o->write = text;
		break;
	case 'b':
		o->share = share ? n : 0;
		o->budget = share ? 0 : (uint64_t)n;
		break;
	case 't':
		o->text = n;
		break;
	case 'r':
		o->ratio = n < 1 ? 1 : n;
		break;
	case 'W':
		o->warm = n;
		break;
	case 'o':
		o->shape.objects = (uint64_t)n;
		break;
	case 'n':
		o->shape.requests = (uint64_t)n;
		break;
	case 'a':
		o->shape.skew = n;
		break;
	case 's':
		o->shape.spread = n;
		break;
	case 'm':
		o->shape.median = (uint64_t)n;
		break;
	case 'c':
		o->shape.cap = (uint64_t)n;
		break;
	case 'R':
		o->alone = n <= 0;
		break;
	case 'S':
		o->shape.seed = (uint64_t)n;
		break;
	default:
		usage("no such option");
	}
}

static const char *
parse(struct options *o, int argc, char **argv)
{
	static const struct option all[] = {
	    {"budget", required_argument, NULL, 'b'},
	    {"text", required_argument, NULL, 't'},
	    {"ratio", required_argument, NULL, 'r'},
	    {"warm", required_argument, NULL, 'W'},
	    {"objects", required_argument, NULL, 'o'},
	    {"requests", required_argument, NULL, 'n'},
	    {"skew", required_argument, NULL, 'a'},
	    {"spread", required_argument, NULL, 's'},
	    {"median", required_argument, NULL, 'm'},
	    {"cap", required_argument, NULL, 'c'},
	    {"seed", required_argument, NULL, 'S'},
	    {"rivals", required_argument, NULL, 'R'},
	    {"write", required_argument, NULL, 'w'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", all, NULL)) != -1)
		set(o, option, optarg);
	if (optind + 1 != argc)
		usage("which trace?");
	return argv[optind];
}

static uint64_t
footprint_of_shape(const struct trace_shape *shape)
{
	struct trace_shape all = *shape;
	struct trace t = {NULL, 0, 0};
	uint64_t n;

	all.name = "loop";
	all.requests = all.objects = all.objects ? all.objects : 50000;
	trace_make(&t, &all);
	n = trace_footprint(&t);
	trace_release(&t);
	return n;
}

static int
write_trace(const struct trace *t, const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return 1;
	for (size_t i = 0; i < t->count; i++)
		fprintf(f, "%016" PRIx64 " %" PRIu64 "\n", t->requests[i].key,
		    t->requests[i].size);
	return fclose(f) ? 1 : 0;
}

int
main(int argc, char **argv)
{
	struct options o = {.shape = {.seed = 1}, .share = 0.1, .ratio = 3.5};
	struct trace t = {NULL, 0, 0};
	const char *why, *name = parse(&o, argc, argv);
	uint64_t footprint;

	o.shape.name = name;
	if (trace_make(&t, &o.shape) == 0) {
		footprint = footprint_of_shape(&o.shape);
	} else if (trace_read(&t, name, &why) == 0) {
		footprint = trace_footprint(&t);
	} else {
		fprintf(stderr, "simulate: %s: %s\n", name, why);
		return 1;
	}
	if (o.write)
		return write_trace(&t, o.write);
	if (o.share > 0)
		o.budget = (uint64_t)((double)footprint * o.share);
	if (!o.budget)
		usage("a budget of nothing");
	printf("%s: %zu requests, footprint %.1f MiB, budget %.1f MiB\n", name,
	    t.count, (double)footprint / (1 << 20),
	    (double)o.budget / (1 << 20));
	printf("%-24s %8s %8s\n", "", "objects", "bytes");
	for (unsigned i = 0; i < RIVALS && !o.alone; i++)
		run_rival(&t, &o, (enum rival)i);
	run_larder(&t, &o, "larder, nothing pressed", 0);
	if (o.text > 0)
		run_larder(&t, &o, "larder", o.text);
	trace_release(&t);
	return 0;
}
