/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One file: a line that says where the first line begins, then the lines. */
#include "enforcer/sinks/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC      "enforcer spool 1 "
#define HEADER_LEN 38 /* MAGIC, 20 digits, a newline */
#define CHUNK      (256u << 10)

/* Different names give different files; the name itself may be a path. FNV-1a, 64 bit. */
static uint64_t name_hash(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
    return hash;
}

static int header_write(int fd, uint64_t head)
{
    char text[HEADER_LEN + 1];

    snprintf(text, sizeof(text), MAGIC "%020" PRIu64 "\n", head);
    return pwrite(fd, text, HEADER_LEN, 0) == HEADER_LEN ? 0 : -EIO;
}

static bool header_read(int fd, uint64_t size, uint64_t *out)
{
    char text[HEADER_LEN + 1] = "";
    char *end;
    uint64_t head;

    if (size < HEADER_LEN || pread(fd, text, HEADER_LEN, 0) != HEADER_LEN ||
        strncmp(text, MAGIC, sizeof(MAGIC) - 1) != 0)
        return false;
    head = strtoull(text + sizeof(MAGIC) - 1, &end, 10);
    if (*end != '\n' || head < HEADER_LEN || head > size)
        return false;
    *out = head;
    return true;
}

static void forget(struct enf_spool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    free(spool->buf);
    spool->fd = -1;
    spool->buf = NULL;
    spool->buf_len = spool->buf_at = 0;
    spool->head = spool->at = spool->mark = spool->tail = 0;
    spool->lines = spool->held = spool->mark_held = 0;
}

/* Counts the lines, and cuts off the half one that a crash left at the end. */
static int scan(struct enf_spool *spool, uint64_t size)
{
    char *buf = malloc(CHUNK);
    uint64_t end = spool->head;

    if (!buf)
        return -ENOMEM;
    for (uint64_t at = spool->head; at < size;) {
        ssize_t n = pread(spool->fd, buf, CHUNK, (off_t)at);

        if (n <= 0)
            break;
        for (const char *p = buf, *nl; (nl = memchr(p, '\n', (size_t)(buf + n - p))); p = nl + 1) {
            spool->lines++;
            end = at + (uint64_t)(nl + 1 - buf);
        }
        at += (uint64_t)n;
    }
    free(buf);
    spool->at = spool->mark = spool->head;
    spool->tail = end;
    return end < size && ftruncate(spool->fd, (off_t)end) < 0 ? -errno : 0;
}

int enf_spool_open(const char *directory, const char *name, uint64_t max, struct enf_spool *out)
{
    struct enf_spool spool = {.fd = -1, .max = max};
    struct stat st;

    if (!directory) {
        *out = spool;
        return 0;
    }
    if (asprintf(&spool.path, "%s/%016" PRIx64 ".spool", directory, name_hash(name)) < 0)
        return -ENOMEM;
    spool.fd = open(spool.path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int err = spool.fd < 0 || (fstat(spool.fd, &st) == 0 && S_ISREG(st.st_mode) &&
                               header_read(spool.fd, (uint64_t)st.st_size, &spool.head))
                  ? 0
                  : -EINVAL;
    if (err == 0 && spool.fd >= 0)
        err = scan(&spool, (uint64_t)st.st_size);
    if (err == -ENOMEM) { /* what is in it is worth another start */
        forget(&spool);
        free(spool.path);
        return err;
    }
    if (err < 0) {
        unlink(spool.path);
        forget(&spool);
    }
    if (spool.fd >= 0 && spool.head == spool.tail)
        enf_spool_discard(&spool);
    *out = spool;
    return 0;
}

void enf_spool_close(struct enf_spool *spool)
{
    if (spool->fd >= 0)
        enf_spool_sync(spool);
    forget(spool);
    free(spool->path);
    spool->path = NULL;
}

void enf_spool_discard(struct enf_spool *spool)
{
    if (spool->fd >= 0)
        unlink(spool->path);
    forget(spool);
}

/* The folder and the one above it: the state folder is made by whoever comes first. */
static void make_folders(const char *path)
{
    char *folder = strdup(path);
    char *slash = folder ? strrchr(folder, '/') : NULL;

    if (slash && slash != folder) {
        *slash = '\0';
        char *above = strrchr(folder, '/');
        if (above && above != folder) {
            *above = '\0';
            (void)mkdir(folder, 0700);
            *above = '/';
        }
        (void)mkdir(folder, 0700);
    }
    free(folder);
}

static int begin(struct enf_spool *spool)
{
    int err;

    make_folders(spool->path);
    spool->fd = open(spool->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (spool->fd < 0)
        return -errno;
    err = header_write(spool->fd, HEADER_LEN);
    if (err) {
        enf_spool_discard(spool);
        return err;
    }
    spool->head = spool->at = spool->mark = spool->tail = HEADER_LEN;
    return 0;
}

/* Copies what is left into a new file, so that the taken part costs nothing any more. */
static void compact(struct enf_spool *spool)
{
    char *fresh = NULL, *buf = malloc(CHUNK);
    uint64_t to = HEADER_LEN;
    int fd = -1;

    if (buf && asprintf(&fresh, "%s.new", spool->path) >= 0)
        fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool good = fd >= 0 && header_write(fd, HEADER_LEN) == 0;
    for (uint64_t at = spool->head; good && at < spool->tail;) {
        size_t want = spool->tail - at < CHUNK ? (size_t)(spool->tail - at) : CHUNK;
        ssize_t n = pread(spool->fd, buf, want, (off_t)at);

        good = n > 0 && pwrite(fd, buf, (size_t)n, (off_t)to) == n;
        at += n > 0 ? (uint64_t)n : 0;
        to += n > 0 ? (uint64_t)n : 0;
    }
    if (good && rename(fresh, spool->path) == 0) {
        uint64_t gone = spool->head - HEADER_LEN;

        close(spool->fd);
        spool->fd = fd;
        spool->head = HEADER_LEN;
        spool->at -= gone;
        spool->mark -= gone;
        spool->tail = to;
    } else if (fd >= 0) {
        close(fd);
        unlink(fresh);
    }
    free(fresh);
    free(buf);
}

int enf_spool_put(struct enf_spool *spool, const char *line, size_t len)
{
    ssize_t n;
    int err;

    if (!spool->path)
        return -ENOSPC;
    if (spool->fd < 0) {
        err = begin(spool);
        if (err)
            return err;
    }
    if (spool->tail + len > spool->max && spool->head > spool->max / 2)
        compact(spool);
    if (spool->tail + len > spool->max)
        return -ENOSPC;
    n = pwrite(spool->fd, line, len, (off_t)spool->tail);
    if (n == (ssize_t)len) {
        spool->tail += len;
        spool->lines++;
        return 0;
    }
    err = n < 0 ? -errno : -ENOSPC;
    if (spool->head == spool->tail)
        enf_spool_discard(spool);
    else if (n > 0 && ftruncate(spool->fd, (off_t)spool->tail) < 0)
        return err; /* the next line is written over it, and a crash cuts it off */
    return err;
}

void enf_spool_put_taken(struct enf_spool *spool)
{
    spool->at = spool->tail;
    spool->held = spool->lines;
    spool->buf_len = spool->buf_at = 0;
}

/* Reads on behind what the buffer has: 1, 0 where there is nothing or no line of ours, -ENOMEM. */
static int fill(struct enf_spool *spool)
{
    size_t have = spool->buf_len - spool->buf_at;
    size_t want = CHUNK;
    char *buf;
    ssize_t n;

    if (have > ENF_SPOOL_LINE_MAX)
        return 0;
    if (spool->buf && have > 0 && spool->buf_at > 0)
        memmove(spool->buf, spool->buf + spool->buf_at, have);
    spool->buf_at = 0;
    spool->buf_len = have;
    if (want > spool->tail - spool->at - have)
        want = (size_t)(spool->tail - spool->at - have);
    if (want == 0)
        return 0;
    buf = realloc(spool->buf, have + want);
    if (!buf)
        return -ENOMEM;
    spool->buf = buf;
    n = pread(spool->fd, buf + have, want, (off_t)(spool->at + have));
    if (n <= 0)
        return 0;
    spool->buf_len += (size_t)n;
    return 1;
}

int enf_spool_first(struct enf_spool *spool, const char **line, size_t *len)
{
    while (!enf_spool_is_empty(spool)) {
        const char *start = spool->buf ? spool->buf + spool->buf_at : NULL;
        size_t have = spool->buf_len - spool->buf_at;
        const char *newline = start ? memchr(start, '\n', have) : NULL;

        if (newline) {
            *line = start;
            *len = (size_t)(newline + 1 - start);
            return 1;
        }
        int more = fill(spool);
        if (more == 0)
            enf_spool_discard(spool); /* unreadable: nothing of it can be told any more */
        if (more <= 0)
            return more;
    }
    return 0;
}

void enf_spool_drop(struct enf_spool *spool)
{
    const char *line;
    size_t len;

    if (enf_spool_first(spool, &line, &len) != 1)
        return;
    spool->buf_at += len;
    spool->at += len;
    spool->held++;
    if (spool->hold)
        return;
    enf_spool_mark(spool);
    enf_spool_confirm(spool);
}

void enf_spool_mark(struct enf_spool *spool)
{
    spool->mark = spool->at;
    spool->mark_held = spool->held;
}

void enf_spool_confirm(struct enf_spool *spool)
{
    if (spool->fd < 0)
        return;
    spool->head = spool->mark;
    spool->lines -= spool->mark_held < spool->lines ? spool->mark_held : spool->lines;
    spool->held -= spool->mark_held;
    spool->mark_held = 0;
    if (spool->head == spool->tail)
        enf_spool_discard(spool);
}

void enf_spool_rewind(struct enf_spool *spool)
{
    spool->at = spool->mark = spool->head;
    spool->held = spool->mark_held = 0;
    spool->buf_len = spool->buf_at = 0;
}

void enf_spool_sync(struct enf_spool *spool)
{
    if (spool->fd >= 0)
        (void)header_write(spool->fd, spool->head); /* else some lines come again after a crash */
}
