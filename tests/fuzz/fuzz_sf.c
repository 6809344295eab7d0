/*
 * Dictionaries of structured fields: what was read, written anew and read again
 * says the same, over one line or several; and CDN-Cache-Control means what
 * the last member of each key says.
 */
#include "fuzz.h"

#include <inttypes.h>
#include <stdio.h>

#include "cache/control.h"
#include "http/forward.h"
#include "http/sf.h"

#define MEMBERS_MAX 64
#define LINES_MAX   4

struct dictionary {
	bool failed;
	unsigned count;
	struct http_sf_member members[MEMBERS_MAX];
};

/* All lines, or one: joined as RFC 8941 4.2 says. */
static bool
make_head(const struct bytes *lines, unsigned count, bool join,
    struct arena *arena, struct http_head *head)
{
	struct http_out out;

	http_out_init(&out, arena, 256);
	for (unsigned i = 0; i < count; i++) {
		http_out_str(
		    &out, i > 0 && join ? ", " : "CDN-Cache-Control: ");
		http_out_bytes(&out, lines[i]);
		if (!join || i + 1 == count)
			http_out_str(&out, "\r\n");
	}
	/* Not more than was meant to be. */
	return fuzz_head(BYTES("HTTP/1.1 200 OK\r\n"), http_out_done(&out),
		   false, arena, head) &&
	       head->count == (join ? 1 : count) &&
	       http_count(head, HTTP_F_CDN_CACHE_CONTROL) == head->count;
}

static struct dictionary
read_all(const struct http_head *head)
{
	struct dictionary d = {false, 0, {{.key = {NULL, 0}}}};
	struct http_sf_member m;
	struct http_sf sf;

	http_sf_init(&sf, head, HTTP_F_CDN_CACHE_CONTROL);
	while (http_sf_next(&sf, &m)) {
		check(m.key.n > 0);
		check(m.type != HTTP_SF_INTEGER ||
		      (m.integer <= INT64_C(999999999999999) &&
			  m.integer >= -INT64_C(999999999999999)));
		if (d.count < MEMBERS_MAX)
			d.members[d.count++] = m;
	}
	d.failed = sf.failed;
	check(!http_sf_next(&sf, &m));
	return d;
}

static void
check_same(const struct dictionary *a, const struct dictionary *b)
{
	check(a->failed == b->failed && a->count == b->count);
	for (unsigned i = 0; i < a->count; i++) {
		const struct http_sf_member *m = &a->members[i];
		const struct http_sf_member *n = &b->members[i];

		check(bytes_eq(m->key, n->key) && m->type == n->type);
		check(m->type != HTTP_SF_INTEGER || m->integer == n->integer);
		check(m->type != HTTP_SF_BOOLEAN || m->boolean == n->boolean);
		if (m->type == HTTP_SF_STRING || m->type == HTTP_SF_TOKEN)
			check(bytes_eq(m->text, n->text));
	}
}

static void
write_member(struct http_out *out, const struct http_sf_member *m)
{
	char number[32];

	http_out_bytes(out, m->key);
	switch (m->type) {
	case HTTP_SF_INTEGER:
		snprintf(number, sizeof(number), "=%" PRId64, m->integer);
		http_out_str(out, number);
		break;
	case HTTP_SF_DECIMAL:
		http_out_str(out, "=-1.5");
		break;
	case HTTP_SF_STRING:
		http_out_str(out, "=\"");
		http_out_bytes(out, m->text);
		http_out_str(out, "\"");
		break;
	case HTTP_SF_TOKEN:
		http_out_str(out, "=");
		http_out_bytes(out, m->text);
		break;
	case HTTP_SF_BINARY:
		http_out_str(out, "=:aGk=:;x");
		break;
	case HTTP_SF_BOOLEAN:
		http_out_str(out, m->boolean ? ";a;b=?0" : "=?0");
		break;
	case HTTP_SF_INNER_LIST:
		http_out_str(out, "=( 1;a \"b\"  c)");
		break;
	}
}

static void
write_anew(const struct dictionary *d, struct arena *arena)
{
	struct dictionary again;
	struct http_head head;
	struct http_out out;
	struct bytes line;

	if (d->failed || d->count == 0)
		return;
	http_out_init(&out, arena, 256);
	for (unsigned i = 0; i < d->count; i++) {
		if (i > 0)
			http_out_str(&out, i % 2 ? "," : " \t,\t ");
		write_member(&out, &d->members[i]);
	}
	line = http_out_done(&out);
	if (!make_head(&line, 1, true, arena, &head))
		return;
	again = read_all(&head);
	check_same(d, &again);
}

/* The last integer of that key as seconds; other types void all of it. */
static int64_t
seconds_of(const struct dictionary *d, struct bytes key)
{
	int64_t seconds = CACHE_NOT_GIVEN;

	for (unsigned i = 0; i < d->count; i++)
		if (bytes_eq(d->members[i].key, key))
			seconds = d->members[i].integer;
	if (seconds < CACHE_NOT_GIVEN)
		return 0;
	return seconds < CACHE_SECONDS_MAX ? seconds : CACHE_SECONDS_MAX;
}

static bool
flag_of(const struct dictionary *d, struct bytes key)
{
	bool flag = false;

	for (unsigned i = 0; i < d->count; i++)
		if (bytes_eq(d->members[i].key, key))
			flag = d->members[i].boolean;
	return flag;
}

static void
check_control(const struct dictionary *d, const struct http_head *head)
{
	struct cache_control cc;
	int64_t age = seconds_of(d, BYTES("max-age"));
	bool given = cache_control_targeted(head, &cc);

	check(!given || (!d->failed && d->count > 0));
	if (!given || d->count == MEMBERS_MAX)
		return;
	/* -1 is "not given" here, and nonsense there. */
	check(cc.max_age == age || (age == CACHE_NOT_GIVEN && cc.invalid));
	check(cc.no_store == flag_of(d, BYTES("no-store")));
	check(cc.must_revalidate == flag_of(d, BYTES("must-revalidate")));
	check(!cc.is_private || cc.private_fields.n == 0);
	check(!cc.no_cache || cc.no_cache_fields.n == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes in = bytes_of(data ? (const char *)data : "", size);
	struct dictionary several, one;
	struct bytes lines[LINES_MAX];
	struct http_head head, joined;
	struct arena arena;
	unsigned count = 0;

	arena_init(&arena, 1 << 20);
	do
		lines[count++] = fuzz_piece(&in);
	while (count < LINES_MAX && in.n > 0);
	if (make_head(lines, count, false, &arena, &head) &&
	    make_head(lines, count, true, &arena, &joined)) {
		several = read_all(&head);
		one = read_all(&joined);
		/* But a string that goes on over a line's end is refused. */
		if (!several.failed)
			check_same(&several, &one);
		check_control(&several, &head);
		write_anew(&one, &arena);
	}
	arena_release(&arena);
	return 0;
}
