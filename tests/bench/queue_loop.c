/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The smallest NFQUEUE loop that answers in batches, to compare the daemon with: 32 packets by one recvmmsg,
 * their verdicts in one send. It reads nothing but the packet's number. `queue_loop QUEUE`; ends by SIGTERM.
 */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BURST      32
#define COPY_RANGE 128
#define BUFFER_LEN 512
#define MAX_LEN    8192
#define SOCKET_LEN (16 << 20)

static struct nlmsghdr *put_header(void *at, unsigned type, unsigned queue)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(at);
    struct nfgenmsg *nf = mnl_nlmsg_put_extra_header(h, sizeof *nf);

    h->nlmsg_type = (uint16_t)(NFNL_SUBSYS_QUEUE << 8 | type);
    h->nlmsg_flags = NLM_F_REQUEST;
    nf->res_id = htons((uint16_t)queue);
    return h;
}

static void request(struct mnl_socket *socket, struct nlmsghdr *h, const char *what)
{
    char answer[4096];

    h->nlmsg_flags |= NLM_F_ACK;
    if (mnl_socket_sendto(socket, h, h->nlmsg_len) < 0)
        die(what);
    ssize_t len = mnl_socket_recvfrom(socket, answer, sizeof answer);
    if (len < 0 || mnl_cb_run(answer, (size_t)len, 0, mnl_socket_get_portid(socket), NULL, NULL) < 0)
        die(what);
}

static void set_up(struct mnl_socket *socket, unsigned queue)
{
    char buf[512];
    struct nfqnl_msg_config_cmd bind_it = {.command = NFQNL_CFG_CMD_BIND};
    struct nfqnl_msg_config_params params = {.copy_range = htonl(COPY_RANGE), .copy_mode = NFQNL_COPY_PACKET};
    int fd = mnl_socket_get_fd(socket), size = SOCKET_LEN, one = 1;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    struct nlmsghdr *h = put_header(buf, NFQNL_MSG_CONFIG, queue);
    mnl_attr_put(h, NFQA_CFG_CMD, sizeof bind_it, &bind_it);
    request(socket, h, "bind");
    h = put_header(buf, NFQNL_MSG_CONFIG, queue);
    mnl_attr_put(h, NFQA_CFG_PARAMS, sizeof params, &params);
    mnl_attr_put_u32(h, NFQA_CFG_QUEUE_MAXLEN, htonl(MAX_LEN));
    request(socket, h, "parameters");
    setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof one);
}

/* The number of the packet in a message; 0 where it is none (the kernel counts from 1). */
static uint32_t packet_id(const struct nlmsghdr *h)
{
    const struct nlattr *attr;

    if ((h->nlmsg_type & 0xff) != NFQNL_MSG_PACKET)
        return 0;
    mnl_attr_for_each (attr, h, sizeof(struct nfgenmsg)) {
        if (mnl_attr_get_type(attr) == NFQA_PACKET_HDR) {
            const struct nfqnl_msg_packet_hdr *head = mnl_attr_get_payload(attr);
            return ntohl(head->packet_id);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    static char buffers[BURST][BUFFER_LEN], out[BURST * 64];
    struct mmsghdr messages[BURST] = {0};
    struct iovec vectors[BURST];
    unsigned queue = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    struct mnl_socket *socket = mnl_socket_open(NETLINK_NETFILTER);

    if (!socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
        die("netlink");
    set_up(socket, queue);
    for (size_t i = 0; i < BURST; i++) {
        vectors[i] = (struct iovec){buffers[i], BUFFER_LEN};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    for (;;) {
        int got = recvmmsg(mnl_socket_get_fd(socket), messages, BURST, MSG_WAITFORONE, NULL);
        size_t len = 0;
        if (got < 0 && errno != ENOBUFS && errno != EINTR)
            die("recvmmsg");
        for (int i = 0; i < got; i++) {
            uint32_t id = packet_id((const void *)buffers[i]);
            if (id == 0)
                continue;
            struct nfqnl_msg_verdict_hdr verdict = {.verdict = htonl(NF_ACCEPT), .id = htonl(id)};
            struct nlmsghdr *h = put_header(out + len, NFQNL_MSG_VERDICT, queue);
            mnl_attr_put(h, NFQA_VERDICT_HDR, sizeof verdict, &verdict);
            len += NLMSG_ALIGN(h->nlmsg_len);
        }
        if (len > 0 && mnl_socket_sendto(socket, out, len) < 0)
            die("send");
    }
}
