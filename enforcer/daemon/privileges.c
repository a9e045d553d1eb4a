/* SPDX-License-Identifier: GPL-2.0-or-later */
/* User, capabilities, files and system calls, in the order in which each can still be done. */
#include "enforcer/daemon/privileges.h"

#include "enforcer/core/text.h"
#include "enforcer/daemon/daemon.h"
#include "enforcer/daemon/folders.h"
#include "enforcer/daemon/landlock.h"
#include "enforcer/daemon/seccomp.h"
#include "enforcer/daemon/sinks.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

struct identity {
    char name[64];
    uid_t uid;
    gid_t gid;
};

static int say(const char *what, int err)
{
    enf_log_line("start", "%s: %s", what, strerror(-err));
    return err;
}

/* --- who ---------------------------------------------------------------------------------------------------
 */

/* 1: found; 0: there is no such user; -errno: the account data base cannot say. */
static int look_up(const char *name, struct identity *out)
{
    size_t size = 1u << 16;
    char *room = malloc(size);
    struct passwd pwd, *found = NULL;
    int err = room ? getpwnam_r(name, &pwd, room, size, &found) : ENOMEM;

    if (found) {
        enf_text_copy(out->name, sizeof out->name, found->pw_name);
        out->uid = found->pw_uid;
        out->gid = found->pw_gid;
    }
    free(room);
    return found ? 1 : err == ENOENT ? 0 : -err;
}

static int choose(const char *user, struct identity *out)
{
    struct identity wanted = {.name = "root"};
    int found = look_up(user ? user : ENF_DEFAULT_USER, &wanted);

    if (found < 0 && user)
        return say(user, found);
    if (found == 0 && user) {
        enf_log_line("start", "--user %s: there is no such user", user);
        return -ENOENT;
    }
    if (geteuid() != 0) {
        if (user && wanted.uid != geteuid()) {
            enf_log_line("start", "--user %s: only root can become another user", user);
            return -EPERM;
        }
        snprintf(out->name, sizeof out->name, "uid %u", (unsigned)geteuid());
        out->uid = geteuid();
        out->gid = getegid();
        return 0;
    }
    if (found <= 0) {
        wanted = (struct identity){.name = "root"};
        enf_log_line("start",
                     "there is no user " ENF_DEFAULT_USER ": goes on as root, with CAP_NET_ADMIN as its only "
                     "capability (useradd --system " ENF_DEFAULT_USER ")");
    }
    *out = wanted;
    return 0;
}

/* --- folders -----------------------------------------------------------------------------------------------
 */

struct paths {
    char config[ENF_PATH_LEN];
    char config_real[PATH_MAX];
    char bogons[2 * ENF_PATH_LEN];
    char bogons_real[PATH_MAX];
    char socket[ENF_PATH_LEN];
    char events[ENF_EVENT_SINKS_MAX][ENF_PATH_LEN];
    char events_real[ENF_EVENT_SINKS_MAX][PATH_MAX];
};

/* The folder of a file, into its own room; the one behind links too. */
static void folder_of(const char *file, char *out, size_t len)
{
    char *copy = strdup(file);

    enf_text_copy(out, len, copy ? dirname(copy) : "");
    free(copy);
}

static void real_folder_of(const char *file, char *out)
{
    char *real = realpath(file, NULL);

    enf_text_copy(out, PATH_MAX, real ? dirname(real) : "");
    free(real);
}

static void collect(const struct enf_running *running, struct paths *out)
{
    const struct enf_config *config = running->config;

    folder_of(running->path, out->config, sizeof out->config);
    real_folder_of(running->path, out->config_real);
    if (*config->inbound.bogons) {
        char file[2 * ENF_PATH_LEN];
        enf_running_bogons_path(running, file, sizeof file);
        folder_of(file, out->bogons, sizeof out->bogons);
        real_folder_of(file, out->bogons_real);
    }
    folder_of(config->control.socket, out->socket, sizeof out->socket);
    for (size_t i = 0; i < config->events_len && i < ENF_EVENT_SINKS_MAX; i++) {
        if (config->events[i].type != ENF_SINK_FILE) /* somebody else's socket: it is only connected to */
            continue;
        folder_of(config->events[i].path, out->events[i], sizeof out->events[i]);
        real_folder_of(config->events[i].path, out->events_real[i]);
    }
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* All names that the configuration has in one folder belong together. */
static void give_folder(const struct enf_running *running, const char *path, mode_t mode,
                        const struct paths *paths, const struct identity *who)
{
    const struct enf_config *config = running->config;
    struct enf_folder folder = {.path = path, .mode = mode};
    size_t len = 0, room = sizeof folder.names / sizeof *folder.names - 1;

    if (strcmp(path, config->state) == 0) {
        folder.names[len++] = ENF_STORE_FILE;
        folder.names[len++] = "spool";
        folder.names[len++] = ENF_CONFIRMED_FILE;
    }
    if (strcmp(path, paths->socket) == 0)
        folder.names[len++] = last_part(config->control.socket);
    for (size_t i = 0; i < config->events_len && i < ENF_EVENT_SINKS_MAX && len < room; i++) {
        if (*paths->events[i] && strcmp(path, paths->events[i]) == 0)
            folder.names[len++] = last_part(config->events[i].path);
    }
    if (enf_folder_give(&folder, who->uid, who->gid) == 1 && who->uid != 0)
        enf_log_line(
            "start",
            "%s holds other things too, and stays whose it is: %s may not be able to make files there", path,
            who->name);
}

static void give_folders(const struct enf_running *running, const struct paths *paths, bool only_state,
                         const struct identity *who)
{
    const struct enf_config *config = running->config;

    give_folder(running, config->state, 0700, paths, who);
    if (only_state)
        return;
    give_folder(running, paths->socket, 0755, paths, who);
    for (size_t i = 0; i < config->events_len && i < ENF_EVENT_SINKS_MAX; i++) {
        if (*paths->events[i])
            give_folder(running, paths->events[i], 0750, paths, who);
    }
}

/* --- rights ------------------------------------------------------------------------------------------------
 */

static int set_capabilities(uint32_t permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{.effective = permitted, .permitted = permitted}};

    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Nothing is ever executed again; should it be all the same, it gets nothing. Where a supervisor left no
 * CAP_SETPCAP this cannot be done, and no_new_privs has to do. */
static void empty_bounding_set(void)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return;
    }
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
                                 SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED | SECBIT_KEEP_CAPS);
}

static int become(const struct identity *who)
{
    if (geteuid() != 0)
        return 0;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || (who->uid != 0 && setgroups(0, NULL) < 0) ||
        setresgid(who->gid, who->gid, who->gid) < 0 || setresuid(who->uid, who->uid, who->uid) < 0)
        return -errno;
    return 0;
}

static int reduce(const struct identity *who)
{
    empty_bounding_set();
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    int err = become(who);
    if (err < 0)
        return say("cannot change to its user", err);
    err = set_capabilities(1u << CAP_NET_ADMIN);
    if (err < 0)
        return say("cannot keep CAP_NET_ADMIN alone", err);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return say("no_new_privs cannot be set", -errno);
    /* The change of user took it away. A crash may leave a core for root to look at, and no program of the
     * same user can attach to one with a capability that it has not itself (ptrace(2)). */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return 0;
}

int enf_privileges_drop_all(const char *user, const char *preferred)
{
    struct identity who = {.name = "root"};

    if (geteuid() == 0 && look_up(preferred, &who) != 1)
        (void)look_up(user ? user : ENF_DEFAULT_USER, &who);
    empty_bounding_set();
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    int err = become(&who);
    if (err == 0)
        err = set_capabilities(0);
    if (err == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        err = -errno;
    return err;
}

static int lock_files(const struct enf_running *running, const struct paths *paths)
{
    const struct enf_config *config = running->config;
    struct enf_landlock_rule rules[15 + 2 * ENF_EVENT_SINKS_MAX] = {
        {"/etc", ENF_LANDLOCK_READ}, /* accounts, protocols, names of marks: replaced by renaming */
        {"/usr", ENF_LANDLOCK_READ}, /* plug-ins of the C library and of nft */
        {"/lib", ENF_LANDLOCK_READ},
        {"/lib64", ENF_LANDLOCK_READ},
        {"/run/systemd/userdb", ENF_LANDLOCK_READ},
        {"/var/lib/sss/mc", ENF_LANDLOCK_READ},
        {"/proc/sys/net", ENF_LANDLOCK_READ}, /* whether connections are tracked */
        {"/dev/null", ENF_LANDLOCK_DEVICE},
        {"/dev/urandom", ENF_LANDLOCK_DEVICE},
        {paths->config, ENF_LANDLOCK_READ},
        {paths->config_real, ENF_LANDLOCK_READ},
        {paths->bogons, ENF_LANDLOCK_READ},
        {paths->bogons_real, ENF_LANDLOCK_READ},
        {config->state, ENF_LANDLOCK_WRITE},
        {paths->socket, ENF_LANDLOCK_SOCKET},
    };
    size_t len = 15;

    /* Left open for ever: procfs makes a new inode for a folder that it has forgotten, and the rule is for
     * the old. */
    (void)open("/proc/sys/net", O_PATH | O_CLOEXEC);

    for (size_t i = 0; i < config->events_len && i < ENF_EVENT_SINKS_MAX; i++) {
        if (!*paths->events[i])
            continue;
        rules[len++] = (struct enf_landlock_rule){paths->events[i], ENF_LANDLOCK_WRITE};
        rules[len++] = (struct enf_landlock_rule){paths->events_real[i], ENF_LANDLOCK_WRITE};
    }
    int version = enf_landlock_apply(rules, len);
    if (version == -ENOTSUP)
        enf_log_line("start", "this build is for tests: files and system calls are not confined");
    else if (version < 0)
        enf_log_line("start", "files are not confined, the kernel's Landlock is missing or switched off: %s",
                     strerror(-version));
    return version;
}

/* A reload would fail: better to hear of it now. */
static void check_readable(const struct enf_running *running, const struct identity *who)
{
    int fd = open(running->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        enf_log_line("start", "%s: %s cannot read it, a reload would be refused: %s", running->path,
                     who->name, strerror(errno));
    else
        close(fd);
}

int enf_privileges_drop(const struct enf_running *running, const struct enf_privileges *wanted,
                        bool *out_filtered)
{
    struct paths *paths = calloc(1, sizeof *paths);
    struct identity who;
    int err = paths ? choose(wanted->user, &who) : -ENOMEM;

    if (err == 0) {
        collect(running, paths);
        if (geteuid() == 0)
            give_folders(running, paths, wanted->only_state, &who);
        err = reduce(&who);
    }
    if (err == 0) {
        int landlock = lock_files(running, paths);
        int seccomp = enf_seccomp_apply(enf_sinks_need_network(running->config) ? ENF_SECCOMP_CONTROL_NET
                                                                                : ENF_SECCOMP_CONTROL);
        if (seccomp < 0 && seccomp != -ENOTSUP)
            enf_log_line("start", "system calls are not filtered, the kernel refused: %s",
                         strerror(-seccomp));
        enf_log_line("start", "runs as %s with CAP_NET_ADMIN; files %s, system calls %s", who.name,
                     landlock >= 0 ? "confined" : "open", seccomp == 0 ? "filtered" : "open");
        check_readable(running, &who);
        *out_filtered = seccomp == 0;
    }
    free(paths);
    return err;
}
