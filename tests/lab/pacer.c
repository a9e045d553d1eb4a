/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sends frames at a steady rate: pacer INTERFACE RATE FILE [anew]. FILE: a 16-bit length, then the frame,
 * again and again. anew: TCP frames whose sequence numbers and urgent pointers are below 65,536 and 0; each
 * round has other sequence numbers, so that none is sent twice. Prints the number sent so far five times a
 * second and at the end, which is SIGTERM. */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH      64
#define PERIOD_NS  1000000
#define REPORT_NS  200000000ull
#define BACKLOG    50   /* what a stopped machine missed is not sent all at once … */
#define BACKLOG_S  0.25 /* … but for new connections, whose number counts: so much of it is */
#define TCP_SEQ    4
#define TCP_URGENT 18

static volatile sig_atomic_t ended;

static void on_end(int number)
{
    (void)number;
    ended = 1;
}

static void die(const char *what)
{
    printf("Traceback: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct iovec *load(const char *path, size_t *out_len)
{
    FILE *file = fopen(path, "rb");
    struct iovec *frames = NULL;
    uint8_t head[2];
    size_t len = 0, size = 0;

    if (!file)
        die(path);
    while (fread(head, 2, 1, file) == 1) {
        if (len == size) {
            size = size ? size * 2 : 1024;
            frames = reallocarray(frames, size, sizeof *frames);
        }
        size_t bytes = (size_t)head[0] << 8 | head[1];
        void *frame = frames ? malloc(bytes) : NULL;
        if (!frame || fread(frame, bytes, 1, file) != 1)
            die(path);
        frames[len++] = (struct iovec){frame, bytes};
    }
    fclose(file);
    if (len == 0)
        die("no frames");
    *out_len = len;
    return frames;
}

/* The upper half of the sequence number is the turn; the urgent pointer, without meaning here, balances the
 * checksum. */
static void change(const struct iovec *frame, uint16_t turn)
{
    uint8_t *tcp = (uint8_t *)frame->iov_base + (((uint8_t *)frame->iov_base)[12] == 0x08 ? 34 : 54);

    tcp[TCP_SEQ] = (uint8_t)(turn >> 8);
    tcp[TCP_SEQ + 1] = (uint8_t)turn;
    tcp[TCP_URGENT] = (uint8_t)(~turn >> 8);
    tcp[TCP_URGENT + 1] = (uint8_t)~turn;
}

int main(int argc, char **argv)
{
    struct mmsghdr messages[BATCH] = {0};
    struct sockaddr_ll where = {.sll_family = AF_PACKET};
    struct sigaction action = {.sa_handler = on_end};
    size_t len = 0;

    if (argc < 4)
        return 2;
    double rate = atof(argv[2]), backlog = BACKLOG;
    struct iovec *frames = load(argv[3], &len);
    bool anew = argc > 4;
    if (anew && rate * BACKLOG_S > backlog)
        backlog = rate * BACKLOG_S;
    int fd = socket(AF_PACKET, SOCK_RAW, 0);
    where.sll_ifindex = (int)if_nametoindex(argv[1]);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where) < 0)
        die(argv[1]);
    sigaction(SIGTERM, &action, NULL);
    uint64_t sent = 0, began = now_ns(), report = 0;
    double skipped = 0;
    while (!ended) {
        uint64_t now = now_ns();
        double due = (double)(now - began) * rate / 1e9 - skipped - (double)sent;
        if (due > backlog) {
            skipped += due - backlog;
            due = backlog;
        }
        while (due >= 1) {
            unsigned count = due < BATCH ? (unsigned)due : BATCH;
            if (count > len)
                count = (unsigned)len; /* each frame once in a call */
            for (unsigned i = 0; i < count; i++) {
                struct iovec *frame = &frames[(sent + i) % len];
                if (anew)
                    change(frame, (uint16_t)((sent + i) / len % 0xFFFE + 1));
                messages[i].msg_hdr = (struct msghdr){.msg_iov = frame, .msg_iovlen = 1};
            }
            int done = sendmmsg(fd, messages, count, 0);
            if (done < 0 && errno != ENOBUFS && errno != EINTR)
                die("sendmmsg");
            if (done <= 0)
                break;
            sent += (uint64_t)done;
            due -= done;
        }
        if (now >= report) {
            printf("%llu\n", (unsigned long long)sent);
            fflush(stdout);
            report = now + REPORT_NS;
        }
        nanosleep(&(struct timespec){.tv_nsec = PERIOD_NS}, NULL);
    }
    printf("%llu\n", (unsigned long long)sent);
    return 0;
}
