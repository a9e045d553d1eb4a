/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds the IP packet inside a captured frame. No I/O, no allocation, nothing is copied; any bytes at any
 * alignment are safe. Safe from any thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum enf_link {
    ENF_LINK_UNSUPPORTED, /* a kind of capture that is not read */
    ENF_LINK_ETHERNET,
    ENF_LINK_RAW, /* starts with the IP header */
    ENF_LINK_COOKED,
    ENF_LINK_COOKED2,
    ENF_LINK_LOOPBACK, /* four bytes of protocol family, in whichever byte order */
    ENF_LINK_PPP,
    ENF_LINK_PPPOE,
    ENF_LINK_HDLC, /* Cisco HDLC */
};

enum enf_link_result {
    ENF_LINK_OK,
    ENF_LINK_NOT_IP,    /* whole, but something else: ARP, spanning tree … */
    ENF_LINK_TRUNCATED, /* the capture ends before the IP header starts */
    ENF_LINK_MALFORMED, /* says IP, but no IP header follows */
};
#define ENF_LINK_RESULT_COUNT 4

/* What a capture of that link type has. dlt is libpcap's DLT_ number or the LINKTYPE_ number of a file: both
 * mean the same where they matter here. */
enum enf_link enf_link_from_dlt(int dlt);

/* Looks through VLAN tags (802.1Q, 802.1ad, the older QinQ numbers), 802.1BR E-tags, VN-tags, provider
 * backbone bridging, MPLS labels, PPPoE and SNAP. On ENF_LINK_OK *out_offset is where the IP header starts,
 * and its version is the one that the frame announced; otherwise it is untouched. */
enum enf_link_result enf_link_find_ip(enum enf_link link, const uint8_t *frame, size_t captured_len,
                                      size_t *out_offset);
