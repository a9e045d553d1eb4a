/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Captures that the test writes itself, read back through link, packet and detector: the way from bytes to a
 * verdict. */
#include "enforcer/inspect/link.h"
#include "enforcer/inspect/packet.h"
#include "tests/unit/detect/feeding.h"
#include "tests/unit/frames.h"

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLIENT 0x64400007u
#define SERVER 0xc6336419u

struct writer {
    char path[64];
    pcap_t *pcap;
    pcap_dumper_t *dumper;
    int link_type;
};

static void open_writer(struct writer *w, int link_type)
{
    const char *dir = getenv("TMPDIR");
    (void)snprintf(w->path, sizeof(w->path), "%s/enforcer-capture-XXXXXX", dir ? dir : "/tmp");
    int fd = mkstemp(w->path);
    assert_true(fd >= 0);
    close(fd);
    w->link_type = link_type;
    w->pcap = pcap_open_dead(link_type, 65535);
    w->dumper = pcap_dump_open(w->pcap, w->path);
    assert_non_null(w->dumper);
}

static void close_writer(struct writer *w)
{
    pcap_dump_close(w->dumper);
    pcap_close(w->pcap);
}

static void dump(struct writer *w, const struct frame *f, uint64_t time_ms)
{
    struct pcap_pkthdr header = {.caplen = (bpf_u_int32)f->len, .len = (bpf_u_int32)f->len};
    header.ts.tv_sec = (time_t)(time_ms / 1000);
    header.ts.tv_usec = (suseconds_t)(time_ms % 1000 * 1000);
    pcap_dump((u_char *)w->dumper, &header, f->bytes);
}

static void put_link(struct frame *f, int link_type, unsigned type)
{
    if (link_type == DLT_EN10MB) {
        put_zeros(f, 12);
        put16(f, 0x8100); /* what an access network adds */
        put16(f, 7);
        put16(f, type);
    } else if (link_type == DLT_LINUX_SLL) {
        put_zeros(f, 14);
        put16(f, type);
    }
}

static void dump_tcp4(struct writer *w, uint64_t time_ms, unsigned source_port, unsigned destination_port,
                      uint32_t sequence, unsigned flags)
{
    struct frame f = {.len = 0};
    put_link(&f, w->link_type, 0x0800);
    size_t start = put_ipv4(&f, CLIENT, SERVER, 6, 0, 0);
    put_tcp(&f, source_port, destination_port, sequence, flags, 20);
    end_ipv4(&f, start);
    dump(w, &f, time_ms);
}

static void dump_tcp6(struct writer *w, uint64_t time_ms, uint32_t host, uint32_t sequence)
{
    struct frame f = {.len = 0};
    put_link(&f, w->link_type, 0x86dd);
    size_t start = put_ipv6(&f, host, 25, 60);
    put_extension(&f, 6, 0);
    put_tcp(&f, 40000, 25, sequence, ENF_TCP_SYN, 0);
    end_ipv6(&f, start);
    dump(w, &f, time_ms);
}

struct result {
    uint32_t packets;
    uint32_t connections;
    uint32_t convictions;
    uint64_t convicted_ms;
};

static void account(struct enf_detector *det, const struct enf_packet *packet, uint64_t time_ms,
                    struct result *out)
{
    struct enf_detector_settings settings = enf_detector_defaults(ENF_POLICY_BLOCK);
    struct enf_signal signal;
    struct enf_observation obs = {
        .kind = ENF_OBSERVATION_SYN,
        .time_ms = time_ms,
        .subscriber = enf_prefix_make(&packet->source, 64),
        .source = packet->source,
        .destination = packet->destination,
        .source_port = packet->source_port,
        .destination_port = packet->destination_port,
        .sequence = packet->sequence,
    };
    int rc = enf_detector_feed(det, &obs, &settings, &signal);
    assert_true(rc >= 0);
    if (rc == 1) {
        out->convictions++;
        out->convicted_ms = signal.time_ms;
    }
}

static struct result replay(const struct writer *w)
{
    struct result result = {0};
    char error[PCAP_ERRBUF_SIZE];
    pcap_t *pcap = pcap_open_offline(w->path, error);
    assert_non_null(pcap);
    enum enf_link link = enf_link_from_dlt(pcap_datalink(pcap));
    struct enf_detector *det = new_detector(100);
    struct pcap_pkthdr *header;
    const u_char *bytes;
    while (pcap_next_ex(pcap, &header, &bytes) == 1) {
        struct enf_packet packet;
        size_t offset = 0;
        result.packets++;
        if (enf_link_find_ip(link, bytes, header->caplen, &offset) != ENF_LINK_OK)
            continue;
        if (enf_packet_parse(bytes + offset, header->caplen - offset, &packet) != ENF_PACKET_OK ||
            !enf_packet_is_connection(&packet))
            continue;
        result.connections++;
        account(det, &packet, (uint64_t)header->ts.tv_sec * 1000 + (uint64_t)header->ts.tv_usec / 1000,
                &result);
    }
    enf_detector_free(&det);
    pcap_close(pcap);
    unlink(w->path);
    return result;
}

/* n connections with a step between them; each SYN is sent twice, and the server answers. */
static void dump_session(struct writer *w, uint64_t start, uint64_t step, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = start + i * step;
        dump_tcp4(w, at, 30000 + i, 25, 1000 + i, ENF_TCP_SYN);
        dump_tcp4(w, at, 30000 + i, 25, 1000 + i, ENF_TCP_SYN);
        dump_tcp4(w, at, 30000 + i, 25, 1001 + i, ENF_TCP_ACK);
        dump_tcp4(w, at, 25, 30000 + i, 5000 + i, ENF_TCP_SYN | ENF_TCP_ACK);
        dump_tcp4(w, at, 30000 + i, 587, 9000 + i, ENF_TCP_SYN);
    }
}

static void test_boundary(void **state)
{
    (void)state;
    static const int link_types[] = {DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL};
    static const struct {
        const char *name;
        uint64_t step;
        uint32_t n;
        uint64_t silence; /* between that and the same again; 0: not again */
        uint64_t convicted_ms;
    } rows[] = {
        {"20 at once", 0, 20, 0, 0},
        {"21 at once", 0, 21, 0, START},
        {"21 in a window", 2999, 21, 0, START + 20 * 2999},
        {"21 over a window", 3000, 21, 0, 0},
        {"20, silence, 20", 1, 20, MINUTE, 0},
        {"20, short silence, 20", 1, 20, MINUTE - 1, START + MINUTE - 1},
    };
    for (size_t l = 0; l < sizeof(link_types) / sizeof(link_types[0]); l++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct writer w = {.link_type = 0};
            open_writer(&w, link_types[l]);
            dump_session(&w, START, rows[i].step, rows[i].n);
            if (rows[i].silence)
                for (uint32_t k = 0; k < rows[i].n; k++)
                    dump_tcp4(&w, START + rows[i].silence + k * rows[i].step, 50000 + k, 25, k, ENF_TCP_SYN);
            close_writer(&w);
            struct result result = replay(&w);
            assert_int_equal(result.packets, rows[i].n * (rows[i].silence ? 6 : 5));
            if (result.convicted_ms != rows[i].convicted_ms ||
                (result.convictions != 0) != (rows[i].convicted_ms != 0))
                fail_msg("%s: %u convictions at %lu", rows[i].name, result.convictions,
                         (unsigned long)(result.convicted_ms ? result.convicted_ms - START : 0));
        }
}

static void test_ipv6(void **state)
{
    (void)state;
    struct writer w = {.link_type = 0};
    open_writer(&w, DLT_EN10MB);
    for (uint32_t i = 0; i < 21; i++)
        dump_tcp6(&w, START + i, i, 7); /* an address for each: one subscriber */
    close_writer(&w);
    struct result result = replay(&w);
    assert_int_equal(result.connections, 21);
    assert_int_equal(result.convictions, 1);
    assert_int_equal(result.convicted_ms, START + 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_boundary), cmocka_unit_test(test_ipv6)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
