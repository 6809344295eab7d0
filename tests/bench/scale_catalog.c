/*
 * The catalog alone: the keys and values of so many objects, in groups as the
 * writer makes them at its quickest.
 */
#include <stdio.h>

#include "larder/clock.h"
#include "scale.h"

#define GROUP 4096u

static struct hash
plain_hash(const char *url)
{
	uint64_t h = object_sum(url, URL, 1);

	return (struct hash){h, mix(h)};
}

/* What the writer would have put for the i-th object. */
static int
put_one(struct catalog *c, uint64_t i)
{
	char url[URL + 1], meta[256], buf[1024];
	struct object_value v = {.count = 1};
	struct place *body = &v.infos[0].body;
	int err;

	url_of(i, url);
	v.key = bytes_of(url, URL);
	v.infos[0] = (struct object_info){.id = i + i / 28000 + 1,
	    .stored_at = clock_wall_ms() / 1000,
	    .expires = clock_wall_ms() / 1000 + 86400 * (int64_t)(i % 30),
	    .head_size = 215,
	    .body_size = BODY,
	    .variant = {"", 0},
	    .meta = {meta, meta_of(i, meta)}};
	*body = (struct place){.kind = PLACE_PACK,
	    .container = i / 28000 * 28001 + 1,
	    .offset = i % 28000 * 2220,
	    .stored = BODY + 172,
	    .raw = BODY};
	err = catalog_put(c, plain_hash(url), v.key,
	    bytes_of(buf, object_value_encode(&v, buf)));
	return err ? err
		   : catalog_put_member(c, body, plain_hash(url), v.key, true);
}

static double
get_cost(struct catalog *c, uint64_t count)
{
	struct catalog_reader *r;
	struct object_value v;
	struct bytes value;
	double before = 0;
	char url[URL + 1];
	int err = catalog_reader_open(c, &r);

	for (unsigned i = 0; !err && i < 2 * FINDS; i++) {
		if (i == FINDS)
			before = cpu_us();
		url_of(mix(i) % count, url);
		err =
		    catalog_get(r, plain_hash(url), bytes_of(url, URL), &value);
		if (!err)
			err =
			    object_value_decode(value, bytes_of(url, URL), &v);
	}
	if (err)
		die("get", err);
	catalog_reader_close(&r);
	return (cpu_us() - before) * 1e3 / FINDS;
}

void
catalog_alone(const char *path, uint64_t count)
{
	uint64_t i = 0, next = 10000;
	double before = cpu_us();
	struct catalog *c;
	char name[512];
	int err;

	snprintf(name, sizeof(name), "%s/" CATALOG_FILE, path);
	if ((err = catalog_open(&c, name, 1ull << 40)) != 0)
		die(name, err);
	printf("%10s %8s %8s %8s %8s\n", "objects", "in file", "used",
	    "get, ns", "put, us");
	while (i < count) {
		uint64_t end = i + GROUP, from = next / 10;

		end = end < next ? end : next;
		end = end < count ? end : count;
		err = catalog_begin(c);
		for (; !err && i < end; i++)
			err = put_one(c, i);
		if (!err)
			err = catalog_commit(c);
		if (err)
			die("put", err);
		if (i != next && i != count)
			continue;
		if (next == 10000)
			from = 0;
		printf("%10llu %8.1f %8.1f", (unsigned long long)i,
		    (double)catalog_size(c) / (double)i,
		    (double)catalog_used(c) / (double)i);
		before = cpu_us() - before;
		printf(" %8.0f %8.1f\n", get_cost(c, i),
		    before / (double)(i - from));
		fflush(stdout);
		next *= 10;
		before = cpu_us();
	}
	catalog_close(&c);
}
