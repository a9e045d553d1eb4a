/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From root to as little as the daemon can live on (docs/threat-model.md). In the control thread, before any
 * other thread is started: what is set here holds for all of them. */
#pragma once

#include "enforcer/daemon/running.h"

#define ENF_DEFAULT_USER "enforcer"

struct enf_privileges {
    const char *user; /* NULL: ENF_DEFAULT_USER where there is such a one, else root stays */
    bool only_state;  /* for --install: folders of socket and events are left alone, their disks may not be
                         there */
};

/* Where the process is not root's it stays who it is, and the user must be NULL or its own.
 *
 * In this order: folders and files of the configuration go to the user; the bounding set is emptied, user and
 * groups change, CAP_NET_ADMIN stays alone, no_new_privs, Landlock, seccomp. What the kernel has not
 * (Landlock, seccomp) is said and done without; that the rest failed is said and is the result: -errno, and
 * the process must end. *out_filtered: system calls are filtered, and each thread can have a narrower filter.
 */
int enf_privileges_drop(const struct enf_running *running, const struct enf_privileges *wanted,
                        bool *out_filtered);

/* For a process that needs no right at all: becomes preferred where there is such a user, else user (NULL:
 * ENF_DEFAULT_USER) where there is, without any capability, no_new_privs. Started by another user than root
 * it stays who it is. 0 or -errno.
 */
int enf_privileges_drop_all(const char *user, const char *preferred);
