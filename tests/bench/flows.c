/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Nanoseconds of CPU a packet in the table of flows: SYNs of many sources (a flood), and whole sessions.
 * `flows [SYNS] [SOURCES]`. */
#include "enforcer/inspect/flows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 32
#define GROUP 4096 /* packets that are made before the clock runs */

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* others may use the machine too */
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void count(void *ctx, const struct enf_observation *obs)
{
    uint64_t *counts = ctx;
    counts[obs->kind]++;
}

static struct enf_addr addr4(uint32_t a)
{
    uint8_t bytes[4] = {(uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8), (uint8_t)a};
    return enf_addr_from_bytes(ENF_FAMILY_V4, bytes);
}

/* 500,000 SYNs a second, of random sources and ports. */
static void flood(struct enf_flows *flows, size_t syns, uint32_t sources, bool prefetch, const char *name)
{
    static struct enf_packet packets[GROUP];
    static const struct enf_packet *pointers[GROUP];
    uint64_t counts[ENF_OBSERVATION_KIND_COUNT] = {0};
    uint64_t random = 0x9e3779b97f4a7c15;
    double spent = 0;
    for (size_t i = 0; i < syns; i += GROUP) {
        for (size_t k = 0; k < GROUP; k++) {
            uint64_t r = next_random(&random);
            packets[k] = (struct enf_packet){.source = addr4(0x64400000 + (uint32_t)((r >> 32) % sources)),
                                             .destination = addr4(0xcb007100 + (uint32_t)(r & 0xff)),
                                             .source_port = (uint16_t)(1024 + (r >> 8) % 60000),
                                             .destination_port = ENF_SMTP_PORT,
                                             .sequence = (uint32_t)(r >> 16),
                                             .tcp_flags = ENF_TCP_SYN,
                                             .has_ports = true,
                                             .has_flags = true};
            pointers[k] = &packets[k];
        }
        double begin = now_ns();
        for (size_t k = 0; k < GROUP; k++) {
            if (prefetch && k % BATCH == 0)
                enf_flows_prefetch(flows, pointers + k, NULL, BATCH);
            struct enf_flow_context context = {.time_ms = 1000000 + (i + k) / 500,
                                               .subscriber = enf_prefix_host(&packets[k].source)};
            (void)enf_flows_feed(flows, ENF_PACKET_OK, &packets[k], ENF_DIRECTION_CLIENT, &context, count,
                                 counts);
        }
        spent += now_ns() - begin;
    }
    struct enf_flows_stats stats;
    enf_flows_stats(flows, &stats);
    printf("%-34s %8.0f ns a SYN   %9zu flows %9llu pushed out\n", name, spent / (double)syns, stats.flows,
           (unsigned long long)stats.evicted_waiting);
}

struct line {
    bool server;
    const char *text;
};

/* One short mail a session, packets of many sessions interleaved. */
static void sessions(struct enf_flows *flows, size_t total, size_t at_once)
{
    static const struct line lines[] = {
        {true, "220 mx.example.net ESMTP\r\n"},
        {false, "EHLO host.example.org\r\n"},
        {true, "250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n"},
        {false, "MAIL FROM:<a@example.org>\r\n"},
        {true, "250 2.1.0 Ok\r\n"},
        {false, "RCPT TO:<b@example.net>\r\n"},
        {true, "250 2.1.5 Ok\r\n"},
        {false, "DATA\r\n"},
        {true, "354 End data with <CR><LF>.<CR><LF>\r\n"},
        {false, "Subject: x\r\n\r\nx\r\n.\r\n"},
        {true, "250 2.0.0 Ok: queued\r\n"},
        {false, "QUIT\r\n"},
        {true, "221 2.0.0 Bye\r\n"},
    };
    size_t steps = sizeof(lines) / sizeof(lines[0]) + 2;
    uint64_t counts[ENF_OBSERVATION_KIND_COUNT] = {0};
    size_t packets = 0;
    double begin = now_ns();
    for (size_t first = 0; first < total; first += at_once) {
        uint32_t next[2] = {1001, 5001};
        for (size_t step = 0; step < steps; step++) {
            const struct line *line = step >= 2 ? &lines[step - 2] : NULL;
            bool server = line ? line->server : step == 1;
            uint32_t len = line ? (uint32_t)strlen(line->text) : 0;
            for (size_t k = 0; k < at_once; k++) {
                struct enf_addr client = addr4(0x64400000 + (uint32_t)((first + k) % 65536));
                struct enf_addr mx = addr4(0xcb007105);
                uint16_t port = (uint16_t)(1024 + (first + k) / 65536);
                struct enf_packet packet = {
                    .source = server ? mx : client,
                    .destination = server ? client : mx,
                    .source_port = server ? ENF_SMTP_PORT : port,
                    .destination_port = server ? port : ENF_SMTP_PORT,
                    .has_ports = true,
                    .has_flags = true,
                    .tcp_flags = (uint8_t)((line ? 0 : ENF_TCP_SYN) | (step ? ENF_TCP_ACK : 0)),
                    .sequence = line ? next[server] : (server ? 5000 : 1000),
                    .acknowledgment = step ? next[!server] : 0,
                    .payload = line ? (const uint8_t *)line->text : NULL,
                    .payload_len = len,
                    .payload_captured_len = len,
                };
                struct enf_flow_context context = {.time_ms = 90000000 + first / 100,
                                                   .subscriber = enf_prefix_host(&client)};
                (void)enf_flows_feed(flows, ENF_PACKET_OK, &packet,
                                     server ? ENF_DIRECTION_SERVER : ENF_DIRECTION_CLIENT, &context, count,
                                     counts);
                packets++;
            }
            next[server] += len;
        }
    }
    double spent = now_ns() - begin;
    printf("%-34s %8.0f ns a packet, %6.0f ns a session of %zu packets; %llu ended with QUIT\n",
           "sessions, 1,000 at once", spent / (double)packets, spent / (double)total, steps,
           (unsigned long long)counts[ENF_OBSERVATION_END]);
}

int main(int argc, char **argv)
{
    size_t syns = argc > 1 ? strtoul(argv[1], NULL, 10) : 5000000;
    uint32_t sources = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 65536;
    static const size_t sizes[] = {16384, 262144, 1048576};
    syns -= syns % GROUP;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int prefetch = 0; prefetch < 2; prefetch++) {
            struct enf_flows_params params = {.max_flows = sizes[i], .seed = 1};
            struct enf_flows *flows = NULL;
            char name[64];
            if (enf_flows_new(&params, &flows) != 0)
                return 1;
            (void)snprintf(name, sizeof(name), "flood, %zu flows%s", sizes[i],
                           prefetch ? ", prefetched" : "");
            flood(flows, syns, sources, prefetch, name);
            if (prefetch)
                sessions(flows, 100000, 1000);
            enf_flows_free(&flows);
        }
    return 0;
}
