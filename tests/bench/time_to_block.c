/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Time to block, seen from outside: time_to_block CLIENT-NETNS SERVER-NETNS GATEWAY-MAC THRESHOLD GAP-us
 * TRIALS CONVICTING-ADDRESS PROBED-ADDRESS Each trial takes a fresh source, sends THRESHOLD SYNs to the first
 * address, the last of which should convict it, and then a SYN to the second address each GAP. Prints what of
 * those still reached the server: how many, and the time from the convicting SYN to the sending of the last
 * of them. A trial ends when 150 ms of probes in a row did not arrive. */
#include "common.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_LEN  60
#define IP         14
#define TCP        34
#define PROBES_MAX 100000
#define QUIET_US   150000 /* a busy machine delivers late, once in a while */
#define LIMIT_US   5e6

struct bed {
    int out, in;
    uint8_t frame[FRAME_LEN];
    uint32_t destinations[2];
    double gap_us;
    unsigned threshold;
    unsigned open; /* trials whose first SYN to the probed address arrived */
};

static int packet_socket(const char *netns, const char *interface, int protocol)
{
    char path[128];
    int size = 16 << 20;

    snprintf(path, sizeof path, "/run/netns/%s", netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        die(path);
    close(fd);
    int sock = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, htons((uint16_t)protocol));
    struct sockaddr_ll where = {.sll_family = AF_PACKET,
                                .sll_protocol = htons((uint16_t)protocol),
                                .sll_ifindex = (int)if_nametoindex(interface)};
    if (sock < 0 || bind(sock, (struct sockaddr *)&where, sizeof where) < 0)
        die(interface);
    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return sock;
}

static uint16_t checksum(const uint8_t *at, size_t len, uint32_t sum)
{
    for (; len > 1; len -= 2, at += 2)
        sum += (uint32_t)at[0] << 8 | at[1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* Number n of a trial: its sequence number says which it was. */
static void send_syn(struct bed *bed, uint32_t source, uint32_t destination, uint32_t n)
{
    uint8_t *ip = bed->frame + IP, *tcp = bed->frame + TCP;
    uint16_t port = htons((uint16_t)(20000 + n % 40000)), sum;
    uint32_t seq = htonl(n), pseudo = IPPROTO_TCP + 20;

    memcpy(ip + 12, &source, 4);
    memcpy(ip + 16, &destination, 4);
    memset(ip + 10, 0, 2);
    sum = checksum(ip, 20, 0);
    memcpy(ip + 10, &sum, 2);
    memcpy(tcp, &port, 2);
    memcpy(tcp + 4, &seq, 4);
    memset(tcp + 16, 0, 2);
    for (int i = 12; i < 20; i += 2)
        pseudo += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = checksum(tcp, 20, pseudo);
    memcpy(tcp + 16, &sum, 2);
    if (send(bed->out, bed->frame, FRAME_LEN, 0) < 0)
        die("send");
}

/* What arrived of this source since the last look: how many behind the threshold, and the last number. */
static unsigned arrived(struct bed *bed, uint32_t source, uint32_t *last, bool *first)
{
    uint8_t buf[2048];
    unsigned passed = 0;
    ssize_t len;

    while ((len = recv(bed->in, buf, sizeof buf, MSG_DONTWAIT)) > 0) {
        uint32_t seq;
        if (len < TCP + 20 || memcmp(buf + IP + 12, &source, 4) != 0 || buf[TCP + 13] != 2)
            continue;
        memcpy(&seq, buf + TCP + 4, 4);
        seq = ntohl(seq);
        *first |= seq == 1;
        if (seq > *last)
            *last = seq;
        passed += seq > bed->threshold;
    }
    return passed;
}

static void wait_until(double when)
{
    while (now_us() < when)
        if (when - now_us() > 200)
            usleep(50);
}

/* Microseconds from the convicting SYN to the last probe that passed, or -1: never blocked. */
static double trial(struct bed *bed, uint32_t source, unsigned *leaked)
{
    static double sent[PROBES_MAX];
    uint32_t n = 0, last = 0;
    bool first = false, counted = false;
    double at = now_us(), convicted = 0;

    *leaked = 0;
    while (++n < PROBES_MAX) {
        send_syn(bed, source, bed->destinations[n == 1 || n > bed->threshold], n);
        sent[n] = now_us();
        if (n == bed->threshold)
            convicted = sent[n];
        at += n < bed->threshold ? 1000 : bed->gap_us;
        wait_until(at);
        *leaked += arrived(bed, source, &last, &first);
        if (n <= bed->threshold)
            continue;
        if (first && !counted)
            bed->open++;
        counted |= first;
        double reference = last > bed->threshold ? sent[last] : convicted;
        if (now_us() - reference > QUIET_US)
            return last > bed->threshold ? sent[last] - convicted : 0;
        if (now_us() - convicted > LIMIT_US)
            return -1;
    }
    return -1;
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    struct bed bed = {0};
    unsigned leaked, all = 0, never = 0, trials = argc == 9 ? (unsigned)atoi(argv[6]) : 0;
    double *took = calloc(trials ? trials : 1, sizeof *took);
    uint8_t *mac = bed.frame;

    if (!took || trials == 0 ||
        sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
               &mac[5]) != 6 ||
        inet_pton(AF_INET, argv[7], &bed.destinations[0]) != 1 ||
        inet_pton(AF_INET, argv[8], &bed.destinations[1]) != 1) {
        fputs("usage: see the first lines of time_to_block.c\n", stderr);
        return 1;
    }
    bed.threshold = (unsigned)atoi(argv[4]);
    bed.gap_us = atof(argv[5]);
    bed.frame[6] = 2;
    bed.frame[12] = 8;
    memcpy(bed.frame + IP, (uint8_t[]){0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, IPPROTO_TCP}, 10);
    bed.frame[TCP + 3] = 25;
    bed.frame[TCP + 12] = 0x50;
    bed.frame[TCP + 13] = 2;
    bed.frame[TCP + 14] = 0xff;
    bed.in = packet_socket(argv[2], "s0", ETH_P_ALL);
    bed.out = packet_socket(argv[1], "c0", 0);
    for (unsigned i = 0; i < trials; i++) {
        took[i] = trial(&bed, htonl(0xc6126400u + i), &leaked);
        all += leaked;
        never += took[i] < 0;
    }
    qsort(took, trials, sizeof *took, by_size);
    printf("{\"p50\": %.0f, \"p99\": %.0f, \"max\": %.0f, \"passed\": %u, \"never\": %u, \"open\": %u, "
           "\"trials\": %u}\n",
           took[trials / 2], took[trials * 99 / 100], took[trials - 1], all, never, bed.open, trials);
    free(took);
    return 0;
}
