/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an honest mail session feels: session CLIENT-NETNS SERVER-NETNS SERVER-ADDRESS COUNT CLIENT-ADDRESS…
 * One thread is the server, one the client; sessions follow each other. Prints percentiles in microseconds of
 * connecting (SYN to SYN-ACK, as the client sees it), of the first dialogue (the server sends its banner
 * until it has the EHLO), and of the whole session. */
#include "common.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT, DIALOGUE, WHOLE, KINDS };

static double *took[KINDS];
static size_t count;
static int listener;

static int socket_in(const char *netns)
{
    char path[128];
    int one = 1;
    struct timeval limit = {.tv_sec = 10};

    snprintf(path, sizeof path, "/run/netns/%s", netns);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        die(path);
    close(fd);
    int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        die("socket");
    setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return sock;
}

static void say(int sock, const char *text)
{
    if (send(sock, text, strlen(text), MSG_NOSIGNAL) < 0)
        die("send");
}

/* One line of the other side; the dialogue is in step, so nothing comes behind it. */
static void hear(int sock, const char *expected)
{
    char buf[512];
    size_t len = 0;

    do {
        ssize_t got = recv(sock, buf + len, sizeof buf - 1 - len, 0);
        if (got <= 0)
            die(expected);
        len += (size_t)got;
    } while (buf[len - 1] != '\n');
    if (memcmp(buf, expected, strlen(expected)) != 0) {
        fprintf(stderr, "expected %s, not %.*s\n", expected, (int)len, buf);
        exit(2);
    }
}

static void *serve(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < count; i++) {
        int one = 1, sock = accept(listener, NULL, NULL);
        if (sock < 0)
            die("accept");
        setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        double began = now_us();
        say(sock, "220 mx.example ESMTP\r\n");
        hear(sock, "EHLO");
        took[DIALOGUE][i] = now_us() - began;
        say(sock, "250 mx.example\r\n");
        hear(sock, "QUIT");
        say(sock, "221 bye\r\n");
        close(sock);
    }
    return NULL;
}

static void visit(const char *netns, const struct sockaddr_in *server, const char *source, size_t i)
{
    struct sockaddr_in mine = {.sin_family = AF_INET};
    int sock = socket_in(netns);

    if (inet_pton(AF_INET, source, &mine.sin_addr) != 1 ||
        bind(sock, (const struct sockaddr *)&mine, sizeof mine) < 0)
        die(source);
    double began = now_us();
    if (connect(sock, (const struct sockaddr *)server, sizeof *server) < 0)
        die("connect");
    took[CONNECT][i] = now_us() - began;
    hear(sock, "220");
    say(sock, "EHLO client.example\r\n");
    hear(sock, "250");
    say(sock, "QUIT\r\n");
    hear(sock, "221");
    took[WHOLE][i] = now_us() - began;
    close(sock);
}

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

int main(int argc, char **argv)
{
    static const char *const names[KINDS] = {"connect", "dialogue", "whole"};
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(25)};
    pthread_t thread;

    if (argc < 6 || (count = (size_t)atoi(argv[4])) == 0 ||
        inet_pton(AF_INET, argv[3], &server.sin_addr) != 1) {
        fputs("session CLIENT-NETNS SERVER-NETNS SERVER-ADDRESS COUNT CLIENT-ADDRESS...\n", stderr);
        return 1;
    }
    for (size_t k = 0; k < KINDS; k++)
        if (!(took[k] = calloc(count, sizeof(double))))
            die("calloc");
    listener = socket_in(argv[2]);
    if (bind(listener, (struct sockaddr *)&server, sizeof server) < 0 || listen(listener, 16) < 0)
        die("listen");
    if (pthread_create(&thread, NULL, serve, NULL) != 0)
        die("thread");
    for (size_t i = 0; i < count; i++)
        visit(argv[1], &server, argv[5 + i % (size_t)(argc - 5)], i);
    pthread_join(thread, NULL);
    for (size_t k = 0; k < KINDS; k++) {
        qsort(took[k], count, sizeof(double), by_size);
        printf("%s\"%s_p50\": %.1f, \"%s_p99\": %.1f", k ? ", " : "{", names[k], took[k][count / 2], names[k],
               took[k][count * 99 / 100]);
        free(took[k]);
    }
    puts("}");
    return 0;
}
