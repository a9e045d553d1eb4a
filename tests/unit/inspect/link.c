/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the IP header is in frames of all kinds, whole and cut at every byte. */
#include "enforcer/inspect/link.h"

#include "tests/unit/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct row {
    const char *name;
    enum enf_link link;
    const char *hex;  /* everything before the IP header; blanks are for the reader */
    unsigned version; /* of the IP header that follows: 4, 6, or another nibble */
    enum enf_link_result result;
};

#define MACS "020000000001 020000000002 "

static const struct row rows[] = {
    {"ethernet, IPv4", ENF_LINK_ETHERNET, MACS "0800", 4, ENF_LINK_OK},
    {"ethernet, IPv6", ENF_LINK_ETHERNET, MACS "86dd", 6, ENF_LINK_OK},
    {"ethernet, IPv4 announced, IPv6 inside", ENF_LINK_ETHERNET, MACS "0800", 6, ENF_LINK_MALFORMED},
    {"ethernet, IPv6 announced, IPv4 inside", ENF_LINK_ETHERNET, MACS "86dd", 4, ENF_LINK_MALFORMED},
    {"ethernet, ARP", ENF_LINK_ETHERNET, MACS "0806", 4, ENF_LINK_NOT_IP},
    {"VLAN", ENF_LINK_ETHERNET, MACS "8100 0064 0800", 4, ENF_LINK_OK},
    {"VLAN with priority and DEI", ENF_LINK_ETHERNET, MACS "8100 f064 86dd", 6, ENF_LINK_OK},
    {"QinQ", ENF_LINK_ETHERNET, MACS "88a8 0064 8100 0065 0800", 4, ENF_LINK_OK},
    {"old QinQ numbers", ENF_LINK_ETHERNET, MACS "9100 0064 9200 0065 9300 0001 8100 0002 0800", 4,
     ENF_LINK_OK},
    {"VLAN, ARP", ENF_LINK_ETHERNET, MACS "8100 0064 0806", 4, ENF_LINK_NOT_IP},
    {"MPLS, one label", ENF_LINK_ETHERNET, MACS "8847 00064140", 4, ENF_LINK_OK},
    {"MPLS, three labels, IPv6", ENF_LINK_ETHERNET, MACS "8847 00064040 00065040 00066140", 6, ENF_LINK_OK},
    {"MPLS multicast", ENF_LINK_ETHERNET, MACS "8848 00064140", 4, ENF_LINK_OK},
    {"MPLS, pseudowire", ENF_LINK_ETHERNET, MACS "8847 00064140", 0, ENF_LINK_NOT_IP},
    {"MPLS in VLAN", ENF_LINK_ETHERNET, MACS "8100 0064 8847 00064140", 4, ENF_LINK_OK},
    {"PPPoE, IPv4", ENF_LINK_ETHERNET, MACS "8864 11000001003e 0021", 4, ENF_LINK_OK},
    {"PPPoE, IPv6", ENF_LINK_ETHERNET, MACS "8864 11000001003e 0057", 6, ENF_LINK_OK},
    {"PPPoE in QinQ", ENF_LINK_ETHERNET, MACS "88a8 0001 8100 0002 8864 11000001003e 0021", 4, ENF_LINK_OK},
    {"PPPoE, protocol in one byte", ENF_LINK_ETHERNET, MACS "8864 11000001003e 21", 4, ENF_LINK_OK},
    {"PPPoE, LCP", ENF_LINK_ETHERNET, MACS "8864 11000001003e c021", 4, ENF_LINK_NOT_IP},
    {"PPPoE, another version", ENF_LINK_ETHERNET, MACS "8864 12000001003e 0021", 4, ENF_LINK_NOT_IP},
    {"PPPoE discovery", ENF_LINK_ETHERNET, MACS "8863 110900000004", 4, ENF_LINK_NOT_IP},
    {"E-tag", ENF_LINK_ETHERNET, MACS "893f 000000010000 0800", 4, ENF_LINK_OK},
    {"VN-tag", ENF_LINK_ETHERNET, MACS "8926 00000001 8100 0001 0800", 4, ENF_LINK_OK},
    {"provider backbone", ENF_LINK_ETHERNET, MACS "88a8 0001 88e7 00000001" MACS "0800", 4, ENF_LINK_OK},
    {"SNAP", ENF_LINK_ETHERNET, MACS "002c aaaa03 000000 0800", 4, ENF_LINK_OK},
    {"802.2, spanning tree", ENF_LINK_ETHERNET, MACS "0026 424203", 4, ENF_LINK_NOT_IP},
    {"neither length nor type", ENF_LINK_ETHERNET, MACS "05ff", 4, ENF_LINK_NOT_IP},
    {"raw, IPv4", ENF_LINK_RAW, "", 4, ENF_LINK_OK},
    {"raw, IPv6", ENF_LINK_RAW, "", 6, ENF_LINK_OK},
    {"raw, neither", ENF_LINK_RAW, "", 5, ENF_LINK_MALFORMED},
    {"cooked, IPv4", ENF_LINK_COOKED, "0000 0001 0006 020000000001 0000 0800", 4, ENF_LINK_OK},
    {"cooked, IPv6", ENF_LINK_COOKED, "0004 0001 0006 020000000001 0000 86dd", 6, ENF_LINK_OK},
    {"cooked, VLAN", ENF_LINK_COOKED, "0000 0001 0006 020000000001 0000 8100 0064 0800", 4, ENF_LINK_OK},
    {"cooked, ARP", ENF_LINK_COOKED, "0000 0001 0006 020000000001 0000 0806", 4, ENF_LINK_NOT_IP},
    {"cooked v2, IPv4", ENF_LINK_COOKED2, "0800 0000 00000002 0001 00 06 020000000001 0000", 4, ENF_LINK_OK},
    {"cooked v2, IPv6", ENF_LINK_COOKED2, "86dd 0000 00000002 0001 00 06 020000000001 0000", 6, ENF_LINK_OK},
    {"cooked v2, VLAN", ENF_LINK_COOKED2, "8100 0000 00000002 0001 00 06 020000000001 0000 0064 0800", 4,
     ENF_LINK_OK},
    {"cooked v2, ARP", ENF_LINK_COOKED2, "0806 0000 00000002 0001 00 06 020000000001 0000", 4,
     ENF_LINK_NOT_IP},
    {"null, little endian", ENF_LINK_LOOPBACK, "02000000", 4, ENF_LINK_OK},
    {"null, big endian", ENF_LINK_LOOPBACK, "00000002", 4, ENF_LINK_OK},
    {"null, IPv6 of Linux", ENF_LINK_LOOPBACK, "0a000000", 6, ENF_LINK_OK},
    {"null, IPv6 of OpenBSD", ENF_LINK_LOOPBACK, "18000000", 6, ENF_LINK_OK},
    {"null, IPv6 of FreeBSD", ENF_LINK_LOOPBACK, "0000001c", 6, ENF_LINK_OK},
    {"null, IPv6 of Darwin", ENF_LINK_LOOPBACK, "1e000000", 6, ENF_LINK_OK},
    {"null, another family", ENF_LINK_LOOPBACK, "07000000", 4, ENF_LINK_NOT_IP},
    {"PPP", ENF_LINK_PPP, "0021", 4, ENF_LINK_OK},
    {"PPP with address and control", ENF_LINK_PPP, "ff03 0057", 6, ENF_LINK_OK},
    {"PPP, MPLS", ENF_LINK_PPP, "ff03 0281 00064140", 4, ENF_LINK_OK},
    {"PPPoE alone", ENF_LINK_PPPOE, "11000001003e 0021", 4, ENF_LINK_OK},
    {"HDLC", ENF_LINK_HDLC, "0f00 0800", 4, ENF_LINK_OK},
    {"unsupported", ENF_LINK_UNSUPPORTED, "", 4, ENF_LINK_NOT_IP},
};

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void put_hex(struct frame *f, const char *hex)
{
    while (*hex) {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        put8(f, digit(hex[0]) << 4 | digit(hex[1]));
        hex += 2;
    }
}

static enum enf_link_result find(const struct row *row, const struct frame *f, size_t len, size_t *offset)
{
    uint8_t *bytes = malloc(len ? len : 1);
    assert_non_null(bytes);
    memcpy(bytes, f->bytes, len);
    enum enf_link_result result = enf_link_find_ip(row->link, bytes, len, offset);
    free(bytes);
    return result;
}

static void test_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct frame f = {.len = 0};
        size_t offset = 4711;
        put_hex(&f, rows[i].hex);
        size_t header_len = f.len;
        put8(&f, rows[i].version << 4 | 5);
        put_zeros(&f, 19);
        enum enf_link_result result = find(&rows[i], &f, f.len, &offset);
        if (result != rows[i].result)
            fail_msg("%s: result %d", rows[i].name, result);
        if (offset != (result == ENF_LINK_OK ? header_len : 4711))
            fail_msg("%s: offset %zu of %zu", rows[i].name, offset, header_len);
        if (rows[i].result != ENF_LINK_OK)
            continue;
        for (size_t len = 0; len <= header_len; len++) {
            result = find(&rows[i], &f, len, &offset);
            if (result != ENF_LINK_TRUNCATED)
                fail_msg("%s: result %d at %zu", rows[i].name, result, len);
        }
        assert_int_equal(find(&rows[i], &f, header_len + 1, &offset), ENF_LINK_OK);
    }
}

static void test_dlt(void **state)
{
    (void)state;
    static const struct {
        int dlt;
        enum enf_link link;
    } known[] = {{0, ENF_LINK_LOOPBACK},    {1, ENF_LINK_ETHERNET}, {9, ENF_LINK_PPP},
                 {12, ENF_LINK_RAW},        {14, ENF_LINK_RAW},     {101, ENF_LINK_RAW},
                 {228, ENF_LINK_RAW},       {229, ENF_LINK_RAW},    {113, ENF_LINK_COOKED},
                 {276, ENF_LINK_COOKED2},   {50, ENF_LINK_PPP},     {51, ENF_LINK_PPPOE},
                 {108, ENF_LINK_LOOPBACK},  {104, ENF_LINK_HDLC},   {105, ENF_LINK_UNSUPPORTED},
                 {-1, ENF_LINK_UNSUPPORTED}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal(enf_link_from_dlt(known[i].dlt), known[i].link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_frames), cmocka_unit_test(test_dlt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
