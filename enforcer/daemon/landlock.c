/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Landlock by its system calls: the C library has no names for them, and kernels differ in what they know. */
#include "enforcer/daemon/landlock.h"

#include <errno.h>

#if ENF_CONFINE

#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights younger than the oldest headers we build with: kernels 5.19, 6.2, 6.10; scopes 6.12. */
#define FS_REFER      (1ull << 13)
#define FS_TRUNCATE   (1ull << 14)
#define FS_IOCTL_DEV  (1ull << 15)
#define SCOPE_ALL     (1ull << 0 | 1ull << 1) /* abstract Unix sockets, signals */
#define SCOPE_VERSION 6

/* struct landlock_ruleset_attr of version 6; an older kernel gets as much of it as it knows. */
struct attributes {
    uint64_t fs;
    uint64_t net;
    uint64_t scoped;
};

#define READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITE                                                                                                \
    (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | FS_TRUNCATE)
#define FILE_ONLY                                                                                            \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE |             \
     FS_TRUNCATE | FS_IOCTL_DEV)

static const uint64_t rights[] = {
    [ENF_LANDLOCK_READ] = READ,
    [ENF_LANDLOCK_WRITE] = WRITE,
    [ENF_LANDLOCK_SOCKET] = WRITE | LANDLOCK_ACCESS_FS_MAKE_SOCK,
    [ENF_LANDLOCK_DEVICE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE,
};

/* All rights that this version can take away. */
static uint64_t known_rights(int version)
{
    uint64_t all = (1ull << 13) - 1;

    if (version >= 2)
        all |= FS_REFER;
    if (version >= 3)
        all |= FS_TRUNCATE;
    if (version >= 5)
        all |= FS_IOCTL_DEV;
    return all;
}

static size_t known_size(int version)
{
    return version >= SCOPE_VERSION ? sizeof(struct attributes) : sizeof(uint64_t);
}

/* Never "/" in the place of a folder that is not there. */
static int open_or_parent(const struct enf_landlock_rule *rule)
{
    int fd = open(rule->path, O_PATH | O_CLOEXEC);
    const char *slash = strrchr(rule->path, '/');
    bool writes = rule->how == ENF_LANDLOCK_WRITE || rule->how == ENF_LANDLOCK_SOCKET;

    if (fd >= 0 || errno != ENOENT || !writes || !slash || slash == rule->path)
        return fd;
    char *parent = strndup(rule->path, (size_t)(slash - rule->path));
    if (parent)
        fd = open(parent, O_PATH | O_CLOEXEC | O_DIRECTORY);
    free(parent);
    return fd;
}

static int add(int ruleset, uint64_t known, const struct enf_landlock_rule *rule)
{
    struct landlock_path_beneath_attr beneath = {.allowed_access = rights[rule->how] & known};
    struct stat st;
    int err = 0;

    beneath.parent_fd = open_or_parent(rule);
    if (beneath.parent_fd < 0)
        return 0;
    if (fstat(beneath.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        beneath.allowed_access &= FILE_ONLY;
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) < 0)
        err = -errno;
    close(beneath.parent_fd);
    return err;
}

int enf_landlock_apply(const struct enf_landlock_rule *rules, size_t len)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    int err = 0;

    if (version < 0)
        return -errno;
    struct attributes all = {.fs = known_rights((int)version), .scoped = SCOPE_ALL};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, known_size((int)version), 0);
    if (ruleset < 0)
        return -errno;
    for (size_t i = 0; err == 0 && i < len; i++)
        err = add(ruleset, all.fs, &rules[i]);
    if (err == 0 &&
        (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) < 0))
        err = -errno;
    close(ruleset);
    return err < 0 ? err : (int)version;
}

#else

int enf_landlock_apply(const struct enf_landlock_rule *rules, size_t len)
{
    (void)rules;
    (void)len;
    return -ENOTSUP;
}

#endif
