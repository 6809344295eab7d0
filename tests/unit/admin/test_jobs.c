/*
 * The jobs on a real store, as larderctl runs them when the daemon is down.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "admin/jobs.h"
#include "admin/report.h"
#include "cache/meta.h"
#include "http/date.h"
#include "larder/check.h"
#include "larder/clock.h"
#include "larder/err.h"

static char folder[] = "/tmp/larder-jobs-XXXXXX";
static struct store *store;
static struct conf *conf;
static _Atomic bool stop;
static struct job_env env;

static void
open_store(void)
{
	struct store_options options = {.path = folder,
	    .size = 64u << 20,
	    .memory = 1u << 20,
	    .max_object = 32u << 20};
	char why[256];

	if (store_open(&store, &options, why, sizeof(why)) != 0)
		fail_msg("%s", why);
	env = (struct job_env){.store = store, .conf = conf, .stop = &stop};
}

static int
set_up(void **state)
{
	char *why;

	(void)state;
	if (mkdtemp(folder) == NULL || conf_load(NULL, &conf, &why) != 0)
		return -1;
	open_store();
	return 0;
}

static int
tear_down(void **state)
{
	char command[64];

	(void)state;
	store_close(&store);
	conf_unref(&conf);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void
put(const char *key, int64_t age, int64_t lifetime, size_t size)
{
	static const char head[] =
	    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
	int64_t now = clock_wall_ms() / 1000;
	struct cache_meta meta = {.status = 200,
	    .lifetime = lifetime,
	    .request_time = now - age,
	    .response_time = now - age,
	    .date = now - age,
	    .last_modified = HTTP_DATE_INVALID,
	    .stale_while_revalidate = -1,
	    .stale_if_error = -1};
	struct store_new new = {.key = bytes_str(key),
	    .head = bytes_of(head, sizeof(head) - 1),
	    .body_size = size,
	    .expires = now - age + lifetime,
	    .storable = true};
	char *body = calloc(1, size + 1);
	struct arena arena;
	struct blob *blob;

	arena_init(&arena, 65536);
	new.meta = cache_meta_encode(&meta, &arena);
	assert_int_equal(store_create(store, &new, &blob), 0);
	assert_int_equal(blob_append(blob, body, size), size);
	assert_int_equal(blob_commit(blob), 0);
	blob_unref(&blob);
	arena_release(&arena);
	free(body);
}

static int
empty_and_fill(void **state)
{
	struct evkeyvalq args;
	json_t *answer;

	(void)state;
	TAILQ_INIT(&args);
	evhttp_add_header(&args, "all", "1");
	assert_int_equal(job_purge(&env, &args, &answer), 0);
	json_decref(answer);
	evhttp_clear_headers(&args);
	put("http://a.test/one.deb", 10, 100, 5000);
	put("http://a.test/two.deb", 200, 100, 100);
	put("http://a.test:8080/x", 0, 100, 100);
	put("http://aa.test/", 0, 100, 100);
	put("https://a.test/one.deb", 0, 100, 100);
	return 0;
}

/* args: NULL-terminated names and values. */
static json_t *
ask(job_fn *job, int expected, const char *const *args)
{
	struct evkeyvalq list;
	json_t *answer;

	TAILQ_INIT(&list);
	for (; args && args[0]; args += 2)
		assert_int_equal(evhttp_add_header(&list, args[0], args[1]), 0);
	assert_int_equal(job(&env, &list, &answer), expected);
	assert_non_null(answer);
	if (expected != 0)
		assert_non_null(json_object_get(answer, "error"));
	evhttp_clear_headers(&list);
	return answer;
}

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static json_int_t
number(const json_t *o, const char *name)
{
	assert_true(json_is_integer(json_object_get(o, name)));
	return json_integer_value(json_object_get(o, name));
}

static size_t
listed(const char *glob)
{
	json_t *answer = ask(job_ls, 0, ARGS("glob", glob));
	size_t n = json_array_size(json_object_get(answer, "objects"));

	json_decref(answer);
	return n;
}

static void
lists(void **state)
{
	json_t *answer = ask(job_ls, 0, NULL), *first;

	(void)state;
	assert_int_equal(
	    json_array_size(json_object_get(answer, "objects")), 5);
	assert_true(json_is_false(json_object_get(answer, "truncated")));
	first = json_array_get(json_object_get(answer, "objects"), 0);
	assert_non_null(json_object_get(first, "url"));
	json_decref(answer);

	assert_int_equal(listed("*.deb"), 3);
	assert_int_equal(listed("http://a.test/*"), 2);
	assert_int_equal(listed("a.test/one.deb"), 2);
	assert_int_equal(listed("*nothing*"), 0);

	answer = ask(job_ls, 0, ARGS("glob", "http://a.test/one.deb"));
	first = json_array_get(json_object_get(answer, "objects"), 0);
	assert_int_equal(number(first, "size"), 5000);
	assert_int_equal(number(first, "status"), 200);
	assert_in_range(number(first, "age"), 10, 12);
	assert_in_range(number(first, "ttl"), 88, 90);
	json_decref(answer);

	answer = ask(job_ls, 0, ARGS("limit", "2"));
	assert_int_equal(
	    json_array_size(json_object_get(answer, "objects")), 2);
	assert_true(json_is_true(json_object_get(answer, "truncated")));
	json_decref(answer);
	json_decref(ask(job_ls, LARDER_INVALID, ARGS("limit", "0")));
	json_decref(ask(job_ls, LARDER_INVALID, ARGS("limit", "x")));
}

static void
stops_when_told(void **state)
{
	(void)state;
	atomic_store(&stop, true);
	json_decref(ask(job_ls, LARDER_CLOSED, NULL));
	json_decref(ask(job_purge, LARDER_CLOSED, ARGS("match", "*")));
	atomic_store(&stop, false);
	assert_int_equal(listed("*"), 5);
}

static const char *
string(const json_t *o, const char *name)
{
	return json_string_value(json_object_get(o, name));
}

static void
explains(void **state)
{
	json_t *answer, *variant, *head;

	(void)state;
	answer = ask(job_explain, 0, ARGS("url", "http://A.test/one.deb"));
	assert_string_equal(string(answer, "url"), "http://a.test/one.deb");
	assert_true(json_is_true(json_object_get(answer, "hit")));
	assert_string_equal(string(answer, "action"), "send");
	variant = json_array_get(json_object_get(answer, "variants"), 0);
	assert_non_null(string(variant, "where"));
	head = json_object_get(variant, "head");
	assert_int_equal(json_array_size(head), 2);
	assert_string_equal(json_string_value(json_array_get(head, 1)),
	    "Content-Type: text/plain");
	json_decref(answer);

	answer = ask(job_explain, 0, ARGS("url", "http://a.test/two.deb"));
	assert_true(json_is_false(json_object_get(answer, "hit")));
	variant = json_array_get(json_object_get(answer, "variants"), 0);
	assert_true(number(variant, "ttl") < 0);
	json_decref(answer);

	answer = ask(job_explain, 0, ARGS("url", "http://a.test/no"));
	assert_string_equal(string(answer, "why"), "uri-miss");
	assert_int_equal(
	    json_array_size(json_object_get(answer, "variants")), 0);
	json_decref(answer);

	answer = ask(job_explain, 0,
	    ARGS("url", "http://a.test/one.deb", "header",
		"Cache-Control: no-cache"));
	assert_true(json_is_false(json_object_get(answer, "hit")));
	json_decref(answer);
}

static void
explains_nothing_of_nonsense(void **state)
{
	(void)state;
	json_decref(ask(job_explain, LARDER_INVALID, NULL));
	json_decref(ask(job_explain, LARDER_INVALID, ARGS("url", "nonsense")));
	json_decref(ask(job_explain, LARDER_INVALID,
	    ARGS("url", "http://a.test/one.deb", "header", "no colon")));
	json_decref(
	    ask(job_explain, LARDER_INVALID, ARGS("url", "http://a.test/a b")));
}

static void
purges(void **state)
{
	static const struct {
		const char *args[5];
		unsigned objects;
	} t[] = {
	    {{"url", "http://a.test/one.deb"}, 1},
	    {{"url", "http://a.test/"}, 0},
	    {{"url", "http://a.test/one.deb", "url", "http://aa.test"}, 2},
	    {{"host", "a.test"}, 4},
	    {{"host", "A.TEST:8080"}, 1},
	    {{"host", "aa.test"}, 1},
	    {{"host", "test"}, 0},
	    {{"match", "*.deb"}, 3},
	    {{"match", "https://*"}, 1},
	    {{"older_than", "1h"}, 0},
	    {{"all", "1"}, 5},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		const char *dry[7] = {"dry_run", "1"};
		json_t *answer;

		memcpy(dry + 2, t[i].args, sizeof(t[i].args));
		answer = ask(job_purge, 0, dry);
		assert_int_equal(number(answer, "objects"), t[i].objects);
		assert_true(
		    (number(answer, "bytes") > 0) == (t[i].objects > 0));
		json_decref(answer);
		assert_int_equal(listed("*"), 5);

		answer = ask(job_purge, 0, t[i].args);
		assert_int_equal(number(answer, "objects"), t[i].objects);
		json_decref(answer);
		assert_int_equal(listed("*"), 5 - t[i].objects);
		empty_and_fill(state);
	}
}

static void
purges_nothing_by_mistake(void **state)
{
	(void)state;
	json_decref(ask(job_purge, LARDER_INVALID, NULL));
	json_decref(
	    ask(job_purge, LARDER_INVALID, ARGS("all", "1", "host", "a.test")));
	json_decref(ask(job_purge, LARDER_INVALID, ARGS("url", "x")));
	json_decref(ask(job_purge, LARDER_INVALID, ARGS("older_than", "soon")));
	assert_int_equal(listed("*"), 5);
}

static void
verifies_and_cleans(void **state)
{
	json_t *answer = ask(job_verify, 0, NULL);

	(void)state;
	assert_int_equal(number(answer, "objects_read"), 5);
	assert_int_equal(number(answer, "damaged"), 0);
	json_decref(answer);
	answer = ask(job_gc, 0, NULL);
	assert_int_equal(number(answer, "objects"), 0);
	json_decref(answer);
	assert_int_equal(listed("*"), 5);
}

static void
counters_outlive_a_restart(void **state)
{
	uint64_t current[COUNTER_COUNT] = {0}, total[COUNTER_COUNT];
	struct counters c;
	json_t *answer;
	int64_t since;

	(void)state;
	counters_load(&c, store);
	since = c.since;
	current[STAT_requests] = 7;
	current[STAT_hit_bytes] = UINT64_C(5) << 40;
	assert_int_equal(counters_save(&c, store, current), 0);
	store_close(&store);
	open_store();
	counters_load(&c, store);
	assert_true(c.since == since);
	current[STAT_requests] = 3;
	counters_total(&c, current, total);
	assert_true(total[STAT_requests] == 10);
	assert_true(total[STAT_hit_bytes] == UINT64_C(10) << 40);

	answer = ask(report_job, 0, NULL);
	assert_true(json_is_false(json_object_get(answer, "running")));
	assert_int_equal(
	    number(json_object_get(answer, "total"), "requests"), 7);
	json_decref(answer);
}

static void
counters_of_garbage_are_zero(void **state)
{
	static const char *const texts[] = {"", "x", "[]", "{\"since\": 1}",
	    "{\"since\": 1, \"requests\": -5, \"hits\": \"x\"}"};
	struct counters c;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(
		    store_state_set(store, "counters", bytes_str(texts[i])), 0);
		counters_load(&c, store);
		for (int s = 0; s < COUNTER_COUNT; s++)
			assert_true(c.before[s] == 0);
		assert_true(c.since > 0);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, empty_and_fill)
	const struct CMUnitTest tests[] = {
	    TEST(lists),
	    TEST(stops_when_told),
	    TEST(explains),
	    TEST(explains_nothing_of_nonsense),
	    TEST(purges),
	    TEST(purges_nothing_by_mistake),
	    TEST(verifies_and_cleans),
	    TEST(counters_outlive_a_restart),
	    TEST(counters_of_garbage_are_zero),
	};

	return cmocka_run_group_tests_name("jobs", tests, set_up, tear_down);
}
