/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which system calls a thread may make (seccomp, seccomp_rule_add(3)). A filter holds for the calling thread
 * and for those that it starts later; it can be made narrower, never wider. */
#pragma once

enum enf_seccomp_role {
    ENF_SECCOMP_CONTROL,     /* files, Unix and netlink sockets; starts threads, never programs */
    ENF_SECCOMP_CONTROL_NET, /* the same, and TCP and UDP sockets: where events go to another machine */
    ENF_SECCOMP_WORKER,      /* its open sockets, memory, clocks: no files */
    ENF_SECCOMP_METRICS,     /* accepts connections on an open socket: no files, no sockets of its own */
};

/* Installs the filter for the calling thread, and sets its no_new_privs. What no honest part of the daemon
 * does (execve, ptrace, mount, bpf, setuid …) then ends the process with SIGSYS; what is merely not needed
 * fails, with ENOSYS or as the call would. 0, or -errno: nothing is installed. -ENOTSUP: this build has no
 * filters (make SAN=… or CONFINE=no). */
int enf_seccomp_apply(enum enf_seccomp_role role);
