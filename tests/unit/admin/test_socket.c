#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/socket.h"
#include "larder/err.h"

static char folder[] = "/tmp/larder-socket-XXXXXX";
static char path[64];

static int
set_up(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/admin.sock", folder);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static void
listens_for_owner_and_group(void **state)
{
	char why[256];
	struct stat id, st;
	int fd, client;

	(void)state;
	assert_int_equal(socket_connect(path, &client), LARDER_ABSENT);
	assert_int_equal(client, -1);
	assert_int_equal(socket_listen(path, &fd, &id, why, sizeof(why)), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	assert_int_equal(socket_connect(path, &client), 0);
	close(client);
	socket_remove(path, &id);
	assert_int_not_equal(access(path, F_OK), 0);
	close(fd);
}

static void
takes_a_dead_ones_place_only(void **state)
{
	char why[256];
	struct stat id, other;
	int fd, second;

	(void)state;
	assert_int_equal(socket_listen(path, &fd, &id, why, sizeof(why)), 0);
	assert_int_equal(socket_listen(path, &second, &other, why, sizeof(why)),
	    LARDER_LOCKED);
	assert_int_equal(second, -1);
	assert_non_null(strstr(why, path));
	close(fd);
	/* As after kill -9: the file is there, nobody listens. */
	assert_int_equal(socket_connect(path, &second), LARDER_ABSENT);
	assert_int_equal(socket_listen(path, &fd, &other, why, sizeof(why)), 0);
	socket_remove(path, &other);
	close(fd);
}

static void
a_file_is_not_replaced(void **state)
{
	char why[256];
	struct stat id;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(
	    socket_listen(path, &fd, &id, why, sizeof(why)), LARDER_INVALID);
	assert_non_null(strstr(why, "no socket"));
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);
}

static void
anothers_socket_is_not_removed(void **state)
{
	char why[256];
	struct stat id, wrong;
	int fd;

	(void)state;
	assert_int_equal(socket_listen(path, &fd, &id, why, sizeof(why)), 0);
	wrong = id;
	wrong.st_ino++;
	socket_remove(path, &wrong);
	assert_int_equal(access(path, F_OK), 0);
	socket_remove(path, &id);
	close(fd);
}

static void
says_why_not(void **state)
{
	char why[256], longer[200];
	struct stat id;
	int fd;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	assert_true(socket_listen(longer, &fd, &id, why, sizeof(why)) < 0);
	assert_true(socket_connect(longer, &fd) < 0);
	assert_true(
	    socket_listen("/nonexistent/s", &fd, &id, why, sizeof(why)) < 0);
	assert_non_null(strstr(why, "/nonexistent/s: No such file"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(listens_for_owner_and_group),
	    cmocka_unit_test(takes_a_dead_ones_place_only),
	    cmocka_unit_test(a_file_is_not_replaced),
	    cmocka_unit_test(anothers_socket_is_not_removed),
	    cmocka_unit_test(says_why_not),
	};

	return cmocka_run_group_tests_name("socket", tests, set_up, tear_down);
}
