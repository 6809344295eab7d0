/*
 * The policy in the loop: traces through tests/bench/model.c, which is the
 * store without a disk, against the policies that it is to beat. No clock and
 * no chance: the figures are the same in every run.
 */
#include "util.h"

#include "model.h"
#include "policy.h"
#include "rivals.h"
#include "sketch.h"
#include "trace.h"

#define MIB (1024u * 1024)

struct score {
	double objects, bytes;
};

/* Counted from `from` on. */
static struct score
run_rival(
    const struct trace *t, uint64_t budget, enum rival policy, size_t from)
{
	struct cache *c = cache_new(policy, budget);
	struct score s = {0, 0};
	uint64_t bytes = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct request *r = &t->requests[i];
		bool hit = cache_ask(c, r->key, r->size);

		if (i < from)
			continue;
		bytes += r->size;
		s.objects += hit;
		s.bytes += hit ? (double)r->size : 0;
	}
	cache_free(c);
	s.objects /= (double)(t->count - from);
	s.bytes /= (double)bytes;
	return s;
}

static struct score
run_larder(const struct trace *t, uint64_t budget, double text, size_t from,
    struct model_stats *out)
{
	struct model_options options = {budget, 0.04, 400, text, 3.5};
	struct model *m = model_new(&options);
	struct score s = {0, 0};
	uint64_t bytes = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct request *r = &t->requests[i];
		bool hit = model_ask(m, r->key, r->size);

		if (i < from)
			continue;
		bytes += r->size;
		s.objects += hit;
		s.bytes += hit ? (double)r->size : 0;
	}
	model_stats(m, out);
	model_free(m);
	s.objects /= (double)(t->count - from);
	s.bytes /= (double)bytes;
	print_message("objects %.3f, bytes %.3f, rewritten/stored %.3f\n",
	    s.objects, s.bytes,
	    (double)out->rewritten / (double)(out->stored + 1));
	assert_true(out->most <= budget);
	/* Evicting costs less than storing, whatever the trace. */
	assert_true(out->rewritten * 10 <= out->stored * 3);
	return s;
}

static struct trace
make(const char *name, uint64_t objects, uint64_t requests)
{
	struct trace_shape shape = {
	    .name = name, .seed = 7, .objects = objects, .requests = requests};
	struct trace t = {NULL, 0, 0};

	assert_int_equal(trace_make(&t, &shape), 0);
	return t;
}

static uint64_t
footprint(uint64_t objects)
{
	struct trace t = make("loop", objects, objects);
	uint64_t n = trace_footprint(&t);

	trace_release(&t);
	return n;
}

/* Both shares at once: that of requests as by GDSF's eye for size, that of
 * bytes no worse than S3-FIFO's; with what compression gains, above both. */
static void
test_zipf(void **state)
{
	struct trace t = make("zipf", 20000, 48000);
	uint64_t budget = footprint(20000) / 10;
	struct score s3 = run_rival(&t, budget, S3FIFO, 0);
	struct score lru = run_rival(&t, budget, LRU, 0), raw, pressed;
	struct model_stats stats;

	(void)state;
	print_message("LRU %.3f %.3f, S3-FIFO %.3f %.3f\n", lru.objects,
	    lru.bytes, s3.objects, s3.bytes);
	raw = run_larder(&t, budget, 0, 0, &stats);
	assert_true(raw.objects > lru.objects + 0.08);
	assert_true(raw.objects > s3.objects + 0.04);
	assert_true(raw.bytes > lru.bytes);
	assert_true(raw.bytes > s3.bytes - 0.02);
	pressed = run_larder(&t, budget, 0.5, 0, &stats);
	assert_true(pressed.objects > s3.objects + 0.07);
	assert_true(pressed.bytes > s3.bytes + 0.02);
	trace_release(&t);
}

/* What is asked for once does not push out what is asked for again. */
static void
test_scan(void **state)
{
	struct trace t = make("scan", 20000, 60000);
	uint64_t budget = footprint(20000) / 10;
	size_t from = t.count / 2;
	struct score lru = run_rival(&t, budget, LRU, from);
	struct score s3 = run_rival(&t, budget, S3FIFO, from), own;
	struct model_stats stats;

	(void)state;
	own = run_larder(&t, budget, 0, from, &stats);
	assert_true(own.objects > lru.objects + 0.06);
	assert_true(own.objects > s3.objects);
	assert_true(own.bytes > lru.bytes);
	trace_release(&t);
}

/* Round and round, a tenth more than there is room for: FIFO and LRU have
 * nothing when it comes again. */
static void
test_loop(void **state)
{
	struct trace t = make("loop", 3000, 60000);
	uint64_t budget = footprint(3000) * 9 / 10;
	struct score lru = run_rival(&t, budget, LRU, 0), own;
	struct model_stats stats;

	(void)state;
	own = run_larder(&t, budget, 0, t.count / 3, &stats);
	assert_true(lru.objects < 0.01);
	assert_true(own.objects > 0.8);
	assert_true(own.bytes > 0.5);
	trace_release(&t);
}

/* What was popular is forgotten: late in the second half it is as it was late
 * in the first. */
static void
test_shift(void **state)
{
	struct trace t = make("shift", 5000, 120000);
	uint64_t budget = footprint(5000) / 10;
	struct model_stats stats;
	struct score before, after, lru;
	size_t half = t.count / 2;

	(void)state;
	lru = run_rival(&t, budget, LRU, t.count / 4 * 3);
	after = run_larder(&t, budget, 0, t.count / 4 * 3, &stats);
	t.count = half;
	before = run_larder(&t, budget, 0, half / 2, &stats);
	assert_true(after.objects > before.objects - 0.05);
	assert_true(after.objects > lru.objects);
	trace_release(&t);
}

/* All small, all alike: there is nothing to be told by size, and moving what
 * stays is bounded. */
static void
test_small(void **state)
{
	struct trace_shape shape = {.name = "zipf",
	    .seed = 3,
	    .objects = 60000,
	    .requests = 200000,
	    .spread = 0.1,
	    .median = 2048};
	struct trace t = {NULL, 0, 0};
	struct model_stats stats;
	struct score own, fifo;

	(void)state;
	trace_make(&t, &shape);
	fifo = run_rival(&t, 12 * MIB, FIFO, 0);
	own = run_larder(&t, 12 * MIB, 0, 0, &stats);
	assert_true(own.objects > fifo.objects);
	trace_release(&t);
}

static void
test_values(void **state)
{
	unsigned last = 0;

	(void)state;
	for (unsigned uses = 0; uses <= SKETCH_TOP; uses++) {
		unsigned v = policy_value(uses, 10000, 5);

		assert_true(v >= last && v < POLICY_VALUES);
		last = v;
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		unsigned v = policy_value(SKETCH_TOP, 1ull << bit, 5);

		assert_true(v < POLICY_VALUES);
		assert_true(bit == 0 || v <= last);
		last = v;
	}
	/* Never more than is stored by a third is written anew. */
	assert_int_equal(policy_turn(0, 0), POLICY_MAIN);
	assert_int_equal(policy_turn(10, 90), POLICY_SMALL);
	assert_int_equal(policy_turn(1, 99), POLICY_MAIN);
}

/* A pack that is dense stays where it is, and one that is not does not; what
 * moves is what is worth most, and no more than may be written. */
static void
test_judge(void **state)
{
	struct policy p;
	struct policy_member m[100];
	struct policy_container c = {.size = 100 * 8192, .room = MIB};
	uint64_t moved = 0;

	(void)state;
	policy_init(&p, 64 * MIB);
	for (unsigned i = 0; i < 100; i++)
		m[i] = (struct policy_member){.offset = i * 8192ull,
		    .size = 8192,
		    .value = i < 30 ? 90 : 120};
	/* Two thirds are worth the same, and more than the rest. */
	assert_int_equal(policy_judge(&p, &c, m, 100), POLICY_LEAVE);
	policy_init(&p, 64 * MIB);
	for (unsigned i = 0; i < 100; i++)
		m[i].value = i % 2 ? 90 : 120;
	assert_int_equal(policy_judge(&p, &c, m, 100), POLICY_STAY);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(m[i].stays, i % 2 == 0);
	assert_int_equal(policy_blocks(m, 100), 50 * 8192);
	/* Of a hundred small ones each block has several. */
	p.credit = 10 * 1000;
	c.size = 100 * 1000;
	for (unsigned i = 0; i < 100; i++) {
		m[i].offset = i * 1000ull;
		m[i].size = 1000;
		m[i].value = i % 4 ? 90 : 120 + i / 4;
	}
	assert_int_equal(policy_judge(&p, &c, m, 100), POLICY_LEAVE);
	for (unsigned i = 0; i < 100; i++)
		moved += m[i].stays ? m[i].size : 0;
	assert_int_equal(moved, 10 * 1000);
	assert_true(m[96].stays && !m[0].stays);
	/* Without room to write there are holes at least. */
	c.room = 100;
	assert_int_equal(policy_judge(&p, &c, m, 100), POLICY_STAY);
	assert_true(m[96].stays && !m[1].stays);
	c.room = MIB;
	/* What is bound stays, and at last nothing else does. */
	c.round = 8;
	p.credit = MIB;
	m[1].bound = true;
	policy_judge(&p, &c, m, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(m[i].stays, i == 1);
}

static void
test_sketch(void **state)
{
	struct sketch *s = sketch_new(0), *other = sketch_new(0);
	char *saved = malloc(sketch_size(s));

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		for (uint64_t k = 0; k < i % 4; k++)
			sketch_add(s, trace_mix(i));
	/* Some were halved meanwhile. */
	for (uint64_t i = 0; i < 1000; i++)
		assert_true(sketch_count(s, trace_mix(i)) >= i % 4 / 2);
	assert_false(sketch_buried(s, trace_mix(1)));
	for (uint64_t i = 0; i < 100; i++)
		sketch_bury(s, trace_mix(i));
	for (uint64_t i = 0; i < 100; i++)
		assert_true(sketch_buried(s, trace_mix(i)));
	/* Over a restart. */
	sketch_save(s, saved);
	assert_true(sketch_load(other, bytes_of(saved, sketch_size(s))));
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(sketch_count(s, trace_mix(i)),
		    sketch_count(other, trace_mix(i)));
	assert_true(sketch_buried(other, trace_mix(99)));
	saved[sketch_size(s) - 1] ^= 1;
	assert_false(sketch_load(other, bytes_of(saved, sketch_size(s))));
	assert_false(sketch_load(other, bytes_of(saved, 10)));
	assert_true(sketch_buried(other, trace_mix(99)));
	/* Ageing: what nobody asks for any more is forgotten. */
	for (uint64_t i = 0; i < 100000; i++)
		sketch_add(s, 12345);
	assert_int_equal(sketch_count(s, trace_mix(7)), 0);
	free(saved);
	sketch_free(s);
	sketch_free(other);
}

/* The same requests, as lines and as libCacheSim has them. */
static void
test_formats(void **state)
{
	static const struct request all[] = {
	    {1, 100}, {0x1122334455667788u, 4000000000u}, {1, 100}, {7, 0}};
	char path[] = "/tmp/larder-trace-XXXXXX";
	struct trace t = {NULL, 0, 0};
	const char *why;
	FILE *f = fdopen(mkstemp(path), "w");

	(void)state;
	assert_non_null(f);
	for (unsigned i = 0; i < 4; i++) {
		char r[24] = {0};
		uint32_t size = (uint32_t)all[i].size;

		r[0] = (char)i;
		memcpy(r + 4, &all[i].key, 8);
		memcpy(r + 12, &size, 4);
		fwrite(r, sizeof(r), 1, f);
	}
	fclose(f);
	assert_int_equal(trace_read(&t, path, &why), 0);
	assert_int_equal(t.count, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(t.requests[i].size, all[i].size);
	assert_true(t.requests[0].key == t.requests[2].key);
	assert_true(t.requests[0].key != t.requests[1].key);
	trace_release(&t);
	f = fopen(path, "w");
	fprintf(f, "# a comment\n/a/b 100\n/c\t4000000000\n/a/b 100\n");
	fclose(f);
	assert_int_equal(trace_read(&t, path, &why), 0);
	assert_int_equal(t.count, 3);
	assert_int_equal(t.requests[1].size, 4000000000u);
	assert_true(t.requests[0].key == t.requests[2].key);
	assert_true(t.requests[0].key != t.requests[1].key);
	assert_int_equal(trace_footprint(&t), 4000000100u);
	trace_release(&t);
	f = fopen(path, "w");
	fprintf(f, "/a\n");
	fclose(f);
	assert_int_equal(trace_read(&t, path, &why), -1);
	assert_int_equal(trace_read(&t, "/nowhere/trace", &why), -1);
	trace_release(&t);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_zipf),
	    cmocka_unit_test(test_scan),
	    cmocka_unit_test(test_loop),
	    cmocka_unit_test(test_shift),
	    cmocka_unit_test(test_small),
	    cmocka_unit_test(test_values),
	    cmocka_unit_test(test_judge),
	    cmocka_unit_test(test_sketch),
	    cmocka_unit_test(test_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
