/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IP and TCP headers: whole, cut, in fragments, behind extension headers, and lying. */
#include "enforcer/inspect/packet.h"

#include "tests/unit/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define CLIENT 0x64400007u /* 100.64.0.7 */
#define SERVER 0xc6336419u /* 198.51.100.25 */

enum { TCP = 6, UDP = 17, HOP = 0, ROUTE = 43, FRAG = 44, ESP = 50, AH = 51, NONE = 59, DEST = 60 };

/* A frame on the heap of exactly its length, so that a byte read beyond shows in a sanitizer. */
static enum enf_packet_result parse(const struct frame *f, size_t captured_len, struct enf_packet *out)
{
    uint8_t *bytes = malloc(captured_len ? captured_len : 1);
    assert_non_null(bytes);
    memcpy(bytes, f->bytes, captured_len);
    enum enf_packet_result result = enf_packet_parse(bytes, captured_len, out);
    /* The payload pointer ends with these bytes: keep only what does not point. */
    if (out->payload)
        assert_true(out->payload + out->payload_captured_len <= bytes + captured_len);
    free(bytes);
    return result;
}

struct v4_row {
    const char *name;
    unsigned protocol;
    unsigned fragment;
    size_t options_len;
    size_t tcp_options_len;
    size_t payload_len;
    size_t cut_packet; /* bytes off the end of the packet, as its own length says */
    size_t captured;   /* 0: all */
    enum enf_packet_result result;
    bool has_ports, has_flags;
};

static void test_ipv4(void **state)
{
    (void)state;
    static const struct v4_row rows[] = {
        {"plain SYN", TCP, 0, 0, 0, 0, 0, 0, ENF_PACKET_OK, true, true},
        {"don't fragment", TCP, 0x4000, 0, 0, 0, 0, 0, ENF_PACKET_OK, true, true},
        {"IP options", TCP, 0, 40, 0, 0, 0, 0, ENF_PACKET_OK, true, true},
        {"TCP options", TCP, 0, 0, 40, 0, 0, 0, ENF_PACKET_OK, true, true},
        {"payload", TCP, 0, 4, 12, 100, 0, 0, ENF_PACKET_OK, true, true},
        {"payload cut by the capture", TCP, 0, 0, 0, 100, 0, 60, ENF_PACKET_OK, true, true},
        {"capture ends with the header", TCP, 0, 0, 0, 100, 0, 40, ENF_PACKET_OK, true, true},
        {"capture ends a byte before", TCP, 0, 0, 0, 100, 0, 39, ENF_PACKET_TRUNCATED, true, true},
        {"capture ends in TCP options", TCP, 0, 0, 8, 0, 0, 47, ENF_PACKET_TRUNCATED, true, true},
        {"capture ends behind the flags", TCP, 0, 0, 0, 0, 0, 34, ENF_PACKET_TRUNCATED, true, true},
        {"capture ends before the flags", TCP, 0, 0, 0, 0, 0, 33, ENF_PACKET_TRUNCATED, true, false},
        {"capture ends behind the ports", TCP, 0, 0, 0, 0, 0, 24, ENF_PACKET_TRUNCATED, true, false},
        {"capture ends in the ports", TCP, 0, 0, 0, 0, 0, 23, ENF_PACKET_TRUNCATED, false, false},
        {"capture ends with the IP header", TCP, 0, 0, 0, 0, 0, 20, ENF_PACKET_TRUNCATED, false, false},
        {"capture ends in the IP header", TCP, 0, 0, 0, 0, 0, 19, ENF_PACKET_TRUNCATED, false, false},
        {"capture ends in IP options", TCP, 0, 8, 0, 0, 0, 27, ENF_PACKET_TRUNCATED, false, false},
        {"UDP", UDP, 0, 0, 0, 0, 0, 0, ENF_PACKET_NOT_TCP, false, false},
        {"first fragment", TCP, 0x2000, 0, 0, 16, 0, 0, ENF_PACKET_OK, true, true},
        {"first fragment without flags", TCP, 0x2000, 0, 0, 0, 12, 0, ENF_PACKET_SHORT_FRAGMENT, true, false},
        {"first fragment a byte short", TCP, 0x2000, 0, 0, 0, 1, 0, ENF_PACKET_SHORT_FRAGMENT, true, true},
        {"first fragment, options cut", TCP, 0x2000, 0, 8, 0, 8, 0, ENF_PACKET_SHORT_FRAGMENT, true, true},
        {"later fragment", TCP, 0x0001, 0, 0, 0, 0, 0, ENF_PACKET_LATER_FRAGMENT, false, false},
        {"middle fragment", TCP, 0x3fff, 0, 0, 0, 0, 0, ENF_PACKET_LATER_FRAGMENT, false, false},
        {"later fragment of UDP", UDP, 0x0001, 0, 0, 0, 0, 0, ENF_PACKET_NOT_TCP, false, false},
        {"packet ends in the TCP header", TCP, 0, 0, 0, 0, 1, 0, ENF_PACKET_MALFORMED, true, true},
        {"packet ends with the IP header", TCP, 0, 0, 0, 0, 20, 0, ENF_PACKET_MALFORMED, false, false},
        {"packet ends in the IP header", TCP, 0, 0, 0, 0, 21, 0, ENF_PACKET_MALFORMED, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct v4_row *row = &rows[i];
        struct frame f = {.len = 0};
        struct enf_packet packet;
        size_t start = put_ipv4(&f, CLIENT, SERVER, row->protocol, row->fragment, row->options_len);
        put_tcp(&f, 40000, 25, 0xa1b2c3d4, ENF_TCP_SYN, row->tcp_options_len);
        put_zeros(&f, row->payload_len);
        size_t whole = f.len;
        f.len -= row->cut_packet;
        end_ipv4(&f, start);
        size_t ip_len = f.len;
        f.len = whole; /* what was cut off is there as padding, and must not be read */
        enum enf_packet_result result = parse(&f, row->captured ? row->captured : f.len, &packet);
        if (result != row->result)
            fail_msg("%s: %s", row->name, enf_packet_result_name(result));
        if (packet.has_ports != row->has_ports || packet.has_flags != row->has_flags)
            fail_msg("%s: ports %d, flags %d", row->name, packet.has_ports, packet.has_flags);
        if (row->has_ports)
            assert_true(packet.source_port == 40000 && packet.destination_port == 25);
        if (row->has_flags) {
            assert_int_equal(packet.sequence, 0xa1b2c3d4);
            assert_int_equal(packet.acknowledgment, 0x01020304);
        }
        if (enf_packet_is_connection(&packet) != row->has_flags)
            fail_msg("%s: connection", row->name);
        if (result != ENF_PACKET_OK)
            continue;
        assert_int_equal(packet.ip_len, ip_len);
        assert_int_equal(packet.payload_len, row->payload_len);
        assert_int_equal(packet.payload_captured_len, row->captured ? row->captured - 40 : row->payload_len);
    }
}

static void test_ipv4_lies(void **state)
{
    (void)state;
    struct enf_packet packet;
    struct frame f = {.len = 0};
    put_ipv4(&f, CLIENT, SERVER, TCP, 0, 0);
    put_tcp(&f, 40000, 25, 1, ENF_TCP_SYN, 0);
    put_zeros(&f, 10);
    /* Length zero: captured before the network card cut it up. */
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_OK);
    assert_int_equal(packet.payload_len, 10);
    set16(&f, 2, 65535);
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_OK);
    assert_int_equal(packet.payload_len, 65535 - 40);
    assert_int_equal(packet.payload_captured_len, 10);
    set16(&f, 2, 50);
    f.bytes[32] = 0x40; /* data offset below five words */
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_MALFORMED);
    f.bytes[32] = 0xf0; /* beyond the packet */
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_MALFORMED);
    f.bytes[0] = 0x44; /* IP header below five words */
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_MALFORMED);
    f.bytes[0] = 0x4f; /* IP header longer than the packet */
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_MALFORMED);
    f.bytes[0] = 0x55;
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_MALFORMED);
    assert_int_equal(parse(&f, 0, &packet), ENF_PACKET_TRUNCATED);
}

static void test_connection(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned source_port, destination_port, flags;
        bool connection, smtp;
    } rows[] = {
        {"SYN to 25", 40000, 25, ENF_TCP_SYN, true, true},
        {"SYN with ECN bits", 40000, 25, ENF_TCP_SYN | 0xc0, true, true},
        {"SYN from 25 to 25", 25, 25, ENF_TCP_SYN, true, true},
        {"SYN-ACK to 25", 40000, 25, ENF_TCP_SYN | ENF_TCP_ACK, false, true},
        {"ACK to 25", 40000, 25, ENF_TCP_ACK, false, true},
        {"RST to 25", 40000, 25, ENF_TCP_RST, false, true},
        {"SYN from 25", 25, 40000, ENF_TCP_SYN, false, true},
        {"SYN-ACK from 25", 25, 40000, ENF_TCP_SYN | ENF_TCP_ACK, false, true},
        {"SYN to 24", 40000, 24, ENF_TCP_SYN, false, false},
        {"SYN to 26", 40000, 26, ENF_TCP_SYN, false, false},
        {"SYN to 587", 40000, 587, ENF_TCP_SYN, false, false},
        {"SYN to 6400", 40000, 0x1900, ENF_TCP_SYN, false, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct frame f = {.len = 0};
        struct enf_packet packet;
        size_t start = put_ipv4(&f, CLIENT, SERVER, TCP, 0, 0);
        put_tcp(&f, rows[i].source_port, rows[i].destination_port, 1, rows[i].flags, 0);
        end_ipv4(&f, start);
        assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_OK);
        if (enf_packet_is_connection(&packet) != rows[i].connection)
            fail_msg("%s: connection", rows[i].name);
        if (enf_packet_is_smtp(&packet) != rows[i].smtp)
            fail_msg("%s: smtp", rows[i].name);
    }
}

static void put_auth(struct frame *f, unsigned next)
{
    put8(f, next);
    put8(f, 4); /* 24 bytes */
    put_zeros(f, 22);
}

/* Chains of headers, as text: H hop-by-hop, D destination options, R routing, A authentication, a atomic
 * fragment, F first fragment, L later fragment, T TCP, U UDP, E ESP, N nothing. */
static unsigned number_of(char header)
{
    switch (header) {
    case 'H':
        return HOP;
    case 'D':
        return DEST;
    case 'R':
        return ROUTE;
    case 'A':
        return AH;
    case 'a':
    case 'F':
    case 'L':
        return FRAG;
    case 'T':
        return TCP;
    case 'U':
        return UDP;
    case 'E':
        return ESP;
    default:
        return NONE;
    }
}

static void put_chain(struct frame *f, const char *chain)
{
    size_t start = put_ipv6(f, 7, 25, number_of(chain[0]));
    for (; *chain; chain++) {
        unsigned next = number_of(chain[1]);
        switch (*chain) {
        case 'H':
        case 'D':
        case 'R':
            put_extension(f, next, 1);
            break;
        case 'A':
            put_auth(f, next);
            break;
        case 'a':
            put_fragment(f, next, 0, 0);
            break;
        case 'F':
            put_fragment(f, next, 0, 1);
            break;
        case 'L':
            put_fragment(f, next, 100, 0);
            break;
        default:
            put_tcp(f, 40000, 25, 1, ENF_TCP_SYN, 0);
            break;
        }
    }
    end_ipv6(f, start);
}

static void test_ipv6(void **state)
{
    (void)state;
    static const struct {
        const char *chain;
        enum enf_packet_result result;
        enum enf_fragment fragment;
    } rows[] = {
        {"T", ENF_PACKET_OK, ENF_FRAGMENT_NONE},
        {"U", ENF_PACKET_NOT_TCP, ENF_FRAGMENT_NONE},
        {"HT", ENF_PACKET_OK, ENF_FRAGMENT_NONE},
        {"HDRDT", ENF_PACKET_OK, ENF_FRAGMENT_NONE},
        {"DDDDDDDDDDDDT", ENF_PACKET_OK, ENF_FRAGMENT_NONE},
        {"AT", ENF_PACKET_OK, ENF_FRAGMENT_NONE},
        {"aT", ENF_PACKET_OK, ENF_FRAGMENT_NONE},
        {"FT", ENF_PACKET_OK, ENF_FRAGMENT_FIRST},
        {"HFDT", ENF_PACKET_OK, ENF_FRAGMENT_FIRST},
        {"LT", ENF_PACKET_LATER_FRAGMENT, ENF_FRAGMENT_LATER},
        {"LD", ENF_PACKET_LATER_FRAGMENT, ENF_FRAGMENT_LATER},
        {"LU", ENF_PACKET_NOT_TCP, ENF_FRAGMENT_LATER},
        {"HE", ENF_PACKET_NOT_TCP, ENF_FRAGMENT_NONE},
        {"HN", ENF_PACKET_NOT_TCP, ENF_FRAGMENT_NONE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct frame f = {.len = 0};
        struct enf_packet packet;
        put_chain(&f, rows[i].chain);
        enum enf_packet_result result = parse(&f, f.len, &packet);
        if (result != rows[i].result || packet.fragment != rows[i].fragment)
            fail_msg("%s: %s, fragment %d", rows[i].chain, enf_packet_result_name(result), packet.fragment);
        if (enf_packet_is_connection(&packet) != (result == ENF_PACKET_OK))
            fail_msg("%s: connection", rows[i].chain);
        assert_int_equal(packet.source.family, ENF_FAMILY_V6);
        assert_int_equal(packet.source.bytes[15], 7);
        /* Cut at every byte: never an answer that needs what is not there. */
        for (size_t len = 0; len < f.len; len++) {
            result = parse(&f, len, &packet);
            assert_true(result == ENF_PACKET_TRUNCATED || result == rows[i].result);
        }
    }
}

static void test_ipv6_lies(void **state)
{
    (void)state;
    struct enf_packet packet;
    struct frame f = {.len = 0};
    put_chain(&f, "HT");
    f.bytes[41] = 200; /* hop-by-hop beyond the packet */
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_MALFORMED);

    /* The header chain goes on in the second fragment: nothing of TCP is in the first. */
    f.len = 0;
    size_t start = put_ipv6(&f, 7, 25, FRAG);
    put_fragment(&f, DEST, 0, 1);
    put_extension(&f, TCP, 0);
    f.bytes[f.len - 7] = 30;
    end_ipv6(&f, start);
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_SHORT_FRAGMENT);

    f.len = 0;
    start = put_ipv6(&f, 7, 25, DEST);
    for (int i = 0; i < ENF_PACKET_HEADERS_MAX; i++)
        put_extension(&f, i + 1 < ENF_PACKET_HEADERS_MAX ? DEST : TCP, 0);
    put_tcp(&f, 40000, 25, 1, ENF_TCP_SYN, 0);
    end_ipv6(&f, start);
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_OK);
    f.len = 0;
    start = put_ipv6(&f, 7, 25, DEST);
    for (int i = 0; i <= ENF_PACKET_HEADERS_MAX; i++)
        put_extension(&f, i < ENF_PACKET_HEADERS_MAX ? DEST : TCP, 0);
    put_tcp(&f, 40000, 25, 1, ENF_TCP_SYN, 0);
    end_ipv6(&f, start);
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_MALFORMED);
}

static void test_jumbogram(void **state)
{
    (void)state;
    struct enf_packet packet;
    struct frame f = {.len = 0};
    put_ipv6(&f, 7, 25, HOP);
    put8(&f, TCP);
    put8(&f, 0);
    put8(&f, 0xc2);
    put8(&f, 4);
    put32(&f, 66000);
    put_tcp(&f, 40000, 25, 1, ENF_TCP_SYN, 0);
    put_zeros(&f, 66000 - 8 - 20);
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_OK);
    assert_int_equal(packet.ip_len, 66040);
    assert_int_equal(packet.payload_len, 66000 - 28);
    /* Too small for a jumbogram, or no length at all: what is there counts. */
    f.bytes[44] = f.bytes[45] = 0;
    f.len = 40 + 8 + 20 + 5;
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_OK);
    assert_int_equal(packet.payload_len, 5);
    f.len = 0;
    put_ipv6(&f, 7, 25, TCP);
    put_tcp(&f, 40000, 25, 1, ENF_TCP_SYN, 0);
    assert_int_equal(parse(&f, f.len, &packet), ENF_PACKET_OK);
    assert_true(enf_packet_is_connection(&packet));
}

static void test_unaligned(void **state)
{
    (void)state;
    struct frame f = {.len = 0};
    put_zeros(&f, 1);
    size_t start = put_ipv6(&f, 7, 25, TCP);
    put_tcp(&f, 40000, 25, 0xdeadbeef, ENF_TCP_SYN, 0);
    end_ipv6(&f, start);
    struct enf_packet packet;
    assert_int_equal(enf_packet_parse(f.bytes + 1, f.len - 1, &packet), ENF_PACKET_OK);
    assert_int_equal(packet.sequence, 0xdeadbeef);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4),      cmocka_unit_test(test_ipv4_lies), cmocka_unit_test(test_connection),
        cmocka_unit_test(test_ipv6),      cmocka_unit_test(test_ipv6_lies), cmocka_unit_test(test_jumbogram),
        cmocka_unit_test(test_unaligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
