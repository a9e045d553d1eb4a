/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads IP and TCP headers of one packet, however it was captured. No I/O, no allocation, nothing is copied
 * but numbers; any bytes at any alignment are safe. Safe from any thread. */
#pragma once

#include "enforcer/core/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENF_SMTP_PORT 25

/* Longest IPv6 header chain that is followed. More does not fit into a packet of 1500 bytes. */
#define ENF_PACKET_HEADERS_MAX 192

enum enf_packet_result {
    ENF_PACKET_OK,             /* TCP, with its whole header */
    ENF_PACKET_NOT_TCP,        /* another protocol; fragments of it too */
    ENF_PACKET_LATER_FRAGMENT, /* of what may be TCP, without its header */
    ENF_PACKET_SHORT_FRAGMENT, /* a first fragment that ends inside the TCP header or before it: nobody needs
                                  that */
    ENF_PACKET_TRUNCATED,      /* the capture ends inside the headers, the packet did not */
    ENF_PACKET_MALFORMED,      /* the headers contradict themselves */
};
#define ENF_PACKET_RESULT_COUNT 6

enum enf_fragment {
    ENF_FRAGMENT_NONE, /* a whole packet, also with an IPv6 fragment header that says so ("atomic") */
    ENF_FRAGMENT_FIRST,
    ENF_FRAGMENT_LATER,
};

#define ENF_TCP_FIN 0x01
#define ENF_TCP_SYN 0x02
#define ENF_TCP_RST 0x04
#define ENF_TCP_PSH 0x08
#define ENF_TCP_ACK 0x10
#define ENF_TCP_URG 0x20

/* All numbers in host order. What was not reached is zero. */
struct enf_packet {
    struct enf_addr source; /* both are set for every result where the addresses were readable */
    struct enf_addr destination;
    uint8_t protocol; /* the last one reached: IPPROTO_TCP for TCP */
    enum enf_fragment fragment;
    bool has_ports; /* the ports were readable, though the header may not be whole */
    bool has_flags; /* so were sequence, acknowledgment and flags */
    uint8_t tcp_flags;
    uint16_t source_port;
    uint16_t destination_port;
    uint32_t sequence;
    uint32_t acknowledgment;
    uint32_t ip_len;               /* of the packet by its own headers, IP header included */
    uint32_t payload_len;          /* TCP payload by the headers (of this fragment); for ENF_PACKET_OK */
    const uint8_t *payload;        /* into the caller's bytes; NULL where none was captured */
    uint32_t payload_captured_len; /* how much of it is there */
};

/* Reads from the IP header on. captured_len bytes are there; more than the packet has (padding) or less (a
 * snap length) are both fine. *out is always written, as far as the headers were readable. */
enum enf_packet_result enf_packet_parse(const uint8_t *ip, size_t captured_len, struct enf_packet *out);

/* True for what starts a connection to port 25: SYN without ACK, destination port 25, from whatever port.
 * Asks has_flags, so it may be called after every result. */
bool enf_packet_is_connection(const struct enf_packet *packet);

/* True where one of the ports is 25. */
bool enf_packet_is_smtp(const struct enf_packet *packet);

/* "ok", "not tcp", "later fragment", "short fragment", "truncated", "malformed"; NULL for a value out of
 * range. */
const char *enf_packet_result_name(enum enf_packet_result result);
