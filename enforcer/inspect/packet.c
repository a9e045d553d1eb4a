/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4, IPv6 with its extension headers, and TCP, read as far as the bytes go. */
#include "enforcer/inspect/packet.h"

#include "enforcer/inspect/bytes.h"

enum {
    PROTO_HOP_BY_HOP = 0,
    PROTO_TCP = 6,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_AUTH = 51,
    PROTO_DEST_OPTIONS = 60,
    PROTO_MOBILITY = 135,
    PROTO_HIP = 139,
    PROTO_SHIM6 = 140,
};

#define IPV4_LEN_MIN    20
#define IPV6_LEN        40
#define TCP_LEN_MIN     20
#define TCP_PORTS_LEN   4
#define TCP_FLAGS_LEN   14 /* up to and with the flags */
#define OPTION_JUMBO    0xc2
#define OPTION_PAD1     0
#define JUMBO_LEN_MIN   65536
#define JUMBO_VALUE_LEN 4

/* Where the reading stands. end: of the packet by its headers; have: of the bytes that are there. */
struct cursor {
    const uint8_t *bytes;
    size_t at;
    size_t end;
    size_t have;
};

enum room {
    ROOM_OK,
    ROOM_CUT,  /* the packet has the bytes, the capture has not */
    ROOM_NONE, /* the packet itself ends before */
};

static enum room look(const struct cursor *c, size_t len)
{
    if (len > c->end - c->at)
        return ROOM_NONE;
    if (c->at > c->have || len > c->have - c->at)
        return ROOM_CUT;
    return ROOM_OK;
}

/* What it means that headers end too early. */
static enum enf_packet_result ended(enum room room, const struct enf_packet *packet)
{
    if (room == ROOM_CUT)
        return ENF_PACKET_TRUNCATED;
    return packet->fragment == ENF_FRAGMENT_FIRST ? ENF_PACKET_SHORT_FRAGMENT : ENF_PACKET_MALFORMED;
}

/* Takes what is readable of a header that may be cut: ports and flags decide about blocking, options do not.
 */
static void read_tcp_fields(const uint8_t *tcp, size_t readable, struct enf_packet *out)
{
    if (readable < TCP_PORTS_LEN)
        return;
    out->has_ports = true;
    out->source_port = be16(tcp);
    out->destination_port = be16(tcp + 2);
    if (readable < TCP_FLAGS_LEN)
        return;
    out->has_flags = true;
    out->sequence = be32(tcp + 4);
    out->acknowledgment = be32(tcp + 8);
    out->tcp_flags = tcp[13];
}

static enum enf_packet_result parse_tcp(const struct cursor *c, struct enf_packet *out)
{
    const uint8_t *tcp = c->bytes + c->at;
    size_t limit = c->end < c->have ? c->end : c->have;
    read_tcp_fields(tcp, limit > c->at ? limit - c->at : 0, out);

    enum room room = look(c, TCP_LEN_MIN);
    if (room != ROOM_OK)
        return ended(room, out);
    size_t header_len = (size_t)(tcp[12] >> 4) * 4;
    if (header_len < TCP_LEN_MIN)
        return ENF_PACKET_MALFORMED;
    room = look(c, header_len);
    if (room != ROOM_OK)
        return ended(room, out);

    size_t start = c->at + header_len;
    out->payload_len = (uint32_t)(c->end - start);
    if (limit > start) {
        out->payload = c->bytes + start;
        out->payload_captured_len = (uint32_t)(limit - start);
    }
    return ENF_PACKET_OK;
}

static enum enf_packet_result parse_ipv4(const uint8_t *ip, size_t captured_len, struct enf_packet *out)
{
    struct cursor c = {.bytes = ip, .have = captured_len};
    if (captured_len < IPV4_LEN_MIN)
        return ENF_PACKET_TRUNCATED;
    out->source = enf_addr_from_bytes(ENF_FAMILY_V4, ip + 12);
    out->destination = enf_addr_from_bytes(ENF_FAMILY_V4, ip + 16);
    out->protocol = ip[9];

    size_t header_len = (size_t)(ip[0] & 0x0f) * 4;
    c.end = be16(ip + 2);
    /* A sender that leaves segmentation to its network card captures its own packets with a length of zero.
     */
    if (c.end == 0)
        c.end = captured_len;
    out->ip_len = (uint32_t)c.end;
    if (header_len < IPV4_LEN_MIN || c.end < header_len)
        return ENF_PACKET_MALFORMED;

    uint16_t fragment = be16(ip + 6);
    if (fragment & 0x1fff)
        out->fragment = ENF_FRAGMENT_LATER;
    else if (fragment & 0x2000)
        out->fragment = ENF_FRAGMENT_FIRST;
    if (out->protocol != PROTO_TCP)
        return ENF_PACKET_NOT_TCP;
    if (out->fragment == ENF_FRAGMENT_LATER)
        return ENF_PACKET_LATER_FRAGMENT;
    if (captured_len < header_len)
        return ENF_PACKET_TRUNCATED;
    c.at = header_len;
    return parse_tcp(&c, out);
}

static bool is_extension(uint8_t protocol)
{
    switch (protocol) {
    case PROTO_HOP_BY_HOP:
    case PROTO_ROUTING:
    case PROTO_FRAGMENT:
    case PROTO_AUTH:
    case PROTO_DEST_OPTIONS:
    case PROTO_MOBILITY:
    case PROTO_HIP:
    case PROTO_SHIM6:
        return true;
    default:
        return false;
    }
}

/* The length of a jumbogram out of a hop-by-hop header of len bytes, or 0 where it says none. */
static uint32_t jumbo_len(const uint8_t *header, size_t len)
{
    size_t at = 2;
    while (at + 2 <= len) {
        if (header[at] == OPTION_PAD1) {
            at++;
            continue;
        }
        size_t value_len = header[at + 1];
        if (value_len > len - at - 2)
            return 0;
        if (header[at] == OPTION_JUMBO && value_len == JUMBO_VALUE_LEN)
            return be32(header + at + 2);
        at += 2 + value_len;
    }
    return 0;
}

/* Steps over the extension header at the cursor. False with *result set where the reading ends here. */
static bool step_header(struct cursor *c, struct enf_packet *out, enum enf_packet_result *result)
{
    const uint8_t *header = c->bytes + c->at;
    enum room room = look(c, 8);
    if (room != ROOM_OK) {
        *result = ended(room, out);
        return false;
    }
    uint8_t type = out->protocol;
    size_t len = 8;
    if (type == PROTO_AUTH)
        len = ((size_t)header[1] + 2) * 4;
    else if (type != PROTO_FRAGMENT)
        len = ((size_t)header[1] + 1) * 8;
    room = look(c, len);
    if (room != ROOM_OK) {
        *result = ended(room, out);
        return false;
    }
    out->protocol = header[0];
    if (type == PROTO_FRAGMENT) {
        uint16_t fragment = be16(header + 2);
        if (fragment & 0xfff8) {
            out->fragment = ENF_FRAGMENT_LATER;
            bool may_be_tcp = out->protocol == PROTO_TCP || is_extension(out->protocol);
            *result = may_be_tcp ? ENF_PACKET_LATER_FRAGMENT : ENF_PACKET_NOT_TCP;
            return false;
        }
        if (fragment & 1)
            out->fragment = ENF_FRAGMENT_FIRST;
    }
    c->at += len;
    return true;
}

/* A payload length of zero: a jumbogram says the real one in its hop-by-hop header. Where there is none, the
 * packet was captured before its sender's network card cut it up, or a receiver goes on reading all the same:
 * so do we. */
static void find_zero_end(struct cursor *c, struct enf_packet *out)
{
    c->end = c->have;
    if (out->protocol == PROTO_HOP_BY_HOP && c->have >= IPV6_LEN + 2) {
        size_t len = ((size_t)c->bytes[IPV6_LEN + 1] + 1) * 8;
        uint32_t jumbo = len <= c->have - IPV6_LEN ? jumbo_len(c->bytes + IPV6_LEN, len) : 0;
        if (jumbo >= JUMBO_LEN_MIN)
            c->end = (size_t)jumbo + IPV6_LEN;
    }
    out->ip_len = (uint32_t)c->end;
}

static enum enf_packet_result parse_ipv6(const uint8_t *ip, size_t captured_len, struct enf_packet *out)
{
    struct cursor c = {.bytes = ip, .at = IPV6_LEN, .have = captured_len};
    if (captured_len < IPV6_LEN)
        return ENF_PACKET_TRUNCATED;
    out->source = enf_addr_from_bytes(ENF_FAMILY_V6, ip + 8);
    out->destination = enf_addr_from_bytes(ENF_FAMILY_V6, ip + 24);
    out->protocol = ip[6];
    c.end = (size_t)be16(ip + 4) + IPV6_LEN;
    out->ip_len = (uint32_t)c.end;
    if (c.end == IPV6_LEN)
        find_zero_end(&c, out);

    for (unsigned headers = 0; is_extension(out->protocol); headers++) {
        enum enf_packet_result result;
        if (headers == ENF_PACKET_HEADERS_MAX)
            return ENF_PACKET_MALFORMED;
        if (!step_header(&c, out, &result))
            return result;
    }
    return out->protocol == PROTO_TCP ? parse_tcp(&c, out) : ENF_PACKET_NOT_TCP;
}

enum enf_packet_result enf_packet_parse(const uint8_t *ip, size_t captured_len, struct enf_packet *out)
{
    *out = (struct enf_packet){0};
    if (captured_len == 0)
        return ENF_PACKET_TRUNCATED;
    switch (ip[0] >> 4) {
    case 4:
        return parse_ipv4(ip, captured_len, out);
    case 6:
        return parse_ipv6(ip, captured_len, out);
    default:
        return ENF_PACKET_MALFORMED;
    }
}

bool enf_packet_is_connection(const struct enf_packet *packet)
{
    return packet->has_flags && packet->destination_port == ENF_SMTP_PORT &&
           (packet->tcp_flags & (ENF_TCP_SYN | ENF_TCP_ACK)) == ENF_TCP_SYN;
}

bool enf_packet_is_smtp(const struct enf_packet *packet)
{
    return packet->has_ports &&
           (packet->source_port == ENF_SMTP_PORT || packet->destination_port == ENF_SMTP_PORT);
}

const char *enf_packet_result_name(enum enf_packet_result result)
{
    switch (result) {
    case ENF_PACKET_OK:
        return "ok";
    case ENF_PACKET_NOT_TCP:
        return "not tcp";
    case ENF_PACKET_LATER_FRAGMENT:
        return "later fragment";
    case ENF_PACKET_SHORT_FRAGMENT:
        return "short fragment";
    case ENF_PACKET_TRUNCATED:
        return "truncated";
    case ENF_PACKET_MALFORMED:
        return "malformed";
    }
    return NULL;
}
