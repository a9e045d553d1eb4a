/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads NFLOG messages: copies of packets, with the reason in the rule's prefix. */
#include "enforcer/kernel/telemetry.h"

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

#define BURST      32
#define BUFFER_LEN 16384 /* the kernel's buffer of one delivery is 4 KiB unless told otherwise */
#define SOCKET_LEN (32 * 1024 * 1024)
#define READS_MAX  64 /* bursts a call: the caller has other work too */
#define FLUSH_CS   1  /* hundredths of a second until what is collected is delivered */

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
};
_Static_assert(sizeof names / sizeof *names == ENF_LOG_REASON_COUNT, "a name is missing");

const char *enf_log_reason_name(enum enf_log_reason reason)
{
    return reason < ENF_LOG_REASON_COUNT ? names[reason] : NULL;
}

static enum enf_log_reason reason_of(const struct nlattr *prefix)
{
    static const char start[] = "enf:";
    const char *text = mnl_attr_get_payload(prefix);
    size_t len = mnl_attr_get_payload_len(prefix);

    if (len < sizeof start || text[len - 1] != '\0' || memcmp(text, start, sizeof start - 1) != 0)
        return ENF_LOG_UNKNOWN;
    for (unsigned i = 1; i < ENF_LOG_REASON_COUNT; i++) {
        if (strcmp(text + sizeof start - 1, names[i]) == 0)
            return (enum enf_log_reason)i;
    }
    return ENF_LOG_UNKNOWN;
}

/* One configuration message that the kernel must acknowledge. */
static int request(struct mnl_socket *socket, struct nlmsghdr *h)
{
    char buf[4096];

    h->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(socket, h, h->nlmsg_len) < 0)
        return -errno;
    ssize_t got = mnl_socket_recvfrom(socket, buf, sizeof buf);
    if (got < 0)
        return -errno;
    return mnl_cb_run(buf, (size_t)got, 0, 0, NULL, NULL) < 0 ? -errno : 0;
}

static int configure(struct mnl_socket *socket, uint16_t group)
{
    char buf[512];
    struct nlmsghdr *h = nflog_nlmsg_put_header(buf, NFULNL_MSG_CONFIG, AF_UNSPEC, group);

    if (nflog_attr_put_cfg_cmd(h, NFULNL_CFG_CMD_BIND) < 0)
        return -EINVAL;
    int err = request(socket, h);
    if (err < 0)
        return err;
    h = nflog_nlmsg_put_header(buf, NFULNL_MSG_CONFIG, AF_UNSPEC, group);
    /* The rules say how much of a packet is copied (snaplen): the smaller of both counts. */
    if (nflog_attr_put_cfg_mode(h, NFULNL_COPY_PACKET, 0xffff) < 0)
        return -EINVAL;
    mnl_attr_put_u32(h, NFULA_CFG_NLBUFSIZ, htonl(BUFFER_LEN));
    mnl_attr_put_u32(h, NFULA_CFG_TIMEOUT, htonl(FLUSH_CS));
    mnl_attr_put_u16(h, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
    return request(socket, h);
}

int enf_log_open(uint16_t group, struct enf_log **out)
{
    struct enf_log *log = calloc(1, sizeof *log);
    int size = SOCKET_LEN, err = -ENOMEM;

    if (!log)
        return -ENOMEM;
    /* One byte more than the kernel fills, per buffer: a message that fits exactly is not a cut one. */
    log->buffers = malloc((size_t)BURST * BUFFER_LEN * 2);
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
        log->vectors[i] =
            (struct iovec){.iov_base = log->buffers + i * BUFFER_LEN * 2, .iov_len = BUFFER_LEN * 2};
        log->messages[i].msg_hdr = (struct msghdr){.msg_iov = &log->vectors[i], .msg_iovlen = 1};
    }
    if (setsockopt(enf_log_fd(log), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(enf_log_fd(log), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    err = configure(log->socket, group);
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

static void on_message(struct enf_log *log, const struct nlmsghdr *h, enf_log_fn fn, void *ctx)
{
    struct enf_kernel_packet packet = {0};
    enum enf_log_reason reason = ENF_LOG_UNKNOWN;
    const struct nlattr *attr;

    if (h->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) ||
        h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
        return;
    mnl_attr_for_each (attr, h, sizeof(struct nfgenmsg)) {
        size_t len = mnl_attr_get_payload_len(attr);
        switch (mnl_attr_get_type(attr)) {
        case NFULA_PREFIX:
            reason = reason_of(attr);
            break;
        case NFULA_PAYLOAD:
            packet.data = mnl_attr_get_payload(attr);
            packet.len = len;
            break;
        case NFULA_IFINDEX_INDEV:
            if (len == sizeof(uint32_t))
                packet.ifindex = ntohl(mnl_attr_get_u32(attr));
            break;
        case NFULA_SEQ:
            if (len == sizeof(uint32_t))
                count_gap(log, ntohl(mnl_attr_get_u32(attr)));
            break;
        default:
            break;
        }
    }
    log->stats.messages++;
    if (!packet.data) {
        log->stats.malformed++;
        return;
    }
    fn(ctx, reason, &packet);
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
        for (int j = 0; j < got; j++) {
            struct nlmsghdr *h = log->vectors[j].iov_base;
            int left = (int)log->messages[j].msg_len;
            for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
                on_message(log, h, fn, ctx);
        }
        if (got < BURST)
            break;
    }
    return (int)(log->stats.messages - before);
}

struct enf_log_stats enf_log_stats(const struct enf_log *log)
{
    return log->stats;
}
