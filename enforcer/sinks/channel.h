/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A socket that lines are sent to: datagrams to a Unix socket or over UDP, or TCP with octet counting (RFC
 * 6587, 3.4.1). Nothing here waits. Private to sinks/. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#define ENF_CHANNEL_DATAGRAM_MAX 65000u /* bytes: what one datagram of ours may have (UDP holds 65,507) */

enum enf_channel_kind {
    ENF_CHANNEL_UNIX,
    ENF_CHANNEL_UDP,
    ENF_CHANNEL_TCP,
};

struct enf_channel {
    enum enf_channel_kind kind;
    struct sockaddr_storage to;
    socklen_t to_len;
    int fd; /* -1: none */
    bool connecting;
    bool reset; /* the last connection ended so that the peer may have left data unread */
    dev_t dev;  /* of the Unix socket that is connected to */
    ino_t ino;
    struct timespec changed; /* inode numbers are used again at once */
    char *out;               /* what is left of a frame that was sent in part */
    size_t out_len;
    size_t out_at;
    uint64_t sent; /* bytes given to this connection */
};

/* Where to: a path, or address and port (host order). Opens nothing. 0; -ENAMETOOLONG. */
int enf_channel_unix(const char *path, struct enf_channel *out);
int enf_channel_inet(enum enf_channel_kind kind, const struct enf_addr *address, uint16_t port,
                     struct enf_channel *out);
/* Ends the connection; *channel can be used again. */
void enf_channel_close(struct enf_channel *channel);

/* Begins a connection where there is none. 0: it is there; -EAGAIN: not yet; other -errno: it failed, and the
 * channel is closed. -ENOSYS, -EACCES, -EAFNOSUPPORT, -EPERM: this process may not make such a socket. */
int enf_channel_open(struct enf_channel *channel);
/* Sends one message of len bytes, without a newline. 0: the kernel has all of it, or the rest is kept here
 * and goes first next time; -EAGAIN: there is no room now, nothing was sent; -EMSGSIZE: too long for a
 * datagram; other -errno: the connection is closed. */
int enf_channel_send(struct enf_channel *channel, const char *text, size_t len);
/* Sends what enf_channel_send kept. The same results. */
int enf_channel_push(struct enf_channel *channel);

/* Whether the one at the other end is still the one that was connected to, and has ended nothing. False: the
 * channel was closed. */
bool enf_channel_alive(struct enf_channel *channel);
/* Bytes of this connection that the other end has: TCP acknowledged them; for Unix datagrams all of them
 * (when its queue is empty), or 0. */
uint64_t enf_channel_taken(const struct enf_channel *channel);
