/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which files the process may open, by folder (Landlock, landlock(7)). Holds for the calling thread and for
 * those that it starts later; can be made narrower, never wider. */
#pragma once

#include <stddef.h>

enum enf_landlock_how {
    ENF_LANDLOCK_READ,
    ENF_LANDLOCK_WRITE,  /* read, write, make and remove files and folders */
    ENF_LANDLOCK_SOCKET, /* the same, and sockets */
    ENF_LANDLOCK_DEVICE, /* one file: read and write */
};

/* path need not exist: where it is to be written to, its parent folder is meant then, else nothing. */
struct enf_landlock_rule {
    const char *path;
    enum enf_landlock_how how;
};

/* What no rule names cannot be opened, made or removed any more; descriptors that are open stay so. Nothing
 * can be executed. Where the kernel knows how, signals and abstract Unix sockets of others are out of reach
 * as well. Sets no_new_privs. The version of Landlock that the kernel has, or -errno: nothing is restricted.
 * -ENOSYS, -EOPNOTSUPP: the kernel has none, or it is switched off; -ENOTSUP: this build has none. */
int enf_landlock_apply(const struct enf_landlock_rule *rules, size_t len);
