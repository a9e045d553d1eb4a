/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the credentials of a peer, and compares them with the lists of names. */
#include "enforcer/control/access.h"

#include "enforcer/core/text.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define NSS_BUF_MAX (1u << 20) /* a group with very many members */
#define GROUPS_MAX  65536      /* NGROUPS_MAX of Linux */

/* One look-up of the account database, repeated with a larger buffer until the answer fits. */
typedef int (*lookup_fn)(const void *key, char *buf, size_t len, void *out);

static int lookup(lookup_fn fn, const void *key, void *out)
{
    int rc = ERANGE;

    for (size_t len = 1024; rc == ERANGE && len <= NSS_BUF_MAX; len *= 4) {
        char *buf = malloc(len);

        if (!buf)
            return -ENOMEM;
        rc = fn(key, buf, len, out);
        free(buf);
    }
    return -rc;
}

/* Its result is used before the buffer behind it is gone, so each look-up copies what it wants. */
struct account {
    char name[ENF_ACTOR_LEN];
    gid_t gid;
};

static int uid_to_account(const void *key, char *buf, size_t len, void *out)
{
    struct account *account = out;
    struct passwd *found = NULL;
    struct passwd pwd;
    int rc = getpwuid_r(*(const uid_t *)key, &pwd, buf, len, &found);

    if (rc || !found)
        return rc ? rc : ENOENT;
    enf_text_copy(account->name, sizeof(account->name), pwd.pw_name);
    account->gid = pwd.pw_gid;
    return 0;
}

static int name_to_uid(const void *key, char *buf, size_t len, void *out)
{
    struct passwd *found = NULL;
    struct passwd pwd;
    int rc = getpwnam_r(key, &pwd, buf, len, &found);

    if (rc || !found)
        return rc ? rc : ENOENT;
    *(uid_t *)out = pwd.pw_uid;
    return 0;
}

static int name_to_gid(const void *key, char *buf, size_t len, void *out)
{
    struct group *found = NULL;
    struct group grp;
    int rc = getgrnam_r(key, &grp, buf, len, &found);

    if (rc || !found)
        return rc ? rc : ENOENT;
    *(gid_t *)out = grp.gr_gid;
    return 0;
}

/* Appends len groups and leaves room for more, which the caller fills. NULL: no memory. */
static gid_t *more_groups(struct enf_identity *identity, size_t len)
{
    gid_t *groups = realloc(identity->groups, (identity->groups_len + len) * sizeof(*groups));

    if (!groups)
        return NULL;
    identity->groups = groups;
    return groups + identity->groups_len;
}

/* Groups the process of the peer has in fact. */
static int add_peer_groups(int fd, struct enf_identity *identity)
{
    socklen_t len = 0;
    gid_t *groups;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE)
        return 0; /* it has none, or a kernel before 4.13 */
    groups = more_groups(identity, len / sizeof(gid_t));
    if (!groups)
        return -ENOMEM;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0)
        identity->groups_len += len / sizeof(gid_t);
    return 0;
}

/* Groups its user is in by the account database: a login that is older than the membership counts as well. */
static int add_account_groups(const struct account *account, struct enf_identity *identity)
{
    for (int len = 64; len <= GROUPS_MAX; len *= 4) {
        int got = len;
        gid_t *groups = more_groups(identity, (size_t)len);

        if (!groups)
            return -ENOMEM;
        if (getgrouplist(account->name, account->gid, groups, &got) >= 0) {
            identity->groups_len += (size_t)got;
            return 0;
        }
    }
    return 0;
}

static int fill_groups(int fd, gid_t primary, const struct account *account, struct enf_identity *identity)
{
    gid_t *groups = more_groups(identity, 1);
    int err;

    if (!groups)
        return -ENOMEM;
    *groups = primary;
    identity->groups_len++;
    err = add_peer_groups(fd, identity);
    if (!err && account)
        err = add_account_groups(account, identity);
    return err;
}

int enf_identity_of_peer(int fd, struct enf_identity *out)
{
    struct enf_identity identity = {0};
    struct account account = {0};
    struct ucred cred;
    socklen_t len = sizeof(cred);
    bool known;
    int err;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return -errno;
    identity.uid = cred.uid;
    identity.pid = cred.pid;
    known = lookup(uid_to_account, &cred.uid, &account) == 0;
    if (known)
        snprintf(identity.actor, sizeof(identity.actor), "user:%.*s", ENF_ACTOR_LEN - 6, account.name);
    else
        snprintf(identity.actor, sizeof(identity.actor), "user:%u", (unsigned)cred.uid);
    err = fill_groups(fd, cred.gid, known ? &account : NULL, &identity);
    if (err) {
        enf_identity_clear(&identity);
        return err;
    }
    *out = identity;
    return 0;
}

void enf_identity_clear(struct enf_identity *identity)
{
    free(identity->groups);
    *identity = (struct enf_identity){0};
}

static int copy_list(const struct enf_control_principal *from, size_t len, struct enf_access *to)
{
    for (size_t i = 0; i < len; i++) {
        char *name = strdup(from[i].name);

        if (!name)
            return -ENOMEM;
        to->principals[to->len++] = (struct enf_control_principal){name, from[i].group};
    }
    return 0;
}

int enf_access_copy(const struct enf_control_access *lists, struct enf_access *out)
{
    struct enf_access access = {.admins_len = lists->admins_len, .viewers_len = lists->viewers_len};
    int err;

    access.principals =
        calloc(lists->admins_len + lists->viewers_len + lists->portal_len + 1, sizeof(*access.principals));
    if (!access.principals)
        return -ENOMEM;
    err = copy_list(lists->admins, lists->admins_len, &access);
    if (!err)
        err = copy_list(lists->viewers, lists->viewers_len, &access);
    if (!err)
        err = copy_list(lists->portal, lists->portal_len, &access);
    if (err) {
        enf_access_clear(&access);
        return err;
    }
    *out = access;
    return 0;
}

void enf_access_clear(struct enf_access *access)
{
    for (size_t i = 0; i < access->len; i++)
        free((char *)(uintptr_t)access->principals[i].name);
    free(access->principals);
    *access = (struct enf_access){0};
}

/* The id a principal stands for. */
static bool resolve(const struct enf_control_principal *principal, unsigned *out)
{
    unsigned long number;
    char *end;

    if (lookup(principal->group ? name_to_gid : name_to_uid, principal->name, out) == 0)
        return true;
    if (principal->name[0] < '0' || principal->name[0] > '9')
        return false;
    errno = 0;
    number = strtoul(principal->name, &end, 10);
    if (errno || *end || number >= UINT32_MAX)
        return false;
    *out = (unsigned)number;
    return true;
}

static bool matches(const struct enf_control_principal *principal, const struct enf_identity *identity)
{
    unsigned id = 0;

    if (!resolve(principal, &id))
        return false;
    if (!principal->group)
        return id == identity->uid;
    for (size_t i = 0; i < identity->groups_len; i++)
        if (identity->groups[i] == id)
            return true;
    return false;
}

void enf_access_role(const struct enf_access *access, const struct enf_identity *identity,
                     struct enf_control_caller *caller)
{
    size_t i = 0;

    while (i < access->len && !matches(&access->principals[i], identity))
        i++;
    caller->admin = i < access->admins_len;
    caller->viewer = !caller->admin && i < access->admins_len + access->viewers_len;
    caller->portal = !caller->admin && !caller->viewer && i < access->len;
}
