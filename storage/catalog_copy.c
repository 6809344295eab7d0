/*
 * The catalog's file, made short.
 *
 * LMDB's file never shrinks: what was freed is used again, but after a large
 * purge, or a smaller budget, most of it is empty. What it holds is copied into
 * a new file, which takes its place:
 *
 *   copy into catalog.new ──> sync ──> open ──> rename ──> readers go over
 *
 * What always holds
 *   - Nothing is committed meanwhile: it is the writer who does it.
 *   - At every moment one of the two files is the whole catalog, under its
 *     name: a crash leaves at most a catalog.new, which is removed when the
 *     store is opened.
 *   - The old file is closed by the last reader that lets go of it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "catalog_env.h"
#include "disk.h"
#include "pages.h"

#define COPY "catalog.new"
#define LOCK "-lock"

void
catalog_forget_copy(int dir)
{
	disk_unlink(dir, COPY);
	disk_unlink(dir, COPY LOCK);
}

/* Half a copy cannot be given up when LMDB falls over what it copies. */
static int
look_through(struct env *from, int dir)
{
	int fd, err = disk_open(dir, CATALOG_FILE, O_RDONLY, &fd);

	if (err)
		return err;
	err =
	    from->signs.damaged ? LARDER_DAMAGED : pages_check(fd, UINT64_MAX);
	disk_close(fd);
	if (err == LARDER_DAMAGED)
		from->signs.damaged = true;
	return err;
}

static int
copy(struct env *from, int dir)
{
	int fd, err = look_through(from, dir);

	if (!err)
		err = disk_open(dir, COPY, O_RDWR | O_CREAT | O_TRUNC, &fd);
	if (err)
		return err;
	err = catalog_error(mdb_env_copyfd2(from->env, fd, MDB_CP_COMPACT));
	if (!err)
		err = disk_sync(fd);
	disk_close(fd);
	return err;
}

static char *
copy_path(const struct catalog *c)
{
	size_t folder = strlen(c->path) - strlen(CATALOG_FILE);
	char *path = malloc(folder + sizeof(COPY));

	if (path) {
		memcpy(path, c->path, folder);
		memcpy(path + folder, COPY, sizeof(COPY));
	}
	return path;
}

/* The copy becomes the catalog, on disk and here. */
static int
take_over(struct catalog *c, int dir, struct env **env)
{
	struct env *old;
	int err = disk_rename(dir, COPY, CATALOG_FILE);

	if (err)
		return err;
	/* An old one's lock would do as well: whoever opens it alone begins it
	 * anew. */
	disk_rename(dir, COPY LOCK, CATALOG_FILE LOCK);
	old = catalog_replace(c, *env);
	*env = NULL;
	env_unref(&old);
	/* Until then a power cut may bring back the old one: it holds the
	 * same, for nothing has been committed since. */
	return disk_sync_folder(dir, ".");
}

int
catalog_compact(struct catalog *c, int dir)
{
	char *path = copy_path(c);
	struct env *env = NULL;
	int err = path ? 0 : LARDER_NOMEM;

	catalog_forget_copy(dir);
	if (!err)
		err = copy(c->env, dir);
	if (!err)
		err = env_open(&env, path, c->map);
	if (!err)
		err = take_over(c, dir, &env);
	env_unref(&env);
	catalog_forget_copy(dir);
	free(path);
	return err;
}
