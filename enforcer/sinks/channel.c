/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets that never wait: connecting, sending, and how much of it arrived. */
#include "enforcer/sinks/channel.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SEND_BUFFER     (1 << 20)
#define USER_TIMEOUT_MS 30000 /* sent and not acknowledged for so long: nobody is there */
#define KEEP_IDLE_S     30
#define KEEP_INTERVAL_S 10
#define KEEP_COUNT      3

static void forget(struct enf_channel *channel)
{
    free(channel->out);
    channel->out = NULL;
    channel->out_len = channel->out_at = 0;
    channel->fd = -1;
    channel->connecting = false;
    channel->sent = 0;
}

int enf_channel_unix(const char *path, struct enf_channel *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct enf_channel channel = {.kind = ENF_CHANNEL_UNIX, .fd = -1, .to_len = sizeof(un)};

    if (strlen(path) >= sizeof(un.sun_path))
        return -ENAMETOOLONG;
    memcpy(un.sun_path, path, strlen(path) + 1);
    memcpy(&channel.to, &un, sizeof(un));
    *out = channel;
    return 0;
}

int enf_channel_inet(enum enf_channel_kind kind, const struct enf_addr *address, uint16_t port,
                     struct enf_channel *out)
{
    struct enf_channel channel = {.kind = kind, .fd = -1};

    if (address->family == ENF_FAMILY_V4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&in.sin_addr, address->bytes, 4);
        memcpy(&channel.to, &in, sizeof(in));
        channel.to_len = sizeof(in);
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&in6.sin6_addr, address->bytes, 16);
        memcpy(&channel.to, &in6, sizeof(in6));
        channel.to_len = sizeof(in6);
    }
    *out = channel;
    return 0;
}

void enf_channel_close(struct enf_channel *channel)
{
    if (channel->fd >= 0)
        close(channel->fd);
    forget(channel);
}

static int fail(struct enf_channel *channel, int err)
{
    channel->reset = err == -ECONNRESET || err == -EPIPE || err == -ETIMEDOUT;
    enf_channel_close(channel);
    return err;
}

/* What cannot be set does no harm: the sending goes on without. */
static void tune(const struct enf_channel *channel)
{
    static const struct {
        int level;
        int name;
        int value;
    } options[] = {
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
        {IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT},
    };
    int size = SEND_BUFFER;

    (void)setsockopt(channel->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    for (size_t i = 0; channel->kind == ENF_CHANNEL_TCP && i < sizeof(options) / sizeof(*options); i++)
        (void)setsockopt(channel->fd, options[i].level, options[i].name, &options[i].value,
                         sizeof(options[i].value));
}

static const char *path_of(const struct enf_channel *channel)
{
    return (const char *)&channel->to + offsetof(struct sockaddr_un, sun_path);
}

/* Which socket the path names now: a new one of the same name is another. */
static void note_identity(struct enf_channel *channel)
{
    struct stat st;

    if (channel->kind != ENF_CHANNEL_UNIX)
        return;
    channel->dev = 0;
    channel->ino = 0;
    if (stat(path_of(channel), &st) == 0) {
        channel->dev = st.st_dev;
        channel->ino = st.st_ino;
        channel->changed = st.st_ctim;
    }
}

static int await(struct enf_channel *channel)
{
    struct pollfd poll_fd = {.fd = channel->fd, .events = POLLOUT};
    socklen_t len = sizeof(int);
    int err = 0;

    if (!channel->connecting)
        return 0;
    if (poll(&poll_fd, 1, 0) <= 0)
        return -EAGAIN;
    if (getsockopt(channel->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err)
        return fail(channel, -err);
    channel->connecting = false;
    return 0;
}

int enf_channel_open(struct enf_channel *channel)
{
    int type = channel->kind == ENF_CHANNEL_TCP ? SOCK_STREAM : SOCK_DGRAM;

    if (channel->fd >= 0)
        return await(channel);
    channel->fd = socket(channel->to.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (channel->fd < 0)
        return -errno;
    tune(channel);
    note_identity(channel);
    if (connect(channel->fd, (const struct sockaddr *)(const void *)&channel->to, channel->to_len) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return fail(channel, -errno);
    channel->connecting = true;
    return await(channel);
}

int enf_channel_push(struct enf_channel *channel)
{
    while (channel->out_at < channel->out_len) {
        ssize_t n = send(channel->fd, channel->out + channel->out_at, channel->out_len - channel->out_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
            return -EAGAIN;
        if (n < 0)
            return fail(channel, -errno);
        channel->out_at += (size_t)n;
        channel->sent += (uint64_t)n;
    }
    free(channel->out);
    channel->out = NULL;
    channel->out_len = channel->out_at = 0;
    return 0;
}

/* A frame: the length as text, a blank, the message. What the kernel does not take now waits here. */
static int send_frame(struct enf_channel *channel, const char *text, size_t len)
{
    int err = enf_channel_push(channel);
    int head;

    if (err)
        return err;
    channel->out = malloc(len + 24);
    if (!channel->out)
        return -ENOMEM;
    head = snprintf(channel->out, 24, "%zu ", len);
    memcpy(channel->out + head, text, len);
    channel->out_len = (size_t)head + len;
    err = enf_channel_push(channel);
    if (err == -EAGAIN && channel->out_at > 0)
        return 0;
    if (err == -EAGAIN) {
        free(channel->out);
        channel->out = NULL;
        channel->out_len = 0;
    }
    return err;
}

int enf_channel_send(struct enf_channel *channel, const char *text, size_t len)
{
    int err = enf_channel_open(channel);
    ssize_t n;

    if (err)
        return err;
    if (channel->kind == ENF_CHANNEL_TCP)
        return send_frame(channel, text, len);
    do
        n = send(channel->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        channel->sent += (uint64_t)n;
        return 0;
    }
    if (errno == EAGAIN || errno == ENOBUFS)
        return -EAGAIN;
    return errno == EMSGSIZE ? -EMSGSIZE : fail(channel, -errno);
}

/* The path still names the socket that is connected to, and somebody has it open: a dead one refuses. */
static bool same_socket(const struct enf_channel *channel)
{
    struct stat st;
    bool same;
    int fd;

    if (stat(path_of(channel), &st) != 0 || st.st_dev != channel->dev || st.st_ino != channel->ino ||
        st.st_ctim.tv_sec != channel->changed.tv_sec || st.st_ctim.tv_nsec != channel->changed.tv_nsec)
        return false;
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true; /* cannot be asked now */
    same = connect(fd, (const struct sockaddr *)(const void *)&channel->to, channel->to_len) == 0;
    close(fd);
    return same;
}

/* Reads what a receiver says, which is nothing that we need: an end, or an error, shows here. */
static bool stream_goes_on(struct enf_channel *channel)
{
    char said[512];
    ssize_t n;

    do
        n = recv(channel->fd, said, sizeof(said), MSG_DONTWAIT);
    while (n > 0 || (n < 0 && errno == EINTR));
    if (n < 0 && errno == EAGAIN)
        return true;
    channel->reset = n < 0;
    return false;
}

bool enf_channel_alive(struct enf_channel *channel)
{
    bool alive;

    if (channel->fd < 0)
        return false;
    if (channel->kind == ENF_CHANNEL_UDP || channel->connecting)
        return true;
    alive = channel->kind == ENF_CHANNEL_TCP ? stream_goes_on(channel) : same_socket(channel);
    if (!alive)
        enf_channel_close(channel);
    return alive;
}

uint64_t enf_channel_taken(const struct enf_channel *channel)
{
    int waiting = 0;

    if (channel->fd < 0 || ioctl(channel->fd, SIOCOUTQ, &waiting) < 0 || waiting < 0)
        return 0;
    if (channel->kind == ENF_CHANNEL_TCP)
        return channel->sent - (uint64_t)waiting;
    return waiting == 0 ? channel->sent : 0;
}
