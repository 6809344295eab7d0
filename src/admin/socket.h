/*
 * The admin socket as a file.
 */
#ifndef ADMIN_SOCKET_H
#define ADMIN_SOCKET_H

#include <stddef.h>
#include <sys/stat.h>

/* A connected descriptor, or a negative error: LARDER_ABSENT (nobody there),
 * LARDER_ACCESS, LARDER_IO. Blocks for a moment at most. */
int socket_connect(const char *path, int *fd);

/* A listening, non-blocking one, mode 0660; *id tells its file from another
 * that takes its place later. On failure a sentence in why. */
int socket_listen(
    const char *path, int *fd, struct stat *id, char *why, size_t why_size);

/* Removes the file if it is still that one. */
void socket_remove(const char *path, const struct stat *id);

#endif
