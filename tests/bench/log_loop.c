/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The smallest NFLOG reader, to compare the daemon with: one recv a datagram; counts messages and the gaps in
 * their numbers. `log_loop GROUP`; at SIGTERM it prints what it counted. */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define BUFFER_LEN (1 << 18)
#define COPY_RANGE 64
#define THRESHOLD  64
#define FLUSH_CS   1
#define KERNEL_LEN 131072
#define SOCKET_LEN (32 << 20)

static volatile sig_atomic_t ended;
static unsigned long long messages, lost;

static void on_signal(int number)
{
    (void)number;
    ended = 1;
}

static struct nlmsghdr *put_header(char *at, unsigned group)
{
    struct nlmsghdr *h = mnl_nlmsg_put_header(at);
    struct nfgenmsg *nf = mnl_nlmsg_put_extra_header(h, sizeof *nf);

    h->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
    h->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    nf->res_id = htons((uint16_t)group);
    return h;
}

static void request(struct mnl_socket *socket, struct nlmsghdr *h)
{
    char answer[8192];

    if (mnl_socket_sendto(socket, h, h->nlmsg_len) < 0)
        die("send");
    ssize_t len = mnl_socket_recvfrom(socket, answer, sizeof answer);
    if (len < 0 || mnl_cb_run(answer, (size_t)len, 0, mnl_socket_get_portid(socket), NULL, NULL) < 0)
        die("NFLOG");
}

static void set_up(struct mnl_socket *socket, unsigned group)
{
    char buf[512];
    struct nfulnl_msg_config_cmd bind_it = {.command = NFULNL_CFG_CMD_BIND};
    struct nfulnl_msg_config_mode mode = {.copy_mode = NFULNL_COPY_PACKET, .copy_range = htonl(COPY_RANGE)};
    int size = SOCKET_LEN, one = 1;

    setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    struct nlmsghdr *h = put_header(buf, group);
    mnl_attr_put(h, NFULA_CFG_CMD, sizeof bind_it, &bind_it);
    request(socket, h);
    h = put_header(buf, group);
    mnl_attr_put(h, NFULA_CFG_MODE, sizeof mode, &mode);
    mnl_attr_put_u32(h, NFULA_CFG_TIMEOUT, htonl(FLUSH_CS));
    mnl_attr_put_u32(h, NFULA_CFG_QTHRESH, htonl(THRESHOLD));
    mnl_attr_put_u32(h, NFULA_CFG_NLBUFSIZ, htonl(KERNEL_LEN));
    mnl_attr_put_u16(h, NFULA_CFG_FLAGS, htons(NFULNL_CFG_F_SEQ));
    request(socket, h);
    setsockopt(mnl_socket_get_fd(socket), SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof one);
}

static void count(const struct nlmsghdr *h)
{
    static uint32_t expected;
    const struct nlattr *attr;

    if (h->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET))
        return;
    mnl_attr_for_each (attr, h, sizeof(struct nfgenmsg)) {
        if (mnl_attr_get_type(attr) != NFULA_SEQ)
            continue;
        uint32_t seq = ntohl(mnl_attr_get_u32(attr));
        if (messages > 0)
            lost += (uint32_t)(seq - expected);
        expected = seq + 1;
    }
    messages++;
}

int main(int argc, char **argv)
{
    struct mnl_socket *socket = mnl_socket_open(NETLINK_NETFILTER);
    char *buf = malloc(BUFFER_LEN);
    struct sigaction action = {.sa_handler = on_signal};

    if (!buf || !socket || mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
        die("netlink");
    sigaction(SIGTERM, &action, NULL);
    set_up(socket, argc > 1 ? (unsigned)atoi(argv[1]) : 5);
    while (!ended) {
        ssize_t got = recv(mnl_socket_get_fd(socket), buf, BUFFER_LEN, 0);
        if (got < 0 && errno != EINTR && errno != ENOBUFS)
            die("recv");
        int left = (int)got;
        for (struct nlmsghdr *h = (void *)buf; got > 0 && mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
            count(h);
    }
    printf("{\"messages\": %llu, \"lost\": %llu}\n", messages, lost);
    return 0;
}
