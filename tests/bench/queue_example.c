/* SPDX-License-Identifier: GPL-2.0-or-later */
/* NFQUEUE in the way of the example in libnetfilter_queue's documentation, to compare the daemon with: one
 * packet is received, parsed by the library, printed, and answered by a message of its own. `queue_example
 * QUEUE`; ends by SIGTERM. Written for this; the steps are those of nf-queue.c (libnetfilter_queue 1.0.5,
 * examples). */
#include "common.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_LEN (0xffff + 8192)

static struct mnl_socket *handle;

static void answer(unsigned queue, uint32_t id)
{
    char buf[8192];
    struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT, queue);

    nfq_nlmsg_verdict_put(h, (int)id, NF_ACCEPT);
    struct nlattr *nest = mnl_attr_nest_start(h, NFQA_CT);
    mnl_attr_put_u32(h, CTA_MARK, htonl(42));
    mnl_attr_nest_end(h, nest);
    if (mnl_socket_sendto(handle, h, h->nlmsg_len) < 0)
        die("send");
}

static int on_packet(const struct nlmsghdr *h, void *ctx)
{
    struct nlattr *attrs[NFQA_MAX + 1] = {0};

    (void)ctx;
    if (nfq_nlmsg_parse(h, attrs) < 0 || !attrs[NFQA_PACKET_HDR] || !attrs[NFQA_PAYLOAD])
        return MNL_CB_ERROR;
    const struct nfgenmsg *nf = mnl_nlmsg_get_payload(h);
    const struct nfqnl_msg_packet_hdr *head = mnl_attr_get_payload(attrs[NFQA_PACKET_HDR]);
    unsigned len = mnl_attr_get_payload_len(attrs[NFQA_PAYLOAD]);
    uint32_t info = attrs[NFQA_SKB_INFO] ? ntohl(mnl_attr_get_u32(attrs[NFQA_SKB_INFO])) : 0;
    uint32_t id = ntohl(head->packet_id);
    printf("packet %u of protocol 0x%04x at hook %u, %u bytes%s\n", id, ntohs(head->hw_protocol), head->hook,
           len, info & NFQA_SKB_CSUMNOTREADY ? ", checksum not ready" : "");
    answer(ntohs(nf->res_id), id);
    return MNL_CB_OK;
}

int main(int argc, char **argv)
{
    unsigned queue = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    char *buf = malloc(BUFFER_LEN);
    int one = 1;

    handle = mnl_socket_open(NETLINK_NETFILTER);
    if (!buf || !handle || mnl_socket_bind(handle, 0, MNL_SOCKET_AUTOPID) < 0)
        die("netlink");
    struct nlmsghdr *h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue);
    nfq_nlmsg_cfg_put_cmd(h, AF_INET, NFQNL_CFG_CMD_BIND);
    if (mnl_socket_sendto(handle, h, h->nlmsg_len) < 0)
        die("bind");
    h = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, queue);
    nfq_nlmsg_cfg_put_params(h, NFQNL_COPY_PACKET, 0xffff);
    mnl_attr_put_u32(h, NFQA_CFG_FLAGS, htonl(NFQA_CFG_F_GSO));
    mnl_attr_put_u32(h, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO));
    if (mnl_socket_sendto(handle, h, h->nlmsg_len) < 0)
        die("parameters");
    mnl_socket_setsockopt(handle, NETLINK_NO_ENOBUFS, &one, sizeof one);
    for (;;) {
        ssize_t len = mnl_socket_recvfrom(handle, buf, BUFFER_LEN);
        if (len < 0)
            die("receive");
        if (mnl_cb_run(buf, (size_t)len, 0, mnl_socket_get_portid(handle), on_packet, NULL) < 0)
            die("packet");
    }
}
