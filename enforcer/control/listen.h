/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Puts the control socket into the file system, and takes it away again. Private to control/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Which file a socket is, so that nobody else's is removed. */
struct enf_socket_file {
    dev_t dev;
    ino_t ino;
};

/* Binds and listens; see enf_control_start for the errors. Returns the descriptor (non-blocking, close on
 * exec). */
int enf_socket_listen(const char *path, struct enf_socket_file *file, char *error, size_t error_len);
/* Removes path if it still is that file. */
void enf_socket_remove(const char *path, const struct enf_socket_file *file);
