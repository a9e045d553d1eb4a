/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layers between a captured frame's first byte and its IP header. */
#include "enforcer/inspect/link.h"

#include "enforcer/inspect/bytes.h"

#include <stdbool.h>

enum {
    TYPE_IPV4 = 0x0800,
    TYPE_VLAN = 0x8100,
    TYPE_IPV6 = 0x86dd,
    TYPE_MPLS = 0x8847,
    TYPE_MPLS_MULTICAST = 0x8848,
    TYPE_PPPOE_SESSION = 0x8864,
    TYPE_PROVIDER_VLAN = 0x88a8,
    TYPE_BACKBONE = 0x88e7,
    TYPE_VN_TAG = 0x8926,
    TYPE_E_TAG = 0x893f,
    TYPE_QINQ_OLD1 = 0x9100,
    TYPE_QINQ_OLD2 = 0x9200,
    TYPE_QINQ_OLD3 = 0x9300,
    LENGTH_MAX = 1500, /* up to here the type field is a length, and an 802.2 header follows */
};

enum {
    PPP_IPV4 = 0x0021,
    PPP_IPV6 = 0x0057,
    PPP_MPLS = 0x0281,
    PPP_MPLS_MULTICAST = 0x0283,
};

/* What the next layer is, once the one before has been stepped over. */
enum layer {
    LAYER_ETHERNET,  /* two addresses, then a type */
    LAYER_ETHERTYPE, /* the two bytes of a type */
    LAYER_SNAP,
    LAYER_MPLS,
    LAYER_PPPOE,
    LAYER_PPP,
    LAYER_IP,   /* of either version */
    LAYER_IPV4, /* as announced */
    LAYER_IPV6,
    LAYER_OTHER,
    LAYER_CUT,
};

struct cursor {
    const uint8_t *bytes;
    size_t left;
};

static bool step(struct cursor *c, size_t len)
{
    if (c->left < len)
        return false;
    c->bytes += len;
    c->left -= len;
    return true;
}

static enum layer skip(struct cursor *c, size_t len, enum layer next)
{
    return step(c, len) ? next : LAYER_CUT;
}

/* The cursor stands behind the type. */
static enum layer step_type(struct cursor *c, uint16_t type)
{
    switch (type) {
    case TYPE_IPV4:
        return LAYER_IPV4;
    case TYPE_IPV6:
        return LAYER_IPV6;
    case TYPE_VLAN:
    case TYPE_PROVIDER_VLAN:
    case TYPE_QINQ_OLD1:
    case TYPE_QINQ_OLD2:
    case TYPE_QINQ_OLD3:
        return skip(c, 2, LAYER_ETHERTYPE);
    case TYPE_E_TAG:
        return skip(c, 6, LAYER_ETHERTYPE);
    case TYPE_VN_TAG:
        return skip(c, 4, LAYER_ETHERTYPE);
    case TYPE_BACKBONE:
        return skip(c, 4, LAYER_ETHERNET);
    case TYPE_MPLS:
    case TYPE_MPLS_MULTICAST:
        return LAYER_MPLS;
    case TYPE_PPPOE_SESSION:
        return LAYER_PPPOE;
    default:
        return type <= LENGTH_MAX ? LAYER_SNAP : LAYER_OTHER;
    }
}

static enum layer step_ethertype(struct cursor *c)
{
    if (c->left < 2)
        return LAYER_CUT;
    uint16_t type = be16(c->bytes);
    step(c, 2);
    return step_type(c, type);
}

static enum layer step_snap(struct cursor *c)
{
    if (c->left < 3)
        return LAYER_CUT;
    if (c->bytes[0] != 0xaa || c->bytes[1] != 0xaa || c->bytes[2] != 0x03)
        return LAYER_OTHER;
    return skip(c, 6, LAYER_ETHERTYPE);
}

static enum layer step_mpls(struct cursor *c)
{
    if (c->left < 4)
        return LAYER_CUT;
    bool bottom = c->bytes[2] & 1;
    step(c, 4);
    if (!bottom)
        return LAYER_MPLS;
    if (c->left == 0)
        return LAYER_CUT;
    /* Labels do not say what they carry. A pseudowire starts with another nibble and is not looked into. */
    uint8_t version = c->bytes[0] >> 4;
    return version == 4 || version == 6 ? LAYER_IP : LAYER_OTHER;
}

static enum layer step_pppoe(struct cursor *c)
{
    if (c->left < 6)
        return LAYER_CUT;
    bool session_data = c->bytes[0] == 0x11 && c->bytes[1] == 0;
    step(c, 6);
    return session_data ? LAYER_PPP : LAYER_OTHER;
}

static enum layer step_ppp(struct cursor *c)
{
    if (c->left == 1 && c->bytes[0] == 0xff)
        return LAYER_CUT;
    if (c->left >= 2 && c->bytes[0] == 0xff && c->bytes[1] == 0x03)
        step(c, 2);
    if (c->left == 0)
        return LAYER_CUT;
    /* An odd first byte is a protocol number compressed into one byte. */
    size_t len = c->bytes[0] & 1 ? 1 : 2;
    if (c->left < len)
        return LAYER_CUT;
    uint16_t protocol = len == 1 ? c->bytes[0] : be16(c->bytes);
    step(c, len);
    switch (protocol) {
    case PPP_IPV4:
        return LAYER_IPV4;
    case PPP_IPV6:
        return LAYER_IPV6;
    case PPP_MPLS:
    case PPP_MPLS_MULTICAST:
        return LAYER_MPLS;
    default:
        return LAYER_OTHER;
    }
}

static enum enf_link_result check_ip(const struct cursor *c, enum layer layer)
{
    if (c->left == 0)
        return ENF_LINK_TRUNCATED;
    uint8_t version = c->bytes[0] >> 4;
    bool fits = layer == LAYER_IPV4   ? version == 4
                : layer == LAYER_IPV6 ? version == 6
                                      : version == 4 || version == 6;
    return fits ? ENF_LINK_OK : ENF_LINK_MALFORMED;
}

/* The numbers of AF_INET and AF_INET6 on the systems that write such captures. */
static enum layer step_family(struct cursor *c)
{
    if (c->left < 4)
        return LAYER_CUT;
    uint32_t family = be32(c->bytes);
    if (family > UINT16_MAX)
        family = (uint32_t)c->bytes[3] << 24 | (uint32_t)c->bytes[2] << 16 | (uint32_t)c->bytes[1] << 8 |
                 c->bytes[0];
    step(c, 4);
    switch (family) {
    case 2:
        return LAYER_IPV4;
    case 10: /* Linux */
    case 24: /* NetBSD, OpenBSD */
    case 28: /* FreeBSD */
    case 30: /* Darwin */
        return LAYER_IPV6;
    default:
        return LAYER_OTHER;
    }
}

/* The type comes first here, with the rest of the header between it and what it announces. */
static enum layer step_cooked2(struct cursor *c)
{
    if (c->left < 20)
        return LAYER_CUT;
    uint16_t type = be16(c->bytes);
    step(c, 20);
    return step_type(c, type);
}

static enum layer start(enum enf_link link, struct cursor *c)
{
    switch (link) {
    case ENF_LINK_ETHERNET:
        return LAYER_ETHERNET;
    case ENF_LINK_RAW:
        return LAYER_IP;
    case ENF_LINK_COOKED:
        return skip(c, 14, LAYER_ETHERTYPE);
    case ENF_LINK_COOKED2:
        return step_cooked2(c);
    case ENF_LINK_LOOPBACK:
        return step_family(c);
    case ENF_LINK_PPP:
        return LAYER_PPP;
    case ENF_LINK_PPPOE:
        return LAYER_PPPOE;
    case ENF_LINK_HDLC:
        return skip(c, 2, LAYER_ETHERTYPE);
    case ENF_LINK_UNSUPPORTED:
        break;
    }
    return LAYER_OTHER;
}

enum enf_link_result enf_link_find_ip(enum enf_link link, const uint8_t *frame, size_t captured_len,
                                      size_t *out_offset)
{
    struct cursor c = {frame, captured_len};
    enum layer layer = start(link, &c);
    /* Ends: every turn takes bytes off or leaves. */
    for (;;) {
        switch (layer) {
        case LAYER_ETHERNET:
            layer = skip(&c, 12, LAYER_ETHERTYPE);
            break;
        case LAYER_ETHERTYPE:
            layer = step_ethertype(&c);
            break;
        case LAYER_SNAP:
            layer = step_snap(&c);
            break;
        case LAYER_MPLS:
            layer = step_mpls(&c);
            break;
        case LAYER_PPPOE:
            layer = step_pppoe(&c);
            break;
        case LAYER_PPP:
            layer = step_ppp(&c);
            break;
        case LAYER_IP:
        case LAYER_IPV4:
        case LAYER_IPV6: {
            enum enf_link_result result = check_ip(&c, layer);
            if (result == ENF_LINK_OK)
                *out_offset = captured_len - c.left;
            return result;
        }
        case LAYER_OTHER:
            return ENF_LINK_NOT_IP;
        case LAYER_CUT:
            return ENF_LINK_TRUNCATED;
        }
    }
}

enum enf_link enf_link_from_dlt(int dlt)
{
    switch (dlt) {
    case 0:   /* NULL */
    case 108: /* LOOP */
        return ENF_LINK_LOOPBACK;
    case 1:
        return ENF_LINK_ETHERNET;
    case 9:  /* PPP */
    case 50: /* PPP in HDLC-like framing */
        return ENF_LINK_PPP;
    case 51: /* PPPoE without Ethernet */
        return ENF_LINK_PPPOE;
    case 12:  /* raw IP: Linux and most */
    case 14:  /* OpenBSD */
    case 101: /* in files */
    case 228: /* IPv4 only */
    case 229: /* IPv6 only */
        return ENF_LINK_RAW;
    case 104:
        return ENF_LINK_HDLC;
    case 113:
        return ENF_LINK_COOKED;
    case 276:
        return ENF_LINK_COOKED2;
    default:
        return ENF_LINK_UNSUPPORTED;
    }
}
