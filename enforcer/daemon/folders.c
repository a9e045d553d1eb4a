/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose the folders are. Root walks here through folders that the daemon's user may write to: each name is
 * opened without following it, and what was opened is what changes hands. */
#include "enforcer/daemon/folders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES_MAX 100000 /* a folder with more is not looked through to the end: it counts as shared */

struct giving {
    const struct enf_folder *folder;
    uid_t uid;
    gid_t gid;
    bool any_name; /* of a folder within: all that is in it is ours */
};

static bool is_ours(const struct giving *g, const char *name, bool exactly)
{
    if (g->any_name)
        return true;
    for (size_t i = 0; g->folder->names[i]; i++) {
        size_t len = strlen(g->folder->names[i]);
        if (strncmp(name, g->folder->names[i], len) == 0 && (!exactly || !name[len]))
            return true;
    }
    return false;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static void give_all(int dir, const struct giving *g, bool exactly);

static void give_one(int dir, const char *name, const struct giving *g)
{
    int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return;
    bool known = fstat(fd, &st) == 0;
    bool give = known && st.st_uid != g->uid &&
                ((S_ISREG(st.st_mode) && st.st_nlink == 1) || S_ISSOCK(st.st_mode) ||
                 (S_ISDIR(st.st_mode) && !g->any_name));
    /* What cannot be given is noticed when the daemon opens it, and said then. */
    if (give && fchownat(fd, "", g->uid, (gid_t)-1, AT_EMPTY_PATH) < 0)
        errno = 0;
    if (known && S_ISDIR(st.st_mode) && !g->any_name) {
        const struct giving within = {g->folder, g->uid, g->gid, true};
        int inner = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (inner >= 0)
            give_all(inner, &within, false);
    }
    close(fd);
}

/* Closes dir. */
static void give_all(int dir, const struct giving *g, bool exactly)
{
    DIR *list = fdopendir(dir);
    size_t count = 0;

    if (!list) {
        close(dir);
        return;
    }
    for (struct dirent *entry; (entry = readdir(list)) && count < ENTRIES_MAX; count++) {
        if (!is_dot(entry->d_name) && is_ours(g, entry->d_name, exactly))
            give_one(dirfd(list), entry->d_name, g);
    }
    closedir(list);
}

/* Nobody else's file is in it, and nobody else may put one there. */
static bool is_private(int dir, const struct giving *g)
{
    struct stat st;
    int copy = fstat(dir, &st) == 0 && !(st.st_mode & (S_IWOTH | S_ISVTX))
                   ? openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                   : -1;
    DIR *list = copy >= 0 ? fdopendir(copy) : NULL;
    bool ours = list;
    size_t count = 0;

    if (!list && copy >= 0)
        close(copy);
    for (struct dirent *entry; ours && (entry = readdir(list));)
        ours = ++count < ENTRIES_MAX && (is_dot(entry->d_name) || is_ours(g, entry->d_name, false));
    if (list)
        closedir(list);
    return ours;
}

int enf_folder_give(const struct enf_folder *folder, uid_t uid, gid_t gid)
{
    const struct giving g = {.folder = folder, .uid = uid, .gid = gid};
    bool made = mkdir(folder->path, folder->mode) == 0;
    int dir = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (dir < 0)
        return -errno;
    bool ours = made || is_private(dir, &g);
    if (ours && fstat(dir, &st) == 0 && st.st_uid != uid && fchown(dir, uid, made ? gid : (gid_t)-1) < 0)
        ours = false;
    give_all(dir, &g, !ours);
    return ours ? 0 : 1;
}
