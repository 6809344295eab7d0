#include "../http/parse.h"

#include "cache/admit.h"
#include "cache/coding.h"
#include "cache/media.h"
#include "cache/vary.h"

#define AE(v)	 "Accept-Encoding: " v "\r\n"
#define TYPE(v)	 "Content-Type: " v "\r\n"
#define CODED(v) "Content-Encoding: " v "\r\n"

enum {
	ID = HTTP_CODING_IDENTITY,
	GZIP = HTTP_CODING_GZIP,
	ZSTD = HTTP_CODING_ZSTD,
	OTHER = HTTP_CODING_OTHER
};

static const struct cache_policy yes = {.compress = true}, no = {0};

static struct cache_request
make(struct arena *a, const char *lines, const struct cache_policy *policy)
{
	struct http_head *head = arena_alloc(a, sizeof(*head));
	struct cache_request r;

	*head = test_request(a, "GET", lines);
	cache_request_init(&r, head);
	assert_int_equal(cache_coding_ask(&r, policy, false, a), 0);
	return r;
}

/* RFC 9110 12.5.3: what a client says, and what it gets of each of three. */
static const struct {
	const char *lines;
	/* of a long text stored plain, gzip'ed, zstd'ed */
	int plain, gzip, zstd;
	/* of a picture, stored likewise */
	int picture, gzip_picture, zstd_picture;
} clients[] = {
    {"", ID, ID, ID, ID, ID, ID},
    {AE(""), ID, ID, ID, ID, ID, ID},
    {AE("identity"), ID, ID, ID, ID, ID, ID},
    {AE("gzip"), GZIP, GZIP, GZIP, ID, GZIP, ID},
    {AE("zstd"), ZSTD, ZSTD, ZSTD, ID, ID, ZSTD},
    {AE("gzip, zstd"), ZSTD, GZIP, ZSTD, ID, GZIP, ZSTD},
    {AE("gzip") AE("zstd"), ZSTD, GZIP, ZSTD, ID, GZIP, ZSTD},
    {AE("GZip;Q=0.5, zstd;q=0.4"), GZIP, GZIP, ZSTD, ID, GZIP, ZSTD},
    {AE("x-gzip"), GZIP, GZIP, GZIP, ID, GZIP, ID},
    {AE("x-gzip, gzip;q=0"), ID, ID, ID, ID, ID, ID},
    {AE("br"), ID, ID, ID, ID, ID, ID},
    {AE("*"), ZSTD, GZIP, ZSTD, ID, GZIP, ZSTD},
    {AE("*;q=0"), ID, GZIP, ZSTD, ID, GZIP, ZSTD},
    {AE("*;q=0, identity"), ID, ID, ID, ID, ID, ID},
    {AE("*;q=0, gzip"), GZIP, GZIP, GZIP, GZIP, GZIP, GZIP},
    {AE("gzip;q=0"), ID, ID, ID, ID, ID, ID},
    {AE("gzip;q=0.000, zstd;q=0.001"), ZSTD, ZSTD, ZSTD, ID, ID, ZSTD},
    {AE("gzip, zstd;q=0"), GZIP, GZIP, GZIP, ID, GZIP, ID},
    {AE("gzip, identity;q=0"), GZIP, GZIP, GZIP, GZIP, GZIP, GZIP},
    {AE("identity;q=0"), ID, GZIP, ZSTD, ID, GZIP, ZSTD},
    {AE("identity, gzip;q=0.5"), ID, GZIP, ID, ID, GZIP, ID},
    {AE("identity;q=0.5, gzip;q=0.5"), GZIP, GZIP, GZIP, ID, GZIP, ID},
    /* malformed members count for nothing */
    {AE("gzip;q=2, zstd;x=1"), ID, ID, ID, ID, ID, ID},
    {AE("gzip;q=, zstd"), ZSTD, ZSTD, ZSTD, ID, ID, ZSTD},
    {AE("gzip") "Cache-Control: no-transform\r\n", ID, GZIP, ZSTD, ID, GZIP,
	ZSTD},
};

static int
choose(const struct cache_request *r, unsigned flags, uint64_t length)
{
	struct cache_meta m = {.status = 200, .flags = (uint16_t)flags};
	struct cache_coding c;

	cache_coding_choose(r, &m, length, true, &yes, &c);
	/* What goes out is acceptable, or nothing was. */
	assert_true(c.from == c.to || c.varies);
	return (int)c.to;
}

static void
clients_get_what_they_accept(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(clients) / sizeof(*clients); i++) {
		const char *lines = clients[i].lines;
		struct cache_request r;
		struct arena a;

		arena_init(&a, 1 << 16);
		r = make(&a, lines, &yes);
		row_check(i, lines,
		    choose(&r, CACHE_IDENTITY | CACHE_GAINS, 5000) ==
			clients[i].plain);
		row_check(i, lines,
		    choose(&r, CACHE_GZIP | CACHE_GAINS, 5000) ==
			clients[i].gzip);
		row_check(i, lines,
		    choose(&r, CACHE_ZSTD | CACHE_GAINS, UINT64_MAX) ==
			clients[i].zstd);
		row_check(i, lines,
		    choose(&r, CACHE_IDENTITY, 5000) == clients[i].picture);
		row_check(i, lines,
		    choose(&r, CACHE_GZIP, 5000) == clients[i].gzip_picture);
		row_check(i, lines,
		    choose(&r, CACHE_ZSTD, 5000) == clients[i].zstd_picture);
		arena_release(&a);
	}
}

/* What is sent to one who accepts gzip. */
static void
responses_are_coded_if_they_may(void **state)
{
	static const struct {
		int status;
		unsigned flags;
		uint64_t length;
		bool shared, compress;
		int to;
		bool varies;
	} rows[] = {
	    {200, CACHE_IDENTITY | CACHE_GAINS, 1024, true, true, GZIP, true},
	    {200, CACHE_IDENTITY | CACHE_GAINS, 1023, true, true, ID, false},
	    {200, CACHE_IDENTITY | CACHE_GAINS, UINT64_MAX, true, true, GZIP,
		true},
	    {200, CACHE_IDENTITY, 5000, true, true, ID, false},
	    {404, CACHE_IDENTITY | CACHE_GAINS, 5000, true, true, GZIP, true},
	    {206, CACHE_IDENTITY | CACHE_GAINS, 5000, true, true, ID, false},
	    {204, CACHE_ZSTD, 5000, true, true, ZSTD, false},
	    {304, CACHE_ZSTD, 5000, true, true, ZSTD, false},
	    {206, CACHE_ZSTD, 5000, true, true, ZSTD, false},
	    {200, CACHE_ZSTD, 0, true, true, ZSTD, false},
	    {200, CACHE_ZSTD, 10, true, true, ID, true},
	    {200, CACHE_GZIP, 10, true, true, GZIP, true},
	    /* for one client: only decoded */
	    {200, CACHE_IDENTITY | CACHE_GAINS, 5000, false, true, ID, false},
	    {200, CACHE_ZSTD | CACHE_GAINS, 5000, false, true, ID, true},
	    /* no-transform, the rule, an unknown coding */
	    {200, CACHE_IDENTITY | CACHE_GAINS | CACHE_NO_TRANSFORM, 5000, true,
		true, ID, false},
	    {200, CACHE_ZSTD | CACHE_NO_TRANSFORM, 5000, true, true, ZSTD,
		false},
	    {200, CACHE_IDENTITY | CACHE_GAINS, 5000, true, false, ID, false},
	    {200, CACHE_ZSTD, 5000, true, false, ZSTD, false},
	    {200, CACHE_GAINS, 5000, true, true, OTHER, false},
	    {200, CACHE_GZIP | CACHE_ZSTD, 5000, true, true, OTHER, false},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_meta m = {.status = (uint16_t)rows[i].status,
		    .flags = (uint16_t)rows[i].flags};
		struct cache_policy policy = {.compress = rows[i].compress};
		struct cache_request r = make(&a, AE("gzip"), &policy);
		struct cache_coding c;

		cache_coding_choose(
		    &r, &m, rows[i].length, rows[i].shared, &policy, &c);
		row_check(i, "to", (int)c.to == rows[i].to);
		row_check(i, "varies", c.varies == rows[i].varies);
	}
	arena_release(&a);
}

/* What an origin is asked for. */
static void
origins_are_asked_for_both(void **state)
{
	static const struct {
		const char *lines;
		bool ours;
	} rows[] = {
	    {"", false},
	    {AE(""), false},
	    {AE("br"), false},
	    {AE("identity"), false},
	    {AE("gzip;q=0, zstd;q=0.0"), false},
	    {AE("*;q=0"), false},
	    {AE("gzip"), true},
	    {AE("br") AE("zstd;q=0.1"), true},
	    {AE("x-gzip"), true},
	    {AE("*"), true},
	    {AE("gzip") "Range: bytes=0-\r\n", false},
	    {AE("gzip") "Cache-Control: no-transform\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_request r;
		struct arena a;

		arena_init(&a, 1 << 16);
		r = make(&a, rows[i].lines, &yes);
		row_check(
		    i, rows[i].lines, (r.asked != r.head) == rows[i].ours);
		if (rows[i].ours) {
			struct bytes v =
			    http_value(r.asked, HTTP_F_ACCEPT_ENCODING);

			row_check(i, rows[i].lines,
			    http_count(r.asked, HTTP_F_ACCEPT_ENCODING) == 1 &&
				bytes_eq(v, BYTES("zstd, gzip")) &&
				http_has(r.asked, HTTP_F_HOST));
		}
		r = make(&a, rows[i].lines, &no);
		row_check(i, rows[i].lines, r.asked == r.head && !r.recodes);
		/* What is stored was asked for so. */
		r = make(&a, rows[i].lines, &yes);
		assert_int_equal(cache_coding_ask(&r, &yes, true, &a), 0);
		row_check(i, rows[i].lines,
		    (r.asked != r.head) == (r.recodes && !r.ranged));
		arena_release(&a);
	}
}

/* Of a response: may it be changed, and would it gain? */
static void
responses_say_their_coding(void **state)
{
	static const struct {
		const char *target, *asked, *lines;
		unsigned flags;
	} rows[] = {
	    {"/", "", "", CACHE_IDENTITY},
	    {"/", "", TYPE("text/plain"), CACHE_IDENTITY | CACHE_GAINS},
	    {"/", "", CODED("identity"), CACHE_IDENTITY},
	    {"/", "", CODED(""), CACHE_IDENTITY},
	    {"/", AE("gzip"), CODED("gzip"), CACHE_GZIP},
	    {"/", AE("gzip"), CODED("X-GZIP") TYPE("text/css"),
		CACHE_GZIP | CACHE_GAINS},
	    {"/", AE("zstd"), CODED("zstd") TYPE("image/png"), CACHE_ZSTD},
	    {"/", AE("*"), CODED("br"), 0},
	    {"/", AE("*"), CODED("gzip, br"), 0},
	    {"/", AE("*"), CODED("gzip") CODED("gzip"), 0},
	    /* a file that is packed itself */
	    {"/a.gz", AE("*"), CODED("gzip"), 0},
	    {"/a.tgz?b", AE("*"), CODED("gzip"), 0},
	    {"/a?b.gz", AE("*"), CODED("gzip"), CACHE_GZIP},
	    {"/a", AE("*"), CODED("gzip") TYPE("application/x-gzip"), 0},
	    {"/a", AE("*"), CODED("gzip") TYPE("application/x-tar; q"), 0},
	    /* that nobody had asked for */
	    {"/", "", CODED("gzip"), 0},
	    {"/", "", CODED("gzip") TYPE("text/html"),
		CACHE_GZIP | CACHE_GAINS},
	    {"/", "", CODED("gzip") TYPE("application/octet-stream"), 0},
	    {"/", AE("zstd"), CODED("gzip") TYPE("application/pdf"), 0},
	};
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct http_head request =
		    test_request(&a, "GET", rows[i].asked);
		struct http_head response =
		    test_response(&a, 200, rows[i].lines);

		request.target = bytes_str(rows[i].target);
		row_check(i, rows[i].lines,
		    cache_coding_flags(&request, &response) == rows[i].flags);
	}
	arena_release(&a);
}

static void
media_types_gain_or_do_not(void **state)
{
	static const struct {
		const char *type, *target;
		bool gains;
	} rows[] = {
	    {"text/plain", "/", true},
	    {"Text/HTML ; charset=utf-8", "/", true},
	    {"text/event-stream", "/", false},
	    {"application/json", "/", true},
	    {"application/problem+json", "/", true},
	    {"application/atom+XML;x", "/", true},
	    {"image/svg+xml", "/", true},
	    {"image/png", "/", false},
	    {"application/wasm", "/", true},
	    {"application/jsonx", "/", false},
	    {"application/zip", "/", false},
	    {"application/vnd.debian.binary-package", "/a.deb", false},
	    {"", "/a.txt", false},
	    {"", "/dists/bookworm/main/binary-amd64/Packages", true},
	    {"application/octet-stream", "http://a/dists/x/InRelease", true},
	    {"image/png", "/Packages", false},
	    {"", "/Packages.xz", false},
	    {"", "/Packages?x=/y", true},
	    {"", "/x/Contents-amd64", true},
	    {"", "/x/Contents-amd64.gz", false},
	    {"", "/i18n/Translation-de", true},
	    {"", "", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		row_check(i, rows[i].type,
		    media_gains(bytes_str(rows[i].type),
			bytes_str(rows[i].target)) == rows[i].gains);
}

/* Whom a stored response answers, asked for by a client with gzip. */
static void
what_can_be_coded_anew_answers_all(void **state)
{
	static const struct {
		const char *lines;
		unsigned flags;
		bool matches;
	} rows[] = {
	    {AE("gzip"), CACHE_GZIP, true},
	    {AE("zstd"), CACHE_GZIP, true},
	    {"", CACHE_GZIP, true},
	    {"", CACHE_IDENTITY, true},
	    {AE("br"), CACHE_IDENTITY, true},
	    /* all who have one of the two ask alike */
	    {AE("zstd, br"), 0, true},
	    {AE("br"), 0, false},
	    {"", 0, false},
	    {"", CACHE_GZIP | CACHE_NO_TRANSFORM, false},
	    {AE("zstd"), CACHE_GZIP | CACHE_NO_TRANSFORM, true},
	    {AE("zstd") "Cache-Control: no-transform\r\n", CACHE_GZIP, false},
	    /* other fields count as ever */
	    {AE("gzip") "A: 2\r\n", CACHE_GZIP, false},
	};
	struct cache_request r;
	struct http_head response;
	struct bytes variant;
	struct arena a;

	(void)state;
	arena_init(&a, 1 << 16);
	r = make(&a, AE("gzip"), &yes);
	response = test_response(&a, 200, "Vary: A, Accept-Encoding\r\n");
	assert_int_equal(cache_variant(r.asked, &response, &a, &variant), 0);
	assert_true(bytes_eq(variant, BYTES("a\naccept-encoding:gzip,zstd\n")));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_meta m = {.flags = (uint16_t)rows[i].flags};

		r = make(&a, rows[i].lines, &yes);
		row_check(i, rows[i].lines,
		    cache_coding_matches(&r, variant, &m, &a) ==
			rows[i].matches);
	}
	/* Of a part the bytes go out as they are, if at all. */
	for (size_t i = 0; i < 4; i++) {
		struct cache_meta m = {.part = {0, 5, 10},
		    .flags = i & 1 ? CACHE_GZIP : CACHE_IDENTITY};

		r = make(&a, i & 2 ? AE("gzip") : AE("br"), &yes);
		row_check(i, "part",
		    cache_coding_matches(&r, BYTES(""), &m, &a) == (i != 1));
		row_check(i, "part that varies",
		    cache_coding_matches(&r, variant, &m, &a) == (i >= 2));
	}
	r = make(&a, "", &no);
	assert_false(cache_coding_matches(
	    &r, variant, &(struct cache_meta){.flags = CACHE_GZIP}, &a));
	arena_release(&a);
}

static void
heads_say_what_was_done(void **state)
{
	static const struct {
		int from, to;
		bool varies;
		const char *in, *out;
	} rows[] = {
	    {ID, ID, false, "ETag: \"a\"\r\n", "ETag: \"a\"\r\n"},
	    {ID, ID, true, "ETag: \"a\"\r\n",
		"ETag: \"a\"\r\nVary: Accept-Encoding\r\n"},
	    {ID, ID, true, "X-Vary: vary:\r\nvary: a\r\nVarying: b\r\n",
		"X-Vary: vary:\r\nvary: a, Accept-Encoding\r\nVarying: b\r\n"},
	    {ID, GZIP, true, "ETag: \"a\"\r\nVary: A\r\nVary: B\r\nX: y\r\n",
		"ETag: W/\"a\"\r\nVary: A\r\nVary: B, Accept-Encoding\r\n"
		"X: y\r\nContent-Encoding: gzip\r\n"},
	    {GZIP, ID, true,
		"content-encoding: x-gzip\r\netag: W/\"a\"\r\n"
		"vary: accept-encoding\r\nAccept-Ranges: bytes\r\n"
		"content-MD5: a\r\nDigest: b\r\nContent-Digest: c\r\n"
		"repr-digest: d\r\nWant-Digest: e\r\n",
		"etag: W/\"a\"\r\nvary: accept-encoding\r\n"
		"Want-Digest: e\r\n"},
	    {ZSTD, GZIP, true, "Vary: *\r\nContent-Encoding: zstd\r\n",
		"Vary: *\r\nContent-Encoding: gzip\r\n"},
	    {ZSTD, ZSTD, true, "Vary:\r\nContent-Encoding: zstd\r\n",
		"Vary: Accept-Encoding\r\nContent-Encoding: zstd\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cache_coding c = {.from = (enum http_coding)rows[i].from,
		    .to = (enum http_coding)rows[i].to,
		    .varies = rows[i].varies};
		struct bytes form, want, out;
		struct arena a;

		arena_init(&a, 1 << 16);
		form = arena_printf(&a, "HTTP/1.1 200 OK\r\n%s", rows[i].in);
		want = arena_printf(&a, "HTTP/1.1 200 OK\r\n%s", rows[i].out);
		assert_int_equal(cache_coding_form(form, &c, &a, &out), 0);
		row_check(i, out.p, bytes_eq(out, want));
		arena_release(&a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(clients_get_what_they_accept),
	    cmocka_unit_test(responses_are_coded_if_they_may),
	    cmocka_unit_test(origins_are_asked_for_both),
	    cmocka_unit_test(responses_say_their_coding),
	    cmocka_unit_test(media_types_gain_or_do_not),
	    cmocka_unit_test(what_can_be_coded_anew_answers_all),
	    cmocka_unit_test(heads_say_what_was_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
