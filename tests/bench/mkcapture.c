/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes a capture of mail to port 25 to standard output, the same for the same arguments:
 * `mkcapture PACKETS [SOURCES [AT_ONCE]]`. Whole sessions (hello, one recipient, a message of two segments,
 * QUIT) of SOURCES hosts to a few hundred servers, AT_ONCE of them interleaved packet by packet; a time stamp
 * every 10 us. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SYN 0x02
#define ACK 0x10
#define FIN 0x01
#define PSH 0x08

#define ETHERNET_LEN 14
#define HEADERS_LEN  (ETHERNET_LEN + 20 + 20)
#define STEP_US      10
#define BODY_LEN     1200

struct session {
    uint32_t client, server;
    uint32_t next[2]; /* sequence numbers of client and server */
    uint32_t id;
    uint16_t port;
    unsigned step;
};

struct writer {
    uint64_t time_us;
    uint64_t left;
    char body[BODY_LEN + 1];
};

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint16_t checksum(const uint8_t *bytes, size_t len, uint32_t sum)
{
    for (size_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    if (len & 1)
        sum += (uint32_t)bytes[len - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void write_packet(struct writer *w, struct session *s, int server, uint8_t flags, const char *text)
{
    static uint8_t frame[16 + HEADERS_LEN + BODY_LEN];
    size_t text_len = strlen(text);
    uint32_t len = (uint32_t)(HEADERS_LEN + text_len);
    uint32_t record[4] = {(uint32_t)(w->time_us / 1000000), (uint32_t)(w->time_us % 1000000), len, len};
    uint8_t *ip = frame + 16 + ETHERNET_LEN;
    uint8_t *tcp = ip + 20;
    if (w->left == 0)
        return;
    w->left--;
    w->time_us += STEP_US;
    memset(frame, 0, 16 + HEADERS_LEN);
    memcpy(frame, record, sizeof(record));
    put16(frame + 16 + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, len - ETHERNET_LEN);
    put16(ip + 6, 0x4000);
    ip[8] = 63;
    ip[9] = 6;
    put32(ip + 12, server ? s->server : s->client);
    put32(ip + 16, server ? s->client : s->server);
    put16(ip + 10, checksum(ip, 20, 0));
    put16(tcp, server ? 25 : s->port);
    put16(tcp + 2, server ? s->port : 25);
    put32(tcp + 4, s->next[server]);
    put32(tcp + 8, flags & ACK ? s->next[!server] : 0);
    tcp[12] = 5 << 4;
    tcp[13] = flags;
    put16(tcp + 14, 64240);
    memcpy(tcp + 20, text, text_len);
    uint32_t pseudo = 6 + 20 + (uint32_t)text_len;
    for (int i = 12; i < 20; i += 2)
        pseudo += (uint32_t)ip[i] << 8 | ip[i + 1];
    put16(tcp + 16, checksum(tcp, 20 + text_len, pseudo));
    s->next[server] += (uint32_t)text_len + !!(flags & (SYN | FIN));
    (void)fwrite(frame, 1, 16 + len, stdout);
}

static void say(struct writer *w, struct session *s, int server, const char *text)
{
    write_packet(w, s, server, ACK | PSH, text);
}

/* One packet of a session; 0 behind its last. */
static int step(struct writer *w, struct session *s)
{
    char text[128];
    switch (s->step++) {
    case 0:
        write_packet(w, s, 0, SYN, "");
        break;
    case 1:
        write_packet(w, s, 1, SYN | ACK, "");
        break;
    case 2:
        write_packet(w, s, 0, ACK, "");
        break;
    case 3:
        say(w, s, 1, "220 mx.example.net ESMTP\r\n");
        break;
    case 4:
        (void)snprintf(text, sizeof(text), "EHLO host%u.example.org\r\n", s->client & 0xffff);
        say(w, s, 0, text);
        break;
    case 5:
        say(w, s, 1, "250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n");
        break;
    case 6:
        (void)snprintf(text, sizeof(text), "MAIL FROM:<user%u@example.org> SIZE=2400\r\n", s->id & 0xfff);
        say(w, s, 0, text);
        break;
    case 7:
        say(w, s, 1, "250 2.1.0 Ok\r\n");
        break;
    case 8:
        (void)snprintf(text, sizeof(text), "RCPT TO:<guest%u@example.net>\r\n", s->id >> 20);
        say(w, s, 0, text);
        break;
    case 9:
        say(w, s, 1, s->id & 0x700 ? "250 2.1.5 Ok\r\n" : "550 5.1.1 User unknown\r\n");
        if (!(s->id & 0x700))
            s->step = 16;
        break;
    case 10:
        say(w, s, 0, "DATA\r\n");
        break;
    case 11:
        say(w, s, 1, "354 End data with <CR><LF>.<CR><LF>\r\n");
        break;
    case 12:
    case 13:
        say(w, s, 0, w->body);
        break;
    case 14:
        say(w, s, 0, "\r\n.\r\n");
        break;
    case 15:
        say(w, s, 1, "250 2.0.0 Ok: queued\r\n");
        break;
    case 16:
        say(w, s, 0, "QUIT\r\n");
        break;
    case 17:
        say(w, s, 1, "221 2.0.0 Bye\r\n");
        break;
    case 18:
        write_packet(w, s, 1, FIN | ACK, "");
        break;
    case 19:
        write_packet(w, s, 0, FIN | ACK, "");
        break;
    default:
        write_packet(w, s, 1, ACK, "");
        return 0;
    }
    return 1;
}

static void begin(struct session *s, uint32_t number, uint32_t sources)
{
    uint32_t random = number * 2654435761u;
    random ^= random >> 15;
    random *= 2246822519u;
    random ^= random >> 13;
    *s = (struct session){.client = 0xc6120000u + random % sources,
                          .server = 0xcb007102u + (random >> 8) % 250,
                          .next = {random, random * 7},
                          .id = random,
                          .port = (uint16_t)(1024 + number % 60000)};
}

int main(int argc, char **argv)
{
    static struct writer w = {.time_us = 1700000000ULL * 1000000};
    if (argc < 2)
        return 2;
    w.left = strtoull(argv[1], NULL, 10);
    uint32_t sources = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 10000;
    uint32_t at_once = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 500;
    struct session *sessions = calloc(at_once ? at_once : 1, sizeof(*sessions));
    if (!sessions || sources == 0 || at_once == 0)
        return 2;
    for (size_t i = 0; i < BODY_LEN; i++)
        w.body[i] = i % 76 == 74 ? '\r' : i % 76 == 75 ? '\n' : 'x';
    uint32_t header[6] = {0xa1b2c3d4, 2 | 4 << 16, 0, 0, 65535, 1};
    (void)setvbuf(stdout, NULL, _IOFBF, 1 << 20);
    (void)fwrite(header, sizeof(header), 1, stdout);
    uint32_t number = 0;
    for (uint32_t i = 0; i < at_once; i++)
        begin(&sessions[i], number++, sources);
    while (w.left > 0)
        for (uint32_t i = 0; i < at_once; i++)
            if (!step(&w, &sessions[i]))
                begin(&sessions[i], number++, sources);
    free(sessions);
    return fflush(stdout) == 0 ? 0 : 1;
}
