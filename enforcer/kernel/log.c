/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads NFLOG messages: copies of packets, with the reason in the rule's prefix. */
#include "enforcer/kernel/telemetry.h"

#include "enforcer/kernel/messages.h"
#include "enforcer/kernel/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_log/libnetfilter_log.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define BURST 32
/* The kernel collects copies up to this, and delivers them in one datagram: 96 of SYNs. With what the kernel
 * adds it is 16 KB of memory, not one byte more, which would be 32. */
#define BUFFER_LEN  (16384 - 384)
#define BUFFER_ROOM (2 * BUFFER_LEN)
#define COPY_RANGE  2048
#define SOCKET_LEN  (32 * 1024 * 1024)
#define READS_MAX   64 /* bursts a call: the caller has other work too */
#define FLUSH_CS    0 /* what is collected is delivered at the next tick of the kernel clock: 4 ms at 250 Hz */

struct enf_log {
    struct mnl_socket *socket;
    bool have_seq;
    uint32_t next_seq;
    struct enf_log_stats stats;
    struct mmsghdr messages[BURST];
    struct iovec vectors[BURST];
    uint8_t *buffers;
};

static const char *const names[] = {
    [ENF_LOG_UNKNOWN] = "unknown",
    [ENF_LOG_BLOCK] = "block",
    [ENF_LOG_OBSERVE] = "observe",
    [ENF_LOG_COPY] = "copy",
    [ENF_LOG_QUARANTINED] = "quarantined",
    [ENF_LOG_METER] = "meter",
    [ENF_LOG_SPOOFED] = "spoofed",
    [ENF_LOG_INBOUND] = "inbound",
    [ENF_LOG_BOGON] = "bogon",
    [ENF_LOG_HEADERS] = "headers",
    [ENF_LOG_FULL] = "full",
    [ENF_LOG_RELAY] = "relay",
};
_Static_assert(sizeof names / sizeof *names == ENF_LOG_REASON_COUNT, "a name is missing");

const char *enf_log_reason_name(enum enf_log_reason reason)
{
    return reason < ENF_LOG_REASON_COUNT ? names[reason] : NULL;
}

/* Copies that came before the reader was set up: there is nobody to give them to. */
static void count_early(void *ctx, const uint8_t *data, size_t len)
{
    struct enf_log *log = ctx;
    const uint8_t *end = data + len;
    struct enf_message message;
    struct enf_log_message copy;

    while (enf_message_next(&data, end, &message)) {
        if (enf_log_message_read(&message, &copy))
            log->stats.lost++;
    }
}

static int configure(struct enf_log *log, uint16_t group)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nflog_nlmsg_put_header(buf, NFULNL_MSG_CONFIG, AF_UNSPEC, group);

    if (nflog_attr_put_cfg_cmd(h, NFULNL_CFG_CMD_BIND) < 0)
        return -EINVAL;
    int err = enf_netlink_request(log->socket, h, count_early, log);
    if (err < 0)
        return err == -EPERM && enf_netlink_privileged() ? -EBUSY : err;
    h = nflog_nlmsg_put_header(buf, NFULNL_MSG_CONFIG, AF_UNSPEC, group);
    /* The rules say how much of a packet is copied (snaplen): the smaller of both counts. Somebody else's
     * rule with our group must not send messages that do not fit the buffers. */
    if (nflog_attr_put_cfg_mode(h, NFULNL_COPY_PACKET, COPY_RANGE) < 0)
        return -EINVAL;
    mnl_attr_put_u32(h, NFULA_CFG_NLBUFSIZ, htonl(BUFFER_LEN));
    mnl_attr_put_u32(h, NFULA_CFG_TIMEOUT, htonl(FLUSH_CS));
    mnl_attr_put_u16(h, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
    return enf_netlink_request(log->socket, h, count_early, log);
}

int enf_log_open(uint16_t group, struct enf_log **out)
{
    struct enf_log *log = calloc(1, sizeof *log);
    int size = SOCKET_LEN, err = -ENOMEM;

    if (!log)
        return -ENOMEM;
    log->buffers = malloc((size_t)BURST * BUFFER_ROOM);
    log->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!log->buffers || !log->socket) {
        err = log->socket ? -ENOMEM : -errno;
        goto fail;
    }
    if (mnl_socket_bind(log->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        err = -errno;
        goto fail;
    }
    for (size_t i = 0; i < BURST; i++) {
        log->vectors[i] = (struct iovec){.iov_base = log->buffers + i * BUFFER_ROOM, .iov_len = BUFFER_ROOM};
        log->messages[i].msg_hdr = (struct msghdr){.msg_iov = &log->vectors[i], .msg_iovlen = 1};
    }
    if (setsockopt(enf_log_fd(log), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(enf_log_fd(log), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    err = configure(log, group);
    if (err < 0)
        goto fail;
    *out = log;
    return 0;
fail:
    enf_log_close(&log);
    return err;
}

void enf_log_close(struct enf_log **log)
{
    if (!*log)
        return;
    if ((*log)->socket)
        mnl_socket_close((*log)->socket);
    free((*log)->buffers);
    free(*log);
    *log = NULL;
}

int enf_log_fd(const struct enf_log *log)
{
    return mnl_socket_get_fd(log->socket);
}

static void count_gap(struct enf_log *log, uint32_t seq)
{
    if (log->have_seq && seq != log->next_seq)
        log->stats.lost += seq - log->next_seq;
    log->have_seq = true;
    log->next_seq = seq + 1;
}

/* The copies of a datagram, some at a time: whoever judges them can fetch what it needs for all of them at
 * once. */
static void on_datagram(struct enf_log *log, const uint8_t *at, size_t len, enf_log_fn fn, void *ctx)
{
    const uint8_t *end = at + len;
    struct enf_log_copy copies[ENF_LOG_BURST];
    struct enf_message message;
    struct enf_log_message copy;
    size_t count = 0;

    while (enf_message_next(&at, end, &message)) {
        if (!enf_log_message_read(&message, &copy))
            continue;
        if (copy.have_seq)
            count_gap(log, copy.seq);
        log->stats.messages++;
        if (!copy.packet.data) {
            log->stats.malformed++;
            continue;
        }
        copies[count++] = (struct enf_log_copy){.reason = copy.reason, .packet = copy.packet};
        if (count == ENF_LOG_BURST) {
            fn(ctx, copies, count);
            count = 0;
        }
    }
    if (count > 0)
        fn(ctx, copies, count);
}

int enf_log_read(struct enf_log *log, enf_log_fn fn, void *ctx)
{
    uint64_t before = log->stats.messages;

    for (int i = 0; i < READS_MAX; i++) {
        int got = recvmmsg(enf_log_fd(log), log->messages, BURST, MSG_DONTWAIT, NULL);
        if (got < 0 && errno == ENOBUFS) {
            log->stats.overruns++;
            continue;
        }
        if (got < 0) {
            if (errno == EAGAIN || errno == EINTR)
                break;
            return -errno;
        }
        for (int j = 0; j < got; j++)
            on_datagram(log, log->vectors[j].iov_base, log->messages[j].msg_len, fn, ctx);
        if (got < BURST)
            break;
    }
    return (int)(log->stats.messages - before);
}

struct enf_log_stats enf_log_stats(const struct enf_log *log)
{
    return log->stats;
}
