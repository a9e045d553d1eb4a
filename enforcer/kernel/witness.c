/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A packet socket, bound to a protocol that no packet has while it does not watch: only making such a socket
 * is a privilege, binding it anew is none (net/packet/af_packet.c). */
#include "enforcer/kernel/witness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SNAP_LEN 128
#define BUFFER   (16 * 1024 * 1024)
#define NOTHING  ETH_P_802_EX1 /* for local experiments */

struct enf_witness {
    int fd;
};

#define LOAD(size, at)     BPF_STMT(BPF_LD | (size) | BPF_ABS, (uint32_t)(at))
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)

/* Outgoing, TCP, destination port 25. IPv6 with extension headers is left to the reader. */
static const struct sock_filter port_25[] = {
    LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PKTTYPE),            /*  0 */
    IS(PACKET_OUTGOING, 0, 18),                          /*  1: else 20 */
    LOAD(BPF_W, SKF_AD_OFF + SKF_AD_PROTOCOL),           /*  2 */
    IS(ETH_P_IP, 1, 0),                                  /*  3: 5 */
    IS(ETH_P_IPV6, 7, 15),                               /*  4: 12, else 20 */
    LOAD(BPF_B, 9),                                      /*  5: IPv4: protocol */
    IS(6, 0, 13),                                        /*  6 */
    LOAD(BPF_H, 6),                                      /*  7: fragments but the first */
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 0x1fff, 11, 0), /*  8 */
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),              /*  9 */
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2),               /* 10 */
    IS(25, 9, 8),                                        /* 11 */
    LOAD(BPF_B, 6),                                      /* 12: IPv6: next header */
    IS(6, 0, 2),                                         /* 13: else 16 */
    LOAD(BPF_H, 42),                                     /* 14 */
    IS(25, 5, 4),                                        /* 15 */
    IS(0, 4, 0),                                         /* 16 */
    IS(43, 3, 0),                                        /* 17 */
    IS(44, 2, 0),                                        /* 18 */
    IS(60, 1, 0),                                        /* 19 */
    BPF_STMT(BPF_RET | BPF_K, 0),                        /* 20 */
    BPF_STMT(BPF_RET | BPF_K, SNAP_LEN),                 /* 21 */
};

static int bind_to(int fd, uint16_t protocol)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(protocol)};

    return bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
}

int enf_witness_open(struct enf_witness **out)
{
    struct sock_filter code[sizeof port_25 / sizeof *port_25];
    struct sock_fprog program = {.len = sizeof port_25 / sizeof *port_25, .filter = code};
    struct enf_witness *witness = calloc(1, sizeof *witness);
    int size = BUFFER, err = 0;

    if (!witness)
        return -ENOMEM;
    for (size_t i = 0; i < program.len; i++)
        code[i] = port_25[i];
    witness->fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (witness->fd < 0 ||
        setsockopt(witness->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) {
        err = -errno;
        enf_witness_close(&witness);
        return err;
    }
    if (setsockopt(witness->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(witness->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    *out = witness;
    return 0;
}

void enf_witness_close(struct enf_witness **witness)
{
    if (!*witness)
        return;
    if ((*witness)->fd >= 0)
        close((*witness)->fd);
    free(*witness);
    *witness = NULL;
}

int enf_witness_watch(struct enf_witness *witness, bool on)
{
    return bind_to(witness->fd, on ? ETH_P_ALL : NOTHING);
}

int enf_witness_read(struct enf_witness *witness, enf_witness_fn fn, void *ctx, uint64_t *unseen)
{
    struct tpacket_stats stats = {0};
    socklen_t stats_len = sizeof stats;
    uint8_t packet[SNAP_LEN];
    int count = 0;

    for (;; count++) {
        ssize_t got = recv(witness->fd, packet, sizeof packet, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENETDOWN)
            return -errno;
        if (got < 0)
            break;
        fn(ctx, packet, (size_t)got);
    }
    if (getsockopt(witness->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &stats_len) == 0)
        *unseen += stats.tp_drops;
    return count;
}
