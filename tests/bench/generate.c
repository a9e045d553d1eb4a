/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Makes TCP SYNs for the measurements, as fast as one core can or at a steady rate: see usage() below.
 * Mode xdp (BPF_PROG_TEST_RUN with live frames) lets them arrive at an interface of the gateway itself; mode
 * packet (AF_PACKET) sends them from the client. Each is a new connection: source, source port and sequence
 * number are random. No checksum is computed by packet: for each 16 bits that vary there are 16 others,
 * without meaning here, that hold their complement. */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define FRAME_LEN  60 /* 64 on the wire, with the checksum of Ethernet */
#define BATCH      64
#define REPEAT     (1 << 30) /* frames a call: setting one up takes some 20 ms */
#define PORT_FIRST 0x4000

/* Offsets in a frame. */
enum {
    IP = 14,
    IP_ID = IP + 4,
    IP_SUM = IP + 10,
    SOURCE_LOW = IP + 14,
    TCP = 34,
    SEQ = TCP + 4,
    ACK = TCP + 8,
    WINDOW = TCP + 14,
    TCP_SUM = TCP + 16,
    URGENT = TCP + 18,
    HEADERS_END = 54,
};

struct options {
    bool xdp;
    unsigned interface;
    uint8_t mac[6];
    int sources, ports, port, burst;
    double seconds, rate;
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t sum16(const uint8_t *at, size_t len, uint32_t sum)
{
    for (; len > 1; len -= 2, at += 2)
        sum += (uint32_t)at[0] << 8 | at[1];
    return sum;
}

static uint16_t checksum(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* What does not vary: from 198.18.0.0 to 203.0.113.2, a SYN. Each pair of a varying field and its complement
 * adds up to 0xffff, so the checksums hold for all values. */
static void make_frame(const struct options *o, uint8_t *frame)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1}, addresses[8] = {198, 18, 0, 0, 203, 0, 113, 2};
    const size_t segment = HEADERS_END - TCP;

    memset(frame, 0, FRAME_LEN);
    memcpy(frame, o->mac, sizeof o->mac);
    memcpy(frame + 6, mac, sizeof mac);
    put16(frame + 12, 0x0800);
    frame[IP] = 0x45;
    put16(frame + IP + 2, (unsigned)segment + 20);
    put16(frame + IP_ID, 0xffff);
    frame[IP + 6] = 0x40; /* don't fragment */
    frame[IP + 8] = 64;
    frame[IP + 9] = IPPROTO_TCP;
    memcpy(frame + IP + 12, addresses, sizeof addresses);
    put16(frame + IP_SUM, checksum(sum16(frame + IP, 20, 0)));
    put16(frame + TCP + 2, (unsigned)o->port);
    memset(frame + ACK, 0xff, 4);
    frame[TCP + 12] = 0x50;
    frame[TCP + 13] = 0x02;
    put16(frame + WINDOW, 0xffff);
    put16(frame + URGENT, 0xffff);
    uint32_t pseudo = sum16(frame + IP + 12, 8, IPPROTO_TCP + (uint32_t)segment);
    put16(frame + TCP_SUM, checksum(sum16(frame + TCP, segment, pseudo)));
}

/* --- the same in BPF
 * ---------------------------------------------------------------------------------------- */
struct program {
    struct bpf_insn code[96];
    unsigned len;
};

static void emit(struct program *p, int code, unsigned dst, unsigned src, int off, int imm)
{
    p->code[p->len++] = (struct bpf_insn){.code = (uint8_t)code,
                                          .dst_reg = (uint8_t)(dst & 15),
                                          .src_reg = (uint8_t)(src & 15),
                                          .off = (int16_t)off,
                                          .imm = imm};
}

/* Stores 16 bits of r7, and their complement at the second place. */
static void emit_pair(struct program *p, int at, int complement)
{
    emit(p, BPF_STX | BPF_MEM | BPF_H, 6, 7, at, 0);
    emit(p, BPF_ALU64 | BPF_XOR | BPF_K, 7, 0, 0, 0xffff);
    emit(p, BPF_STX | BPF_MEM | BPF_H, 6, 7, complement, 0);
}

/* r7 = (random & mask) + first, as 16 bits in network order. */
static void emit_random(struct program *p, int mask, int first)
{
    emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_prandom_u32);
    emit(p, BPF_ALU64 | BPF_MOV | BPF_X, 7, 0, 0, 0);
    emit(p, BPF_ALU64 | BPF_AND | BPF_K, 7, 0, 0, mask);
    emit(p, BPF_ALU64 | BPF_ADD | BPF_K, 7, 0, 0, first);
    emit(p, BPF_ALU | BPF_END | BPF_TO_BE, 7, 0, 0, 16);
}

/* What the program keeps: frames made so far, and when the first was due. */
struct tally {
    uint64_t sent, began_ns;
};

/* Counts in the map; ahead of the rate the frame is dropped, and the next one asks again. */
static void emit_tally(const struct options *o, int map, struct program *p)
{
    emit(p, BPF_LD | BPF_DW | BPF_IMM, 8, BPF_PSEUDO_MAP_VALUE, 0, map);
    emit(p, 0, 0, 0, 0, 0);
    if (o->rate > 0) {
        emit(p, BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ktime_get_ns);
        emit(p, BPF_LDX | BPF_MEM | BPF_DW, 1, 8, offsetof(struct tally, began_ns), 0);
        emit(p, BPF_ALU64 | BPF_SUB | BPF_X, 0, 1, 0, 0);
        emit(p, BPF_ALU64 | BPF_MUL | BPF_K, 0, 0, 0, (int)o->rate);
        emit(p, BPF_ALU64 | BPF_DIV | BPF_K, 0, 0, 0, 1000000000);
        emit(p, BPF_ALU64 | BPF_DIV | BPF_K, 0, 0, 0, o->burst);
        emit(p, BPF_ALU64 | BPF_MUL | BPF_K, 0, 0, 0, o->burst);
        emit(p, BPF_LDX | BPF_MEM | BPF_DW, 1, 8, offsetof(struct tally, sent), 0);
        emit(p, BPF_JMP | BPF_JGT | BPF_X, 0, 1, 2, 0);
        emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_DROP);
        emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    }
    emit(p, BPF_LDX | BPF_MEM | BPF_DW, 1, 8, offsetof(struct tally, sent), 0);
    emit(p, BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, 0, 1);
    emit(p, BPF_STX | BPF_MEM | BPF_DW, 8, 1, offsetof(struct tally, sent), 0);
}

static void make_program(const struct options *o, int map, const uint8_t *frame, struct program *p)
{
    emit(p, BPF_ALU64 | BPF_MOV | BPF_X, 9, 1, 0, 0);
    emit_tally(o, map, p);
    emit(p, BPF_LDX | BPF_MEM | BPF_W, 6, 9, 0, 0); /* r6 = data, r3 = data_end */
    emit(p, BPF_LDX | BPF_MEM | BPF_W, 3, 9, 4, 0);
    emit(p, BPF_ALU64 | BPF_MOV | BPF_X, 4, 6, 0, 0);
    emit(p, BPF_ALU64 | BPF_ADD | BPF_K, 4, 0, 0, HEADERS_END);
    unsigned check = p->len;
    emit(p, BPF_JMP | BPF_JGT | BPF_X, 4, 3, 0, 0);
    /* The buffers are used again, and forwarding has written into them. */
    for (int at = 0; at + 4 <= HEADERS_END; at += 4) {
        int32_t word;
        memcpy(&word, frame + at, sizeof word);
        emit(p, BPF_ST | BPF_MEM | BPF_W, 6, 0, at, word);
    }
    int16_t last;
    memcpy(&last, frame + URGENT, sizeof last);
    emit(p, BPF_ST | BPF_MEM | BPF_H, 6, 0, URGENT, last);

    emit_random(p, o->sources - 1, 0);
    emit_pair(p, SOURCE_LOW, IP_ID);
    emit(p, BPF_STX | BPF_MEM | BPF_H, 6, 7, WINDOW, 0); /* the pseudo header has the address too */
    emit_random(p, o->ports - 1, PORT_FIRST);
    emit_pair(p, TCP, URGENT);
    emit_random(p, 0xffff, 0);
    emit_pair(p, SEQ, ACK);
    emit_random(p, 0xffff, 0);
    emit_pair(p, SEQ + 2, ACK + 2);
    p->code[check].off = (int16_t)(p->len - check - 1);
    emit(p, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS);
    emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static int bpf(int command, union bpf_attr *attr)
{
    return (int)syscall(__NR_bpf, command, attr, sizeof *attr);
}

static int load(const struct program *p)
{
    union bpf_attr attr = {0};

    attr.prog_type = BPF_PROG_TYPE_XDP;
    attr.insns = (uintptr_t)p->code;
    attr.insn_cnt = p->len;
    attr.license = (uintptr_t) "GPL";
    int fd = bpf(BPF_PROG_LOAD, &attr);
    if (fd < 0)
        die("BPF_PROG_LOAD");
    return fd;
}

static int make_map(void)
{
    union bpf_attr attr = {0};

    attr.map_type = BPF_MAP_TYPE_ARRAY;
    attr.key_size = sizeof(uint32_t);
    attr.value_size = sizeof(struct tally);
    attr.max_entries = 1;
    int fd = bpf(BPF_MAP_CREATE, &attr);
    if (fd < 0)
        die("BPF_MAP_CREATE");
    return fd;
}

static void access_map(int map, int command, struct tally *tally)
{
    union bpf_attr attr = {0};
    uint32_t key = 0;

    attr.map_fd = (uint32_t)map;
    attr.key = (uintptr_t)&key;
    attr.value = (uintptr_t)tally;
    if (bpf(command, &attr) < 0)
        die("BPF map");
}

static void attach_pass(const struct options *o)
{
    struct program pass = {0};
    union bpf_attr attr = {0};

    emit(&pass, BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, XDP_PASS);
    emit(&pass, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    attr.link_create.prog_fd = (uint32_t)load(&pass);
    attr.link_create.target_ifindex = o->interface;
    attr.link_create.attach_type = BPF_XDP;
    if (bpf(BPF_LINK_CREATE, &attr) < 0)
        die("BPF_LINK_CREATE");
}

static void on_alarm(int number)
{
    (void)number; /* it ends the system call */
}

static uint64_t run_xdp(const struct options *o, uint8_t *frame, double began)
{
    struct program make = {0};
    struct xdp_md context = {.data_end = FRAME_LEN, .ingress_ifindex = o->interface};
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {.it_interval.tv_usec = 1000}; /* again, should one come between two calls */
    struct tally tally = {0};
    int map = make_map();

    make_program(o, map, frame, &make);
    int fd = load(&make);
    attach_pass(o); /* live frames need a program at the interface */
    sigaction(SIGALRM, &action, NULL);
    timer.it_value.tv_sec = (time_t)o->seconds;
    timer.it_value.tv_usec = (suseconds_t)((o->seconds - (double)timer.it_value.tv_sec) * 1e6) + 1;
    setitimer(ITIMER_REAL, &timer, NULL);
    tally.began_ns = (uint64_t)(began * 1e9);
    access_map(map, BPF_MAP_UPDATE_ELEM, &tally);
    while (now() - began < o->seconds) {
        union bpf_attr attr = {0};
        attr.test.prog_fd = (uint32_t)fd;
        attr.test.data_in = (uintptr_t)frame;
        attr.test.data_size_in = FRAME_LEN;
        attr.test.ctx_in = (uintptr_t)&context;
        attr.test.ctx_size_in = sizeof context;
        attr.test.repeat = REPEAT;
        attr.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
        attr.test.batch_size = BATCH;
        if (bpf(BPF_PROG_TEST_RUN, &attr) < 0 && errno != EINTR)
            die("BPF_PROG_TEST_RUN");
    }
    access_map(map, BPF_MAP_LOOKUP_ELEM, &tally);
    return tally.sent;
}

/* --- from a socket
 * -------------------------------------------------------------------------------------------- */
/* How many frames may go now: 0 after a short sleep where none is due. */
static unsigned due(const struct options *o, double began, uint64_t sent, unsigned most)
{
    if (o->rate <= 0)
        return most;
    double behind = o->rate * (now() - began) - (double)sent;
    if (behind < (o->burst > BATCH ? o->burst : BATCH)) {
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
        return 0;
    }
    return behind < most ? (unsigned)behind : most;
}

static void vary(const struct options *o, uint8_t *frame, uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    unsigned source = (unsigned)(*random) & (unsigned)(o->sources - 1);
    unsigned port = PORT_FIRST + ((unsigned)(*random >> 16) & (unsigned)(o->ports - 1));
    uint32_t seq = (uint32_t)(*random >> 32);
    put16(frame + SOURCE_LOW, source);
    put16(frame + IP_ID, ~source);
    put16(frame + WINDOW, ~source);
    put16(frame + TCP, port);
    put16(frame + URGENT, ~port);
    put16(frame + SEQ, seq >> 16);
    put16(frame + SEQ + 2, seq);
    put16(frame + ACK, ~(seq >> 16));
    put16(frame + ACK + 2, ~seq);
}

static uint64_t run_packet(const struct options *o, const uint8_t *frame, double began)
{
    static uint8_t frames[BATCH][FRAME_LEN];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec vectors[BATCH];
    struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_ifindex = (int)o->interface};
    int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1, size = 1 << 24;
    uint64_t sent = 0, random = 0x9e3779b97f4a7c15u ^ (uint64_t)getpid();

    if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where) < 0)
        die("AF_PACKET");
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    for (int i = 0; i < BATCH; i++) {
        memcpy(frames[i], frame, FRAME_LEN);
        vectors[i] = (struct iovec){frames[i], FRAME_LEN};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    while (now() - began < o->seconds) {
        unsigned count = due(o, began, sent, BATCH);
        for (unsigned i = 0; i < count; i++)
            vary(o, frames[i], &random);
        int done = count > 0 ? sendmmsg(fd, messages, count, 0) : 0;
        if (done < 0 && errno != ENOBUFS && errno != EAGAIN)
            die("sendmmsg");
        sent += done > 0 ? (uint64_t)done : 0;
    }
    return sent;
}

static int usage(void)
{
    fputs("generate -i INTERFACE -M GATEWAY-MAC [-m xdp|packet] [-t SECONDS] [-r PACKETS-A-SECOND]\n"
          "         [-p DESTINATION-PORT] [-n SOURCES] [-o SOURCE-PORTS] [-b BURST]\n"
          "  SOURCES and SOURCE-PORTS are powers of 2; -r 0 (default): as fast as it goes\n"
          "  BURST: of a steady rate, so many frames at once\n",
          stderr);
    return 1;
}

static bool power_of_2(int n, int most)
{
    return n > 0 && n <= most && (n & (n - 1)) == 0;
}

static bool read_mac(const char *text, uint8_t *mac)
{
    return sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
                  &mac[5]) == 6;
}

int main(int argc, char **argv)
{
    struct options o = {.xdp = true, .sources = 65536, .ports = 8, .port = 25, .burst = 1, .seconds = 1};
    bool have_mac = false;
    static uint8_t frame[FRAME_LEN];
    int c;

    while ((c = getopt(argc, argv, "m:i:M:t:r:b:p:n:o:")) != -1) {
        switch (c) {
        case 'm':
            o.xdp = strcmp(optarg, "xdp") == 0;
            break;
        case 'i':
            o.interface = if_nametoindex(optarg);
            break;
        case 'M':
            have_mac = read_mac(optarg, o.mac);
            break;
        case 't':
            o.seconds = atof(optarg);
            break;
        case 'r':
            o.rate = atof(optarg);
            break;
        case 'p':
            o.port = atoi(optarg);
            break;
        case 'n':
            o.sources = atoi(optarg);
            break;
        case 'o':
            o.ports = atoi(optarg);
            break;
        case 'b':
            o.burst = atoi(optarg);
            break;
        default:
            return usage();
        }
    }
    if (!o.interface || !have_mac || !power_of_2(o.sources, 65536) || !power_of_2(o.ports, 32768))
        return usage();
    make_frame(&o, frame);
    double began = now();
    uint64_t sent = o.xdp ? run_xdp(&o, frame, began) : run_packet(&o, frame, began);
    double took = o.xdp ? o.seconds : now() - began; /* the call itself ends later than its frames */
    printf("{\"sent\": %llu, \"seconds\": %.6f}\n", (unsigned long long)sent, took);
    return 0;
}
