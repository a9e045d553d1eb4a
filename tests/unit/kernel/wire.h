/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A router in our namespace: two interfaces that this program holds the other end of, so that it can send a
 * packet as a subscriber or as the Internet, and see what comes out on the other side. */
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/route.h>
#include <linux/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WIRE_MTU  4000
#define WIRE_WAIT 300 /* ms until a packet that does not come is one that was dropped */

struct wire {
    int fd;
    int ifindex;
};

static inline void wire_ioctl(const char *name, unsigned long request, struct ifreq *request_data)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    memcpy(request_data->ifr_name, name, strlen(name) + 1);
    if (ioctl(fd, request, request_data) < 0)
        fail_msg("%s: ioctl %lx", name, request);
    close(fd);
}

static inline void wire_write(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    if (!out || fputs(text, out) < 0 || fclose(out) != 0)
        fail_msg("%s cannot be written", path);
}

static inline void wire_address(struct ifreq *request, const char *text)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};

    assert_int_equal(inet_pton(AF_INET, text, &addr.sin_addr), 1);
    memcpy(&request->ifr_addr, &addr, sizeof addr);
}

/* False where the system has no such devices. */
static inline bool wire_open(struct wire *wire, const char *name, const char *address, const char *netmask)
{
    struct ifreq tun = {.ifr_flags = IFF_TUN | IFF_NO_PI}, request;
    char path[96];

    wire->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (wire->fd < 0)
        return false;
    memcpy(tun.ifr_name, name, strlen(name) + 1);
    if (ioctl(wire->fd, TUNSETIFF, &tun) < 0) {
        close(wire->fd);
        return false;
    }
    wire_address(&request, address);
    wire_ioctl(name, SIOCSIFADDR, &request);
    wire_address(&request, netmask);
    wire_ioctl(name, SIOCSIFNETMASK, &request);
    request.ifr_mtu = WIRE_MTU;
    wire_ioctl(name, SIOCSIFMTU, &request);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    wire_ioctl(name, SIOCSIFFLAGS, &request);
    wire_ioctl(name, SIOCGIFINDEX, &request);
    wire->ifindex = request.ifr_ifindex;
    /* Nothing of its own accord on the wire. */
    snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    if (access(path, W_OK) == 0)
        wire_write(path, "1");
    return true;
}

static inline void wire_default_route(const char *name)
{
    struct rtentry route = {.rt_flags = RTF_UP};
    struct sockaddr_in any = {.sin_family = AF_INET};
    char device[IFNAMSIZ];
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(&route.rt_dst, &any, sizeof any);
    memcpy(&route.rt_genmask, &any, sizeof any);
    snprintf(device, sizeof device, "%s", name);
    route.rt_dev = device;
    if (fd < 0 || ioctl(fd, SIOCADDRT, &route) < 0)
        fail_msg("no default route by %s", name);
    close(fd);
}

struct wire_packet {
    const char *source;
    uint16_t source_port;
    const char *destination;
    uint16_t destination_port;
    const char *flags; /* "S" SYN, "A" ACK, "R" RST */
    size_t data_len;
};

static inline uint16_t wire_checksum(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)data[i] << 8 | data[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return htons((uint16_t)~sum);
}

/* The bytes of a packet; returns how many. */
static inline size_t wire_build(const struct wire_packet *p, uint8_t *out, size_t room)
{
    struct iphdr ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP};
    struct tcphdr tcp = {.source = htons(p->source_port),
                         .dest = htons(p->destination_port),
                         .seq = htonl(1000),
                         .doff = 5,
                         .window = htons(1024),
                         .syn = strchr(p->flags, 'S') != NULL,
                         .ack = strchr(p->flags, 'A') != NULL,
                         .rst = strchr(p->flags, 'R') != NULL};
    size_t len = sizeof ip + sizeof tcp + p->data_len;

    assert_true(len <= room);
    memset(out, 'x', len);
    ip.tot_len = htons((uint16_t)len);
    assert_int_equal(inet_pton(AF_INET, p->source, &ip.saddr), 1);
    assert_int_equal(inet_pton(AF_INET, p->destination, &ip.daddr), 1);
    memcpy(out, &ip, sizeof ip);
    ip.check = wire_checksum(out, sizeof ip);
    memcpy(out, &ip, sizeof ip);
    memcpy(out + sizeof ip, &tcp, sizeof tcp);
    return len;
}

static inline void wire_send(const struct wire *wire, const struct wire_packet *p)
{
    uint8_t data[WIRE_MTU];
    size_t len = wire_build(p, data, sizeof data);

    assert_int_equal(write(wire->fd, data, len), len);
}

/* Waits for a packet with that source port; what else comes is thrown away. */
static inline bool wire_receives(const struct wire *wire, uint16_t source_port, int wait_ms)
{
    struct pollfd poll_fd = {.fd = wire->fd, .events = POLLIN};
    uint8_t data[WIRE_MTU];

    for (;;) {
        ssize_t len = read(wire->fd, data, sizeof data);
        if (len >= 24 && data[0] == 0x45 && data[9] == IPPROTO_TCP &&
            (data[20] << 8 | data[21]) == source_port)
            return true;
        if (len < 0 && poll(&poll_fd, 1, wait_ms) <= 0)
            return false;
    }
}

static inline void wire_drain(const struct wire *wire)
{
    uint8_t data[WIRE_MTU];

    while (read(wire->fd, data, sizeof data) > 0)
        ;
}
