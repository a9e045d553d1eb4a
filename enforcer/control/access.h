/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who is at the other end of a socket, and what the lists allow him. Private to control/. */
#pragma once

#include "enforcer/control/server.h"

/* Who a peer is: ids of the kernel and, for its uid, of the account database. */
struct enf_identity {
    uid_t uid;
    pid_t pid;
    gid_t *groups; /* owned */
    size_t groups_len;
    char actor[ENF_ACTOR_LEN];
};

/* A copy of the lists. */
struct enf_access {
    struct enf_control_principal *principals; /* owned, as are their names: admins, viewers, portal */
    size_t admins_len;
    size_t viewers_len;
    size_t len;
};

/* Asks the kernel about the peer of the connected socket fd. 0 or -errno. */
int enf_identity_of_peer(int fd, struct enf_identity *out);
void enf_identity_clear(struct enf_identity *identity);

/* 0 or -ENOMEM with *out untouched. */
int enf_access_copy(const struct enf_control_access *lists, struct enf_access *out);
void enf_access_clear(struct enf_access *access);

/* Looks the names of the lists up now, so that accounts may be made after the daemon started. A name that
 * nobody has matches nobody. Sets admin, viewer and portal of caller: one of them at most. */
void enf_access_role(const struct enf_access *access, const struct enf_identity *identity,
                     struct enf_control_caller *caller);
