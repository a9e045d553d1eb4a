/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Binds a Unix socket, over a stale one but never over one that somebody answers on. */
#include "enforcer/control/listen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    FOLDER_MODE = 0755,
    SOCKET_MODE =
        0666, /* whom a connection is refused is decided by uid and groups, not by the file's mode */
    BACKLOG = 1024,
};

static int say(char *error, size_t error_len, const char *path, const char *what, int err)
{
    if (error_len > 0)
        snprintf(error, error_len, "%s: %s", path, what ? what : strerror(-err));
    return err;
}

static int fill_address(const char *path, struct sockaddr_un *out)
{
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path[0] == '\0')
        return -EINVAL;
    if (strlen(path) >= sizeof(out->sun_path))
        return -ENAMETOOLONG;
    memcpy(out->sun_path, path, strlen(path) + 1);
    return 0;
}

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    return fd < 0 ? -errno : fd;
}

/* Somebody answers unless the kernel says that nobody can. */
static bool is_live(const struct sockaddr_un *address)
{
    int fd = new_socket();
    bool live;

    if (fd < 0)
        return true;
    live = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
           (errno != ECONNREFUSED && errno != ENOENT);
    close(fd);
    return live;
}

static void make_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    const char *slash = strrchr(path, '/');

    if (!slash || slash == path)
        return;
    memcpy(folder, path, (size_t)(slash - path));
    folder[slash - path] = '\0';
    if (mkdir(folder, FOLDER_MODE) != 0)
        errno = 0; /* bind will say what is wrong */
}

static int bind_over(int fd, const struct sockaddr_un *address, char *error, size_t error_len)
{
    const char *path = address->sun_path;
    struct stat st;

    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return 0;
    if (errno != EADDRINUSE)
        return say(error, error_len, path, NULL, -errno);
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return say(error, error_len, path, "something that is no socket is in the way", -EEXIST);
    if (is_live(address))
        return say(error, error_len, path, "another daemon answers on this socket", -EADDRINUSE);
    if (unlink(path) != 0 && errno != ENOENT)
        return say(error, error_len, path, NULL, -errno);
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        return say(error, error_len, path, NULL, -errno);
    return 0;
}

int enf_socket_listen(const char *path, struct enf_socket_file *file, char *error, size_t error_len)
{
    struct sockaddr_un address;
    struct stat st;
    int err = fill_address(path, &address);
    int fd;

    if (err)
        return say(error, error_len, path, NULL, err);
    make_folder(path);
    fd = new_socket();
    if (fd < 0)
        return say(error, error_len, path, NULL, fd);
    err = bind_over(fd, &address, error, error_len);
    if (!err && (chmod(path, SOCKET_MODE) != 0 || lstat(path, &st) != 0 || listen(fd, BACKLOG) != 0))
        err = say(error, error_len, path, NULL, -errno);
    if (err) {
        close(fd);
        return err;
    }
    *file = (struct enf_socket_file){st.st_dev, st.st_ino};
    return fd;
}

void enf_socket_remove(const char *path, const struct enf_socket_file *file)
{
    struct stat st;

    if (lstat(path, &st) == 0 && st.st_dev == file->dev && st.st_ino == file->ino)
        (void)unlink(path);
}
