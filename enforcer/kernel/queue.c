/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads an NFQUEUE in bursts and answers each burst in one send: measured 1.85 times one verdict at a time.
 */
#include "enforcer/kernel/telemetry.h"

#include "enforcer/kernel/messages.h"
#include "enforcer/kernel/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BURST ENF_QUEUE_BURST
/* Whole packets, also those that the kernel joined (GSO): a dialogue is read up to its budget, and only the
 * first packets of a flow come at all. What is not there costs nothing. */
#define COPY_RANGE (65535 - 4)
/* Of a buffer. No multiple of 4096: else all 32 would fight for the same lines of the cache. */
#define BUFFER_LEN  (COPY_RANGE + 5 + 1088)
#define VERDICT_LEN 64 /* one verdict message */
#define MAX_LEN     16384
#define SOCKET_LEN  (MAX_LEN * 4096)

struct enf_queue {
    struct mnl_socket *socket;
    uint16_t number;
    bool fail_open;
    bool have_id;
    uint32_t last_id;
    struct enf_queue_stats stats;
    struct mmsghdr messages[BURST];
    struct iovec vectors[BURST];
    uint8_t *buffers;
    uint8_t *verdicts;
};

/* What one recvmmsg brought. */
struct burst {
    struct enf_kernel_packet packets[BURST];
    uint32_t ids[BURST];
    bool pass[BURST];
    size_t len;
    bool whole; /* nothing in it was unreadable */
};

static size_t put_verdict(struct enf_queue *queue, uint8_t *at, int type, uint32_t id, bool pass)
{
    struct nlmsghdr *h = nfq_nlmsg_put((char *)at, type, queue->number);

    nfq_nlmsg_verdict_put(h, (int)id, pass ? NF_ACCEPT : NF_DROP);
    return NLMSG_ALIGN(h->nlmsg_len);
}

/* The kernel numbers what it queues: a number that never came is a message that found the socket full. */
static void count_gap(struct enf_queue *queue, uint32_t id)
{
    if (queue->have_id && id - queue->last_id > 1 && id - queue->last_id < INT32_MAX)
        queue->stats.lost += id - queue->last_id - 1;
    queue->have_id = true;
    queue->last_id = id;
}

/* Takes one datagram into the burst, where it is a packet. */
static void take(struct enf_queue *queue, const uint8_t *data, size_t len, struct burst *burst)
{
    struct enf_queue_message queued;
    struct enf_message message;
    int error;

    if (!enf_message_next(&data, data + len, &message)) {
        queue->stats.malformed++;
        burst->whole = false;
        return;
    }
    /* A verdict that the kernel refuses is the one that it answers: the packet is gone, with its interface
     * perhaps. */
    if (enf_message_answer(&message, &error)) {
        queue->stats.failed += error < 0;
        return;
    }
    if (!enf_queue_message_read(&message, &queued) || !queued.have_id) {
        queue->stats.malformed++;
        burst->whole = false;
        return;
    }
    count_gap(queue, queued.id);
    queue->stats.packets++;
    burst->packets[burst->len] = queued.packet;
    burst->ids[burst->len++] = queued.id;
}

static bool all_equal(const struct burst *burst)
{
    for (size_t i = 1; i < burst->len; i++) {
        if (burst->pass[i] != burst->pass[0])
            return false;
    }
    return true;
}

/* One message where all agree: it speaks for every packet up to its number, so none may be left out. */
static size_t put_verdicts(struct enf_queue *queue, const struct burst *burst)
{
    size_t len = 0;

    for (size_t i = 0; i < burst->len; i++) {
        queue->stats.accepted += burst->pass[i];
        queue->stats.dropped += !burst->pass[i];
    }
    if (burst->len > 1 && burst->whole && all_equal(burst))
        return put_verdict(queue, queue->verdicts, NFQNL_MSG_VERDICT_BATCH, burst->ids[burst->len - 1],
                           burst->pass[0]);
    for (size_t i = 0; i < burst->len; i++)
        len += put_verdict(queue, queue->verdicts + len, NFQNL_MSG_VERDICT, burst->ids[i], burst->pass[i]);
    return len;
}

static void send_verdicts(struct enf_queue *queue, const struct burst *burst)
{
    size_t len = put_verdicts(queue, burst);
    ssize_t sent;

    do {
        sent = mnl_socket_sendto(queue->socket, queue->verdicts, len);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        queue->stats.failed += burst->len;
}

/* Packets that came between the kernel's steps of setting the queue up: none may wait for ever. The fail mode
 * decides. */
static void judge_early(void *ctx, const uint8_t *data, size_t len)
{
    struct enf_queue *queue = ctx;
    struct burst burst = {.whole = true};

    take(queue, data, len, &burst);
    burst.pass[0] = queue->fail_open;
    if (burst.len > 0)
        send_verdicts(queue, &burst);
}

static int bind_queue(struct enf_queue *queue)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue->number);

    nfq_nlmsg_cfg_put_cmd(h, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
    int err = enf_netlink_request(queue->socket, h, judge_early, queue);
    return err == -EPERM && enf_netlink_privileged() ? -EBUSY : err;
}

static int configure(struct enf_queue *queue)
{
    char buf[512] = {0};
    struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue->number);
    uint32_t flags = NFQA_CFG_F_GSO | (queue->fail_open ? NFQA_CFG_F_FAIL_OPEN : 0);

    nfq_nlmsg_cfg_put_params(h, NFQNL_COPY_PACKET, COPY_RANGE);
    nfq_nlmsg_cfg_put_qmaxlen(h, MAX_LEN);
    mnl_attr_put_u32(h, NFQA_CFG_FLAGS, htonl(flags));
    mnl_attr_put_u32(h, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN));
    return enf_netlink_request(queue->socket, h, judge_early, queue);
}

int enf_queue_set_fail_open(struct enf_queue *queue, bool fail_open)
{
    bool before = queue->fail_open;

    queue->fail_open = fail_open;
    int err = configure(queue);
    if (err < 0)
        queue->fail_open = before;
    return err;
}

int enf_queue_open(uint16_t number, bool fail_open, struct enf_queue **out)
{
    struct enf_queue *queue = calloc(1, sizeof *queue);
    int size = SOCKET_LEN, err = -ENOMEM;

    if (!queue)
        return -ENOMEM;
    queue->number = number;
    queue->fail_open = fail_open;
    queue->buffers = malloc((size_t)BURST * BUFFER_LEN);
    queue->verdicts = calloc(BURST, VERDICT_LEN);
    queue->socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (!queue->buffers || !queue->verdicts || !queue->socket) {
        err = queue->socket ? -ENOMEM : -errno;
        goto fail;
    }
    if (mnl_socket_bind(queue->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
        err = -errno;
        goto fail;
    }
    for (size_t i = 0; i < BURST; i++) {
        queue->vectors[i] =
            (struct iovec){.iov_base = queue->buffers + i * BUFFER_LEN, .iov_len = BUFFER_LEN};
        queue->messages[i].msg_hdr = (struct msghdr){.msg_iov = &queue->vectors[i], .msg_iovlen = 1};
    }
    if (setsockopt(enf_queue_fd(queue), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(enf_queue_fd(queue), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    err = bind_queue(queue);
    if (err == 0)
        err = configure(queue);
    if (err < 0)
        goto fail;
    *out = queue;
    return 0;
fail:
    enf_queue_close(&queue);
    return err;
}

void enf_queue_close(struct enf_queue **queue)
{
    if (!*queue)
        return;
    if ((*queue)->socket)
        mnl_socket_close((*queue)->socket);
    free((*queue)->buffers);
    free((*queue)->verdicts);
    free(*queue);
    *queue = NULL;
}

int enf_queue_fd(const struct enf_queue *queue)
{
    return mnl_socket_get_fd(queue->socket);
}

int enf_queue_read(struct enf_queue *queue, enf_queue_fn fn, void *ctx)
{
    int got = recvmmsg(enf_queue_fd(queue), queue->messages, BURST, MSG_DONTWAIT, NULL);
    struct burst burst;

    if (got < 0) {
        if (errno == ENOBUFS) {
            queue->stats.overruns++;
            return 0;
        }
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    burst.len = 0;
    burst.whole = true;
    for (int i = 0; i < got; i++)
        take(queue, queue->vectors[i].iov_base, queue->messages[i].msg_len, &burst);
    if (burst.len > 0) {
        fn(ctx, burst.packets, burst.len, burst.pass);
        send_verdicts(queue, &burst);
    }
    return (int)burst.len;
}

struct enf_queue_stats enf_queue_stats(const struct enf_queue *queue)
{
    return queue->stats;
}

/* The numbers of one line: how many there are, at most max. */
static size_t line_numbers(const char *line, size_t len, uint64_t *out, size_t max)
{
    const char *end = line + len;
    size_t count = 0;

    while (count < max) {
        while (line < end && (*line == ' ' || *line == '\t'))
            line++;
        const char *first = line;
        uint64_t value = 0;
        for (; line < end && *line >= '0' && *line <= '9'; line++)
            value = value * 10 + (uint64_t)(*line - '0');
        if (line == first || (line < end && *line != ' ' && *line != '\t'))
            break;
        out[count++] = value;
    }
    return count;
}

int enf_queue_parse_proc(const char *text, uint16_t queue, struct enf_queue_usage *out)
{
    /* number, port id, waiting, copy mode, copy range, dropped: queue full, dropped: socket full */
    uint64_t numbers[7];

    while (*text) {
        size_t len = strcspn(text, "\n");
        if (line_numbers(text, len, numbers, 7) == 7 && numbers[0] == queue) {
            *out = (struct enf_queue_usage){numbers[2], numbers[5], numbers[6]};
            return 0;
        }
        text += len + (text[len] == '\n');
    }
    return -ENOENT;
}
