/*
 * What the catalog has beside keys: containers and their queue, and the store's
 * own state.
 */
#include "catalog_env.h"

int
catalog_get_container(
    struct catalog_reader *r, uint64_t id, struct object_container *out)
{
	struct bytes value;
	char key[8];
	int err;

	object_put64_be(key, id);
	err = catalog_ask(r, CONTAINERS, key, sizeof(key), &value);
	return err ? err : object_container_decode(value, out);
}

/* Users' names start with a plus, so that none is mistaken for our own. */
static size_t
state_key(const char *name, char key[40])
{
	size_t n = strnlen(name, 32);

	key[0] = '+';
	memcpy(key + 1, name, n);
	return n + 1;
}

int
catalog_get_state(struct catalog_reader *r, const char *name, struct bytes *out)
{
	char key[40];
	size_t n = state_key(name, key);

	return catalog_ask(r, STATE, key, n, out);
}

int
catalog_get_holes(struct catalog_reader *r, struct bytes *out)
{
	return catalog_ask(r, STATE, "holes", 5, out);
}

#define TOTALS 9u

int
catalog_get_totals(struct catalog_reader *r, struct catalog_totals *out)
{
	uint64_t v[TOTALS];
	struct bytes value = {NULL, 0};
	int err = catalog_ask(r, STATE, "totals", 6, &value);

	if (err)
		return err;
	if (value.n != 8 + 8 * TOTALS ||
	    object_get64(value.p) !=
		object_sum(value.p + 8, 8 * TOTALS, OBJECT_FORMAT))
		return LARDER_DAMAGED;
	for (unsigned i = 0; i < TOTALS; i++)
		v[i] = object_get64(value.p + 8 + 8 * i);
	*out = (struct catalog_totals){.next_id = v[0],
	    .next_queue = v[1],
	    .pack = v[2],
	    .main_pack = v[7],
	    .objects = v[3],
	    .body_bytes = v[4],
	    .stored_bytes = v[5],
	    .disk = v[6],
	    .small = v[8]};
	return 0;
}

/* The first at or behind *n in a database whose keys are numbers. */
static int
seek_number(struct catalog_reader *r, enum db db, uint64_t *n, MDB_val *v)
{
	char key[8];
	MDB_val k = {sizeof(key), key};
	MDB_cursor *cursor;
	int err = catalog_refresh(r);

	if (err)
		return err;
	object_put64_be(key, *n);
	err = catalog_error(safe_cursor_open(r->txn, r->env->dbs[db], &cursor));
	if (err)
		return err;
	err = catalog_error(safe_cursor_get(cursor, &k, v, MDB_SET_RANGE));
	if (!err && k.mv_size != sizeof(key))
		err = LARDER_DAMAGED;
	if (!err)
		*n = object_get64_be(k.mv_data);
	mdb_cursor_close(cursor);
	return err;
}

int
catalog_oldest(struct catalog_reader *r, uint64_t *queue, uint64_t *id)
{
	MDB_val v;
	int err = seek_number(r, QUEUE, queue, &v);

	if (!err && v.mv_size != 8)
		err = LARDER_DAMAGED;
	if (!err)
		*id = object_get64_be(v.mv_data);
	return err;
}

int
catalog_next_container(struct catalog_reader *r, uint64_t *id)
{
	MDB_val v;

	return seek_number(r, CONTAINERS, id, &v);
}

/* ---- writing ------------------------------------------------------------ */

int
catalog_old_container(
    struct catalog *c, uint64_t id, struct object_container *out)
{
	struct bytes value;
	char key[8];
	int err;

	if (c->env->signs.damaged)
		return LARDER_DAMAGED;
	object_put64_be(key, id);
	err = catalog_fetch(
	    c->write, c->env->dbs[CONTAINERS], key, sizeof(key), &value);
	return err ? err : object_container_decode(value, out);
}

int
catalog_put_container(struct catalog *c, uint64_t id,
    const struct object_container *before, const struct object_container *after)
{
	char key[8], queue[8], value[OBJECT_CONTAINER];
	int err = 0;

	object_put64_be(key, id);
	if (before && (!after || after->queue != before->queue)) {
		object_put64_be(queue, before->queue);
		err = catalog_remove(c, QUEUE, queue, sizeof(queue));
	}
	if (err)
		return err;
	if (!after) {
		err = catalog_remove(c, CONTAINERS, key, sizeof(key));
		return err ? err : catalog_drop_members(c, id);
	}
	object_container_encode(after, value);
	err = catalog_store(
	    c, CONTAINERS, key, sizeof(key), bytes_of(value, sizeof(value)));
	if (err || (before && after->queue == before->queue))
		return err;
	object_put64_be(queue, after->queue);
	return catalog_store(
	    c, QUEUE, queue, sizeof(queue), bytes_of(key, sizeof(key)));
}

int
catalog_put_state(struct catalog *c, const char *name, struct bytes value)
{
	char key[40];
	size_t n = state_key(name, key);

	return catalog_store(c, STATE, key, n, value);
}

int
catalog_put_holes(struct catalog *c, struct bytes holes)
{
	return catalog_store(c, STATE, "holes", 5, holes);
}

int
catalog_put_totals(struct catalog *c, const struct catalog_totals *t)
{
	const uint64_t v[TOTALS] = {t->next_id, t->next_queue, t->pack,
	    t->objects, t->body_bytes, t->stored_bytes, t->disk, t->main_pack,
	    t->small};
	char buf[8 + 8 * TOTALS];

	for (unsigned i = 0; i < TOTALS; i++)
		object_put64(buf + 8 + 8 * i, v[i]);
	object_put64(buf, object_sum(buf + 8, 8 * TOTALS, OBJECT_FORMAT));
	return catalog_store(c, STATE, "totals", 6, bytes_of(buf, sizeof(buf)));
}
