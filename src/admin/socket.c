#include "admin/socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "larder/err.h"

static int
make_address(const char *path, struct sockaddr_un *out)
{
	size_t n = strlen(path);

	if (n >= sizeof(out->sun_path)) {
		errno = ENAMETOOLONG;
		return LARDER_IO;
	}
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(out->sun_path, path, n);
	return 0;
}

int
socket_connect(const char *path, int *fd)
{
	struct sockaddr_un un;

	*fd = -1;
	if (make_address(path, &un) < 0)
		return LARDER_IO;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return LARDER_IO;
	if (connect(*fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return 0;
	close(*fd);
	*fd = -1;
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
	case ECONNREFUSED:
		return LARDER_ABSENT;
	case EACCES:
	case EPERM:
		return LARDER_ACCESS;
	default:
		return LARDER_IO;
	}
}

/* Nothing is there, or a socket nobody listens on, which goes. */
static int
make_place(const char *path, char *why, size_t why_size)
{
	struct stat st;
	int fd, rc;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode)) {
		snprintf(why, why_size,
		    "%s is there and is no socket; set admin_socket to "
		    "another path",
		    path);
		return LARDER_INVALID;
	}
	rc = socket_connect(path, &fd);
	if (rc == 0) {
		close(fd);
		snprintf(why, why_size,
		    "another larderd answers on %s; stop it, or set "
		    "admin_socket to another path",
		    path);
		return LARDER_LOCKED;
	}
	if (rc == LARDER_ABSENT)
		unlink(path);
	return 0;
}

int
socket_listen(
    const char *path, int *fd, struct stat *id, char *why, size_t why_size)
{
	struct sockaddr_un un;
	mode_t mask;
	int rc;

	*fd = -1;
	rc = make_place(path, why, why_size);
	if (rc < 0)
		return rc;
	rc = make_address(path, &un);
	if (rc == 0)
		*fd = socket(
		    AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* From the first moment on it is for nobody else. */
	mask = umask(0117);
	if (*fd < 0 || bind(*fd, (struct sockaddr *)&un, sizeof(un)) < 0 ||
	    listen(*fd, 64) < 0 || lstat(path, id) < 0) {
		snprintf(why, why_size, "admin_socket %s: %s", path,
		    strerrordesc_np(errno));
		rc = errno == EACCES ? LARDER_ACCESS : LARDER_IO;
	}
	umask(mask);
	if (rc < 0 && *fd >= 0) {
		close(*fd);
		*fd = -1;
	}
	return rc;
}

void
socket_remove(const char *path, const struct stat *id)
{
	struct stat st;

	if (lstat(path, &st) == 0 && st.st_dev == id->st_dev &&
	    st.st_ino == id->st_ino)
		unlink(path);
}
