/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Appends lines to a file: short writes go on where they stopped, a torn line never swallows the next one. */
#include "enforcer/sinks/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MODE = 0640,
    FOLDER_MODE = 0750,
};

int enf_file_init(const char *path, struct enf_file *file)
{
    char *copy = strdup(path);

    if (!copy)
        return -ENOMEM;
    *file = (struct enf_file){.path = copy, .fd = -1};
    return 0;
}

void enf_file_clear(struct enf_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    *file = (struct enf_file){.fd = -1};
}

/* Makes the folder of path, one level. What is wrong with it shows when the file is opened. */
static void make_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder;

    if (!slash || slash == path)
        return;
    folder = strndup(path, (size_t)(slash - path));
    if (!folder)
        return;
    if (mkdir(folder, FOLDER_MODE) != 0)
        errno = 0;
    free(folder);
}

/* O_RDWR because the last byte is looked at, and because a FIFO opened like this waits for no reader. */
static int open_append(const char *path)
{
    const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, flags | O_CREAT | O_EXCL, FILE_MODE);

    if (fd >= 0) {
        fchmod(fd, FILE_MODE); /* whatever the umask is: those who ship logs are in the group */
        return fd;
    }
    if (errno == EEXIST)
        fd = open(path, flags);
    if (fd < 0 && errno == ENOENT) /* removed between the two, or a link to nothing */
        fd = open(path, flags | O_CREAT, FILE_MODE);
    return fd < 0 ? -errno : fd;
}

/* A daemon that was killed, or a disk that was full, may have left half a line. */
static bool ends_torn(int fd)
{
    struct stat st;
    char last;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
        return false;
    return pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

int enf_file_open(struct enf_file *file)
{
    int fd;

    make_folder(file->path);
    fd = open_append(file->path);
    if (fd < 0) {
        file->failures++;
        file->error = -fd;
        return fd;
    }
    if (file->fd >= 0)
        close(file->fd);
    file->fd = fd;
    file->torn = ends_torn(fd);
    file->partial = 0;
    file->error = 0;
    return 0;
}

bool enf_file_moved(const struct enf_file *file)
{
    struct stat named;
    struct stat opened;

    if (file->fd < 0 || fstat(file->fd, &opened) != 0)
        return false;
    if (stat(file->path, &named) != 0)
        return errno == ENOENT;
    return named.st_dev != opened.st_dev || named.st_ino != opened.st_ino;
}

bool enf_file_removed(const struct enf_file *file)
{
    struct stat opened;

    return file->fd >= 0 && fstat(file->fd, &opened) == 0 && S_ISREG(opened.st_mode) && opened.st_nlink == 0;
}

/* Errors after which the same descriptor may work again. */
static bool is_passing(int err)
{
    return err == EAGAIN || err == ENOSPC || err == EDQUOT || err == EFBIG || err == ENOMEM;
}

/* Notes what a write took of the lines. */
static void account(struct enf_file *file, const struct iovec *lines, size_t len, size_t bytes, size_t *done)
{
    while (*done < len && bytes >= lines[*done].iov_len - file->partial) {
        bytes -= lines[*done].iov_len - file->partial;
        file->partial = 0;
        ++*done;
    }
    file->partial += bytes;
}

static int write_some(struct enf_file *file, const struct iovec *lines, size_t len, size_t *done)
{
    struct iovec left[ENF_FILE_LINES_MAX];

    while (*done < len) {
        memcpy(left, lines + *done, (len - *done) * sizeof(*left));
        left[0].iov_base = (char *)left[0].iov_base + file->partial;
        left[0].iov_len -= file->partial;
        ssize_t n = writev(file->fd, left, (int)(len - *done));

        if (n > 0)
            account(file, lines, len, (size_t)n, done);
        else if (n == 0)
            return -ENOSPC;
        else if (errno != EINTR)
            return -errno;
    }
    return 0;
}

/* So that the next line is not glued to half a one. */
static int end_torn(const struct enf_file *file)
{
    ssize_t n;

    do
        n = write(file->fd, "\n", 1);
    while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : n < 0 ? -errno : -ENOSPC;
}

int enf_file_write(struct enf_file *file, const struct iovec *lines, size_t len, size_t *done)
{
    int err = 0;

    *done = 0;
    if (len > ENF_FILE_LINES_MAX)
        return -E2BIG;
    if (file->fd < 0)
        err = enf_file_open(file);
    if (err)
        return err;
    if (file->torn)
        err = end_torn(file);
    if (!err) {
        file->torn = false;
        err = write_some(file, lines, len, done);
    }
    file->error = -err;
    if (!err)
        return 0;
    file->failures++;
    if (!is_passing(-err)) {
        close(file->fd);
        file->fd = -1;
    }
    return err;
}
