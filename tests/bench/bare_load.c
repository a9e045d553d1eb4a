/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The least that can fill a set: `bare_load COUNT [ELEMENTS]` puts COUNT addresses from 100.64.0.0 on, each
 * for a day, into quarantine4 of the table that stands in this namespace, ELEMENTS (1000) a transaction, and
 * waits for each answer. No state, no table in memory. Prints seconds. */
#include "common.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST     0x64400000u /* 100.64.0.0 */
#define DAY_MS    86400000u
#define LARGEST   1500 /* elements of a message: one attribute has 64 KiB */
#define ROOM      (LARGEST * 40 + 1024)
#define AN_ANSWER 4096

static uint32_t sequence = 1;

static struct nlmsghdr *message(char *at, uint16_t type, uint16_t flags, uint8_t family, uint16_t resource)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(at);

    h->nlmsg_type = type;
    h->nlmsg_flags = NLM_F_REQUEST | flags;
    h->nlmsg_seq = sequence++;
    struct nfgenmsg *head = mnl_nlmsg_put_extra_header(h, sizeof *head);
    head->nfgen_family = family;
    head->version = NFNETLINK_V0;
    head->res_id = htons(resource);
    return h;
}

/* One transaction; bytes. */
static size_t write_elements(char *buf, uint32_t from, uint32_t to)
{
    size_t len = message(buf, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES)->nlmsg_len;
    struct nlmsghdr *h = message(buf + len, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM,
                                 NLM_F_CREATE | NLM_F_ACK, NFPROTO_INET, 0);

    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, "enforcer");
    mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, "quarantine4");
    struct nlattr *list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (; from < to; from++) {
        struct nlattr *elem = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
        struct nlattr *key = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
        mnl_attr_put_u32(h, NFTA_DATA_VALUE, htonl(FIRST + from));
        mnl_attr_nest_end(h, key);
        mnl_attr_put_u64(h, NFTA_SET_ELEM_TIMEOUT, htobe64(DAY_MS));
        mnl_attr_nest_end(h, elem);
    }
    mnl_attr_nest_end(h, list);
    len += h->nlmsg_len;
    return len + message(buf + len, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES)->nlmsg_len;
}

static int answer(struct mnl_socket *socket)
{
    char buf[AN_ANSWER];
    ssize_t got = mnl_socket_recvfrom(socket, buf, sizeof buf);
    const struct nlmsghdr *h = (const void *)buf;

    if (got < (ssize_t)(sizeof *h + sizeof(struct nlmsgerr)))
        return got < 0 ? -errno : -EBADMSG;
    return ((const struct nlmsgerr *)mnl_nlmsg_get_payload(h))->error;
}

int main(int argc, char **argv)
{
    uint32_t count = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000,
             at_once = argc > 2 ? (uint32_t)atoi(argv[2]) : 1000;
    struct mnl_socket *socket = mnl_socket_open(NETLINK_NETFILTER);
    char *buf = calloc(1, ROOM);
    double began = now_us();
    int err = 0;

    if (!socket || !buf || at_once == 0 || at_once > LARGEST ||
        mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
        err = -EINVAL;
    for (uint32_t from = 0; err == 0 && from < count; from += at_once) {
        size_t len = write_elements(buf, from, count - from < at_once ? count : from + at_once);
        err = mnl_socket_sendto(socket, buf, len) < 0 ? -errno : answer(socket);
    }
    double took = (now_us() - began) / 1e6;
    if (socket)
        mnl_socket_close(socket);
    free(buf);
    if (err < 0) {
        fprintf(stderr, "bare_load: %s\n", strerror(-err));
        return 1;
    }
    printf("{\"seconds\": %.6f}\n", took);
    return 0;
}
